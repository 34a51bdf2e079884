//! What becomes of what a delivery told that was refused, or whose time was over.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::Fingerprint;
use crate::route::dispatch::group::GroupId;
use crate::time::Timestamp;

/// A delivery that did not arrive. Why it did not stands in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub group: GroupId,
    pub integration: String,
    /// The key of the delivery.
    pub delivery: String,
    /// When it is told again what still stands of it; None: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// Alerts whose end is not told any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub given_up: BTreeSet<Fingerprint>,
}

impl Lost {
    /// Writes what becomes of it, for people who read of an instant.
    pub fn words(&self, beside: Timestamp) -> String {
        let again = match self.again_at {
            Some(at) => format!("told again at the next interval, {}", super::moment(at, beside)),
            None if self.given_up.is_empty() => "nothing of it is left to tell".to_owned(),
            None => "not told again".to_owned(),
        };
        let given_up = match self.given_up.len() {
            0 => String::new(),
            ends => format!("; the end of {ends} alerts was tried for a day and is given up"),
        };
        again + &given_up
    }
}
