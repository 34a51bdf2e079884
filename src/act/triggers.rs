//! What asks for runs on its own: alerts that begin to fire, and schedules whose time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tocsin_core::model::Fingerprint;
use tocsin_core::plane::AlertState;
use tocsin_core::route::alert::{Alert, RULE_SOURCE};
use tocsin_core::route::tree::RUN_ALERT;
use tocsin_core::run::Runbook;
use tocsin_core::run::drill::{self, DrillWord};
use tocsin_core::run::record::{RunRow, ScheduleFireRow};
use tocsin_core::run::runbook::Mode;
use tocsin_core::run::study::Study;
use tocsin_core::run::trigger::{self, Ask, Firing};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::broadcast::error::RecvError;

use super::desk::{Desk, EDITOR};
use super::step::{About, page};
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::DbError;
use crate::db::runs::{RunClass, RunFilter};
use crate::pipeline::hub::{Hub, Topic};
use crate::pipeline::watch::Watch;

/// Stands behind the reference of an alert that no rule of ours has brought.
pub const OUTSIDE: &str = "/outside";
/// Alerts begin no more runs while so many are open: the other places are for people, and for runs that call others.
const OPEN_BY_ALERTS: usize = 300;
/// The same for the runs of one document.
const OPEN_OF_DOCUMENT: usize = 20;
/// Alerts are looked at this often, whether anything was told or not.
const LOOK: Duration = Duration::from_secs(15);
/// Changes that come in quick succession are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// Schedules are looked at this often at least, so that a reload or a step of the clock is noticed.
const LOOK_SCHEDULES: Span = Span::from_secs(20);
/// Firing alerts that are remembered as asked about.
const ASKED_MAX: usize = 200_000;
/// Drills come and go in days.
const LOOK_CADENCES: Duration = Duration::from_secs(600);
/// An overdue drill is told of once a day.
const TELL_AGAIN: Span = Span::from_mins(24 * 60);
const DRILLS_LOOKED_AT: i64 = 50;

/// Returns the alerts of some names, of these fingerprints or of any, that fire and are told to people, as a trigger sees them. A
/// silenced alert starts nothing: somebody is at it.
///
/// Errors: the watch says nothing.
pub async fn firing(
    watch: &Watch,
    names: BTreeSet<String>,
    fingerprints: Option<BTreeSet<Fingerprint>>,
) -> Result<Vec<Firing>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let now = clock::now();
    let is_meant = move |alert: &Alert| {
        let is_one = fingerprints.as_ref().is_none_or(|fingerprints| fingerprints.contains(&alert.fingerprint));
        is_one && alert.name() != RUN_ALERT && names.contains(alert.name())
    };
    let views = watch.ask(move |state| state.plane.alerts_that(is_meant, now)).await.map_err(|error| error.to_string())?;
    let told = views.into_iter().filter(|view| view.state != AlertState::Suppressed);
    let firing = told.map(|view| Firing {
        name: view.alert.name().to_owned(),
        reference: reference(&view.alert),
        labels: view.alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    });
    Ok(firing.collect())
}

/// Returns what an alert and its start are known by.
fn reference(alert: &Alert) -> String {
    let outside = if is_ours(alert) { "" } else { OUTSIDE };
    format!("{}@{}{outside}", alert.fingerprint, alert.starts_at.0)
}

/// Returns whether an alert is that of a rule of ours. Any responder may hand us others.
fn is_ours(alert: &Alert) -> bool {
    alert.source.starts_with(RULE_SOURCE)
}

/// Begins what alerts ask for, for ever.
pub async fn watch_alerts(desk: Desk, watch: Watch, hub: Hub) {
    let mut changes = hub.listen(None).1;
    let mut asked: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        let names = trigger::alert_names(desk.documents().values().map(|document| &*document.runbook));
        match firing(&watch, names, None).await {
            Ok(firing) => ask_for(&desk, &firing, &mut asked).await,
            Err(why) => tracing::warn!(why, "cannot look at alerts that may start runs"),
        }
        let changed = async {
            loop {
                match changes.recv().await {
                    Ok(change) if change.topic == Topic::Alerts => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    // The service is stopping.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Whether it was told or is time makes no difference.
        let _ = tokio::time::timeout(LOOK, changed).await;
        tokio::time::sleep(SETTLE).await;
    }
}

async fn ask_for(desk: &Desk, firing: &[Firing], asked: &mut BTreeSet<(String, String)>) {
    let documents = desk.documents();
    let standing: BTreeSet<&str> = firing.iter().map(|alert| alert.reference.as_str()).collect();
    asked.retain(|(reference, _)| standing.contains(reference.as_str()));
    for alert in firing {
        for ask in trigger::of_alert(documents.values().map(|document| &*document.runbook), alert) {
            let key = (alert.reference.clone(), ask.doc_id.clone());
            let (open, own) = desk.counts(&ask.doc_id);
            if ask.mode == Mode::Suggest || asked.contains(&key) || open >= OPEN_BY_ALERTS || own >= OPEN_OF_DOCUMENT {
                continue;
            }
            let mut ask = ask;
            // Whoever may hand us an alert may not run whatever an alert may.
            if ask.mode == Mode::Auto && alert.reference.ends_with(OUTSIDE) {
                ask.mode = Mode::Approve;
            }
            // What cannot be begun now is asked for again at the next look.
            if begin(desk, ask).await && asked.len() < ASKED_MAX {
                asked.insert(key);
            }
        }
    }
}

/// Begins a run; returns whether the wish is settled.
async fn begin(desk: &Desk, ask: Ask) -> bool {
    let (document, starter) = (ask.doc_id.clone(), ask.starter.clone());
    match desk.start(ask).await {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(document, starter, error = with_causes(&error), "cannot begin a run");
            false
        }
    }
}

/// Begins what schedules ask for, for ever.
pub async fn watch_schedules(desk: Desk) {
    let since = clock::now();
    loop {
        let runbooks: Vec<_> = desk.documents().values().map(|document| document.runbook.clone()).collect();
        let last = match last_fires(&desk, &runbooks).await {
            Ok(last) => last,
            Err(error) => {
                tracing::error!(error = with_causes(&error), "cannot read when schedules came due last; trying again");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        // A schedule that nobody has seen before begins now: its past is nobody's promise.
        let now = clock::now();
        // A clock that was ahead has settled instants that are still to come; they come again.
        let of = |id: &str| last.get(id).copied().unwrap_or(since).min(now);
        for runbook in &runbooks {
            let fired = trigger::of_schedules(runbook, of, now);
            if fired.fires.is_empty() {
                continue;
            }
            if let Err(error) = fire(&desk, fired).await {
                tracing::error!(
                    document = runbook.metadata.id,
                    error = with_causes(&error),
                    "cannot store what a schedule came to"
                );
            }
        }
        let next = runbooks.iter().filter_map(|runbook| trigger::next_due(runbook, |id| of(id).max(now))).min();
        let look = now + LOOK_SCHEDULES;
        clock::sleep_until(next.map_or(look, |next| next.min(look))).await;
    }
}

/// Pages when a drill is so long overdue that its document wants people told, for ever.
pub async fn watch_cadences(desk: Desk) {
    let mut told: BTreeMap<String, Timestamp> = BTreeMap::new();
    loop {
        let documents = desk.documents();
        for document in documents.values() {
            let (runbook, now) = (&document.runbook, clock::now());
            let Some(Study::Drill(study)) = &runbook.study else { continue };
            let Some(cadence) = &study.cadence else { continue };
            // Since when a drill could have been held shows when its document was first kept.
            if let Err(error) = desk.parts().db.put_version(&runbook.version(EDITOR, now)).await {
                tracing::error!(error = with_causes(&error), "cannot keep the version of a drill");
                continue;
            }
            let last = match last_drilled(&desk, runbook).await {
                Ok(last) => last.unwrap_or(now),
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "cannot read when a drill was held last; trying again");
                    continue;
                }
            };
            let id = &runbook.metadata.id;
            if !drill::standing(cadence, last, now).alert {
                told.remove(id);
            } else if told.get(id).is_none_or(|at| now - *at >= TELL_AGAIN) {
                let text = format!(
                    "The drill {} ({id}) was held last on {last}; it is to be held every {}",
                    runbook.metadata.title, cadence.every
                );
                let about = About {
                    platform: runbook.metadata.platform.clone(),
                    document: id.clone(),
                    slug: runbook.metadata.slug.clone(),
                };
                match page::tell(&desk.parts().means, &about, "warning", &format!("drill-overdue/{id}"), &text).await {
                    Ok(()) => drop(told.insert(id.clone(), now)),
                    Err(why) => tracing::error!(drill = id, why, "cannot tell people that a drill is overdue; trying again"),
                }
            }
        }
        tokio::time::sleep(LOOK_CADENCES).await;
    }
}

/// Returns when a drill last showed something, or else when its document was first used; none: never.
pub async fn last_drilled(desk: &Desk, runbook: &Runbook) -> Result<Option<Timestamp>, DbError> {
    let db = &desk.parts().db;
    let filter = RunFilter {
        class: Some(RunClass::Ended),
        doc: Some(runbook.metadata.id.clone()),
        limit: DRILLS_LOOKED_AT,
        ..RunFilter::default()
    };
    let words = [DrillWord::Met, DrillWord::Missed, DrillWord::Tabletop].map(DrillWord::word);
    let held = |row: &RunRow| !row.dry_run && row.verdict.as_deref().is_some_and(|verdict| words.contains(&verdict));
    let last = db.runs(&filter).await?.iter().filter(|row| held(row)).filter_map(|row| row.ended_at).max();
    match last {
        Some(last) => Ok(Some(last)),
        None => Ok(db.first_version(&runbook.metadata.id).await?.map(|version| version.created_at)),
    }
}

async fn last_fires(desk: &Desk, runbooks: &[std::sync::Arc<Runbook>]) -> Result<BTreeMap<String, Timestamp>, DbError> {
    let ids: Vec<String> = runbooks.iter().flat_map(|runbook| trigger::schedule_ids(runbook)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    desk.parts().db.schedule_last(&ids).await
}

/// Begins the runs of instants that have come, and notes the instants as settled. The run first: its reference is the instant, so
/// whoever dies in between asks for the same run once more.
async fn fire(desk: &Desk, fired: trigger::Fired) -> Result<(), DbError> {
    let mut fires: Vec<ScheduleFireRow> = fired.fires;
    for ask in fired.asks {
        let reference = ask.trigger_ref.clone().unwrap_or_default();
        match desk.start(ask).await {
            Ok(row) => {
                let due = fires.iter_mut().find(|fire| format!("{}@{}", fire.schedule_id, fire.due.0) == reference);
                due.into_iter().for_each(|fire| fire.run_id = Some(row.id.clone()));
            }
            Err(error) => {
                tracing::error!(reference, error = with_causes(&error), "cannot begin a run that is due; it is tried again");
                fires.retain(|fire| format!("{}@{}", fire.schedule_id, fire.due.0) != reference);
            }
        }
    }
    desk.parts().db.add_fires(&fires).await
}
