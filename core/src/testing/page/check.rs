//! What a test expects of pages against what was told.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::{Holds, silence_name};
use super::why::why;
use super::{Expected, Named, Notice, PageCheck, PageFailure, Standing};
use crate::alert::State;
use crate::ledger::Ledger;
use crate::model::LabelSet;
use crate::model::labels::quote;
use crate::plane::{AlertState, AlertView, Delivery, Plane};
use crate::route::dispatch::Tree;
use crate::route::notification::NotificationData;
use crate::route::tree::Routing;
use crate::testing::compare::{Difference, braced, unmatched};
use crate::testing::{Failure, What};
use crate::time::{Span, Timestamp};

/// Everything as it stands at the instant of a check.
pub(super) struct Sight<'s> {
    pub plane: &'s Plane,
    pub ledger: &'s Ledger,
    pub routing: &'s Routing,
    pub tree: &'s Tree,
    /// In order of time.
    pub told: &'s [Delivery],
    pub fired: &'s BTreeSet<LabelSet>,
    pub holds: &'s Holds,
    pub start: Timestamp,
}

/// What a receiver was told at an instant, by however many integrations.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Said<'s> {
    pub at: Span,
    pub receiver: &'s str,
    pub data: &'s NotificationData,
}

/// Returns whether an alert is one of those that a check means.
pub(super) fn fits(wanted: &BTreeMap<String, String>, labels: &LabelSet) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == value)
}

/// Returns what of a check does not hold. Why it does not is said once.
pub(super) fn failures(check: &PageCheck, sight: &Sight<'_>) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for expectation in &check.expectations {
        let differences = sight.differences(check, &expectation.what);
        if differences.is_empty() {
            continue;
        }
        let failure = PageFailure {
            labels: check.labels.clone(),
            from: check.from,
            at: check.at,
            key: expectation.what.key(),
            differences,
            why: if failures.is_empty() { why(check, sight) } else { Vec::new() },
        };
        failures.push(Failure { position: expectation.position, what: What::Page(Box::new(failure)) });
    }
    failures
}

fn missing(text: impl Into<String>) -> Difference {
    Difference { expected: vec![text.into()], got: Vec::new() }
}

fn surplus(text: impl Into<String>) -> Difference {
    Difference { expected: Vec::new(), got: vec![text.into()] }
}

impl<'s> Sight<'s> {
    pub fn now(&self, check: &PageCheck) -> Timestamp {
        self.start + check.at
    }

    /// Returns the alerts that are meant and fire.
    pub fn views(&self, check: &PageCheck) -> Vec<AlertView> {
        self.plane.alerts_that(|alert| fits(&check.labels, &alert.labels), self.now(check))
    }

    /// Returns what was said of the alerts that are meant, while it counts.
    pub fn said(&self, check: &PageCheck, is_meant: impl Fn(&LabelSet) -> bool) -> Vec<Said<'s>> {
        let mut all: Vec<Said<'s>> = Vec::new();
        for delivery in self.told {
            let said = Said { at: delivery.created_at - self.start, receiver: &delivery.receiver, data: &delivery.data };
            let counts = check.from.is_none_or(|from| said.at >= from) && said.at <= check.at;
            // Several integrations of a receiver say the same at one instant.
            let is_known = || all.iter().rev().take_while(|known| known.at == said.at).any(|known| *known == said);
            if counts && said.data.alerts.iter().any(|alert| is_meant(&alert.labels)) && !is_known() {
                all.push(said);
            }
        }
        all
    }

    fn differences(&self, check: &PageCheck, expected: &Expected) -> Vec<Difference> {
        match expected {
            Expected::Receivers(names) => self.receivers(check, names),
            Expected::Not(names) => self.untold(check, names),
            Expected::State(standing) => self.standing(check, *standing),
            Expected::SilencedBy(comments) => {
                let comments = comments.iter().cloned().collect();
                self.of_each(check, &comments, |view| view.silenced_by.iter().map(|id| silence_name(self.plane, id)).collect())
            }
            Expected::MutedBy(names) => {
                let names = names.iter().map(|named| named.name.clone()).collect();
                self.of_each(check, &names, |view| view.muted_by.iter().cloned().collect())
            }
            Expected::InhibitedBy(sources) => self.inhibited(check, sources),
            Expected::Notifications(notices) => self.notifications(check, notices),
        }
    }

    fn receivers(&self, check: &PageCheck, names: &[Named]) -> Vec<Difference> {
        let said = self.said(check, |labels| fits(&check.labels, labels));
        let told: BTreeSet<&str> = said.iter().map(|said| said.receiver).collect();
        let wanted: BTreeSet<&str> = names.iter().map(|named| named.name.as_str()).collect();
        let missing = wanted.difference(&told).map(|name| missing(*name));
        missing.chain(told.difference(&wanted).map(|name| surplus(*name))).collect()
    }

    fn untold(&self, check: &PageCheck, names: &[Named]) -> Vec<Difference> {
        let said = self.said(check, |labels| fits(&check.labels, labels));
        let told = names.iter().filter_map(|named| said.iter().find(|said| said.receiver == named.name));
        told.map(|said| surplus(format!("{}, told at {}", said.receiver, said.at))).collect()
    }

    fn standing(&self, check: &PageCheck, standing: Standing) -> Vec<Difference> {
        let found = self.standings(check);
        let wrong: Vec<String> = found
            .iter()
            .filter(|(_, word)| *word != standing.word())
            .map(|(labels, word)| if labels.is_empty() { (*word).to_owned() } else { format!("{word} {labels}") })
            .collect();
        if wrong.is_empty() { Vec::new() } else { vec![Difference { expected: vec![standing.word().to_owned()], got: wrong }] }
    }

    /// Returns the alerts that are meant, each with the word for how it stands: those that fire or are pending; without any, those that
    /// have fired; without any, one that has not.
    fn standings(&self, check: &PageCheck) -> Vec<(LabelSet, &'static str)> {
        let mut found: Vec<(LabelSet, &'static str)> = Vec::new();
        for view in self.views(check) {
            let word = match view.state {
                AlertState::Active => Standing::Active.word(),
                AlertState::Suppressed => Standing::Suppressed.word(),
                AlertState::Unprocessed => "unprocessed, since no group had room for it",
            };
            found.push((view.alert.labels, word));
        }
        found.extend(self.pending(check).into_iter().map(|(labels, _, _)| (labels, Standing::Pending.word())));
        if found.is_empty() {
            let resolved = self.fired.iter().filter(|labels| fits(&check.labels, labels));
            found.extend(resolved.map(|labels| (labels.clone(), Standing::Resolved.word())));
        }
        if found.is_empty() {
            found.push((LabelSet::empty(), Standing::Inactive.word()));
        }
        found
    }

    /// Returns the alerts that are meant and whose rules wait, under the labels that routing will see: since when, and for how long.
    pub fn pending(&self, check: &PageCheck) -> Vec<(LabelSet, Span, Span)> {
        let mut pending = Vec::new();
        for (terms, instance) in self.ledger.alerts().filter(|(_, instance)| instance.state == State::Pending) {
            let labels = self.ledger.routed_labels(&instance.labels).unwrap_or_else(|| instance.labels.clone());
            if fits(&check.labels, &labels) {
                let hold = terms.map_or(Span::ZERO, |terms| terms.hold);
                pending.push((labels, instance.active_at - self.start, hold));
            }
        }
        pending
    }

    /// Holds names against those that count for each alert that is meant; where none fires, none counts.
    fn of_each(
        &self,
        check: &PageCheck,
        wanted: &BTreeSet<String>,
        names: impl Fn(&AlertView) -> BTreeSet<String>,
    ) -> Vec<Difference> {
        let views = self.views(check);
        if views.is_empty() {
            return wanted.iter().map(missing).collect();
        }
        let mut differences = Vec::new();
        for view in &views {
            let found = names(view);
            let of = |name: &String| format!("{name}, of {}", view.alert.labels);
            differences.extend(wanted.difference(&found).map(|name| missing(of(name))));
            differences.extend(found.difference(wanted).map(|name| surplus(of(name))));
        }
        differences
    }

    fn inhibited(&self, check: &PageCheck, sources: &[BTreeMap<String, String>]) -> Vec<Difference> {
        let views = self.views(check);
        if views.is_empty() {
            return sources.iter().map(|source| missing(braced(source))).collect();
        }
        let mut differences = Vec::new();
        for view in &views {
            let inhibitors: Vec<LabelSet> = self.inhibitors(view, self.now(check));
            let absent = sources.iter().filter(|source| !inhibitors.iter().any(|labels| fits(source, labels)));
            differences.extend(absent.map(|source| missing(format!("{}, of {}", braced(source), view.alert.labels))));
            let unexpected = inhibitors.iter().filter(|labels| !sources.iter().any(|source| fits(source, labels)));
            differences.extend(unexpected.map(|labels| surplus(format!("{labels}, of {}", view.alert.labels))));
        }
        differences
    }

    /// Returns the labels of the alerts that mute an alert.
    pub fn inhibitors(&self, view: &AlertView, now: Timestamp) -> Vec<LabelSet> {
        let alerts = view.inhibited_by.iter().filter_map(|one| self.plane.alert(*one, now));
        alerts.map(|view| view.alert.labels).collect()
    }

    fn notifications(&self, check: &PageCheck, notices: &[Notice]) -> Vec<Difference> {
        let said = self.said(check, |labels| fits(&check.labels, labels));
        let (absent, unexpected) = unmatched(notices.iter().collect(), said, |notice, said| notice.is(said));
        let absent = absent.into_iter().map(|notice| missing(notice.to_string()));
        absent.chain(unexpected.into_iter().map(|said| surplus(said.to_string()))).collect()
    }
}

impl Notice {
    fn is(&self, said: &Said<'_>) -> bool {
        let has = |text: &String| {
            said.data.title().contains(text)
                || said.data.alerts.iter().flat_map(|alert| &alert.annotations).any(|(_, annotation)| annotation.contains(text))
        };
        (self.receiver.name.as_str(), self.at, self.status) == (said.receiver, said.at, said.data.status)
            && self.reason.is_none_or(|reason| reason == said.data.reason)
            && self.alerts.is_none_or(|count| count == said.data.alerts.len())
            && self.text.iter().all(has)
    }
}

impl std::fmt::Display for Notice {
    /// Writes it as a test does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{receiver: {}, at: {}, status: {}", self.receiver.name, self.at, self.status.word())?;
        if let Some(reason) = self.reason {
            write!(f, ", reason: {}", reason.as_str())?;
        }
        if let Some(count) = self.alerts {
            write!(f, ", alerts: {count}")?;
        }
        if !self.text.is_empty() {
            let texts: Vec<String> = self.text.iter().map(|text| quote(text)).collect();
            write!(f, ", text: [{}]", texts.join(", "))?;
        }
        f.write_str("}")
    }
}

impl std::fmt::Display for Said<'_> {
    /// Writes it as a test would expect it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said { at, receiver, data } = self;
        let (status, reason, count) = (data.status.word(), data.reason.as_str(), data.alerts.len());
        write!(f, "{{receiver: {receiver}, at: {at}, status: {status}, reason: {reason}, alerts: {count}, text: [")?;
        write!(f, "{}]}}", quote(&data.title()))
    }
}
