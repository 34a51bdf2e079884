//! When a group is evaluated: at slots that lie the same in every process, spread over the interval by a hash of the group.

use crate::time::{Span, Timestamp};

use super::RuleGroup;

impl RuleGroup {
    /// Returns the last slot that is not after `now`.
    ///
    /// Shape: a multiple of the interval plus the group's own offset; the same slots as Prometheus for the same file and name.
    pub fn slot(&self, now: Timestamp) -> Timestamp {
        let offset = self.slot_offset().0;
        let interval = self.interval.0;
        Timestamp(now.0 - (now.0 - offset).rem_euclid(interval))
    }

    /// Returns the first slot after `now`.
    pub fn next_slot(&self, now: Timestamp) -> Timestamp {
        self.slot(now) + self.interval
    }

    /// Returns the first slot after `now` that is not `last`, which was evaluated, nor before it.
    ///
    /// A clock that shows more than an interval before `last` was stepped back: the slots go on from what it shows.
    pub fn slot_after(&self, last: Timestamp, now: Timestamp) -> Timestamp {
        self.next_slot(if last.since(now) > self.interval { now } else { now.max(last) })
    }

    /// Returns how far behind a multiple of the interval the group's slots lie.
    ///
    /// Prometheus counts nanoseconds; cut to milliseconds they name the same stored timestamps.
    fn slot_offset(&self) -> Span {
        assert!(self.interval.0 > 0, "a group without an interval has no slots");
        let interval_nanos = self.interval.0.unsigned_abs() * 1_000_000;
        let offset = group_hash(&self.file, &self.name) % interval_nanos;
        Span((offset / 1_000_000) as i64)
    }
}

/// Returns the hash of a group's labels `file` and `name`.
///
/// Source: Prometheus `Group.hash` and `labels.Labels.Hash` of its usual build: XXH64 over the labels in order of their names, each
/// text behind its length (one byte, or 255 and three bytes).
fn group_hash(file: &str, name: &str) -> u64 {
    let mut bytes = Vec::with_capacity(file.len() + name.len() + 16);
    for text in ["file", file, "name", name] {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes)
}

const PRIMES: [u64; 5] =
    [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5];

/// Returns the hash XXH64 with seed zero.
///
/// Source: the specification of xxHash.
fn xxh64(bytes: &[u8]) -> u64 {
    let round = |lane: u64, input: u64| lane.wrapping_add(input.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0]);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes are taken"));
    let (stripes, mut rest) = bytes.split_at(bytes.len() - bytes.len() % 32);
    let mut hash = if stripes.is_empty() {
        PRIMES[4]
    } else {
        let mut lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0u64.wrapping_sub(PRIMES[0])];
        for stripe in stripes.chunks_exact(32) {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word(input));
            }
        }
        let mixed = [1, 7, 12, 18].iter().zip(lanes).fold(0u64, |sum, (turn, lane)| sum.wrapping_add(lane.rotate_left(*turn)));
        lanes.iter().fold(mixed, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]))
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while rest.len() >= 8 {
        hash = (hash ^ round(0, word(&rest[..8]))).rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = &rest[8..];
    }
    if rest.len() >= 4 {
        let half = u32::from_le_bytes(rest[..4].try_into().expect("four bytes are taken"));
        hash = (hash ^ u64::from(half).wrapping_mul(PRIMES[0])).rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = &rest[4..];
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(PRIMES[4])).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_xxh64() {
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(xxh64(b"The quick brown fox jumps over the lazy dog"), 0x0b24_2d36_1fda_71bc);
    }

    #[test]
    fn slots_are_an_interval_apart_and_never_in_the_future() {
        let group = RuleGroup::empty("rules.yml", "node", Span::from_secs(30));
        for now in [0, 1, 29_999, 30_000, 1_795_231_655_926, -5] {
            let slot = group.slot(Timestamp(now));
            assert!(slot.0 <= now && now < slot.0 + 30_000);
            assert_eq!(group.slot(slot), slot);
            assert_eq!(group.next_slot(slot), slot + Span::from_secs(30));
        }
        let slot = group.slot(Timestamp(1_795_231_655_926));
        let late = |millis: i64| group.slot_after(slot, slot + Span(millis)).since(slot).0 / 30_000;
        assert_eq!([late(5), late(29_999), late(30_000), late(95_000)], [1, 1, 2, 4]);
        assert_eq!([late(-5), late(-29_000)], [1, 1], "a slot is not evaluated twice");
        assert_eq!(late(-2 * 3600 * 1000), 1 - 240, "a clock that was stepped back leads");
        let other = RuleGroup::empty("rules.yml", "other", Span::from_secs(30));
        assert_ne!(group.slot(Timestamp(0)), other.slot(Timestamp(0)));
    }
}
