//! Which metrics are asked for, and in which requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::LabelSet;
use crate::time::{Span, Timestamp};

use super::{Discovery, Metric, Reading, Source, name};

/// Queries that one request may hold.
///
/// Source: CloudWatch service quotas, GetMetricData.
pub const BATCH_MAX: usize = 500;
/// Points that one answer may hold before it is cut into pages.
const POINTS_MAX: i64 = 100_800;

/// One series that is asked for: a metric and a statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub metric: Metric,
    pub statistic: String,
    pub period: Span,
    pub delay: Span,
    /// What its series is called here.
    pub labels: LabelSet,
}

/// What is asked for in one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queries {
    pub list: Vec<Query>,
    /// Queries beyond the limit of the configuration.
    pub left_out: usize,
}

/// Returns what to ask for in a region. `found` holds what each of the source's discoveries has listed.
///
/// Shape: metrics of the configuration first, no series twice; the first mention decides how it is read.
pub fn queries(source: &Source, common: &LabelSet, found: &[Vec<Metric>]) -> Queries {
    let chosen = source.metrics.iter().map(|chosen| (&chosen.metric, &chosen.reading));
    let discovered = source.discovery.iter().zip(found).flat_map(|(discovery, metrics)| {
        metrics.iter().filter(|metric| discovery.wants(metric)).map(|metric| (metric, &discovery.reading))
    });
    let mut known: BTreeMap<LabelSet, ()> = BTreeMap::new();
    let mut queries = Queries::default();
    for (metric, reading) in chosen.chain(discovered) {
        for statistic in &reading.statistics {
            let labels = name::series(metric, statistic, reading, source.snake_case, common);
            if known.insert(labels.clone(), ()).is_some() {
                continue;
            }
            if queries.list.len() >= source.queries_max {
                queries.left_out += 1;
                continue;
            }
            queries.list.push(query(metric, statistic, reading, labels));
        }
    }
    queries
}

fn query(metric: &Metric, statistic: &str, reading: &Reading, labels: LabelSet) -> Query {
    let (period, delay) = (reading.period, reading.delay);
    Query { metric: metric.clone(), statistic: statistic.to_owned(), period, delay, labels }
}

/// One request of GetMetricData: queries of one period and delay, and the span of time to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Positions in the list of queries; the place here is the number in the query's id.
    pub members: Vec<usize>,
    /// Both on the grid of the period; the end itself is not asked for.
    pub start: Timestamp,
    pub end: Timestamp,
}

/// Returns the requests for a list of queries. `from` is the instant from which on to ask, by `Reach::start`.
pub fn batches(list: &[Query], from: Timestamp, now: Timestamp) -> Vec<Batch> {
    let mut kinds: BTreeMap<(Span, Span), Vec<usize>> = BTreeMap::new();
    for (position, query) in list.iter().enumerate() {
        kinds.entry((query.period, query.delay)).or_default().push(position);
    }
    let mut batches = Vec::new();
    for ((period, delay), members) in kinds {
        let grid = |at: Timestamp| Timestamp(at.0.div_euclid(period.0) * period.0);
        let end = grid(now - delay);
        // The span shifts with the delay, and holds one whole period at least.
        let start = grid(from - delay).min(end - period);
        let points = (end.since(start).0 / period.0).max(1);
        let most = usize::try_from(POINTS_MAX / points).unwrap_or(BATCH_MAX).clamp(1, BATCH_MAX);
        batches.extend(members.chunks(most).map(|members| Batch { members: members.to_vec(), start, end }));
    }
    batches
}

fn dimensions(metric: &Metric) -> Value {
    metric.dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
}

/// Returns the body of a GetMetricData request; `token` asks for the next page of an answer.
pub fn data_request(batch: &Batch, list: &[Query], token: Option<&str>) -> Value {
    let queries: Vec<Value> = batch
        .members
        .iter()
        .enumerate()
        .map(|(number, position)| {
            let Query { metric, statistic, period, .. } = &list[*position];
            json!({
                "Id": format!("q{number}"),
                "MetricStat": {
                    "Metric": { "Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions(metric) },
                    "Period": period.0 / 1000,
                    "Stat": statistic,
                },
            })
        })
        .collect();
    let mut body = json!({
        "StartTime": batch.start.0 / 1000,
        "EndTime": batch.end.0 / 1000,
        "ScanBy": "TimestampAscending",
        "MetricDataQueries": queries,
    });
    if let Some(token) = token {
        body["NextToken"] = token.into();
    }
    body
}

/// Returns the body of a ListMetrics request; `token` asks for the next page of an answer.
pub fn list_request(discovery: &Discovery, recently_active: bool, token: Option<&str>) -> Value {
    let mut body = json!({ "Namespace": discovery.namespace });
    if let Some(name) = &discovery.one_name {
        body["MetricName"] = name.as_str().into();
    }
    if !discovery.dimensions.is_empty() {
        body["Dimensions"] = discovery.dimensions.iter().map(|filter| json!({ "Name": filter.name })).collect();
    }
    if recently_active {
        body["RecentlyActive"] = "PT3H".into();
    }
    if let Some(token) = token {
        body["NextToken"] = token.into();
    }
    body
}
