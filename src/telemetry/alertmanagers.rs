//! Our figures of what other Alertmanagers are told; each has its URL.
//!
//! Source: the figures `prometheus_notifications_…`, whose meanings these have.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tocsin_core::alertmanagers::{QUEUE_MAX, Settled};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    alertmanager: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    alertmanager: String,
    reason: &'static str,
}

#[derive(Clone, Default)]
struct Families {
    sent: Family<Labels, Counter<u64, AtomicU64>>,
    errors: Family<Labels, Counter<u64, AtomicU64>>,
    dropped: Family<ReasonLabels, Counter<u64, AtomicU64>>,
    waiting: Family<Labels, Gauge>,
}

/// All of them.
pub struct Alertmanagers {
    families: Families,
    seconds: Family<Labels, Histogram>,
    discovered: Gauge,
    overflown: Counter<u64, AtomicU64>,
}

/// One of them.
#[derive(Clone)]
pub struct Alertmanager {
    name: String,
    families: Families,
    seconds: Histogram,
}

/// Why alerts are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// No longer true, or too old an end.
    Outdated,
    /// The queue had no room.
    NoRoom,
    /// The Alertmanager would refuse them again.
    Refused,
}

impl Dropped {
    fn word(self) -> &'static str {
        match self {
            Dropped::Outdated => "outdated",
            Dropped::NoRoom => "no_room",
            Dropped::Refused => "refused",
        }
    }
}

impl Alertmanagers {
    pub(super) fn register(registry: &mut Registry) -> Alertmanagers {
        let buckets = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let own = Alertmanagers {
            families: Families::default(),
            seconds: Family::new_with_constructor(buckets),
            discovered: Gauge::default(),
            overflown: Counter::default(),
        };
        let capacity: Gauge = Gauge::default();
        capacity.set(QUEUE_MAX as i64);
        let families = &own.families;
        registry.register("tocsin_alertmanager_sent", "Alerts that another Alertmanager took", families.sent.clone());
        let help = "Alerts of requests to another Alertmanager that failed";
        registry.register("tocsin_alertmanager_errors", help, families.errors.clone());
        let help = "Alerts that another Alertmanager was not told, by reason";
        registry.register("tocsin_alertmanager_dropped", help, families.dropped.clone());
        let help = "Alerts that wait for another Alertmanager";
        registry.register("tocsin_alertmanager_queue_length", help, families.waiting.clone());
        let help = "Alerts that may wait for another Alertmanager";
        registry.register("tocsin_alertmanager_queue_capacity", help, capacity);
        let help = "How long a request to another Alertmanager took";
        registry.register("tocsin_alertmanager_latency_seconds", help, own.seconds.clone());
        registry.register("tocsin_alertmanagers_discovered", "Other Alertmanagers that are told", own.discovered.clone());
        let help = "Alerts that no other Alertmanager was told, since more came than could be handed out";
        registry.register("tocsin_alertmanagers_overflown", help, own.overflown.clone());
        own
    }

    /// Returns the figures of one; each has its series from now on.
    pub fn of(&self, name: &str) -> Alertmanager {
        let labels = Labels { alertmanager: name.to_owned() };
        let seconds = self.seconds.get_or_create(&labels).clone();
        let own = Alertmanager { name: name.to_owned(), families: self.families.clone(), seconds };
        own.families.sent.get_or_create(&labels).inc_by(0);
        own.families.errors.get_or_create(&labels).inc_by(0);
        for why in [Dropped::Outdated, Dropped::NoRoom, Dropped::Refused] {
            own.dropped(why, 0);
        }
        own.waiting(0);
        own
    }

    /// Forgets one that is gone.
    pub fn forget(&self, name: &str) {
        let labels = Labels { alertmanager: name.to_owned() };
        self.families.sent.remove(&labels);
        self.families.errors.remove(&labels);
        self.families.waiting.remove(&labels);
        self.seconds.remove(&labels);
        for why in [Dropped::Outdated, Dropped::NoRoom, Dropped::Refused] {
            self.families.dropped.remove(&ReasonLabels { alertmanager: name.to_owned(), reason: why.word() });
        }
    }

    pub fn discovered(&self, count: usize) {
        self.discovered.set(count as i64);
    }

    pub fn overflown(&self, count: usize) {
        self.overflown.inc_by(count as u64);
    }
}

impl Alertmanager {
    fn labels(&self) -> Labels {
        Labels { alertmanager: self.name.clone() }
    }

    /// Counts a request and what came of it.
    pub fn tried(&self, settled: Settled, seconds: f64) {
        self.seconds.observe(seconds);
        self.families.sent.get_or_create(&self.labels()).inc_by(settled.sent as u64);
        self.families.errors.get_or_create(&self.labels()).inc_by(settled.failed as u64);
        self.dropped(Dropped::Refused, settled.dropped);
    }

    pub fn dropped(&self, why: Dropped, count: usize) {
        let labels = ReasonLabels { alertmanager: self.name.clone(), reason: why.word() };
        self.families.dropped.get_or_create(&labels).inc_by(count as u64);
    }

    pub fn waiting(&self, count: usize) {
        self.families.waiting.get_or_create(&self.labels()).set(count as i64);
    }
}
