//! The functions that every template has.

use std::cmp::Ordering;

use super::print;
use super::value::{Safe, Value};

/// Their names; `and` and `or` stop early and therefore stand in the executor.
const NAMES: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println",
    "slice", "urlquery",
];

pub(super) fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Returns how many arguments a built-in needs at least, and whether it takes more.
pub(super) fn arity(name: &str) -> (usize, bool) {
    match name {
        "len" | "not" => (1, false),
        "ge" | "gt" | "le" | "lt" | "ne" => (2, false),
        "and" | "or" | "call" | "eq" | "index" | "slice" | "printf" => (1, true),
        _ => (0, true),
    }
}

/// Calls a built-in; the number of arguments is already checked.
///
/// Source: Go `text/template/funcs.go`.
pub(super) fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    match name {
        "call" => invoke(args),
        "eq" => equal(&args[0], &args[1..]).map(Value::Bool),
        "ne" => equal(&args[0], &args[1..]).map(|equal| Value::Bool(!equal)),
        "lt" => compare(&args[0], &args[1]).map(|order| Value::Bool(order == Some(Ordering::Less))),
        "le" => compare(&args[0], &args[1]).map(|order| Value::Bool(matches!(order, Some(Ordering::Less | Ordering::Equal)))),
        // Go says "not less or equal", which is true of a NaN.
        "gt" => compare(&args[0], &args[1]).map(|order| Value::Bool(!matches!(order, Some(Ordering::Less | Ordering::Equal)))),
        "ge" => compare(&args[0], &args[1]).map(|order| Value::Bool(order != Some(Ordering::Less))),
        "html" => Ok(Value::Safe(Safe::Html, escape_html(&joined(args)).into())),
        "js" => Ok(escape_script(&joined(args)).into()),
        "urlquery" => Ok(escape_query(&joined(args)).into()),
        "index" => index(&args[0], &args[1..]),
        "slice" => slice(&args[0], &args[1..]),
        "len" => length(&args[0]),
        "not" => Ok(Value::Bool(!args[0].truth())),
        "print" => Ok(print::print(args).into()),
        "println" => Ok(print::println(args).into()),
        "printf" => match &args[0] {
            Value::Text(format) | Value::Safe(_, format) => Ok(print::printf(format, &args[1..]).into()),
            other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
        },
        _ => Err(format!("function {name:?} not defined")),
    }
}

fn joined(args: &[Value]) -> String {
    match args {
        [one] => one.to_string(),
        _ => print::print(args),
    }
}

fn invoke(args: &[Value]) -> Result<Value, String> {
    match &args[0] {
        Value::Function(function) => function(&args[1..]),
        Value::Nil => Err("call of nil".into()),
        other => Err(format!("non-function of type {}", other.type_name())),
    }
}

/// Returns whether the first operand equals any other.
fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        let same = match (first.plain(), other.plain()) {
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Text(a) | Value::Safe(_, a), Value::Text(b) | Value::Safe(_, b)) => a == b,
            (a, b) => match (integer(&a), integer(&b)) {
                (Some(a), Some(b)) => a == b,
                _ => same_object(&a, &b)?,
            },
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same_object(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.type_name() == b.type_name() => Ok(a.text() == b.text()),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            Err(format!("non-comparable types {a}: {}, {b}: {}", a.type_name(), b.type_name()))
        }
        _ => Err("incompatible types for comparison".into()),
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Returns the order of two operands; `None` when one is not a number.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a.plain(), b.plain()) {
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(&b)),
        (Value::Text(a) | Value::Safe(_, a), Value::Text(b) | Value::Safe(_, b)) => Ok(Some(a.cmp(&b))),
        (a, b) => match (integer(&a), integer(&b)) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
            _ if is_ordered(&a) && is_ordered(&b) => Err("incompatible types for comparison".into()),
            _ => Err("invalid type for comparison".into()),
        },
    }
}

fn is_ordered(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Text(_) | Value::Safe(..))
}

fn length(value: &Value) -> Result<Value, String> {
    let len = match value.plain() {
        Value::Text(text) | Value::Safe(_, text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(len as i64))
}

/// Returns a position in something `len` long; the end itself is allowed when `inclusive`.
fn position(at: &Value, len: usize, inclusive: bool) -> Result<usize, String> {
    let number = match at.plain() {
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        plain => integer(&plain).ok_or_else(|| format!("cannot index slice/array with type {}", at.type_name()))?,
    };
    usize::try_from(number)
        .ok()
        .filter(|at| *at < len || inclusive && *at == len)
        .ok_or_else(|| format!("index out of range: {number}"))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    if matches!(value, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    let mut current = value.clone();
    for key in keys {
        current = match current.plain() {
            Value::List(list) => list[position(key, list.len(), false)?].clone(),
            Value::Text(text) | Value::Safe(_, text) => Value::Int(i64::from(text.as_bytes()[position(key, text.len(), false)?])),
            Value::Map(map) => {
                let name = key.as_text().ok_or_else(|| format!("value has type {}; should be string", key.type_name()))?;
                let missing = if map.of_text { "".into() } else { Value::Nil };
                map.entries.get(name).cloned().unwrap_or(missing)
            }
            Value::Nil => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(current)
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let range = |len: usize| {
        let mut places = [0, len, len];
        for (place, bound) in places.iter_mut().zip(bounds) {
            *place = position(bound, len, true)?;
        }
        if places[0] > places[1] || places[1] > places[2] {
            return Err(format!("invalid slice index: {} > {}", places[0], places[1]));
        }
        Ok(places[0]..places[1])
    };
    match value.plain() {
        Value::Nil => Err("slice of untyped nil".into()),
        Value::Text(text) | Value::Safe(_, text) => {
            if bounds.len() == 3 {
                return Err("cannot 3-index slice a string".into());
            }
            let bytes = &text.as_bytes()[range(text.len())?];
            Ok(String::from_utf8_lossy(bytes).as_ref().into())
        }
        Value::List(list) => Ok(Value::List(list[range(list.len())?].into())),
        other => Err(format!("can't slice item of type {}", other.type_name())),
    }
}

/// Returns text with the five characters that HTML gives a meaning written as entities.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn escape_script(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Returns text for the query part of an address: a space becomes `+`, all but letters, digits and `-_.~` is percent-encoded.
///
/// Source: Go `url.QueryEscape`.
pub fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            byte if byte.is_ascii_alphanumeric() => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
