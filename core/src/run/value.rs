//! Typed parameters: what a text from outside must look like before anything here believes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::inventory::Inventory;
use crate::time::Span;

/// A text for a parameter that is longer than this is refused unread.
pub const TEXT_BYTES_MAX: usize = 1024;
/// As long as a name in DNS may be.
pub const NAME_BYTES_MAX: usize = 253;
/// What an untyped saved output holds at most, for messages.
const SAVED_TEXT_BYTES_MAX: usize = 4096;

/// What a parameter, or a saved output, may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Type {
    Int {
        min: Option<i64>,
        max: Option<i64>,
    },
    Float {
        min: Option<f64>,
        max: Option<f64>,
    },
    Bool,
    Enum {
        values: Vec<String>,
    },
    /// A name of the inventory; `of` says which kind of thing it names.
    Name {
        of: Option<String>,
    },
    Duration {
        min: Option<Span>,
        max: Option<Span>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    #[serde(flatten)]
    pub kind: Type,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub default: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Word(String),
    Name(String),
    /// Unit: milliseconds.
    Duration(Span),
    /// An output that was saved without a type: fit for messages and nothing else.
    Text(String),
}

pub type Values = BTreeMap<String, Value>;

/// Where a text for a parameter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Written in the document.
    Document,
    /// Typed by a person who is logged in.
    Operator,
    /// Handed over by the run that calls this one; its values have passed their own types.
    Caller,
    AlertLabel,
    WebhookBody,
    StepOutput,
    /// The value of an expression over metrics, which strangers expose.
    Expression,
}

impl Source {
    /// Returns whether a stranger can choose the text.
    pub fn is_tainted(self) -> bool {
        match self {
            Source::Document | Source::Operator | Source::Caller => false,
            Source::AlertLabel | Source::WebhookBody | Source::StepOutput | Source::Expression => true,
        }
    }
}

/// A text that is meant for a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub name: String,
    pub text: String,
    pub source: Source,
}

/// Why a text does not become a value. Texts are shown escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    #[error("the value is {bytes} bytes long; at most {limit} are accepted")]
    TooLong { bytes: usize, limit: usize },
    #[error("the value {shown} holds a control character")]
    Control { shown: String },
    #[error("the value {shown} is not {expected}")]
    Form { shown: String, expected: String },
    #[error("the value {shown} lies outside of {bounds}")]
    Bounds { shown: String, bounds: String },
    #[error("no {of} of the inventory is called {shown}")]
    UnknownName { shown: String, of: String },
    #[error("the value comes from outside, so its type needs bounds: min and max, values, or `of` for a name")]
    Unbounded,
}

/// Why the parameters of a run are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParam {
    #[error("parameter {name:?}: {cause}")]
    Value { name: String, cause: BadValue },
    #[error("parameter {name:?} is required, and nothing gives it a value")]
    Missing { name: String },
    #[error("there is no parameter {name:?}")]
    Unknown { name: String },
    #[error("parameter {name:?} is given twice")]
    Twice { name: String },
}

fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 64;
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{:?}{more}", cut)
}

/// Returns whether a text is a name: letters, digits, `.`, `_`, `-`, `:`, beginning with a letter or digit, no two dots in a row.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'))
        && !text.contains("..")
}

/// Returns whether some reader of YAML 1.1 takes a word for a truth value.
pub fn is_boolean_word(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false")
}

fn in_bounds<T: PartialOrd + Copy + std::fmt::Display>(
    value: T,
    min: &Option<T>,
    max: &Option<T>,
    text: &str,
) -> Result<T, BadValue> {
    if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) {
        return Ok(value);
    }
    let end = |bound: &Option<T>| bound.map_or("…".to_owned(), |bound| bound.to_string());
    Err(BadValue::Bounds { shown: shown(text), bounds: format!("{} to {}", end(min), end(max)) })
}

impl Type {
    /// Returns whether a text that a stranger chose may become a value of this type.
    pub fn is_bounded(&self) -> bool {
        match self {
            Type::Int { min, max } => min.is_some() && max.is_some(),
            Type::Float { min, max } => min.is_some() && max.is_some(),
            Type::Bool | Type::Enum { .. } => true,
            Type::Name { of } => of.is_some(),
            Type::Duration { min, max } => min.is_some() && max.is_some(),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Type::Int { .. } => "int",
            Type::Float { .. } => "float",
            Type::Bool => "bool",
            Type::Enum { .. } => "enum",
            Type::Name { .. } => "name",
            Type::Duration { .. } => "duration",
        }
    }

    pub fn is_numeric(&self) -> bool {
        matches!(self, Type::Int { .. } | Type::Float { .. } | Type::Duration { .. })
    }

    /// Returns the value that a text stands for.
    ///
    /// Shape: the whole text must be of the type's form; nothing is trimmed, guessed or cut.
    pub fn read(&self, text: &str, source: Source, inventory: &Inventory) -> Result<Value, BadValue> {
        if source.is_tainted() && !self.is_bounded() {
            return Err(BadValue::Unbounded);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadValue::TooLong { bytes: text.len(), limit: TEXT_BYTES_MAX });
        }
        if text.chars().any(char::is_control) {
            return Err(BadValue::Control { shown: shown(text) });
        }
        let form = |expected: &str| BadValue::Form { shown: shown(text), expected: expected.to_owned() };
        match self {
            Type::Int { min, max } => {
                let number = whole(text).ok_or_else(|| form("a whole number"))?;
                in_bounds(number, min, max, text).map(Value::Int)
            }
            Type::Float { min, max } => {
                let number = decimal(text).ok_or_else(|| form("a number"))?;
                in_bounds(number, min, max, text).map(Value::Float)
            }
            Type::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(form("true or false")),
            },
            Type::Enum { values } => match values.iter().any(|value| value == text) {
                true => Ok(Value::Word(text.to_owned())),
                false => Err(form(&format!("one of {}", values.join(", ")))),
            },
            Type::Name { of } => {
                if !is_name(text) {
                    return Err(form("a name: letters, digits, . _ - and :, at most 253, beginning with a letter or digit"));
                }
                match of {
                    Some(of) if !inventory.has(of, text) => Err(BadValue::UnknownName { shown: shown(text), of: of.clone() }),
                    Some(_) | None => Ok(Value::Name(text.to_owned())),
                }
            }
            Type::Duration { min, max } => {
                let span = Span::parse(text).map_err(|_| form("a duration such as 1h30m"))?;
                in_bounds(span, min, max, text).map(Value::Duration)
            }
        }
    }

    /// Returns the typed value of a piece of a step's output.
    pub fn read_json(&self, json: &serde_json::Value, inventory: &Inventory) -> Result<Value, BadValue> {
        let text = scalar_text(json).ok_or_else(|| BadValue::Form {
            shown: shown(&json.to_string()),
            expected: "a single text, number or truth value".to_owned(),
        })?;
        self.read(&text, Source::StepOutput, inventory)
    }
}

/// Returns the text of a JSON scalar; `None` for null, lists and objects.
pub fn scalar_text(json: &serde_json::Value) -> Option<String> {
    match json {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // The value of an expression is a float that prints without a point when it is whole.
    plain.then(|| text.parse().ok()).flatten()
}

fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'e' | b'E' | b'+'));
    plain.then(|| text.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

impl Value {
    /// Returns the untyped text of an output, cut to what a message can show.
    pub fn untyped(json: &serde_json::Value) -> Value {
        let text = scalar_text(json).unwrap_or_else(|| json.to_string());
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= SAVED_TEXT_BYTES_MAX).last();
        Value::Text(text[..end.unwrap_or(0)].chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// Returns the text of the value, as an argument, a query or a message shows it.
    pub fn text(&self) -> String {
        match self {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Word(text) | Value::Name(text) | Value::Text(text) => text.clone(),
            Value::Duration(span) => span.to_string(),
        }
    }

    /// Returns the number that comparisons use; a duration counts in seconds.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Duration(span) => Some(span.seconds()),
            Value::Bool(_) | Value::Word(_) | Value::Name(_) | Value::Text(_) => None,
        }
    }

    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(truth) => (*truth).into(),
            Value::Word(_) | Value::Name(_) | Value::Text(_) | Value::Duration(_) => self.text().into(),
        }
    }
}

/// Returns the value of every parameter.
///
/// Errors: every fault of every parameter at once.
pub fn bind(params: &BTreeMap<String, Param>, given: &[Given], inventory: &Inventory) -> Result<Values, Vec<BadParam>> {
    let (mut values, mut faults) = (Values::new(), Vec::new());
    for one in given {
        let name = one.name.clone();
        match params.get(&name) {
            None => faults.push(BadParam::Unknown { name }),
            Some(_) if values.contains_key(&name) => faults.push(BadParam::Twice { name }),
            Some(param) => match param.kind.read(&one.text, one.source, inventory) {
                Ok(value) => {
                    values.insert(name, value);
                }
                Err(cause) => faults.push(BadParam::Value { name, cause }),
            },
        }
    }
    for (name, param) in params {
        if given.iter().any(|one| one.name == *name) {
            continue;
        }
        match &param.default {
            // Read once more, so that a default name is held against the inventory of now.
            Some(default) => match param.kind.read(&default.text(), Source::Document, inventory) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(cause) => faults.push(BadParam::Value { name: name.clone(), cause }),
            },
            // A document can refer to every one of its parameters, so each has a value or the run does not start.
            None => faults.push(BadParam::Missing { name: name.clone() }),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}
