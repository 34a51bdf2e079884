//! `alerting`: the relabelling of our own alerts, and other Alertmanagers that they are sent to.

use crate::alertmanagers::{Entry, Signing};
use crate::model::relabel::RelabelRule;
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::place::Folder;
use super::{client, discovery, job, relabel, sigv4};

/// What Amazon's managed service is called in signatures.
const SIGNED_SERVICE: &str = "aps";
const TIMEOUT: Span = Span::from_secs(10);

/// What `alerting` says.
#[derive(Default)]
pub(super) struct Alerting {
    pub(super) relabel: Vec<RelabelRule>,
    pub(super) alertmanagers: Vec<Entry>,
}

/// Reads `alerting`. `is_routed`: a routing tree is configured beside it.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder, classic_names: bool, is_routed: bool) -> Alerting {
    let Some(mut table) = table.table("alerting") else { return Alerting::default() };
    let relabel = relabel::rules(&mut table, "alert_relabel_configs", "alert relabeling rule", classic_names);
    let entries = discovery::entries(&mut table, "alertmanagers");
    let alertmanagers: Vec<Entry> = entries.iter().filter_map(|value| entry(value, folder, classic_names)).collect();
    if is_routed
        && !alertmanagers.is_empty()
        && let Some(value) = table.value("alertmanagers")
    {
        value.warning(
            "alerts are routed here and sent to these Alertmanagers too, so that people may be told twice; \
             remove the one that no longer tells them",
        );
    }
    table.finish();
    Alerting { relabel, alertmanagers }
}

fn entry(value: &Value<'_, '_>, folder: &Folder, classic_names: bool) -> Option<Entry> {
    let mut table = value.table();
    if let Some(version) = table.value("api_version")
        && let Some(text) = version.text_ref()
        && text != "v2"
    {
        version.error(format!("expected Alertmanager api version to be one of [v2] but got {text}"));
    }
    let check_targets = table.value("relabel_configs").is_none_or(|rules| rules.node.items().is_empty());
    let discovery = discovery::inline(&mut table, folder, check_targets);
    let client = client::inline(&mut table, folder);
    let has_auth = ["basic_auth", "authorization", "oauth2"].into_iter().any(|key| table.has(key));
    let sigv4 = sigv4::read(&mut table);
    if sigv4.is_some() && has_auth {
        table.error("at most one of basic_auth, authorization, oauth2, & sigv4 must be configured");
    }
    let is_unsigned = sigv4.as_ref().is_some_and(|sigv4| sigv4.region.is_empty());
    if is_unsigned {
        table.value_here().warning("no region is known, so nothing is sent to these Alertmanagers; write region under sigv4");
    }
    let signing = sigv4.map(|sigv4| Signing {
        region: sigv4.region.clone(),
        service: if sigv4.service.is_empty() { SIGNED_SERVICE.to_owned() } else { sigv4.service.clone() },
        identity: sigv4.identity("alertmanagers", client.clone()),
    });
    let what = |of: &str| format!("Alertmanager {of} relabeling rule");
    let entry = Entry {
        scheme: job::scheme(&mut table),
        path_prefix: table.text("path_prefix").unwrap_or_default(),
        timeout: table.span("timeout").filter(|span| *span > Span::ZERO).unwrap_or(TIMEOUT),
        client,
        signing,
        static_groups: discovery.static_groups,
        file_sd: discovery.file_sd,
        http_sd: discovery.http_sd,
        relabel: relabel::rules(&mut table, "relabel_configs", &what("target"), classic_names),
        alert_relabel: relabel::rules(&mut table, "alert_relabel_configs", &what("alert"), classic_names),
    };
    table.finish();
    (!is_unsigned).then_some(entry)
}
