//! How samples are sent to another server: settings, and the decisions on the way.

use std::collections::BTreeMap;

use crate::client::HttpClient;
use crate::model::LabelSet;
use crate::model::relabel::{self, RelabelRule};
use crate::time::Span;

use super::Protocol;

/// Another server that our samples are sent to.
///
/// Source: Prometheus' `remote_write`, whose defaults these are but for `retry_on_http_429`.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Names the queue over restarts.
    pub name: String,
    pub url: String,
    pub timeout: Span,
    pub headers: BTreeMap<String, String>,
    pub relabel: Vec<RelabelRule>,
    pub send_exemplars: bool,
    pub send_native_histograms: bool,
    pub protocol: Protocol,
    pub client: HttpClient,
    pub queue: Queue,
    pub metadata: MetadataSettings,
    /// Added where a series has no such label.
    pub external_labels: LabelSet,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Samples that wait in memory for each shard.
    pub capacity: usize,
    pub max_shards: usize,
    pub min_shards: usize,
    pub max_samples_per_send: usize,
    pub batch_send_deadline: Span,
    pub min_backoff: Span,
    pub max_backoff: Span,
    pub retry_on_http_429: bool,
    /// Older samples are given up; zero: none.
    pub sample_age_limit: Span,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Span::from_secs(5),
            min_backoff: Span(30),
            max_backoff: Span::from_secs(5),
            retry_on_http_429: true,
            sample_age_limit: Span::ZERO,
        }
    }
}

/// Metadata by requests of its own, which 1.0 needs.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataSettings {
    pub send: bool,
    pub interval: Span,
    pub max_samples_per_send: usize,
}

impl Default for MetadataSettings {
    fn default() -> MetadataSettings {
        MetadataSettings { send: true, interval: Span::from_mins(1), max_samples_per_send: 2_000 }
    }
}

impl Endpoint {
    /// Returns the labels under which a series is sent; None: it is not.
    pub fn labels(&self, own: &LabelSet) -> Option<LabelSet> {
        let mut builder = own.builder();
        for (name, value) in self.external_labels.iter() {
            if !own.has(name) {
                builder.set(name, value);
            }
        }
        let keeps = relabel::apply(&self.relabel, &mut builder);
        Some(builder.build()).filter(|labels| keeps && !labels.is_empty())
    }
}

/// What an answer means for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// The same may succeed later.
    Retry,
    /// The same would be refused again.
    Rejected,
    /// The server knows 1.0 only.
    OtherProtocol,
}

/// Judges a status code.
///
/// Source: the specifications: 5xx is sent again, 429 may be, no other 4xx is.
pub fn judge(status: u16, protocol: Protocol, queue: &Queue) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        415 if protocol == Protocol::V2 => Verdict::OtherProtocol,
        429 if queue.retry_on_http_429 => Verdict::Retry,
        500..=599 => Verdict::Retry,
        _ => Verdict::Rejected,
    }
}

/// A server's wish for patience is heard up to this.
const WISH_MAX: Span = Span::from_mins(5);

/// The wait between attempts at one batch: it doubles from the shortest to the longest.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Span,
    max: Span,
}

impl Backoff {
    pub fn new(queue: &Queue) -> Backoff {
        Backoff { next: queue.min_backoff.max(Span(1)), max: queue.max_backoff.max(Span(1)) }
    }

    /// Returns how long to wait now. `wish`: what the server asks for; `dice`: anything from 0 to 1, so that many do not come at once.
    pub fn wait(&mut self, wish: Option<Span>, dice: f64) -> Span {
        let base = self.next;
        self.next = Span(base.0.saturating_mul(2)).min(self.max);
        let spread = Span((base.0 as f64 * (0.9 + 0.2 * dice)).round() as i64);
        spread.max(wish.unwrap_or(Span::ZERO).min(WISH_MAX))
    }
}

/// Reads the header `Retry-After` when it says seconds.
pub fn wish(text: &str) -> Option<Span> {
    text.trim().parse::<i64>().ok().filter(|seconds| *seconds >= 0).map(|seconds| Span(seconds.saturating_mul(1000)))
}

/// How a queue has fared for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Samples a second that came into the queue and that left it.
    pub arrived: f64,
    pub sent: f64,
    /// Seconds that all shards together spent on sending, in a second.
    pub busy: f64,
    /// Samples that wait.
    pub pending: f64,
}

/// The share of what waits that is to be caught up with in a second.
const CATCH_UP: f64 = 0.05;
/// Within this share of what there is, nothing changes.
const TOLERANCE: f64 = 0.3;

/// Returns how many shards a queue should have, which has `current` ones now.
///
/// Source: Prometheus `calculateDesiredShards`.
pub fn wanted_shards(current: usize, load: Load, queue: &Queue) -> usize {
    if load.sent <= 0.0 {
        return current;
    }
    let each = load.busy / load.sent;
    let wanted = each * (load.arrived + CATCH_UP * load.pending);
    let now = current as f64;
    if wanted > now * (1.0 - TOLERANCE) && wanted < now * (1.0 + TOLERANCE) {
        return current;
    }
    let is_behind = load.pending > load.arrived * 10.0;
    let wanted = (wanted.ceil() as usize).clamp(queue.min_shards, queue.max_shards);
    if wanted < current && is_behind { current } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_as_the_specification_says() {
        let (queue, impatient) = (Queue::default(), Queue { retry_on_http_429: false, ..Queue::default() });
        for status in [200, 202, 204, 299] {
            assert_eq!(judge(status, Protocol::V2, &queue), Verdict::Delivered, "{status}");
        }
        for status in [100, 301, 400, 401, 403, 404, 409, 413, 422, 499, 600, 999] {
            assert_eq!(judge(status, Protocol::V2, &queue), Verdict::Rejected, "{status}");
        }
        for status in [429, 500, 502, 503, 504, 599] {
            assert_eq!(judge(status, Protocol::V1, &queue), Verdict::Retry, "{status}");
        }
        assert_eq!(judge(429, Protocol::V1, &impatient), Verdict::Rejected);
        assert_eq!(judge(415, Protocol::V2, &queue), Verdict::OtherProtocol);
        assert_eq!(judge(415, Protocol::V1, &queue), Verdict::Rejected);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_hear_the_server() {
        let mut backoff = Backoff::new(&Queue::default());
        let waits: Vec<i64> = (0..10).map(|_| backoff.wait(None, 0.5).0).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000]);
        assert_eq!(backoff.wait(wish(" 7 "), 0.0), Span::from_secs(7));
        assert_eq!(backoff.wait(wish("2"), 1.0), Span(5500));
        assert_eq!(backoff.wait(wish("99999999"), 1.0), WISH_MAX);
        assert_eq!((wish("Wed, 21 Oct 2015 07:28:00 GMT"), wish("-1")), (None, None));
    }

    #[test]
    fn shards_follow_the_load_and_not_every_breath() {
        let queue = Queue::default();
        let load = Load { arrived: 1000.0, sent: 1000.0, busy: 1.0, pending: 0.0 };
        assert_eq!(wanted_shards(1, load, &queue), 1);
        assert_eq!(wanted_shards(1, Load { busy: 4.2, ..load }, &queue), 5);
        assert_eq!(wanted_shards(5, Load { busy: 4.2, ..load }, &queue), 5, "within the tolerance");
        assert_eq!(wanted_shards(8, Load { busy: 1.0, ..load }, &queue), 1);
        assert_eq!(wanted_shards(8, Load { pending: 20_000.0, ..load }, &queue), 8, "not fewer while it is behind");
        assert_eq!(wanted_shards(1, Load { pending: 1e6, ..load }, &queue), 50, "at most as many as may be");
        assert_eq!(wanted_shards(3, Load::default(), &queue), 3);
    }
}
