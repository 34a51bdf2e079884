//! Our figures under the names that Alertmanager gives them, for its dashboards, its alerts and those who ask it for its version.
//!
//! Source: `/metrics` of Alertmanager 0.33.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use tocsin_core::plane::Counts;
use tocsin_core::time::{Span, Timestamp};

/// What we say we are: clients choose their dialect by it.
pub const ALERTMANAGER_VERSION: &str = "0.33.0";

/// The kinds of integrations that Alertmanager has, and ours.
const INTEGRATIONS: [&str; 21] = [
    "discord",
    "email",
    "inbox",
    "incidentio",
    "jira",
    "mattermost",
    "msteams",
    "msteamsv2",
    "ntfy",
    "opsgenie",
    "pagerduty",
    "pushover",
    "rocketchat",
    "slack",
    "sns",
    "telegram",
    "twilio",
    "victorops",
    "webex",
    "webhook",
    "wechat",
];
const REASONS: [Reason; 5] =
    [Reason::ClientError, Reason::ContextCanceled, Reason::ContextDeadlineExceeded, Reason::Other, Reason::ServerError];
/// In seconds.
const BUCKETS: [f64; 5] = [1.0, 5.0, 10.0, 15.0, 20.0];
/// Alertmanager begins a notification anew at each `group_interval`; one that has failed for so long counts as failed, and as another.
const ANEW: Span = Span::from_mins(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Integration {
    integration: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    integration: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Received {
    status: &'static str,
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// Why a notification failed, by Alertmanager's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    ClientError,
    ContextCanceled,
    ContextDeadlineExceeded,
    Other,
    ServerError,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Reason::ClientError => "clientError",
            Reason::ContextCanceled => "contextCanceled",
            Reason::ContextDeadlineExceeded => "contextDeadlineExceeded",
            Reason::Other => "other",
            Reason::ServerError => "serverError",
        }
    }

    /// Reads it off what is told of an attempt: an answer begins with its status.
    fn of(detail: &str) -> Reason {
        let answered = detail.strip_prefix("HTTP ").and_then(|rest| rest.get(..3));
        match answered.and_then(|status| status.parse::<u16>().ok()) {
            Some(400..=499) => Reason::ClientError,
            Some(500..=599) => Reason::ServerError,
            _ if detail.starts_with("no answer within") => Reason::ContextDeadlineExceeded,
            _ => Reason::Other,
        }
    }
}

/// An attempt at a delivery, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    pub channel: &'a str,
    pub number: i64,
    /// When the delivery was decided, and when this attempt began.
    pub decided_at: Timestamp,
    pub at: Timestamp,
    pub seconds: f64,
    /// What is told of it, where it has failed.
    pub failure: Option<&'a str>,
    /// When the next one follows; None: this was the last.
    pub again_at: Option<Timestamp>,
}

/// All of them.
pub struct Notifications {
    total: Family<Integration, Counter<u64, AtomicU64>>,
    failed: Family<Failed, Counter<u64, AtomicU64>>,
    requests: Family<Integration, Counter<u64, AtomicU64>>,
    requests_failed: Family<Integration, Counter<u64, AtomicU64>>,
    seconds: Family<Integration, Histogram>,
    alerts: Family<State, Gauge>,
    silences: Family<State, Gauge>,
    received: Family<Received, Counter<u64, AtomicU64>>,
    invalid: Family<Version, Counter<u64, AtomicU64>>,
    groups: Gauge,
    integrations: Gauge,
    receivers: Gauge,
    inhibition_rules: Gauge,
    config_hash: Gauge,
    pub config_successful: Gauge,
    config_seconds: Gauge<f64, AtomicU64>,
}

/// How large the routing part of a configuration is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    pub receivers: usize,
    pub integrations: usize,
    pub inhibition_rules: usize,
}

impl Notifications {
    pub fn register(registry: &mut Registry) -> Notifications {
        let own = Notifications {
            total: Family::default(),
            failed: Family::default(),
            requests: Family::default(),
            requests_failed: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            alerts: Family::default(),
            silences: Family::default(),
            received: Family::default(),
            invalid: Family::default(),
            groups: Gauge::default(),
            integrations: Gauge::default(),
            receivers: Gauge::default(),
            inhibition_rules: Gauge::default(),
            config_hash: Gauge::default(),
            config_successful: Gauge::default(),
            config_seconds: Gauge::default(),
        };
        let build = [
            ("branch", "tocsin"),
            ("goarch", std::env::consts::ARCH),
            ("goos", std::env::consts::OS),
            ("goversion", "none"),
            ("revision", env!("CARGO_PKG_VERSION")),
            ("tags", "tocsin"),
            ("version", ALERTMANAGER_VERSION),
        ];
        let build = build.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        registry.register("alertmanager_build", "The version of Alertmanager that we answer as", Info::new(build));
        macro_rules! register {
            ($($name:literal, $help:literal, $field:ident;)*) => {
                $(registry.register(concat!("alertmanager_", $name), $help, own.$field.clone());)*
            };
        }
        register! {
            "notifications", "Notifications that were tried, by integration", total;
            "notifications_failed", "Notifications that failed, by integration and reason", failed;
            "notification_requests", "Attempts at notifications, by integration", requests;
            "notification_requests_failed", "Attempts at notifications that failed, by integration", requests_failed;
            "notification_latency_seconds", "How long attempts at notifications took, by integration", seconds;
            "alerts", "Alerts that fire, by state", alerts;
            "silences", "Silences, by state", silences;
            "alerts_received", "Alerts that were posted, by status", received;
            "alerts_invalid", "Alerts that were posted and refused", invalid;
            "dispatcher_aggregation_groups", "Groups of alerts", groups;
            "integrations", "Integrations of the configuration", integrations;
            "receivers", "Receivers of the configuration", receivers;
            "inhibition_rules", "Inhibition rules of the configuration", inhibition_rules;
            "config_hash", "A number that is the same for the same routing", config_hash;
            "config_last_reload_successful", "Whether the last reload of the configuration was taken", config_successful;
            "config_last_reload_success_timestamp_seconds", "When the configuration in force was read", config_seconds;
        }
        own.config_successful.set(1);
        // Every series is there from the start, so that an increase from nothing is seen.
        for integration in INTEGRATIONS {
            let labels = Integration { integration: integration.to_owned() };
            own.total.get_or_create(&labels).inc_by(0);
            own.requests.get_or_create(&labels).inc_by(0);
            own.requests_failed.get_or_create(&labels).inc_by(0);
            // A histogram has no way to count nothing.
            drop(own.seconds.get_or_create(&labels));
            for reason in REASONS {
                own.failed.get_or_create(&Failed { integration: integration.to_owned(), reason: reason.word() }).inc_by(0);
            }
        }
        for status in ["firing", "resolved"] {
            own.received.get_or_create(&Received { status, version: "v2" }).inc_by(0);
        }
        own.invalid.get_or_create(&Version { version: "v2" }).inc_by(0);
        own.count(&Counts::default());
        own
    }

    /// Takes in an attempt at a delivery. Acknowledgements count too: they are notifications to their providers.
    pub fn attempted(&self, attempted: Attempted<'_>) {
        let Attempted { channel, number, decided_at, at, seconds, failure, again_at } = attempted;
        let labels = Integration { integration: channel.to_owned() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(seconds);
        if number == 1 {
            self.total.get_or_create(&labels).inc();
        }
        let Some(failure) = failure else { return };
        self.requests_failed.get_or_create(&labels).inc();
        let turn = |at: Timestamp| (at - decided_at).0 / ANEW.0;
        let is_over = again_at.is_none_or(|again| turn(again) > turn(at));
        if is_over {
            let reason = Reason::of(failure).word();
            self.failed.get_or_create(&Failed { integration: channel.to_owned(), reason }).inc();
        }
        if is_over && again_at.is_some() {
            self.total.get_or_create(&labels).inc();
        }
    }

    /// Takes in that a delivery is given up without another attempt.
    pub fn expired(&self, channel: &str) {
        let reason = Reason::ContextDeadlineExceeded.word();
        self.failed.get_or_create(&Failed { integration: channel.to_owned(), reason }).inc();
    }

    /// Takes in what was posted: how many alerts that fire, that have ended, and that were refused.
    pub fn posted(&self, firing: usize, resolved: usize, refused: usize) {
        for (status, count) in [("firing", firing), ("resolved", resolved)] {
            self.received.get_or_create(&Received { status, version: "v2" }).inc_by(count as u64);
        }
        self.invalid.get_or_create(&Version { version: "v2" }).inc_by(refused as u64);
    }

    /// Takes in how many alerts, groups and silences there are.
    pub fn count(&self, counts: &Counts) {
        let Counts { active, suppressed, unprocessed, groups, silences_pending, silences_active, silences_expired } = *counts;
        for (state, count) in [("active", active), ("suppressed", suppressed), ("unprocessed", unprocessed)] {
            self.alerts.get_or_create(&State { state }).set(count as i64);
        }
        for (state, count) in [("pending", silences_pending), ("active", silences_active), ("expired", silences_expired)] {
            self.silences.get_or_create(&State { state }).set(count as i64);
        }
        self.groups.set(groups as i64);
    }

    /// Takes in the routing part of a configuration that holds from an instant on.
    pub fn configured(&self, yaml: &str, size: Size, at: Timestamp) {
        // As many bits as a float holds exactly.
        let digest = Sha256::digest(yaml.as_bytes());
        self.config_hash.set(digest[..6].iter().fold(0, |number, byte| number << 8 | i64::from(*byte)));
        self.receivers.set(size.receivers as i64);
        self.integrations.set(size.integrations as i64);
        self.inhibition_rules.set(size.inhibition_rules as i64);
        self.config_successful.set(1);
        self.config_seconds.set(at.seconds());
    }
}

/// Returns a text of OpenMetrics in the older form, for those who do not ask for the newer one: families of counters and infos are called
/// as their series, and have no units and no mark of the end.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let (mut helped, mut help) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
            (helped, help) = (name.to_owned(), words.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if helped == name {
                plain.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            plain.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> (Notifications, Registry) {
        let mut registry = Registry::default();
        (Notifications::register(&mut registry), registry)
    }

    fn value(registry: &Registry, series: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).expect("a text takes all");
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_notification_that_fails_on_counts_once_in_each_interval() {
        let (own, registry) = metrics();
        let minute = |minutes: i64| Timestamp(minutes * 60_000);
        let attempt = |number, at, failure, again_at| {
            own.attempted(Attempted { channel: "webhook", number, decided_at: minute(0), at, seconds: 0.5, failure, again_at });
        };
        let counted = || {
            let series = ["notifications_total", "notification_requests_total", "notification_requests_failed_total"];
            let counts = series.map(|name| value(&registry, &format!("alertmanager_{name}{{integration=\"webhook\"}}")));
            let failed =
                |reason| format!("alertmanager_notifications_failed_total{{integration=\"webhook\",reason=\"{reason}\"}}");
            let failed = ["serverError", "clientError", "other"].map(|reason| value(&registry, &failed(reason)));
            format!("{} / {}", counts.join(" "), failed.join(" "))
        };
        attempt(1, minute(0), Some("HTTP 503 Service Unavailable"), Some(minute(1)));
        assert_eq!(counted(), "1 1 1 / 0 0 0", "it may still arrive in time");
        attempt(2, minute(1), Some("HTTP 503 Service Unavailable"), Some(minute(5)));
        assert_eq!(counted(), "2 2 2 / 1 0 0");
        attempt(3, minute(5), Some("refused"), Some(minute(9)));
        attempt(4, minute(9), None, None);
        assert_eq!(counted(), "2 4 3 / 1 0 0");
        attempt(1, minute(9), Some("HTTP 400 Bad Request: no"), None);
        assert_eq!(counted(), "3 5 4 / 1 1 0");
    }

    #[test]
    fn the_older_form_names_families_as_their_series() {
        let text = "# HELP a_b What.\n# TYPE a_b counter\n# UNIT a_b seconds\na_b_total 1\n# HELP c_build V\n# TYPE c_build info\n\
                    c_build_info{v=\"1\"} 1\n# TYPE g gauge\ng 2\n# EOF\n";
        let expected = "# HELP a_b_total What.\n# TYPE a_b_total counter\na_b_total 1\n# HELP c_build_info V\n# TYPE c_build_info gauge\n\
                        c_build_info{v=\"1\"} 1\n# TYPE g gauge\ng 2\n";
        assert_eq!(plain(text), expected);
    }
}
