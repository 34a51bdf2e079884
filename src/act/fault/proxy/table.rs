//! The toxics of a proxy: which stand, until when, for which connections, and what they have done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tocsin_core::run::lever::{Direction, Toxic, ToxicKind};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::super::toxic;
use super::super::{Proof, StandingFault, Subject};
use crate::clock::{self, Stopwatch};

/// Faults that stand at a time.
const FAULTS_MAX: usize = 64;
/// Faults that have ended and are still known, so that their proof can be asked for.
const ENDED_MAX: usize = 256;

/// What a fault has done.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn proof(&self, active: bool) -> Proof {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Proof { active, connections: load(&self.connections), bytes: load(&self.bytes) }
    }
}

/// A fault that stands.
#[derive(Debug)]
pub struct Fault {
    /// Never given twice.
    id: u64,
    tag: String,
    toxics: Vec<Toxic>,
    /// By the table's own clock, and as people read it.
    since: Duration,
    since_at: Timestamp,
    until: Duration,
    until_at: Timestamp,
    pub counters: Counters,
}

impl Fault {
    fn is_down(&self) -> bool {
        self.toxics.iter().any(|toxic| toxic.kind == ToxicKind::Down)
    }

    fn words(&self) -> String {
        self.toxics.iter().map(|toxic| toxic.kind.word()).collect::<Vec<_>>().join(", ")
    }
}

/// The faults that stand at one moment.
#[derive(Clone, Debug, Default)]
pub struct Standing(Vec<Arc<Fault>>);

/// A connection, as far as toxics choose by it.
#[derive(Debug)]
pub struct Traveller {
    /// Unlike that of any other connection, as good as surely.
    pub seed: u64,
    /// By the table's own clock.
    pub began: Duration,
    /// Faults that have counted it.
    felt: Mutex<Vec<u64>>,
}

impl Traveller {
    pub fn new(seed: u64, began: Duration) -> Traveller {
        Traveller { seed, began, felt: Mutex::default() }
    }

    /// Counts the connection once for each fault.
    pub fn feel(&self, fault: &Fault) {
        let mut felt = self.felt.lock().unwrap_or_else(PoisonError::into_inner);
        if !felt.contains(&fault.id) {
            felt.push(fault.id);
            fault.counters.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether a toxic chooses this connection: always the same for both directions and all its life.
    fn is_chosen(&self, fault: u64, index: usize, toxicity: f64) -> bool {
        // The finaliser of SplitMix64 spreads neighbouring numbers evenly.
        let mut mixed = self.seed ^ (fault << 8 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64 >= 1.0 - toxicity
    }
}

/// What happens to the bytes of one connection in one direction.
#[derive(Clone, Debug, Default)]
pub struct Effect {
    pub delay: Duration,
    pub jitter: Duration,
    /// Bytes a second.
    pub rate: Option<u64>,
    pub swallows: bool,
    /// The faults that do it.
    pub faults: Vec<Arc<Fault>>,
}

impl Effect {
    pub fn delays(&self) -> bool {
        !self.delay.is_zero() || !self.jitter.is_zero()
    }

    pub fn is_plain(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A connection's end by a fault.
#[derive(Clone, Debug)]
pub struct Cut {
    /// By the table's own clock.
    pub at: Duration,
    /// Who sees a reset; the other one sees an end.
    pub direction: Direction,
    pub fault: Arc<Fault>,
}

impl Standing {
    pub fn is_down(&self) -> bool {
        self.0.iter().any(|fault| fault.is_down())
    }

    fn chosen<'s>(&'s self, traveller: &'s Traveller) -> impl Iterator<Item = (&'s Arc<Fault>, &'s Toxic)> {
        self.0.iter().flat_map(move |fault| {
            let toxics = fault.toxics.iter().enumerate();
            toxics
                .filter(move |(index, toxic)| traveller.is_chosen(fault.id, *index, toxic.toxicity))
                .map(move |(_, toxic)| (fault, toxic))
        })
    }

    /// Returns what happens to a connection's bytes on one way. Delays add up; of bandwidths the least counts.
    pub fn effect(&self, traveller: &Traveller, way: Direction) -> Effect {
        let mut effect = Effect::default();
        for (fault, toxic) in self.chosen(traveller).filter(|(_, toxic)| toxic.direction.includes(way)) {
            match toxic.kind {
                ToxicKind::Latency { delay, jitter } => {
                    effect.delay += delay.to_std();
                    effect.jitter += jitter.to_std();
                }
                ToxicKind::Bandwidth { bytes_per_second } => {
                    effect.rate = Some(effect.rate.map_or(bytes_per_second, |rate| rate.min(bytes_per_second)));
                }
                ToxicKind::Blackhole => effect.swallows = true,
                ToxicKind::Reset { .. } | ToxicKind::Down => continue,
            }
            if !effect.faults.iter().any(|known| known.id == fault.id) {
                effect.faults.push(fault.clone());
            }
        }
        effect
    }

    /// Returns how and when a connection is cut, whichever fault does it first.
    pub fn cut(&self, traveller: &Traveller) -> Option<Cut> {
        let cuts = self.chosen(traveller).filter_map(|(fault, toxic)| {
            let (at, direction) = match toxic.kind {
                ToxicKind::Reset { after } => (fault.since.max(traveller.began) + after.to_std(), toxic.direction),
                ToxicKind::Down => (fault.since, Direction::Both),
                ToxicKind::Latency { .. } | ToxicKind::Bandwidth { .. } | ToxicKind::Blackhole => return None,
            };
            Some(Cut { at, direction, fault: fault.clone() })
        });
        cuts.min_by_key(|cut| cut.at)
    }
}

/// The faults of a proxy.
#[derive(Debug)]
pub struct Table {
    watch: Stopwatch,
    standing: watch::Sender<Standing>,
    ended: Mutex<VecDeque<Arc<Fault>>>,
    last_id: AtomicU64,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            watch: Stopwatch::start(),
            standing: watch::Sender::default(),
            ended: Mutex::default(),
            last_id: AtomicU64::default(),
        }
    }
}

impl Table {
    /// Returns the time by the table's own clock, which no step of the wall clock moves.
    pub fn now(&self) -> Duration {
        self.watch.elapsed()
    }

    pub fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Puts a fault; one that stands under the same tag ends.
    ///
    /// Errors: a sentence that says what makes no sense.
    pub fn apply(&self, tag: &str, toxics: Vec<Toxic>, ttl: Span) -> Result<(), String> {
        if let Some(problem) = toxic::problem(tag, &toxics, ttl) {
            return Err(problem);
        }
        let (since, since_at) = (self.now(), clock::now());
        let fault = Fault {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            tag: tag.to_owned(),
            toxics,
            since,
            since_at,
            until: since + ttl.to_std(),
            until_at: since_at + ttl,
            counters: Counters::default(),
        };
        let words = fault.words();
        let mut full = false;
        self.standing.send_if_modified(|standing| {
            full = standing.0.iter().filter(|other| other.tag != tag).count() >= FAULTS_MAX;
            if !full {
                self.take_out(standing, |other| other.tag == tag);
                standing.0.push(Arc::new(fault));
            }
            !full
        });
        if full {
            return Err(format!("{FAULTS_MAX} faults stand on this proxy already"));
        }
        tracing::info!(tag, kind = words, seconds = ttl.seconds(), "a fault begins");
        Ok(())
    }

    /// Ends the fault of a tag, if there is one.
    pub fn heal(&self, tag: &str) {
        if self.standing.send_if_modified(|standing| self.take_out(standing, |fault| fault.tag == tag)) {
            tracing::info!(tag, "a fault is healed");
        }
    }

    /// Takes faults out and keeps their counters; returns whether there were any.
    fn take_out(&self, standing: &mut Standing, is_over: impl Fn(&Fault) -> bool) -> bool {
        let (over, stays): (Vec<_>, Vec<_>) = standing.0.drain(..).partition(|fault| is_over(fault));
        standing.0 = stays;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let any = !over.is_empty();
        ended.extend(over);
        let surplus = ended.len().saturating_sub(ENDED_MAX);
        ended.drain(..surplus);
        any
    }

    /// Ends each fault when its time is over, for ever.
    pub async fn end_in_time(&self) {
        let mut changes = self.subscribe();
        loop {
            let next = changes.borrow_and_update().0.iter().map(|fault| fault.until).min();
            let now = self.now();
            tokio::select! {
                _ = changes.changed() => continue,
                () = tokio::time::sleep(next.unwrap_or(Duration::MAX).saturating_sub(now)), if next.is_some() => {}
            }
            let now = self.now();
            if self.standing.send_if_modified(|standing| self.take_out(standing, |fault| fault.until <= now)) {
                tracing::info!("a fault ends by itself");
            }
        }
    }

    /// Returns what stands, as `standing` of the room tells it.
    pub fn standing(&self, name: &str) -> Vec<StandingFault> {
        let tell = |fault: &Arc<Fault>| StandingFault {
            tag: fault.tag.clone(),
            kind: fault.words(),
            subject: Subject::Proxy(name.to_owned()),
            since: fault.since_at,
            until: fault.until_at,
            guarded: true,
        };
        self.standing.borrow().0.iter().map(tell).collect()
    }

    /// Returns what a tag's newest fault has done, and whether it keeps the proxy from listening.
    pub fn proof(&self, tag: &str) -> (Proof, bool) {
        if let Some(fault) = self.standing.borrow().0.iter().find(|fault| fault.tag == tag) {
            return (fault.counters.proof(true), fault.is_down());
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let found = ended.iter().rev().find(|fault| fault.tag == tag);
        (found.map_or_else(Proof::default, |fault| fault.counters.proof(false)), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_connections_is_chosen_and_each_for_good() {
        let travellers: Vec<Traveller> = (0..10_000).map(|seed| Traveller::new(seed, Duration::ZERO)).collect();
        for (toxicity, range) in [(0.0, 0..1), (0.3, 2_700..3_300), (1.0, 10_000..10_001)] {
            for fault in [1, 2] {
                let chosen = |traveller: &&Traveller| traveller.is_chosen(fault, 0, toxicity);
                let count = travellers.iter().filter(chosen).count();
                assert!(range.contains(&count), "{toxicity}: {count}");
                assert_eq!(travellers.iter().filter(chosen).count(), count);
            }
        }
        let both = travellers.iter().filter(|one| one.is_chosen(1, 0, 0.5) && one.is_chosen(1, 1, 0.5)).count();
        assert!((2_200..2_800).contains(&both), "two toxics choose independently: {both}");
    }
}
