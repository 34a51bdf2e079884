//! What a scrape tells about itself.

use std::collections::BTreeMap;

use crate::model::exposition::protobuf::{Families, Family};
use crate::model::exposition::{Entry, Format, MetricType, Parser, unescape};
use crate::model::{Cell, Claim, LabelSet, Row, STALE, SeriesRef, Value};
use crate::scrape::job::Encoding;
use crate::time::Span;

use super::Resolve;
use super::exposed::report_labels;

/// What a scrape came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Why the scrape failed; its samples are then not in the row.
    pub error: Option<String>,
    /// Samples in the body, up to the fault where there is one.
    pub samples: usize,
    /// Samples that the rules of `metric_relabel_configs` kept.
    pub kept: usize,
    /// Series that the previous scrape did not bring.
    pub series_added: usize,
    /// Samples of a series that the body had already brought; the first counts.
    pub duplicates: usize,
    /// Samples whose time lies too far ahead.
    pub out_of_bounds: usize,
    /// Samples of new series that the store did not accept, and the first reason.
    pub refused: usize,
    pub refusal: Option<String>,
    /// Series that the target has, where that is limited.
    pub held: usize,
    /// Series that ended with this row.
    pub ended: usize,
    /// Size of the body, uncompressed; -1 when it is over the limit.
    pub body_bytes: i64,
}

/// What a body says about a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub kind: MetricType,
    pub help: String,
    pub unit: String,
}

/// Metadata of at most this many metrics of a body is kept.
const METRICS_MAX: usize = 100_000;

/// Returns what a body says about its metrics, by name. What is said later overrides what was said before.
pub fn metadata(body: &[u8], encoding: Encoding) -> BTreeMap<String, Metadata> {
    match encoding {
        Encoding::Text(format) => text_metadata(body, format),
        Encoding::Protobuf => {
            let families = Families::new(body).map_while(Result::ok).take(METRICS_MAX);
            let said =
                |family: Family<'_>| Metadata { kind: family.kind, help: family.help.to_owned(), unit: family.unit.to_owned() };
            families.map(|family| (family.name.to_owned(), said(family))).collect()
        }
    }
}

fn text_metadata(body: &[u8], format: Format) -> BTreeMap<String, Metadata> {
    let text = |bytes: &[u8]| unescape(&String::from_utf8_lossy(bytes)).into_owned();
    let mut metrics: BTreeMap<String, Metadata> = BTreeMap::new();
    for entry in Parser::new(body, format).map_while(Result::ok) {
        let metric = match &entry {
            Entry::Type { metric, .. } | Entry::Help { metric, .. } | Entry::Unit { metric, .. } => text(metric),
            Entry::Sample(_) | Entry::Comment(_) => continue,
        };
        if metrics.len() >= METRICS_MAX && !metrics.contains_key(&metric) {
            continue;
        }
        let known = metrics.entry(metric).or_default();
        match entry {
            Entry::Type { kind, .. } => known.kind = kind,
            Entry::Help { text: help, .. } => known.help = text(help),
            Entry::Unit { unit, .. } => known.unit = text(unit),
            Entry::Sample(_) | Entry::Comment(_) => {}
        }
    }
    metrics
}

/// The names of the series that report on scrapes: five always, three on demand, three where the target's series are limited.
const METRICS: [&str; 11] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
    "scrape_series_limit",
    "scrape_series_held",
    "scrape_series_refused",
];
const ALWAYS: usize = 5;
const ON_DEMAND: usize = 8;
/// How many series a target has of these where its own are limited.
pub const COUNT_LIMITED: usize = ALWAYS + METRICS.len() - ON_DEMAND;

/// The series of one target that report on its scrapes.
#[derive(Default)]
pub struct ReportSeries {
    series: [Option<SeriesRef>; METRICS.len()],
}

/// Settings of a target that its report repeats.
pub struct Settings {
    pub timeout: Span,
    pub sample_limit: u64,
    pub series_limit: u64,
    /// Report the settings and the size of the body too.
    pub extra: bool,
}

impl Settings {
    fn shows(&self, metric: usize) -> bool {
        metric < ALWAYS || if metric < ON_DEMAND { self.extra } else { self.series_limit > 0 }
    }
}

impl ReportSeries {
    pub fn forget(&mut self) {
        self.series = Default::default();
    }

    /// Appends the report's cells to a row; a series that the store does not accept is counted and left out.
    pub fn append(
        &mut self,
        row: &mut Row,
        report: &mut Report,
        target: &LabelSet,
        settings: &Settings,
        seconds: f64,
        resolve: &mut Resolve<'_>,
    ) {
        let up = if report.error.is_none() { 1.0 } else { 0.0 };
        let values = [
            up,
            seconds,
            report.samples as f64,
            report.kept as f64,
            report.series_added as f64,
            settings.timeout.seconds(),
            settings.sample_limit as f64,
            report.body_bytes as f64,
            settings.series_limit as f64,
            report.held as f64,
            report.refused as f64,
        ];
        self.append_values(row, report, target, settings, &values, resolve);
    }

    /// Appends the ends of all report series to a row.
    pub fn append_ends(
        &mut self,
        row: &mut Row,
        report: &mut Report,
        target: &LabelSet,
        settings: &Settings,
        resolve: &mut Resolve<'_>,
    ) {
        self.append_values(row, report, target, settings, &[STALE; METRICS.len()], resolve);
    }

    fn append_values(
        &mut self,
        row: &mut Row,
        report: &mut Report,
        target: &LabelSet,
        settings: &Settings,
        values: &[f64; METRICS.len()],
        resolve: &mut Resolve<'_>,
    ) {
        for (index, metric) in METRICS.iter().enumerate().filter(|(index, _)| settings.shows(*index)) {
            let series = match self.series[index] {
                Some(series) => series,
                None => match resolve(&report_labels(metric, target), Claim::Own) {
                    Ok(found) => *self.series[index].insert(found.series),
                    Err(reason) => {
                        report.refused += 1;
                        report.refusal.get_or_insert(reason);
                        continue;
                    }
                },
            };
            row.cells.push(Cell { series, at: None, value: Value::Float(values[index]) });
        }
    }
}
