//! Default templates, held against those of Alertmanager.

use serde_json::{Value, json};
use tocsin_core::route::notification::NotificationData;
use tocsin_core::route::templates::Templates;
use tocsin_core::time::Timestamp;

use crate::harness::{peers, set_up};

/// Returns the names that a file of templates defines for others to call.
fn names(file: &str) -> Vec<String> {
    file.split("{{")
        .filter_map(|piece| piece.trim_start_matches('-').trim_start().strip_prefix("define \""))
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()))
        .collect()
}

fn alert(status: &str, name: &str, severity: &str) -> Value {
    let mut labels = json!({ "alertname": "Full", "instance": name });
    if !severity.is_empty() {
        labels["severity"] = severity.into();
    }
    json!({
        "status": status, "labels": labels, "annotations": { "summary": "<disk> & \"more\"", "note": name },
        "startsAt": "2026-01-01T08:35:30Z", "endsAt": "2026-01-01T08:40:30Z",
        "generatorURL": "http://rules/graph?x=1&y=2", "fingerprint": "00000000000000aa",
    })
}

fn notification(status: &str, alerts: &[Value]) -> Value {
    json!({
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": status, "receiver": "team",
        "groupLabels": { "alertname": "Full" }, "commonLabels": { "alertname": "Full", "job": "node" },
        "commonAnnotations": { "summary": "<disk> & \"more\"" }, "externalURL": "http://tocsin:9093",
        "notification_reason": "first notification", "alerts": alerts,
    })
}

#[tokio::test]
async fn default_texts_are_those_of_alertmanager() {
    let file = set_up(".peers/usr/share/prometheus/alertmanager/default.tmpl");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.json");
    let all = names(&std::fs::read_to_string(&file).expect("the templates of the peer"));
    assert!(all.len() > 60, "{all:?}");
    let both = [alert("firing", "a", "warning"), alert("resolved", "b", "critical"), alert("firing", "c", "info")];
    for data in [
        notification("firing", &both),
        notification("firing", &both[..1]),
        notification("resolved", &[alert("resolved", "b", ""), alert("resolved", "c", "info")]),
        notification("resolved", &[alert("resolved", "b", "")]),
    ] {
        std::fs::write(&path, data.to_string()).expect("a file in a folder of ours");
        let ours: NotificationData = serde_json::from_value(data).expect("a notification");
        // One call renders all, since each start of a program takes its time.
        let calls: Vec<String> = all
            .iter()
            .map(|name| {
                let dot =
                    if name.starts_with("__text_alert_list") || name == "pagerduty.default.instances" { ".Alerts" } else { "." };
                format!("[{name}]{{{{ template {name:?} {dot} }}}}")
            })
            .collect();
        let text = calls.join("\n");
        let (glob, path) = (file.display().to_string(), path.display().to_string());
        let arguments = ["template", "render", "--template.glob", &glob, "--template.data", &path, "--template.text", &text];
        let theirs = peers::ask("amtool", &arguments).await;
        let rendered = Templates::new().render(&text, &ours, Timestamp(0)).expect("templates that can be expanded");
        let (own, their) = (rendered.split("\n["), theirs.trim_end_matches('\n').split("\n["));
        for (own, their) in own.zip(their) {
            assert_eq!(own.trim_end_matches('\n'), their.trim_end_matches('\n'));
        }
    }
}
