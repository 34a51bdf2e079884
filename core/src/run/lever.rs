//! What experiments and drills pull and look through: faults of the network, states of processes, canary writes, journeys of users.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// One way in which a proxy spoils its connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toxic {
    pub direction: Direction,
    #[serde(flatten)]
    pub kind: ToxicKind,
    /// The share of connections that are spoiled, chosen for each when it begins. Unit: 0 to 1.
    pub toxicity: f64,
}

impl Toxic {
    /// Returns harm to every connection in both directions.
    pub fn new(kind: ToxicKind) -> Toxic {
        Toxic { direction: Direction::Both, kind, toxicity: 1.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the service behind the proxy.
    Upstream,
    /// From the service to the client.
    Downstream,
    Both,
}

impl Direction {
    pub const ALL: [Direction; 3] = [Direction::Upstream, Direction::Downstream, Direction::Both];

    pub fn word(self) -> &'static str {
        match self {
            Direction::Upstream => "upstream",
            Direction::Downstream => "downstream",
            Direction::Both => "both",
        }
    }

    /// Returns whether a fault of this direction concerns one way.
    pub fn includes(self, way: Direction) -> bool {
        self == Direction::Both || self == way
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToxicKind {
    /// Every byte arrives `delay` later, and up to `jitter` later than that; order is kept.
    Latency { delay: Span, jitter: Span },
    /// Each connection carries at most this much, in each direction that is concerned.
    Bandwidth { bytes_per_second: u64 },
    /// Bytes are taken in and never handed on. New connections open and stay silent.
    Blackhole,
    /// Connections are reset this long after they began, or after the fault began where they are older. The direction says who sees
    /// the reset: `downstream` is the client, `upstream` the service; the other one sees an end.
    Reset { after: Span },
    /// Nobody listens, and connections are reset.
    Down,
}

impl ToxicKind {
    pub fn word(self) -> &'static str {
        match self {
            ToxicKind::Latency { .. } => "latency",
            ToxicKind::Bandwidth { .. } => "bandwidth",
            ToxicKind::Blackhole => "blackhole",
            ToxicKind::Reset { .. } => "reset",
            ToxicKind::Down => "down",
        }
    }
}

/// What a process must be seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    Running,
    Stopped,
    Gone,
}

impl ProcessState {
    pub fn word(self) -> &'static str {
        match self {
            ProcessState::Running => "running",
            ProcessState::Stopped => "stopped",
            ProcessState::Gone => "gone",
        }
    }

    /// Returns whether a letter of `/proc/<pid>/stat` shows the state; `-` stands for a process that is not there.
    pub fn is_shown_by(self, letter: &str) -> bool {
        match self {
            ProcessState::Running => matches!(letter, "R" | "S" | "D" | "I"),
            ProcessState::Stopped => matches!(letter, "T" | "t"),
            ProcessState::Gone => matches!(letter, "-" | "Z" | "X"),
        }
    }
}

/// Writes that tell what a failover loses. The whole is in each request about it, so that any process can carry each out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Databases in the order in which they are tried; whichever accepts writes gets them.
    pub sources: Vec<String>,
    pub every: Span,
    pub table: String,
    pub tag: String,
}

/// What is waited for at a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Awaited {
    /// An attempt that failed.
    Failed,
    /// So many attempts in a row that succeeded.
    Clean { count: u32 },
}
