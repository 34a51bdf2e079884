//! Who has the series, and who grows: read from the index and the counts of new series, without a look at any series' samples.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use roaring::RoaringBitmap;

use crate::model::METRIC_NAME;
use crate::time::Timestamp;

use super::Store;
use super::growth::{Kind, Moment};
use super::pages::{page_of, slot_of};
use super::stats::Top;

/// A metric, a label with its value, or a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub series: usize,
    /// Series that were made within the last hour, about: names that grow little may say 0.
    pub new_series: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelRow {
    pub name: String,
    pub values: usize,
    pub series: usize,
    /// Values that the label had on no series before the last hour.
    pub new_values: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRow {
    pub job: String,
    pub instance: String,
    pub series: usize,
    pub new_series: u64,
}

/// The largest of each kind and those that grow fastest, the largest first, ties by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    pub series: usize,
    pub metrics: Vec<Row>,
    pub labels: Vec<LabelRow>,
    /// Labels with their values, as `name=value`; names of metrics are not among them.
    pub pairs: Vec<Row>,
    pub jobs: Vec<Row>,
    pub targets: Vec<TargetRow>,
    /// The last day by five minutes, the five minutes under way last.
    pub moments: Vec<Moment>,
    /// When the counts of new series began; what a start finds in the files is not new.
    pub since: Option<Timestamp>,
}

const JOB: &str = "job";
const INSTANCE: &str = "instance";
/// Jobs that are told of one instance.
const JOBS_OF_INSTANCE_MAX: usize = 8;

/// So many values of a label are looked at under one hold of the index.
const VALUES_AT_ONCE: usize = 1024;

/// What has grown lately: names with their counts, the highest first.
struct Grown {
    metrics: Vec<(String, u64)>,
    labels: Vec<(String, u64)>,
    pairs: Vec<(String, u64)>,
}

/// Returns how much of a name is new.
fn fresh(grown: &HashMap<&str, u64>, name: &str) -> u64 {
    grown.get(name).copied().unwrap_or(0)
}

fn by_name(grown: &[(String, u64)]) -> HashMap<&str, u64> {
    grown.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

/// The largest of each kind.
struct Largest {
    metrics: Top<String>,
    labels: Top<String>,
    pairs: Top<String>,
    jobs: Top<String>,
    instances: Top<String>,
}

impl Largest {
    fn offer(&mut self, name: &str, value: &str, series: usize) {
        match name {
            METRIC_NAME => return self.metrics.offer(series, || value.to_owned()),
            JOB => self.jobs.offer(series, || value.to_owned()),
            INSTANCE => self.instances.offer(series, || value.to_owned()),
            _ => {}
        }
        self.pairs.offer(series, || format!("{name}={value}"));
    }
}

impl Store {
    /// Returns who has the series: of each kind the `top` largest and the `top` that grow fastest.
    ///
    /// It walks over the values of all labels, in looks so short that nobody who makes a new series waits for long; what comes meanwhile
    /// may be in some of the counts. So ask it every few seconds at most.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        let grown = {
            let growth = self.growth();
            let all = |kind| growth.top(kind, usize::MAX);
            Grown { metrics: all(Kind::Metric), labels: all(Kind::Label), pairs: all(Kind::Pair) }
        };
        let (mut moments, since) = self.growth().moments();
        let series = self.index().len();
        if let Some(now) = moments.last_mut() {
            now.series = series;
        }
        let largest = self.largest(top);
        let (new_metrics, new_labels, new_pairs) = (by_name(&grown.metrics), by_name(&grown.labels), by_name(&grown.pairs));
        let of = |label: &str| -> Vec<(String, u64)> {
            let values =
                grown.pairs.iter().filter_map(|(text, count)| Some((text.strip_prefix(label)?.strip_prefix('=')?, *count)));
            values.take(top).map(|(value, count)| (value.to_owned(), count)).collect()
        };
        let pair = |name: &str, value: &str| fresh(&new_pairs, &format!("{name}={value}"));
        let first = |grown: &[(String, u64)]| grown.iter().take(top).cloned().collect::<Vec<_>>();
        let label_row = |name: String| {
            let (values, series) = self.index().sizes(&name);
            LabelRow { values, series, new_values: fresh(&new_labels, &name), name }
        };
        let labels = joined(largest.labels, first(&grown.labels)).into_iter().map(label_row);
        let mut labels: Vec<LabelRow> = labels.filter(|row| row.values > 0).collect();
        labels.sort_by_key(|row| Reverse(row.values));
        let metrics = joined(largest.metrics, first(&grown.metrics));
        let count_pair = |text: &str| text.split_once('=').map_or(0, |(name, value)| self.index().count(name, value));
        let count = |name: &'static str| move |value: &str| self.index().count(name, value);
        Cardinality {
            series,
            metrics: rows(metrics, count(METRIC_NAME), |name| fresh(&new_metrics, name)),
            labels,
            pairs: rows(joined(largest.pairs, first(&grown.pairs)), count_pair, |text| fresh(&new_pairs, text)),
            jobs: rows(joined(largest.jobs, of(JOB)), count(JOB), |job| pair(JOB, job)),
            targets: self.target_rows(joined(largest.instances, of(INSTANCE)), |instance| pair(INSTANCE, instance)),
            moments,
            since,
        }
    }

    fn largest(&self, top: usize) -> Largest {
        let own = || Top::new(top);
        let mut largest = Largest { metrics: own(), labels: own(), pairs: own(), jobs: own(), instances: own() };
        let names: Vec<(String, usize)> = self.index().names().map(|(name, values, _)| (name.to_owned(), values)).collect();
        for (name, values) in names {
            let mut last: Option<String> = None;
            loop {
                let index = self.index();
                let (mut seen, mut end) = (0, None);
                for (value, series) in index.values_behind(&name, last.as_deref()).take(VALUES_AT_ONCE) {
                    largest.offer(&name, value, series);
                    (seen, end) = (seen + 1, Some(value));
                }
                let end = end.map(str::to_owned);
                if seen < VALUES_AT_ONCE {
                    break;
                }
                last = end;
            }
            largest.labels.offer(values, || name);
        }
        largest
    }

    fn target_rows(&self, instances: BTreeSet<String>, fresh: impl Fn(&str) -> u64) -> Vec<TargetRow> {
        let (mut rows, mut of_jobs) = (Vec::new(), BTreeMap::new());
        for instance in instances {
            let jobs = self.jobs_of(&instance, &mut of_jobs);
            let all: u64 = jobs.iter().map(|(_, series)| series).sum();
            for (job, series) in jobs {
                // Of several jobs that share an instance each has its share.
                let new_series = fresh(&instance) * series / all.max(1);
                rows.push(TargetRow { job, instance: instance.clone(), series: series as usize, new_series });
            }
        }
        rows.sort_by_key(|row| Reverse(row.series));
        rows
    }

    /// Returns how many series of an instance each job has: takes the job of its first series away from it until nothing is left.
    /// `of_jobs` keeps the series of the jobs that were met.
    fn jobs_of(&self, instance: &str, of_jobs: &mut BTreeMap<String, RoaringBitmap>) -> Vec<(String, u64)> {
        let mut left = self.index().of_value(INSTANCE, instance);
        let mut jobs = Vec::new();
        while let Some(first) = left.min()
            && jobs.len() < JOBS_OF_INSTANCE_MAX
        {
            let page = self.pages.get(page_of(first));
            let job = page.and_then(|page| Some(page.labels().value(slot_of(first), JOB)?.1.to_owned())).unwrap_or_default();
            let own = of_jobs.entry(job.clone()).or_insert_with(|| self.index().of_value(JOB, &job));
            let before = left.len();
            left -= &*own;
            if left.len() == before {
                // Series without a job, or one that has come or gone meanwhile.
                break;
            }
            jobs.push((job, before - left.len()));
        }
        jobs.sort();
        jobs
    }
}

/// Returns a row for each name that has series, those with most of them first.
fn rows(names: BTreeSet<String>, series: impl Fn(&str) -> usize, fresh: impl Fn(&str) -> u64) -> Vec<Row> {
    let row = |name: String| Row { series: series(&name), new_series: fresh(&name), name };
    let mut rows: Vec<Row> = names.into_iter().map(row).filter(|row| row.series > 0).collect();
    rows.sort_by_key(|row| Reverse(row.series));
    rows
}

/// Returns the names of two lists.
fn joined(large: Top<String>, growing: Vec<(String, u64)>) -> BTreeSet<String> {
    large.into_list().into_iter().map(|(name, _)| name).chain(growing.into_iter().map(|(name, _)| name)).collect()
}
