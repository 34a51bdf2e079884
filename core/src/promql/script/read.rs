//! Text → commands.

use std::iter::Peekable;

use regex::Regex;

use super::starts::{Starts, starts};
use super::{Command, Eval, Expected, Load, Loaded, Wanted, When};
use crate::model::LabelSet;
use crate::promql::ast::ExprKind;
use crate::promql::notation::{self, Notation, notation};
use crate::promql::parse::{ParseError, Syntax, parse};
use crate::time::{Span, Timestamp};

/// A line that is no command of the language; line and column are counted from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

type Lines<'a> = Peekable<std::vec::IntoIter<(usize, &'a str)>>;

fn fault(line: usize, message: impl Into<String>) -> ScriptError {
    fault_at(line, 1, message)
}

/// Returns a fault at a column of a line without its indentation.
fn fault_at(line: usize, column: usize, message: impl Into<String>) -> ScriptError {
    ScriptError { line, column, message: message.into() }
}

/// Returns the commands of a script.
///
/// Errors: each command that cannot be read, with its first fault.
pub(super) fn commands(text: &str) -> Result<Vec<Command>, Vec<ScriptError>> {
    let trimmed = text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line });
    let mut lines: Lines<'_> =
        trimmed.enumerate().map(|(index, line)| (index + 1, line)).collect::<Vec<_>>().into_iter().peekable();
    let (mut commands, mut faults) = (Vec::new(), Vec::new());
    while let Some((number, line)) = lines.next() {
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let read = match word.as_str() {
            "" => continue,
            "clear" => Ok(Command::Clear),
            "load" | "load_with_nhcb" => load(line, number, &mut lines).map(Command::Load),
            _ if word.starts_with("eval") => eval(line, number, &mut lines).map(|eval| Command::Eval(Box::new(eval))),
            _ => Err(fault(number, format!("invalid command {line:?}; expected load, clear or eval"))),
        };
        match read {
            Ok(command) => commands.push(command),
            Err(mut fault) => {
                let indent =
                    text.lines().nth(fault.line - 1).map_or(0, |raw| raw.chars().take_while(|c| c.is_whitespace()).count());
                fault.column += indent;
                faults.push(fault);
                // What belongs to a command without meaning has none either.
                while next_line(&mut lines).is_some() {}
            }
        }
    }
    if faults.is_empty() { Ok(commands) } else { Err(faults) }
}

/// Returns the next line of the current command; an empty line ends it.
fn next_line<'a>(lines: &mut Lines<'a>) -> Option<(usize, &'a str)> {
    lines.next_if(|(_, line)| !line.is_empty())
}

fn span(text: &str, line: usize) -> Result<Span, ScriptError> {
    Span::parse(text).map_err(|error| fault(line, error.to_string()))
}

fn series(text: &str, line: usize) -> Result<Notation, ScriptError> {
    notation(text).map_err(|faults| of_notation(text, line, &faults))
}

fn of_notation(text: &str, line: usize, faults: &[ParseError]) -> ScriptError {
    let Some(first) = faults.first() else { return fault(line, "cannot read the series") };
    let before = text.get(..first.place.start as usize).unwrap_or(text);
    fault_at(line, before.chars().count() + 1, first.message.clone())
}

/// Reads a line `name@st` of start timestamps; `None` when it is none.
fn start_line(text: &str, line: usize) -> Result<Option<(LabelSet, Starts)>, ScriptError> {
    let (labels, end) = notation::metric(text).map_err(|faults| of_notation(text, line, &faults))?;
    let Some(distances) = text[end..].strip_prefix("@st") else { return Ok(None) };
    if !distances.is_empty() && !distances.starts_with(char::is_whitespace) {
        return Err(fault_at(line, text[..end].chars().count() + 4, "expected a blank behind @st"));
    }
    let begin = text.len() - distances.len();
    let read = starts(distances);
    read.map(|starts| Some((labels, starts)))
        .map_err(|(at, message)| fault_at(line, text[..begin + at].chars().count() + 1, message))
}

fn load(line: &str, number: usize, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (word, interval) = line.split_once(char::is_whitespace).ok_or_else(|| fault(number, "load lacks its interval"))?;
    let interval = span(interval.trim(), number)?;
    let mut load = Load { interval, series: Vec::new(), with_custom_histograms: word.ends_with("_with_nhcb") };
    while let Some((number, line)) = next_line(lines) {
        let Some((labels, starts)) = start_line(line, number)? else {
            load.series.push(Loaded { notation: series(line, number)?, starts: Vec::new() });
            continue;
        };
        let Some((number, line)) = next_line(lines) else {
            return Err(fault(number, "start timestamps without samples; the line behind them has to be that of their series"));
        };
        let notation = series(line, number)?;
        if notation.labels != labels {
            return Err(fault(number, format!("expected the samples of {labels}, to which the start timestamps above belong")));
        }
        if notation.values.len() != starts.len() {
            let (values, starts) = (notation.values.len(), starts.len());
            return Err(fault(
                number,
                format!("{values} samples, but {starts} start timestamps above; say _ where there is none"),
            ));
        }
        load.series.push(Loaded { notation, starts });
    }
    Ok(load)
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is fixed")
}

fn eval(line: &str, number: usize, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let instant = pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$");
    let range = pattern(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$");
    let (modifier, when, query) = if let Some(parts) = instant.captures(line) {
        let at = parts.get(2).map_or(Ok(Span::ZERO), |at| span(at.as_str(), number))?;
        (parts.get(1).map_or("", |part| part.as_str()).to_owned(), When::Instant(Timestamp(at.0)), parts[3].to_owned())
    } else if let Some(parts) = range.captures(line) {
        let [start, end, step] = [2, 3, 4].map(|part| span(&parts[part], number));
        let when = When::Range { start: Timestamp(start?.0), end: Timestamp(end?.0), step: step? };
        (parts.get(1).map_or("", |part| part.as_str()).to_owned(), when, parts[5].to_owned())
    } else {
        return Err(fault(
            number,
            "expected `eval instant at <time> <query>` or `eval range from <start> to <end> step <step> <query>`",
        ));
    };
    let mut eval = Eval {
        line: number,
        query,
        when,
        expected: Expected::Series(Vec::new()),
        ordered: modifier == "ordered",
        fails: (modifier == "fail").then_some(Wanted::Anything),
        warnings: if modifier == "warn" { vec![Wanted::Anything] } else { Vec::new() },
        infos: if modifier == "info" { vec![Wanted::Anything] } else { Vec::new() },
        no_warnings: false,
        no_infos: false,
    };
    let mut found = Vec::new();
    let mut range_vector = None;
    while let Some((number, line)) = next_line(lines) {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            eval.fails = Some(Wanted::Text(text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            eval.fails = Some(Wanted::Pattern(regex(text, number)?));
        } else if let Some(rest) = line.strip_prefix("expect range vector") {
            range_vector = Some(range_of(rest, number)?);
        } else if let Some(text) = line.strip_prefix("expect string") {
            match parse(text, &Syntax::default()).map(|expr| expr.kind) {
                Ok(ExprKind::Text(text)) => eval.expected = Expected::Text(text),
                _ => return Err(fault(number, "expected a quoted string")),
            }
        } else if line.split(' ').next() == Some("expect") {
            expect(&mut eval, line, number)?;
        } else if let Some(value) = scalar(line) {
            eval.expected = Expected::Scalar(value);
        } else {
            found.push(series(line, number)?);
        }
    }
    match (range_vector, &eval.expected) {
        (Some((start, step)), _) => eval.expected = Expected::RangeVector { start, step, series: found },
        (None, Expected::Series(_)) => eval.expected = Expected::Series(found),
        (None, _) => {}
    }
    Ok(eval)
}

fn scalar(line: &str) -> Option<f64> {
    match line.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "inf" => Some(if line.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => Some(f64::NAN),
        _ => fast_float2::parse(line.trim_start_matches('+')).ok(),
    }
}

fn regex(text: &str, line: usize) -> Result<Regex, ScriptError> {
    Regex::new(text.trim()).map_err(|error| fault(line, error.to_string()))
}

fn range_of(text: &str, line: usize) -> Result<(Timestamp, Span), ScriptError> {
    let parts = pattern(r"^\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$").captures(text);
    let parts = parts.ok_or_else(|| fault(line, "expected `expect range vector from <start> to <end> step <step>`"))?;
    Ok((Timestamp(span(&parts[1], line)?.0), span(&parts[3], line)?))
}

fn expect(eval: &mut Eval, line: &str, number: usize) -> Result<(), ScriptError> {
    let parts = pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$").captures(line);
    let parts = parts.ok_or_else(|| fault(number, "expected `expect <type> <match_type>: <string>`"))?;
    let text = parts.get(3).map_or("", |text| text.as_str());
    let wanted = match parts.get(2).map(|kind| kind.as_str()) {
        None => Wanted::Anything,
        Some("msg") => Wanted::Text(text.trim().to_owned()),
        Some(_) => Wanted::Pattern(regex(text, number)?),
    };
    match &parts[1] {
        "ordered" => eval.ordered = true,
        "fail" => eval.fails = Some(wanted),
        "warn" => eval.warnings.push(wanted),
        "info" => eval.infos.push(wanted),
        "no_warn" => eval.no_warnings = true,
        _ => eval.no_infos = true,
    }
    Ok(())
}
