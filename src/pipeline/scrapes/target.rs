//! Scrapes one target until told to stop.

use std::sync::{Arc, Mutex, RwLock};

use tocsin_core::model::{Claim, LabelSet};
use tocsin_core::scrape::body::{Outcome, TargetState};
use tocsin_core::scrape::job::Job;
use tocsin_core::scrape::media::accept_header;
use tocsin_core::scrape::target::Target;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{crash, fault};
use super::{Landed, MetadataBook, Parts, SeriesStatus, Stop, TargetId, TargetStatus, note_metadata};
use crate::client;
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::scrape::fetch::{Fetched, Fetcher};
use crate::telemetry::limits::Refusals;

/// Bodies longer than this are read away from the threads that drive the network.
const BIG_BODY_BYTES: usize = 256 << 10;

/// Series count against the limit of their target for this long after they have ended.
const HELD_SPAN: Span = Span::from_mins(60);

pub struct TargetWork {
    pub id: TargetId,
    pub job: Arc<Job>,
    pub target: Arc<Target>,
    pub client: Arc<client::Kept>,
    pub status: Arc<Mutex<TargetStatus>>,
    /// Why no target of the job may be scraped.
    pub refusal: Arc<RwLock<Option<String>>>,
    pub parts: Parts,
    pub metadata: MetadataBook,
}

/// Returns what a target's work is told, once it is told to stop.
async fn told(stop: &mut watch::Receiver<Stop>) -> Stop {
    // An error means that the one who could tell has gone; then nobody says that the series end.
    stop.wait_for(|stop| *stop != Stop::Not).await.map_or(Stop::GoesOn, |stop| *stop)
}

impl TargetWork {
    /// Scrapes until told to stop; returns what a successor goes on with. `before` is the work whose place this takes.
    pub async fn run(self, mut stop: watch::Receiver<Stop>, before: Option<JoinHandle<TargetState>>) -> TargetState {
        let mut state = self.begin();
        if let Some(before) = before
            && let Ok(old) = before.await
        {
            state = old.passed_on(&self.target, self.job.clone());
        }
        let (ingest, what) = (self.parts.ingest.clone(), format!("scraping {}", self.target.url));
        loop {
            if let Some(word) = fault::guarded(&ingest, &what, self.work(&mut state, &mut stop)).await {
                if word == Stop::Ends {
                    let known = |labels: &LabelSet, _| ingest.resolve_as(labels, Claim::Known, &mut Refusals::default());
                    let end = async { ingest.append(&state.ended(clock::now(), &mut { known })) };
                    fault::guarded(&ingest, &what, end).await;
                }
                return state;
            }
            // What the fault left of the state serves for one thing: to tell which series end.
            state = state.passed_on(&self.target, self.job.clone());
            let failed =
                async { self.take(&mut state, &Err("a fault of Tocsin; its log has more".to_owned()), clock::now(), 0.0) };
            fault::guarded(&ingest, &what, failed).await;
            tokio::select! {
                _ = told(&mut stop) => {}
                () = tokio::time::sleep(fault::REST) => {}
            }
        }
    }

    /// Returns the state of a target of which only the store knows something.
    fn begin(&self) -> TargetState {
        let state = TargetState::new(&self.target, self.job.clone());
        if self.job.limits.series == 0 {
            return state;
        }
        let now = clock::now();
        state.holding(self.parts.ingest.store.count_since(&self.target.labels, now - HELD_SPAN), now)
    }

    async fn work(&self, state: &mut TargetState, stop: &mut watch::Receiver<Stop>) -> Stop {
        let timeout = self.target.timeout.to_std();
        let mut fetcher = Fetcher::new(&self.target.url, &self.job, &accept_header(&self.job), timeout);
        let mut due = self.target.next_due(clock::now(), self.parts.seed);
        loop {
            tokio::select! {
                word = told(stop) => return word,
                () = clock::sleep_until(due) => {}
            }
            tokio::select! {
                word = told(stop) => return word,
                () = self.scrape(state, &mut fetcher, due) => {}
            }
            due = self.target.due_after(due, clock::now(), self.parts.seed);
        }
    }

    async fn scrape(&self, state: &mut TargetState, fetcher: &mut Fetcher, due: Timestamp) {
        let (now, watch) = (clock::now(), Stopwatch::start());
        // Within a small tolerance the time that was due is taken, so that the distances between samples are all alike and small to store.
        let tolerance = Span(2).min(Span(self.target.interval.0 / 100));
        let at = if now.since(due).0.abs() <= tolerance.0 { due } else { now };
        let fetched = self.fetch(fetcher).await;
        crash::fault("in-scrape");
        self.parts.metrics.scrapes.inc();
        self.take(state, &fetched, at, watch.seconds());
    }

    async fn fetch(&self, fetcher: &mut Fetcher) -> Result<Fetched, String> {
        if let Some(refusal) = &*self.refusal.read().expect("no holder of this lock panics") {
            return Err(refusal.clone());
        }
        fetcher.fetch(&self.client, &self.job).await.map_err(|error| with_causes(&error))
    }

    /// Takes what a scrape brought into the store.
    fn take(&self, state: &mut TargetState, fetched: &Result<Fetched, String>, at: Timestamp, seconds: f64) {
        let mut refusals = Refusals::default();
        let mut resolve = |labels: &LabelSet, claim| self.parts.ingest.resolve_as(labels, claim, &mut refusals);
        let mut digest = || match fetched {
            Ok(body) => state.scraped(&body.body, body.content_type.as_deref(), at, seconds, &mut resolve),
            Err(error) => state.failed(error, at, seconds, &mut resolve),
        };
        let big = fetched.as_ref().is_ok_and(|body| body.body.len() > BIG_BODY_BYTES);
        let mut outcome = if big { tokio::task::block_in_place(&mut digest) } else { digest() };
        self.parts.ingest.count_refused(&self.job.name, refusals);
        let exemplars = std::mem::take(&mut outcome.exemplars);
        if !self.parts.ingest.append_with(&outcome.row, exemplars) {
            // The store has forgotten some of the series; the next scrape resolves all of them anew.
            *state = self.begin();
        }
        self.note(outcome, at, seconds);
    }

    fn note(&self, outcome: Outcome, at: Timestamp, seconds: f64) {
        let Outcome { report, metadata, .. } = outcome;
        if let Some(error) = &report.error {
            self.parts.metrics.scrapes_failed.inc();
            tracing::debug!(job = self.job.name, url = self.target.url, error, "a scrape failed");
        }
        if let Some(metadata) = metadata {
            note_metadata(&self.metadata, metadata);
        }
        let status = TargetStatus {
            up: Some(report.error.is_none()),
            last_scrape_at: Some(at),
            last_seconds: seconds,
            last_error: report.error.unwrap_or_default(),
            samples: report.samples,
            series: SeriesStatus {
                limit: self.job.limits.series,
                held: report.held,
                refused: report.refused,
                refusal: report.refusal.unwrap_or_default(),
            },
        };
        status.note(&self.status, &self.parts.hub);
        // Nobody listens where there are no rules.
        let _ = self.parts.landed.send(Landed { target: self.id, added: report.series_added });
    }
}
