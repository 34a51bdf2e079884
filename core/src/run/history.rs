//! What earlier runs of a document have earned it: how far a trigger may go on its own.

use serde::{Deserialize, Serialize};

use super::drill::DrillWord;
use super::experiment::VerdictWord;
use super::plan::Class;
use super::record::{DocKind, RunRow, RunState};
use super::runbook::{Mode, Runbook};
use super::study::{ENVIRONMENT, STAGING};
use super::value::Value;
use crate::time::Timestamp;

/// So many verified runs that people started or approved let a trigger act alone.
pub const VERIFIED_NEEDED: usize = 5;

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub doc_hash: String,
    /// A person started or approved it.
    pub attended: bool,
    pub state: RunState,
}

/// Returns when a run passed in staging, which lets the same version of its document run in production; none: it did not.
pub fn passed_in_staging(run: &RunRow) -> Option<Timestamp> {
    let place = run.params.get(ENVIRONMENT).map(Value::text);
    let passed = match run.kind {
        DocKind::Runbook => run.state == RunState::Succeeded,
        DocKind::Experiment => run.verdict.as_deref() == Some(VerdictWord::Held.word()),
        DocKind::Drill => run.verdict.as_deref() == Some(DrillWord::Met.word()),
    };
    run.ended_at.filter(|_| passed && !run.dry_run && place.as_deref() == Some(STAGING))
}

/// Returns how many runs at the end of a history, refused ones aside, did not succeed.
pub fn failed_in_a_row(history: &[Ended]) -> usize {
    history
        .iter()
        .rev()
        .filter(|ended| ended.state != RunState::Refused)
        .take_while(|ended| ended.state != RunState::Succeeded)
        .count()
}

/// Returns how far a trigger may go now.
///
/// Shape: `auto` stands for a document that verifies, is not destructive, is not stale, and whose present version has ended verified
/// five times under the eyes of people since its last failure. Otherwise it is `approve`; the other modes stay as they are.
pub fn effective_mode(runbook: &Runbook, mode: Mode, history: &[Ended], now: Timestamp) -> Mode {
    if mode != Mode::Auto {
        return mode;
    }
    let hash = runbook.hash();
    let stale = runbook.metadata.review_by.is_some_and(|day| day <= now);
    let verified = history
        .iter()
        .rev()
        .filter(|ended| ended.doc_hash == hash && ended.state != RunState::Refused)
        .take_while(|ended| ended.state == RunState::Succeeded)
        .filter(|ended| ended.attended)
        .count();
    let earned = verified >= VERIFIED_NEEDED && !runbook.plan.verify.is_empty() && runbook.class <= Class::Disruptive && !stale;
    if earned { Mode::Auto } else { Mode::Approve }
}
