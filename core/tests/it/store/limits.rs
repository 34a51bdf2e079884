//! Limits on series, and who has them.

use std::collections::BTreeMap;

use tocsin_core::model::{Cell, Claim, LabelSet, Row, Value};
use tocsin_core::store::{Refused, SeriesLimits, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

fn set(metric: &str, pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().copied().chain([("__name__", metric)]))
}

fn limits(series: usize, per_metric: usize, of: &[(&str, usize)]) -> SeriesLimits {
    let of_metric = of.iter().map(|(metric, limit)| ((*metric).to_owned(), *limit)).collect::<BTreeMap<_, _>>();
    SeriesLimits { series, per_metric, of_metric }
}

#[test]
fn a_metric_has_its_limit_and_others_go_on() {
    let store = Store::new(StoreOptions::default());
    store.limit_series(limits(1000, 3, &[("wide", 5), ("free", 0)]));
    let made = |metric: &str| (0..10).filter(|n| store.resolve(&set(metric, &[("n", &n.to_string())])).is_ok()).count();
    assert_eq!((made("narrow"), made("wide"), made("free")), (3, 5, 10));
    assert_eq!(made("narrow"), 3, "known ones go on, and nothing more is made");
    let refused = store.resolve(&set("narrow", &[("n", "9")])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"the metric narrow has 3 series, its limit; {__name__="narrow", n="9"} would be a new one"#
    );
    assert_eq!(refused.limit(), "metric");
    store.limit_series(limits(1000, 4, &[]));
    assert_eq!(made("narrow"), 4, "a limit can be raised at any time");
    assert_eq!(store.series_created(), 19);
}

#[test]
fn series_by_which_people_are_told_have_a_reserve() {
    let store = Store::new(StoreOptions { series_max: 2, ..StoreOptions::default() });
    let ask = |name: &str, claim| store.resolve_as(&set(name, &[]), claim).map(|found| found.is_new);
    assert_eq!((ask("a", Claim::Common), ask("b", Claim::Common)), (Ok(true), Ok(true)));
    assert_eq!(ask("c", Claim::Common).unwrap_err().limit(), "process");
    assert_eq!((ask("up", Claim::Own), ask("up", Claim::Common), ask("a", Claim::Known)), (Ok(true), Ok(false), Ok(false)));
    assert!(matches!(ask("d", Claim::Known), Err(Refused::Unknown { .. })));
    let made = (0..20_000).filter(|n| ask(&format!("own_{n}"), Claim::Own).is_ok()).count();
    assert_eq!(made, 10_000 - 1, "the reserve has its end too");

    let store = Store::new(StoreOptions::default());
    store.resolve(&set("a", &[])).unwrap();
    store.close_to_new(true);
    let refused = store.resolve(&set("b", &[])).unwrap_err();
    assert_eq!((refused.limit(), store.resolve(&set("a", &[])).is_ok()), ("memory", true));
    assert!(store.resolve_as(&set("ALERTS", &[]), Claim::Own).is_ok());
    store.close_to_new(false);
    assert!(store.resolve(&set("b", &[])).is_ok());
}

#[test]
fn series_are_counted_by_their_labels_and_their_last_sample() {
    let store = Store::new(StoreOptions::default());
    let labels = |n: usize, instance: &str| set("m", &[("n", &n.to_string()), ("instance", instance), ("job", "shop")]);
    let append = |n: usize, instance: &str, at: i64| {
        let series = store.resolve(&labels(n, instance)).unwrap();
        store
            .append_unlogged(&Row { at: Timestamp(at), cells: vec![Cell { series, at: None, value: Value::Float(1.0) }] })
            .unwrap();
    };
    (0..600).for_each(|n| append(n, "a:1", if n < 200 { 1_000 } else { 2_000 }));
    (0..5).for_each(|n| append(n, "b:1", 2_000));
    let of = |instance: &str| LabelSet::from_pairs([("job", "shop"), ("instance", instance)]);
    let count = |instance: &str, since: i64| store.count_since(&of(instance), Timestamp(since));
    assert_eq!((count("a:1", 0), count("a:1", 1_001), count("b:1", 2_000), count("c:1", 0)), (600, 400, 5, 0));
}

#[test]
fn who_grows_is_told() {
    let store = Store::new(StoreOptions::default());
    let minute = |minutes: i64| Timestamp(Span::from_mins(minutes).0);
    store.turn_growth(minute(0));
    let target = |metric: &str, n: u32, instance: &str, job: &str| {
        store.resolve(&set(metric, &[("n", &n.to_string()), ("instance", instance), ("job", job)])).unwrap();
    };
    (0..300).for_each(|n| target("steady", n, "a:1", "node"));
    (0..10).for_each(|n| target("steady", n, "a:1", "other"));
    store.turn_growth(minute(70));
    (300..500).for_each(|n| target("grows", n, "b:1", "shop"));
    store.turn_growth(minute(71));
    let told = store.cardinality(2);
    let brief = |rows: &[tocsin_core::store::CardinalityRow]| -> Vec<(String, usize, u64)> {
        rows.iter().map(|row| (row.name.clone(), row.series, row.new_series)).collect()
    };
    assert_eq!(brief(&told.metrics), [("steady".to_owned(), 310, 0), ("grows".to_owned(), 200, 200)]);
    assert_eq!(brief(&told.jobs), [("node".to_owned(), 300, 0), ("shop".to_owned(), 200, 200), ("other".to_owned(), 10, 0)][..2]);
    assert_eq!(brief(&told.pairs)[0], ("instance=a:1".to_owned(), 310, 0));
    assert!(brief(&told.pairs).contains(&("instance=b:1".to_owned(), 200, 200)), "one that grows is told though it is small");
    let labels: Vec<_> = told.labels.iter().map(|row| (row.name.as_str(), row.values, row.series, row.new_values)).collect();
    assert_eq!(labels, [("n", 500, 510, 200), ("job", 3, 510, 1), ("__name__", 2, 510, 1)]);
    let targets: Vec<_> =
        told.targets.iter().map(|row| (row.job.as_str(), row.instance.as_str(), row.series, row.new_series)).collect();
    assert_eq!(targets, [("node", "a:1", 300, 0), ("shop", "b:1", 200, 200), ("other", "a:1", 10, 0)]);
    assert_eq!((told.series, told.since), (510, Some(minute(0))));
    assert_eq!(told.moments.iter().map(|moment| (moment.created, moment.series)).collect::<Vec<_>>(), [(310, 310), (200, 510)]);

    let anatomy = store.anatomy("steady", 1);
    assert_eq!((anatomy.series, anatomy.seen), (310, 310));
    let labels: Vec<_> = anatomy.labels.iter().map(|label| (label.name.as_str(), label.values, label.top.clone())).collect();
    let top = |value: &str, count: usize| vec![(value.to_owned(), count)];
    assert_eq!(labels, [("n", 300, top("0", 2)), ("job", 2, top("node", 300)), ("instance", 1, top("a:1", 310))]);
    assert_eq!(store.anatomy("none", 5), tocsin_core::store::Anatomy::default());
}

#[test]
fn a_metric_beyond_measure_is_looked_at_in_part() {
    let store = Store::new(StoreOptions::default());
    (0..250_000u32)
        .for_each(|n| drop(store.resolve(&set("many", &[("n", &n.to_string()), ("zone", ["a", "b"][n as usize / 125_000])]))));
    let anatomy = store.anatomy("many", 3);
    assert_eq!((anatomy.series, anatomy.seen), (250_000, 125_000));
    assert_eq!((anatomy.labels[0].name.as_str(), anatomy.labels[0].values), ("n", 125_000));
    assert_eq!(anatomy.labels[1].top, [("a".to_owned(), 62_500), ("b".to_owned(), 62_500)], "spread evenly over all of them");
}
