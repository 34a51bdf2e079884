//! What all objects have in common, and the two that have little else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::yaml::{Kind, Table, Value};

use super::{DataSource, Labels, Origin, Service};

const NAME_CHARS_MAX: usize = 63;
const DESCRIPTION_CHARS_MAX: usize = 1050;
const PREFIX_CHARS_MAX: usize = 253;

#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    pub name: String,
    /// Empty: none.
    pub display_name: String,
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
    pub at: Origin,
}

impl Metadata {
    /// Returns the name for people.
    pub fn title(&self) -> &str {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }
}

/// An object whose outer parts are read.
pub(super) struct Object<'n, 'p> {
    pub kind: String,
    pub metadata: Metadata,
    pub file: Arc<str>,
    outer: Table<'n, 'p>,
    /// None: there is no `spec`, or it is no mapping.
    pub spec: Option<Table<'n, 'p>>,
    pub description: String,
}

impl<'n, 'p> Object<'n, 'p> {
    pub fn new(value: &Value<'n, 'p>, file: &Arc<str>) -> Object<'n, 'p> {
        let mut outer = value.table();
        outer.know(&["apiVersion"]);
        let kind = outer.text("kind").unwrap_or_default();
        let metadata = match outer.value("metadata") {
            Some(metadata) => read_metadata(&metadata, file),
            None => {
                outer.error("metadata is missing; write metadata: with a name: in it");
                Metadata {
                    name: String::new(),
                    display_name: String::new(),
                    labels: Labels::new(),
                    annotations: BTreeMap::new(),
                    at: Origin::of(value, file),
                }
            }
        };
        let mut spec = outer.table("spec");
        if spec.is_none() {
            outer.error("spec is missing");
        }
        let description = spec.as_mut().map(description).unwrap_or_default();
        Object { kind, metadata, file: file.clone(), outer, spec, description }
    }

    /// Notes an error at a key of the object.
    pub fn error(&mut self, key: &'static str, message: impl Into<String>) {
        match self.outer.value(key) {
            Some(value) => value.error(message),
            None => self.outer.error(message),
        }
    }

    /// Reports keys that nobody asked for.
    pub fn finish(self) -> Metadata {
        if let Some(spec) = self.spec {
            spec.finish();
        }
        self.outer.finish();
        self.metadata
    }
}

fn description(spec: &mut Table<'_, '_>) -> String {
    let Some(value) = spec.value("description") else { return String::new() };
    let text = value.text().unwrap_or_default();
    let chars = text.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        value.error(format!("the description has {chars} characters; at most {DESCRIPTION_CHARS_MAX} are allowed: shorten it"));
    }
    text
}

fn read_metadata(value: &Value<'_, '_>, file: &Arc<str>) -> Metadata {
    let mut table = value.table();
    let name = match table.value("name") {
        Some(name) => {
            let text = name.text().unwrap_or_default();
            check_name(&name, &text);
            text
        }
        None => {
            table.error("name is missing; give the object a name");
            String::new()
        }
    };
    let display_name = table.text("displayName").unwrap_or_default();
    let labels = table.value("labels").map(|labels| read_labels(&labels)).unwrap_or_default();
    let annotations = table.value("annotations").map(|annotations| read_annotations(&annotations)).unwrap_or_default();
    table.finish();
    Metadata { name, display_name, labels, annotations, at: Origin::of(value, file) }
}

/// Notes an error where a name is none of RFC 1123.
pub(super) fn check_name(value: &Value<'_, '_>, name: &str) {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= NAME_CHARS_MAX
        && name.starts_with(outer)
        && name.ends_with(outer)
        && name.chars().all(|c| outer(c) || c == '-');
    if !good {
        value.error(format!(
            "{name:?} is no name; write 1 to {NAME_CHARS_MAX} lower case letters, digits and dashes, no dash at the ends, such as checkout-api"
        ));
    }
}

/// Returns whether a text may be a part of the key of a label or an annotation.
fn is_key(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn read_labels(value: &Value<'_, '_>) -> Labels {
    let mut labels = Labels::new();
    for (key, entry) in value.entries() {
        if !is_key(&key.name) {
            entry.error(format!("{:?} is no key of a label; write letters, digits, dots, dashes and underscores", key.name));
        }
        let values = match entry.node.kind {
            Kind::Sequence(_) => entry.texts(),
            Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_) => entry.text().into_iter().collect(),
        };
        labels.insert(key.name.clone(), values);
    }
    labels
}

fn read_annotations(value: &Value<'_, '_>) -> BTreeMap<String, String> {
    for (key, entry) in value.entries() {
        let (prefix, name) = key.name.split_once('/').map_or((None, key.name.as_str()), |(prefix, name)| (Some(prefix), name));
        let is_domain = |text: &str| text.len() <= PREFIX_CHARS_MAX && text.contains('.') && text.split('.').all(is_key);
        if !is_key(name) || prefix.is_some_and(|prefix| !is_domain(prefix)) {
            entry.error(format!("{:?} is no key of an annotation; write name or domain.example/name", key.name));
        }
    }
    value.text_map()
}

/// Reads a text that must be there.
pub(super) fn required(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let text = table.text(key).filter(|text| !text.is_empty());
    if text.is_none() {
        table.error(format!("{key} is missing"));
    }
    text
}

pub(super) fn service(object: Object<'_, '_>) -> Service {
    let description = object.description.clone();
    Service { metadata: object.finish(), description }
}

pub(super) fn data_source(mut object: Object<'_, '_>) -> Option<DataSource> {
    let description = object.description.clone();
    let source_type = object.spec.as_mut().and_then(|spec| {
        spec.know(&["connectionDetails"]);
        required(spec, "type")
    });
    let metadata = object.finish();
    Some(DataSource { metadata, description, source_type: source_type? })
}
