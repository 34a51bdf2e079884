//! The ledger of our own alerts: one set of instances for each alerting rule, and what of them the plane and the database must know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_core::alert::{Instance, InstanceState, Instances, State, Terms, Transition};
use tocsin_core::model::LabelSet;
use tocsin_core::model::relabel::{self, RelabelRule};
use tocsin_core::route::alert::{Alert, IncomingAlert};
use tocsin_core::rule::{Active, RuleId};
use tocsin_core::time::{Span, Timestamp};

use crate::db::Write;
use crate::db::state::{add_alert_event, put_instance, remove_instance, remove_rule};

pub type RuleKey = Arc<RuleId>;

/// An alert of our own rules ends when they say so, not by silence; it carries the last instant that RFC 3339 can write.
pub const NEVER: Timestamp = Timestamp(253_402_300_799_000);
/// Annotations of an alert that fires on are told anew at most this often.
const RESEND_DELAY: Span = Span::from_mins(1);
/// Alerts from our rules carry this before the file and the group of their rule.
const SOURCE: &str = "rule/";

/// What the ledger must know of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTerms {
    pub file: String,
    pub group: String,
    pub name: String,
    pub expr: String,
    pub hold: Span,
    pub keep_firing: Span,
    /// Zero: no limit.
    pub limit: usize,
    pub interval: Span,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

/// The alerts of one rule.
#[derive(Debug, Default)]
struct Book {
    instances: Instances,
    /// None until the rule has been evaluated since the start.
    terms: Option<Arc<RuleTerms>>,
    /// Annotations as the plane last heard them.
    told: BTreeMap<LabelSet, BTreeMap<String, String>>,
}

/// What happens to the labels of our alerts on their way to routing, as on the way from Prometheus to an Alertmanager.
#[derive(Clone, Debug, Default)]
pub struct Outward {
    /// Added where an alert has no label of the name.
    pub external_labels: LabelSet,
    pub relabel: Vec<RelabelRule>,
}

impl Outward {
    /// Returns the labels under which an alert is routed; None when the rules drop it.
    pub fn labels(&self, labels: &LabelSet) -> Option<LabelSet> {
        if self.external_labels.is_empty() && self.relabel.is_empty() {
            return Some(labels.clone());
        }
        let mut builder = labels.builder();
        for (name, value) in self.external_labels.iter().filter(|(name, _)| !labels.has(name)) {
            builder.set(name, value);
        }
        relabel::apply(&self.relabel, &mut builder).then(|| builder.build())
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    books: BTreeMap<RuleKey, Book>,
    outward: Outward,
}

/// Returns the text under which a rule's alerts are stored.
fn stored_key(rule: &RuleId) -> String {
    serde_json::to_string(rule).expect("a rule's identity is made of plain fields")
}

impl Ledger {
    /// Returns the ledger that goes on from what was stored.
    ///
    /// `unseen` is how long nothing was evaluated. Records that cannot be used are returned as a count.
    pub fn restore(records: Vec<(String, InstanceState)>, unseen: Span) -> (Ledger, usize) {
        let (mut by_rule, mut refused): (BTreeMap<RuleKey, Vec<InstanceState>>, usize) = (BTreeMap::new(), 0);
        for (key, record) in records {
            match serde_json::from_str::<RuleId>(&key) {
                Ok(rule) => by_rule.entry(Arc::new(rule)).or_default().push(record),
                Err(_) => refused += 1,
            }
        }
        let books = by_rule.into_iter().map(|(rule, records)| {
            let (instances, bad) = Instances::restore(records, unseen);
            refused += bad;
            (rule, Book { instances, ..Book::default() })
        });
        let ledger = Ledger { books: books.collect(), outward: Outward::default() };
        (ledger, refused)
    }

    /// Says what happens to labels from now on.
    pub fn set_outward(&mut self, outward: Outward) {
        self.outward = outward;
        // Under new labels an alert is another one for routing, so all of them are told anew.
        for book in self.books.values_mut() {
            book.told.clear();
        }
    }

    /// Returns the labels under which an alert of ours is routed.
    pub fn routed_labels(&self, labels: &LabelSet) -> Option<LabelSet> {
        self.outward.labels(labels)
    }

    fn outward(&self, news: Vec<IncomingAlert>) -> Vec<IncomingAlert> {
        news.into_iter()
            .filter_map(|alert| Some(IncomingAlert { labels: self.outward.labels(&alert.labels)?, ..alert }))
            .collect()
    }

    /// Takes the result of an evaluation; returns what the plane must hear and adds to the writes what must be stored.
    pub fn judge(
        &mut self,
        rule: &RuleKey,
        terms: &Arc<RuleTerms>,
        active: Vec<Active>,
        at: Timestamp,
        early: bool,
        writes: &mut Vec<Write>,
    ) -> Vec<IncomingAlert> {
        let book = self.books.entry(rule.clone()).or_default();
        book.terms = Some(terms.clone());
        let asked = Terms { hold: terms.hold, keep_firing: terms.keep_firing, limit: terms.limit };
        let before: BTreeMap<LabelSet, InstanceState> =
            book.instances.iter().map(|instance| (instance.labels.clone(), InstanceState::from(instance))).collect();
        let transitions = if early {
            book.instances.look(active, at, &asked)
        } else {
            match book.instances.step(active, at, &asked) {
                Ok(transitions) => transitions,
                Err(error) => {
                    tracing::error!(rule = terms.name, group = terms.group, error = %error, "a rule has lost its alerts");
                    let news = book.abandon(rule, terms, &before, at, writes);
                    return self.outward(news);
                }
            }
        };
        for transition in &transitions {
            writes.push(event(transition, at));
        }
        let news = book.news(terms, at);
        book.store(rule, &before, writes);
        self.outward(news)
    }

    /// Returns the values of ALERTS and ALERTS_FOR_STATE of a rule.
    pub fn series(&self, rule: &RuleKey) -> Vec<(LabelSet, f64)> {
        self.books.get(rule).map_or_else(Vec::new, |book| book.instances.series())
    }

    /// Ends the alerts of every rule that is not among `rules`.
    pub fn keep_only(&mut self, rules: &[RuleKey], now: Timestamp, writes: &mut Vec<Write>) -> Vec<IncomingAlert> {
        let kept: BTreeSet<&RuleKey> = rules.iter().collect();
        let gone: Vec<RuleKey> = self.books.keys().filter(|rule| !kept.contains(rule)).cloned().collect();
        let mut news = Vec::new();
        for rule in gone {
            let Some(book) = self.books.remove(&rule) else { continue };
            writes.push(remove_rule(&stored_key(&rule)));
            for instance in book.instances.active().filter(|instance| instance.state == State::Firing) {
                writes.push(event(&Transition::Resolved(instance.labels.clone()), now));
                news.push(IncomingAlert { ends_at: Some(now), ..incoming(instance, &source(&rule.file, &rule.group), "") });
            }
        }
        self.outward(news)
    }

    /// Returns the ends of alerts that claim to be ours and that no rule knows.
    pub fn orphans<'a>(&self, alerts: impl Iterator<Item = &'a Alert>, now: Timestamp) -> Vec<IncomingAlert> {
        let firing: BTreeSet<LabelSet> = self
            .books
            .values()
            .flat_map(|book| book.instances.active())
            .filter(|instance| instance.state == State::Firing)
            .filter_map(|instance| self.outward.labels(&instance.labels))
            .collect();
        alerts
            .filter(|alert| alert.source.starts_with(SOURCE) && !firing.contains(&alert.labels))
            .map(|alert| IncomingAlert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: Some(alert.starts_at),
                ends_at: Some(now),
                generator_url: alert.generator_url.clone(),
                source: alert.source.clone(),
            })
            .collect()
    }

    /// Returns every alert with the terms of its rule, once that has been evaluated.
    pub fn alerts(&self) -> impl Iterator<Item = (Option<&Arc<RuleTerms>>, &Instance)> {
        self.books.values().flat_map(|book| book.instances.iter().map(|instance| (book.terms.as_ref(), instance)))
    }

    /// Returns the alerts of one rule.
    pub fn of_rule(&self, rule: &RuleKey) -> Option<&Instances> {
        self.books.get(rule).map(|book| &book.instances)
    }

    /// Returns how many alerts fire.
    pub fn firing(&self) -> usize {
        self.alerts().filter(|(_, instance)| instance.state == State::Firing).count()
    }
}

impl Book {
    /// Returns what the plane has not heard yet.
    fn news(&mut self, terms: &RuleTerms, at: Timestamp) -> Vec<IncomingAlert> {
        let source = source(&terms.file, &terms.group);
        let mut news = Vec::new();
        for outgoing in self.instances.take_due(at, terms.interval, RESEND_DELAY) {
            let resolved = outgoing.state == State::Resolved;
            if !resolved && self.told.get(&outgoing.labels) == Some(&outgoing.annotations) {
                continue;
            }
            let told_of_firing = if resolved {
                self.told.remove(&outgoing.labels).is_some()
            } else {
                self.told.insert(outgoing.labels.clone(), outgoing.annotations.clone());
                true
            };
            // The end is told once; the plane repeats what somebody has not heard. After a restart nobody knows what was told, and
            // an end that is told twice does no harm.
            if told_of_firing || outgoing.ends_at == at {
                news.push(IncomingAlert {
                    labels: outgoing.labels,
                    annotations: outgoing.annotations,
                    starts_at: Some(outgoing.starts_at),
                    ends_at: Some(if resolved { outgoing.ends_at } else { NEVER }),
                    generator_url: terms.generator_url.clone(),
                    source: source.clone(),
                });
            }
        }
        news
    }

    /// Adds to the writes what has changed since `before`. What only says how far time has come is not worth a write.
    fn store(&self, rule: &RuleId, before: &BTreeMap<LabelSet, InstanceState>, writes: &mut Vec<Write>) {
        let key = stored_key(rule);
        for instance in self.instances.iter() {
            let now = InstanceState::from(instance);
            if before.get(&instance.labels).is_none_or(|old| differs(old, &now)) {
                let body = serde_json::to_string(&now).expect("a record is made of plain fields");
                writes.push(put_instance(&key, &instance.labels.fingerprint().to_string(), body));
            }
        }
        for labels in before.keys().filter(|labels| self.instances.get(labels).is_none()) {
            writes.push(remove_instance(&key, &labels.fingerprint().to_string()));
        }
    }

    /// The rule has more alerts than it may have, so it has none: as in Prometheus, what fired runs out by silence.
    fn abandon(
        &mut self,
        rule: &RuleId,
        terms: &RuleTerms,
        before: &BTreeMap<LabelSet, InstanceState>,
        at: Timestamp,
        writes: &mut Vec<Write>,
    ) -> Vec<IncomingAlert> {
        self.told.clear();
        self.store(rule, before, writes);
        let ends_at = at + Span(terms.interval.max(RESEND_DELAY).0.saturating_mul(4));
        let (firing, _) = Instances::restore(before.values().cloned().collect(), Span::ZERO);
        let source = source(&terms.file, &terms.group);
        let news = firing.active().filter(|instance| instance.state == State::Firing);
        news.map(|instance| IncomingAlert { ends_at: Some(ends_at), ..incoming(instance, &source, &terms.generator_url) })
            .collect()
    }
}

fn source(file: &str, group: &str) -> String {
    format!("{SOURCE}{file}/{group}")
}

fn incoming(instance: &Instance, source: &str, generator_url: &str) -> IncomingAlert {
    IncomingAlert {
        labels: instance.labels.clone(),
        annotations: instance.annotations.clone(),
        starts_at: instance.fired_at,
        ends_at: None,
        generator_url: generator_url.to_owned(),
        source: source.to_owned(),
    }
}

/// Returns whether two records of an alert differ in more than its value, its annotations and when it was last told.
fn differs(old: &InstanceState, new: &InstanceState) -> bool {
    (old.state, old.active_at, old.fired_at, old.resolved_at, old.keep_firing_since)
        != (new.state, new.active_at, new.fired_at, new.resolved_at, new.keep_firing_since)
}

fn event(transition: &Transition, at: Timestamp) -> Write {
    let word = match transition {
        Transition::Pending(_) => "pending",
        Transition::Fired(_) => "firing",
        Transition::Resolved(_) => "resolved",
        Transition::Cleared(_) => "cleared",
        Transition::Forgotten(_) => "forgotten",
    };
    let labels = transition.labels();
    add_alert_event(&labels.fingerprint().to_string(), at, word, labels.get("alertname"))
}
