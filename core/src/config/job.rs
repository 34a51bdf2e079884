//! `scrape_configs`.

use std::collections::BTreeMap;

use crate::problem::Position;
use crate::scrape::job::{Histograms, Job, Protocol};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::discovery;
use super::global::{self, Escaping, Global, UNSERVED};
use super::place::Folder;
use super::relabel;

/// Names of jobs so far, and where the first of each stands.
pub(super) type Names = BTreeMap<String, String>;

/// Reads `scrape_configs` of a file.
pub(super) fn read(table: &mut Table<'_, '_>, global: &Global, folder: &Folder, file: &str, names: &mut Names) -> Vec<Job> {
    let mut jobs = Vec::new();
    for value in table.list("scrape_configs") {
        if value.is_null() {
            value.error("empty or null scrape config section; remove the lone dash");
            continue;
        }
        let Some(job) = job(&value, global, folder) else { continue };
        match names.get(&job.name) {
            Some(place) => value.error(format!(
                "found multiple scrape configs with job name {:?}, first found in {place}; give each its own name",
                job.name
            )),
            None => {
                names.insert(job.name.clone(), place_of(file, value.node.position));
                jobs.push(job);
            }
        }
    }
    jobs
}

pub(super) fn place_of(file: &str, position: Position) -> String {
    format!("{file}:{}", position.line)
}

fn job(value: &Value<'_, '_>, global: &Global, folder: &Folder) -> Option<Job> {
    let mut table = value.table();
    let name = client::some_text(&mut table, "job_name");
    if name.is_none() {
        table.error("job_name is empty; name the job");
    }
    let shown = format!("for scrape config with job name {:?}", name.as_deref().unwrap_or_default());
    let (interval, timeout) = interval_and_timeout(&mut table, global, &shown);
    let classic_names_only = names(&mut table, global);
    let relabel = relabel::rules(&mut table, "relabel_configs", "target relabeling rule in scrape config", classic_names_only);
    let metric_relabel =
        relabel::rules(&mut table, "metric_relabel_configs", "metric relabeling rule in scrape config", classic_names_only);
    let check_targets = table.value("relabel_configs").is_none_or(|rules| rules.node.items().is_empty());
    let discovery = discovery::inline(&mut table, folder, check_targets);
    let histograms = Histograms {
        buckets_max: table.unsigned("native_histogram_bucket_limit").unwrap_or(0),
        bucket_factor_min: table.float("native_histogram_min_bucket_factor").unwrap_or(0.0),
        ..global::histograms(&mut table, global.histograms)
    };
    let job = Job {
        name: name.clone().unwrap_or_default(),
        interval,
        timeout,
        metrics_path: table.text("metrics_path").unwrap_or_else(|| "/metrics".to_owned()),
        scheme: scheme(&mut table),
        params: params(&mut table),
        honor_labels: table.boolean("honor_labels").unwrap_or(false),
        honor_timestamps: table.boolean("honor_timestamps").unwrap_or(true),
        track_timestamps_staleness: table.boolean("track_timestamps_staleness").unwrap_or(false),
        enable_compression: table.boolean("enable_compression").unwrap_or(true),
        client: client::inline(&mut table, folder),
        static_groups: discovery.static_groups,
        file_sd: discovery.file_sd,
        http_sd: discovery.http_sd,
        relabel,
        metric_relabel,
        limits: global::limits(&mut table, global.limits),
        classic_names_only,
        fallback_protocol: fallback(&mut table, &shown),
        protocols: protocols(&mut table, global, &histograms, &shown),
        histograms,
    };
    global::extra_metrics(&mut table);
    table.unsigned("keep_dropped_targets");
    table.ignored(&["keep_dropped_targets", "scrape_failure_log_file"], UNSERVED);
    table.finish();
    name.map(|_| job)
}

fn interval_and_timeout(table: &mut Table<'_, '_>, global: &Global, shown: &str) -> (Span, Span) {
    let interval = table.span("scrape_interval").filter(|span| *span != Span::ZERO).unwrap_or(global.scrape_interval);
    let value = table.value("scrape_timeout");
    let timeout = value.as_ref().and_then(Value::span).filter(|span| *span != Span::ZERO);
    if let (Some(value), Some(timeout)) = (&value, timeout)
        && timeout > interval
    {
        value.error(format!("scrape timeout greater than scrape interval ({timeout} > {interval}) {shown}; lower it"));
    }
    (interval, timeout.unwrap_or(global.scrape_timeout.min(interval)))
}

/// Reads the two schemes of names; what a job leaves open follows from its own validation, else from `global`.
fn names(table: &mut Table<'_, '_>, global: &Global) -> bool {
    let own = global::names_scheme(table);
    let classic = own.unwrap_or(global.classic_names_only);
    let inferred = |classic: bool| if classic { Escaping::Underscores } else { Escaping::AllowUtf8 };
    let escaping = global::escaping(table).unwrap_or_else(|| match own {
        None => global.escaping.unwrap_or(inferred(global.classic_names_only)),
        Some(classic) => inferred(classic),
    });
    if classic && escaping == Escaping::AllowUtf8 {
        table.error(
            "utf8 metric names requested but validation scheme is not set to UTF8; \
             set metric_name_escaping_scheme to underscores, or metric_name_validation_scheme to utf8",
        );
    }
    classic
}

pub(super) fn scheme(table: &mut Table<'_, '_>) -> String {
    let Some(value) = table.value("scheme") else { return "http".to_owned() };
    let scheme = value.text().unwrap_or_default();
    if !matches!(scheme.as_str(), "http" | "https") {
        value.error(format!("unsupported scheme {scheme:?}; write http or https"));
    }
    scheme
}

fn params(table: &mut Table<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let Some(value) = table.value("params") else { return BTreeMap::new() };
    value.entries().into_iter().map(|(key, values)| (key.name.clone(), values.texts())).collect()
}

/// Reads what to ask for. Native histograms come as Protocol Buffers only, so they are asked for first unless the file says otherwise.
fn protocols(table: &mut Table<'_, '_>, global: &Global, histograms: &Histograms, shown: &str) -> Vec<Protocol> {
    let written = global::protocols(table, shown).or_else(|| global.protocols.clone());
    if let Some(written) = written {
        let own = table.value("scrape_protocols").or_else(|| table.value("scrape_native_histograms"));
        if let Some(value) = own.filter(|_| histograms.native && !written.contains(&Protocol::Protobuf)) {
            value.warning(global::NOT_ASKED);
        }
        return written;
    }
    let first = histograms.native.then_some(Protocol::Protobuf);
    first.into_iter().chain(Protocol::DEFAULTS).collect()
}

fn fallback(table: &mut Table<'_, '_>, shown: &str) -> Option<Protocol> {
    let value = table.value("fallback_scrape_protocol")?;
    let name = value.text_ref().filter(|name| !name.is_empty())?;
    global::protocol(name).map_err(|message| value.error(format!("invalid fallback_scrape_protocol {shown}: {message}"))).ok()
}
