//! Texts and bodies with places that are filled at each attempt. A reference is a mapping and never a part of a text, so that no
//! answer can be mistaken for one.

use std::collections::BTreeSet;

use crate::client::Secret;
use crate::journey::{Json, Piece, Text};
use crate::yaml::{Kind, Style, Value, nearest};

use super::super::place::Folder;

const TEXT_BYTES_MAX: usize = 64 << 10;
const REFERENCES: [&str; 3] = ["saved", "secret_file", "secret_env"];

pub(super) struct Reader<'a> {
    pub folder: &'a Folder,
    /// Outputs of the steps above.
    pub saved: &'a BTreeSet<String>,
}

impl Reader<'_> {
    /// Reads a text, one reference, or `{text: [pieces]}`.
    pub fn text(&self, value: &Value<'_, '_>, secrets: bool) -> Option<Text> {
        let Kind::Mapping(_) = value.node.kind else { return self.literal(value).map(|text| Text(vec![text])) };
        if value.node.get("text").is_none() {
            return self.reference(value, secrets).map(|piece| Text(vec![piece]));
        }
        let mut table = value.table();
        let pieces = table.list("text");
        table.finish();
        let read = |piece: &Value<'_, '_>| match piece.node.kind {
            Kind::Mapping(_) => self.reference(piece, secrets),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => self.literal(piece),
        };
        Some(Text(pieces.iter().filter_map(read).collect()))
    }

    fn literal(&self, value: &Value<'_, '_>) -> Option<Piece> {
        let text = value.text()?;
        if text.len() > TEXT_BYTES_MAX {
            value.error("the text is longer than 64 KiB; shorten it");
        }
        Some(Piece::Literal(text))
    }

    fn reference(&self, value: &Value<'_, '_>, secrets: bool) -> Option<Piece> {
        let entries = value.entries();
        let [(key, inner)] = entries.as_slice() else {
            value.error("expected a text, one reference such as {saved: token}, or {text: [pieces]}");
            return None;
        };
        let text = inner.text()?;
        match key.name.as_str() {
            "saved" => {
                if !self.saved.contains(&text) {
                    let known: Vec<&str> = self.saved.iter().map(String::as_str).collect();
                    let near = nearest(&text, &known).map(|near| format!("; did you mean {near}?"));
                    inner.error(format!("no step above saves {text:?}{}", near.unwrap_or_else(|| "; save it there".to_owned())));
                }
                Some(Piece::Saved(text))
            }
            "secret_file" | "secret_env" if !secrets => {
                inner.error("a secret in a url would be seen on the way; send it in a header or in the body");
                None
            }
            "secret_file" => Some(Piece::Secret(Secret::File(self.folder.join(&text)))),
            "secret_env" => Some(Piece::Secret(Secret::Env(text))),
            other => {
                value.error(format!("unknown reference {other}; write one of {}", REFERENCES.join(", ")));
                None
            }
        }
    }

    /// Reads a body in JSON; numbers, truth values and null are what they are without quotes.
    pub fn json(&self, value: &Value<'_, '_>) -> Option<Json> {
        Some(match &value.node.kind {
            Kind::Sequence(_) => Json::List(value.list().iter().filter_map(|item| self.json(item)).collect()),
            Kind::Mapping(entries) if matches!(entries.as_slice(), [(key, _)] if REFERENCES.contains(&key.name.as_str())) => {
                match self.reference(value, true)? {
                    Piece::Saved(name) => Json::Saved(name),
                    Piece::Secret(secret) => Json::Secret(secret),
                    Piece::Literal(text) => Json::Value(text.into()),
                }
            }
            Kind::Mapping(_) => {
                let entries = value.entries();
                let read = entries.iter().filter_map(|(key, value)| Some((key.name.clone(), self.json(value)?)));
                Json::Map(read.collect())
            }
            Kind::Scalar { .. } | Kind::Null => Json::Value(scalar(value)?),
        })
    }
}

/// Reads a text, a number, a truth value or null.
pub(super) fn scalar(value: &Value<'_, '_>) -> Option<serde_json::Value> {
    let Kind::Scalar { style: Style::Plain, .. } = value.node.kind else {
        return if value.is_null() { Some(serde_json::Value::Null) } else { value.text().map(serde_json::Value::from) };
    };
    let text = value.text()?;
    Some(match text.as_str() {
        "true" => true.into(),
        "false" => false.into(),
        _ => {
            let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-').then(|| serde_json::from_str(&text).ok());
            number.flatten().filter(serde_json::Value::is_number).unwrap_or_else(|| text.into())
        }
    })
}
