//! Import: OpenMetrics with timestamps, read piece by piece, so that a file may be longer than memory.
//!
//! Source: promtool's `tsdb create-blocks-from openmetrics`, which takes the same files.

use crate::model::exposition::{Entry as Line, Format, MetricType, Parser, decode_series};
use crate::model::{LabelSet, Value};

use super::write::Entry;

/// Why a file is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ImportFault {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Reads a file; hand it the pieces in order, each cut behind a line break.
#[derive(Debug, Default)]
pub struct Import {
    /// Lines before the next piece.
    lines: usize,
    /// The line that declared the type in force.
    declared: Vec<u8>,
}

const END: &[u8] = b"# EOF\n";
const DECLARES: &[u8] = b"# TYPE ";

impl Import {
    /// Returns the samples of a piece, in the order of the file; exemplars are passed over. `is_last`: the file ends with it, and so says
    /// it.
    ///
    /// Errors: the first fault, with its place in the file.
    pub fn read(&mut self, piece: &[u8], is_last: bool) -> Result<Vec<Entry>, ImportFault> {
        let mut text = Vec::with_capacity(self.declared.len() + piece.len() + END.len());
        text.extend_from_slice(&self.declared);
        text.extend_from_slice(piece);
        if !is_last {
            text.extend_from_slice(END);
        }
        let before = self.lines as i64 - i64::from(!self.declared.is_empty());
        let place = |line: usize| usize::try_from(before + line as i64).unwrap_or(1);
        let mut parser = Parser::new(&text, Format::OpenMetrics);
        let (mut entries, mut labels) = (Vec::new(), Vec::new());
        while let Some(line) = parser.next() {
            let line =
                line.map_err(|fault| ImportFault { line: place(fault.line), column: fault.column, message: fault.message })?;
            let Line::Sample(line) = line else { continue };
            let fault = |message: &str| {
                let at = line.series.as_ptr() as usize - text.as_ptr() as usize;
                let number = text[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                ImportFault { line: place(number), column: 1, message: message.to_owned() }
            };
            let at = line.at.ok_or_else(|| fault("the sample has no timestamp, which an import needs"))?;
            labels.clear();
            decode_series(line.series, parser.kind(), &mut labels).map_err(|error| fault(&error.to_string()))?;
            let labels = LabelSet::from_pairs(labels.drain(..));
            entries.push(Entry { labels, at, value: Value::Float(line.value), exemplars: Vec::new() });
        }
        if parser.kind() != MetricType::Unknown || !self.declared.is_empty() {
            self.remember(piece);
        }
        self.lines += piece.iter().filter(|byte| **byte == b'\n').count();
        Ok(entries)
    }

    /// Keeps the last line of a piece that declares a type.
    fn remember(&mut self, piece: &[u8]) {
        let last = piece.split_inclusive(|byte| *byte == b'\n').rfind(|line| line.starts_with(DECLARES));
        if let Some(line) = last {
            self.declared = line.to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# HELP lat Latency.\n# TYPE lat histogram\nlat_bucket{le=\"1\"} 2 1.5\nlat_bucket{le=\"+Inf\"} 3 1.5\n\
                        lat_bucket{le=\"1\"} 4 61.5 # {id=\"a\"} 0.5\n# TYPE heat gauge\nheat{room=\"a\"} -0.5 -7\n# EOF\n";

    /// Reads a file that is cut behind each line of `cuts`.
    fn read(text: &str, cuts: &[usize]) -> Result<Vec<String>, ImportFault> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (mut import, mut all, mut from) = (Import::default(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([lines.len()]) {
            let piece = lines[from..cut].concat();
            all.extend(import.read(piece.as_bytes(), cut == lines.len())?);
            from = cut;
        }
        Ok(all.iter().map(|entry| format!("{} {:?} {:?}", entry.labels, entry.at, entry.value)).collect())
    }

    #[test]
    fn a_file_says_the_same_however_it_is_cut() {
        let whole = read(FILE, &[]).unwrap();
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0], "{__name__=\"lat_bucket\", le=\"1.0\"} Timestamp(1500) Float(2.0)");
        assert_eq!(whole[3], "{__name__=\"heat\", room=\"a\"} Timestamp(-7000) Float(-0.5)");
        for one in 1..8 {
            assert_eq!(read(FILE, &[one]).unwrap(), whole, "cut behind line {one}");
            for other in one..8 {
                assert_eq!(read(FILE, &[one, other]).unwrap(), whole, "cut behind lines {one} and {other}");
            }
        }
    }

    #[test]
    fn faults_tell_their_line_however_the_file_is_cut() {
        let broken = |line: &str| FILE.replace("heat{room=\"a\"} -0.5 -7\n", line);
        for (text, line, message) in [
            (broken("heat{room=\"a\"} 3\n"), 7, "no timestamp"),
            (broken("heat{room=\"a\"} x 3\n"), 7, "x"),
            (broken("heat{room=\"a\" 3 3\n"), 7, ""),
            (FILE.replace("# EOF\n", ""), 8, "EOF"),
            (format!("{FILE}more 1 1\n"), 9, "EOF"),
        ] {
            for cuts in [&[][..], &[1], &[3], &[5], &[6], &[2, 4]] {
                let fault = read(&text, cuts).unwrap_err();
                assert!(fault.message.contains(message), "{cuts:?}: {fault}");
                assert!(fault.line == line || message == "EOF", "{cuts:?}: {fault} instead of line {line}");
            }
        }
    }
}
