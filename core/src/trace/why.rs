//! Why somebody was told of an alert, or nobody: the trace and the outbox, read as one account.

use serde::Serialize;

use crate::model::{Fingerprint, LabelSet};
use crate::route::dispatch::Tree;
use crate::route::dispatch::explain::Step;
use crate::route::dispatch::group::GroupId;
use crate::time::{Span, Timestamp};

use super::{AlertStep, Entry, Flush, Lost, Record, Routes, Said, What, moment};

mod verdict;

pub use verdict::Verdict;

/// What is known of one alert around an instant.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The labels that routing sees.
    pub labels: LabelSet,
    /// The instant that is asked about.
    pub at: Timestamp,
    /// Of the timeline, what lies between these is told.
    pub from: Timestamp,
    pub to: Timestamp,
    /// By number. What is about other alerts only is passed over.
    pub records: Vec<Record>,
    /// Those about the alert.
    pub deliveries: Vec<DeliveryFact>,
    /// What people did with its pages.
    pub people: Vec<(Timestamp, String)>,
}

/// A delivery and what became of it.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFact {
    pub key: String,
    pub id: i64,
    /// Deliveries of one lane are made in order of their ids.
    pub lane: String,
    pub receiver: String,
    pub channel: String,
    /// `pending`, `delivered`, `rejected` or `expired`.
    pub state: String,
    pub next_attempt_at: Timestamp,
    pub attempts: Vec<AttemptFact>,
}

impl DeliveryFact {
    /// Says why it did not arrive.
    fn refusal(&self) -> String {
        let last = self.attempts.last().map_or("it was never tried", |attempt| &attempt.detail);
        if self.state == "rejected" {
            format!("was refused by the provider: {last}")
        } else {
            format!("was tried until its time was over: {last}")
        }
    }
}

#[derive(Clone, Debug)]
pub struct AttemptFact {
    pub at: Timestamp,
    pub outcome: String,
    pub detail: String,
    pub duration: Span,
}

/// Which part of the way from a sample to a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Rule,
    Routing,
    Group,
    Silence,
    Inhibition,
    Interval,
    Delivery,
    Person,
    Service,
}

impl Stage {
    pub fn word(self) -> &'static str {
        match self {
            Stage::Rule => "rule",
            Stage::Routing => "routing",
            Stage::Group => "group",
            Stage::Silence => "silence",
            Stage::Inhibition => "inhibition",
            Stage::Interval => "interval",
            Stage::Delivery => "delivery",
            Stage::Person => "person",
            Stage::Service => "service",
        }
    }
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub at: Timestamp,
    /// When the same was decided last; equal to `at` where it was once.
    pub until: Timestamp,
    pub times: u32,
    pub stage: Stage,
    pub text: String,
    /// What belongs below it.
    pub more: Vec<String>,
}

/// Why an alert was told, or not.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    pub labels: LabelSet,
    pub fingerprint: Fingerprint,
    /// One for each receiver that the alert goes to; one without a receiver where it got to none.
    pub verdicts: Vec<Verdict>,
    /// In order of time.
    pub lines: Vec<Line>,
}

/// Returns the account of an alert.
pub fn why(evidence: &Evidence) -> Account {
    Account {
        labels: evidence.labels.clone(),
        fingerprint: evidence.labels.fingerprint(),
        verdicts: verdict::verdicts(evidence),
        lines: lines(evidence),
    }
}

impl Evidence {
    fn fingerprint(&self) -> Fingerprint {
        self.labels.fingerprint()
    }

    /// Returns what became of the alert, in order of time.
    fn steps(&self) -> Vec<&AlertStep> {
        let mut steps: Vec<&AlertStep> = Vec::new();
        for record in &self.records {
            if let Entry::Alerts(own) = &record.entry {
                steps.extend(own.iter().filter(|step| step.labels == self.labels));
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// Returns what the timers of its groups decided about it.
    fn flushes(&self) -> impl Iterator<Item = (&Record, &Flush)> {
        let alert = self.fingerprint();
        self.records.iter().filter_map(move |record| match &record.entry {
            Entry::Flush(flush) if flush.is_about(alert) => Some((record, flush.as_ref())),
            Entry::Flush(_) | Entry::Lost(_) | Entry::Alerts(_) | Entry::Routes(_) | Entry::Opened { .. } => None,
        })
    }

    /// Returns the routes that held at an instant; the oldest that are known, where it lies before them.
    fn routes_at(&self, at: Timestamp) -> Option<&Routes> {
        let all = self.records.iter().filter_map(|record| match &record.entry {
            Entry::Routes(routes) => Some((record.at, routes.as_ref())),
            Entry::Alerts(_) | Entry::Flush(_) | Entry::Lost(_) | Entry::Opened { .. } => None,
        });
        let (before, behind): (Vec<_>, Vec<_>) = all.partition(|(from, _)| *from <= at);
        before.last().or(behind.first()).map(|(_, routes)| *routes)
    }

    /// Returns from when to when nobody was told of anything after a start, where that covers an instant.
    fn closed_at(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        self.records.iter().find_map(|record| match record.entry {
            Entry::Opened { started_at } if started_at <= at && at < record.at => Some((started_at, record.at)),
            Entry::Opened { .. } | Entry::Alerts(_) | Entry::Flush(_) | Entry::Lost(_) | Entry::Routes(_) => None,
        })
    }

    /// Returns the delivery that has to be settled before another one to the same place.
    fn before_in_lane(&self, delivery: &DeliveryFact) -> Option<&DeliveryFact> {
        let same = |other: &&DeliveryFact| other.lane == delivery.lane && other.id < delivery.id && other.state == "pending";
        self.deliveries.iter().find(same)
    }

    /// Returns what became of what a delivery told that did not arrive.
    fn lost(&self, key: &str) -> Option<(&Record, &Lost)> {
        self.records.iter().find_map(|record| match &record.entry {
            Entry::Lost(lost) if lost.delivery == key => Some((record, lost.as_ref())),
            Entry::Lost(_) | Entry::Alerts(_) | Entry::Flush(_) | Entry::Routes(_) | Entry::Opened { .. } => None,
        })
    }

    fn delivery(&self, key: &str) -> Option<&DeliveryFact> {
        self.deliveries.iter().find(|delivery| delivery.key == key)
    }
}

/// Where labels are routed to.
pub(crate) struct Destination {
    pub group: GroupId,
    pub group_wait: Span,
}

/// Returns where alerts with these labels go, in order of the tree.
pub(crate) fn destinations(tree: &Tree, labels: &LabelSet) -> Vec<Destination> {
    let destination = |index: usize| {
        let node = tree.node(index);
        Destination { group: node.group_of(labels), group_wait: node.group_wait }
    };
    tree.matching(labels).into_iter().map(destination).collect()
}

/// Returns the groups that alerts with these labels have belonged to under the routes of some records, each once.
pub fn groups(records: &[Record], labels: &LabelSet) -> Vec<GroupId> {
    let mut groups = Vec::new();
    for record in records {
        if let Entry::Routes(routes) = &record.entry {
            groups.extend(destinations(&routes.tree(), labels).into_iter().map(|destination| destination.group));
        }
    }
    groups.sort();
    groups.dedup();
    groups
}

/// Returns the way of labels down the tree; nodes that runs page by are left out, and so are branches that nothing takes.
pub fn way(routes: &Routes, labels: &LabelSet) -> Vec<String> {
    routes.tree().explain(labels).iter().map(Step::to_string).collect()
}

fn lines(evidence: &Evidence) -> Vec<Line> {
    let once = |at: Timestamp, stage: Stage, text: String| Line { at, until: at, times: 1, stage, text, more: Vec::new() };
    let mut lines = Vec::new();
    let mut fired = false;
    for step in evidence.steps() {
        let stage = match step.what {
            What::Received { .. }
            | What::Ended
            | What::Flaps { .. }
            | What::PutOff { .. }
            | What::Calm { .. }
            | What::Refused { .. } => Stage::Routing,
            What::Pending { .. }
            | What::Fired { .. }
            | What::Cleared { .. }
            | What::Kept { .. }
            | What::Resolved { .. }
            | What::Held { .. }
            | What::Seen
            | What::Lost
            | What::RuleGone => Stage::Rule,
        };
        let mut line = once(step.at, stage, step.to_string());
        if let Some(own) = &step.own {
            line.more.push(format!("relabelled: its rule calls it {own}"));
        }
        let goes_on = !matches!(step.what, What::Fired { routed: false, .. } | What::PutOff { .. });
        if step.what.fires() == Some(true) && goes_on && !fired {
            line.more.extend(evidence.routes_at(step.at).map(|routes| way(routes, &evidence.labels)).unwrap_or_default());
        }
        fired = step.what.fires().unwrap_or(fired);
        lines.push(line);
    }
    for (record, flush) in evidence.flushes() {
        let (text, more) = flush_words(record, flush, evidence);
        lines.push(Line { at: record.at, until: record.until, times: record.times, stage: Stage::Group, text, more });
    }
    for delivery in &evidence.deliveries {
        for (index, attempt) in delivery.attempts.iter().enumerate() {
            let (id, number, detail) = (delivery.id, index + 1, &attempt.detail);
            let outcome = if attempt.outcome == "retry" { "failed" } else { &attempt.outcome };
            let text = format!(
                "delivery {id} to {} by {}: attempt {number} {outcome} after {}: {detail}",
                delivery.receiver, delivery.channel, attempt.duration
            );
            lines.push(once(attempt.at, Stage::Delivery, text));
        }
        if let Some((record, lost)) = evidence.lost(&delivery.key) {
            let text = format!("delivery {} {}; {}", delivery.id, delivery.refusal(), lost.words(record.at));
            lines.push(once(record.at, Stage::Delivery, text));
        }
    }
    lines.extend(evidence.people.iter().map(|(at, text)| once(*at, Stage::Person, text.clone())));
    let mut routed = false;
    for record in &evidence.records {
        match &record.entry {
            Entry::Opened { started_at } => {
                let text = format!(
                    "Tocsin has started at {}; from here on people are told: what inhibits is known",
                    moment(*started_at, record.at)
                );
                lines.push(once(record.at, Stage::Service, text));
            }
            Entry::Routes(_) if routed => {
                lines.push(once(record.at, Stage::Service, "the routes are others from here on".to_owned()));
            }
            Entry::Routes(_) => routed = true,
            Entry::Alerts(_) | Entry::Flush(_) | Entry::Lost(_) => {}
        }
    }
    lines.retain(|line| line.until >= evidence.from && line.at <= evidence.to);
    lines.sort_by_key(|line| line.at);
    lines
}

/// Says what a timer decided about the alert.
fn flush_words(record: &Record, flush: &Flush, evidence: &Evidence) -> (String, Vec<String>) {
    let alert = evidence.fingerprint();
    let mut stands: Vec<String> =
        flush.holders(alert).map(|holder| format!("held back by {}", holder.words(record.at))).collect();
    if flush.shown.contains(&alert) {
        stands.push("nothing holds the alert back".to_owned());
    }
    if flush.ended.contains(&alert) {
        stands.push("the alert has ended".to_owned());
    }
    if !flush.intervals.is_empty() {
        stands.push(format!("the time interval {} keeps the group silent", flush.intervals.join(", ")));
    }
    let text = format!("the group {} of {} was due: {}", flush.group.key, flush.group.receiver, stands.join("; "));
    let mut more: Vec<String> = flush.said.iter().map(|said| said_words(said, flush, record.at, evidence)).collect();
    if flush.said.is_empty() && flush.intervals.is_empty() {
        more.push(format!("{} has no integration, so nobody is told", flush.group.receiver));
    }
    (text, more)
}

fn said_words(said: &Said, flush: &Flush, at: Timestamp, evidence: &Evidence) -> String {
    let channel = said.integration.split('/').next().unwrap_or(&said.integration);
    match &said.told {
        Some(told) => match &told.delivery {
            Some(key) => {
                let number = evidence.delivery(key).map_or(String::new(), |delivery| format!(", delivery {}", delivery.id));
                let alone = flush.shown.len() + flush.ended.len() == 1;
                let size = if alone { String::new() } else { format!(" with {} alerts", flush.shown.len() + flush.ended.len()) };
                format!("{channel} is told: {}{size}{number}", told.reason.as_str())
            }
            None => format!("{channel} is not told of ends (send_resolved is off)"),
        },
        None => {
            let heard = said.heard_at.map(|heard| format!("it heard of the group at {}", moment(heard, at)));
            let again = said.repeat_at.map(|again| format!("and hears again at {}", moment(again, at)));
            let words: Vec<String> = heard.into_iter().chain(again).collect();
            if words.is_empty() {
                format!("{channel}: nothing to tell")
            } else {
                format!("{channel}: no news; {}", words.join(" "))
            }
        }
    }
}
