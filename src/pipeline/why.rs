//! Reads what is known of alerts around an instant: the trace, the outbox, the pages, and what the watch has in mind.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Fingerprint, LabelSet, MatchOp, Matcher};
use tocsin_core::page::{Page, TimelineKind};
use tocsin_core::route::alert::ALERT_NAME;
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::history::History;
use tocsin_core::trace::why::{AttemptFact, DeliveryFact, Evidence, groups};
use tocsin_core::trace::{ALERTS, AlertStep, Entry, OPENED, ROUTES, Record, Told, What, subject};

use super::picture::pictures;
use super::watch::{Watch, WatchError};
use crate::clock;
use crate::db::deliveries::Attempt;
use crate::db::{Db, DbError};

/// Of alerts that are meant so many are told of.
const ALERTS_MAX: usize = 10;
/// To find how an alert began that fires for long, so many records at a time, and so many times, are read back.
const BACK_RECORDS: i64 = 200;
const BACK_TIMES: usize = 25;
/// A start may be over only after the instant that is asked about.
const START_MAX: Span = Span::from_mins(5);

/// Of the trace so much is read, as it is stored, to say what a silence would have muted.
const HISTORY_BYTES_MAX: i64 = 32 << 20;

/// How far back was read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub from: Timestamp,
    /// Whether that is as far as was asked for, or as there is anything.
    pub is_complete: bool,
}

/// Reads the trace since an instant, the oldest first; where that is too much, the newest of it.
pub async fn read_history(db: &Db, mut history: History, from: Timestamp) -> Result<(History, Read), DbError> {
    let (mut number, is_complete) = db.trace_since(from, HISTORY_BYTES_MAX).await?;
    let mut oldest = None;
    loop {
        let rows = db.trace_rows(number).await?;
        if rows.is_empty() {
            break;
        }
        let work = tokio::task::spawn_blocking(move || {
            let mut last: Option<Record> = None;
            let mut first = None;
            for row in &rows {
                let record = row.record()?;
                first = first.or(Some(record.at));
                history.take(&record);
                last = Some(record);
            }
            Ok::<_, DbError>((history, first, last.map(|last| last.number)))
        });
        let (read, first, last) = work.await.expect("reading does not panic")?;
        history = read;
        oldest = oldest.or(first);
        let Some(last) = last else { break };
        number = last + 1;
    }
    let from = if is_complete { from } else { oldest.unwrap_or(from) };
    Ok((history, Read { from, is_complete }))
}

/// Which alerts are meant.
#[derive(Clone, Debug)]
pub enum Chosen {
    Fingerprint(Fingerprint),
    Matchers(Vec<Matcher>),
}

impl Chosen {
    fn fits(&self, labels: &LabelSet) -> bool {
        match self {
            Chosen::Fingerprint(fingerprint) => labels.fingerprint() == *fingerprint,
            Chosen::Matchers(matchers) => all_match(matchers, labels),
        }
    }

    /// Returns the name of the alerts that are meant, where only one can be.
    pub fn name(&self) -> Option<&str> {
        let Chosen::Matchers(matchers) = self else { return None };
        let named = matchers.iter().find(|matcher| matcher.name == ALERT_NAME && matcher.op == MatchOp::Equal);
        named.map(|matcher| matcher.value.as_str())
    }

    /// Returns the labels that alerts which are meant have for certain.
    pub fn labels(&self) -> LabelSet {
        let Chosen::Matchers(matchers) = self else { return LabelSet::empty() };
        let equal = matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty());
        LabelSet::from_pairs(equal.map(|matcher| (&matcher.name, &matcher.value)))
    }
}

/// The instant that is asked about, and what lies around it.
#[derive(Clone, Copy, Debug)]
pub struct When {
    pub at: Timestamp,
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// What is known.
#[derive(Debug)]
pub struct Known {
    /// One for each alert, those first that were last heard of.
    pub alerts: Vec<Evidence>,
    /// How many more are meant.
    pub more: usize,
    /// The routes that held at the instant.
    pub routes: Vec<Record>,
}

/// What the watch has in mind and has not written down.
struct Live {
    alerts: Vec<LabelSet>,
    stretches: BTreeMap<i64, (Timestamp, u32)>,
    closed: Option<(Timestamp, Timestamp)>,
}

/// Returns what is known of the alerts that are meant.
pub async fn known(db: &Db, watch: &Watch, chosen: &Chosen, when: When) -> Result<Known, WhyError> {
    let (meant, now) = (chosen.clone(), clock::now());
    let live = watch
        .ask(move |state| Live {
            alerts: pictures(state, now).into_iter().map(|picture| picture.labels).filter(|labels| meant.fits(labels)).collect(),
            stretches: state.plane.stretches().map(|stretch| (stretch.record, (stretch.until, stretch.times))).collect(),
            closed: state.plane.closed(),
        })
        .await?;
    let records = db.trace(ALERTS, chosen.name().unwrap_or(""), when.from, when.to).await?;
    let mut heard: BTreeMap<LabelSet, Timestamp> = live.alerts.iter().map(|labels| (labels.clone(), when.at)).collect();
    for step in steps(&records).filter(|step| chosen.fits(&step.labels)) {
        let last = heard.entry(step.labels.clone()).or_insert(step.at);
        *last = (*last).max(step.at);
    }
    let mut meant: Vec<(LabelSet, Timestamp)> = heard.into_iter().collect();
    meant.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
    let more = meant.len().saturating_sub(ALERTS_MAX);
    meant.truncate(ALERTS_MAX);
    let mut alerts = Vec::new();
    for (labels, _) in meant {
        alerts.push(evidence(db, &live, &records, labels, when).await?);
    }
    let routes = db.trace_before(ROUTES, "", Timestamp(when.at.0.saturating_add(1)), 1).await?;
    Ok(Known { alerts, more, routes })
}

fn steps(records: &[Record]) -> impl Iterator<Item = &AlertStep> {
    records.iter().flat_map(|record| match &record.entry {
        Entry::Alerts(steps) => steps.as_slice(),
        Entry::Flush(_) | Entry::Lost(_) | Entry::Routes(_) | Entry::Opened { .. } => &[],
    })
}

/// Returns whether an alert begins with a step.
fn begins(step: &AlertStep) -> bool {
    matches!(step.what, What::Pending { .. } | What::Received { .. } | What::Fired { .. })
}

async fn evidence(db: &Db, live: &Live, records: &[Record], labels: LabelSet, when: When) -> Result<Evidence, WhyError> {
    let own = |record: &Record| {
        let steps: Vec<AlertStep> = steps(std::slice::from_ref(record)).filter(|step| step.labels == labels).cloned().collect();
        (!steps.is_empty()).then(|| Record { entry: Entry::Alerts(steps), ..record.clone() })
    };
    let mut records: Vec<Record> = records.iter().filter_map(own).collect();
    let is_early = |step: &&AlertStep| step.at <= when.at;
    if !steps(&records).filter(is_early).any(begins) {
        let earlier = beginning(db, &labels, when.from).await?;
        records.splice(0..0, earlier.iter().filter_map(own));
    }
    let since = steps(&records).map(|step| step.at).min().map_or(when.from, |first| first.min(when.from));
    let mut routes = db.trace_before(ROUTES, "", since, 1).await?;
    routes.extend(db.trace(ROUTES, "", since, when.to).await?);
    let mut flushes = Vec::new();
    for group in groups(&routes, &labels) {
        flushes.extend(db.trace(&subject(&group), "", since, when.to).await?);
    }
    for record in &mut flushes {
        if let Some((until, times)) = live.stretches.get(&record.number) {
            (record.until, record.times) = (*until, *times);
        }
    }
    let alert = labels.fingerprint();
    flushes.retain(|record| match &record.entry {
        Entry::Flush(flush) => flush.is_about(alert),
        // Which of them matter is known by their deliveries.
        Entry::Lost(_) => true,
        Entry::Alerts(_) | Entry::Routes(_) | Entry::Opened { .. } => false,
    });
    let deliveries = deliveries(db, &flushes).await?;
    let people = people(db, &flushes).await?;
    let opened = db.trace(OPENED, "", since, Timestamp(when.to.0.saturating_add(START_MAX.0))).await?;
    let closed = live.closed.map(|(started_at, until)| {
        let entry = Entry::Opened { started_at };
        Record { number: i64::MAX, at: until, until, times: 1, entry }
    });
    records.extend(routes.into_iter().chain(flushes).chain(opened).chain(closed));
    records.sort_by_key(|record| record.number);
    Ok(Evidence { labels, at: when.at, from: since.min(when.from), to: when.to, records, deliveries, people })
}

/// Returns the records from which an alert began that was there already at an instant.
async fn beginning(db: &Db, labels: &LabelSet, mut before: Timestamp) -> Result<Vec<Record>, DbError> {
    let mut found: Vec<Record> = Vec::new();
    for _ in 0..BACK_TIMES {
        let records = db.trace_before(ALERTS, labels.get(ALERT_NAME), before, BACK_RECORDS).await?;
        let Some(oldest) = records.last().map(|record| record.at) else { break };
        for record in records {
            let is_start = steps(std::slice::from_ref(&record)).any(|step| step.labels == *labels && begins(step));
            found.push(record);
            if is_start {
                found.reverse();
                return Ok(found);
            }
        }
        before = oldest;
    }
    found.reverse();
    Ok(found)
}

async fn deliveries(db: &Db, flushes: &[Record]) -> Result<Vec<DeliveryFact>, DbError> {
    let mut keys: Vec<String> = Vec::new();
    for record in flushes {
        if let Entry::Flush(flush) = &record.entry {
            let told = flush.said.iter().filter_map(|said| said.told.as_ref());
            keys.extend(told.filter_map(|Told { delivery, .. }| delivery.clone()));
        }
    }
    let rows = db.deliveries_of(&keys).await?;
    let mut attempts: BTreeMap<i64, Vec<AttemptFact>> = BTreeMap::new();
    for Attempt { delivery_id, at, outcome, detail, duration_ms, .. } in db.attempts(&rows).await? {
        attempts.entry(delivery_id).or_default().push(AttemptFact { at, outcome, detail, duration: Span(duration_ms) });
    }
    let fact = |row: crate::db::deliveries::OutboxRow| DeliveryFact {
        attempts: attempts.remove(&row.id).unwrap_or_default(),
        key: row.key,
        id: row.id,
        lane: row.lane,
        receiver: row.receiver,
        channel: row.channel,
        state: row.state.word().to_owned(),
        next_attempt_at: row.next_attempt_at,
    };
    Ok(rows.into_iter().map(fact).collect())
}

/// Returns what people did with the pages of an alert.
async fn people(db: &Db, flushes: &[Record]) -> Result<Vec<(Timestamp, String)>, DbError> {
    let page = |record: &Record| match &record.entry {
        Entry::Flush(flush) => flush.page.clone(),
        Entry::Alerts(_) | Entry::Lost(_) | Entry::Routes(_) | Entry::Opened { .. } => None,
    };
    let ids: BTreeSet<String> = flushes.iter().filter_map(page).collect();
    let mut done = Vec::new();
    for id in ids {
        let Some(page) = db.page::<Page>(&id).await? else { continue };
        let of_people = |kind: TimelineKind| matches!(kind, TimelineKind::Acknowledged | TimelineKind::Unacknowledged);
        for entry in page.timeline.iter().filter(|entry| of_people(entry.kind)) {
            let who = entry.by.as_deref().unwrap_or("somebody");
            let what = if entry.kind == TimelineKind::Acknowledged { "took" } else { "gave back" };
            done.push((entry.at, format!("{who} {what} the page \"{}\" of {}", page.title, page.group.receiver)));
        }
    }
    Ok(done)
}
