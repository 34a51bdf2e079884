//! The ledger and the plane side by side: what rules bring to the one is news for the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alertmanagers::Report;
use crate::model::{Fingerprint, LabelSet};
use crate::plane::{Event, Plane, Reply};
use crate::route::alert::{BadAlert, IncomingAlert};
use crate::rule::{Active, RuleError, Unseen};
use crate::time::Timestamp;

use super::{Judgement, Ledger, LedgerChange, Outward, RuleKey, RuleTerms};

/// All alerts: those of our rules on one side, what becomes of them and of others on the other.
pub struct Alerting {
    pub plane: Plane,
    pub ledger: Ledger,
}

/// The result of evaluating an alerting rule.
#[derive(Debug)]
pub struct Judged {
    pub rule: RuleKey,
    pub terms: Arc<RuleTerms>,
    pub active: Vec<Active>,
    /// Alerts that are not active, of which nobody can tell whether they have ended.
    pub unseen: BTreeMap<LabelSet, Unseen>,
    pub at: Timestamp,
    /// A look between two slots: it may start or advance alerts, never end one.
    pub early: bool,
}

/// What came of an evaluation or of a change of rules, beside what the plane drains.
#[derive(Debug, Default)]
pub struct Outcome {
    pub changes: Vec<LedgerChange>,
    /// What other Alertmanagers must hear.
    pub reports: Vec<Report>,
    /// Why the rule has no alerts any more.
    pub lost: Option<RuleError>,
    /// Alerts that routing cannot take; they are offered again with the next evaluations of their rules.
    pub refused: Vec<BadAlert>,
}

impl Alerting {
    /// Takes the result of an evaluation.
    pub fn judge(&mut self, judged: Judged, now: Timestamp) -> Outcome {
        let Judged { rule, terms, active, unseen, at, early } = judged;
        let judgement = self.ledger.judge(&rule, &terms, active, unseen, at, early);
        judgement.steps.into_iter().for_each(|step| self.plane.trace(step));
        let refused = self.feed(judgement.news, now);
        if let Some(rule) = judgement.rule {
            self.plane.evaluated(rule, at);
        }
        Outcome { changes: judgement.changes, reports: judgement.reports, lost: judgement.lost, refused }
    }

    /// Ends the alerts of rules that are gone, and gives the others the labels that they have from now on. `elsewhere` are rules
    /// that cannot be looked at at any time.
    pub fn replace_rules(&mut self, keys: &[RuleKey], elsewhere: &[RuleKey], outward: Outward, now: Timestamp) -> Outcome {
        self.ledger.set_outward(outward);
        self.plane.set_witnesses(keys.iter().filter_map(|rule| self.ledger.witness(rule)).collect());
        let all: Vec<RuleKey> = keys.iter().chain(elsewhere).cloned().collect();
        let Judgement { news, reports, changes, steps, .. } = self.ledger.keep_only(&all, now);
        steps.into_iter().for_each(|step| self.plane.trace(step));
        let mut refused = self.feed(news, now);
        // What fires under new labels is told before its old labels end, so that there is no gap in which all seems well.
        let unheard = self.ledger.unheard(|fingerprint| self.plane.is_said_to_fire(fingerprint, now));
        refused.extend(self.feed(unheard, now));
        // Alerts of rules that nobody remembers (their record was lost, or an older version wrote it) would fire for ever.
        let orphans = self.ledger.orphans(self.plane.firing(now), now);
        refused.extend(self.feed(orphans, now));
        Outcome { changes, reports, lost: None, refused }
    }

    /// Hands alerts of our own rules to routing; returns why it refuses some.
    fn feed(&mut self, news: Vec<IncomingAlert>, now: Timestamp) -> Vec<BadAlert> {
        if news.is_empty() {
            return Vec::new();
        }
        // Alerts are answered one by one, never as a whole.
        let Ok(Reply::Alerts { refused, .. }) = self.plane.accept(Event::Alerts(news), now) else { return Vec::new() };
        let (fingerprints, reasons): (Vec<Fingerprint>, Vec<BadAlert>) = refused.into_iter().unzip();
        self.ledger.forget_told(&fingerprints);
        reasons
    }
}
