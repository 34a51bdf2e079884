//! Dump: stored series as text, for people, for another server, and to be imported again.
//!
//! OpenMetrics as `promtool tsdb dump-openmetrics` writes it, without types, so that labels come back as they were. Lines of JSON say
//! what that form cannot: the ends of series, native histograms, and every bit of a NaN.

use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::histogram::{BucketSpan, ResetHint};
use crate::model::labels::{is_classic_label_name, is_classic_metric_name};
use crate::model::sample::{STALE_BITS, is_stale, shortest};
use crate::model::{Histogram, LabelSet, METRIC_NAME, Series, Value};
use crate::time::Timestamp;

use super::write::Entry;

/// What every file of OpenMetrics ends with.
pub const END: &str = "# EOF\n";
/// A line of JSON holds so many samples at most.
const LINE_LEN: usize = 1000;
/// NaN as parsers make it; Prometheus' `value.NormalNaN`.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Samples that OpenMetrics cannot say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// Marks that a series ended.
    pub stale: u64,
    pub histograms: u64,
    /// Samples of series without a metric's name.
    pub nameless: u64,
}

/// Writes the samples of a series as OpenMetrics; counts what cannot be said.
pub fn put_openmetrics(out: &mut String, series: &Series, unsaid: &mut Unsaid) {
    unsaid.histograms += series.histograms.len() as u64;
    if series.labels.name().is_empty() {
        unsaid.nameless += series.floats.len() as u64;
        return;
    }
    let labels = spell(&series.labels);
    for (at, value) in &series.floats {
        if is_stale(*value) {
            unsaid.stale += 1;
            continue;
        }
        let _ = write!(out, "{labels} {} ", shortest(*value));
        put_seconds(out, *at);
        out.push('\n');
    }
}

fn spell(labels: &LabelSet) -> String {
    let mut out = String::new();
    let is_classic = is_classic_metric_name(labels.name());
    if is_classic {
        out.push_str(labels.name());
    }
    let mut parts: Vec<String> = Vec::new();
    if !is_classic {
        parts.push(quote(labels.name()));
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        let name = if is_classic_label_name(name) { name.to_owned() } else { quote(name) };
        parts.push(format!("{name}={}", quote(value)));
    }
    if !parts.is_empty() {
        let _ = write!(out, "{{{}}}", parts.join(","));
    }
    out
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Writes an instant in seconds, so that it comes back to the millisecond from readers that multiply and cut off.
fn put_seconds(out: &mut String, at: i64) {
    let (sign, whole, thousandths) = (if at < 0 { "-" } else { "" }, at.unsigned_abs() / 1000, at.unsigned_abs() % 1000);
    let text = if thousandths == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{thousandths:03}") };
    let comes_back = text.parse::<f64>().is_ok_and(|seconds| (seconds * 1000.0) as i64 == at);
    out.push_str(&text);
    if !comes_back {
        out.push_str(if thousandths == 0 { ".0001" } else { "1" });
    }
}

/// Some samples of a series. Numbers are texts, for JSON has no NaN.
#[derive(Serialize, Deserialize)]
struct Line {
    labels: LabelSet,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    floats: Vec<(i64, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<(i64, Spelled)>,
}

/// A native histogram.
#[derive(Serialize, Deserialize)]
struct Spelled {
    reset_hint: String,
    schema: i32,
    zero_threshold: String,
    zero_count: String,
    count: String,
    sum: String,
    /// Offset and length of each.
    positive_spans: Vec<(i32, u32)>,
    negative_spans: Vec<(i32, u32)>,
    positive_buckets: Vec<String>,
    negative_buckets: Vec<String>,
    custom_values: Vec<String>,
}

const HINTS: [(ResetHint, &str); 4] =
    [(ResetHint::Unknown, "unknown"), (ResetHint::Reset, "reset"), (ResetHint::NoReset, "no_reset"), (ResetHint::Gauge, "gauge")];

fn number(value: f64) -> String {
    match value.to_bits() {
        STALE_BITS => "stale".to_owned(),
        bits if value.is_nan() && bits != NAN_BITS => format!("NaN:{bits:016x}"),
        _ => shortest(value),
    }
}

fn take_number(text: &str) -> Result<f64, String> {
    let fault = || format!("{text:?} is no number");
    match text {
        "stale" => Ok(f64::from_bits(STALE_BITS)),
        "NaN" => Ok(f64::from_bits(NAN_BITS)),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ => match text.strip_prefix("NaN:") {
            Some(bits) => u64::from_str_radix(bits, 16).map(f64::from_bits).ok().filter(|own| own.is_nan()).ok_or_else(fault),
            None => text.parse().ok().filter(|own: &f64| own.is_finite()).ok_or_else(fault),
        },
    }
}

fn take_numbers(texts: &[String]) -> Result<Vec<f64>, String> {
    texts.iter().map(|text| take_number(text)).collect()
}

impl Spelled {
    fn of(histogram: &Histogram) -> Spelled {
        let numbers = |values: &[f64]| values.iter().map(|value| number(*value)).collect();
        let spans = |spans: &[BucketSpan]| spans.iter().map(|span| (span.offset, span.length)).collect();
        let hint = HINTS.iter().find(|(own, _)| *own == histogram.reset_hint).map_or("unknown", |(_, word)| word);
        Spelled {
            reset_hint: hint.to_owned(),
            schema: histogram.schema,
            zero_threshold: number(histogram.zero_threshold),
            zero_count: number(histogram.zero_count),
            count: number(histogram.count),
            sum: number(histogram.sum),
            positive_spans: spans(&histogram.positive_spans),
            negative_spans: spans(&histogram.negative_spans),
            positive_buckets: numbers(&histogram.positive_buckets),
            negative_buckets: numbers(&histogram.negative_buckets),
            custom_values: numbers(&histogram.custom_values),
        }
    }

    fn read(&self) -> Result<Histogram, String> {
        let hint = HINTS.iter().find(|(_, word)| *word == self.reset_hint);
        let spans =
            |spans: &[(i32, u32)]| spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect();
        let histogram = Histogram {
            reset_hint: hint.ok_or_else(|| format!("{:?} is no reset hint", self.reset_hint))?.0,
            schema: self.schema,
            zero_threshold: take_number(&self.zero_threshold)?,
            zero_count: take_number(&self.zero_count)?,
            count: take_number(&self.count)?,
            sum: take_number(&self.sum)?,
            positive_spans: spans(&self.positive_spans),
            negative_spans: spans(&self.negative_spans),
            positive_buckets: take_numbers(&self.positive_buckets)?,
            negative_buckets: take_numbers(&self.negative_buckets)?,
            custom_values: take_numbers(&self.custom_values)?,
        };
        histogram.check().map_err(|fault| fault.to_string())?;
        Ok(histogram)
    }
}

/// Writes a series as lines of JSON.
pub fn put_json(out: &mut String, series: &Series) {
    let mut put = |line: Line| {
        out.push_str(&serde_json::to_string(&line).expect("texts and numbers are JSON"));
        out.push('\n');
    };
    for some in series.floats.chunks(LINE_LEN) {
        let floats = some.iter().map(|(at, value)| (*at, number(*value))).collect();
        put(Line { labels: series.labels.clone(), floats, histograms: Vec::new() });
    }
    // A histogram takes as much as many floats.
    for some in series.histograms.chunks(LINE_LEN / 50) {
        let histograms = some.iter().map(|(at, value)| (*at, Spelled::of(value))).collect();
        put(Line { labels: series.labels.clone(), floats: Vec::new(), histograms });
    }
}

/// Reads a line that `put_json` wrote.
///
/// Errors: what is wrong with it, in a sentence.
pub fn take_json(line: &str) -> Result<Series, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| format!("the line is no series in JSON: {error}"))?;
    let floats = line.floats.iter().map(|(at, text)| Ok((*at, take_number(text)?))).collect::<Result<_, String>>()?;
    let histograms = line.histograms.iter().map(|(at, own)| Ok((*at, Arc::new(own.read()?)))).collect::<Result<_, String>>()?;
    Ok(Series { labels: line.labels, floats, histograms, starts: Vec::new() })
}

/// Returns the samples of a series, for an import.
pub fn entries(series: Series) -> Vec<Entry> {
    let entry = |at: i64, value: Value| Entry { labels: series.labels.clone(), at: Timestamp(at), value, exemplars: Vec::new() };
    let floats = series.floats.iter().map(|(at, value)| entry(*at, Value::Float(*value)));
    floats.chain(series.histograms.iter().map(|(at, value)| entry(*at, Value::Histogram(value.clone())))).collect()
}

/// Returns whether a line says that the dump is whole.
///
/// Errors: why it broke off, when the line tells that.
pub fn is_end(line: &str) -> Result<bool, String> {
    if !line.starts_with("{\"end\"") {
        return Ok(false);
    }
    let told: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    told["end"].as_str().map_or(Ok(true), |why| Err(why.to_owned()))
}

/// Returns the last line of a dump as JSON: that it is whole, or why it is not.
pub fn end_line(why: Option<&str>) -> String {
    let told = why.map_or(Json::Bool(true), Json::from);
    format!("{}\n", serde_json::json!({ "end": told }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::import::Import;

    fn series() -> Series {
        let labels = [("__name__", "lat_total"), ("le", "1"), ("path", "a\"b\\c\nd é")];
        let values = [0.1, -0.0, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY, 123_456_789.0, f64::from_bits(NAN_BITS)];
        let floats = values.iter().enumerate().map(|(place, value)| (1_795_231_655_120 + place as i64 * 7, *value)).collect();
        Series { labels: LabelSet::from_pairs(labels), floats, ..Series::default() }
    }

    fn bits(floats: &[(i64, f64)]) -> Vec<(i64, u64)> {
        floats.iter().map(|(at, value)| (*at, value.to_bits())).collect()
    }

    #[test]
    fn openmetrics_comes_back_through_the_import() {
        let odd = LabelSet::from_pairs([("__name__", "my.metric"), ("a:b", "1"), ("ü", "")]);
        let odd = Series { labels: odd, floats: (-3000..3000).map(|at| (at, 1.0)).collect(), ..Series::default() };
        let plain = Series { labels: LabelSet::from_pairs([("__name__", "up")]), floats: vec![(0, 1.0)], ..Series::default() };
        let (mut text, mut unsaid) = (String::new(), Unsaid::default());
        for own in [&series(), &odd, &plain] {
            put_openmetrics(&mut text, own, &mut unsaid);
        }
        text.push_str(END);
        assert_eq!(unsaid, Unsaid::default());
        let entries = Import::default().read(text.as_bytes(), true).unwrap();
        for own in [series(), odd, plain] {
            let back: Vec<(i64, f64)> = entries
                .iter()
                .filter(|entry| entry.labels == own.labels)
                .map(|entry| match entry.value {
                    Value::Float(value) => (entry.at.0, value),
                    Value::Histogram(_) => panic!("a histogram"),
                })
                .collect();
            assert_eq!(bits(&back), bits(&own.floats), "{}", own.labels);
        }
    }

    #[test]
    fn what_openmetrics_cannot_say_is_counted() {
        let (mut text, mut unsaid) = (String::new(), Unsaid::default());
        let mut own = series();
        own.floats.push((1_795_231_700_000, f64::from_bits(STALE_BITS)));
        own.histograms.push((1_795_231_700_001, Arc::default()));
        put_openmetrics(&mut text, &own, &mut unsaid);
        let nameless = Series { labels: LabelSet::from_pairs([("a", "b")]), floats: vec![(0, 1.0)], ..Series::default() };
        put_openmetrics(&mut text, &nameless, &mut unsaid);
        assert_eq!((unsaid, text.lines().count()), (Unsaid { stale: 1, histograms: 1, nameless: 1 }, 8));
    }

    #[test]
    fn json_says_every_bit() {
        let mut own = series();
        own.floats.extend([
            (1, f64::from_bits(STALE_BITS)),
            (2, f64::from_bits(0x7ff8_0000_0000_0007)),
            (3, f64::from_bits(0xfff8 << 48)),
        ]);
        own.floats.extend((4..3000).map(|at| (at, at as f64 / 7.0)));
        let histogram = Histogram {
            reset_hint: ResetHint::Gauge,
            schema: 2,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 4.0,
            sum: f64::NAN,
            positive_spans: vec![BucketSpan { offset: -3, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            ..Histogram::default()
        };
        own.histograms.extend((0..50).map(|at| (at, Arc::new(histogram.clone()))));
        let mut text = String::new();
        put_json(&mut text, &own);
        let mut back = Series::default();
        for line in text.lines() {
            let some = take_json(line).unwrap();
            assert!(line.len() < 1 << 20 && some.labels == own.labels);
            back.floats.extend(some.floats);
            back.histograms.extend(some.histograms);
        }
        assert_eq!(bits(&back.floats), bits(&own.floats));
        assert_eq!(back.histograms.len(), 50);
        assert!(back.histograms.iter().all(|(_, own)| own.same_data(&histogram) && own.reset_hint == ResetHint::Gauge));
        assert_eq!(entries(back).len(), own.floats.len() + 50);
        for bad in ["", "{}", r#"{"labels":{},"floats":[[1,"x"]]}"#, r#"{"labels":{},"floats":[[1,"NaN:0"]]}"#] {
            assert!(take_json(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (is_end(&end_line(None)), is_end(&end_line(Some("why"))), is_end("{}")),
            (Ok(true), Err("why".to_owned()), Ok(false))
        );
    }
}
