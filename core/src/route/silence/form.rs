//! Silences in records, and in the words of Alertmanager's API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::matcher::BadRegex;
use crate::model::{MatchOp, Matcher};
use crate::route::time_interval::{IntervalForm, TimeInterval};

use super::Terms;

/// The annotations by which clients of Alertmanager see and set what its silences do not have.
const UNTIL: &str = "tocsin_until";
const TIMES: &str = "tocsin_times";
const RESOLVED: &str = "resolved";

impl Terms {
    /// Takes the terms out of annotations; None: they do not speak of any.
    ///
    /// Errors: every fault, for people.
    pub fn from_annotations(annotations: &mut BTreeMap<String, String>) -> Result<Option<Terms>, Vec<String>> {
        let (until, times) = (annotations.remove(UNTIL), annotations.remove(TIMES));
        if until.is_none() && times.is_none() {
            return Ok(None);
        }
        let mut faults = Vec::new();
        if let Some(other) = until.as_deref().filter(|text| !text.is_empty() && *text != RESOLVED) {
            faults.push(format!("annotation {UNTIL}: {other:?} is nothing to wait for; write {RESOLVED}"));
        }
        let forms = match times.as_deref().filter(|text| !text.is_empty()) {
            None => Vec::new(),
            Some(text) => serde_json::from_str::<Vec<IntervalForm>>(text).unwrap_or_else(|error| {
                faults.push(format!("annotation {TIMES}: {error}; write a JSON list of time intervals"));
                Vec::new()
            }),
        };
        match Terms::read(until.as_deref() == Some(RESOLVED), &forms) {
            Ok(terms) if faults.is_empty() => Ok(Some(terms)),
            Ok(_) => Err(faults),
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| format!("annotation {TIMES}: {fault}")));
                Err(faults)
            }
        }
    }

    /// Reads the terms. Errors: every fault, for people.
    pub fn read(until_resolved: bool, times: &[IntervalForm]) -> Result<Terms, Vec<String>> {
        let mut faults = Vec::new();
        let mut intervals: Vec<TimeInterval> = Vec::new();
        for form in times {
            match form.read() {
                Ok(interval) => intervals.push(interval),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(Terms { until_resolved, times: intervals }) } else { Err(faults) }
    }

    /// Writes the terms as annotations.
    pub fn annotate(&self, annotations: &mut BTreeMap<String, String>) {
        if self.until_resolved {
            annotations.insert(UNTIL.to_owned(), RESOLVED.to_owned());
        }
        if !self.times.is_empty() {
            let forms: Vec<IntervalForm> = self.times.iter().map(IntervalForm::from).collect();
            let text = serde_json::to_string(&forms).expect("forms are made of plain fields with text keys");
            annotations.insert(TIMES.to_owned(), text);
        }
    }
}

/// Matchers in records: the form of Alertmanager's API, `{name, value, isRegex, isEqual}`.
pub(super) mod matcher_form {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{SerializeSeq, Serializer};

    use super::{Matcher, MatcherForm};

    pub fn serialize<S: Serializer>(matchers: &[Matcher], serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(matchers.len()))?;
        for matcher in matchers {
            list.serialize_element(&MatcherForm::from(matcher))?;
        }
        list.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Matcher>, D::Error> {
        let forms = Vec::<MatcherForm>::deserialize(deserializer)?;
        forms.into_iter().map(|form| form.into_matcher().map_err(D::Error::custom)).collect()
    }
}

/// A matcher as Alertmanager's API writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatcherForm {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    #[serde(default = "is_equal_unless_told")]
    pub is_equal: bool,
}

fn is_equal_unless_told() -> bool {
    true
}

impl From<&Matcher> for MatcherForm {
    fn from(matcher: &Matcher) -> MatcherForm {
        let (is_regex, is_equal) = match matcher.op {
            MatchOp::Equal => (false, true),
            MatchOp::NotEqual => (false, false),
            MatchOp::Regex => (true, true),
            MatchOp::NotRegex => (true, false),
        };
        MatcherForm { name: matcher.name.clone(), value: matcher.value.clone(), is_regex, is_equal }
    }
}

impl MatcherForm {
    /// Returns the matcher, with its expression compiled.
    pub fn into_matcher(self) -> Result<Matcher, BadRegex> {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        Matcher::new(self.name, op, self.value)
    }
}
