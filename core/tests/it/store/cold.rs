//! Series that leave memory, and what brings them back or keeps them.

use std::sync::Arc;

use tocsin_core::model::{Cell, LabelSet, Matcher, Row, Select, SeriesRef, Source, Value};
use tocsin_core::store::{BlockId, Cut, ReadAt, Store, StoreOptions};
use tocsin_core::time::Timestamp;

const MINUTE: i64 = 60_000;
const NOW: i64 = 1_795_231_655_000;

fn set(name: &str) -> LabelSet {
    LabelSet::from_pairs([("__name__", name)])
}

fn append(store: &Store, series: SeriesRef, at: i64, value: f64) {
    let cell = Cell { series, at: None, value: Value::Float(value) };
    store.append(&Row { at: Timestamp(at), cells: vec![cell] }, &|_| Ok(())).unwrap();
}

/// Moves all that ends before an instant to a block.
fn cut(store: &Store, before: i64, number: u64) {
    let draft = store.draft(Timestamp(before), 1 << 20, &mut Cut::of_all()).expect("there is something to move");
    let bytes: Arc<[u8]> = draft.bytes().into();
    let read: ReadAt = Box::new(move |at, out| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    });
    store.commit(&draft, BlockId::of_cut(number), read).unwrap();
}

fn times(store: &Store, name: &str) -> Vec<i64> {
    let matchers = [Matcher::equal("__name__", name)];
    let (start, end) = (Timestamp::MIN, Timestamp::MAX);
    let found = store.select(&Select { matchers: &matchers, start, end, samples_max: 1000, newest_only: false }).unwrap();
    assert!(found.len() <= 1, "each label set in one piece");
    found.iter().flat_map(|series| series.floats.iter().map(|(at, _)| (*at - NOW) / MINUTE)).collect()
}

#[test]
fn a_series_that_says_an_old_sample_again_and_again_stays() {
    let store = Store::new(StoreOptions::default());
    let series = store.resolve(&set("daily")).unwrap();
    append(&store, series, NOW - 300 * MINUTE, 1.0);
    cut(&store, NOW, 1);
    for minute in 0..5 {
        // It is the same sample each time, and nothing of it comes to memory.
        append(&store, series, NOW - 300 * MINUTE, 1.0);
        assert_eq!(store.truncate(Timestamp(NOW + minute * MINUTE)).series, 0);
    }
    let gone = store.truncate(Timestamp(NOW + 5 * MINUTE)).series;
    assert_eq!((gone, store.labels(series)), (1, None), "nobody names it any more");
    let again = store.resolve(&set("daily")).unwrap();
    assert_ne!(again, series);
    append(&store, again, NOW, 2.0);
    assert_eq!(times(&store, "daily"), [-300, 0]);
}

#[test]
fn a_deletion_takes_nothing_that_comes_after_it_was_asked_for() {
    let store = Store::new(StoreOptions::default());
    let series = store.resolve(&set("a")).unwrap();
    append(&store, series, NOW, 1.0);
    let all = store.deletion(&[vec![Matcher::equal("__name__", "a")]], Timestamp::MIN, Timestamp::MAX);
    append(&store, series, NOW + MINUTE, 2.0);
    store.delete(&all, &|_| Ok(())).unwrap();
    assert_eq!(times(&store, "a"), [1]);
}

#[test]
fn what_blocks_teach_is_what_a_log_may_go_on_with() {
    let (store, old, back, again) = {
        let store = Store::new(StoreOptions::default());
        let (old, back) = (store.resolve(&set("old")).unwrap(), store.resolve(&set("back")).unwrap());
        append(&store, old, NOW - 600 * MINUTE, 1.0);
        append(&store, back, NOW - 200 * MINUTE, 1.0);
        cut(&store, NOW - 100 * MINUTE, 1);
        (0..2).for_each(|_| drop(store.truncate(Timestamp(NOW))));
        let again = store.resolve(&set("back")).unwrap();
        append(&store, again, NOW - 30 * MINUTE, 2.0);
        cut(&store, NOW, 2);
        (store, old, back, again)
    };
    assert_eq!((store.labels(old), store.labels(back)), (None, None));
    // As a start does whose log is lost; here the living series is known already, and none of the cold ones comes back.
    assert_eq!(store.adopt_series().0, 0);
    assert_eq!((store.labels(old), store.labels(back), store.labels(again)), (None, None, Some(set("back"))));
    assert_eq!((times(&store, "old"), times(&store, "back")), (vec![-600], vec![-200, -30]));
}
