//! `global`, the half that scraping and rules take their defaults from.

use crate::model::LabelSet;
use crate::model::labels::is_classic_label_name;
use crate::scrape::job::{Histograms, Limits, Protocol};
use crate::time::Span;
use crate::yaml::{Table, Value};

/// Defaults for all jobs and rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    pub scrape_interval: Span,
    pub scrape_timeout: Span,
    pub evaluation_interval: Span,
    /// Rules look this far into the past, so that late samples count.
    pub rule_query_offset: Span,
    /// Put on alerts and on what leaves this server; environment variables are already expanded.
    pub external_labels: LabelSet,
    pub limits: Limits,
    /// None: the defaults of a job.
    pub protocols: Option<Vec<Protocol>>,
    pub histograms: Histograms,
    pub classic_names_only: bool,
    pub(super) escaping: Option<Escaping>,
}

impl Default for Global {
    fn default() -> Self {
        Global {
            scrape_interval: Span::from_mins(1),
            scrape_timeout: Span::from_secs(10),
            evaluation_interval: Span::from_mins(1),
            rule_query_offset: Span::ZERO,
            external_labels: LabelSet::empty(),
            limits: Limits::default(),
            protocols: None,
            histograms: Histograms::default(),
            classic_names_only: false,
            escaping: None,
        }
    }
}

/// How targets are asked to write names that are not classic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaping {
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

const ESCAPINGS: [(&str, Escaping); 4] = [
    ("allow-utf-8", Escaping::AllowUtf8),
    ("underscores", Escaping::Underscores),
    ("dots", Escaping::Dots),
    ("values", Escaping::Values),
];

/// What to say where native histograms are wanted and not asked for.
pub(super) const NOT_ASKED: &str =
    "native histograms come as PrometheusProto only, which scrape_protocols does not list; add it or remove the list";

pub(super) const UNSERVED: &str = "not served yet";

/// Reads the keys of `global` that belong to scraping and rules; the caller finishes the table.
pub(super) fn read(table: &mut Table<'_, '_>, environment: &dyn Fn(&str) -> Option<String>) -> Global {
    let defaults = Global::default();
    let classic_names_only = names_scheme(table).unwrap_or(false);
    let scrape_interval = table.span("scrape_interval").filter(|span| *span != Span::ZERO).unwrap_or(defaults.scrape_interval);
    let timeout = table.value("scrape_timeout");
    let scrape_timeout = timeout.as_ref().and_then(Value::span).filter(|span| *span != Span::ZERO);
    if let (Some(value), Some(span)) = (&timeout, scrape_timeout)
        && span > scrape_interval
    {
        value.error(format!("global scrape timeout greater than scrape interval ({span} > {scrape_interval}); lower it"));
    }
    let global = Global {
        scrape_interval,
        scrape_timeout: scrape_timeout.unwrap_or(defaults.scrape_timeout.min(scrape_interval)),
        evaluation_interval: table
            .span("evaluation_interval")
            .filter(|span| *span != Span::ZERO)
            .unwrap_or(defaults.evaluation_interval),
        rule_query_offset: table.span("rule_query_offset").unwrap_or_default(),
        external_labels: external_labels(table, classic_names_only, environment),
        limits: limits(table, Limits::default()),
        protocols: protocols(table, "for global config"),
        histograms: histograms(table, Histograms::default()),
        classic_names_only,
        escaping: escaping(table),
    };
    if let Some(value) = table.value("scrape_protocols")
        && global.histograms.native
        && global.protocols.as_ref().is_some_and(|protocols| !protocols.contains(&Protocol::Protobuf))
    {
        value.warning(NOT_ASKED);
    }
    extra_metrics(table);
    table.ignored(&["query_log_file", "scrape_failure_log_file", "keep_dropped_targets"], UNSERVED);
    global
}

/// Reads `metric_name_validation_scheme`: whether only classic names are accepted.
pub(super) fn names_scheme(table: &mut Table<'_, '_>) -> Option<bool> {
    let value = table.value("metric_name_validation_scheme")?;
    match value.text_ref()? {
        "" => None,
        "legacy" => Some(true),
        "utf8" => Some(false),
        other => {
            value.error(format!("unrecognized ValidationScheme: {other:?}; write utf8 or legacy"));
            None
        }
    }
}

/// Reads `metric_name_escaping_scheme`.
pub(super) fn escaping(table: &mut Table<'_, '_>) -> Option<Escaping> {
    let value = table.value("metric_name_escaping_scheme")?;
    let text = value.text_ref().filter(|text| !text.is_empty())?;
    let found = ESCAPINGS.iter().find(|(name, _)| *name == text).map(|(_, escaping)| *escaping);
    match found {
        None => value.error(format!(
            "unknown name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {text:?}"
        )),
        Some(Escaping::Dots | Escaping::Values) => {
            value.warning("targets are asked for UTF-8 or underscores only; this escaping is not served yet");
        }
        Some(Escaping::AllowUtf8 | Escaping::Underscores) => {}
    }
    found
}

/// Reads the limits of a scrape; zero and absent ones take the default.
pub(super) fn limits(table: &mut Table<'_, '_>, defaults: Limits) -> Limits {
    let or = |value: Option<u64>, default: u64| value.filter(|limit| *limit > 0).unwrap_or(default);
    Limits {
        body_bytes: or(table.bytes("body_size_limit"), defaults.body_bytes),
        samples: or(table.unsigned("sample_limit"), defaults.samples),
        labels: or(table.unsigned("label_limit"), defaults.labels),
        label_name_bytes: or(table.unsigned("label_name_length_limit"), defaults.label_name_bytes),
        label_value_bytes: or(table.unsigned("label_value_length_limit"), defaults.label_value_bytes),
        targets: or(table.unsigned("target_limit"), defaults.targets),
        series: or(table.unsigned("series_limit"), defaults.series),
    }
}

/// Reads the switches of native histograms; an absent one takes the default.
pub(super) fn histograms(table: &mut Table<'_, '_>, defaults: Histograms) -> Histograms {
    Histograms {
        native: table.boolean("scrape_native_histograms").unwrap_or(defaults.native),
        always_classic: table.boolean("always_scrape_classic_histograms").unwrap_or(defaults.always_classic),
        convert: table.boolean("convert_classic_histograms_to_nhcb").unwrap_or(defaults.convert),
        ..defaults
    }
}

/// Checks `extra_scrape_metrics`; only turning it on is worth a warning.
pub(super) fn extra_metrics(table: &mut Table<'_, '_>) {
    if let Some(value) = table.value("extra_scrape_metrics")
        && value.boolean() == Some(true)
    {
        value.warning(format!("extra_scrape_metrics is {UNSERVED}; it is ignored"));
    }
}

const PROTOCOLS: [(&str, Protocol); 5] = [
    ("OpenMetricsText0.0.1", Protocol::OpenMetrics0),
    ("OpenMetricsText1.0.0", Protocol::OpenMetrics1),
    ("PrometheusProto", Protocol::Protobuf),
    ("PrometheusText0.0.4", Protocol::Text0),
    ("PrometheusText1.0.0", Protocol::Text1),
];

/// Returns the protocol of a name.
pub(super) fn protocol(name: &str) -> Result<Protocol, String> {
    PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol).ok_or_else(|| {
        let names: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
        format!("unknown scrape protocol {name}, supported: [{}]", names.join(" "))
    })
}

/// Reads `scrape_protocols`. `of_what` ends the messages, such as `for global config`.
pub(super) fn protocols(table: &mut Table<'_, '_>, of_what: &str) -> Option<Vec<Protocol>> {
    let value = table.value("scrape_protocols")?;
    let items = value.list();
    if items.is_empty() {
        value.error(format!("scrape_protocols cannot be empty {of_what}; remove the key for the defaults"));
        return None;
    }
    let (mut protocols, mut seen) = (Vec::new(), Vec::new());
    for item in &items {
        let Some(name) = item.text_ref() else { continue };
        if seen.contains(&name.to_ascii_lowercase()) {
            item.error(format!("duplicated protocol in scrape_protocols, got {name} again {of_what}"));
        }
        seen.push(name.to_ascii_lowercase());
        match protocol(name) {
            Err(message) => item.error(format!("scrape_protocols: {message} {of_what}")),
            Ok(protocol) => protocols.push(protocol),
        }
    }
    (!protocols.is_empty()).then_some(protocols)
}

fn external_labels(table: &mut Table<'_, '_>, classic_names: bool, environment: &dyn Fn(&str) -> Option<String>) -> LabelSet {
    let Some(value) = table.value("external_labels") else { return LabelSet::empty() };
    let mut pairs = Vec::new();
    for (key, value) in value.entries() {
        let valid = if classic_names { is_classic_label_name(&key.name) } else { !key.name.is_empty() };
        if !valid {
            value.error(format!("{:?} is not a valid label name; use letters, digits and underscores", key.name));
        }
        let Some(text) = value.text() else { continue };
        let expanded = expand(&text, &|name| {
            environment(name).filter(|text| !text.is_empty()).unwrap_or_else(|| {
                value.warning(format!("environment variable {name} is empty or not set"));
                String::new()
            })
        });
        pairs.push((key.name.clone(), expanded));
    }
    LabelSet::from_pairs(pairs)
}

/// Replaces `$name` and `${name}`; `$$` is one dollar.
///
/// Source: Go's `os.Expand`, as Prometheus calls it.
fn expand(text: &str, value_of: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            match inside.split_once('}') {
                Some(("", after)) => rest = after,
                Some(("$", after)) => {
                    out.push('$');
                    rest = after;
                }
                Some((name, after)) => {
                    out.push_str(&value_of(name));
                    rest = after;
                }
                None => rest = inside,
            }
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            if end == 0 {
                out.push('$');
            } else {
                out.push_str(&value_of(&rest[..end]));
                rest = &rest[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_go() {
        let value_of = |name: &str| format!("<{name}>");
        for (text, expanded) in [
            ("a${B}c", "a<B>c"),
            ("$A-$B_1", "<A>-<B_1>"),
            ("cost: $$5", "cost: $5"),
            ("${}x", "x"),
            ("end$", "end$"),
            ("no", "no"),
        ] {
            assert_eq!(expand(text, &value_of), expanded, "{text}");
        }
    }
}
