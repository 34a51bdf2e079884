//! Whose turn it is among the deliveries that wait.
//!
//! Each lane has one attempt at a time. A place that swallows its attempts must not keep others from theirs: it has few at a time, and
//! what is tried for the first time goes before what has failed already.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// Attempts that run at the same time, over all places.
pub const IN_FLIGHT_MAX: usize = 64;
/// Of these, such as were tried before.
pub const AGAIN_MAX: usize = 32;
/// Attempts at one place at the same time.
pub const AT_A_PLACE_MAX: usize = 8;

/// The first delivery of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: i64,
    pub lane: String,
    /// A receiver and one of its channels.
    pub place: (String, String),
    pub attempts: i64,
    pub next_attempt_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    pub expired: Vec<Head>,
    pub start: Vec<Head>,
    /// Those that are due and for which there is no room.
    pub waiting: Vec<Head>,
    /// When the next delivery falls due or expires; those that wait for room are not counted.
    pub next: Option<Timestamp>,
}

/// Returns whose turn it is, given what is under way.
pub fn turns<'a>(mut heads: Vec<Head>, under_way: impl Iterator<Item = &'a Head>, now: Timestamp) -> Turns {
    let (mut lanes, mut at_places, mut all, mut again) = (BTreeSet::new(), BTreeMap::new(), 0, 0);
    for head in under_way {
        lanes.insert(head.lane.as_str());
        *at_places.entry(head.place.clone()).or_insert(0) += 1;
        all += 1;
        again += usize::from(head.attempts > 0);
    }
    heads.sort_by_key(|head| (head.attempts > 0, head.next_attempt_at, head.id));
    let mut turns = Turns::default();
    for head in heads {
        if lanes.contains(head.lane.as_str()) {
            continue;
        }
        if head.expires_at <= now {
            turns.expired.push(head);
            continue;
        }
        if head.next_attempt_at > now {
            let at = head.next_attempt_at.min(head.expires_at);
            turns.next = Some(turns.next.map_or(at, |earliest| earliest.min(at)));
            continue;
        }
        let at_place = at_places.entry(head.place.clone()).or_insert(0);
        let is_again = head.attempts > 0;
        if all < IN_FLIGHT_MAX && *at_place < AT_A_PLACE_MAX && (!is_again || again < AGAIN_MAX) {
            *at_place += 1;
            all += 1;
            again += usize::from(is_again);
            turns.start.push(head);
        } else {
            turns.waiting.push(head);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: i64, receiver: &str, attempts: i64, due: i64) -> Head {
        Head {
            id,
            lane: format!("lane {id}"),
            place: (receiver.to_owned(), "webhook".to_owned()),
            attempts,
            next_attempt_at: Timestamp(due),
            expires_at: Timestamp(1_000),
        }
    }

    fn ids(heads: &[Head]) -> Vec<i64> {
        heads.iter().map(|head| head.id).collect()
    }

    #[test]
    fn a_place_that_swallows_attempts_holds_back_nobody_else() {
        let swallowed: Vec<Head> = (0..1_000).map(|id| head(id, "hole", 3, 0)).collect();
        let first = turns(swallowed.clone(), [].iter(), Timestamp(10));
        assert_eq!(ids(&first.start), [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut waiting = swallowed;
        waiting.push(head(5_000, "pagerduty", 0, 10));
        assert_eq!(ids(&turns(waiting, first.start.iter(), Timestamp(10)).start), [5_000]);
    }

    #[test]
    fn what_failed_before_leaves_room_for_what_is_new() {
        let place = |number: i64| format!("place {}", number / 8);
        let failed: Vec<Head> = (0..400).map(|id| head(id, &place(id), 1, 0)).collect();
        let busy = turns(failed.clone(), [].iter(), Timestamp(10)).start;
        assert_eq!(busy.len(), AGAIN_MAX);
        let new: Vec<Head> = (400..800).map(|id| head(id, &place(id), 0, 9)).collect();
        let more = turns(failed.into_iter().chain(new).collect(), busy.iter(), Timestamp(10)).start;
        assert_eq!(ids(&more), (400..432).collect::<Vec<_>>());
    }

    #[test]
    fn new_ones_go_first_at_a_place_and_lanes_have_one_at_a_time() {
        let heads = vec![head(1, "a", 2, 0), head(2, "a", 0, 5), head(3, "a", 0, 4), head(4, "b", 0, 20), head(5, "b", 0, 2_000)];
        let turns = turns(heads, [head(3, "a", 0, 4)].iter(), Timestamp(10));
        assert_eq!((ids(&turns.start), turns.next), (vec![2, 1], Some(Timestamp(20))));
    }

    #[test]
    fn what_has_run_out_ends_and_what_waits_is_looked_at_before_it_runs_out() {
        let heads = vec![head(1, "a", 2, 5_000), Head { expires_at: Timestamp(10), ..head(2, "a", 0, 0) }];
        let turns = turns(heads, [].iter(), Timestamp(10));
        assert_eq!((ids(&turns.expired), ids(&turns.start), turns.next), (vec![2], vec![], Some(Timestamp(1_000))));
    }
}
