//! Who has the series, and who grows: read from the index and the counts of new series, without a look at any series' samples.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::METRIC_NAME;
use crate::time::Timestamp;

use super::Store;
use super::growth::{Kind, Moment};
use super::index::Index;
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

impl Store {
    /// Returns who has the series: of each kind the `top` largest and the `top` that grow fastest.
    ///
    /// It walks over the values of all labels, which holds up whoever makes a new series meanwhile; so ask it every few seconds at most.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        let index = self.index();
        let (mut metrics, mut labels, mut pairs) = (Top::new(top), Top::new(top), Top::new(top));
        let (mut jobs, mut instances) = (Top::new(top), Top::new(top));
        for (name, values, _) in index.names() {
            labels.offer(values, || name.to_owned());
            for (value, series) in index.values(name) {
                match name {
                    METRIC_NAME => metrics.offer(series, || value.to_owned()),
                    JOB => jobs.offer(series, || value.to_owned()),
                    INSTANCE => instances.offer(series, || value.to_owned()),
                    _ => {}
                }
                if name != METRIC_NAME {
                    pairs.offer(series, || format!("{name}={value}"));
                }
            }
        }
        let growth = self.growth();
        let pair = |text: &str| text.split_once('=').map_or(0, |(name, value)| index.count(name, value));
        let grown = growth.top(Kind::Pair, usize::MAX);
        let of = |label: &str| -> Vec<String> {
            let values = grown.iter().filter_map(|(text, _)| text.strip_prefix(label)?.strip_prefix('='));
            values.take(top).map(str::to_owned).collect()
        };
        let rows = |names: BTreeSet<String>, series: &dyn Fn(&str) -> usize, fresh: &dyn Fn(&str) -> u64| -> Vec<Row> {
            let row = |name: String| Row { series: series(&name), new_series: fresh(&name), name };
            let mut rows: Vec<Row> = names.into_iter().map(row).filter(|row| row.series > 0).collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.series));
            rows
        };
        let label_row = |name: String| {
            let (values, series) = index.sizes(&name);
            LabelRow { values, series, new_values: growth.of(Kind::Label, &name), name }
        };
        let names = joined(labels.into_list(), growth.top(Kind::Label, top));
        let mut labels: Vec<LabelRow> = names.into_iter().map(label_row).filter(|row| row.values > 0).collect();
        labels.sort_by_key(|row| std::cmp::Reverse(row.values));
        let of_job = |job: &str| growth.of(Kind::Pair, &format!("{JOB}={job}"));
        let metrics = joined(metrics.into_list(), growth.top(Kind::Metric, top));
        let pairs = joined(pairs.into_list(), grown.iter().take(top).cloned().collect());
        let jobs: BTreeSet<String> = jobs.into_list().into_iter().map(|(name, _)| name).chain(of(JOB)).collect();
        let instances: BTreeSet<String> = instances.into_list().into_iter().map(|(name, _)| name).chain(of(INSTANCE)).collect();
        let (mut moments, since) = growth.moments();
        if let Some(now) = moments.last_mut() {
            now.series = index.len();
        }
        Cardinality {
            series: index.len(),
            metrics: rows(metrics, &|name| index.count(METRIC_NAME, name), &|name| growth.of(Kind::Metric, name)),
            labels,
            pairs: rows(pairs, &pair, &|name| growth.of(Kind::Pair, name)),
            jobs: rows(jobs, &|name| index.count(JOB, name), &of_job),
            targets: self.target_rows(&index, instances, &|name| growth.of(Kind::Pair, &format!("{INSTANCE}={name}"))),
            moments,
            since,
        }
    }

    fn target_rows(&self, index: &Index, instances: BTreeSet<String>, fresh: &dyn Fn(&str) -> u64) -> Vec<TargetRow> {
        let mut rows = Vec::new();
        for instance in instances {
            let jobs = self.jobs_of(index, &instance);
            let all: usize = jobs.values().sum();
            for (job, series) in jobs {
                // Of several jobs that share an instance each has its share.
                let new_series = fresh(&instance) * series as u64 / all.max(1) as u64;
                rows.push(TargetRow { job, instance: instance.clone(), series, new_series });
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.series));
        rows
    }

    /// Returns how many series of an instance each job has: takes the job of its first series away from it until nothing is left.
    fn jobs_of(&self, index: &Index, instance: &str) -> BTreeMap<String, usize> {
        let mut left = index.of_value(INSTANCE, instance);
        let mut jobs = BTreeMap::new();
        while let Some(first) = left.first()
            && jobs.len() < JOBS_OF_INSTANCE_MAX
        {
            let page = self.pages.get(page_of(*first));
            let job = page.and_then(|page| Some(page.labels().value(slot_of(*first), JOB)?.1.to_owned())).unwrap_or_default();
            let own = index.of_value(JOB, &job);
            let before = left.len();
            left.retain(|series| own.binary_search(series).is_err());
            if left.len() == before {
                // Series without a job.
                break;
            }
            jobs.insert(job, before - left.len());
        }
        jobs
    }
}

/// Returns the names of two lists.
fn joined(large: Vec<(String, usize)>, growing: Vec<(String, u64)>) -> BTreeSet<String> {
    large.into_iter().map(|(name, _)| name).chain(growing.into_iter().map(|(name, _)| name)).collect()
}
