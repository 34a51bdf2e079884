//! Lints: what is sound to a parser and yet hardly what its author means.
//!
//! The first of them, `duplicate-rules`, is promtool's; the others go beyond it.

mod expression;
mod facts;
mod labels;
mod place;
mod silence;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::problem::{Position, Problem, Severity};
use crate::promql::ast::Place;
use crate::time::Span;
use crate::yaml::{self, Node};

use super::{Kind, Rule, RuleGroup};
use place::Located;

pub use facts::{Facts, Question, questions};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The rule cannot do what it says.
    Error,
    /// The rule hardly does what is meant.
    Warning,
    /// The reader should know.
    Info,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        }
    }
}

macro_rules! lints {
    ($($lint:ident $name:literal $level:ident $meaning:literal;)*) => {
        /// The name of a lint never changes: it stands in people's files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lint { $($lint,)* }

        impl Lint {
            pub const ALL: &[Lint] = &[$(Lint::$lint,)*];

            pub fn name(self) -> &'static str {
                match self { $(Lint::$lint => $name,)* }
            }

            pub fn level(self) -> Level {
                match self { $(Lint::$lint => Level::$level,)* }
            }

            /// Returns what it finds, in half a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Lint::$lint => $meaning,)* }
            }
        }
    };
}

lints! {
    DuplicateRules "duplicate-rules" Warning "two rules of a file write the same series, or are the same alert";
    MissingLe "missing-le" Error "histogram_quantile over classic buckets without their label le, which is never a number";
    RateOfGauge "rate-of-gauge" Warning "rate, increase or irate of a gauge";
    RateOfAggregate "rate-of-aggregate" Warning "a rate of a sum, which loses the resets of counters";
    CounterName "counter-name" Info "a rate of a metric whose name is not that of a counter";
    DeltaOfCounter "delta-of-counter" Warning "delta, deriv or predict_linear of a counter";
    RawCounter "raw-counter" Warning "an alert on the height of a counter, which only a restart ends";
    ShortRange "short-range" Warning "a range too short to hold two samples";
    IrateInAlert "irate-in-alert" Info "an alert on irate, which sees two samples only";
    NoComparison "no-comparison" Warning "an alert that fires whatever the value is";
    AbsentRegex "absent-regex" Warning "absent with a regular expression, which one match of many silences";
    RegexNotNeeded "regex-not-needed" Info "a regular expression that is a plain text";
    RegexMatchesAll "regex-matches-all" Info "a condition that every series meets";
    ManyToMany "many-to-many" Info "an operator that may find several series where it needs one";
    UnknownLabel "unknown-label" Warning "a label in a text that no alert of the rule has";
    ValueInLabel "value-in-label" Warning "a value inside a label, which makes a new alert of every value";
    MissingFor "missing-for" Info "an alert without for";
    ShortFor "short-for" Warning "a for that is shorter than the evaluation interval";
    MissingSummary "missing-summary" Info "an alert without the annotation summary";
    MatchesNothing "matches-nothing" Warning "a selector that finds nothing in the store (with --url)";
    UnknownLint "unknown-lint" Warning "a comment that silences no lint there is";
}

impl Lint {
    /// Returns the lint of a name.
    pub fn find(name: &str) -> Option<Lint> {
        Lint::ALL.iter().copied().find(|lint| lint.name() == name)
    }
}

/// A line of a file with a part of it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub line: String,
    /// Characters before the mark, and under it.
    pub start: usize,
    pub marked: usize,
}

/// One thing that a lint found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub lint: Lint,
    pub file: Arc<str>,
    pub position: Position,
    /// The alert or the metric of the rule.
    pub rule: String,
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    pub excerpt: Option<Excerpt>,
}

impl fmt::Display for Finding {
    /// Writes `file:line:column: severity: lint: rule: message; remedy`, then the line and a mark under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        let (level, name) = (self.lint.level().word(), self.lint.name());
        write!(f, "{}:{line}:{column}: {level}: {name}: {}: {}; {}", self.file, self.rule, self.message, self.remedy)?;
        if let Some(excerpt) = &self.excerpt {
            let indent: String = excerpt.line.chars().take(excerpt.start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {}\n  {indent}{}", excerpt.line, "^".repeat(excerpt.marked.max(1)))?;
        }
        Ok(())
    }
}

impl Finding {
    /// Returns the finding as a problem of a file.
    pub fn problem(&self) -> Problem {
        Problem {
            severity: Severity::Warning,
            file: self.file.clone(),
            position: self.position,
            key: String::new(),
            message: format!("{}: {}: {}; {}", self.lint.name(), self.rule, self.message, self.remedy),
        }
    }
}

/// Lints whose findings are told also when a configuration is loaded.
const AT_LOAD: [Lint; 2] = [Lint::DuplicateRules, Lint::ValueInLabel];

/// Returns what whoever loads a file should know of its rules.
pub fn at_load(file: &str, text: &str, groups: &[RuleGroup]) -> Vec<Problem> {
    let found = lint(file, text, groups, &Facts::default());
    found.iter().filter(|finding| AT_LOAD.contains(&finding.lint)).map(Finding::problem).collect()
}

/// Returns what the lints find in the groups of a file, in the order of its text.
///
/// Shape: `groups` are those that `read` made of `text`, without an error.
pub fn lint(file: &str, text: &str, groups: &[RuleGroup], facts: &Facts) -> Vec<Finding> {
    let (Some(root), _) = yaml::parse(file, text) else { return Vec::new() };
    let nodes = root.get("groups").or_else(|| root.get("spec").and_then(|spec| spec.get("groups")));
    let mut sheet = Sheet { file: file.into(), text, lines: text.lines().collect(), found: Vec::new() };
    let mut rules = Vec::new();
    for (group, node) in groups.iter().zip(nodes.map(Node::items).unwrap_or_default()) {
        let own = node.get("rules").map(Node::items).unwrap_or_default();
        rules.extend(group.rules.iter().zip(own).map(|(rule, own)| RuleAt { group, rule, node: own, group_node: node }));
    }
    duplicates(&mut sheet, &rules);
    for place in &rules {
        let expr = Located::of(text, place.node.get("expr"));
        expression::lint(&mut sheet, place, &expr, facts);
        alert(&mut sheet, place, &expr);
        template::lint(&mut sheet, place);
    }
    let mut found = silence::silenced(&mut sheet, &rules);
    found.sort_by_key(|finding| (finding.position, finding.lint));
    found
}

/// A rule with its nodes in the file.
struct RuleAt<'a> {
    group: &'a RuleGroup,
    rule: &'a Rule,
    node: &'a Node,
    group_node: &'a Node,
}

/// A file that is being looked at, and what was found in it.
struct Sheet<'a> {
    file: Arc<str>,
    text: &'a str,
    lines: Vec<&'a str>,
    found: Vec<Finding>,
}

impl Sheet<'_> {
    /// Notes a finding at a position, with so many characters marked.
    fn note(&mut self, lint: Lint, rule: &Rule, position: Position, marked: usize, said: (String, &str)) {
        let line = usize::try_from(position.line).ok().and_then(|line| self.lines.get(line.checked_sub(1)?));
        let start = position.column.saturating_sub(1) as usize;
        let excerpt = line.map(|line| {
            // The part before the mark keeps its place, also when the file is deeply indented.
            let indent = line.chars().take_while(|c| *c == ' ').count().min(start);
            let rest: String = line.chars().skip(indent).collect();
            let marked = marked.min(rest.chars().count().saturating_sub(start - indent));
            Excerpt { line: rest, start: start - indent, marked }
        });
        self.found.push(Finding {
            lint,
            file: self.file.clone(),
            position,
            rule: rule.name().to_owned(),
            message: said.0,
            remedy: said.1.to_owned(),
            excerpt: excerpt.filter(|_| marked > 0),
        });
    }

    /// Notes a finding at a part of an expression.
    fn note_in(&mut self, lint: Lint, rule: &Rule, expr: &Located, place: Place, said: (String, &str)) {
        let (position, marked) = expr.range(place);
        self.note(lint, rule, position, marked, said);
    }

    /// Notes a finding at the value of a key of the rule, or at the rule where it has none.
    fn note_at(&mut self, lint: Lint, place: &RuleAt<'_>, key: &str, said: (String, &str)) {
        let node = place.node.get(key).unwrap_or(place.node);
        let marked = node.text().map_or(0, |text| text.lines().next().unwrap_or("").chars().count());
        self.note(lint, place.rule, node.position, marked, said);
    }
}

/// Finds rules of one file that have name and labels in common.
///
/// Source: promtool's `checkDuplicates`.
fn duplicates(sheet: &mut Sheet<'_>, rules: &[RuleAt<'_>]) {
    let mut seen: BTreeMap<(bool, String, BTreeMap<String, String>), Position> = BTreeMap::new();
    for place in rules {
        let rule = place.rule;
        let key = (rule.is_alert(), rule.name().to_owned(), rule.label_texts());
        let Some(first) = seen.get(&key) else {
            seen.insert(key, rule.position);
            continue;
        };
        let what = if rule.is_alert() { "alert" } else { "recorded metric" };
        let message = format!("the same {what} with the same labels stands in line {} already", first.line);
        let key = if rule.is_alert() { "alert" } else { "record" };
        sheet.note_at(Lint::DuplicateRules, place, key, (message, "tell them apart by a label, or join them with or"));
    }
}

/// Lints of an alert as a whole.
fn alert(sheet: &mut Sheet<'_>, place: &RuleAt<'_>, expr: &Located) {
    let Kind::Alert(alerting) = &place.rule.kind else { return };
    let constant = expression::is_constant(&place.rule.expr);
    if alerting.hold == Span::ZERO && !constant {
        let message = "one bad evaluation is enough to fire".to_owned();
        sheet.note_at(Lint::MissingFor, place, "alert", (message, "add for: with the time that it has to last"));
    }
    // Where the group does not say its interval, the configuration does, which is not known here.
    let told = place.group_node.get("interval").is_some();
    if told && alerting.hold > Span::ZERO && alerting.hold < place.group.interval {
        let message = format!("for: {} is shorter than the evaluation interval of {}", alerting.hold, place.group.interval);
        sheet.note_at(Lint::ShortFor, place, "for", (message, "make it at least one interval, or leave it out"));
    }
    if !constant && let Some(always) = expression::unconditional(&place.rule.expr) {
        let (position, marked) = expr.range(always);
        let message = "nothing here compares the value, so the alert fires whatever it is".to_owned();
        sheet.note(Lint::NoComparison, place.rule, position, marked, (message, "compare it, such as with > 0"));
    }
    let has = |name: &str| alerting.annotations.iter().any(|(own, _)| own == name);
    if !has("summary") && !has("message") && !has("title") {
        let message = "there is no annotation that says in a line what is wrong".to_owned();
        sheet.note_at(Lint::MissingSummary, place, "alert", (message, "add annotations: {summary: …}"));
    }
}
