//! Values as Prometheus' JSON writes them.

use std::collections::BTreeMap;
use std::fmt::Write;

use tocsin_core::model::histogram::CUSTOM_BUCKETS_SCHEMA;
use tocsin_core::model::{Exemplar, Histogram, LabelSet, Series, Value as SampleValue};
use tocsin_core::promql::value::{Answer, Value};
use tocsin_core::time::{Span, Timestamp};

use super::query::Took;

/// Returns a float as Prometheus writes those of vectors: the shortest form that reads back to the same bits, with an exponent of at
/// least two digits below 1e-6 and from 1e21.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) { exponent(value) } else { value.to_string() }
}

/// Returns a float as Go's `%e` with the shortest digits writes it, such as `1e+00`.
pub fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return float(value);
    }
    let text = format!("{value:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// Returns a float as Prometheus writes scalars and numbers of a syntax tree: never with an exponent.
pub fn plain(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { float(value) }
}

/// Returns an instant in seconds with at most three decimals.
pub fn seconds(at: Timestamp) -> String {
    let sign = if at.0 < 0 { "-" } else { "" };
    let ms = at.0.unsigned_abs();
    match ms % 1000 {
        0 => format!("{sign}{}", ms / 1000),
        rest => format!("{sign}{}.{rest:03}", ms / 1000),
    }
}

fn text(out: &mut String, value: &str) {
    out.push_str(&serde_json::Value::from(value).to_string());
}

fn labels(out: &mut String, labels: &LabelSet) {
    out.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        text(out, value);
    }
    out.push('}');
}

fn histogram(out: &mut String, histogram: &Histogram) {
    let _ = write!(out, "{{\"count\":\"{}\",\"sum\":\"{}\"", float(histogram.count), float(histogram.sum));
    let mut first = true;
    for bucket in histogram.all_buckets().into_iter().filter(|bucket| bucket.count != 0.0) {
        out.push_str(if first { ",\"buckets\":[" } else { "," });
        first = false;
        // 0: open on the left; 1: open on the right, as buckets below zero are; 3: closed on both sides, as the zero bucket is, and the
        // first one of custom bounds.
        let custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
        let rule = match bucket {
            bucket if custom && bucket.lower == f64::NEG_INFINITY => 3,
            bucket if !custom && bucket.lower == -bucket.upper => 3,
            bucket if !custom && bucket.lower < 0.0 => 1,
            _ => 0,
        };
        let _ = write!(out, "[{rule},\"{}\",\"{}\",\"{}\"]", float(bucket.lower), float(bucket.upper), float(bucket.count));
    }
    out.push_str(if first { "}" } else { "]}" });
}

fn point(out: &mut String, at: i64, value: f64) {
    let _ = write!(out, "[{},\"{}\"]", seconds(Timestamp(at)), float(value));
}

fn series(out: &mut String, series: &Series) {
    out.push_str("{\"metric\":");
    labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.push_str(",\"values\":[");
        for (index, (at, value)) in series.floats.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            point(out, *at, *value);
        }
        out.push(']');
    }
    if !series.histograms.is_empty() {
        out.push_str(",\"histograms\":[");
        for (index, (at, value)) in series.histograms.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let _ = write!(out, "[{},", seconds(Timestamp(*at)));
            histogram(out, value);
            out.push(']');
        }
        out.push(']');
    }
    out.push('}');
}

fn list(out: &mut String, name: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = write!(out, ",\"{name}\":{}", serde_json::Value::from(lines));
    }
}

/// What the clients of a query want to know of its cost.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// The samples that each step looked at are told, too.
    pub each_step: bool,
    /// The first step and the distance of the steps.
    pub steps: (Timestamp, Span),
    pub took: Took,
}

/// Writes the costs. Reading is not told apart from evaluating and nothing is sorted afterwards, so those times are zero.
fn costs(out: &mut String, answer: &Answer, costs: &Costs) {
    let Took { queued, evaluated } = costs.took;
    let total: u64 = answer.samples_per_step.iter().sum();
    let _ = write!(
        out,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluated},\"resultSortTime\":0,\"queryPreparationTime\":0,\
         \"innerEvalTime\":{evaluated},\"execQueueTime\":{queued},\"execTotalTime\":{}}},\
         \"samples\":{{\"totalQueryableSamples\":{total},\"peakSamples\":{}",
        queued + evaluated,
        answer.stats.samples_peak
    );
    if costs.each_step {
        out.push_str(",\"totalQueryableSamplesPerStep\":[");
        for (index, count) in answer.samples_per_step.iter().enumerate() {
            let at = costs.steps.0.saturating_add(Span(costs.steps.1.0.saturating_mul(index as i64)));
            let _ = write!(out, "{}[{},{count}]", if index > 0 { "," } else { "" }, seconds(at));
        }
        out.push(']');
    }
    out.push_str("}}");
}

/// Returns the body that answers a question for exemplars; None when it would be longer than `BODY_BYTES_MAX`.
pub fn exemplars(found: &BTreeMap<LabelSet, Vec<Exemplar>>) -> Option<String> {
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    for (index, (series, list)) in found.iter().enumerate() {
        out.push_str(if index > 0 { ",{\"seriesLabels\":" } else { "{\"seriesLabels\":" });
        labels(&mut out, series);
        for (index, exemplar) in list.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"labels\":" } else { ",\"exemplars\":[{\"labels\":" });
            labels(&mut out, &exemplar.labels);
            let _ = write!(out, ",\"value\":\"{}\",\"timestamp\":{}}}", float(exemplar.value), seconds(exemplar.at));
        }
        out.push_str("]}");
        if out.len() > BODY_BYTES_MAX {
            return None;
        }
    }
    out.push_str("]}");
    Some(out)
}

/// The body of an answer is at most this long.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Returns the body that answers a query; None when it would be longer than `BODY_BYTES_MAX`.
///
/// `limit` cuts the list of series; the cut is said as a warning.
pub fn answer(answer: &Answer, limit: usize, asked: Option<&Costs>) -> Option<String> {
    let mut out = String::with_capacity(1024);
    let mut warnings = answer.warnings.clone();
    let mut cut = |len: usize| {
        if len > limit {
            warnings.push("results truncated due to limit".to_owned());
        }
        len.min(limit)
    };
    out.push_str("{\"status\":\"success\",\"data\":{\"resultType\":\"");
    match &answer.value {
        Value::Scalar(value) => {
            let _ = write!(out, "scalar\",\"result\":[{},\"{}\"]", seconds(answer.at), plain(*value));
        }
        Value::Text(value) => {
            let _ = write!(out, "string\",\"result\":[{},", seconds(answer.at));
            text(&mut out, value);
            out.push(']');
        }
        Value::Vector(samples) => {
            out.push_str("vector\",\"result\":[");
            for (index, sample) in samples[..cut(samples.len())].iter().enumerate() {
                out.push_str(if index > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                labels(&mut out, &sample.labels);
                match &sample.value {
                    SampleValue::Float(value) => {
                        out.push_str(",\"value\":");
                        point(&mut out, answer.at.0, *value);
                    }
                    SampleValue::Histogram(value) => {
                        let _ = write!(out, ",\"histogram\":[{},", seconds(answer.at));
                        histogram(&mut out, value);
                        out.push(']');
                    }
                }
                out.push('}');
                if out.len() > BODY_BYTES_MAX {
                    return None;
                }
            }
            out.push(']');
        }
        Value::Matrix(matrix) => {
            out.push_str("matrix\",\"result\":[");
            for (index, line) in matrix[..cut(matrix.len())].iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                series(&mut out, line);
                if out.len() > BODY_BYTES_MAX {
                    return None;
                }
            }
            out.push(']');
        }
    }
    if let Some(asked) = asked {
        costs(&mut out, answer, asked);
    }
    out.push('}');
    list(&mut out, "warnings", &warnings);
    list(&mut out, "infos", &answer.infos);
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_instants_are_written_as_prometheus_writes_them() {
        for (value, expected) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (1e-100, "1e-100"),
            (1e-6, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), expected);
        }
        assert_eq!([1e21, 1e-7, f64::INFINITY].map(plain), ["1000000000000000000000", "0.0000001", "+Inf"]);
        assert_eq!(
            [1.0, 0.0, -12.5, 1e100, 0.001, f64::INFINITY].map(exponent),
            ["1e+00", "0e+00", "-1.25e+01", "1e+100", "1e-03", "+Inf"]
        );
        assert_eq!(seconds(Timestamp(1_500)), "1.500");
        assert_eq!(seconds(Timestamp(-1_005)), "-1.005");
        assert_eq!(seconds(Timestamp(60_000)), "60");
    }
}
