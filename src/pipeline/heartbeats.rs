//! Heartbeats at work: a watcher outside hears from us as long as we are well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_core::heartbeat::{Heartbeat, Method};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::pulse::Pulse;
use super::rules::Rules;
use super::watch::Watch;
use crate::client;
use crate::client::answer::with_causes;
use crate::clock;
use crate::telemetry::Metrics;

/// Beyond its interval a rule group may be late by as many intervals, and this.
const LATE_INTERVALS: i64 = 3;
const LATE: Span = Span::from_secs(60);
/// How often it is looked whether the start is over.
const READY_EVERY: Duration = Duration::from_millis(100);

/// What must be well.
pub struct Parts {
    pub watch: Watch,
    pub rules: Arc<Rules>,
    pub ready: Arc<AtomicBool>,
    pub pulses: Arc<[Pulse]>,
    pub missing: watch::Receiver<usize>,
    pub metrics: Arc<Metrics>,
}

/// All heartbeats of the configuration.
pub struct Heartbeats {
    parts: Arc<Parts>,
    running: Mutex<Vec<(Heartbeat, JoinHandle<()>)>>,
}

impl Heartbeats {
    pub fn new(parts: Parts) -> Heartbeats {
        Heartbeats { parts: Arc::new(parts), running: Mutex::default() }
    }

    /// Replaces all heartbeats; those that stay as they were beat on.
    pub fn replace(&self, heartbeats: Vec<Heartbeat>) {
        let mut running = self.running.lock().expect("no holder of this lock panics");
        for (_, task) in running.extract_if(.., |(own, _)| !heartbeats.contains(own)) {
            task.abort();
        }
        for heartbeat in heartbeats {
            if !running.iter().any(|(own, _)| *own == heartbeat) {
                let task = tokio::spawn(beat(heartbeat.clone(), self.parts.clone()));
                running.push((heartbeat, task));
            }
        }
    }

    /// Ends all heartbeats: whoever stops us on purpose tells the watcher.
    pub fn stop(&self) {
        self.replace(Vec::new());
    }
}

async fn beat(heartbeat: Heartbeat, parts: Arc<Parts>) {
    let kept = client::Kept::for_posts(heartbeat.client.clone(), heartbeat.timeout.to_std());
    // The watcher hears of us first when we are there.
    while !parts.ready.load(Ordering::Acquire) {
        tokio::time::sleep(READY_EVERY).await;
    }
    let mut timer = tokio::time::interval(heartbeat.every.to_std());
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        timer.tick().await;
        let fault = parts.fault().await;
        if let Some(reason) = &fault {
            tracing::error!(reason, "we are not well, so the heartbeat stays away");
        }
        let url = match &fault {
            None => Some(&heartbeat.url),
            Some(_) => heartbeat.fail_url.as_ref(),
        };
        let Some(url) = url else { continue };
        let sent = send(&heartbeat, &kept, url, fault.as_deref()).await;
        match &sent {
            Ok(()) => parts.metrics.heartbeats_sent.inc(),
            Err(_) => parts.metrics.heartbeats_failed.inc(),
        };
        match &sent {
            Err(error) if !failing => tracing::warn!(error, "a heartbeat does not arrive; it goes on"),
            Ok(()) if failing => tracing::info!("heartbeats arrive again"),
            Ok(()) | Err(_) => {}
        }
        failing = sent.is_err();
    }
}

/// Sends one sign of life. Errors: why it has not arrived, without its address, which is a secret.
async fn send(
    heartbeat: &Heartbeat,
    kept: &client::Kept,
    url: &tocsin_core::client::Secret,
    fault: Option<&str>,
) -> Result<(), String> {
    let url = client::reveal(url).await.map_err(|error| with_causes(&error))?;
    let client = kept.get().await.map_err(|error| with_causes(&error))?;
    let request = match heartbeat.method {
        Method::Get => client.get(url.trim()),
        Method::Head => client.head(url.trim()),
        Method::Post => client.post(url.trim()).body(fault.unwrap_or("well").to_owned()),
    };
    let request = client::authorise(request.timeout(heartbeat.timeout.to_std()), &heartbeat.client).await;
    let answer = request.map_err(|error| with_causes(&error))?.send().await;
    let status = answer.map_err(|error| with_causes(&error.without_url()))?.status();
    if status.is_success() { Ok(()) } else { Err(format!("the watcher answers HTTP {status}")) }
}

impl Parts {
    /// Returns why people might not be told of something now; None: all is well.
    async fn fault(&self) -> Option<String> {
        if let Some(pulse) = self.pulses.iter().find(|pulse| !pulse.beats()) {
            return Some(format!("{} stands still", pulse.name));
        }
        if let Err(error) = self.watch.ask(|_| ()).await {
            return Some(format!("the watch over alerts does not answer: {error}"));
        }
        if let Some(group) = self.late_group(clock::now()) {
            return Some(format!("the rule group {group} is not evaluated"));
        }
        let missing = *self.missing.borrow();
        (missing > 0).then(|| format!("{missing} notifications are missing"))
    }

    /// Returns a group that was evaluated and is no more.
    fn late_group(&self, now: Timestamp) -> Option<String> {
        let late = |last: Timestamp, interval: Span| now - last > Span(interval.0.saturating_mul(LATE_INTERVALS)) + LATE;
        let status = self.rules.status();
        let group = status.iter().find(|status| status.last_evaluation.is_some_and(|last| late(last, status.group.interval)))?;
        Some(group.group.name.clone())
    }
}
