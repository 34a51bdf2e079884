//! What kept alerts from receivers when their groups were due.

use std::collections::BTreeMap;

use crate::model::LabelSet;
use crate::plane::{AlertView, Plane};
use crate::time::Timestamp;

/// All of it so far.
#[derive(Default)]
pub(super) struct Holds {
    runs: BTreeMap<Hold, Run>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hold {
    labels: LabelSet,
    receiver: String,
    by: String,
}

/// When it held.
struct Run {
    first: Timestamp,
    last: Timestamp,
    times: usize,
}

impl Holds {
    /// Looks at the groups that are due at an instant, before they are flushed.
    pub fn note(&mut self, plane: &Plane, now: Timestamp) {
        for group in plane.groups(now).into_iter().filter(|group| group.next_flush_at.is_some_and(|at| at <= now)) {
            for view in &group.alerts {
                let by = holders(view, plane, now).join(", ");
                if by.is_empty() {
                    continue;
                }
                let hold = Hold { labels: view.alert.labels.clone(), receiver: group.receiver.clone(), by };
                let run = self.runs.entry(hold).or_insert(Run { first: now, last: now, times: 0 });
                run.last = now;
                run.times += 1;
            }
        }
    }

    /// Returns lines about the alert of some labels, in order of time.
    pub fn lines(&self, labels: &LabelSet, start: Timestamp) -> Vec<String> {
        let mut own: Vec<(&Hold, &Run)> = self.runs.iter().filter(|(hold, _)| hold.labels == *labels).collect();
        own.sort_by_key(|(_, run)| run.first);
        let line = |(hold, run): (&Hold, &Run)| {
            let (first, last) = (run.first - start, run.last - start);
            let when = if run.times == 1 { format!("at {first}") } else { format!("{} times from {first} to {last}", run.times) };
            format!("{} was kept from it {when} by {}", hold.receiver, hold.by)
        };
        own.into_iter().map(line).collect()
    }
}

/// Returns what keeps an alert silent, in words.
fn holders(view: &AlertView, plane: &Plane, now: Timestamp) -> Vec<String> {
    let silences = view.silenced_by.iter().map(|id| format!("the silence {}", silence_name(plane, id)));
    let inhibitors = view.inhibited_by.iter().filter_map(|one| plane.alert(*one, now)).map(|view| view.alert.labels.to_string());
    let intervals = view.muted_by.iter().map(|name| format!("the time interval {name}"));
    silences.chain(inhibitors).chain(intervals).collect()
}

/// Returns what a silence is called by: its comment, or its place in the test.
pub(super) fn silence_name(plane: &Plane, id: &str) -> String {
    let comment = plane.silence(id).map(|silence| silence.comment.as_str()).unwrap_or_default();
    if comment.is_empty() { id.to_owned() } else { comment.to_owned() }
}
