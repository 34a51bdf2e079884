//! The ledger of our own alerts on its way to and from the database; what it decides stands in core.

use tocsin_core::alert::{InstanceState, Transition};
use tocsin_core::ledger::{Ledger, LedgerChange};
use tocsin_core::rule::RuleId;
use tocsin_core::time::Span;

use crate::db::Write;
use crate::db::state::{add_alert_event, put_instance, remove_instance, remove_rule};

/// Returns the ledger that goes on from what was stored, how it differs from that, and how many records cannot be used; see
/// `Ledger::restore`.
pub fn restore(records: Vec<(String, InstanceState)>, unseen: Span) -> (Ledger, Vec<Write>, usize) {
    let count = records.len();
    let known: Vec<_> = records
        .into_iter()
        .filter_map(|(key, record)| Some((serde_json::from_str::<RuleId>(&key).ok()?.into(), record)))
        .collect();
    let unknown = count - known.len();
    let (ledger, changes, refused) = Ledger::restore(known, unseen);
    (ledger, changes.iter().map(write).collect(), unknown + refused)
}

/// Returns the statement that stores a change.
pub fn write(change: &LedgerChange) -> Write {
    match change {
        LedgerChange::PutInstance { rule, state } => {
            let body = serde_json::to_string(state).expect("a record is made of plain fields");
            put_instance(&stored_key(rule), &state.labels.fingerprint().to_string(), body)
        }
        LedgerChange::DropInstance { rule, fingerprint } => remove_instance(&stored_key(rule), &fingerprint.to_string()),
        LedgerChange::DropRule(rule) => remove_rule(&stored_key(rule)),
        LedgerChange::Happened { labels, at, what } => {
            add_alert_event(&labels.fingerprint().to_string(), *at, word(what), labels.get("alertname"))
        }
    }
}

/// Returns the text under which a rule's alerts are stored.
fn stored_key(rule: &RuleId) -> String {
    serde_json::to_string(rule).expect("a rule's identity is made of plain fields")
}

fn word(transition: &Transition) -> &'static str {
    match transition {
        Transition::Pending(_) => "pending",
        Transition::Fired(_) => "firing",
        Transition::Resolved(_) => "resolved",
        Transition::Cleared(_) => "cleared",
        Transition::Forgotten(_) => "forgotten",
    }
}
