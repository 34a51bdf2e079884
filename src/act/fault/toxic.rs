//! What a proxy can be told to do to connections.

use serde::{Deserialize, Serialize};
use tocsin_core::time::Span;

use super::TTL_MAX;

/// A hold-up or a reset comes at most this long after its cause.
const DELAY_MAX: Span = Span::from_mins(5);
/// Toxics under one tag.
const TOXICS_MAX: usize = 16;
/// Bytes of a tag.
const TAG_BYTES_MAX: usize = 253;

/// The way that bytes take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the service behind the proxy.
    Upstream,
    /// From the service to the client.
    Downstream,
    #[default]
    Both,
}

impl Direction {
    /// Returns whether a fault of this direction concerns one way.
    pub fn includes(self, way: Direction) -> bool {
        self == Direction::Both || self == way
    }
}

/// One kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToxicKind {
    /// Every byte arrives `delay` later, and up to `jitter` later than that; order is kept.
    Latency {
        delay: Span,
        #[serde(default)]
        jitter: Span,
    },
    /// Each connection carries at most this much, in each direction that is concerned.
    Bandwidth { bytes_per_second: u64 },
    /// Bytes are taken and vanish. New connections open and stay silent.
    Blackhole,
    /// Connections are reset this long after they began, or after the fault began where they are older. The direction says who sees
    /// the reset: `downstream` is the client, `upstream` the service; the other one sees an end.
    Reset {
        #[serde(default)]
        after: Span,
    },
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

/// Harm to some connections of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toxic {
    #[serde(default)]
    pub direction: Direction,
    pub kind: ToxicKind,
    /// The share of connections that are concerned, 0 to 1; chosen once for each connection.
    #[serde(default = "all")]
    pub toxicity: f64,
}

fn all() -> f64 {
    1.0
}

impl Toxic {
    /// Returns harm to every connection in both directions.
    pub fn new(kind: ToxicKind) -> Toxic {
        Toxic { direction: Direction::Both, kind, toxicity: 1.0 }
    }

    fn problem(&self) -> Option<String> {
        let span = |what: &str, span: Span| {
            (span < Span::ZERO || span > DELAY_MAX).then(|| format!("{what} must lie between 0 and 5 minutes"))
        };
        if !(0.0..=1.0).contains(&self.toxicity) {
            return Some("toxicity must lie between 0 and 1".to_owned());
        }
        match self.kind {
            ToxicKind::Latency { delay, jitter } => span("delay", delay).or_else(|| span("jitter", jitter)),
            ToxicKind::Bandwidth { bytes_per_second: 0 } => {
                Some("bytes_per_second must be 1 or more; a connection that carries nothing is a blackhole".to_owned())
            }
            ToxicKind::Reset { after } => span("after", after),
            ToxicKind::Down if self.direction != Direction::Both || self.toxicity < 1.0 => {
                Some("down concerns the listener, so its direction is both and its toxicity 1".to_owned())
            }
            ToxicKind::Bandwidth { .. } | ToxicKind::Blackhole | ToxicKind::Down => None,
        }
    }
}

/// Returns why a fault cannot be put, all reasons in one sentence.
pub fn problem(tag: &str, toxics: &[Toxic], ttl: Span) -> Option<String> {
    let mut problems: Vec<String> =
        toxics.iter().filter_map(|toxic| toxic.problem().map(|problem| format!("{}: {problem}", toxic.kind.word()))).collect();
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
        problems.push(format!("a tag has 1 to {TAG_BYTES_MAX} bytes"));
    }
    if toxics.is_empty() || toxics.len() > TOXICS_MAX {
        problems.push(format!("a fault has 1 to {TOXICS_MAX} toxics"));
    }
    if ttl <= Span::ZERO || ttl > TTL_MAX {
        problems.push("a fault lasts longer than nothing and at most 24 h".to_owned());
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}
