//! The description of the API in OpenAPI, as far as it is needed to hold answers against it.

use serde_json::Value;
use tocsin_core::yaml::{self, Node};

use super::asked::Ask;
use crate::harness::corpora;

pub struct Shapes {
    root: Node,
}

impl Shapes {
    /// Reads the description; None without the corpora.
    pub fn load() -> Option<Shapes> {
        let file = corpora("prometheus/openapi/openapi_3.1_golden.yaml")?;
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (root, problems) = yaml::parse(&file.display().to_string(), &text);
        assert_eq!(problems, []);
        Some(Shapes { root: root.expect("a tree") })
    }

    fn at<'a>(&'a self, path: &[&str]) -> Option<&'a Node> {
        path.iter().try_fold(&self.root, |node, key| node.get(key))
    }

    /// Returns what is wrong with an answer.
    pub fn faults(&self, ask: &Ask, status: u16, body: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let path = match ask.path.strip_prefix("label/") {
            Some(_) => "/label/{name}/values".to_owned(),
            None => format!("/{}", ask.path),
        };
        let code = if status == 200 { "200" } else { "default" };
        let method = ask.method.to_lowercase();
        let content = self.at(&["paths", &path, &method, "responses", code, "content"]);
        match content.and_then(|content| content.get("application/json")).and_then(|content| content.get("schema")) {
            Some(schema) => self.check(schema, body, "", &mut faults),
            None => faults.push(format!("{path} has no schema for {method} and {code}")),
        }
        faults
    }

    fn check(&self, schema: &Node, value: &Value, path: &str, faults: &mut Vec<String>) {
        if let Some(name) = schema.get("$ref").and_then(Node::text).and_then(|text| text.rsplit('/').next()) {
            return match self.at(&["components", "schemas", name]) {
                Some(schema) => self.check(schema, value, path, faults),
                None => faults.push(format!("there is no schema {name}")),
            };
        }
        for key in ["anyOf", "oneOf"] {
            let Some(list) = schema.get(key) else { continue };
            let mut least: Option<Vec<String>> = None;
            for schema in list.items() {
                let mut own = Vec::new();
                self.check(schema, value, path, &mut own);
                if least.as_ref().is_none_or(|least| own.len() < least.len()) {
                    least = Some(own);
                }
            }
            faults.extend(least.unwrap_or_default());
        }
        let fits = match schema.get("type").and_then(Node::text) {
            // Go writes a map that it does not have as null, and so do we.
            Some("object") => value.is_object() || value.is_null(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !fits {
            return faults.push(format!("{path}: {value} is no {}", schema.get("type").and_then(Node::text).unwrap_or_default()));
        }
        let words: Vec<&str> = schema.get("enum").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
        if let Some(text) = value.as_str()
            && !words.is_empty()
            && !words.contains(&text)
        {
            faults.push(format!("{path}: {text:?} is none of {words:?}"));
        }
        if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
            items.iter().enumerate().for_each(|(index, item)| self.check(schema, item, &format!("{path}[{index}]"), faults));
        }
        let Some(fields) = value.as_object() else { return };
        for name in schema.get("required").map(Node::items).unwrap_or_default().iter().filter_map(Node::text) {
            if !fields.contains_key(name) {
                faults.push(format!("{path}: {name} is missing"));
            }
        }
        let closed = schema.get("additionalProperties").and_then(Node::text) == Some("false");
        for (name, value) in fields {
            match schema.get("properties").and_then(|properties| properties.get(name)) {
                Some(schema) => self.check(schema, value, &format!("{path}.{name}"), faults),
                None if closed => faults.push(format!("{path}: {name} is not in the description")),
                None => {}
            }
        }
    }
}
