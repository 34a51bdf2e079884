//! What kept alerts from receivers when their groups were due.

use std::collections::BTreeMap;

use crate::model::LabelSet;
use crate::plane::Plane;
use crate::time::Timestamp;
use crate::trace::{Entry, Flush, Holder, TraceChange};

/// All of it so far.
#[derive(Default)]
pub(super) struct Holds {
    flushes: BTreeMap<i64, Decided>,
}

struct Decided {
    flush: Flush,
    first: Timestamp,
    last: Timestamp,
    times: u32,
}

impl Holds {
    pub fn note(&mut self, change: TraceChange) {
        match change {
            TraceChange::Add { number, at, entry: Entry::Flush(flush) }
                if !flush.held.is_empty() || !flush.intervals.is_empty() =>
            {
                self.flushes.insert(number, Decided { flush: *flush, first: at, last: at, times: 1 });
            }
            TraceChange::Add { .. } => {}
            TraceChange::Lasted { number, until, times } => self.lasted(number, until, times),
        }
    }

    fn lasted(&mut self, number: i64, until: Timestamp, times: u32) {
        if let Some(decided) = self.flushes.get_mut(&number) {
            (decided.last, decided.times) = (until, times);
        }
    }

    /// Returns lines about the alert of some labels, in order of time.
    pub fn lines(&self, labels: &LabelSet, plane: &Plane, start: Timestamp) -> Vec<String> {
        let alert = labels.fingerprint();
        let running: BTreeMap<i64, (Timestamp, u32)> =
            plane.stretches().map(|stretch| (stretch.record, (stretch.until, stretch.times))).collect();
        // One line for all decisions that kept it from a receiver for the same reasons.
        let mut runs: BTreeMap<(String, String), (Timestamp, Timestamp, u32)> = BTreeMap::new();
        for (number, decided) in self.flushes.iter().filter(|(_, decided)| decided.flush.has_firing(alert)) {
            let (last, times) = running.get(number).copied().unwrap_or((decided.last, decided.times));
            let by = holders(&decided.flush, labels, plane).join(", ");
            if !by.is_empty() {
                let run = runs.entry((decided.flush.group.receiver.clone(), by)).or_insert((decided.first, last, 0));
                (run.1, run.2) = (last, run.2 + times);
            }
        }
        let mut runs: Vec<_> = runs.into_iter().collect();
        runs.sort_by_key(|(_, (first, ..))| *first);
        let line = |((receiver, by), (first, last, times)): ((String, String), (Timestamp, Timestamp, u32))| {
            let (first, last) = (first - start, last - start);
            let when = if times == 1 { format!("at {first}") } else { format!("{times} times from {first} to {last}") };
            format!("{receiver} was kept from it {when} by {by}")
        };
        runs.into_iter().map(line).collect()
    }
}

/// Returns what kept an alert silent, in words.
fn holders(flush: &Flush, labels: &LabelSet, plane: &Plane) -> Vec<String> {
    let holder = |holder: &Holder| match holder {
        Holder::Silence { id, .. } => format!("the silence {}", silence_name(plane, id)),
        Holder::Inhibitor { labels } => labels.to_string(),
    };
    let intervals = flush.intervals.iter().map(|name| format!("the time interval {name}"));
    flush.holders(labels.fingerprint()).map(holder).chain(intervals).collect()
}

/// Returns what a silence is called by: its comment, or its place in the test.
pub(super) fn silence_name(plane: &Plane, id: &str) -> String {
    let comment = plane.silence(id).map(|silence| silence.comment.as_str()).unwrap_or_default();
    if comment.is_empty() { id.to_owned() } else { comment.to_owned() }
}
