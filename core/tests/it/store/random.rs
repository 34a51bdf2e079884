//! Random stories, told to the store and to the model; both must give the same answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tocsin_core::model::sample::STALE_BITS;
use tocsin_core::model::{Cell, LabelSet, MatchOp, Matcher, Row, Select, Series, SeriesRef, Source, SourceError};
use tocsin_core::store::{
    AppendError, Appended, BlockId, Cut, Merge, ReadAt, Store, StoreOptions, TURNS, check_block, check_record,
};
use tocsin_core::time::{Span, Timestamp};

use super::dice::Dice;
use super::model::{Exact, Model, spell};

const MINUTE: i64 = 60_000;
const RETENTION: i64 = 240 * MINUTE;

/// A store with its log, beside the model.
struct World {
    store: Store,
    options: StoreOptions,
    /// Records since the last checkpoint, the checkpoint's first.
    log: RefCell<Vec<Vec<u8>>>,
    model: Model,
    /// What stands.
    selectors: Vec<Vec<Matcher>>,
    known: BTreeMap<LabelSet, SeriesRef>,
    blocks: BTreeMap<BlockId, Arc<[u8]>>,
    next_block: u64,
    /// As they lie on the disk.
    tombstones: Vec<Vec<u8>>,
    now: i64,
}

fn reader(bytes: &Arc<[u8]>) -> ReadAt {
    let bytes = bytes.clone();
    Box::new(move |at, out| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    })
}

impl World {
    fn new(window: i64) -> World {
        let options = StoreOptions { retention: Span(RETENTION), out_of_order_window: Span(window), ..StoreOptions::default() };
        World {
            store: Store::new(options.clone()),
            options,
            log: RefCell::default(),
            model: Model::new(window),
            selectors: Vec::new(),
            known: BTreeMap::new(),
            blocks: BTreeMap::new(),
            next_block: 1,
            tombstones: Vec::new(),
            now: 1_795_231_655_000,
        }
    }

    /// Appends to both. The log fails for the store if `full` says so; then memory alone goes on, and a checkpoint follows.
    fn append(&mut self, at: i64, cells: &[(LabelSet, Option<i64>, Exact)], any_age: bool, full: bool) {
        let mut expected = Appended::default();
        let done = loop {
            let mut row = Row { at: Timestamp(at), cells: vec![] };
            for (labels, own, value) in cells {
                let store = &self.store;
                let series = *self.known.entry(labels.clone()).or_insert_with(|| store.resolve(labels).unwrap());
                row.cells.push(Cell { series, at: own.map(Timestamp), value: value.value() });
            }
            let log = |record: &[u8]| {
                if full {
                    return Err(io::Error::other("full"));
                }
                self.log.borrow_mut().push(record.to_vec());
                Ok(())
            };
            let done = match any_age {
                true => self.store.append_bulk(std::slice::from_ref(&row), &log),
                false => self.store.append(&row, &log),
            };
            match done {
                Err(AppendError::Dead { series }) => self.known.retain(|_, own| !series.contains(own)),
                Err(AppendError::Log(_)) => {
                    let done = match any_age {
                        true => self.store.append_bulk_unlogged(std::slice::from_ref(&row)),
                        false => self.store.append_unlogged(&row),
                    };
                    self.checkpoint();
                    break done.unwrap();
                }
                done => break done.unwrap(),
            }
        };
        self.model.begin_row();
        for (labels, own, value) in cells {
            self.model.resolve(labels);
            self.model.append(labels, own.unwrap_or(at), *value, any_age, &mut expected);
        }
        // A late sample may meet one that has left for a block; reading tells them apart, counting does not.
        if self.blocks.is_empty() || !any_age && self.options.out_of_order_window.0 == 0 {
            assert_eq!(Appended { left_out: Vec::new(), ..done }, expected);
        }
    }

    /// Moves what ends before an instant to blocks of about so many bytes, page by page or all of them.
    fn cut(&mut self, before: i64, bytes_max: usize, turns: u32) {
        for from in (0..TURNS).step_by(turns as usize) {
            let mut cut = Cut::of_turns(from..from + turns);
            while let Some(draft) = self.store.draft(Timestamp(before), bytes_max, &mut cut) {
                let (bytes, id) = (Arc::<[u8]>::from(draft.bytes()), BlockId::of_cut(self.next_block));
                self.store.commit(&draft, id, reader(&bytes)).unwrap();
                self.blocks.insert(id, bytes);
                self.next_block += 1;
            }
        }
    }

    fn keep_tombstones(&mut self) {
        self.tombstones = self.store.tombstone_records();
    }

    /// Deletes from both; returns how many samples went.
    fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) -> u64 {
        let deletion = self.store.deletion(&[matchers.to_vec()], Timestamp(start), Timestamp(end));
        let counted = self.store.count(&deletion);
        assert!(counted.uncounted.is_none(), "{counted:?}");
        let counted = (counted.series, counted.samples);
        self.store.hide(&deletion, self.next_block);
        self.keep_tombstones();
        let log = |record: &[u8]| {
            self.log.borrow_mut().push(record.to_vec());
            Ok(())
        };
        self.store.delete(&deletion, &log).unwrap();
        let horizon = self.model.horizon;
        let gone = self.model.delete(matchers, start.max(horizon), end);
        assert_eq!(counted, gone, "{matchers:?} {start} {end}");
        self.check(matchers, start, end);
        gone.1
    }

    /// Writes blocks anew without what is deleted, and lets go of the tombstones.
    fn rewrite(&mut self) -> u32 {
        let mut count = 0;
        while let Some(merge) = self.store.rewrite_due(&mut || ()) {
            self.put_merged(&merge);
            count += 1;
        }
        self.store.drop_tombstones();
        assert_eq!(self.store.tombstones_len(), 0);
        self.keep_tombstones();
        count
    }

    fn put_merged(&mut self, merge: &Merge) -> usize {
        let mut bytes = Vec::new();
        let mut write = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        let len = merge.write(&mut write, &mut || ()).unwrap();
        assert_eq!(len, bytes.len() as u64);
        let bytes: Arc<[u8]> = bytes.into();
        assert_eq!(check_block(len, reader(&bytes)).1, []);
        self.blocks.insert(merge.id(), bytes.clone());
        let gone = self.store.commit_merge(merge, len, reader(&bytes)).unwrap().unwrap();
        assert!(gone.iter().all(|id| (merge.id() == *id || merge.id().replaces(*id)) && self.blocks.remove(id).is_some()));
        gone.len()
    }

    /// Merges what is due; returns whether anything was.
    fn merge(&mut self, now: i64, bytes_max: u64) -> bool {
        let mut merged = false;
        while let Some(merge) = self.store.merge_due(Timestamp(now), bytes_max) {
            assert!(self.put_merged(&merge) > 1);
            merged = true;
        }
        if self.store.drop_tombstones() {
            self.keep_tombstones();
        }
        merged
    }

    /// Returns how many series left memory.
    fn truncate(&mut self, now: i64) -> usize {
        let truncated = self.store.truncate(Timestamp(now));
        for id in truncated.blocks {
            self.blocks.remove(&id);
        }
        truncated.series
    }

    fn checkpoint(&mut self) {
        let mut records = Vec::new();
        self.store
            .checkpoint(&mut |record| {
                records.push(record.to_vec());
                Ok(())
            })
            .unwrap();
        *self.log.borrow_mut() = records;
    }

    fn restart(&mut self) {
        self.store = Store::new(self.options.clone());
        // Before the series come.
        assert_eq!(self.store.stand(self.selectors.clone()), 0);
        self.known.clear();
        for (id, bytes) in &self.blocks {
            self.store.attach(*id, bytes.len() as u64, reader(bytes)).unwrap();
        }
        self.tombstones.iter().for_each(|record| self.store.restore_tombstones(record).unwrap());
        for record in self.log.borrow().iter() {
            assert_eq!(check_record(record), Ok(()));
            let done = self.store.replay(record).unwrap();
            assert_eq!(done.orphans, 0);
        }
        self.store.drop_doubles();
        self.truncate(self.model.horizon.saturating_add(RETENTION));
    }

    /// Selects, and sorts what the store gives in an order of its own.
    fn select(&self, request: &Select<'_>) -> Vec<Series> {
        let mut found = self.store.select(request).unwrap();
        found.sort_by(|left, right| left.labels.cmp(&right.labels));
        found
    }

    fn check(&self, matchers: &[Matcher], start: i64, end: i64) {
        let request =
            Select { matchers, start: Timestamp(start), end: Timestamp(end), samples_max: usize::MAX, newest_only: false };
        let found = self.select(&request);
        let expected = self.model.select(matchers, start, end);
        assert_eq!(spell(&found), spell(&expected), "{matchers:?} {start} {end}");
        let newest = self.select(&Select { newest_only: true, ..request.clone() });
        assert_eq!(spell(&last_samples(&newest)), spell(&last_samples(&expected)), "{matchers:?} {start} {end}");
        let samples: usize = expected.iter().map(|series| series.floats.len() + series.histograms.len()).sum();
        if samples > 0 {
            assert!(self.store.select(&Select { samples_max: samples, ..request.clone() }).is_ok());
            let fewer = self.store.select(&Select { samples_max: samples - 1, ..request });
            assert!(matches!(fewer, Err(SourceError::TooManySamples { .. })));
        }
    }

    fn check_labels(&self) {
        let all = self.store.series(&[], Timestamp::MIN, Timestamp::MAX, 0).items;
        let (least, most) = (self.model.visible(), self.model.listed());
        assert!(all.is_sorted_by(|left, right| left < right), "each once");
        let unlisted: Vec<&LabelSet> = least.iter().filter(|labels| !all.contains(labels)).collect();
        assert!(unlisted.is_empty(), "{unlisted:?}");
        let unknown: Vec<&LabelSet> = all.iter().filter(|labels| !most.contains(labels)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        for name in self.store.label_names(&[], Timestamp::MIN, Timestamp::MAX, 0).items {
            let values = self.store.label_values(&name, &[], Timestamp::MIN, Timestamp::MAX, 0).items;
            let mut own: Vec<&str> = all.iter().map(|labels| labels.get(&name)).filter(|value| !value.is_empty()).collect();
            own.sort();
            own.dedup();
            assert_eq!(values, own);
        }
    }
}

/// Cuts all but the newest sample from each series.
fn last_samples(series: &[Series]) -> Vec<Series> {
    let last = |series: &Series| {
        let float = series.floats.last().map(|(at, _)| *at);
        let histogram = series.histograms.last().map(|(at, _)| *at);
        Series {
            labels: series.labels.clone(),
            floats: series.floats.last().filter(|_| float > histogram).copied().into_iter().collect(),
            histograms: series.histograms.last().filter(|_| histogram > float).cloned().into_iter().collect(),
            starts: Vec::new(),
        }
    };
    series.iter().map(last).collect()
}

fn labels(dice: &mut Dice, generation: u64) -> LabelSet {
    let name = format!("metric_{}", dice.below(4));
    let pod = format!("pod-{}", generation + dice.below(12));
    let zone = *dice.pick(&["", "a", "b", "ab"]);
    LabelSet::from_pairs([("__name__", name.as_str()), ("pod", pod.as_str()), ("zone", zone)])
}

fn value(dice: &mut Dice) -> Exact {
    match dice.below(40) {
        0 => Exact::Float(dice.next()),
        1..4 => Exact::Float(STALE_BITS),
        4..6 => Exact::Histogram(dice.below(1000)),
        6..15 => Exact::Float((dice.below(1000) as f64 / 8.0).to_bits()),
        _ => Exact::Float((dice.below(3) as f64).to_bits()),
    }
}

fn matcher(dice: &mut Dice) -> Matcher {
    let (name, values): (&str, &[&str]) = match dice.below(4) {
        0 => ("__name__", &["metric_1", "metric_[12]", "metric_0|metric_3", ".+"]),
        1 => ("pod", &["pod-3", "pod-1.*", "", "pod-2|pod-4"]),
        2 => ("zone", &["", "a", "a|", "b?", ".*"]),
        _ => ("none", &["", "x", ".*"]),
    };
    Matcher::new(name, *dice.pick(&[MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]), *dice.pick(values))
        .unwrap()
}

/// What happened in a story.
#[derive(Default)]
struct Happened {
    merges: u32,
    deleted: u64,
    rewritten: u32,
    /// Series that left memory while they had samples.
    cooled: usize,
}

/// Tells one story of so many steps.
fn story(seed: u64, steps: u32, with_blocks: bool, happened: &mut Happened) {
    let dice = &mut Dice::new(seed);
    let mut world = World::new(*dice.pick(&[0, 5 * MINUTE, 60 * MINUTE]));
    for step in 0..steps {
        let generation = u64::from(step) / 200 * 4;
        if step % 300 == 299 && seed.is_multiple_of(2) {
            // Most of what `check` asks for stands from here on; some of it stood before, some no longer does.
            world.selectors = (0..60).map(|_| (0..dice.below(3)).map(|_| matcher(dice)).collect()).collect();
            assert_eq!(world.store.stand(world.selectors.clone()), 0);
        }
        match dice.below(100) {
            0..60 => {
                world.now += dice.below(MINUTE as u64 / 2) as i64 + i64::from(dice.once_in(150)) * 200 * MINUTE;
                let now = world.now;
                let cells: Vec<_> = (0..dice.below(25))
                    .map(|_| {
                        let own = dice.once_in(6).then(|| now - dice.below(8 * MINUTE as u64) as i64 + MINUTE);
                        (labels(dice, generation), own, value(dice))
                    })
                    .collect();
                world.append(now, &cells, false, dice.once_in(50));
            }
            60..75 => {
                let base = world.now - dice.below(RETENTION as u64 * 5 / 4) as i64;
                let set = labels(dice, generation);
                let step = dice.below(MINUTE as u64) as i64 + 1;
                let cells: Vec<_> = (0..dice.below(150) as i64)
                    .map(|index| {
                        let set = if dice.once_in(20) { labels(dice, generation) } else { set.clone() };
                        (set, Some((base + index * step).min(world.now)), value(dice))
                    })
                    .collect();
                world.append(world.now, &cells, true, dice.once_in(50));
            }
            75..79 => {
                let before = world.model.series.len();
                world.model.truncate(world.now - RETENTION);
                let gone = before - world.model.series.len();
                happened.cooled += world.truncate(world.now).saturating_sub(gone);
            }
            79 if with_blocks => {
                let turns = 1 << dice.below(11);
                world.cut(world.now - dice.below(RETENTION as u64 / 2) as i64, dice.below(3000) as usize, turns);
                // What moved may be in the log still; a restart then finds it twice.
                if dice.once_in(2) {
                    world.checkpoint();
                }
            }
            79 => world.checkpoint(),
            80..82 => world.restart(),
            82 => world.check_labels(),
            83 if with_blocks => {
                happened.merges += u32::from(world.merge(world.now + dice.below(3 * RETENTION as u64) as i64, dice.next() >> 32))
            }
            84..86 => {
                let matchers: Vec<Matcher> = (0..1 + dice.below(2)).map(|_| matcher(dice)).collect();
                let start = world.now - dice.below(RETENTION as u64 * 3 / 2) as i64;
                let (start, end) = match dice.below(3) {
                    0 => (i64::MIN, i64::MAX),
                    1 => (start, i64::MAX),
                    _ => (start, start + dice.below(RETENTION as u64 / 2) as i64),
                };
                happened.deleted += world.delete(&matchers, start, end);
            }
            86 if with_blocks => happened.rewritten += world.rewrite(),
            _ => {
                let standing = dice.once_in(3).then(|| world.selectors.first().cloned()).flatten();
                let matchers = standing.unwrap_or_else(|| (0..dice.below(3)).map(|_| matcher(dice)).collect());
                let start = world.now - dice.below(RETENTION as u64 * 3 / 2) as i64;
                world.check(&matchers, start, start + dice.below(RETENTION as u64) as i64);
            }
        }
    }
    world.check(&[], i64::MIN, i64::MAX);
    world.restart();
    world.check(&[], i64::MIN, i64::MAX);
    world.check_labels();
}

#[test]
fn random_stories_end_as_the_model_says() {
    for seed in 0..12 {
        println!("seed {seed}");
        story(seed, 1500, false, &mut Happened::default());
    }
}

#[test]
fn random_stories_with_blocks_end_as_the_model_says() {
    let mut happened = Happened::default();
    for seed in 100..112 {
        println!("seed {seed}");
        story(seed, 1500, true, &mut happened);
    }
    let Happened { merges, deleted, rewritten, cooled } = happened;
    println!("{merges} merges, {deleted} samples deleted, {rewritten} blocks written anew, {cooled} series went cold");
    assert!(merges > 20 && deleted > 1000 && rewritten > 20 && cooled > 1000);
}

#[test]
fn known_series_go_on_at_the_limit() {
    let store = Store::new(StoreOptions { series_max: 2, ..StoreOptions::default() });
    let set = |name: &str| LabelSet::from_pairs([("__name__", name)]);
    let first = store.resolve(&set("a")).unwrap();
    store.resolve(&set("b")).unwrap();
    let refused = store.resolve(&set("c")).unwrap_err();
    assert_eq!(refused.to_string(), r#"the store holds 2 series, its limit; {__name__="c"} would be a new one"#);
    assert_eq!(store.resolve(&set("a")), Ok(first));
}

#[test]
fn limits_cut_lists_and_say_so() {
    let store = Store::new(StoreOptions::default());
    for number in 0..5 {
        let series = store.resolve(&LabelSet::from_pairs([("__name__", "m"), ("n", &number.to_string())])).unwrap();
        let cell = Cell { series, at: None, value: Exact::Float(0).value() };
        store.append_unlogged(&Row { at: Timestamp(1), cells: vec![cell] }).unwrap();
    }
    let cut = store.label_values("n", &[], Timestamp::MIN, Timestamp::MAX, 2);
    assert_eq!((cut.items, cut.cut), (vec!["0".to_owned(), "1".to_owned()], true));
    let whole = store.label_values("n", &[], Timestamp::MIN, Timestamp::MAX, 5);
    assert_eq!((whole.items.len(), whole.cut), (5, false));
    assert_eq!(store.label_names(&[], Timestamp(2), Timestamp::MAX, 0).items, Vec::<String>::new());
    let stats = store.stats(1);
    assert_eq!((stats.series, stats.samples_total, stats.label_pairs), (5, 5, 6));
    assert_eq!((stats.metrics, stats.pairs), (vec![("m".to_owned(), 5)], vec![("__name__=m".to_owned(), 5)]));
    assert_eq!(stats.labels[0].name, "n");
}
