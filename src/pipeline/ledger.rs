//! The ledger of our own alerts: one set of instances for each alerting rule, and what of them the plane and the database must know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_core::alert::{Instance, InstanceState, Instances, State, Terms, Transition};
use tocsin_core::model::relabel::{self, RelabelRule};
use tocsin_core::model::{Fingerprint, LabelSet};
use tocsin_core::route::alert::{Alert, IncomingAlert, RULE_SOURCE};
use tocsin_core::rule::{Active, RuleId};
use tocsin_core::time::{Span, Timestamp};

use crate::db::Write;
use crate::db::state::{add_alert_event, put_instance, remove_instance, remove_rule};

pub type RuleKey = Arc<RuleId>;

/// An alert of our own rules ends when they say so, not by silence; it carries the last instant that RFC 3339 can write.
pub const NEVER: Timestamp = Timestamp(253_402_300_799_000);
/// Annotations of an alert that fires on are told anew at most this often.
const RESEND_DELAY: Span = Span::from_mins(1);

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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Which alerts fire under the labels that routing sees: relabelling can make one of several. Follows from the two above.
    holders: BTreeMap<Fingerprint, BTreeSet<(RuleKey, LabelSet)>>,
}

/// Returns the text under which a rule's alerts are stored.
fn stored_key(rule: &RuleId) -> String {
    serde_json::to_string(rule).expect("a rule's identity is made of plain fields")
}

impl Ledger {
    /// Returns the ledger that goes on from what was stored, how it differs from that, and how many records cannot be used.
    ///
    /// `unseen` is how long nothing was evaluated. The writes belong in one transaction with the next sign of life: without them a
    /// second crash would count the first one's gap towards `for`, and with them alone it would be left out twice.
    pub fn restore(records: Vec<(String, InstanceState)>, unseen: Span) -> (Ledger, Vec<Write>, usize) {
        let (mut by_rule, mut refused): (BTreeMap<RuleKey, Vec<InstanceState>>, usize) = (BTreeMap::new(), 0);
        for (key, record) in records {
            match serde_json::from_str::<RuleId>(&key) {
                Ok(rule) => by_rule.entry(Arc::new(rule)).or_default().push(record),
                Err(_) => refused += 1,
            }
        }
        let (mut ledger, mut writes) = (Ledger::default(), Vec::new());
        for (rule, records) in by_rule {
            let mut before: BTreeMap<LabelSet, InstanceState> =
                records.iter().map(|record| (record.labels.clone(), record.clone())).collect();
            let (instances, bad) = Instances::restore(records, unseen);
            refused += bad;
            before.retain(|labels, _| instances.get(labels).is_some());
            let book = Book { instances, ..Book::default() };
            book.store(&rule, &before, &mut writes);
            ledger.books.insert(rule, book);
        }
        ledger.index_holders();
        (ledger, writes, refused)
    }

    /// Says what happens to labels from now on.
    pub fn set_outward(&mut self, outward: Outward) {
        if self.outward != outward {
            self.outward = outward;
            self.index_holders();
        }
    }

    fn index_holders(&mut self) {
        self.holders.clear();
        for (rule, book) in &self.books {
            for instance in book.instances.active().filter(|instance| instance.state == State::Firing) {
                if let Some(labels) = self.outward.labels(&instance.labels) {
                    self.holders.entry(labels.fingerprint()).or_default().insert((rule.clone(), instance.labels.clone()));
                }
            }
        }
    }

    /// Takes note that an alert has begun or ceased to fire; returns whether that makes a difference to routing, for which several
    /// alerts of the same labels are one.
    fn note(&mut self, rule: &RuleKey, labels: &LabelSet, fires: Option<bool>) -> bool {
        let Some(outward) = self.outward.labels(labels) else { return true };
        let fingerprint = outward.fingerprint();
        let was_held = self.holders.contains_key(&fingerprint);
        let holder = (rule.clone(), labels.clone());
        match fires {
            Some(true) => drop(self.holders.entry(fingerprint).or_default().insert(holder)),
            Some(false) => {
                if let Some(holders) = self.holders.get_mut(&fingerprint) {
                    holders.remove(&holder);
                    if holders.is_empty() {
                        self.holders.remove(&fingerprint);
                    }
                }
            }
            None => {}
        }
        !(was_held && self.holders.contains_key(&fingerprint))
    }

    /// Returns what routing must hear of an alert that fires under these labels; None: none does.
    fn held(&self, fingerprint: Fingerprint) -> Option<IncomingAlert> {
        let (rule, labels) = self.holders.get(&fingerprint)?.first()?;
        let book = self.books.get(rule)?;
        let url = book.terms.as_ref().map_or("", |terms| &terms.generator_url);
        let alert = incoming(book.instances.get(labels)?, &source(&rule.file, &rule.group), url);
        Some(IncomingAlert { labels: self.outward.labels(labels)?, ends_at: Some(NEVER), ..alert }.shortened())
    }

    /// Returns every alert that fires and that routing does not hold under its labels, as after a change of those.
    pub fn unheard(&self, is_held: impl Fn(Fingerprint) -> bool) -> Vec<IncomingAlert> {
        self.holders.keys().filter(|one| !is_held(**one)).filter_map(|one| self.held(*one)).collect()
    }

    /// Takes back that routing has heard of some alerts, so that they are told anew with their rule's next evaluations.
    pub fn forget_told(&mut self, refused: &[Fingerprint]) {
        for (rule, labels) in refused.iter().filter_map(|one| self.holders.get(one)).flatten() {
            if let Some(book) = self.books.get_mut(rule) {
                book.told.remove(labels);
            }
        }
    }

    /// Returns the labels under which an alert of ours is routed.
    pub fn routed_labels(&self, labels: &LabelSet) -> Option<LabelSet> {
        self.outward.labels(labels)
    }

    /// Returns news under the labels that routing sees. Where one alert has ended and another of the same labels still fires, the
    /// news is of that one: an end would be the last that routing hears.
    fn outward(&self, news: Vec<IncomingAlert>) -> Vec<IncomingAlert> {
        let outward = |alert: IncomingAlert| {
            let labels = self.outward.labels(&alert.labels)?;
            let held = (alert.ends_at != Some(NEVER)).then(|| self.held(labels.fingerprint())).flatten();
            Some(held.unwrap_or_else(|| IncomingAlert { labels, ..alert }.shortened()))
        };
        news.into_iter().filter_map(outward).collect()
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
                    for (labels, _) in before.iter().filter(|(_, record)| record.state == State::Firing) {
                        self.note(rule, labels, Some(false));
                    }
                    return self.outward(news);
                }
            }
        };
        let news = book.news(terms, at);
        book.store(rule, &before, writes);
        for transition in &transitions {
            let fires = match transition {
                Transition::Fired(_) => Some(true),
                Transition::Resolved(_) => Some(false),
                Transition::Pending(_) | Transition::Cleared(_) | Transition::Forgotten(_) => None,
            };
            if self.note(rule, transition.labels(), fires) {
                writes.push(event(&self.outward, transition, at));
            }
        }
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
                if self.note(&rule, &instance.labels, Some(false)) {
                    writes.push(event(&self.outward, &Transition::Resolved(instance.labels.clone()), now));
                }
                let ends_at = instance.fired_at.map(|fired_at| fired_at.max(now));
                news.push(IncomingAlert { ends_at, ..incoming(instance, &source(&rule.file, &rule.group), "") });
            }
        }
        self.outward(news)
    }

    /// Returns the ends of alerts that claim to be ours and that no rule knows.
    pub fn orphans<'a>(&self, alerts: impl Iterator<Item = &'a Alert>, now: Timestamp) -> Vec<IncomingAlert> {
        alerts
            .filter(|alert| alert.is_of_rule() && !self.holders.contains_key(&alert.fingerprint))
            .map(|alert| IncomingAlert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: Some(alert.starts_at),
                ends_at: Some(now.max(alert.starts_at)),
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
    format!("{RULE_SOURCE}{file}/{group}")
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

fn event(outward: &Outward, transition: &Transition, at: Timestamp) -> Write {
    let word = match transition {
        Transition::Pending(_) => "pending",
        Transition::Fired(_) => "firing",
        Transition::Resolved(_) => "resolved",
        Transition::Cleared(_) => "cleared",
        Transition::Forgotten(_) => "forgotten",
    };
    let labels = outward.labels(transition.labels()).unwrap_or_else(|| transition.labels().clone());
    add_alert_event(&labels.fingerprint().to_string(), at, word, labels.get("alertname"))
}
