//! Matchers: what a selector, a route or a silence asks of one label.

use std::fmt;
use std::sync::Arc;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::labels::{LabelSet, METRIC_NAME, is_classic_label_name, quote};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MatchOp {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Regex,
    #[serde(rename = "!~")]
    NotRegex,
}

impl MatchOp {
    pub fn symbol(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label. A missing label has the empty value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    #[serde(skip)]
    pattern: Option<Pattern>,
}

/// A matcher as it is written down.
#[derive(Deserialize)]
struct Written {
    name: String,
    op: MatchOp,
    value: String,
}

impl TryFrom<Written> for Matcher {
    type Error = BadRegex;

    fn try_from(written: Written) -> Result<Matcher, BadRegex> {
        Matcher::new(written.name, written.op, written.value)
    }
}

/// A regular expression that is anchored at both ends, with the common shapes taken out.
#[derive(Clone, Debug)]
enum Pattern {
    /// `a|b|c` of plain words, or one plain word.
    Words(Arc<[String]>),
    /// `.*`
    Anything,
    /// `.+`
    Something,
    Regex(Regex),
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read the regular expression {pattern:?}: {reason}")]
pub struct BadRegex {
    pub pattern: String,
    pub reason: String,
}

/// Regular expressions larger than this when compiled are refused, so that no rule can exhaust memory.
const REGEX_BYTES_MAX: usize = 10 << 20;

/// Compiles a regular expression anchored at both ends, where `.` matches line ends too.
///
/// Source: Prometheus' `FastRegexMatcher`, which compiles `^(?s:…)$`.
pub fn anchored(pattern: &str) -> Result<Regex, BadRegex> {
    let bad = |error: regex::Error| {
        let reason = match error {
            regex::Error::Syntax(text) => text.lines().last().unwrap_or("syntax error").trim_start_matches("error: ").to_owned(),
            other => other.to_string(),
        };
        BadRegex { pattern: pattern.to_owned(), reason }
    };
    // Compiled alone first: `a)(b` must not become valid through the group around it.
    regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build().map_err(bad)?;
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$")).size_limit(REGEX_BYTES_MAX).build().map_err(bad)
}

fn plain_words(pattern: &str) -> Option<Arc<[String]>> {
    let special = |c: char| matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$');
    (!pattern.contains(special)).then(|| pattern.split('|').map(str::to_owned).collect())
}

impl Pattern {
    fn new(pattern: &str) -> Result<Pattern, BadRegex> {
        Ok(match pattern {
            ".*" => Pattern::Anything,
            ".+" => Pattern::Something,
            _ => match plain_words(pattern) {
                Some(words) => Pattern::Words(words),
                None => Pattern::Regex(anchored(pattern)?),
            },
        })
    }

    fn is_match(&self, text: &str) -> bool {
        match self {
            Pattern::Words(words) => words.iter().any(|word| word == text),
            Pattern::Anything => true,
            Pattern::Something => !text.is_empty(),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

impl Matcher {
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Matcher, BadRegex> {
        let value = value.into();
        let pattern = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(&value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { name: name.into(), op, value, pattern })
    }

    /// Returns the matcher `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Returns whether a label's value satisfies the condition.
    pub fn is_match(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(pattern)) => pattern.is_match(value),
            (MatchOp::NotRegex, Some(pattern)) => !pattern.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("a regex matcher is built with its pattern"),
        }
    }

    pub fn matches(&self, labels: &LabelSet) -> bool {
        self.is_match(labels.get(&self.name))
    }

    /// Returns whether series that lack the label satisfy the condition.
    pub fn matches_empty(&self) -> bool {
        self.is_match("")
    }

    /// Returns the only values that can match, where the expression is a list of words; for index look-ups.
    pub fn words(&self) -> Option<&[String]> {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => Some(std::slice::from_ref(&self.value)),
            (MatchOp::Regex, Some(Pattern::Words(words))) => Some(words),
            _ => None,
        }
    }
}

/// Returns the metrics that matchers name: no series of another metric satisfies all of them. None when they name none.
pub fn named_metrics(matchers: &[Matcher]) -> Option<&[String]> {
    matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).find_map(Matcher::words)
}

/// Returns whether a label set satisfies every matcher.
pub fn all_match(matchers: &[Matcher], labels: &LabelSet) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    /// Writes `name="value"`; names that are not classic are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_classic_label_name(&self.name) {
            f.write_str(&self.name)?
        } else {
            f.write_str(&quote(&self.name))?
        }
        write!(f, "{}{}", self.op.symbol(), quote(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_anchored_and_cross_lines() {
        let matcher = |op, value: &str| Matcher::new("a", op, value).unwrap();
        assert!(matcher(MatchOp::Regex, "b.*d").is_match("b\nd"));
        assert!(!matcher(MatchOp::Regex, "b|c").is_match("bc"));
        assert!(matcher(MatchOp::Regex, "b|c|").is_match(""));
        assert!(!matcher(MatchOp::Regex, "(b|c)x").is_match("b"));
        assert!(matcher(MatchOp::NotRegex, ".+").is_match(""));
        assert!(Matcher::new("a", MatchOp::Regex, "a)(b").is_err());
        assert!(Matcher::new("a", MatchOp::Regex, "*").is_err());
    }
}
