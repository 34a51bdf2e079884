//! An alert as it is written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::LabelSet;
use crate::time::Timestamp;

use super::{Blind, Instance, State};

/// Everything of an alert that must survive a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceState {
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub state: State,
    /// Text, because JSON has no infinities.
    pub value: String,
    pub active_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    pub keep_firing_since: Option<Timestamp>,
    pub last_sent_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Blind>,
}

impl From<&Instance> for InstanceState {
    fn from(instance: &Instance) -> InstanceState {
        InstanceState {
            labels: instance.labels.clone(),
            annotations: instance.annotations.clone(),
            state: instance.state,
            value: instance.value.to_string(),
            active_at: instance.active_at,
            fired_at: instance.fired_at,
            resolved_at: instance.resolved_at,
            keep_firing_since: instance.keep_firing_since,
            last_sent_at: instance.last_sent_at,
            unseen: instance.unseen,
        }
    }
}

impl From<InstanceState> for Instance {
    fn from(state: InstanceState) -> Instance {
        Instance {
            labels: state.labels,
            annotations: state.annotations,
            state: state.state,
            // A value is for people to read; one that cannot be read costs no alert.
            value: state.value.parse().unwrap_or(f64::NAN),
            active_at: state.active_at,
            fired_at: state.fired_at,
            resolved_at: state.resolved_at,
            keep_firing_since: state.keep_firing_since,
            last_sent_at: state.last_sent_at,
            unseen: state.unseen,
        }
    }
}
