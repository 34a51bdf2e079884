//! Reading a tree into typed values. A fault is noted with its place, and reading goes on, so that one run shows all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Position, Problem, Severity};
use crate::time::Span;

use super::{Key, Kind, Node, Style};

/// More problems than this tell a person nothing.
const PROBLEMS_MAX: usize = 1000;

/// The faults found so far in one file.
pub struct Problems {
    file: Arc<str>,
    list: RefCell<Vec<Problem>>,
    left_out: Cell<usize>,
}

impl Problems {
    pub fn new(file: &str) -> Problems {
        Problems { file: file.into(), list: RefCell::new(Vec::new()), left_out: Cell::new(0) }
    }

    pub fn error(&self, position: Position, key: &str, message: impl Into<String>) {
        self.push(Severity::Error, position, key, message.into());
    }

    pub fn warning(&self, position: Position, key: &str, message: impl Into<String>) {
        self.push(Severity::Warning, position, key, message.into());
    }

    fn push(&self, severity: Severity, position: Position, key: &str, message: String) {
        let mut list = self.list.borrow_mut();
        if list.len() < PROBLEMS_MAX {
            list.push(Problem { severity, file: self.file.clone(), position, key: key.to_owned(), message });
        } else if severity == Severity::Error {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    /// Returns how many errors were found so far.
    pub fn error_count(&self) -> usize {
        self.list.borrow().iter().filter(|problem| problem.severity == Severity::Error).count() + self.left_out.get()
    }

    /// Returns an empty list for the same file.
    pub fn beside(&self) -> Problems {
        Problems { file: self.file.clone(), list: RefCell::new(Vec::new()), left_out: Cell::new(0) }
    }

    /// Takes over the errors of another list, and leaves its warnings behind.
    pub fn take_errors(&self, other: Problems) {
        self.left_out.set(self.left_out.get() + other.left_out.get());
        for problem in other.list.into_inner() {
            if problem.severity == Severity::Error {
                self.push(Severity::Error, problem.position, &problem.key, problem.message);
            }
        }
    }

    /// Returns all problems in the order of the text.
    pub fn into_vec(self) -> Vec<Problem> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|problem| problem.position);
        if self.left_out.get() > 0 {
            let position = list.last().map(|problem| problem.position).unwrap_or_default();
            let message = format!("{} more errors are left out; mend these first", self.left_out.get());
            list.push(Problem { severity: Severity::Error, file: self.file.clone(), position, key: String::new(), message });
        }
        list
    }
}

/// A node together with the path of keys that leads to it.
#[derive(Clone)]
pub struct Value<'n, 'p> {
    pub node: &'n Node,
    pub path: String,
    pub problems: &'p Problems,
}

impl<'n, 'p> Value<'n, 'p> {
    pub fn new(node: &'n Node, path: impl Into<String>, problems: &'p Problems) -> Self {
        Value { node, path: path.into(), problems }
    }

    pub fn error(&self, message: impl Into<String>) {
        self.problems.error(self.node.position, &self.path, message);
    }

    pub fn warning(&self, message: impl Into<String>) {
        self.problems.warning(self.node.position, &self.path, message);
    }

    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// Names what stands here, for messages; texts are not repeated, since they may be secrets.
    fn found(&self) -> &'static str {
        match self.node.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a text",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    fn plain(&self) -> Option<&'n str> {
        match &self.node.kind {
            Kind::Scalar { text, style: Style::Plain } => Some(text),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// Returns the text of a scalar as it was written, numbers too; nothing is the empty text.
    pub fn text(&self) -> Option<String> {
        self.text_ref().map(str::to_owned)
    }

    pub fn text_ref(&self) -> Option<&'n str> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null => Some(""),
            Kind::Sequence(_) | Kind::Mapping(_) => {
                self.error(format!("expected a text, found {}", self.found()));
                None
            }
        }
    }

    /// Reads a truth value as YAML 1.1 writes it: true, false, yes, no, on, off, y, n; without quotes.
    pub fn boolean(&self) -> Option<bool> {
        let truth = match self.plain().unwrap_or_default() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
            _ => None,
        };
        if truth.is_none() {
            self.error("expected true or false, without quotes");
        }
        truth
    }

    /// Reads a duration such as `1h30m`.
    pub fn span(&self) -> Option<Span> {
        let text = self.text_ref()?;
        Span::parse(text).map_err(|bad| self.error(bad.to_string())).ok()
    }

    pub fn integer(&self) -> Option<i64> {
        let number = self.plain().and_then(whole_number);
        if number.is_none() {
            self.error("expected a whole number, without quotes");
        }
        number
    }

    pub fn unsigned(&self) -> Option<u64> {
        let number = self.plain().and_then(whole_number).and_then(|number| u64::try_from(number).ok());
        if number.is_none() {
            self.error("expected a whole number, zero or greater, without quotes");
        }
        number
    }

    pub fn float(&self) -> Option<f64> {
        let text = self.plain().unwrap_or_default();
        let number = match text {
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            _ if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
                text.parse().ok().or_else(|| whole_number(text).map(|number| number as f64))
            }
            _ => None,
        };
        if number.is_none() {
            self.error("expected a number, without quotes");
        }
        number
    }

    /// Reads a size such as `10MB`; every unit is a power of 1024, as in Prometheus.
    ///
    /// Unit: bytes.
    pub fn bytes(&self) -> Option<u64> {
        let text = self.text_ref()?;
        let size = size(text);
        if size.is_none() {
            self.error(format!(
                "units: cannot read the size {text:?}; write a number and a unit (B, KB, MB, GB, TB, PB, EB), such as 10MB"
            ));
        }
        size
    }

    /// Returns the items of a list; nothing is an empty list.
    pub fn list(&self) -> Vec<Value<'n, 'p>> {
        match &self.node.kind {
            Kind::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| Value { node, path: format!("{}[{index}]", self.path), problems: self.problems })
                .collect(),
            Kind::Null => Vec::new(),
            Kind::Scalar { .. } | Kind::Mapping(_) => {
                self.error(format!("expected a list, found {}; begin each item with \"- \"", self.found()));
                Vec::new()
            }
        }
    }

    /// Returns the items of the list under a key of this mapping; none where it is anything else.
    pub fn children(&self, key: &str) -> Vec<Value<'n, 'p>> {
        let Some(node) = self.node.get(key).filter(|node| matches!(node.kind, Kind::Sequence(_))) else { return Vec::new() };
        Value { node, path: join(&self.path, key), problems: self.problems }.list()
    }

    /// Returns a list of texts; a text alone is an error.
    pub fn texts(&self) -> Vec<String> {
        self.list().iter().filter_map(Value::text).collect()
    }

    /// Returns the entries of a mapping whose keys are free; nothing is an empty mapping.
    pub fn entries(&self) -> Vec<(&'n Key, Value<'n, 'p>)> {
        match &self.node.kind {
            Kind::Mapping(entries) => entries
                .iter()
                .map(|(key, node)| (key, Value { node, path: join(&self.path, &key.name), problems: self.problems }))
                .collect(),
            Kind::Null => Vec::new(),
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                self.error(format!("expected a mapping, found {}; write \"key: value\" lines", self.found()));
                Vec::new()
            }
        }
    }

    /// Returns a mapping from texts to texts.
    pub fn text_map(&self) -> BTreeMap<String, String> {
        self.entries().into_iter().filter_map(|(key, value)| Some((key.name.clone(), value.text()?))).collect()
    }

    /// Returns the mapping here, to be read key by key; anything else but nothing is noted as an error and reads as empty.
    pub fn table(&self) -> Table<'n, 'p> {
        let entries = match &self.node.kind {
            Kind::Mapping(entries) => entries.as_slice(),
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                self.error(format!("expected a mapping, found {}; write \"key: value\" lines", self.found()));
                &[]
            }
        };
        Table { entries, value: self.clone(), known: Vec::new() }
    }
}

/// A mapping with a fixed set of keys. Every key that is asked for becomes known; `finish` reports the others.
pub struct Table<'n, 'p> {
    entries: &'n [(Key, Node)],
    value: Value<'n, 'p>,
    known: Vec<&'static str>,
}

impl<'n, 'p> Table<'n, 'p> {
    pub fn new(node: &'n Node, path: impl Into<String>, problems: &'p Problems) -> Self {
        Value::new(node, path, problems).table()
    }

    /// Returns the mapping itself.
    pub fn value_here(&self) -> &Value<'n, 'p> {
        &self.value
    }

    pub fn path(&self) -> &str {
        &self.value.path
    }

    pub fn problems(&self) -> &'p Problems {
        self.value.problems
    }

    /// Notes an error of the mapping as a whole.
    pub fn error(&self, message: impl Into<String>) {
        self.value.error(message);
    }

    /// Returns the value of a key, even when it is null.
    pub fn entry(&mut self, key: &'static str) -> Option<Value<'n, 'p>> {
        self.known.push(key);
        self.entries.iter().find(|(entry, _)| entry.name == key).map(|(_, node)| Value {
            node,
            path: join(&self.value.path, key),
            problems: self.value.problems,
        })
    }

    /// Returns the value of a key that says something: null is as if the key were absent.
    pub fn value(&mut self, key: &'static str) -> Option<Value<'n, 'p>> {
        self.entry(key).filter(|value| !value.is_null())
    }

    pub fn has(&mut self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.value(key)?.text()
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.value(key)?.boolean()
    }

    pub fn span(&mut self, key: &'static str) -> Option<Span> {
        self.value(key)?.span()
    }

    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.value(key)?.integer()
    }

    pub fn unsigned(&mut self, key: &'static str) -> Option<u64> {
        self.value(key)?.unsigned()
    }

    pub fn float(&mut self, key: &'static str) -> Option<f64> {
        self.value(key)?.float()
    }

    pub fn bytes(&mut self, key: &'static str) -> Option<u64> {
        self.value(key)?.bytes()
    }

    pub fn list(&mut self, key: &'static str) -> Vec<Value<'n, 'p>> {
        self.value(key).map(|value| value.list()).unwrap_or_default()
    }

    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.value(key).map(|value| value.texts()).unwrap_or_default()
    }

    pub fn text_map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        self.value(key).map(|value| value.text_map()).unwrap_or_default()
    }

    pub fn table(&mut self, key: &'static str) -> Option<Table<'n, 'p>> {
        self.value(key).map(|value| value.table())
    }

    /// Makes keys known without reading them.
    pub fn know(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Notes a warning at every one of these keys that is present, and makes them known.
    pub fn ignored(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(value) = self.entry(key) {
                self.problems().warning(value.node.position, &value.path, format!("{key} is {why}; it is ignored"));
            }
        }
    }

    /// Reports every key that nobody asked for, with the nearest key that is known.
    pub fn finish(self) {
        self.report_unknown(Severity::Error);
    }

    /// Warns of every key that nobody asked for: for formats whose own tools pass over such keys.
    pub fn finish_leniently(self) {
        self.report_unknown(Severity::Warning);
    }

    fn report_unknown(self, severity: Severity) {
        for (key, _) in self.entries {
            if self.known.contains(&key.name.as_str()) {
                continue;
            }
            let remedy = match nearest(&key.name, &self.known) {
                Some(known) => format!("; did you mean {known}?"),
                None => "; remove it or check its indentation".to_owned(),
            };
            let path = join(&self.value.path, &key.name);
            self.value.problems.push(severity, key.position, &path, format!("unknown key {}{remedy}", key.name));
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reads a whole number as YAML 1.1 writes it: decimal, `0x`, `0o`, `0b`, underscores between digits.
fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let number = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        i64::from_str_radix(octal, 8)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2)
    } else {
        digits.parse()
    };
    number.ok().map(|number| if negative { -number } else { number })
}

fn size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0.0f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let number: f64 = rest[..digits].parse().ok()?;
        let power = match &rest[digits..digits + letters] {
            "B" => 0,
            "KB" | "KiB" => 1,
            "MB" | "MiB" => 2,
            "GB" | "GiB" => 3,
            "TB" | "TiB" => 4,
            "PB" | "PiB" => 5,
            "EB" | "EiB" => 6,
            _ => return None,
        };
        total += number * 1024f64.powi(power);
        rest = &rest[digits + letters..];
    }
    (total < i64::MAX as f64).then_some(total as u64)
}

/// Returns the known word that a misspelt one most likely stands for.
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let allowed = (word.chars().count() / 4).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(steps, _)| *steps <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns how many insertions, deletions, replacements and swaps of neighbours lead from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    const WORD_MAX: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(WORD_MAX).collect(), b.chars().take(WORD_MAX).collect());
    // The first row and column count insertions alone; the rest is overwritten.
    let mut rows: Vec<Vec<usize>> = (0..=a.len()).map(|i| (0..=b.len()).map(|j| i + j).collect()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn all_faults_of_a_mapping_come_at_once() {
        let text =
            "scrape_intervall: 5s\nscrape_timeout: soon\nhonor_labels: \"true\"\nlimit: -1\nbody: 100\nnames: x\nport: 09\n";
        let node = parse("f.yml", text).0.unwrap();
        let problems = Problems::new("f.yml");
        let mut table = Table::new(&node, "", &problems);
        assert_eq!(table.span("scrape_interval"), None);
        assert_eq!(table.span("scrape_timeout"), None);
        assert_eq!(table.boolean("honor_labels"), None);
        assert_eq!(table.unsigned("limit"), None);
        assert_eq!(table.bytes("body"), None);
        assert_eq!(table.texts("names"), [""; 0]);
        assert_eq!(table.text("port").as_deref(), Some("09"));
        table.finish();
        let printed: Vec<String> = problems.into_vec().iter().map(|problem| problem.to_string()).collect();
        assert_eq!(
            printed,
            [
                "f.yml:1:1: error: scrape_intervall: unknown key scrape_intervall; did you mean scrape_interval?",
                "f.yml:2:17: error: scrape_timeout: not a valid duration string: \"soon\"; write a number and a unit \
                 (ms, s, m, h, d, w, y), largest unit first, such as 1h30m",
                "f.yml:3:15: error: honor_labels: expected true or false, without quotes",
                "f.yml:4:8: error: limit: expected a whole number, zero or greater, without quotes",
                "f.yml:5:7: error: body: units: cannot read the size \"100\"; write a number and a unit \
                 (B, KB, MB, GB, TB, PB, EB), such as 10MB",
                "f.yml:6:8: error: names: expected a list, found a text; begin each item with \"- \"",
            ]
        );
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("0", Some(0)), ("10B", Some(10)), ("15MB", Some(15 << 20)), ("1.5KiB", Some(1536)), ("1GB512MB", Some(3 << 29))]
        {
            assert_eq!(size(text), bytes, "{text}");
        }
        for bad in ["", "10", "MB", "10 MB", "-1B", "99999EB", "1..0B"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        let known = ["scrape_interval", "scrape_timeout", "job_name"];
        assert_eq!(nearest("scrape_intreval", &known), Some("scrape_interval"));
        assert_eq!(nearest("jobname", &known), Some("job_name"));
        assert_eq!(nearest("relabel", &known), None);
    }
}
