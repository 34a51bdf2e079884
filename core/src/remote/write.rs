//! What a request to another server says: samples become the bytes of its body.

use std::collections::HashMap;

use crate::model::exposition::MetricType;
use crate::model::{Exemplar, LabelSet, Value};
use crate::scrape::body::Metadata;
use crate::time::Timestamp;

use super::Protocol;
use super::histogram;
use super::wire::Out;

/// A sample on its way, with the exemplars that came with it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub labels: LabelSet,
    pub at: Timestamp,
    pub value: Value,
    pub exemplars: Vec<Exemplar>,
}

/// How much of what some entries are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

impl Counts {
    pub fn of(entries: &[Entry]) -> Counts {
        let mut counts = Counts::default();
        for entry in entries {
            match entry.value {
                Value::Float(_) => counts.samples += 1,
                Value::Histogram(_) => counts.histograms += 1,
            }
            counts.exemplars += entry.exemplars.len();
        }
        counts
    }
}

/// What is said of a metric, by its name; None: nothing.
pub type About<'a> = &'a dyn Fn(&str) -> Option<Metadata>;

/// Entries of one series: floats, or histograms. No series has both, as 2.0 wants it.
type Group<'a> = Vec<&'a Entry>;

/// Returns the entries by series, in the order in which each series first stands; those of a series by time.
fn groups(entries: &[Entry]) -> Vec<Group<'_>> {
    let mut places: HashMap<(&[u8], bool), usize> = HashMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for entry in entries {
        let key = (entry.labels.packed(), matches!(entry.value, Value::Float(_)));
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(entry);
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|entry| entry.at));
    groups
}

fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

fn put_sample(out: &mut Out, at: Timestamp, value: f64) {
    out.double(1, value);
    out.integer(2, at.0 as u64);
}

/// Returns the body of a request, without compression. `about` is asked in 2.0 alone.
pub fn encode(entries: &[Entry], protocol: Protocol, about: About<'_>) -> Vec<u8> {
    match protocol {
        Protocol::V1 => encode_v1(entries),
        Protocol::V2 => encode_v2(entries, about),
    }
}

fn put_labels(out: &mut Out, labels: &LabelSet) {
    for (name, value) in labels.iter() {
        out.message(1, |out| {
            out.text(1, name);
            out.text(2, value);
        });
    }
}

fn encode_v1(entries: &[Entry]) -> Vec<u8> {
    let mut request = Out::default();
    for group in groups(entries) {
        request.message(1, |series| {
            put_labels(series, &group[0].labels);
            for entry in &group {
                match &entry.value {
                    Value::Float(value) => series.message(2, |out| put_sample(out, entry.at, *value)),
                    Value::Histogram(own) => series.message(4, |out| histogram::write(out, entry.at.0, own)),
                }
            }
            for exemplar in group.iter().flat_map(|entry| &entry.exemplars) {
                series.message(3, |out| {
                    put_labels(out, &exemplar.labels);
                    out.double(2, exemplar.value);
                    out.integer(3, exemplar.at.0 as u64);
                });
            }
        });
    }
    request.0
}

/// Returns the body of a request of 1.0 that holds metadata alone.
pub fn encode_metadata(all: &[(String, Metadata)]) -> Vec<u8> {
    let mut request = Out::default();
    for (name, said) in all {
        request.message(3, |out| {
            out.integer(1, type_number(said.kind));
            out.text(2, name);
            out.text(4, &said.help);
            out.text(5, &said.unit);
        });
    }
    request.0
}

/// The texts of a request, each once; the first one is empty.
struct Symbols {
    places: HashMap<String, u64>,
    out: Out,
}

impl Symbols {
    fn place(&mut self, text: &str) -> u64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.places.len() as u64;
        self.places.insert(text.to_owned(), place);
        self.out.bytes(4, text.as_bytes());
        place
    }

    fn labels(&mut self, out: &mut Out, labels: &LabelSet) {
        let refs: Vec<u64> = labels.iter().flat_map(|(name, value)| [self.place(name), self.place(value)]).collect();
        out.packed_unsigned(1, refs.into_iter());
    }
}

/// Returns what is said of the metric that a series belongs to: by its own name, or by that of its family.
fn family_metadata(name: &str, about: About<'_>) -> Option<Metadata> {
    about(name).or_else(|| {
        let suffixes = ["_bucket", "_count", "_sum", "_total", "_info", "_gcount", "_gsum"];
        suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix)).find_map(about)
    })
}

fn encode_v2(entries: &[Entry], about: About<'_>) -> Vec<u8> {
    let mut symbols = Symbols { places: HashMap::new(), out: Out::default() };
    symbols.place("");
    let mut all = Out::default();
    for group in groups(entries) {
        all.message(5, |series| {
            let labels = &group[0].labels;
            symbols.labels(series, labels);
            for entry in &group {
                match &entry.value {
                    Value::Float(value) => series.message(2, |out| put_sample(out, entry.at, *value)),
                    Value::Histogram(own) => series.message(3, |out| histogram::write(out, entry.at.0, own)),
                }
            }
            for exemplar in group.iter().flat_map(|entry| &entry.exemplars) {
                series.message(4, |out| {
                    symbols.labels(out, &exemplar.labels);
                    out.double(2, exemplar.value);
                    out.integer(3, exemplar.at.0 as u64);
                });
            }
            if let Some(said) = family_metadata(labels.name(), about) {
                series.message(5, |out| {
                    out.integer(1, type_number(said.kind));
                    out.integer(3, symbols.place(&said.help));
                    out.integer(4, symbols.place(&said.unit));
                });
            }
        });
    }
    symbols.out.0.extend_from_slice(&all.0);
    symbols.out.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Histogram;
    use crate::model::histogram::BucketSpan;
    use crate::remote::read::read;

    #[test]
    fn what_is_written_is_read_again_whole() {
        let labels = |n: usize| LabelSet::from_pairs([("__name__", format!("m{}_total", n % 3)), ("n", n.to_string())]);
        let exemplar =
            Exemplar { labels: LabelSet::from_pairs([("id", "é")]), value: -0.0, at: Timestamp(7), has_own_time: true };
        let whole = Histogram {
            schema: 3,
            count: 7.0,
            zero_count: 1.0,
            zero_threshold: 0.5,
            sum: 2.25,
            positive_spans: vec![BucketSpan { offset: -2, length: 2 }, BucketSpan { offset: 3, length: 1 }],
            positive_buckets: vec![1.0, 3.0, 1.0],
            negative_spans: vec![BucketSpan { offset: 0, length: 1 }],
            negative_buckets: vec![1.0],
            ..Histogram::default()
        };
        let float = Histogram { count: 6.5, zero_count: 0.5, ..whole.clone() };
        let values = [f64::NAN, f64::INFINITY, 0.0, -0.0, 0.1 + 0.2, f64::MAX, 5e-324, f64::from_bits(0x7ff0_0000_0000_0002)];
        let mut entries: Vec<Entry> = values
            .iter()
            .enumerate()
            .map(|(n, value)| Entry {
                labels: labels(n / 2),
                at: Timestamp(1_000 - n as i64),
                value: Value::Float(*value),
                exemplars: if n == 2 { vec![exemplar.clone()] } else { Vec::new() },
            })
            .collect();
        for (n, own) in [whole, float].into_iter().enumerate() {
            let value = Value::Histogram(Arc::new(own));
            entries.push(Entry { labels: labels(n), at: Timestamp(-5), value, exemplars: Vec::new() });
        }
        let said = Metadata { kind: MetricType::Counter, help: "some\nhelp".to_owned(), unit: String::new() };
        let about = |name: &str| (name == "m1").then(|| said.clone());
        for protocol in [Protocol::V1, Protocol::V2] {
            let request = read(&encode(&entries, protocol, &about), protocol).unwrap();
            assert_eq!(request.faults.count, 0, "{:?}", request.faults);
            assert_eq!((request.samples.len(), request.exemplars.len()), (entries.len(), 1));
            for (series, at, value) in &request.samples {
                let labels = &request.series[*series as usize];
                let same = |entry: &&Entry| match (&entry.value, value) {
                    (Value::Float(own), Value::Float(value)) => own.to_bits() == value.to_bits(),
                    (Value::Histogram(own), Value::Histogram(value)) => own.same_data(value),
                    _ => false,
                };
                let found = entries.iter().filter(|entry| entry.labels == *labels && entry.at == *at).find(same);
                assert!(found.is_some(), "{labels} at {at:?}: {value:?}");
            }
            assert!(request.exemplars[0].1.is_same(&exemplar));
            let known = if protocol == Protocol::V2 { Some(&said) } else { None };
            assert_eq!(request.metadata.get("m1_total"), known);
            for pair in request.samples.windows(2) {
                assert!(pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1, "each series is in order of time");
            }
        }
        let about = read(&encode_metadata(&[("m1".to_owned(), said.clone())]), Protocol::V1).unwrap();
        assert_eq!(about.metadata.get("m1"), Some(&said));
    }
}
