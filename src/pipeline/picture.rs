//! The whole picture of every alert: what the rules say of it, and what becomes of it in routing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::alert::{self, Blind};
use tocsin_core::ledger::{Alerting, RuleTerms};
use tocsin_core::model::{Fingerprint, LabelSet};
use tocsin_core::page::Page;
use tocsin_core::plane::{AlertView, FLAPPING};
use tocsin_core::time::Timestamp;

/// Where an alert stands; firing ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PictureState {
    Firing,
    Pending,
    Resolved,
}

impl PictureState {
    pub fn word(self) -> &'static str {
        match self {
            PictureState::Firing => "firing",
            PictureState::Pending => "pending",
            PictureState::Resolved => "resolved",
        }
    }
}

#[derive(Clone, Debug)]
pub struct AlertPicture {
    pub fingerprint: Fingerprint,
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub state: PictureState,
    /// None for alerts from outside: their senders tell no value.
    pub value: Option<f64>,
    pub active_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    pub unseen: Option<Blind>,
    pub silenced_by: Vec<String>,
    pub inhibited_by: Vec<Fingerprint>,
    pub muted_by: Vec<String>,
    pub receivers: Vec<String>,
    pub page: Option<Page>,
    pub rule: Option<Arc<RuleTerms>>,
    pub generator_url: String,
    /// Whether it begins again and again, so that its end is put off.
    pub flapping: bool,
}

/// Returns every alert that is pending, firing, or was resolved a short while ago.
pub fn pictures(state: &Alerting, now: Timestamp) -> Vec<AlertPicture> {
    let mut routed: BTreeMap<Fingerprint, AlertView> =
        state.plane.alerts(now).into_iter().map(|view| (view.alert.fingerprint, view)).collect();
    let mut pictures = Vec::new();
    for (terms, instance) in state.ledger.alerts() {
        // Shown as it is routed, so that pages, silences and other programs mean the same alert. One that is not routed keeps its own labels.
        let outward = state.ledger.routed_labels(&instance.labels);
        let is_routed = outward.is_some();
        let labels = outward.unwrap_or_else(|| instance.labels.clone());
        let fingerprint = labels.fingerprint();
        let picture = AlertPicture {
            fingerprint,
            labels,
            annotations: instance.annotations.clone(),
            state: match instance.state {
                alert::State::Pending => PictureState::Pending,
                alert::State::Firing => PictureState::Firing,
                alert::State::Resolved => PictureState::Resolved,
            },
            value: Some(instance.value),
            active_at: instance.active_at,
            fired_at: instance.fired_at,
            resolved_at: instance.resolved_at,
            unseen: instance.unseen,
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
            receivers: Vec::new(),
            page: None,
            rule: terms.cloned(),
            generator_url: terms.map(|terms| terms.generator_url.clone()).unwrap_or_default(),
            flapping: false,
        };
        // One that flaps is over for its rule before it is over for people.
        let goes_on = || routed.get(&fingerprint).is_some_and(|view| view.flaps);
        let view = match instance.state {
            alert::State::Firing if is_routed => routed.remove(&fingerprint),
            alert::State::Pending | alert::State::Resolved if is_routed && goes_on() => routed.remove(&fingerprint),
            alert::State::Firing | alert::State::Pending | alert::State::Resolved => None,
        };
        pictures.push(match view {
            Some(view) => with_view(picture, view, state),
            None => picture,
        });
    }
    for view in routed.into_values() {
        let alert = view.alert.clone();
        let picture = AlertPicture {
            fingerprint: alert.fingerprint,
            labels: alert.labels,
            annotations: alert.annotations.to_map(),
            state: PictureState::Firing,
            value: None,
            active_at: alert.starts_at,
            fired_at: Some(alert.starts_at),
            resolved_at: None,
            unseen: None,
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
            receivers: Vec::new(),
            page: None,
            rule: None,
            generator_url: alert.generator_url,
            flapping: false,
        };
        pictures.push(with_view(picture, view, state));
    }
    pictures
}

fn with_view(picture: AlertPicture, view: AlertView, state: &Alerting) -> AlertPicture {
    let flapping = view.alert.annotations.get(FLAPPING).filter(|_| view.flaps);
    let mut annotations = picture.annotations;
    annotations.extend(flapping.map(|text| (FLAPPING.to_owned(), text.to_owned())));
    AlertPicture {
        annotations,
        state: PictureState::Firing,
        resolved_at: None,
        fired_at: picture.fired_at.or(Some(view.alert.starts_at)),
        flapping: view.flaps,
        page: view.pages.first().and_then(|id| state.plane.page(id)).cloned(),
        silenced_by: view.silenced_by,
        inhibited_by: view.inhibited_by,
        muted_by: view.muted_by,
        receivers: view.receivers,
        ..picture
    }
}
