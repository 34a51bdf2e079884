//! The request of one step: its texts filled with what earlier steps saved, and with secrets.

use serde_json::Value;

use super::{Body, Journey, Json, Piece, Saved, Step, Text};
use crate::client::Secret;
use crate::time::Timestamp;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

/// The values of secrets, read at the beginning of an attempt.
#[derive(Clone, Default)]
pub struct Secrets(pub Vec<(Secret, String)>);

impl Secrets {
    fn get(&self, secret: &Secret) -> Result<&str, String> {
        let found = self.0.iter().find(|(known, _)| known == secret).map(|(_, value)| value.as_str());
        found.ok_or_else(|| format!("{secret:?} was not read"))
    }
}

/// Returns the request of a step. `began` is when the attempt began.
///
/// Errors: an output or a secret that is not there, in a sentence without any value.
pub fn request(journey: &Journey, step: &Step, saved: &Saved, secrets: &Secrets, began: Timestamp) -> Result<Request, String> {
    let fill = Fill { saved, secrets };
    let mut url = fill.text(&step.url, percent)?;
    if let Some(name) = &journey.cache_buster {
        let sign = if url.contains('?') { '&' } else { '?' };
        url.push_str(&format!("{sign}{name}={:x}", began.0));
    }
    let mut headers = Vec::new();
    for (name, text) in &step.headers {
        headers.push((name.clone(), fill.text(text, |value| value)?));
    }
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if journey.bypass_cache && !has(&headers, "cache-control") {
        headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
        headers.push(("pragma".to_owned(), "no-cache".to_owned()));
    }
    let body = match &step.body {
        None => None,
        Some(Body::Text(text)) => Some(fill.text(text, |value| value)?.into_bytes()),
        Some(Body::Json(json)) => {
            if !has(&headers, "content-type") {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            Some(fill.json(json)?.to_string().into_bytes())
        }
    };
    Ok(Request { method: step.method.clone(), url, headers, body })
}

struct Fill<'a> {
    saved: &'a Saved,
    secrets: &'a Secrets,
}

impl Fill<'_> {
    fn saved(&self, name: &str) -> Result<&Value, String> {
        self.saved.get(name).ok_or_else(|| format!("the output {name} was not saved"))
    }

    /// Puts a text together; `write` is how a value from outside is written into it.
    fn text(&self, text: &Text, write: impl Fn(String) -> String) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Secret(secret) => filled.push_str(self.secrets.get(secret)?),
                Piece::Saved(name) => {
                    let value = self.saved(name)?;
                    filled.push_str(&write(value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
                }
            }
        }
        Ok(filled)
    }

    fn json(&self, json: &Json) -> Result<Value, String> {
        Ok(match json {
            Json::Value(value) => value.clone(),
            Json::Saved(name) => self.saved(name)?.clone(),
            Json::Secret(secret) => Value::String(self.secrets.get(secret)?.to_owned()),
            Json::List(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            Json::Map(entries) => {
                let filled = entries.iter().map(|(key, value)| Ok((key.clone(), self.json(value)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
        })
    }
}

/// Writes a value so that it can only be a part of a path or the value of a parameter.
///
/// Source: RFC 3986, section 2.3.
fn percent(value: String) -> String {
    let mut written = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => written.push(char::from(byte)),
            // A lone dot or two would climb in the path.
            _ => written.push_str(&format!("%{byte:02X}")),
        }
    }
    written
}
