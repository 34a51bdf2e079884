//! Unit tests in promtool's format: series in, the alerts and samples that must come of them, and who must be told, under simulated
//! time.
//!
//! What is evaluated and stepped is what the service runs: `rule::evaluate` and `alert::Instances`; `page` goes on to routing.
//! Source: Prometheus `cmd/promtool/unittest.go`.

mod compare;
pub mod junit;
pub mod page;
mod read;
mod story;
mod world;

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;

use crate::model::{LabelSet, Value};
use crate::problem::Position;
use crate::promql::ast::Expr;
use crate::promql::evaluate::Options;
use crate::promql::parse::Syntax;
use crate::promql::script::Loaded;
use crate::time::{Span, Timestamp};

pub use compare::Difference;
pub use read::read;
pub use story::run;

/// How test files are read and run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Only tests whose name fits one of these are read further and run; empty: all.
    pub only: Vec<Regex>,
    /// The language of rules and of the expressions under test.
    pub syntax: Syntax,
    pub options: Options,
}

impl Settings {
    fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.is_match(name))
    }
}

/// A file of tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// The file as it was named to us.
    pub name: String,
    /// As written, relative to the folder of the file, patterns among them.
    pub rule_files: Vec<String>,
    pub interval: Span,
    /// The configuration that its page tests are about.
    pub config: page::ConfigFiles,
    /// Groups that are evaluated first, in this order.
    pub group_order: Vec<String>,
    /// Numbers that differ in the last bit only are equal.
    pub fuzzy: bool,
    /// Those that are selected.
    pub tests: Vec<Test>,
}

/// Series, and what must come of them.
#[derive(Clone, Debug)]
pub struct Test {
    /// May be empty.
    pub name: String,
    /// Its place among all tests of the file, from 0.
    pub index: usize,
    pub position: Position,
    /// The instant of the first samples and the first evaluation; what tests call `eval_time` counts from here.
    pub start: Timestamp,
    /// Between the values of a series.
    pub interval: Span,
    pub series: Vec<Loaded>,
    pub external_labels: LabelSet,
    pub external_url: String,
    pub alerts: Vec<AlertCheck>,
    pub expressions: Vec<ExpressionCheck>,
    /// What it says of pages.
    pub scene: page::Scene,
}

impl Test {
    /// Returns the name, or what stands for one in a report.
    pub fn title(&self) -> String {
        if self.name.is_empty() { format!("unnamed#{}", self.index) } else { self.name.clone() }
    }
}

/// The alerts of one name that must fire at an instant: these and no others.
#[derive(Clone, Debug)]
pub struct AlertCheck {
    pub position: Position,
    pub at: Span,
    pub name: String,
    /// Shape: labels with `alertname`, and annotations.
    pub alerts: Vec<FiringAlert>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FiringAlert {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// The samples that an expression must answer at an instant: these and no others, in any order.
#[derive(Clone, Debug)]
pub struct ExpressionCheck {
    pub position: Position,
    pub at: Span,
    pub text: String,
    pub expr: Expr,
    pub samples: Vec<(LabelSet, Value)>,
}

/// How one test went.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub title: String,
    pub position: Position,
    /// Alerts and expressions that were checked.
    pub checks: usize,
    pub failures: Vec<Failure>,
}

/// Something that is not as the test says.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where the test file says what is expected.
    pub position: Position,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// Alerts of a name differ at an instant.
    Alert { name: String, at: Span, rules: Vec<String>, differences: Vec<Difference> },
    /// The samples of an expression differ at an instant.
    Expression { text: String, at: Span, differences: Vec<Difference> },
    /// An expression has no value.
    NoValue { text: String, at: Span, reason: String },
    /// A rule cannot be evaluated, or what it brings cannot be kept; the test ends there.
    Rule { name: String, at: Span, rule: String, reason: String },
    /// A sample of the input cannot be kept; the test ends there.
    Input { series: String, at: Span, reason: String },
    /// Routing refuses something of the test; the test ends there.
    Refused { what: String, at: Span, reason: String },
    /// Not what was to be told, or not those who were to be.
    Page(Box<page::PageFailure>),
}

impl fmt::Display for What {
    /// Writes a head line, and below it what differs, indented: `-` is expected, `+` is what there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences = match self {
            What::Alert { name, at, rules, differences } => {
                write!(f, "alert {name} at {at}")?;
                match rules.as_slice() {
                    [] => write!(f, "; no rule makes an alert of this name")?,
                    rules => write!(f, "; made by {}", rules.join(", "))?,
                }
                differences
            }
            What::Expression { text, at, differences } => {
                write!(f, "expression {} at {at}", one_line(text))?;
                differences
            }
            What::NoValue { text, at, reason } => return write!(f, "expression {} at {at}: {reason}", one_line(text)),
            What::Rule { name, at, rule, reason } => return write!(f, "rule {name} at {at}: {reason}; it stands at {rule}"),
            What::Input { series, at, reason } => return write!(f, "series {series} at {at}: {reason}"),
            What::Refused { what, at, reason } => return write!(f, "{what} at {at}: {reason}"),
            What::Page(failure) => return write!(f, "{failure}"),
        };
        for difference in differences {
            write!(f, "{difference}")?;
        }
        Ok(())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
