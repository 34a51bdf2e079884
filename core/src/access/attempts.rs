//! How often passwords may be tried.
//!
//! An attempt counts when it begins, so that a burst of them at the same instant is not let through; a right password takes it back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::time::Timestamp;

/// Wrong passwords in a minute for one name from one address.
pub const PER_NAME_THERE: u32 = 8;
/// For one name from everywhere. More than from one address, so that a stranger elsewhere does not lock its owner out with few.
pub const PER_NAME: u32 = 40;
/// From one address for all names.
pub const PER_ADDRESS: u32 = 60;
/// Counters that are kept; what comes beyond is refused until the minute is over.
const COUNTERS_MAX: usize = 30_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    NameThere(String, Option<IpAddr>),
    Name(String),
    Address(Option<IpAddr>),
}

/// The attempts of the running minute.
#[derive(Debug, Default)]
pub struct Attempts {
    minute: i64,
    counts: BTreeMap<Key, u32>,
}

/// Who tries: a name, and the address when it is known.
#[derive(Clone, Debug)]
pub struct Attempt {
    keys: [(Key, u32); 3],
    minute: i64,
}

/// Returns the network that one caller has: whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
        },
    }
}

impl Attempts {
    /// Begins an attempt and counts it; None when there were too many.
    pub fn begin(&mut self, name: &str, address: Option<IpAddr>, now: Timestamp) -> Option<Attempt> {
        let minute = now.0.div_euclid(60_000);
        if minute != self.minute {
            *self = Attempts { minute, counts: BTreeMap::new() };
        }
        let address = address.map(network);
        let keys = [
            (Key::NameThere(name.to_owned(), address), PER_NAME_THERE),
            (Key::Name(name.to_owned()), PER_NAME),
            (Key::Address(address), PER_ADDRESS),
        ];
        let is_free = |(key, max): &(Key, u32)| self.counts.get(key).is_none_or(|count| count < max);
        if self.counts.len() > COUNTERS_MAX || !keys.iter().all(is_free) {
            return None;
        }
        for (key, _) in &keys {
            *self.counts.entry(key.clone()).or_default() += 1;
        }
        Some(Attempt { keys, minute })
    }

    /// Takes an attempt back, because its password was right or was not looked at.
    pub fn take_back(&mut self, attempt: &Attempt) {
        if attempt.minute != self.minute {
            return;
        }
        for (key, _) in &attempt.keys {
            if let Some(count) = self.counts.get_mut(key) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    fn let_through(attempts: &mut Attempts, name: &str, from: &str, tries: usize) -> usize {
        (0..tries).filter(|_| attempts.begin(name, address(from), Timestamp(5)).is_some()).count()
    }

    #[test]
    fn a_burst_is_counted_before_any_of_it_is_looked_at() {
        let mut attempts = Attempts::default();
        assert_eq!(let_through(&mut attempts, "ada", "10.0.0.1", 100), 8);
        assert_eq!(let_through(&mut attempts, "ben", "10.0.0.1", 100), 8, "another name is free");
        assert_eq!(let_through(&mut attempts, "ada", "10.0.0.2", 100), 8, "and the owner elsewhere");
        assert!(attempts.begin("ada", address("10.0.0.1"), Timestamp(60_000)).is_some(), "a new minute");
    }

    #[test]
    fn one_address_locks_out_itself_and_nobody_else() {
        let mut attempts = Attempts::default();
        let all: usize = (0..100).map(|number| let_through(&mut attempts, &format!("name {number}"), "10.0.0.1", 2)).sum();
        assert_eq!(all, 60);
        assert!(attempts.begin("ada", address("10.0.0.2"), Timestamp(5)).is_some());
        // Addresses of one network are one.
        let all: usize =
            (0..100).map(|number| let_through(&mut attempts, &format!("name {number}"), &format!("fd00::{number:x}"), 1)).sum();
        assert_eq!(all, 60);
        assert!(attempts.begin("ada", address("fd00:0:0:1::1"), Timestamp(5)).is_some());
    }

    #[test]
    fn right_passwords_do_not_count() {
        let mut attempts = Attempts::default();
        for _ in 0..100 {
            let attempt = attempts.begin("ada", None, Timestamp(5)).expect("a right password is never too many");
            attempts.take_back(&attempt);
        }
    }
}
