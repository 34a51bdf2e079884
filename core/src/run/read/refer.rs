//! References: what a document may refer to at a place, and where texts from strangers may not go.

use std::collections::BTreeMap;

use crate::promql::parse::{Syntax, parse};
use crate::run::action::{Piece, SavedRef, Slot, Text};
use crate::run::value::{Param, Type, is_boolean_word};
use crate::yaml::{Kind, Style, Value, nearest};

use super::Allowed;

/// What is known at a place of a document: all parameters, and what earlier steps save.
pub(super) struct Refer<'a> {
    params: &'a BTreeMap<String, Param>,
    pub allowed: &'a Allowed,
    /// Outputs of the steps above, each with its type.
    pub saved: BTreeMap<SavedRef, Option<Type>>,
    /// Ids of the steps above.
    pub above: Vec<String>,
}

/// A reference as it is written: its word and what it names.
enum Written {
    Param(String),
    Saved(SavedRef),
    Label(String),
}

impl<'a> Refer<'a> {
    pub fn new(params: &'a BTreeMap<String, Param>, allowed: &'a Allowed) -> Refer<'a> {
        Refer { params, allowed, saved: BTreeMap::new(), above: Vec::new() }
    }

    fn written(&self, value: &Value<'_, '_>) -> Option<Written> {
        let entries = value.entries();
        let [(key, inner)] = entries.as_slice() else {
            value.error("expected a value, or one reference: {param: …} or {saved: step.name}");
            return None;
        };
        match key.name.as_str() {
            "param" => {
                let name = inner.text()?;
                if !self.params.contains_key(&name) {
                    let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
                    let near = nearest(&name, &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    inner.error(format!("there is no parameter {name:?}{near}"));
                    return None;
                }
                Some(Written::Param(name))
            }
            "saved" => {
                let text = inner.text()?;
                let Some((step, name)) = text.split_once('.') else {
                    inner.error("write the step and the name of its output, such as snapshot.before");
                    return None;
                };
                let saved = SavedRef { step: step.to_owned(), name: name.to_owned() };
                if !self.saved.contains_key(&saved) {
                    let why = if self.above.iter().any(|id| id == step) {
                        format!("step {step} saves no {name:?}")
                    } else {
                        format!("no step {step:?} stands above this place, so it has saved nothing yet")
                    };
                    inner.error(why);
                    return None;
                }
                Some(Written::Saved(saved))
            }
            "label" => inner.text().map(Written::Label),
            "text" => {
                value.error("text joins pieces for messages; here a single value is wanted");
                None
            }
            other => {
                value.error(format!("unknown reference {other}; write param or saved"));
                None
            }
        }
    }

    /// Reads a value that will be acted upon.
    pub fn slot(&self, value: &Value<'_, '_>) -> Option<Slot> {
        match &value.node.kind {
            Kind::Mapping(_) => match self.written(value)? {
                Written::Param(name) => Some(Slot::Param(name)),
                Written::Saved(saved) => {
                    if self.saved.get(&saved).is_none_or(Option::is_none) {
                        value.error(format!(
                            "the output {}.{} has no type, so it may only be shown to people; save it as {{path: …, type: …}}",
                            saved.step, saved.name
                        ));
                        return None;
                    }
                    Some(Slot::Saved(saved))
                }
                Written::Label(name) => {
                    value.error(format!(
                        "strangers choose the label {name:?}: hand it to a typed parameter in the trigger, and refer to that"
                    ));
                    None
                }
            },
            Kind::Scalar { text, style: Style::Plain } => self.plain(value, text),
            Kind::Scalar { text, .. } => Some(Slot::Text(text.clone())),
            Kind::Null | Kind::Sequence(_) => {
                value.error("expected a value, or one reference: {param: …} or {saved: step.name}");
                None
            }
        }
    }

    fn plain(&self, value: &Value<'_, '_>, text: &str) -> Option<Slot> {
        match text {
            "true" => return Some(Slot::Bool(true)),
            "false" => return Some(Slot::Bool(false)),
            _ if is_boolean_word(text) => {
                value.error(format!("{text} is a truth value to some readers of YAML; quote it, or write true or false"));
                return None;
            }
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Some(Slot::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && text.bytes().any(|byte| byte.is_ascii_digit()) => Some(Slot::Float(number)),
            _ => Some(Slot::Text(text.to_owned())),
        }
    }

    /// Returns the type of a reference; none for what is written out.
    pub fn type_of(&self, slot: &Slot) -> Option<&Type> {
        match slot {
            Slot::Param(name) => self.params.get(name).map(|param| &param.kind),
            Slot::Saved(saved) => self.saved.get(saved).and_then(Option::as_ref),
            Slot::Text(_) | Slot::Int(_) | Slot::Float(_) | Slot::Bool(_) | Slot::Target(_) | Slot::Began(_) => None,
        }
    }

    /// Reads a number, or a reference to one.
    pub fn number(&self, value: &Value<'_, '_>) -> Option<Slot> {
        let slot = self.slot(value)?;
        let numeric = match (&slot, self.type_of(&slot)) {
            (_, Some(kind)) => kind.is_numeric(),
            (Slot::Int(_) | Slot::Float(_), None) => true,
            (_, None) => false,
        };
        if !numeric {
            value.error("expected a number, or a reference to one");
            return None;
        }
        Some(slot)
    }

    /// Reads a duration, or a reference to one.
    pub fn duration(&self, value: &Value<'_, '_>) -> Option<Slot> {
        if let Kind::Scalar { .. } = value.node.kind {
            let span = value.span()?;
            return Some(Slot::Text(span.to_string()));
        }
        let slot = self.slot(value)?;
        if !matches!(self.type_of(&slot), Some(Type::Duration { .. })) {
            value.error("expected a duration, or a reference to one");
            return None;
        }
        Some(slot)
    }

    /// Reads a message for people.
    pub fn message(&self, value: &Value<'_, '_>) -> Option<Text> {
        let Kind::Mapping(_) = value.node.kind else { return value.text().map(|text| Text(vec![Piece::Literal(text)])) };
        let mut table = value.table();
        let pieces = table.list("text");
        if !table.has("text") {
            table.error("expected a text, or {text: [pieces]}");
        }
        table.finish();
        let read = |piece: &Value<'_, '_>| match piece.node.kind {
            Kind::Mapping(_) => Some(match self.written(piece)? {
                Written::Param(name) => Piece::Param(name),
                Written::Saved(saved) => Piece::Saved(saved),
                Written::Label(name) => Piece::Label(name),
            }),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => piece.text().map(Piece::Literal),
        };
        Some(Text(pieces.iter().filter_map(read).collect()))
    }

    /// Reads an expression over metrics. It is written out: values enter it as matchers.
    pub fn expression(&self, value: &Value<'_, '_>) -> Option<String> {
        if let Kind::Mapping(_) = value.node.kind {
            value.error("an expression is written out; values enter it as matchers, under match");
            return None;
        }
        let text = value.text()?;
        if let Err(faults) = parse(&text, &Syntax::default()) {
            for fault in faults {
                value.error(format!("could not parse expression: {}", fault.summary(&text)));
            }
            return None;
        }
        Some(text)
    }
}
