//! The task that owns the objectives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tocsin_core::ledger::Judged;
use tocsin_core::model::{Cell, LabelSet, Row as Samples, STALE, Value};
use tocsin_core::promql::evaluate::Options;
use tocsin_core::slo::{self, Pace, Row};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{mpsc, watch};

use super::super::fault::{self, guarded};
use super::super::hub::Topic;
use super::count::{Stretch, begin, count, resume};
use super::own::{Coming, Own};
use super::{Change, Handle, Parts, Shared};
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::db::DbError;

/// The step of all ledgers, and how long late samples are waited for.
const STEP: Span = Span::from_secs(15);
/// What was counted waits for the rest of the round at most this long before it is stored and told.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// Catching up goes on for this long at a time, and rests for as long as it took.
const STRETCH: Duration = Duration::from_millis(50);
/// Waits between tries at recording.
const RECORD_WAIT: Span = Span(100);
const RECORD_WAIT_MAX: Span = Span::from_secs(10);
/// The first look for old rows comes this long after the start, further ones after a longer while.
const SWEEP_FIRST: Span = Span::from_mins(5);
const SWEEP_EVERY: Span = Span::from_mins(60);
/// Rows of an objective that is in the files no more are kept this long, in case it comes back.
const GONE_MAX: Span = Span::from_mins(30 * 24 * 60);
/// What is said of an objective after a panic.
const FAULT: &str = "counting ended in a fault of Tocsin; the log has more";

/// Old rows that are to be deleted.
enum Sweep {
    Older {
        id: String,
        tier_ms: i64,
        before: Timestamp,
    },
    /// Look for objectives that are in the files no more.
    Gone,
}

/// The work behind the door.
pub struct Work {
    parts: Parts,
    shown: Handle,
    changes: mpsc::Receiver<Change>,
    pace: Pace,
    options: Options,
    owns: BTreeMap<String, Own>,
    /// When the next step is complete.
    due: Timestamp,
    /// How long work between the steps rests.
    rest: Duration,
    sweeps: Vec<Sweep>,
    sweep_at: Timestamp,
}

impl Work {
    pub(super) fn new(parts: Parts, shown: Handle, changes: mpsc::Receiver<Change>) -> Work {
        Work {
            parts,
            shown,
            changes,
            pace: Pace::default(),
            options: Options::default(),
            owns: BTreeMap::new(),
            due: Timestamp::MIN,
            rest: Duration::ZERO,
            sweeps: Vec::new(),
            sweep_at: clock::now() + SWEEP_FIRST,
        }
    }

    /// Works until told to stop, or until the door is gone. Alerts and series stay as they are, for the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let ingest = self.parts.ingest.clone();
        loop {
            let ended = tokio::select! {
                // An error means that the asker has gone, which is a stop too.
                _ = stop.wait_for(|stop| *stop) => return,
                ended = guarded(&ingest, "the objectives", self.work()) => ended,
            };
            if ended.is_some() {
                return;
            }
            // Nobody knows how far the work had come; what is stored is whole.
            self.owns.values_mut().for_each(Own::forget);
            tokio::time::sleep(fault::REST).await;
        }
    }

    async fn work(&mut self) {
        loop {
            self.parts.pulse.beat();
            let is_waiting = !self.sweeps.is_empty() || self.waiting(clock::now()).is_some();
            tokio::select! {
                biased;
                change = self.changes.recv() => match change {
                    Some(change) => self.replace(change),
                    None => return,
                },
                () = clock::sleep_until(self.due) => {
                    self.due = self.pace.next_due(clock::now());
                    self.step().await;
                    // However long the steps take, something is done between them.
                    self.between().await;
                }
                () = tokio::time::sleep(self.rest), if is_waiting => self.between().await,
            }
        }
    }

    fn replace(&mut self, change: Change) {
        self.options = change.options;
        let mut before = std::mem::take(&mut self.owns);
        for definition in change.definitions {
            let id = definition.id.clone();
            let url = &self.parts.external_url;
            let own = match before.remove(&id) {
                Some(mut own) => {
                    own.redefine(definition, url, STEP);
                    own
                }
                None => Own::new(definition, url, STEP),
            };
            self.shown.show(&id, Some(own.shown()));
            self.owns.insert(id, own);
        }
        let now = clock::now();
        for (id, own) in before {
            self.parts.ingest.end(now, own.written.iter());
            self.shown.show(&id, None);
        }
        self.rest = Duration::ZERO;
        self.parts.hub.tell(Topic::Objectives, None);
        // An asker that has gone needs no answer.
        let _ = change.done.send(());
    }

    fn show(&self, id: &str) {
        if let Some(own) = self.owns.get(id) {
            self.shown.show(id, Some(own.shown()));
        }
    }

    /// Counts every objective up to the step that has just been completed.
    async fn step(&mut self) {
        let (now, watch) = (clock::now(), Stopwatch::start());
        let is_due = |own: &&Own| own.counts.is_some() && !own.is_behind && own.not_before <= now;
        let ids: Vec<String> = self.owns.values().filter(is_due).map(|own| own.definition.id.clone()).collect();
        let (mut told, mut waits) = (Vec::new(), Stopwatch::start());
        for id in ids {
            let Some(counts) = self.owns.get(&id).and_then(|own| own.counts.clone()) else { continue };
            told.extend(self.count(&id, counts).await.map(|stretch| (id, stretch)));
            if waits.elapsed() > TELL_AFTER {
                self.tell(std::mem::take(&mut told)).await;
                waits = Stopwatch::start();
            }
        }
        self.tell(told).await;
        self.parts.metrics.objective_seconds.observe(watch.seconds());
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP_EVERY;
            self.plan_sweeps();
        }
        if !self.owns.is_empty() {
            self.parts.hub.tell(Topic::Objectives, None);
        }
    }

    /// Returns the objective that is to be worked at between the steps: first those that alerts wait for.
    fn waiting(&self, now: Timestamp) -> Option<&Own> {
        let of = |test: fn(&Own) -> bool| self.owns.values().find(|own| own.is_waiting(now) && test(own));
        of(|own| own.is_behind)
            .or_else(|| of(|own| !own.is_loaded))
            .or_else(|| {
                // What goes on from stored counts has less to read than what begins.
                of(|own| own.coming.as_ref().is_some_and(|coming| coming.stored_until.is_some()))
            })
            .or_else(|| of(|_| true))
    }

    /// Does a piece of the work that need not be done at a step.
    async fn between(&mut self) {
        let watch = Stopwatch::start();
        match self.waiting(clock::now()).map(|own| own.definition.id.clone()) {
            Some(id) => self.catch_up(&id).await,
            None => self.sweep().await,
        }
        self.rest = watch.elapsed();
    }

    async fn catch_up(&mut self, id: &str) {
        let Some(own) = self.owns.get_mut(id) else { return };
        if let Some(counts) = own.counts.clone().filter(|_| own.is_behind) {
            if let Some(stretch) = self.count(id, counts).await {
                self.tell(vec![(id.to_owned(), stretch)]).await;
            }
        } else if !own.is_loaded {
            self.load(id).await;
        } else if let Some(counts) = own.coming.as_ref().map(|coming| coming.counts.clone())
            && let Some(stretch) = self.count(id, counts).await
        {
            self.come(id, stretch).await;
        }
        self.show(id);
    }

    /// Counts one stretch; None after a fault.
    async fn count(&mut self, id: &str, counts: Shared) -> Option<Stretch> {
        self.parts.pulse.beat();
        let (now, what) = (clock::now(), format!("counting the objective {id}"));
        let work = count(&self.parts.ingest.store, &self.options, &counts, now, STRETCH);
        let stretch = guarded(&self.parts.ingest, &what, work).await;
        let own = self.owns.get_mut(id)?;
        match &stretch {
            Some(stretch) => {
                own.refused += stretch.refused;
                own.tried(stretch.error.clone(), stretch.seconds, now);
                if stretch.error.is_some() {
                    self.parts.metrics.objective_errors.inc();
                }
            }
            None => {
                own.forget();
                own.tried(Some(FAULT.to_owned()), 1.0, now);
                self.parts.metrics.objective_errors.inc();
                self.show(id);
            }
        }
        stretch
    }

    /// Finds what is stored of an objective; counts begin anew when that is of no use.
    async fn load(&mut self, id: &str) {
        let (now, watch) = (clock::now(), Stopwatch::start());
        let Some(definition) = self.owns.get(id).map(|own| own.definition.clone()) else { return };
        let coming = match self.parts.db.slo_rows(id).await {
            Ok(rows) => {
                let what = format!("reading the counts of the objective {id}");
                guarded(&self.parts.ingest.clone(), &what, self.coming(definition, rows, now)).await.transpose()
            }
            Err(error) => Err(error).map(Some),
        };
        let Some(own) = self.owns.get_mut(id) else { return };
        match coming {
            Ok(Some(coming)) => {
                // One that begins has no alerts that anybody could wait for.
                own.was_tried |= coming.stored_until.is_none();
                (own.coming, own.is_loaded) = (Some(coming), true);
            }
            Ok(None) => own.tried(Some(FAULT.to_owned()), 1.0, now),
            Err(error) => {
                let error = format!("the stored counts cannot be read: {}", with_causes(&error));
                own.tried(Some(error), watch.seconds().max(1.0), now);
            }
        }
    }

    async fn coming(
        &self,
        definition: std::sync::Arc<slo::Definition>,
        rows: Vec<Row>,
        now: Timestamp,
    ) -> Result<Coming, DbError> {
        let hash = definition.hash();
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.definition == hash).collect();
        if !rows.is_empty() {
            match resume(definition.clone(), self.pace, rows).await {
                Ok((standing, added)) => {
                    let stored_until = Some(standing.ledger().last().0);
                    return Ok(Coming { counts: shared(standing), stored_until, added });
                }
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "the objective is counted anew");
                    // What was stored in part before a crash would stand in the way of what is stored next.
                    self.parts.db.forget_objective(&definition.id).await?;
                }
            }
        }
        let standing = begin(&self.parts.ingest.store, definition, self.pace, now).await;
        Ok(Coming { counts: shared(standing), stored_until: None, added: Vec::new() })
    }

    /// Takes what a stretch of catching up brought: once it is the last one, the counts take the place of those before.
    async fn come(&mut self, id: &str, stretch: Stretch) {
        let Some(own) = self.owns.get_mut(id) else { return };
        let Some(coming) = own.coming.take_if(|_| stretch.is_current && stretch.error.is_none()) else { return };
        let (rows, hash) = {
            let standing = coming.counts.lock().expect("counts after a fault are read anew");
            let after = coming.stored_until.unwrap_or(Timestamp::MIN);
            let mut rows = standing.ledger().rows();
            rows.retain(|row| row.at_ms > after.0);
            // In order of time, so that a part of them is as good as the whole of a shorter time.
            rows.sort_by_key(|row| (row.at_ms, row.tier_ms));
            (rows, standing.definition().hash())
        };
        own.added = [coming.added, rows].concat();
        own.counts = Some(coming.counts);
        self.tell(vec![(id.to_owned(), Stretch { rows: Vec::new(), ..stretch })]).await;
        let mut wait = RECORD_WAIT;
        while let Err(error) = self.parts.db.forget_other_counts(id, &hash).await {
            self.wait_for_record(&error, &mut wait).await;
        }
    }

    /// Stores what was counted, has it judged, and writes the series.
    async fn tell(&mut self, told: Vec<(String, Stretch)>) {
        let mut rows = Vec::new();
        for (id, stretch) in &told {
            rows.extend(self.owns.get_mut(id).map(|own| std::mem::take(&mut own.added)).unwrap_or_default());
            rows.extend(stretch.rows.iter().cloned());
        }
        let mut wait = RECORD_WAIT;
        while let Err(error) = self.parts.db.add_slo_rows(&rows).await {
            self.wait_for_record(&error, &mut wait).await;
        }
        for (id, stretch) in told {
            self.tell_one(&id, stretch).await;
            self.show(&id);
        }
    }

    async fn tell_one(&mut self, id: &str, stretch: Stretch) {
        let Some(own) = self.owns.get_mut(id) else { return };
        own.is_behind = !stretch.is_current && stretch.error.is_none();
        own.was_tried |= stretch.is_current;
        let Some(counts) = own.counts.clone().filter(|_| stretch.is_current) else { return };
        let (at, mut series) = counts.lock().expect("counts after a fault are read anew").series();
        for judged in stretch.judged {
            // Those of a definition that was, while its successor catches up, may have been taken out of the files.
            let Some((rule, terms)) = own.rules.iter().find(|(rule, _)| **rule == judged.rule) else { continue };
            let slo::Judged { active, at, .. } = judged;
            let judged = Judged { rule: rule.clone(), terms: terms.clone(), active, unseen: BTreeMap::new(), at, early: false };
            if let Ok(alerts) = self.parts.watch.judged(judged).await {
                series.extend(alerts.series);
            }
        }
        self.write(id, at, series);
    }

    /// Writes samples, and the ends of the series that are not among them any more.
    fn write(&mut self, id: &str, at: Timestamp, samples: Vec<(LabelSet, f64)>) {
        let Some(own) = self.owns.get_mut(id) else { return };
        let written: BTreeSet<LabelSet> = samples.iter().map(|(labels, _)| labels.clone()).collect();
        let ended = own.written.difference(&written).map(|labels| (labels.clone(), STALE));
        let cell = |(labels, value): (LabelSet, f64)| {
            Some(Cell { series: self.parts.ingest.resolve(&labels)?, at: None, value: Value::Float(value) })
        };
        let cells: Vec<Cell> = samples.into_iter().chain(ended).filter_map(cell).collect();
        self.parts.ingest.append(&Samples { at, cells });
        own.written = written;
    }

    /// Waits before the database is asked again: nobody is told of what it has not taken.
    async fn wait_for_record(&self, error: &DbError, wait: &mut Span) {
        self.parts.pulse.beat();
        self.parts.metrics.record_errors.inc();
        tracing::error!(
            error = with_causes(error),
            "cannot record the counts of objectives; trying again, nobody is told before"
        );
        tokio::time::sleep(wait.to_std()).await;
        *wait = Span((wait.0 * 2).min(RECORD_WAIT_MAX.0));
    }

    fn plan_sweeps(&mut self) {
        for (id, own) in &self.owns {
            let cutoffs = own.counts.as_ref().and_then(|counts| Some(counts.lock().ok()?.ledger().cutoffs()));
            let older = |(tier_ms, before)| Sweep::Older { id: id.clone(), tier_ms, before };
            self.sweeps.extend(cutoffs.into_iter().flatten().map(older));
        }
        self.sweeps.push(Sweep::Gone);
    }

    /// Deletes old rows of one tier, or of objectives that are gone.
    async fn sweep(&mut self) {
        let done = match self.sweeps.pop() {
            None => Ok(()),
            Some(Sweep::Older { id, tier_ms, before }) => self.parts.db.drop_slo_rows(&id, tier_ms, before).await,
            Some(Sweep::Gone) => self.forget_gone().await,
        };
        if let Err(error) = done {
            tracing::error!(error = with_causes(&error), "old counts of objectives cannot be swept out");
        }
    }

    async fn forget_gone(&self) -> Result<(), DbError> {
        let before = clock::now() - GONE_MAX;
        for stored in self.parts.db.slo_ids().await? {
            if !self.owns.contains_key(&stored.id) && stored.until < before {
                self.parts.db.forget_objective(&stored.id).await?;
                tracing::info!(objective = stored.id, "the counts of an objective that is gone were forgotten");
            }
        }
        Ok(())
    }
}

fn shared(standing: slo::Standing) -> Shared {
    std::sync::Arc::new(std::sync::Mutex::new(standing))
}
