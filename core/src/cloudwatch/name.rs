//! Names and labels of series, as the exporters of the field make them.
//!
//! Source: prometheus-community/yet-another-cloudwatch-exporter, `promutil.BuildMetricName` and `createPrometheusLabels`. Its label
//! `name` is left out: it holds what its tag discovery found, and there is none here.

use crate::model::{LabelSet, METRIC_NAME};

use super::{Metric, Reading};

/// Returns a text as a part of a metric's name: lower case, words apart, `%` as a word.
///
/// A capital begins a word behind a small letter or a digit, so `CPUUtilization` is one word and `RequestCount` two.
pub fn snake(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '%' => out.push_str("_percent"),
            c if c.is_ascii_alphanumeric() || c == '_' => {
                if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                    out.push('_');
                }
                out.push(c.to_ascii_lowercase());
            }
            _ => out.push('_'),
        }
        before = c;
    }
    out
}

/// Returns the name of a metric's series for one statistic: `aws_sqs_number_of_messages_sent_sum`.
pub fn metric_name(namespace: &str, name: &str, statistic: &str) -> String {
    let space = snake(&namespace.to_lowercase());
    // `/aws/sagemaker/TrainingJobs` begins with a slash.
    let space = space.strip_prefix('_').unwrap_or(&space);
    let prefix = if space.starts_with("aws") { "" } else { "aws_" };
    let own = snake(name);
    let mut own = own.as_str();
    // Metrics of some namespaces repeat its words in front: `Glue` has `glue.driver.…`.
    for part in space.split('_').filter(|part| !part.is_empty()) {
        own = own.strip_prefix(part).unwrap_or(own);
    }
    let own = own.strip_prefix('_').unwrap_or(own);
    format!("{prefix}{space}_{own}_{}", snake(statistic))
}

/// Returns the name of a dimension's label.
pub fn dimension_label(dimension: &str, reading: &Reading, snake_case: bool) -> String {
    if let Some(name) = reading.label_names.get(dimension) {
        return name.clone();
    }
    if snake_case {
        return format!("dimension_{}", snake(dimension));
    }
    let plain: String = dimension.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    format!("dimension_{}", plain)
}

/// Returns the labels of a metric's series for one statistic. `common` holds the job, the region, the account and the labels of the
/// configuration; a dimension gives way to them.
pub fn series(metric: &Metric, statistic: &str, reading: &Reading, snake_case: bool, common: &LabelSet) -> LabelSet {
    let mut labels = common.builder();
    for (dimension, value) in &metric.dimensions {
        let name = dimension_label(dimension, reading, snake_case);
        if labels.get(&name).is_empty() {
            labels.set(&name, value);
        }
    }
    labels.set(METRIC_NAME, &metric_name(&metric.namespace, &metric.name, statistic));
    labels.build()
}
