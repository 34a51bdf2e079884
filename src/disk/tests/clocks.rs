//! A wall clock that is stepped forward and back, as the files live through it.

use std::path::Path;

use tocsin_core::model::{MatchOp, Matcher};
use tocsin_core::store::{Class, Classes, Store};
use tocsin_core::time::{Span, Timestamp};

use super::{append, at, content, names, open_with, rows};
use crate::disk::{Disk, DiskOptions};

const MINUTE: Span = Span::from_mins(1);
const HOUR: Span = Span::from_mins(60);
const DAY: Span = Span(24 * HOUR.0);

/// A store that lives by a clock that can be stepped.
struct World {
    store: Store,
    disk: Disk,
    /// What the clock shows too much.
    ahead: Span,
    /// The rows that were appended.
    row: i64,
}

fn classes() -> Classes {
    let fresh = Class { selectors: vec![vec![Matcher::equal("__name__", "fresh")]], keep: Span(12 * HOUR.0) };
    Classes::new(DAY, vec![fresh])
}

impl World {
    fn open(data: &Path, row: i64) -> World {
        let options = DiskOptions { block_bytes_max: 2000, blocks_bytes_max: 200_000, ..DiskOptions::default() };
        let (store, disk, report) = open_with(data, options);
        assert_eq!(report.damage, []);
        store.keep_by(classes());
        World { store, disk, ahead: Span::ZERO, row }
    }

    fn now(&self) -> Timestamp {
        at(self.row) + self.ahead
    }

    /// Lives for so many minutes, with four rows in each; the rows carry the time of the clock when `writes` says so.
    fn live(&mut self, minutes: i64, writes: bool) {
        for _ in 0..minutes {
            for _ in 0..4 {
                if writes && self.ahead == Span::ZERO {
                    append(&self.store, &self.disk, self.row);
                }
                self.row += 1;
            }
            self.disk.tell_time(&self.store, self.now(), MINUTE);
            self.disk.maintain(&self.store, self.now()).unwrap();
            self.disk.merge(&self.store, self.now(), &mut || ()).unwrap();
        }
    }
}

#[test]
fn a_step_of_the_clock_that_is_taken_back_costs_no_sample() {
    for ahead in [Span(-HOUR.0), HOUR, Span(10 * DAY.0), Span(400 * DAY.0)] {
        let data = tempfile::tempdir().unwrap();
        let mut world = World::open(data.path(), 0);
        world.disk.tell_time(&world.store, world.now(), Span::ZERO);
        world.live(240, true);
        let before = content(&world.store);
        assert!(before.len() > 4000 && world.store.stats(0).blocks > 0);
        world.ahead = ahead;
        world.live(60, true);
        assert_eq!(content(&world.store), before, "while the clock is {ahead:?} ahead");
        // A start in the wrong time takes it no more for true than the process before.
        let row = world.row;
        drop(world);
        let mut world = World::open(data.path(), row);
        world.ahead = ahead;
        world.disk.tell_time(&world.store, world.now(), Span::ZERO);
        world.live(60, true);
        assert_eq!(content(&world.store), before, "after a start while the clock is {ahead:?} ahead");
        world.ahead = Span::ZERO;
        world.live(120, true);
        let kept: Vec<i64> = rows(&world.store);
        assert_eq!(kept, (0..960).chain(1440..1920).collect::<Vec<_>>(), "after a step of {ahead:?} and back");
        // And once time has really passed, they go.
        world.row = 1920 + 4 * 60 * 30;
        world.live(24 * 60 + 2, false);
        assert_eq!((rows(&world.store).len(), names(&data.path().join("metrics/blocks")).len()), (0, 0));
    }
}

#[test]
fn samples_of_a_time_to_come_can_be_deleted_so_that_their_series_go_on() {
    let data = tempfile::tempdir().unwrap();
    let mut world = World::open(data.path(), 0);
    world.disk.tell_time(&world.store, world.now(), Span::ZERO);
    world.live(60, true);
    let far = 4 * 60 * 24 * 400;
    for number in far..far + 10 {
        append(&world.store, &world.disk, number);
    }
    world.ahead = Span(400 * DAY.0);
    world.live(30, true);
    world.ahead = Span::ZERO;
    let all = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
    let deletion = world.store.deletion(&[vec![all]], world.now(), Timestamp::MAX);
    world.disk.delete(&world.store, &deletion).unwrap();
    world.live(60, true);
    world.disk.clean(&world.store, &mut || ()).unwrap();
    assert_eq!(rows(&world.store), (0..240).chain(360..600).collect::<Vec<_>>());
}
