//! What experiments and drills pull and look through: faults of the network, states of processes, canary writes, journeys of users.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// One way in which a proxy spoils its connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toxic {
    pub direction: Direction,
    #[serde(flatten)]
    pub kind: ToxicKind,
    /// The share of connections that are spoiled, chosen for each when it begins. Unit: 0 to 1.
    pub toxicity: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the server.
    Upstream,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToxicKind {
    /// Every byte is late by `delay`, give or take `jitter`.
    Latency {
        delay: Span,
        jitter: Span,
    },
    Bandwidth {
        bytes_per_second: u64,
    },
    /// Bytes are taken in and never handed on.
    Blackhole,
    /// Connections are reset when they are this old.
    Reset {
        after: Span,
    },
    /// Nobody listens.
    Down,
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
