//! Which services there are, and their switches for faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The services of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Api,
    Database,
    Worker,
    Load,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Database, Kind::Worker, Kind::Api, Kind::Load];

    /// Returns the name under which the service is scraped.
    pub fn job(self) -> &'static str {
        match self {
            Kind::Api => "shop-api",
            Kind::Database => "shop-db",
            Kind::Worker => "shop-worker",
            Kind::Load => "shop-load",
        }
    }

    /// Returns the word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Api => "api",
            Kind::Database => "database",
            Kind::Worker => "worker",
            Kind::Load => "load",
        }
    }

    /// Returns the faults that the service can be put into: name, title, what happens.
    pub fn faults(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Kind::Api => &[
                ("slow-api", "Slow API", "Every order takes 0.9 s longer, so the p95 leaves its limit of 500 ms."),
                ("failing-api", "Failing API", "One order in five ends in an error, so the error rate leaves its limit of 1 %."),
            ],
            Kind::Database => &[(
                "slow-database",
                "Slow database",
                "Every query takes 0.7 s longer; the API in front of it slows down with it.",
            )],
            Kind::Worker => &[("stalled-queue", "Stalled queue", "The worker takes no more jobs, so the backlog grows.")],
            Kind::Load => &[],
        }
    }
}

/// The switches of one service.
#[derive(Clone, Debug)]
pub struct Switches(Arc<BTreeMap<&'static str, AtomicBool>>);

impl Switches {
    pub fn new(kind: Kind) -> Switches {
        Switches(Arc::new(kind.faults().iter().map(|fault| (fault.0, AtomicBool::new(false))).collect()))
    }

    pub fn active(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|switch| switch.load(Ordering::Relaxed))
    }

    pub fn states(&self) -> BTreeMap<&'static str, bool> {
        self.0.iter().map(|(name, switch)| (*name, switch.load(Ordering::Relaxed))).collect()
    }

    /// Sets a switch; returns false when there is none of this name.
    pub fn set(&self, name: &str, active: bool) -> bool {
        self.0.get(name).map(|switch| switch.store(active, Ordering::Relaxed)).is_some()
    }
}
