//! What CloudWatch answers.

use serde::Deserialize;

use crate::model::Series;

use super::Metric;
use super::plan::{Batch, Query};

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the answer to {action} cannot be read")]
    Malformed {
        action: &'static str,
        #[source]
        cause: serde_json::Error,
    },
    #[error("the answer to GetMetricData has {times} times and {values} values for one series")]
    Uneven { times: usize, values: usize },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    #[serde(default)]
    metrics: Vec<ListedMetric>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMetric {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<ListedDimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedDimension {
    name: String,
    value: String,
}

/// Reads one page of ListMetrics: its metrics, and the token of the next page.
pub fn listed(body: &[u8]) -> Result<(Vec<Metric>, Option<String>), AnswerError> {
    let answer: ListAnswer =
        serde_json::from_slice(body).map_err(|cause| AnswerError::Malformed { action: "ListMetrics", cause })?;
    let metrics = answer.metrics.into_iter().map(|metric| {
        let mut dimensions: Vec<(String, String)> =
            metric.dimensions.into_iter().map(|dimension| (dimension.name, dimension.value)).collect();
        dimensions.sort();
        Metric { namespace: metric.namespace, name: metric.metric_name, dimensions }
    });
    Ok((metrics.collect(), some_token(answer.next_token)))
}

fn some_token(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataAnswer {
    #[serde(default)]
    metric_data_results: Vec<DataResult>,
    next_token: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    id: String,
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    status_code: String,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    code: String,
    #[serde(default)]
    value: String,
}

/// The points of a list of queries, as they come in page by page.
#[derive(Debug, Default)]
pub struct Points {
    /// One for each query.
    series: Vec<Vec<(i64, f64)>>,
    /// What CloudWatch said is wrong with single series; the first reason is kept.
    pub trouble: Option<String>,
}

impl Points {
    pub fn new(queries: usize) -> Points {
        Points { series: vec![Vec::new(); queries], trouble: None }
    }

    /// Takes in one page of the answer to a batch; returns the token of the next page.
    ///
    /// Results under ids that nobody asked for, and points outside the span that was asked for, are left out.
    pub fn accept(&mut self, batch: &Batch, body: &[u8]) -> Result<Option<String>, AnswerError> {
        let answer: DataAnswer =
            serde_json::from_slice(body).map_err(|cause| AnswerError::Malformed { action: "GetMetricData", cause })?;
        for result in &answer.metric_data_results {
            let (times, values) = (result.timestamps.len(), result.values.len());
            if times != values {
                return Err(AnswerError::Uneven { times, values });
            }
            let number = result.id.strip_prefix('q').and_then(|number| number.parse::<usize>().ok());
            let Some(position) = number.and_then(|number| batch.members.get(number)) else { continue };
            let span = batch.start.0..batch.end.0;
            let points =
                result.timestamps.iter().map(|seconds| (seconds * 1000.0).round() as i64).zip(result.values.iter().copied());
            self.series[*position].extend(points.filter(|(at, _)| span.contains(at)));
            if matches!(result.status_code.as_str(), "InternalError" | "Forbidden") {
                self.note(&format!("CloudWatch answers {} for a metric", result.status_code), &result.messages);
            }
        }
        if !answer.messages.is_empty() {
            self.note("CloudWatch says", &answer.messages);
        }
        Ok(some_token(answer.next_token))
    }

    fn note(&mut self, what: &str, messages: &[Message]) {
        let said = messages.first().map(|message| format!(": {} {}", message.code, message.value)).unwrap_or_default();
        self.trouble.get_or_insert_with(|| format!("{what}{said}").trim_end().chars().take(300).collect());
    }

    /// Returns the series, each in order of time, no instant twice.
    pub fn into_series(self, list: &[Query]) -> Vec<Series> {
        let whole = self.series.into_iter().zip(list).filter(|(points, _)| !points.is_empty());
        whole
            .map(|(mut floats, query)| {
                floats.sort_by_key(|(at, _)| *at);
                floats.dedup_by_key(|(at, _)| *at);
                Series { labels: query.labels.clone(), floats, ..Series::default() }
            })
            .collect()
    }
}
