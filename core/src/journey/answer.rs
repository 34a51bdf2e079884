//! Whether an answer is what the step expects, and what is saved of it.

use serde_json::Value;

use super::{Expect, Kind, SAVED_BYTES_MAX, Save, Saved, Step, Wanted};

/// What a server answered; the body is at most `BODY_BYTES_MAX` long.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

/// Returns what is saved of a good answer.
///
/// Errors: why it is not what the step expects, in one sentence. It repeats the configuration, and nothing of the body: that is the
/// user's.
pub fn judge(step: &Step, answer: &Answer<'_>) -> Result<Saved, String> {
    check_status(&step.expect, answer.status)?;
    check_text(&step.expect, answer.body)?;
    let mut saved = Saved::new();
    if step.expect.json.is_empty() && step.save.is_empty() {
        return Ok(saved);
    }
    let json: Value = serde_json::from_slice(answer.body).map_err(|_| "the answer is no JSON".to_owned())?;
    for (pointer, wanted) in &step.expect.json {
        check_place(json.pointer(pointer), wanted).map_err(|what| format!("{} {what}", place(pointer)))?;
    }
    for save in &step.save {
        let value = output(json.pointer(&save.pointer), save)?;
        saved.insert(save.name.clone(), value);
    }
    Ok(saved)
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the answer" } else { pointer }
}

fn check_status(expect: &Expect, status: u16) -> Result<(), String> {
    let is_good = if expect.status.is_empty() { (200..300).contains(&status) } else { expect.status.contains(&status) };
    if is_good {
        return Ok(());
    }
    let wanted = match expect.status.as_slice() {
        [] => "200 to 299".to_owned(),
        some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    Err(format!("HTTP status {status}, expected {wanted}"))
}

fn check_text(expect: &Expect, body: &[u8]) -> Result<(), String> {
    if expect.contains.is_none() && expect.matches.is_none() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(body);
    if let Some(wanted) = &expect.contains
        && !text.contains(wanted.as_str())
    {
        return Err(format!("the answer does not contain {wanted:?}"));
    }
    if let Some(pattern) = &expect.matches
        && !pattern.0.is_match(&text)
    {
        return Err(format!("nothing in the answer fits {:?}", pattern.0.as_str()));
    }
    Ok(())
}

/// Returns what is wrong with a place, as the rest of a sentence that begins with it.
fn check_place(found: Option<&Value>, wanted: &Wanted) -> Result<(), String> {
    if let Wanted::Exists(exists) = wanted {
        return match (found.is_some(), exists) {
            (true, false) => Err("is there, and should not be".to_owned()),
            (false, true) => Err("is missing".to_owned()),
            (true, true) | (false, false) => Ok(()),
        };
    }
    let Some(found) = found else { return Err("is missing".to_owned()) };
    let is_good = match wanted {
        Wanted::Exists(_) => true,
        Wanted::Equal(wanted) => equal(found, wanted),
        Wanted::Within { min, max } => {
            found.as_f64().is_some_and(|number| min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max))
        }
        Wanted::Matches(pattern) => found.as_str().is_some_and(|text| pattern.0.is_match(text)),
    };
    if is_good { Ok(()) } else { Err(format!("is not {}", shown(wanted))) }
}

/// Numbers are equal when they mean the same, so that 1 and 1.0 are.
fn equal(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => found == wanted,
    }
}

fn shown(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Equal(value) => value.to_string(),
        Wanted::Exists(_) => "there".to_owned(),
        Wanted::Matches(pattern) => format!("a text that {:?} fits", pattern.0.as_str()),
        Wanted::Within { min: Some(min), max: Some(max) } => format!("a number from {min} to {max}"),
        Wanted::Within { min: Some(min), max: None } => format!("a number of at least {min}"),
        Wanted::Within { min: None, max: Some(max) } => format!("a number of at most {max}"),
        Wanted::Within { min: None, max: None } => "a number".to_owned(),
    }
}

/// Reads an output. It may go into a header, so it holds no control characters.
fn output(found: Option<&Value>, save: &Save) -> Result<Value, String> {
    let fault = |what: &str| Err(format!("the output {} at {} {what}", save.name, place(&save.pointer)));
    let Some(found) = found else { return fault("is missing") };
    let fits = match save.kind {
        Kind::Scalar => found.is_string() || found.is_number() || found.is_boolean(),
        Kind::Text => found.is_string(),
        Kind::Int => found.is_i64() || found.is_u64(),
        Kind::Float => found.is_number(),
        Kind::Bool => found.is_boolean(),
    };
    if !fits {
        return fault(match save.kind {
            Kind::Scalar => "is not a text, a number or a truth value",
            Kind::Text => "is not a text",
            Kind::Int => "is not a whole number",
            Kind::Float => "is not a number",
            Kind::Bool => "is not a truth value",
        });
    }
    match found.as_str() {
        Some(text) if text.len() > SAVED_BYTES_MAX => fault("is longer than 4096 bytes"),
        Some(text) if text.chars().any(char::is_control) => fault("holds a control character"),
        Some(_) | None => Ok(found.clone()),
    }
}
