//! What the targets of the store have in common: awkward series, bytes with changes, and all that a store holds.

use tocsin_core::model::{Cell, LabelSet, MatchOp, Matcher, Row, Select, Source, SourceError};
use tocsin_core::promql::notation;
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

/// One value a minute.
const SERIES: [&str; 9] = [
    "a_bucket{le=\"1\"} 0+1x20 _x5 3+7x20 stale 1 NaN Inf -Inf 0 -0 1e308 -1e308",
    "a_bucket{le=\"2\"} 0+1x20 _x5 4+8x20 stale 1 NaN Inf -Inf 0 -0 1e308 -1e308",
    "a_bucket{le=\"+Inf\"} 0+2x40",
    "b 1.25 2.5 3.75 0.1 0.2 0.30000000000000004 7 7 7 7 7 7",
    "b{job=\"y\"} 1x40",
    "c{job=\"x\"} 1e-7+1e-9x40",
    "d 1700000000.123+60x140",
    "h{job=\"x\"} {{schema:0 count:5 sum:8.5 buckets:[1 2 2]}}+{{schema:0 count:1 sum:1 buckets:[1]}}x30",
    "h{job=\"y\"} {{schema:-53 custom_values:[1 5] count:5 sum:8 buckets:[1 2 2]}}x20 1 2 3",
];
const SAMPLES_MAX: usize = 1 << 20;

/// A series with the bits of its floats, and with its histograms as text: one that is no number equals itself.
pub type Shown = (LabelSet, Vec<(i64, u64)>, String);

/// Returns a store that forgets nothing.
pub fn store() -> Store {
    Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() })
}

/// Hands out rows of awkward series, whose labels the store learns.
pub fn rows(store: &Store, mut each: impl FnMut(&Row)) {
    for text in SERIES {
        let (labels, values) = notation::series(text).expect("the series is sound");
        let series = store.resolve(&labels).expect("there is room");
        for (step, value) in (0..).zip(values) {
            let Some(value) = value else { continue };
            each(&Row { at: Timestamp(step * 60_000), cells: vec![Cell { series, at: None, value }] });
        }
    }
}

/// Returns bytes with changes: each three bytes of `edits` say where, and what stands there now.
pub fn changed(sound: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[place] = edit[2];
    }
    bytes
}

/// Returns all that a store holds, in order.
pub fn all(store: &Store) -> Result<Vec<Shown>, SourceError> {
    let matchers = [Matcher::new("__name__", MatchOp::NotEqual, "").expect("it is a matcher")];
    let (start, end) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let request = Select { matchers: &matchers, start, end, samples_max: SAMPLES_MAX, newest_only: false };
    let mut series = store.select(&request)?;
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    let bits = |floats: Vec<(i64, f64)>| floats.into_iter().map(|(at, value)| (at, value.to_bits())).collect();
    Ok(series.into_iter().map(|series| (series.labels, bits(series.floats), format!("{:?}", series.histograms))).collect())
}
