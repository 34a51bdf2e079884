//! Alerts that begin again and again: their ends are put off until they have been quiet for a while, so that people hear of such trouble
//! once, and not of each time it ends and begins.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Fingerprint, Texts};
use crate::route::alert::{Alert, NEVER};
use crate::route::tree::{Flapping, RUN_ALERT};
use crate::time::{Span, Timestamp};
use crate::trace::{AlertStep, What};

use super::{Change, Plane};

/// The annotation that people see on an alert that flaps.
pub const FLAPPING: &str = "flapping";

/// When an alert has begun of late, and what is made of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    pub alert: Fingerprint,
    /// When routing heard it begin, the oldest first; no more than make it flap.
    pub begins: Vec<Timestamp>,
    /// By how much its ends are put off; None: it does not flap.
    pub hold: Option<Span>,
}

impl Flap {
    /// Returns when it is to be forgotten, or to flap no more, unless its alert begins again before.
    fn over_at(&self, alert: Option<&Alert>, within: Span) -> Timestamp {
        let Some(last) = self.begins.last() else { return Timestamp::MIN };
        let Some(hold) = self.hold else { return *last + within };
        let lasts = *last + hold;
        match alert {
            Some(alert) if earlier(alert.ends_at, hold) > lasts => lasts,
            Some(alert) => alert.ends_at,
            None => *last,
        }
    }
}

/// Returns an end that is put off. What never ends by itself does not end later either.
fn later(end: Timestamp, hold: Span) -> Timestamp {
    (end + hold).min(NEVER).max(end)
}

/// Returns the end that was put off.
fn earlier(end: Timestamp, hold: Span) -> Timestamp {
    if end >= NEVER { end } else { end - hold }
}

/// How an alert was by its sender before there was news of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub fired: bool,
    pub starts_at: Timestamp,
}

/// What is remembered of beginnings, and what of that is to be stored.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    known: BTreeMap<Fingerprint, Flap>,
    unsaved: BTreeSet<Fingerprint>,
}

impl Flaps {
    pub fn restore(flaps: Vec<Flap>) -> Flaps {
        Flaps { known: flaps.into_iter().map(|flap| (flap.alert, flap)).collect(), unsaved: BTreeSet::new() }
    }

    /// Returns by how much the ends of an alert are put off; None: it does not flap.
    pub fn hold(&self, alert: Fingerprint) -> Option<Span> {
        self.known.get(&alert)?.hold
    }

    /// Returns an alert as its sender has it, who knows of no end that is put off.
    pub fn as_said<'a>(&self, alert: &'a Alert) -> Cow<'a, Alert> {
        match self.hold(alert.fingerprint) {
            None => Cow::Borrowed(alert),
            Some(hold) => Cow::Owned(Alert { ends_at: earlier(alert.ends_at, hold), ..alert.clone() }),
        }
    }

    /// Returns when an alert ends that its sender ends at an instant.
    pub fn put_off(&self, alert: Fingerprint, ends_at: Timestamp) -> Timestamp {
        self.hold(alert).map_or(ends_at, |hold| later(ends_at, hold))
    }

    /// Returns an alert with what there is to say to people about it beside what its sender says.
    pub fn annotated<'a>(&self, alert: &'a Alert, flapping: Option<Flapping>) -> Cow<'a, Alert> {
        let hold = self.hold(alert.fingerprint);
        let Some((Flapping { begins, within, .. }, hold)) = flapping.zip(hold) else { return Cow::Borrowed(alert) };
        let mut annotations = alert.annotations.to_map();
        let text = format!("began {begins} times within {within}; its end is told once it was quiet for {hold}");
        annotations.insert(FLAPPING.to_owned(), text);
        Cow::Owned(Alert { annotations: Texts::from(&annotations), ..alert.clone() })
    }

    /// Does the same for several alerts.
    pub fn all_annotated<'a>(&self, alerts: impl Iterator<Item = &'a Alert>, flapping: Option<Flapping>) -> Vec<Cow<'a, Alert>> {
        alerts.map(|alert| self.annotated(alert, flapping)).collect()
    }

    /// Takes note that an alert begins; returns whether that makes it flap. Nothing is remembered of more than `room` alerts.
    fn begin(&mut self, alert: Fingerprint, flapping: &Flapping, room: usize, now: Timestamp) -> bool {
        if self.known.len() >= room && !self.known.contains_key(&alert) {
            return false;
        }
        let flap = self.known.entry(alert).or_insert_with(|| Flap { alert, begins: Vec::new(), hold: None });
        flap.begins.retain(|at| *at + flapping.within > now);
        flap.begins.push(now);
        flap.begins.drain(..flap.begins.len().saturating_sub(flapping.begins));
        self.unsaved.insert(alert);
        let starts = flap.hold.is_none() && flap.begins.len() >= flapping.begins;
        if starts {
            flap.hold = Some(flapping.quiet);
        }
        starts
    }

    fn forget(&mut self, alert: Fingerprint) -> Option<Flap> {
        self.unsaved.insert(alert);
        self.known.remove(&alert)
    }

    pub fn is_drained(&self) -> bool {
        self.unsaved.is_empty()
    }

    pub fn drain(&mut self) -> Vec<Change> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        let change = |alert| self.known.get(&alert).map_or(Change::DropFlap(alert), |flap| Change::PutFlap(flap.clone()));
        unsaved.map(change).collect()
    }
}

impl Plane {
    /// Returns whether an alert fires by the last word on it, whatever is made of that because it flaps.
    pub fn is_said_to_fire(&self, fingerprint: Fingerprint, now: Timestamp) -> bool {
        self.alerts.get(&fingerprint).is_some_and(|alert| self.flaps.as_said(alert).is_firing(now))
    }

    /// Makes what routing holds out of an alert as its sender has it.
    pub(super) fn put_off(&mut self, mut alert: Alert, before: Option<Before>, now: Timestamp) -> Alert {
        // What a run asks of people it asks on purpose, however often.
        let Some(flapping) = self.routing.flapping.filter(|_| alert.name() != RUN_ALERT) else { return alert };
        let fired = before.is_some_and(|before| before.fired);
        let fires = alert.is_firing(now);
        let was_held = self.flaps.hold(alert.fingerprint).is_some();
        if fires && !fired && self.flaps.begin(alert.fingerprint, &flapping, self.limits.alerts, now) {
            let Flapping { begins, within, quiet } = flapping;
            self.step(&alert, What::Flaps { begins, within, quiet }, now);
        }
        if let Some(before) = before.filter(|_| was_held) {
            alert.starts_at = alert.starts_at.min(before.starts_at);
        }
        alert.ends_at = self.flaps.put_off(alert.fingerprint, alert.ends_at);
        if fired && !fires && alert.is_firing(now) {
            self.step(&alert, What::PutOff { until: alert.ends_at }, now);
        }
        alert
    }

    /// Returns when the next alert flaps no more, or has been quiet for so long that its beginnings are forgotten.
    pub(super) fn next_calm(&self) -> Option<Timestamp> {
        let within = self.routing.flapping.map_or(Span::ZERO, |flapping| flapping.within);
        self.flaps.known.values().map(|flap| flap.over_at(self.alerts.get(&flap.alert), within)).min()
    }

    /// Lets go of what has been quiet for long enough. An end that was put off until now has been when its sender said.
    pub(super) fn calm(&mut self, now: Timestamp) {
        let quiet: Vec<Fingerprint> = self.flaps.known.keys().filter(|alert| self.is_calm(**alert, now)).copied().collect();
        quiet.into_iter().for_each(|alert| self.let_go(alert, true, now));
    }

    /// Does the same for one alert.
    pub(super) fn calm_one(&mut self, alert: Fingerprint, now: Timestamp) {
        if self.is_calm(alert, now) {
            self.let_go(alert, true, now);
        }
    }

    fn is_calm(&self, alert: Fingerprint, now: Timestamp) -> bool {
        let within = self.routing.flapping.map_or(Span::ZERO, |flapping| flapping.within);
        self.flaps.known.get(&alert).is_some_and(|flap| flap.over_at(self.alerts.get(&alert), within) <= now)
    }

    /// Forgets everything about beginnings where the configuration does not ask for it any more.
    pub(super) fn heed_flapping(&mut self, now: Timestamp) {
        if self.routing.flapping.is_none() {
            let all: Vec<Fingerprint> = self.flaps.known.keys().copied().collect();
            all.into_iter().for_each(|alert| self.let_go(alert, false, now));
        }
    }

    fn let_go(&mut self, fingerprint: Fingerprint, is_quiet: bool, now: Timestamp) {
        let Some(hold) = self.flaps.forget(fingerprint).and_then(|flap| flap.hold) else { return };
        let Some(alert) = self.alerts.get_mut(&fingerprint) else { return };
        let ends_at = earlier(alert.ends_at, hold);
        if ends_at != alert.ends_at {
            alert.ends_at = ends_at;
            self.unsaved.alerts.insert(fingerprint);
        }
        let alert = alert.clone();
        let what = What::Calm { quiet: is_quiet.then_some(hold), ended: !alert.is_firing(now) };
        self.step(&alert, what, now);
    }

    /// Takes down what became of an alert.
    pub(super) fn step(&mut self, alert: &Alert, what: What, now: Timestamp) {
        let (labels, source) = (alert.labels.clone(), alert.source.clone());
        self.tracer.step(AlertStep { at: now, labels, own: None, source, what });
    }
}
