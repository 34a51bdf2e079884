//! Relabelling: rules that rewrite, keep or drop label sets.

mod expand;

use std::sync::LazyLock;

use md5::{Digest, Md5};
use regex::Regex;

use super::labels::LabelBuilder;
use super::matcher::{BadRegex, anchored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// One entry of `relabel_configs`.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    pub source_labels: Vec<String>,
    pub separator: String,
    /// Anchored at both ends; its source text stands in `pattern`.
    pub regex: Regex,
    pub pattern: String,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: Action,
}

/// The expression of a rule that names none.
pub const DEFAULT_PATTERN: &str = "(.*)";
/// The replacement of a rule that names none.
pub const DEFAULT_REPLACEMENT: &str = "$1";
pub const DEFAULT_SEPARATOR: &str = ";";

static DEFAULT_REGEX: LazyLock<Regex> =
    LazyLock::new(|| anchored(DEFAULT_PATTERN).expect("the default expression is well formed"));

impl RelabelRule {
    /// Returns a rule with an action and Prometheus' defaults for all else.
    pub fn new(action: Action) -> RelabelRule {
        RelabelRule {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: DEFAULT_REGEX.clone(),
            pattern: DEFAULT_PATTERN.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action,
        }
    }

    /// Returns the rule with another expression, which is anchored here.
    pub fn with_pattern(mut self, pattern: &str) -> Result<RelabelRule, BadRegex> {
        self.regex = anchored(pattern)?;
        self.pattern = pattern.to_owned();
        Ok(self)
    }

    /// Applies the rule; returns whether the label set is kept.
    fn apply(&self, labels: &mut LabelBuilder) -> bool {
        match self.action {
            Action::Keep => return self.regex.is_match(&self.source(labels)),
            Action::Drop => return !self.regex.is_match(&self.source(labels)),
            Action::KeepEqual => return labels.get(&self.target_label) == self.source(labels),
            Action::DropEqual => return labels.get(&self.target_label) != self.source(labels),
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                // A modulus of zero is refused with the configuration; here it must not divide.
                if let Some(rest) = hash(&self.source(labels)).checked_rem(self.modulus) {
                    labels.set(&self.target_label, &rest.to_string());
                }
            }
            Action::Lowercase => {
                let value = map_letters(&self.source(labels), lower);
                labels.set(&self.target_label, &value);
            }
            Action::Uppercase => {
                let value = map_letters(&self.source(labels), upper);
                labels.set(&self.target_label, &value);
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| {
                        let captures = self.regex.captures(name)?;
                        Some((expand::expand(&self.replacement, &self.regex, &captures), value.to_owned()))
                    })
                    .collect();
                for (name, value) in mapped.iter().filter(|(name, _)| !name.is_empty()) {
                    labels.set(name, value);
                }
            }
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    /// Returns the values of the source labels with the separator between them.
    fn source(&self, labels: &LabelBuilder) -> String {
        let mut joined = String::new();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name));
        }
        joined
    }

    fn replace(&self, labels: &mut LabelBuilder) {
        let source = self.source(labels);
        let Some(captures) = self.regex.captures(&source) else { return };
        let target = expand::expand(&self.target_label, &self.regex, &captures);
        if target.is_empty() {
            return;
        }
        let value = expand::expand(&self.replacement, &self.regex, &captures);
        labels.set(&target, &value);
    }
}

/// Applies rules in order; returns whether the label set is kept. A set that is dropped is left half-way.
///
/// Source: Prometheus `relabel.ProcessBuilder`.
pub fn apply(rules: &[RelabelRule], labels: &mut LabelBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// Returns the last eight bytes of the MD5 sum, as a number.
fn hash(text: &str) -> u64 {
    let sum = Md5::digest(text.as_bytes());
    sum[8..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn map_letters(text: &str, map: impl Fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

/// Go maps each letter to one letter, so a letter whose other case is longer stays, or loses its mark.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn upper(c: char) -> char {
    let mut letters = c.to_uppercase();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => letter,
        _ => c,
    }
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &RelabelRule) -> bool {
        (&self.source_labels, &self.separator, &self.pattern, self.modulus, &self.target_label, &self.replacement, self.action)
            == (
                &other.source_labels,
                &other.separator,
                &other.pattern,
                other.modulus,
                &other.target_label,
                &other.replacement,
                other.action,
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LabelSet;

    fn rule(action: Action, source: &[&str], pattern: &str, target: &str, replacement: &str) -> RelabelRule {
        RelabelRule {
            source_labels: source.iter().map(|name| (*name).to_owned()).collect(),
            target_label: target.to_owned(),
            replacement: replacement.to_owned(),
            ..RelabelRule::new(action).with_pattern(pattern).unwrap()
        }
    }

    #[track_caller]
    fn check(rule: RelabelRule, expected: &str) {
        let mut labels = LabelSet::from_pairs([("a", "one"), ("b", "Two"), ("c_x", "3")]).builder();
        let kept = apply(&[rule], &mut labels);
        assert_eq!(if kept { labels.build().to_string() } else { "dropped".to_owned() }, expected);
    }

    #[test]
    fn every_action_does_its_work() {
        use Action::*;
        check(rule(Replace, &["a", "b"], "(o.*);(T.*)", "d", "$2-${1}x"), r#"{a="one", b="Two", c_x="3", d="Two-onex"}"#);
        check(rule(Replace, &["a"], "x(.*)", "d", "$1"), r#"{a="one", b="Two", c_x="3"}"#);
        check(rule(Replace, &["a"], "on(e)", "b", "$2"), r#"{a="one", c_x="3"}"#);
        check(rule(Replace, &["a"], "(.*)", "${1}_more", "x"), r#"{a="one", b="Two", c_x="3", one_more="x"}"#);
        check(rule(Replace, &["none"], "(.*)", "d", "fixed"), r#"{a="one", b="Two", c_x="3", d="fixed"}"#);
        check(rule(Keep, &["a"], "one|two", "", ""), r#"{a="one", b="Two", c_x="3"}"#);
        check(rule(Keep, &["a"], "on", "", ""), "dropped");
        check(rule(Drop, &["a"], "o.*", "", ""), "dropped");
        check(rule(KeepEqual, &["a"], "(.*)", "b", "$1"), "dropped");
        check(rule(DropEqual, &["a"], "(.*)", "b", "$1"), r#"{a="one", b="Two", c_x="3"}"#);
        check(rule(LabelMap, &[], "c_(.*)", "", "meta_$1"), r#"{a="one", b="Two", c_x="3", meta_x="3"}"#);
        check(rule(LabelDrop, &[], "a|b", "", ""), r#"{c_x="3"}"#);
        check(rule(LabelKeep, &[], "a|b", "", ""), r#"{a="one", b="Two"}"#);
        check(rule(Lowercase, &["b"], "(.*)", "b", "$1"), r#"{a="one", b="two", c_x="3"}"#);
        check(rule(Uppercase, &["b"], "(.*)", "b", "$1"), r#"{a="one", b="TWO", c_x="3"}"#);
        check(RelabelRule { modulus: 0, ..rule(HashMod, &["a"], "(.*)", "d", "$1") }, r#"{a="one", b="Two", c_x="3"}"#);
    }

    #[test]
    fn hashes_are_the_tail_of_md5() {
        // The sum of the empty text is d41d8cd98f00b204 e9800998ecf8427e.
        assert_eq!(hash(""), 0xe980_0998_ecf8_427e);
    }
}
