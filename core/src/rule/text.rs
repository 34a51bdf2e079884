//! A label or an annotation of an alerting rule: text with actions in it.

use crate::template::{Options, TemplateError, TemplateSet, Value};

use super::functions::RuleFunctions;

/// What Prometheus writes in front of each text, so that people can say `$labels` and `$value`.
///
/// It shifts the columns of messages, on purpose as Prometheus does.
const VARIABLES: &str =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// A text that is expanded for each alert.
#[derive(Clone, Debug)]
pub struct RuleText {
    /// As it was typed.
    pub text: String,
    /// None: there is nothing to expand.
    parsed: Option<Parsed>,
}

#[derive(Clone, Debug)]
struct Parsed {
    name: String,
    set: TemplateSet,
}

impl PartialEq for RuleText {
    fn eq(&self, other: &RuleText) -> bool {
        self.text == other.text
    }
}

impl RuleText {
    /// Reads a text of the alert `alert`.
    pub fn parse(alert: &str, text: &str) -> Result<RuleText, TemplateError> {
        if !text.contains("{{") {
            return Ok(RuleText { text: text.to_owned(), parsed: None });
        }
        let name = format!("__alert_{alert}");
        let mut set = TemplateSet::new();
        set.add(&name, &format!("{VARIABLES}{text}"), &RuleFunctions::without_data())?;
        Ok(RuleText { text: text.to_owned(), parsed: Some(Parsed { name, set }) })
    }

    /// Returns whether the text of an alert holds the value of the expression.
    pub fn shows_value(&self) -> bool {
        let Some(Parsed { name, set }) = &self.parsed else { return false };
        let shown = set.shown(name);
        ["$value", ".Value", "$.Value"].iter().any(|value| shown.contains(*value))
    }

    /// Returns the text for one alert; a fault stands in it as `<error expanding template: …>`, since a page with a fault in its
    /// words is better than no page.
    pub fn expand(&self, data: &Value, functions: &RuleFunctions<'_>) -> String {
        let Some(Parsed { name, set }) = &self.parsed else { return self.text.clone() };
        set.execute(name, data, functions, &Options::default())
            .unwrap_or_else(|error| format!("<error expanding template: error executing template {name}: {error}>"))
    }
}
