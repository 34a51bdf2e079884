//! Plug-ins of Sloth that change what is generated. They are programs, so that only those are known whose work can be done here.

use std::collections::BTreeMap;

use crate::yaml::Value;

use super::Intervals;

/// What the plug-ins of an objective ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub intervals: Intervals,
    pub info_labels: BTreeMap<String, String>,
}

/// Reads a chain of plug-ins; those that stand later win.
pub(super) fn read(value: &Value<'_, '_>, wishes: &mut Wishes) {
    let mut table = value.table();
    if let Some(overrides) = table.value("overridePrevious").or_else(|| table.value("override_previous"))
        && overrides.boolean() == Some(true)
    {
        overrides.error("the default chain cannot be replaced; remove the key and name only what comes beside it");
    }
    for plugin in table.list("chain") {
        read_plugin(&plugin, wishes);
    }
    table.finish_leniently();
}

fn read_plugin(value: &Value<'_, '_>, wishes: &mut Wishes) {
    let mut table = value.table();
    table.know(&["priority"]);
    let id = table.text("id").unwrap_or_default();
    let config = table.value("config");
    match id.as_str() {
        "sloth.dev/core/debug/v1" | "sloth.dev/core/noop/v1" => {}
        "sloth.dev/contrib/info_labels/v1" => {
            if let Some(config) = &config {
                let mut config = config.table();
                wishes.info_labels.extend(config.text_map("labels"));
                config.finish();
            }
        }
        "sloth.dev/contrib/rule_intervals/v1" => {
            if let Some(mut interval) = config.as_ref().and_then(|config| config.table().table("interval")) {
                let default = interval.span("default");
                wishes.intervals = Intervals {
                    sli: interval.span("sliError").or(default),
                    metadata: interval.span("metadata").or(default),
                    alerts: interval.span("alert").or(default),
                };
                interval.finish();
            }
        }
        other => {
            let message =
                format!("the plug-in {other:?} is not known; plug-ins are programs of Sloth: run Sloth and load its rules");
            match table.value("id") {
                Some(id) => id.error(message),
                None => table.error("id is missing"),
            }
        }
    }
    table.finish_leniently();
}
