//! The ledger of our own alerts: one set of instances for each alerting rule, and what of them the plane and the database must know.

mod alerting;
mod book;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::{Instance, InstanceState, Instances, State, Terms, Transition};
use crate::alertmanagers::Report;
use crate::model::relabel::{self, RelabelRule};
use crate::model::{Fingerprint, LabelSet};
use crate::route::alert::{ALERT_NAME, Alert, IncomingAlert};
use crate::rule::{Active, Holding, Kind, Rule, RuleError, RuleGroup, RuleId, Unseen};
use crate::time::{Span, Timestamp};
use crate::trace::{AlertStep, What};

use book::Book;

pub use crate::route::alert::NEVER;
pub use alerting::{Alerting, Judged, Outcome};

/// A rule as many hold it.
pub type RuleKey = Arc<RuleId>;

/// Annotations of an alert that fires on are told anew at most this often.
const RESEND_DELAY: Span = Span::from_mins(1);

/// One durable write. All that one evaluation or one change of rules brings belongs in one transaction, made before anybody is told.
#[derive(Clone, Debug, PartialEq)]
pub enum LedgerChange {
    /// The state of one alert under one rule.
    PutInstance { rule: RuleKey, state: Box<InstanceState> },
    /// `fingerprint`: that of the alert's own labels.
    DropInstance { rule: RuleKey, fingerprint: Fingerprint },
    /// Every alert under a rule.
    DropRule(RuleKey),
    /// A line for the history of an alert. `labels`: those that routing sees.
    Happened { labels: LabelSet, at: Timestamp, what: Transition },
}

/// What an evaluation brings.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The rule that was evaluated, as `rule_id` gives it.
    pub rule: Option<Fingerprint>,
    /// What routing must hear.
    pub news: Vec<IncomingAlert>,
    /// What other Alertmanagers must hear.
    pub reports: Vec<Report>,
    pub changes: Vec<LedgerChange>,
    /// What became of its alerts, for the trace.
    pub steps: Vec<AlertStep>,
    /// Why the rule has no alerts any more: it had more than it may have.
    pub lost: Option<RuleError>,
}

/// Returns a short name of a rule: the same as long as its identity is.
pub fn rule_id(rule: &RuleId) -> Fingerprint {
    let RuleId { file, group, name, labels, nth } = rule;
    let nth = nth.to_string();
    let own = [("file", file), ("group", group), ("name", name), ("nth", &nth)].map(|(key, value)| (key.to_owned(), value));
    LabelSet::from_pairs(own.into_iter().chain(labels.iter().map(|(name, value)| (format!("label {name}"), value)))).fingerprint()
}

/// What the ledger must know of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTerms {
    pub file: String,
    pub group: String,
    pub name: String,
    pub expr: String,
    pub hold: Span,
    pub keep_firing: Span,
    pub holding: Holding,
    /// Zero: no limit.
    pub limit: usize,
    pub interval: Span,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

impl RuleTerms {
    /// Returns the terms of a rule of a group; `external_url` is the address of our own pages.
    pub fn new(group: &RuleGroup, rule: &Rule, external_url: &str) -> RuleTerms {
        let (hold, keep_firing, holding) = match &rule.kind {
            Kind::Record { .. } => (Span::ZERO, Span::ZERO, Holding::default()),
            Kind::Alert(alerting) => (alerting.hold, alerting.keep_firing, alerting.holding),
        };
        RuleTerms {
            file: group.file.to_string(),
            group: group.name.clone(),
            name: rule.name().to_owned(),
            expr: rule.text.clone(),
            hold,
            keep_firing,
            holding,
            limit: group.limit,
            interval: group.interval,
            generator_url: rule.generator_url(external_url),
        }
    }

    /// Returns where the rule stands, such as `rules/checkout.yml/errors`.
    fn source(&self) -> String {
        format!("{}/{}", self.file, self.group)
    }
}

/// What happens to the labels of our alerts on their way to routing, as on the way from Prometheus to an Alertmanager.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outward {
    /// Added where an alert has no label of the name.
    pub external_labels: LabelSet,
    pub relabel: Vec<RelabelRule>,
    /// Whether other Alertmanagers are told beside our own routing.
    pub others: bool,
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

impl Ledger {
    /// Returns the ledger that goes on from what was stored, how it differs from that, and how many records contradict themselves.
    ///
    /// `unseen` is how long nothing was evaluated. The changes belong in one transaction with the next sign of life: without them a
    /// second crash would count the first one's gap towards `for`, and with them alone it would be left out twice.
    pub fn restore(records: Vec<(RuleKey, InstanceState)>, unseen: Span) -> (Ledger, Vec<LedgerChange>, usize) {
        let mut by_rule: BTreeMap<RuleKey, Vec<InstanceState>> = BTreeMap::new();
        for (rule, record) in records {
            // Nobody knows which of the news arrived, so all of it is told again at once.
            let record = InstanceState { last_sent_at: None, ..record };
            by_rule.entry(rule).or_default().push(record);
        }
        let (mut ledger, mut changes, mut refused) = (Ledger::default(), Vec::new(), 0);
        for (rule, records) in by_rule {
            let mut before: BTreeMap<LabelSet, InstanceState> =
                records.iter().map(|record| (record.labels.clone(), record.clone())).collect();
            let (instances, bad) = Instances::restore(records, unseen);
            refused += bad;
            before.retain(|labels, _| instances.get(labels).is_some());
            let book = Book { instances, ..Book::default() };
            changes.extend(book.changes(&rule, &before));
            ledger.books.insert(rule, book);
        }
        ledger.index_holders();
        (ledger, changes, refused)
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
        let alert = book::incoming(book.instances.get(labels)?, &book::source(&rule.file, &rule.group), url);
        Some(IncomingAlert { labels: self.outward.labels(labels)?, ends_at: Some(NEVER), ..alert }.shortened())
    }

    /// Returns a rule's id with the labels that all of its alerts have when they are routed; None: no alert of it is.
    fn witness(&self, rule: &RuleKey) -> Option<(Fingerprint, LabelSet)> {
        let fixed = rule.labels.iter().filter(|(_, value)| !value.contains("{{"));
        let mut labels = LabelSet::from_pairs(fixed).builder();
        labels.set(ALERT_NAME, &rule.name);
        Some((rule_id(rule), self.outward.labels(&labels.build())?))
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

    /// Takes the result of an evaluation; of the alerts in `unseen` it could not tell whether they have ended. `early`: a look between two slots, which may start or advance alerts and ends none.
    pub fn judge(
        &mut self,
        rule: &RuleKey,
        terms: &Arc<RuleTerms>,
        active: Vec<Active>,
        mut unseen: BTreeMap<LabelSet, Unseen>,
        at: Timestamp,
        early: bool,
    ) -> Judgement {
        let book = self.books.entry(rule.clone()).or_default();
        book.terms = Some(terms.clone());
        let id = *book.id.get_or_insert_with(|| rule_id(rule));
        let asked = Terms { hold: terms.hold, keep_firing: terms.keep_firing, limit: terms.limit };
        let before: BTreeMap<LabelSet, InstanceState> =
            book.instances.iter().map(|instance| (instance.labels.clone(), InstanceState::from(instance))).collect();
        let transitions = if early {
            book.instances.look(active, at, &asked)
        } else {
            unseen.retain(|_, why| terms.holding.holds(*why));
            match book.instances.step_holding(active, &unseen, at, &asked) {
                Ok(transitions) => transitions,
                Err(error) => {
                    let news = book.abandon(terms, &before, at);
                    let changes = book.changes(rule, &before);
                    for (labels, _) in before.iter().filter(|(_, record)| record.state == State::Firing) {
                        self.note(rule, labels, Some(false));
                    }
                    let active = before.iter().filter(|(_, record)| record.state != State::Resolved);
                    let lost = active.map(|(labels, _)| steps::step(labels, terms.source(), What::Lost, &self.outward, at));
                    return Judgement {
                        rule: Some(id),
                        steps: lost.collect(),
                        news: self.outward(news),
                        reports: Vec::new(),
                        changes,
                        lost: Some(error),
                    };
                }
            }
        };
        let mut reports = Vec::new();
        let news = book.news(terms, at, self.outward.others.then_some(&mut reports));
        let mut changes = book.changes(rule, &before);
        let steps = steps::steps(terms, &self.outward, &before, book, &changes, at);
        for transition in transitions {
            let fires = match transition {
                Transition::Fired(_) => Some(true),
                Transition::Resolved(_) => Some(false),
                Transition::Pending(_) | Transition::Cleared(_) | Transition::Forgotten(_) => None,
            };
            if self.note(rule, transition.labels(), fires) {
                changes.push(self.happened(transition, at));
            }
        }
        let (news, reports) = (self.outward(news), self.outward_reports(reports));
        Judgement { rule: Some(id), news, reports, changes, steps, lost: None }
    }

    /// Returns reports under the labels with which alerts leave; none of the end of an alert while another of the same labels fires.
    fn outward_reports(&self, reports: Vec<Report>) -> Vec<Report> {
        let outward = |report: Report| {
            let labels = self.outward.labels(&report.labels)?;
            let goes_on = report.is_over && self.holders.contains_key(&labels.fingerprint());
            (!goes_on && !labels.is_empty()).then_some(Report { labels, ..report })
        };
        reports.into_iter().filter_map(outward).collect()
    }

    fn happened(&self, what: Transition, at: Timestamp) -> LedgerChange {
        let labels = self.outward.labels(what.labels()).unwrap_or_else(|| what.labels().clone());
        LedgerChange::Happened { labels, at, what }
    }

    /// Returns the values of ALERTS and ALERTS_FOR_STATE of a rule.
    pub fn series(&self, rule: &RuleKey) -> Vec<(LabelSet, f64)> {
        self.books.get(rule).map_or_else(Vec::new, |book| book.instances.series())
    }

    /// Ends the alerts of every rule that is not among `rules`. Other Alertmanagers are told as well, where Prometheus lets such alerts
    /// run out.
    pub fn keep_only(&mut self, rules: &[RuleKey], now: Timestamp) -> Judgement {
        let kept: BTreeSet<&RuleKey> = rules.iter().collect();
        let gone: Vec<RuleKey> = self.books.keys().filter(|rule| !kept.contains(rule)).cloned().collect();
        let (mut news, mut reports, mut changes, mut steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for rule in gone {
            let Some(book) = self.books.remove(&rule) else { continue };
            for instance in book.instances.active().filter(|instance| instance.state == State::Firing) {
                if self.note(&rule, &instance.labels, Some(false)) {
                    changes.push(self.happened(Transition::Resolved(instance.labels.clone()), now));
                }
                let source = format!("{}/{}", rule.file, rule.group);
                steps.push(steps::step(&instance.labels, source, What::RuleGone, &self.outward, now));
                let ends_at = instance.fired_at.map(|fired_at| fired_at.max(now));
                if self.outward.others {
                    reports.push(Report {
                        labels: instance.labels.clone(),
                        annotations: instance.annotations.clone(),
                        starts_at: instance.fired_at.unwrap_or(now),
                        ends_at: ends_at.unwrap_or(now),
                        is_over: true,
                        generator_url: book.terms.as_ref().map_or_else(String::new, |terms| terms.generator_url.clone()),
                    });
                }
                news.push(IncomingAlert { ends_at, ..book::incoming(instance, &book::source(&rule.file, &rule.group), "") });
            }
            changes.push(LedgerChange::DropRule(rule));
        }
        let (news, reports) = (self.outward(news), self.outward_reports(reports));
        Judgement { news, reports, changes, steps, ..Judgement::default() }
    }

    /// Returns the ends of alerts that claim to be ours and that no rule knows.
    pub fn orphans<'a>(&self, alerts: impl Iterator<Item = &'a Alert>, now: Timestamp) -> Vec<IncomingAlert> {
        alerts
            .filter(|alert| alert.is_of_rule() && !self.holders.contains_key(&alert.fingerprint))
            .map(|alert| IncomingAlert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.to_map(),
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

    /// Returns the labels of every alert that is pending or fires, by rule.
    pub fn active(&self) -> BTreeMap<RuleKey, BTreeSet<LabelSet>> {
        self.books.keys().map(|rule| (rule.clone(), self.active_of(rule))).collect()
    }

    /// Returns the labels of the alerts of one rule that are pending or fire.
    pub fn active_of(&self, rule: &RuleKey) -> BTreeSet<LabelSet> {
        let active = self.of_rule(rule).into_iter().flat_map(Instances::active);
        active.map(|instance| instance.labels.clone()).collect()
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
