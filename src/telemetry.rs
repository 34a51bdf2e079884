//! Logs, and our own metrics.

pub mod alertmanagers;
pub mod limits;
pub mod notifications;
pub mod remote;
pub mod stored;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tocsin_core::run::record::RunState;
use tracing_subscriber::EnvFilter;

use crate::db::deliveries::DeliveryState;
use alertmanagers::Alertmanagers;
use limits::Limits;
use notifications::Notifications;
use remote::Sending;
use stored::Stored;

/// Starts logging to standard error: one line an event, or one JSON object.
///
/// `filter` is in the form of `RUST_LOG`, such as `info` or `tocsin=debug`.
///
/// Errors: a filter that cannot be read; then nothing is logged.
pub fn start_logging(filter: &str, json: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("the filter {filter:?} cannot be read: {error}"))?;
    // At its finest grain the signer of requests tells what it signs, session tokens among it.
    let filter = filter.add_directive("aws_sigv4=info".parse().map_err(|error| format!("{error}"))?);
    // Colours are for people: a file or a journal would keep their escape sequences.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A second start, as tests make it, keeps the first one's choice.
    let _ = if json { builder.json().try_init() } else { builder.with_target(false).try_init() };
    Ok(())
}

/// Panics since the process began. Most end a single task or request, and nobody would notice.
static PANICS: LazyLock<Counter<u64, AtomicU64>> = LazyLock::new(Counter::default);

/// Counts panics from now on; each is still printed.
pub fn count_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.inc();
        print(panic);
    }));
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    channel: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    channel: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    protocol: &'static str,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The figures that the program keeps of itself.
pub struct Metrics {
    registry: Registry,
    pub samples: Counter<u64, AtomicU64>,
    pub samples_refused: Counter<u64, AtomicU64>,
    pub exemplars: Counter<u64, AtomicU64>,
    pub exemplars_refused: Counter<u64, AtomicU64>,
    pub scrapes: Counter<u64, AtomicU64>,
    pub scrapes_failed: Counter<u64, AtomicU64>,
    pub journeys_tried: Counter<u64, AtomicU64>,
    pub journeys_late: Counter<u64, AtomicU64>,
    pub wal_errors: Counter<u64, AtomicU64>,
    pub series: Gauge,
    pub targets: Gauge,
    pub evaluations: Counter<u64, AtomicU64>,
    pub evaluations_failed: Counter<u64, AtomicU64>,
    pub evaluations_missed: Counter<u64, AtomicU64>,
    pub early_looks: Counter<u64, AtomicU64>,
    pub evaluation_seconds: Histogram,
    pub objective_seconds: Histogram,
    pub objective_errors: Counter<u64, AtomicU64>,
    pub record_seconds: Histogram,
    pub record_errors: Counter<u64, AtomicU64>,
    pub ballast_gone: Gauge,
    pub alerts_firing: Gauge,
    pub notifications_missing: Gauge,
    pub heartbeats_sent: Counter<u64, AtomicU64>,
    pub heartbeats_failed: Counter<u64, AtomicU64>,
    pub pages_open: Gauge,
    pub config_reload_successful: Gauge,
    /// When the configuration in force was read.
    pub config_taken_at_ms: Gauge,
    attempts: Family<AttemptLabels, Counter<u64, AtomicU64>>,
    attempt_seconds: Histogram,
    deliveries: Family<StateLabels, Counter<u64, AtomicU64>>,
    runs: Family<RunLabels, Gauge>,
    runs_ended: Family<RunLabels, Counter<u64, AtomicU64>>,
    writes: Family<WriteLabels, Counter<u64, AtomicU64>>,
    writes_refused: Family<ReasonLabels, Counter<u64, AtomicU64>>,
    /// What is sent to other servers.
    pub sending: Sending,
    pub alertmanagers: Alertmanagers,
    /// What Alertmanager tells of itself.
    pub notifications: Notifications,
    /// What limits have refused, and how memory stands.
    pub limits: Limits,
    /// What is stored.
    pub stored: Stored,
    pub remote_queue_errors: Counter<u64, AtomicU64>,
}

impl Metrics {
    pub fn new() -> Arc<Metrics> {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let mut registry = Registry::default();
        let mut metrics = Metrics {
            registry: Registry::default(),
            samples: Counter::default(),
            samples_refused: Counter::default(),
            exemplars: Counter::default(),
            exemplars_refused: Counter::default(),
            scrapes: Counter::default(),
            scrapes_failed: Counter::default(),
            journeys_tried: Counter::default(),
            journeys_late: Counter::default(),
            wal_errors: Counter::default(),
            series: Gauge::default(),
            targets: Gauge::default(),
            evaluations: Counter::default(),
            evaluations_failed: Counter::default(),
            evaluations_missed: Counter::default(),
            early_looks: Counter::default(),
            evaluation_seconds: seconds(),
            objective_seconds: seconds(),
            objective_errors: Counter::default(),
            record_seconds: seconds(),
            record_errors: Counter::default(),
            ballast_gone: Gauge::default(),
            alerts_firing: Gauge::default(),
            notifications_missing: Gauge::default(),
            heartbeats_sent: Counter::default(),
            heartbeats_failed: Counter::default(),
            pages_open: Gauge::default(),
            config_reload_successful: Gauge::default(),
            config_taken_at_ms: Gauge::default(),
            attempts: Family::default(),
            attempt_seconds: seconds(),
            deliveries: Family::default(),
            runs: Family::default(),
            runs_ended: Family::default(),
            writes: Family::default(),
            writes_refused: Family::default(),
            sending: Sending::register(&mut registry),
            alertmanagers: Alertmanagers::register(&mut registry),
            notifications: Notifications::register(&mut registry),
            limits: Limits::register(&mut registry),
            stored: Stored::register(&mut registry),
            remote_queue_errors: Counter::default(),
        };
        let version = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        registry.register("tocsin_build", "The version of this program", Info::new(version));
        registry.register("tocsin_panics", "Faults of this program that ended a task or a request", PANICS.clone());
        macro_rules! register {
            ($($name:literal, $help:literal, $field:ident;)*) => {
                $(registry.register($name, $help, metrics.$field.clone());)*
            };
        }
        register! {
            "tocsin_samples_ingested", "Samples taken into the store", samples;
            "tocsin_samples_refused", "Samples that the store refused: out of order, too old, or beyond a limit", samples_refused;
            "tocsin_exemplars_ingested", "Exemplars taken into the store", exemplars;
            "tocsin_exemplars_refused", "Exemplars that the store refused: out of order, or with labels that are too long", exemplars_refused;
            "tocsin_scrapes", "Scrapes that were tried", scrapes;
            "tocsin_scrapes_failed", "Scrapes that failed", scrapes_failed;
            "tocsin_journey_attempts", "Attempts at journeys", journeys_tried;
            "tocsin_journey_attempts_late", "Attempts at journeys that began late", journeys_late;
            "tocsin_wal_errors", "Rows that could not be written to the log and live in memory only", wal_errors;
            "tocsin_series", "Series in the store", series;
            "tocsin_targets", "Targets being scraped", targets;
            "tocsin_rule_evaluations", "Rules evaluated at their slots", evaluations;
            "tocsin_rule_evaluations_failed", "Rules whose evaluation failed", evaluations_failed;
            "tocsin_rule_group_iterations_missed", "Slots of rule groups that passed without an evaluation", evaluations_missed;
            "tocsin_early_looks", "Alerting rules looked at because a scrape had landed", early_looks;
            "tocsin_rule_evaluation_seconds", "How long the evaluation of a rule took", evaluation_seconds;
            "tocsin_objective_seconds", "How long counting and judging all objectives took at a step", objective_seconds;
            "tocsin_objective_errors", "Tries at counting an objective that failed", objective_errors;
            "tocsin_record_seconds", "How long recording a change of state took", record_seconds;
            "tocsin_record_errors", "Changes of state that could not be recorded at the first try", record_errors;
            "tocsin_ballast_gone", "Whether the disk was so full that the ballast was let go", ballast_gone;
            "tocsin_alerts_firing", "Alerts that fire now", alerts_firing;
            "tocsin_notifications_missing", "Notifications that must have been told by now and were not, as the auditor sees it", notifications_missing;
            "tocsin_heartbeats_sent", "Signs of life that a watcher outside has taken", heartbeats_sent;
            "tocsin_heartbeats_failed", "Signs of life that did not arrive", heartbeats_failed;
            "tocsin_pages_open", "Pages that are not resolved", pages_open;
            "tocsin_config_last_reload_successful", "Whether the last reload of the configuration was taken", config_reload_successful;
            "tocsin_delivery_attempts", "Attempts to deliver, by channel and outcome", attempts;
            "tocsin_delivery_attempt_seconds", "How long an attempt to deliver took", attempt_seconds;
            "tocsin_deliveries", "Deliveries that ended, by channel and state", deliveries;
            "tocsin_runs", "Runs that are open, by state", runs;
            "tocsin_remote_write_received_requests", "Requests of other servers that write samples, by protocol and status code", writes;
            "tocsin_remote_write_received_samples_refused", "Samples and exemplars in them that were refused, by reason", writes_refused;
            "tocsin_remote_write_queue_errors", "Rows that could not be written to the queue to other servers", remote_queue_errors;
            "tocsin_runs_ended", "Runs that ended, by state", runs_ended;
        }
        metrics.config_reload_successful.set(1);
        // Every state has its series from the start, so that an increase from nothing is seen.
        metrics.count_runs(&[]);
        for state in RunState::ALL.into_iter().filter(|state| state.is_final()) {
            metrics.runs_ended.get_or_create(&RunLabels { state: state.word() }).inc_by(0);
        }
        metrics.registry = registry;
        Arc::new(metrics)
    }

    pub fn attempt(&self, channel: &str, outcome: &str, seconds: f64) {
        self.attempts.get_or_create(&AttemptLabels { channel: channel.to_owned(), outcome: outcome.to_owned() }).inc();
        self.attempt_seconds.observe(seconds);
    }

    pub fn delivery_ended(&self, channel: &str, state: DeliveryState) {
        self.deliveries.get_or_create(&StateLabels { channel: channel.to_owned(), state: state.word().to_owned() }).inc();
    }

    /// Counts an answer to another server that writes samples.
    pub fn write_answered(&self, protocol: &'static str, code: u16) {
        self.writes.get_or_create(&WriteLabels { protocol, code: code.into() }).inc();
    }

    /// Counts what was refused of such a request.
    pub fn write_refused(&self, reason: &'static str, count: usize) {
        if count > 0 {
            self.writes_refused.get_or_create(&ReasonLabels { reason }).inc_by(count as u64);
        }
    }

    /// Takes in how many runs are open; states that are not listed have none.
    pub fn count_runs(&self, counts: &[(RunState, i64)]) {
        for state in RunState::ALL.into_iter().filter(|state| !state.is_final()) {
            let count = counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
            self.runs.get_or_create(&RunLabels { state: state.word() }).set(count);
        }
    }

    pub fn run_ended(&self, state: RunState) {
        self.runs_ended.get_or_create(&RunLabels { state: state.word() }).inc();
    }

    /// Returns every figure as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
