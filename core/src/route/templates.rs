//! Templates of notifications: Alertmanager's language, functions and data, with default templates of its names.

mod data;
mod functions;

use std::collections::BTreeMap;

use crate::template::{Options, TemplateError, TemplateSet, Value};
use crate::time::Timestamp;

use super::notification::NotificationData;

pub use data::{alert_list, notification, pairs_map};
pub use functions::NotificationFunctions;

/// The name of a text that is not called by others.
const MAIN: &str = "";

/// The default templates and those of the configuration's files.
#[derive(Clone, Debug)]
pub struct Templates {
    set: TemplateSet,
}

impl Default for Templates {
    fn default() -> Templates {
        Templates::new()
    }
}

impl Templates {
    /// Returns the default templates alone.
    pub fn new() -> Templates {
        let mut templates = Templates { set: TemplateSet::new() };
        for (name, text) in [
            ("default.tmpl", include_str!("templates/default.tmpl")),
            ("own.tmpl", include_str!("templates/own.tmpl")),
            ("email.tmpl", include_str!("templates/email.tmpl")),
        ] {
            templates.add(name, text).expect("our own templates are sound");
        }
        templates
    }

    /// Reads a file of templates; what it defines replaces what was defined before under the same names.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.set.add(name, text, &NotificationFunctions::without_data())
    }

    /// Returns why a text cannot be read as a template.
    pub fn check(&self, text: &str) -> Result<(), TemplateError> {
        self.set.clone().add(MAIN, text, &NotificationFunctions::without_data())
    }

    /// Returns a text with its actions expanded for a notification.
    ///
    /// Errors: faults of the text, and what its functions refuse.
    pub fn render(&self, text: &str, data: &NotificationData, now: Timestamp) -> Result<String, TemplateError> {
        self.render_value(text, &notification(data), BTreeMap::new(), now, false)
    }

    /// Does what `render` does for a page of HTML: values are escaped for the place where they stand.
    pub fn render_html(&self, text: &str, data: &NotificationData, now: Timestamp) -> Result<String, TemplateError> {
        self.render_value(text, &notification(data), BTreeMap::new(), now, true)
    }

    /// Does what `render` and `render_html` do for data of any shape; `route_labels` are texts that `routeLabels` expands.
    pub fn render_value(
        &self,
        text: &str,
        data: &Value,
        route_labels: BTreeMap<String, String>,
        now: Timestamp,
        html: bool,
    ) -> Result<String, TemplateError> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let options = Options { html, ..Options::default() };
        let functions = NotificationFunctions::new(&self.set, data, route_labels, options, now);
        let mut set = self.set.clone();
        set.add(MAIN, text, &functions)?;
        set.execute(MAIN, data, &functions, &options)
    }
}

/// Returns a text with its actions expanded for a notification.
pub fn render(templates: &Templates, text: &str, data: &NotificationData, now: Timestamp) -> Result<String, TemplateError> {
    templates.render(text, data, now)
}

#[cfg(test)]
mod tests;
