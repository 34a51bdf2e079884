//! What a proxy can be told to do to connections.

use tocsin_core::run::lever::{Direction, Toxic, ToxicKind};
use tocsin_core::time::Span;

use super::TTL_MAX;

/// A hold-up or a reset comes at most this long after its cause.
const DELAY_MAX: Span = Span::from_mins(5);
/// Toxics under one tag.
const TOXICS_MAX: usize = 16;
/// Bytes of a tag.
const TAG_BYTES_MAX: usize = 253;

fn problem_of(toxic: &Toxic) -> Option<String> {
    let span = |what: &str, span: Span| {
        (span < Span::ZERO || span > DELAY_MAX).then(|| format!("{what} must lie between 0 and 5 minutes"))
    };
    if !(0.0..=1.0).contains(&toxic.toxicity) {
        return Some("toxicity must lie between 0 and 1".to_owned());
    }
    match toxic.kind {
        ToxicKind::Latency { delay, jitter } => span("delay", delay).or_else(|| span("jitter", jitter)),
        ToxicKind::Bandwidth { bytes_per_second: 0 } => {
            Some("bytes_per_second must be 1 or more; a connection that carries nothing is a blackhole".to_owned())
        }
        ToxicKind::Reset { after } => span("after", after),
        ToxicKind::Down if toxic.direction != Direction::Both || toxic.toxicity < 1.0 => {
            Some("down concerns the listener, so its direction is both and its toxicity 1".to_owned())
        }
        ToxicKind::Bandwidth { .. } | ToxicKind::Blackhole | ToxicKind::Down => None,
    }
}

/// Returns why a fault cannot be put, all reasons in one sentence.
pub fn problem(tag: &str, toxics: &[Toxic], ttl: Span) -> Option<String> {
    let mut problems: Vec<String> =
        toxics.iter().filter_map(|toxic| problem_of(toxic).map(|problem| format!("{}: {problem}", toxic.kind.word()))).collect();
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
