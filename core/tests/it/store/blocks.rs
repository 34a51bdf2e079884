//! Blocks beside memory: who sees what while they come and go, and clocks and classes that change meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::model::{self, LabelSet, Matcher, Row, Select, Source, Value};
use tocsin_core::store::{BlockId, Class, Classes, Cut, Merge, ReadAt, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

const START: i64 = 1_795_231_650_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

struct World {
    store: Store,
    blocks: RefCell<BTreeMap<BlockId, Arc<[u8]>>>,
    next: Cell<u64>,
}

fn reader(bytes: &Arc<[u8]>) -> ReadAt {
    let bytes = bytes.clone();
    Box::new(move |at, out| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    })
}

fn samples(source: &impl Source, name: &str) -> Vec<(i64, f64)> {
    let matchers = [Matcher::equal("__name__", name)];
    let all =
        Select { matchers: &matchers, start: Timestamp::MIN, end: Timestamp::MAX, samples_max: 1 << 20, newest_only: false };
    source.select(&all).unwrap().pop().map(|series| series.floats).unwrap_or_default()
}

impl World {
    fn new() -> World {
        let options = StoreOptions { retention: Span(30 * DAY), ..StoreOptions::default() };
        World { store: Store::new(options), blocks: RefCell::default(), next: Cell::new(1) }
    }

    /// Appends a sample to each of some series, of whatever age; returns how many were new.
    fn append(&self, names: &[&str], at: i64, value: f64) -> usize {
        let cell = |name: &&str| {
            let series = self.store.resolve(&LabelSet::from_pairs([("__name__", *name)])).unwrap();
            model::Cell { series, at: None, value: Value::Float(value) }
        };
        let row = Row { at: Timestamp(at), cells: names.iter().map(cell).collect() };
        self.store.append_bulk(&[row], &|_| Ok(())).unwrap().samples
    }

    fn cut(&self, before: i64) {
        let mut cut = Cut::of_all();
        while let Some(draft) = self.store.draft(Timestamp(before), 1 << 20, &mut cut) {
            let (bytes, id) = (Arc::<[u8]>::from(draft.bytes()), BlockId::of_cut(self.next.get()));
            self.store.commit(&draft, id, reader(&bytes)).unwrap();
            self.blocks.borrow_mut().insert(id, bytes);
            self.next.set(self.next.get() + 1);
        }
    }

    fn written(merge: &Merge) -> (u64, Arc<[u8]>) {
        let mut bytes = Vec::new();
        let mut sink = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        (merge.write(&mut sink, &mut || ()).unwrap(), bytes.into())
    }

    /// Merges what is due.
    fn merge(&self, now: i64) {
        while let Some(merge) = self.store.merge_due(Timestamp(now), u64::MAX) {
            let (len, bytes) = World::written(&merge);
            for gone in self.store.commit_merge(&merge, len, reader(&bytes)).unwrap().unwrap() {
                self.blocks.borrow_mut().remove(&gone);
            }
            self.blocks.borrow_mut().insert(merge.id(), bytes);
        }
    }
}

#[test]
fn a_sample_that_is_sent_again_stays_in_the_view_of_those_who_saw_it() {
    let world = World::new();
    for step in 0..3 {
        world.append(&["a"], START + step * MINUTE, step as f64);
    }
    world.cut(START + HOUR);
    world.append(&["a", "b"], START + HOUR, 9.0);
    let before = samples(&world.store, "a");
    assert_eq!(before.len(), 4);
    let snapshot = world.store.snapshot();
    // Memory has no longer what a block has, so it takes it once more; and late ones come that the snapshot must not see.
    assert_eq!(world.append(&["a"], START + MINUTE, 1.0), 1);
    assert_eq!(world.append(&["a", "b"], START + MINUTE / 2, 5.0), 2);
    assert_eq!(samples(&snapshot, "a"), before);
    assert_eq!(samples(&world.store, "a").len(), 5);
    // Also once they have moved to a block of their own, and have been sent once more.
    world.cut(START + HOUR);
    for again in [2, 0] {
        assert_eq!((samples(&snapshot, "a"), samples(&snapshot, "b")), (before.clone(), vec![(START + HOUR, 9.0)]));
        assert_eq!((samples(&world.store, "a").len(), samples(&world.store, "b").len()), (5, 2));
        assert_eq!(world.append(&["a", "b"], START + MINUTE / 2, 5.0), again);
    }
}

#[test]
fn what_a_block_held_before_a_snapshot_is_seen_when_it_moves_and_comes_again_meanwhile() {
    let world = World::new();
    for step in 0..3 {
        world.append(&["a"], START + step * MINUTE, step as f64);
    }
    world.append(&["a"], START + HOUR, 9.0);
    let before = samples(&world.store, "a");
    let snapshot = world.store.snapshot();
    world.cut(START + 2 * HOUR);
    assert_eq!(world.append(&["a"], START + MINUTE, 1.0), 1);
    assert_eq!((samples(&snapshot, "a"), samples(&world.store, "a")), (before.clone(), before));
}

fn classes(short: Span) -> Classes {
    let class = Class { selectors: vec![vec![Matcher::equal("__name__", "short")]], keep: short };
    Classes::new(Span(30 * DAY), vec![class])
}

#[test]
fn what_a_reload_has_kept_for_longer_is_not_lost_to_a_merge_that_began_before() {
    let world = World::new();
    world.store.keep_by(classes(Span(HOUR)));
    for step in 0..5 * 60 {
        world.append(&["short", "long"], START + step * MINUTE, step as f64);
        if step % 30 == 29 {
            world.cut(START + (step + 1) * MINUTE);
        }
    }
    let now = Timestamp(START + 20 * HOUR);
    let before = samples(&world.store, "short");
    assert_eq!(before.len(), 300);
    for due in [|store: &Store, now| store.merge_due(now, u64::MAX), |store: &Store, now| store.sift_due(now, &mut || ())] {
        world.store.keep_by(classes(Span(HOUR)));
        let merge = due(&world.store, now).expect("something is due");
        let (len, bytes) = World::written(&merge);
        world.store.keep_by(classes(Span(40 * DAY)));
        assert!(world.store.commit_merge(&merge, len, reader(&bytes)).unwrap().is_none());
        assert_eq!(samples(&world.store, "short"), before);
    }
    // A reload that changes nothing is none, and what is due by the new classes is done.
    world.store.keep_by(classes(Span(HOUR)));
    let merge = world.store.sift_due(now, &mut || ()).expect("it is due");
    let (len, bytes) = World::written(&merge);
    world.store.keep_by(classes(Span(HOUR)));
    assert!(world.store.commit_merge(&merge, len, reader(&bytes)).unwrap().is_some());
    assert!(samples(&world.store, "short").len() < before.len());
    assert_eq!(samples(&world.store, "long").len(), 300);
}

#[test]
fn blocks_of_a_clock_that_was_ahead_keep_others_neither_from_merging_nor_from_staying() {
    let world = World::new();
    for step in 0..12 * 60 {
        world.append(&["a"], START + step * MINUTE, step as f64);
        if step == 3 * 60 {
            world.append(&["b"], START + 400 * DAY, 1.0);
            world.cut(START + 500 * DAY);
        }
        if step % 10 == 9 {
            world.cut(START + (step + 1) * MINUTE);
        }
    }
    let now = START + 20 * HOUR;
    let cuts = world.store.block_facts().len();
    world.merge(now);
    let merged = world.store.block_facts();
    assert!(cuts > 60 && merged.len() < 10, "{cuts} blocks became {}", merged.len());
    assert_eq!((samples(&world.store, "a").len(), samples(&world.store, "b").len()), (720, 1));

    // Room is made by what is old, and nothing to come is forgotten with it.
    world.append(&["a"], now, 0.5);
    world.cut(now + MINUTE);
    let bytes: u64 = world.store.block_facts().iter().map(|block| block.bytes).sum();
    assert!(!world.store.shrink_blocks(bytes - 1, Timestamp(now)).is_empty());
    assert!(samples(&world.store, "a").len() > 300, "the oldest went");
    world.store.shrink_blocks(0, Timestamp(now));
    assert_eq!(world.store.horizon(), Timestamp(now));
    assert_eq!((samples(&world.store, "a").len(), samples(&world.store, "b").len()), (1, 1));
    assert_eq!(world.append(&["a"], now + MINUTE, 1.0), 1);
}
