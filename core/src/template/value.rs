//! The values that templates see.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a value may be written into unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    Html,
    Url,
}

/// A value as Go's templates tell them apart.
#[derive(Clone)]
pub enum Value {
    /// Nothing: shown as `<no value>` by an action, as `<nil>` by `print`.
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Arc<str>),
    /// Text that its writer vouches for.
    Safe(Safe, Arc<str>),
    List(Arc<[Value]>),
    Map(Arc<Map>),
    Object(Arc<dyn Object>),
    Function(Callable),
}

/// A function held as a value, for the built-in `call`.
pub type Callable = Arc<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

/// A map from text, in order of its keys.
#[derive(Clone, Debug, Default)]
pub struct Map {
    pub entries: BTreeMap<String, Value>,
    /// Whether every element is text; a missing key is then the empty text where the option says "zero".
    pub of_text: bool,
}

/// A value with fields or methods of its own.
pub trait Object: Send + Sync {
    /// Returns the value itself, for functions that know its type.
    fn as_any(&self) -> &dyn Any;

    /// Returns Go's name of the type, for messages.
    fn type_name(&self) -> &str;

    /// Returns what `print` shows.
    fn text(&self) -> String;

    /// Returns the value of a field, `None` when there is no such field.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    /// Calls a method; `None` when there is no such method.
    fn call(&self, _method: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    /// Returns the list, map or number that stands behind the methods; nil for a struct.
    fn underlying(&self) -> Value {
        Value::Nil
    }

    /// Returns the value as JSON, `None` to write what `underlying` returns.
    fn json(&self) -> Option<String> {
        None
    }
}

/// A struct: fields in order, no methods.
#[derive(Clone, Debug)]
pub struct Record {
    pub type_name: &'static str,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    /// The name in JSON.
    pub json: &'static str,
    pub value: Value,
}

impl Record {
    /// Returns a struct as a value; each field is its name, its name in JSON, its value.
    pub fn value(type_name: &'static str, fields: impl IntoIterator<Item = (&'static str, &'static str, Value)>) -> Value {
        let fields = fields.into_iter().map(|(name, json, value)| Field { name, json, value }).collect();
        Value::Object(Arc::new(Record { type_name, fields }))
    }
}

impl Object for Record {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        self.type_name
    }

    fn text(&self) -> String {
        let shown: Vec<String> = self.fields.iter().map(|field| field.value.to_string()).collect();
        format!("{{{}}}", shown.join(" "))
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value.clone())
    }

    fn json(&self) -> Option<String> {
        let mut out = String::from("{");
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_text(field.json, &mut out);
            out.push(':');
            out.push_str(&field.value.json().ok()?);
        }
        out.push('}');
        Some(out)
    }
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().into())
    }

    pub fn list(values: impl IntoIterator<Item = Value>) -> Value {
        Value::List(values.into_iter().collect())
    }

    /// Returns a map whose elements are text.
    pub fn text_map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
        let entries = pairs.into_iter().map(|(key, value)| (key.as_ref().to_owned(), Value::text(value))).collect();
        Value::Map(Arc::new(Map { entries, of_text: true }))
    }

    /// Returns a map of elements of any kind.
    pub fn map(entries: BTreeMap<String, Value>) -> Value {
        Value::Map(Arc::new(Map { entries, of_text: false }))
    }

    /// Returns Go's name of the type.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Safe(Safe::Html, _) => "template.HTML",
            Value::Safe(Safe::Url, _) => "template.URL",
            Value::List(_) => "[]interface {}",
            Value::Map(map) if map.of_text => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Object(object) => object.type_name(),
            Value::Function(_) => "func",
        }
    }

    /// Returns whether `if` takes the value for true.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Uint(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) | Value::Safe(_, text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Object(object) => match object.underlying() {
                Value::Nil => true,
                inner => inner.truth(),
            },
            Value::Function(_) => true,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    /// Returns the plain value behind an object's methods; a struct stays itself.
    pub fn plain(&self) -> Value {
        match self {
            Value::Object(object) => match object.underlying() {
                Value::Nil => self.clone(),
                inner => inner,
            },
            other => other.clone(),
        }
    }

    /// Returns the value as JSON, as Go's `encoding/json` writes it: keys sorted, `<`, `>` and `&` escaped.
    ///
    /// Errors: numbers that JSON cannot hold, and functions.
    pub fn json(&self) -> Result<String, String> {
        let mut out = String::new();
        match self {
            Value::Nil => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Uint(value) => out.push_str(&value.to_string()),
            Value::Float(value) if value.is_finite() => out.push_str(&json_number(*value)),
            Value::Float(value) => return Err(format!("json: unsupported value: {}", Value::Float(*value))),
            Value::Text(text) | Value::Safe(_, text) => json_text(text, &mut out),
            Value::List(list) => {
                let items: Result<Vec<String>, String> = list.iter().map(Value::json).collect();
                out = format!("[{}]", items?.join(","));
            }
            Value::Map(map) => {
                out.push('{');
                for (index, (key, value)) in map.entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json_text(key, &mut out);
                    out.push(':');
                    out.push_str(&value.json()?);
                }
                out.push('}');
            }
            Value::Object(object) => match object.json() {
                Some(json) => out = json,
                None => return object.underlying().json(),
            },
            Value::Function(_) => return Err("json: unsupported type: func".into()),
        }
        Ok(out)
    }
}

fn json_number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-6 || value.abs() >= 1e21) {
        let text = super::number::format(value, super::number::Style::Exponent, None);
        // Go's JSON writes e-9, not e-09.
        return text.replace("e-0", "e-").replace("e+0", "e+");
    }
    super::number::format(value, super::number::Style::Fixed, None)
}

/// Writes text as a JSON string.
fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.type_name())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}
