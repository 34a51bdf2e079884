//! Test scripts of PromQL: `load`, `clear` and `eval` with what is expected, run against an engine of this room.
//!
//! Source: Prometheus `promql/promqltest`.

use regex::Regex;

use super::ast::Expr;
use super::evaluate::{Cancel, EvalError, Options, instant, range};
use super::notation::Notation;
use super::parse::{Syntax, parse};
use super::value::{Answer, Value};
use crate::time::{Span, Timestamp};

mod compare;
mod fixed;
mod memory;
mod read;
mod starts;

pub use compare::Difference;
pub use memory::{Memory, Refused};
pub use read::ScriptError;

/// One command of a script with its line, counted from 1.
#[derive(Clone, Debug)]
pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to add to what is there.
#[derive(Clone, Debug)]
pub struct Load {
    pub interval: Span,
    pub series: Vec<Loaded>,
    /// Add to classic histograms the native ones that say the same.
    pub with_custom_histograms: bool,
}

/// A series, and how far behind the instant of each sample it starts to count.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub notation: Notation,
    /// Shape: as many as the series has values, or none.
    pub starts: Vec<Option<Span>>,
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Span },
}

/// What a message has to be.
#[derive(Clone, Debug)]
pub enum Wanted {
    Anything,
    Text(String),
    Pattern(Regex),
}

impl Wanted {
    fn shown(&self, what: &str) -> String {
        match self {
            Wanted::Anything => what.to_owned(),
            Wanted::Text(text) => format!("{what}: {text}"),
            Wanted::Pattern(pattern) => format!("{what} that matches {pattern}"),
        }
    }

    fn fits(&self, message: &str) -> bool {
        match self {
            Wanted::Anything => true,
            Wanted::Text(text) => text == message,
            Wanted::Pattern(pattern) => pattern.is_match(message),
        }
    }
}

/// What an evaluation is expected to answer.
#[derive(Clone, Debug)]
pub enum Expected {
    Series(Vec<Notation>),
    /// Samples from a start on at a distance; the answer to an instant query of a range vector.
    RangeVector {
        start: Timestamp,
        step: Span,
        series: Vec<Notation>,
    },
    Scalar(f64),
    Text(String),
}

#[derive(Clone, Debug)]
pub struct Eval {
    pub line: usize,
    pub query: String,
    pub when: When,
    pub expected: Expected,
    pub ordered: bool,
    pub fails: Option<Wanted>,
    pub warnings: Vec<Wanted>,
    pub infos: Vec<Wanted>,
    pub no_warnings: bool,
    pub no_infos: bool,
}

/// How one `eval` went.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub line: usize,
    pub query: String,
    /// The first thing that is not as expected.
    pub result: Result<(), Difference>,
}

/// Runs a script and returns how each `eval` went.
///
/// An instant query is also evaluated as a range query, and at other instants with `@` fixing its selectors.
/// Errors: every command that cannot be read; then nothing is run.
pub fn run(script: &str, options: &Options) -> Result<Vec<Outcome>, Vec<ScriptError>> {
    let mut memory = Memory::default();
    let mut outcomes = Vec::new();
    for command in read::commands(script)? {
        match command {
            Command::Clear => memory = Memory::default(),
            Command::Load(load) => memory.load(&load),
            Command::Eval(eval) => {
                let result = check(&eval, &memory, options);
                outcomes.push(Outcome { line: eval.line, query: eval.query.clone(), result });
            }
        }
    }
    Ok(outcomes)
}

fn evaluate(expr: &Expr, when: When, memory: &Memory, options: &Options) -> Result<Answer, EvalError> {
    let cancel = Cancel::new();
    match when {
        When::Instant(at) => instant(expr, at, memory, options, &cancel),
        When::Range { start, end, step } => range(expr, start, end, step, memory, options, &cancel),
    }
}

fn check(eval: &Eval, memory: &Memory, options: &Options) -> Result<(), Difference> {
    let options = Options { text: Some(eval.query.as_str().into()), ..options.clone() };
    let expr = match parse(&eval.query, &Syntax::everything()) {
        Ok(expr) => expr,
        Err(faults) => {
            let Some(fault) = faults.first() else { return refused(eval, "") };
            // Some of what is refused here as text is refused in evaluation elsewhere, in the same words without a place.
            return refused(eval, &fault.message).or_else(|_| refused(eval, &fault.summary(&eval.query)));
        }
    };
    check_answer(eval, &expr, eval.when, memory, &options)?;
    let When::Instant(at) = eval.when else { return Ok(()) };
    for (expr, at) in fixed::variants(&expr, at) {
        let when = When::Instant(at);
        check_answer(eval, &expr, when, memory, &options)
            .map_err(|fault| fault.asked(&format!("with @, at {}", at.seconds())))?;
    }
    Ok(())
}

/// Judges a failure.
fn refused(eval: &Eval, message: &str) -> Result<(), Difference> {
    let got = format!("a failure: {message}");
    match &eval.fails {
        Some(wanted) if wanted.fits(message) => Ok(()),
        Some(wanted) => Err(Difference::new(wanted.shown("a failure"), got)),
        None => Err(Difference::new("an answer", got)),
    }
}

fn check_answer(eval: &Eval, expr: &Expr, when: When, memory: &Memory, options: &Options) -> Result<(), Difference> {
    let answer = match (evaluate(expr, when, memory, options), &eval.fails) {
        (Err(error), _) => return refused(eval, &error.to_string()),
        (Ok(answer), Some(wanted)) => {
            return Err(Difference::new(wanted.shown("a failure"), compare::show_answer(&answer.value)));
        }
        (Ok(answer), None) => answer,
    };
    check_notes("warning", &answer.warnings, &eval.warnings, eval.no_warnings)?;
    check_notes("info", &answer.infos, &eval.infos, eval.no_infos)?;
    compare::check(eval, when, &answer.value)?;
    match (when, &eval.expected) {
        (When::Instant(at), Expected::Series(_) | Expected::Scalar(_)) if !eval.ordered && !fixed::asks_for_query(expr) => {
            check_as_range(eval, expr, at, memory, options).map_err(|fault| fault.asked("as a range query"))
        }
        _ => Ok(()),
    }
}

/// Evaluates an instant query over three steps and compares the one in the middle.
fn check_as_range(eval: &Eval, expr: &Expr, at: Timestamp, memory: &Memory, options: &Options) -> Result<(), Difference> {
    let minute = Span::from_mins(1);
    let when = When::Range { start: at - minute, end: at + minute, step: minute };
    let failed = |error: EvalError| Difference::new("an answer", format!("a failure: {error}"));
    let answer = evaluate(expr, when, memory, options).map_err(failed)?;
    let Value::Matrix(series) = answer.value else {
        return Err(Difference::new("a range vector", compare::show_answer(&answer.value)));
    };
    compare::check(eval, When::Instant(at), &compare::at_instant(series, at, &eval.expected))
}

fn check_notes(kind: &str, found: &[String], wanted: &[Wanted], none: bool) -> Result<(), Difference> {
    let got = || if found.is_empty() { format!("no {kind}") } else { found.join("; ") };
    if none && !found.is_empty() {
        return Err(Difference::new(format!("no {kind}"), got()));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(wanted) = wanted.iter().find(|wanted| !found.iter().any(|note| wanted.fits(note))) {
        return Err(Difference::new(wanted.shown(kind), got()));
    }
    match found.iter().find(|note| !wanted.iter().any(|wanted| wanted.fits(note))) {
        Some(note) => Err(Difference::new(format!("no further {kind}"), note)),
        None => Ok(()),
    }
}
