//! Tells one Alertmanager what waits for it.

use std::sync::{Arc, Mutex};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use tocsin_core::alertmanagers::{Entry, Queue, Report, Signing, Step, Verdict, body as posted};
use tocsin_core::config::without_password;
use tocsin_core::route::retry;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::fault;
use super::super::ingest::Ingest;
use crate::aws::{Speaker, Unsigned};
use crate::client::answer::{body, with_causes};
use crate::clock::{self, Stopwatch};
use crate::telemetry::alertmanagers::{Alertmanager, Dropped};
use crate::{client, id};

/// So much of what a server says about a fault is read, and of that is logged.
const SAID_BYTES_MAX: usize = 64 << 10;
const LOGGED_BYTES_MAX: usize = 1024;
const JSON: &str = "application/json";
/// The grain in which attempts of many are spread.
const SPREAD: u64 = 1 << 20;

/// The way to one Alertmanager.
pub struct Teller {
    pub url: String,
    /// Without a password.
    pub shown: String,
    pub entry: Arc<Entry>,
    /// Outlives a change of settings.
    pub queue: Arc<Mutex<Queue>>,
    client: client::Kept,
    speaker: Option<tokio::sync::Mutex<Speaker>>,
    metrics: Alertmanager,
    wake: Notify,
}

/// How a request ended, and why, for people.
struct Answered {
    verdict: Verdict,
    why: String,
}

impl Answered {
    fn lost(why: String) -> Answered {
        Answered { verdict: Verdict::Lost, why }
    }
}

impl Teller {
    pub fn new(url: String, entry: Arc<Entry>, queue: Arc<Mutex<Queue>>, metrics: impl FnOnce(&str) -> Alertmanager) -> Teller {
        let speaker = |signing: &Signing| tokio::sync::Mutex::new(Speaker::new(signing.identity.clone(), &signing.region));
        let shown = without_password(&url).unwrap_or_else(|| url.clone());
        Teller {
            client: client::Kept::for_posts(entry.client.clone(), entry.timeout.to_std()),
            speaker: entry.signing.as_ref().map(speaker),
            metrics: metrics(&shown),
            wake: Notify::new(),
            url,
            shown,
            entry,
            queue,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }

    /// Has reports told soon, as this entry changes them.
    pub fn take<'a>(&self, reports: impl IntoIterator<Item = &'a Arc<Report>>) {
        let mut queue = self.lock();
        let dropped = reports.into_iter().filter_map(|report| self.entry.outward(report)).map(|report| queue.put(report)).sum();
        self.metrics.waiting(queue.len());
        drop(queue);
        self.metrics.dropped(Dropped::NoRoom, dropped);
        self.wake.notify_one();
    }

    /// Tells what waits, for ever. `before` works on the same queue and was asked to end, which is waited for.
    pub async fn run(self: Arc<Teller>, ingest: Arc<Ingest>, before: Option<JoinHandle<()>>) {
        if let Some(before) = before {
            // Whether it was cancelled or ended by itself makes no difference.
            let _ = before.await;
        }
        let what = format!("telling the Alertmanager {}", self.shown);
        loop {
            // What was under way when work broke off is told again.
            let dropped = self.lock().resume();
            self.metrics.dropped(Dropped::NoRoom, dropped);
            if fault::guarded(&ingest, &what, self.tell()).await.is_none() {
                tokio::time::sleep(fault::REST).await;
            }
        }
    }

    async fn tell(&self) {
        loop {
            let now = clock::now();
            let (outdated, step) = {
                let mut queue = self.lock();
                (queue.forget_outdated(now), queue.next(now))
            };
            self.metrics.dropped(Dropped::Outdated, outdated);
            match step {
                Step::Rest => {
                    self.metrics.waiting(0);
                    self.wake.notified().await;
                }
                Step::Wait(until) => clock::sleep_until(until).await,
                Step::Post(reports) => self.attempt(&reports).await,
            }
        }
    }

    async fn attempt(&self, reports: &[Arc<Report>]) {
        let watch = Stopwatch::start();
        let Answered { verdict, why } = self.post(posted(reports)).await.unwrap_or_else(Answered::lost);
        let spread = id::jitter(SPREAD) as f64 / SPREAD as f64;
        let (settled, before, failures, waiting) = {
            let mut queue = self.lock();
            let before = queue.failures();
            (queue.settle(verdict, spread, clock::now()), before, queue.failures(), queue.len())
        };
        self.metrics.tried(settled, watch.seconds());
        self.metrics.waiting(waiting);
        let (alertmanager, alerts) = (&self.shown, settled.failed);
        if settled.failed == 0 {
            if before > 0 {
                tracing::info!(alertmanager, attempts = before + 1, "an Alertmanager takes alerts again");
            }
        } else if settled.dropped > 0 {
            tracing::error!(alertmanager, alerts, why, "an Alertmanager refuses alerts; they are not sent to it again");
        } else if failures == 1 {
            tracing::warn!(alertmanager, alerts, why, "an Alertmanager cannot be told; it is tried again");
        } else {
            tracing::debug!(alertmanager, alerts, failures, why, "an Alertmanager still cannot be told");
        }
    }

    /// Sends a request once. Errors: why there was no answer.
    async fn post(&self, json: Vec<u8>) -> Result<Answered, String> {
        let client = self.client.get().await.map_err(|error| with_causes(&error))?;
        let mut signed = HeaderMap::new();
        if let (Some(speaker), Some(signing)) = (&self.speaker, &self.entry.signing) {
            let headers = vec![(CONTENT_TYPE.as_str(), JSON.to_owned())];
            let unsigned =
                Unsigned { action: "PutAlerts", service: &signing.service, url: self.url.clone(), headers, body: json.clone() };
            signed = speaker.lock().await.sign(&unsigned).await.map_err(|error| with_causes(&error))?;
        }
        let request = client.post(&self.url).timeout(self.entry.timeout.to_std()).header(CONTENT_TYPE, JSON).headers(signed);
        let request = client::authorise(request, &self.entry.client).await.map_err(|error| with_causes(&error))?;
        let answer = request.body(json).send().await.map_err(|error| with_causes(&error.without_url()))?;
        let status = answer.status().as_u16();
        if let Some(speaker) = self.speaker.as_ref().filter(|_| status == 403) {
            speaker.lock().await.forget();
        }
        let wish = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wish = wish.and_then(|text| retry::wish(text, clock::now()));
        // What it says is for the log; that it breaks off or is long changes nothing.
        let said = body(answer, SAID_BYTES_MAX).await.unwrap_or_default();
        let mut said = String::from_utf8_lossy(&said).trim().to_owned();
        said.truncate(said.floor_char_boundary(LOGGED_BYTES_MAX));
        Ok(Answered { verdict: Verdict::Answered { status, wish }, why: format!("HTTP status {status}: {said}") })
    }
}
