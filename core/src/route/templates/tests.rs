use super::super::dispatch::decision::Reason;
use super::super::notification::{NO_TIME, NotifiedAlert, Status};
use super::*;
use crate::model::{LabelSet, Texts};

fn alert(instance: &str, status: Status) -> NotifiedAlert {
    let labels = LabelSet::from_pairs([("alertname", "Full"), ("instance", instance), ("job", "node")]);
    NotifiedAlert {
        status,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Texts::from(&BTreeMap::from([("summary", "<disk> & \"more\"")])),
        starts_at: Timestamp(1_704_098_130_000),
        ends_at: NO_TIME,
        generator_url: "http://host/graph?g0.expr=up".to_owned(),
    }
}

fn data(alerts: Vec<NotifiedAlert>) -> NotificationData {
    NotificationData {
        version: "4".to_owned(),
        group_key: "{}:{}".to_owned(),
        truncated_alerts: 0,
        status: if alerts.iter().any(|alert| alert.status == Status::Firing) { Status::Firing } else { Status::Resolved },
        receiver: "team.x".to_owned(),
        group_labels: LabelSet::from_pairs([("alertname", "Full")]),
        common_labels: LabelSet::from_pairs([("alertname", "Full"), ("job", "node")]),
        common_annotations: BTreeMap::new(),
        external_url: "http://tocsin:9093".to_owned(),
        reason: Reason::First,
        alerts,
    }
}

fn check(text: &str, expected: &str) {
    let data = data(vec![alert("a", Status::Firing), alert("b", Status::Resolved)]);
    assert_eq!(Templates::new().render(text, &data, Timestamp(1_704_101_730_000)).unwrap(), expected, "{text}");
}

#[test]
fn default_templates_show_what_alertmanager_shows() {
    check("{{ template \"__subject\" . }}", "[FIRING:1] Full (node)");
    check("{{ template \"pagerduty.default.client\" . }}", "Alertmanager");
    check("{{ template \"pagerduty.default.clientURL\" . }}", "http://tocsin:9093/#/alerts?receiver=team%5C.x");
    check(
        "{{ template \"pagerduty.default.instances\" .Alerts.Firing }}",
        "Labels:\n - alertname = Full\n - instance = a\n - job = node\nAnnotations:\n - summary = <disk> & \"more\"\n\
         Source: http://host/graph?g0.expr=up\n",
    );
    let resolved = data(vec![alert("a", Status::Resolved)]);
    assert_eq!(
        Templates::new().render("{{ template \"email.default.subject\" . }}", &resolved, Timestamp(0)).unwrap(),
        "[RESOLVED] Full (node)"
    );
}

#[test]
fn the_page_of_the_mail_escapes_what_alerts_say() {
    let data = data(vec![alert("a\"><script>", Status::Firing)]);
    let page = Templates::new().render_html("{{ template \"email.default.html\" . }}", &data, Timestamp(0)).unwrap();
    assert!(page.contains("summary = &lt;disk&gt; &amp; &#34;more&#34;<br>"), "{page}");
    assert!(page.contains("<a href=\"http://tocsin:9093/#/alerts?receiver=team%5C.x\""), "{page}");
    assert!(page.contains("1 alert for alertname=Full</h1>"), "{page}");
    assert!(page.contains("background: #b91c1c\""), "{page}");
    assert!(!page.contains("<script>") && !page.contains("ZgotmplZ"), "{page}");
}

#[test]
fn data_and_methods() {
    check("{{ .Receiver }} {{ .Status }} {{ .NotificationReason }}", "team\\.x firing first notification");
    check(
        "{{ .CommonLabels }} {{ .CommonLabels.Names }} {{ .CommonLabels.Values }}",
        "alertname=Full, job=node [alertname job] [Full node]",
    );
    check("{{ .CommonLabels.job }}{{ .CommonLabels.missing }} {{ len .CommonLabels }}", "node 2");
    check("{{ range $name, $value := .CommonLabels }}{{ $name }}:{{ $value }} {{ end }}", "alertname:Full job:node ");
    check("{{ (.CommonLabels.Remove (stringSlice \"job\")).SortedPairs }}", "alertname=Full");
    check("{{ len .Alerts }} {{ len .Alerts.Firing }} {{ (index .Alerts 1).Labels.instance }}", "2 1 b");
    check(
        "{{ range .Alerts }}{{ .StartsAt.Format \"15:04\" }} {{ .EndsAt.IsZero }} {{ .Fingerprint | len }};{{ end }}",
        "08:35 true 16;08:35 true 16;",
    );
    check(
        "{{ with index .Alerts 0 }}{{ .StartsAt | tz \"Europe/Paris\" | date \"15:04 MST\" }} {{ .StartsAt | since | humanizeDuration }}{{ end }}",
        "09:35 CET 1h 0m 0s",
    );
}

#[test]
fn functions() {
    check("{{ title \"full DISK on db-1's host\" }}", "Full Disk On Db-1's Host");
    check(
        "{{ toJson .GroupLabels }} {{ dict \"b\" 1 \"a\" (list 1 nil) | toJson }}",
        "{\"alertname\":\"Full\"} {\"a\":[1,null],\"b\":1}",
    );
    check("{{ urlUnescape \"a%20b+c\" }} {{ \"é>?\" | base64encode }} {{ \"w6k-Pw==\" | base64decode }}", "a b c w6k-Pw== é>?");
    check("{{ toDate \"2006\" \"x\" | date \"2006\" }} {{ join \",\" (append (stringSlice \"a\") \"b\") }}", "0001 a,b");
    for bad in [
        "{{ tz \"Nowhere/X\" (toDate \"2006\" \"2024\") }}",
        "{{ urlUnescape \"%zz\" }}",
        "{{ dict 1 2 }}",
        "{{ base64decode \"a\" }}",
        "{{ toUpper 1 }}",
    ] {
        assert!(Templates::new().render(bad, &data(Vec::new()), Timestamp(0)).is_err(), "{bad}");
    }
}

#[test]
fn templates_of_files_replace_the_defaults() {
    let mut templates = Templates::new();
    templates.add("own.tmpl", "{{ define \"__subject\" }}own {{ .Status }}{{ end }}").unwrap();
    let data = data(Vec::new());
    assert_eq!(
        templates.render("{{ template \"pagerduty.default.description\" . }}", &data, Timestamp(0)).unwrap(),
        "own resolved"
    );
    assert!(templates.check("{{ .Status ").is_err());
    assert_eq!(render(&templates, "plain", &data, Timestamp(0)).unwrap(), "plain");
}
