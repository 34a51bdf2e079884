//! Series that stay longer or shorter than others.

use std::collections::BTreeSet;

use tocsin_core::promql::parse::parse_selector;
use tocsin_core::store::{Class, Classes, Store};
use tocsin_core::time::{Span, Timestamp};

use super::{append, at, content, cut_all, names, open_with};
use crate::disk::{Disk, DiskOptions};

const HOUR: Span = Span::from_mins(60);

fn classes() -> Classes {
    let class =
        |selector: &str, hours: i64| Class { selectors: vec![parse_selector(selector).unwrap()], keep: Span(hours * HOUR.0) };
    Classes::new(Span(24 * HOUR.0), vec![class("fresh", 12), class("steady{n=\"0\"}", 72)])
}

/// Merges and sifts until nothing is left to do.
fn sift(store: &Store, disk: &Disk, hours: i64) {
    let now = at(2000) + Span(hours * HOUR.0);
    disk.maintain(store, now).unwrap();
    for round in 0.. {
        let done = disk.merge(store, now, &mut || ()).unwrap();
        if done.merged + done.rewritten == 0 {
            return;
        }
        assert!(round < 500, "it does not come to an end");
    }
}

/// Returns the series that have samples, without the numbers of those that came and went.
fn series(store: &Store) -> BTreeSet<String> {
    let name = |line: &String| line.split('}').next().unwrap_or_default().replace("__name__=", "");
    content(store).iter().map(name).map(|name| if name.contains("fresh") { "fresh".to_owned() } else { name }).collect()
}

fn listed(store: &Store) -> usize {
    store.series(&[], Timestamp::MIN, Timestamp::MAX, 0).items.len()
}

#[test]
fn each_class_stays_for_its_own_time() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { block_bytes_max: 2000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options.clone());
    store.keep_by(classes());
    for number in 0..2000 {
        append(&store, &disk, number);
        if number % 40 == 0 {
            disk.maintain(&store, at(number)).unwrap();
        }
    }
    cut_all(&store, &disk, at(2000) + HOUR);
    let (all, samples) = (series(&store), content(&store).len());
    assert_eq!(all.len(), 6, "{all:?}");
    assert_eq!((store.stats(0).series, listed(&store)), (0, 205), "all are cold");

    sift(&store, &disk, 14);
    let steady: BTreeSet<String> = all.iter().filter(|name| *name != "fresh").cloned().collect();
    assert_eq!(series(&store), steady, "what stays for 12 h has gone");
    assert_eq!(content(&store).len(), samples - 200, "and nothing else has");
    assert_eq!(listed(&store), 5);

    sift(&store, &disk, 30);
    let longest: BTreeSet<String> = steady.iter().filter(|name| name.contains("n=\"0\"")).cloned().collect();
    assert_eq!(series(&store), longest, "what stays for 24 h has gone");
    assert_eq!(content(&store).len(), 2000);
    let (bytes, left) = (store.stats(0).blocks_bytes, content(&store));
    drop((store, disk));

    let (store, disk, report) = open_with(data.path(), options);
    store.keep_by(classes());
    assert!(report.damage.is_empty(), "{report:?}");
    sift(&store, &disk, 31);
    assert_eq!(content(&store), left);
    assert_eq!(store.stats(0).blocks_bytes, bytes, "what was sifted is not written anew");
    sift(&store, &disk, 82);
    assert_eq!(series(&store).len(), 0);
    assert!(names(&data.path().join("metrics/blocks")).is_empty());
}
