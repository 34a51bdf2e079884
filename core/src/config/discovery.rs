//! Where a job's targets come from: the `*_sd_configs` keys and `static_configs`.

mod unserved;

use crate::model::LabelSet;
use crate::scrape::job::{FileDiscovery, HttpDiscovery, TargetGroup};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::masked::without_password;
use super::place::{Folder, check_url, is_pattern_at_end};

const FILE_REFRESH: Span = Span::from_mins(5);
const HTTP_REFRESH: Span = Span::from_mins(1);

#[derive(Default)]
pub(super) struct Discovery {
    pub(super) static_groups: Vec<TargetGroup>,
    pub(super) file_sd: Vec<FileDiscovery>,
    pub(super) http_sd: Vec<HttpDiscovery>,
}

/// Reads the discovery keys that stand among others in a mapping.
///
/// `check_targets`: refuse static targets that are no addresses; relabelling may turn them into some.
pub(super) fn inline(table: &mut Table<'_, '_>, folder: &Folder, check_targets: bool) -> Discovery {
    let mut discovery = Discovery::default();
    for value in entries(table, "static_configs") {
        discovery.static_groups.push(static_group(&value, check_targets));
    }
    for value in entries(table, "file_sd_configs") {
        discovery.file_sd.push(file_discovery(&value, folder));
    }
    for value in entries(table, "http_sd_configs") {
        discovery.http_sd.extend(http_discovery(&value, folder));
    }
    unserved::check(table, folder);
    discovery
}

/// Returns the entries of a list; an empty one is an error.
pub(super) fn entries<'n, 'p>(table: &mut Table<'n, 'p>, key: &'static str) -> Vec<Value<'n, 'p>> {
    let mut entries = table.list(key);
    entries.retain(|value| {
        if value.is_null() {
            value.error(format!("empty or null section in {key}; remove the lone dash"));
        }
        !value.is_null()
    });
    entries
}

fn static_group(value: &Value<'_, '_>, check_targets: bool) -> TargetGroup {
    let mut table = value.table();
    let mut addresses = Vec::new();
    for target in table.list("targets") {
        let Some(address) = target.text() else { continue };
        if check_targets && address.contains('/') {
            let shown = without_password(&address).unwrap_or_else(|| address.clone());
            target.error(format!("{shown:?} is not a valid hostname; write host:port; the path has a key of its own"));
        }
        addresses.push(address);
    }
    let labels = table.value("labels").map(|labels| static_labels(&labels)).unwrap_or_else(LabelSet::empty);
    table.finish();
    TargetGroup { addresses, labels, source: "static".to_owned() }
}

fn static_labels(value: &Value<'_, '_>) -> LabelSet {
    let mut pairs = Vec::new();
    for (key, value) in value.entries() {
        if key.name.is_empty() {
            value.error("\"\" is not a valid label name");
        }
        if let Some(text) = value.text() {
            pairs.push((key.name.clone(), text));
        }
    }
    LabelSet::from_pairs(pairs)
}

fn file_discovery(value: &Value<'_, '_>, folder: &Folder) -> FileDiscovery {
    let mut table = value.table();
    let mut files = Vec::new();
    for file in table.list("files") {
        let Some(path) = file.text() else { continue };
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !is_pattern_at_end(&path) || !matches!(ending, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML") {
            file.error(format!(
                "path name {path:?} is not valid for file discovery; end it in .json, .yml or .yaml, with * in the file's name only"
            ));
        }
        files.push(folder.join(&path));
    }
    if files.is_empty() {
        table.error("file service discovery config must contain at least one path name");
    }
    let refresh = refresh(&mut table, FILE_REFRESH);
    table.finish();
    FileDiscovery { files, refresh }
}

fn http_discovery(value: &Value<'_, '_>, folder: &Folder) -> Option<HttpDiscovery> {
    let mut table = value.table();
    let url = table.value("url");
    let address = url.as_ref().and_then(Value::text);
    match (&url, &address) {
        (Some(url), Some(address)) => {
            if let Err(message) = check_url(address) {
                url.error(message);
            }
        }
        _ => table.error("URL is missing; write url"),
    }
    let refresh = refresh(&mut table, HTTP_REFRESH);
    let client = client::inline(&mut table, folder);
    table.finish();
    Some(HttpDiscovery { url: address?, refresh, client })
}

fn refresh(table: &mut Table<'_, '_>, default: Span) -> Span {
    table.span("refresh_interval").filter(|span| *span != Span::ZERO).unwrap_or(default)
}
