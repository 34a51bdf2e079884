//! `storage`: how long samples stay, how many series there may be, and how much memory they may take.

use std::collections::BTreeMap;

use crate::model::Matcher;
use crate::promql::parse::parse_selector;
use crate::time::Span;
use crate::yaml::{Table, Value};

/// How long samples stay, and how late they may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// None: the default of the store.
    pub retention: Option<Span>,
    /// The length of blocks at which the oldest samples go. None: no limit.
    pub retention_bytes: Option<u64>,
    /// Samples may be this much older than the newest of their series; zero: not at all.
    pub out_of_order_window: Span,
    /// The same for samples that other servers write.
    pub remote_out_of_order_window: Span,
    /// Exemplars that are kept; zero: none. None: the default of the store.
    pub exemplars_max: Option<usize>,
    /// A loss of power takes the samples of so long; zero: none that anyone saw.
    pub sync_every: Span,
    /// The length of what waits on the disk for other servers, at which the oldest of it goes.
    pub remote_write_queue_bytes: u64,
    /// How long it is kept why somebody was told of an alert, or nobody.
    pub trace_time: Span,
    /// What that takes at most.
    pub trace_bytes: u64,
}

/// How late samples of other servers may be by default: a sender cuts one scrape into several requests, which overtake each other.
const REMOTE_WINDOW: Span = Span::from_mins(5);

/// Between these lies how often samples are made safe on the disk: more often it would do nothing else, more seldom too much is at risk.
const SYNC_EVERY_MIN: Span = Span(100);
const SYNC_EVERY_MAX: Span = Span::from_mins(1);

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            retention: None,
            retention_bytes: None,
            out_of_order_window: Span::ZERO,
            remote_out_of_order_window: REMOTE_WINDOW,
            exemplars_max: None,
            sync_every: Span::from_secs(1),
            remote_write_queue_bytes: REMOTE_QUEUE_BYTES,
            trace_time: Span::from_mins(30 * 24 * 60),
            trace_bytes: 256 << 20,
        }
    }
}

/// Less would not hold what led to the pages of one bad night.
const TRACE_BYTES_MIN: u64 = 1 << 20;

const REMOTE_QUEUE_BYTES: u64 = 2 << 30;
const REMOTE_QUEUE_BYTES_MIN: u64 = 64 << 20;

/// How many series there may be, and how much memory; a reload puts these into force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// None: the default of the store.
    pub series: Option<usize>,
    /// Series of one metric; zero: no limit.
    pub metric_series: usize,
    /// The same for some metrics by name.
    pub series_of_metric: BTreeMap<String, usize>,
    pub memory: MemoryBudget,
}

/// Series that stay for a time of their own; a reload puts this into force.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// The first class that a series belongs to counts.
    pub classes: Vec<RetentionClass>,
    /// What rules and objectives name, and no class, stays for so long at least.
    pub of_rules: Option<Span>,
}

#[derive(Clone, Debug)]
pub struct RetentionClass {
    pub selectors: Vec<Vec<Matcher>>,
    pub keep: Span,
}

/// How much memory the process may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBudget {
    /// A share of what the machine, or the group that the process is confined to, has; in percent.
    Share(u8),
    Bytes(u64),
    /// Nothing gives way.
    Unlimited,
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        MemoryBudget::Share(70)
    }
}

/// Less is no budget: the program itself takes some of it.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// Reads `storage`: our own keys, and what Prometheus has under `tsdb`.
pub(super) fn read(table: &mut Table<'_, '_>) -> (Storage, Limits, Retention) {
    let mut storage = Storage::default();
    let Some(mut table) = table.table("storage") else { return (storage, Limits::default(), Retention::default()) };
    let limits = limits(&mut table);
    let retention = Retention { classes: classes(&mut table), of_rules: positive_span(&mut table, "retention_of_rules") };
    storage.retention = positive_span(&mut table, "retention");
    if let Some(value) = table.value("sync_every")
        && let Some(every) = value.span()
    {
        if every != Span::ZERO && !(SYNC_EVERY_MIN..=SYNC_EVERY_MAX).contains(&every) {
            value.error("samples are made safe every 100ms to 1m, or with 0s before anyone sees them");
        }
        storage.sync_every = every;
    }
    if let Some(size) = table.value("remote_write_queue_size")
        && let Some(bytes) = size.bytes()
    {
        if bytes < REMOTE_QUEUE_BYTES_MIN {
            size.error("the queue to other servers needs room for 64MB at least");
        }
        storage.remote_write_queue_bytes = bytes;
    }
    if let Some(mut trace) = table.table("trace") {
        storage.trace_time = positive_span(&mut trace, "time").unwrap_or(storage.trace_time);
        if let Some(size) = trace.value("size")
            && let Some(bytes) = size.bytes()
        {
            if bytes < TRACE_BYTES_MIN {
                size.error("the trace needs room for 1MB at least");
            }
            storage.trace_bytes = bytes;
        }
        trace.finish();
    }
    if let Some(mut tsdb) = table.table("tsdb") {
        if let Some(window) = tsdb.span("out_of_order_time_window") {
            (storage.out_of_order_window, storage.remote_out_of_order_window) = (window, window);
        }
        if let Some(mut retention) = tsdb.table("retention") {
            let time = positive_span(&mut retention, "time");
            storage.retention = storage.retention.or(time);
            storage.retention_bytes = retention_size(&mut retention);
            retention.finish();
        }
        if let Some(mut encoding) = tsdb.table("chunk_encoding") {
            if let Some(floats) = encoding.value("floats")
                && let Some(text) = floats.text_ref()
                && !matches!(text, "" | "xor" | "xor2")
            {
                floats.error(format!(
                    "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {text:?}"
                ));
            }
            encoding.finish();
        }
        tsdb.float("stale_series_compaction_threshold");
        tsdb.ignored(&["stale_series_compaction_threshold", "chunk_encoding"], "a setting of another store");
        tsdb.finish();
    }
    if let Some(mut exemplars) = table.table("exemplars") {
        // As in Prometheus, a negative number turns them off too.
        let max = exemplars.integer("max_exemplars");
        storage.exemplars_max = max.map(|max| usize::try_from(max).unwrap_or(0));
        exemplars.finish();
    }
    table.finish();
    (storage, limits, retention)
}

/// What stays for less is gone before people have looked at it.
const KEEP_MIN: Span = Span::from_mins(120);

/// Reads `retention_classes`: selectors, and how long to keep what they match.
fn classes(table: &mut Table<'_, '_>) -> Vec<RetentionClass> {
    let mut all = Vec::new();
    for value in table.list("retention_classes") {
        let mut class = value.table();
        let mut selectors = Vec::new();
        for text in class.list("match") {
            let Some(selector) = text.text() else { continue };
            match parse_selector(&selector) {
                Ok(selector) => selectors.push(selector),
                Err(faults) => faults.iter().for_each(|fault| text.error(format!("{selector:?} is no selector: {fault}"))),
            }
        }
        let keep = positive_span(&mut class, "keep");
        if !class.has("match") || class.list("match").is_empty() {
            class.error("match is missing: a list of selectors, such as '{job=\"debug\"}'");
        }
        if keep.is_some_and(|keep| keep < KEEP_MIN) {
            class.error(
                "keep must be 2h at least: alerts and pages look back that far. Write 30d for a month, for m means minutes",
            );
        }
        match keep {
            Some(keep) => all.push(RetentionClass { selectors, keep }),
            None => class.error("keep is missing: how long these series stay, such as 90d"),
        }
        class.finish();
    }
    all
}

fn limits(table: &mut Table<'_, '_>) -> Limits {
    let count = |value: &Value<'_, '_>| value.unsigned().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let series = table.value("series_limit").and_then(|value| {
        let series = count(&value)?;
        if series == 0 {
            value.error("a store for no series would do nothing; remove the key for the default");
        }
        Some(series)
    });
    let metric_series = table.value("metric_series_limit").and_then(|value| count(&value)).unwrap_or(0);
    let of_metric = table.value("metric_series_limits").map(|value| value.entries()).unwrap_or_default();
    let series_of_metric = of_metric.into_iter().filter_map(|(key, value)| Some((key.name.clone(), count(&value)?))).collect();
    let memory = table.value("memory_budget").and_then(|value| memory(&value)).unwrap_or_default();
    Limits { series, metric_series, series_of_metric, memory }
}

/// Reads a size, a share such as `70%`, or `0` for no budget.
fn memory(value: &Value<'_, '_>) -> Option<MemoryBudget> {
    if let Some(share) = value.node.text().and_then(|text| text.strip_suffix('%')) {
        return match share.trim().parse::<u8>() {
            Ok(share) if (1..=100).contains(&share) => Some(MemoryBudget::Share(share)),
            Ok(_) | Err(_) => {
                value.error("a share of the memory is a whole number from 1% to 100%");
                None
            }
        };
    }
    let bytes = value.bytes()?;
    if (1..MEMORY_BYTES_MIN).contains(&bytes) {
        value.error("the memory budget must be 64MB at least; write 0 for none");
    }
    Some(if bytes == 0 { MemoryBudget::Unlimited } else { MemoryBudget::Bytes(bytes) })
}

fn positive_span(table: &mut Table<'_, '_>, key: &'static str) -> Option<Span> {
    table.span(key).filter(|span| *span != Span::ZERO)
}

/// Reads `size`, where zero means no limit, and checks `percentage`, which is not served.
fn retention_size(retention: &mut Table<'_, '_>) -> Option<u64> {
    if let Some(percentage) = retention.value("percentage") {
        if percentage.float().is_some_and(|number| !(0.0..=100.0).contains(&number)) {
            percentage.error("'storage.tsdb.retention.percentage' must be in the range [0, 100]");
        }
        percentage.warning("retention by share of the disk is not served yet; write retention by time or size");
    }
    let size = retention.value("size")?;
    if size.node.text().is_some_and(|text| text.starts_with('-')) {
        size.error("'storage.tsdb.retention.size' must be greater than or equal to 0");
        return None;
    }
    size.bytes().filter(|bytes| *bytes > 0)
}
