//! Indicators: what is measured.

use std::sync::Arc;

use crate::yaml::{Kind, Table, Value};

use super::object::{self, Object};
use super::{Metric, MetricSource, Origin, Part, Reference, Sli, named};

pub(super) fn sli(mut object: Object<'_, '_>) -> Option<Sli> {
    let description = object.description.clone();
    let file = object.file.clone();
    let metric = object.spec.as_mut().and_then(|spec| metric(spec, &file));
    let metadata = object.finish();
    Some(Sli { metadata, description, metric: metric? })
}

/// Reads `indicator` or `indicatorRef` of an SLO or of one of its objectives; what is `None` is not there or at fault.
pub(super) fn reference(table: &mut Table<'_, '_>, file: &Arc<str>) -> Option<Reference<Sli>> {
    let inline = table.value("indicator");
    let by_name = table.value("indicatorRef");
    if inline.is_some()
        && let Some(by_name) = &by_name
    {
        by_name.error("only one of indicator and indicatorRef may be set; remove one of the two");
    }
    match (inline, by_name) {
        (Some(value), _) => sli(Object::new(&value, file)).map(|sli| Reference::Inline(Arc::new(sli))),
        (None, Some(value)) => named(&value, file),
        (None, None) => None,
    }
}

fn metric(spec: &mut Table<'_, '_>, file: &Arc<str>) -> Option<Metric> {
    let threshold = spec.value("thresholdMetric");
    let ratio = spec.value("ratioMetric");
    match (threshold, ratio) {
        (Some(_), Some(ratio)) => {
            ratio.error("only one of thresholdMetric and ratioMetric may be set; remove one of the two");
            None
        }
        (Some(threshold), None) => Some(Metric::Threshold(holder(&threshold, file)?)),
        (None, Some(value)) => ratio_metric(value.table(), file),
        (None, None) => {
            spec.error("one of thresholdMetric and ratioMetric must be set");
            None
        }
    }
}

fn ratio_metric(mut table: Table<'_, '_>, file: &Arc<str>) -> Option<Metric> {
    let counter = table.boolean("counter");
    let mut source = |key: &'static str| table.value(key).map(|value| (holder(&value, file), value));
    let (good, bad, total, raw) = (source("good"), source("bad"), source("total"), source("raw"));
    let raw_type = table.value("rawType");
    let metric = match (raw, good, bad, total) {
        (Some((ratio, _)), good, bad, total) => {
            for (_, value) in [good, bad, total].into_iter().flatten() {
                value.error("raw is a ratio already; remove good, bad and total, or raw");
            }
            let part = match raw_type.as_ref().and_then(Value::text).as_deref() {
                Some("success") => Some(Part::Good),
                Some("failure") => Some(Part::Bad),
                _ => {
                    table.error("with raw, rawType must say what the ratio is: success or failure");
                    None
                }
            };
            part.zip(ratio).map(|(part, ratio)| Metric::Raw { part, ratio })
        }
        (None, Some(_), Some((_, bad)), _) => {
            bad.error("only one of good and bad may be set; remove one of the two");
            None
        }
        (None, Some((events, _)), None, Some((total, _))) => counted(&table, counter, Part::Good, events, total),
        (None, None, Some((events, _)), Some((total, _))) => counted(&table, counter, Part::Bad, events, total),
        (None, good, bad, None) if good.is_some() || bad.is_some() => {
            table.error("total is missing; it counts all events, good and bad");
            None
        }
        (None, _, _, _) => {
            table.error("a ratio is made of good and total, of bad and total, or of raw");
            None
        }
    };
    if let Some(value) = raw_type.filter(|_| !matches!(metric, Some(Metric::Raw { .. }) | None)) {
        value.error("rawType belongs to raw; remove it");
    }
    table.finish();
    metric
}

fn counted(
    table: &Table<'_, '_>,
    counter: Option<bool>,
    part: Part,
    events: Option<MetricSource>,
    total: Option<MetricSource>,
) -> Option<Metric> {
    if counter.is_none() {
        table
            .value_here()
            .warning("counter is not said; the metrics are read as counters: write counter: true or counter: false");
    }
    Some(Metric::Ratio { counter: counter.unwrap_or(true), part, events: events?, total: total? })
}

/// Reads a mapping that holds one `metricSource`.
fn holder(value: &Value<'_, '_>, file: &Arc<str>) -> Option<MetricSource> {
    let mut table = value.table();
    let source = table.value("metricSource").and_then(|value| metric_source(&value, file));
    if !table.has("metricSource") {
        table.error("metricSource is missing");
    }
    table.finish();
    source
}

fn metric_source(value: &Value<'_, '_>, file: &Arc<str>) -> Option<MetricSource> {
    let mut table = value.table();
    let source = match table.value("metricSourceRef") {
        Some(value) => {
            let name = value.text()?;
            object::check_name(&value, &name);
            name
        }
        None => String::new(),
    };
    let source_type = table.text("type").unwrap_or_default();
    if source.is_empty() && source_type.is_empty() {
        table
            .error("type is missing; say what kind of source it is, such as Prometheus, or name a DataSource by metricSourceRef");
    }
    let spec = table.value("spec");
    if !spec.as_ref().is_some_and(|spec| matches!(spec.node.kind, Kind::Mapping(_))) {
        table.error("spec is missing; it holds what the source is asked, such as query:");
    }
    let query = spec.as_ref().and_then(|spec| {
        let node = spec.node.get("query")?;
        let value = Value::new(node, format!("{}.query", spec.path), spec.problems);
        Some((value.text()?, Origin::of(&value, file)))
    });
    table.finish();
    let (query, at) = query.map_or_else(|| (None, Origin::of(value, file)), |(query, at)| (Some(query), at));
    Some(MetricSource { source, source_type, query, at })
}
