//! The chain of the audit: each line is known by a hash over itself and the line before it, so that a line that was changed, or taken
//! out of the middle, is seen by everything behind it.

use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// What stands before the first line.
pub const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A line of the audit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: i64,
    pub at: Timestamp,
    pub who: String,
    pub action: String,
    pub subject: String,
    pub outcome: String,
    pub detail: String,
}

/// Returns the hash of a line behind the one of another hash. Shape: 64 hexadecimal digits.
pub fn link(before: &str, line: &Line) -> String {
    let mut hash = Sha256::new();
    let numbers = [line.id.to_string(), line.at.0.to_string()];
    let texts = [&line.who, &line.action, &line.subject, &line.outcome, &line.detail];
    for part in [before].into_iter().chain(numbers.iter().map(String::as_str)).chain(texts.into_iter().map(String::as_str)) {
        // Lengths keep parts apart, so that no two lines have one text.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_so_does_what_stands_before() {
        let text = |text: &str| text.to_owned();
        let line = Line {
            id: 7,
            at: Timestamp(1_000),
            who: text("ann"),
            action: text("run"),
            subject: text("a"),
            outcome: text("done"),
            detail: text(""),
        };
        let hash = link(START, &line);
        let others = [
            Line { id: 8, ..line.clone() },
            Line { at: Timestamp(1_001), ..line.clone() },
            Line { who: text("bob"), ..line.clone() },
            Line { action: text("ru"), subject: text("na"), ..line.clone() },
            Line { outcome: text("refused"), ..line.clone() },
            Line { detail: text(" "), ..line.clone() },
        ];
        assert!(others.iter().all(|other| link(START, other) != hash));
        assert_ne!(link(&hash, &line), hash);
        assert_eq!((hash.len(), link(START, &line)), (64, hash));
    }
}
