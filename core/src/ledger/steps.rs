//! What an evaluation made of the alerts of a rule, for the trace.

use std::collections::BTreeMap;

use crate::alert::{InstanceState, State};
use crate::model::LabelSet;
use crate::time::Timestamp;
use crate::trace::{AlertStep, What};

use super::book::Book;
use super::{LedgerChange, Outward, RuleTerms};

/// Returns what became of the alerts of a rule in one evaluation, from their records before it and what it changed of them.
pub(super) fn steps(
    terms: &RuleTerms,
    outward: &Outward,
    before: &BTreeMap<LabelSet, InstanceState>,
    book: &Book,
    changes: &[LedgerChange],
    at: Timestamp,
) -> Vec<AlertStep> {
    let put = changes.iter().filter_map(|change| match change {
        LedgerChange::PutInstance { state, .. } => Some((&state.labels, before.get(&state.labels), Some(state.as_ref()))),
        LedgerChange::DropInstance { .. } | LedgerChange::DropRule(_) | LedgerChange::Happened { .. } => None,
    });
    let gone = before.iter().filter(|(labels, _)| book.instances.get(labels).is_none());
    let gone = gone.map(|(labels, record)| (labels, Some(record), None));
    let mut steps = Vec::new();
    for (labels, was, is) in put.chain(gone) {
        steps.extend(between(was, is, terms).into_iter().map(|what| step(labels, terms.source(), what, outward, at)));
    }
    steps
}

/// Returns a step of an alert of ours, under the labels that routing sees.
pub(super) fn step(own: &LabelSet, source: String, mut what: What, outward: &Outward, at: Timestamp) -> AlertStep {
    let routed = outward.labels(own);
    if let What::Fired { routed: is_routed, .. } = &mut what {
        *is_routed = routed.is_some();
    }
    let labels = routed.unwrap_or_else(|| own.clone());
    AlertStep { at, own: (labels != *own).then(|| own.clone()), labels, source, what }
}

/// Returns the steps from one record of an alert to the next. None: there was, or is, no record.
fn between(was: Option<&InstanceState>, is: Option<&InstanceState>, terms: &RuleTerms) -> Vec<What> {
    let was = was.filter(|was| was.state != State::Resolved);
    let Some(is) = is else {
        let pending = was.filter(|was| was.state == State::Pending);
        return pending.map(|was| What::Cleared { since: was.active_at }).into_iter().collect();
    };
    let mut steps = Vec::new();
    match (was.and_then(|was| was.unseen), is.unseen) {
        (None, Some(blind)) => steps.push(What::Held { why: blind.why.word().to_owned() }),
        (Some(_), None) => steps.push(What::Seen),
        (None, None) | (Some(_), Some(_)) => {}
    }
    let value = || is.value.clone();
    match (was.map(|was| was.state), is.state) {
        (None, State::Pending) => steps.push(What::Pending { value: value(), hold: terms.hold }),
        (None | Some(State::Pending), State::Firing) => {
            steps.push(What::Fired { value: value(), since: is.active_at, hold: terms.hold, routed: true });
        }
        (Some(State::Firing), State::Firing) => {
            let was_kept = was.is_some_and(|was| was.keep_firing_since.is_some());
            if is.keep_firing_since.is_some() && !was_kept {
                steps.push(What::Kept { keep_firing: terms.keep_firing });
            }
        }
        (_, State::Resolved) => steps.push(What::Resolved { fired_at: is.fired_at.unwrap_or(is.active_at) }),
        (Some(State::Pending | State::Firing | State::Resolved), State::Pending) | (Some(State::Resolved), State::Firing) => {}
    }
    steps
}
