//! What strangers write, and where it does not get.

use tocsin_core::run::inventory::Inventory;
use tocsin_core::run::machine::Run;
use tocsin_core::run::record::RunState;
use tocsin_core::run::trigger::{of_alert, of_webhook};
use tocsin_core::run::value::{Source, Type, Value};
use tocsin_core::time::Span;

use super::world::{START, errors, firing, inventory, runbook, text};

fn bad_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "; touch x",
        "$(id)",
        "`id`",
        "--flag",
        "-rf",
        "a\nb",
        "a\0b",
        "../../x",
        "a/../b",
        "/etc/passwd",
        "nobody-knows-me",
        "",
        " api",
        "api ",
        "a|b",
        "${HOME}",
        "{{ .Labels }}",
        "\u{202e}api",
        "ａｐｉ",
        "a..b",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(10_000));
    texts.push("9".repeat(400));
    texts
}

#[test]
fn no_type_takes_what_it_does_not_admit() {
    let types = [
        Type::Int { min: Some(1), max: Some(100) },
        Type::Float { min: Some(0.0), max: Some(1.0) },
        Type::Bool,
        Type::Enum { values: vec!["booking".to_owned()] },
        Type::Name { of: Some("service".to_owned()) },
        Type::Duration { min: Some(Span(0)), max: Some(Span::from_mins(60)) },
    ];
    for kind in &types {
        for text in bad_texts() {
            for source in [Source::AlertLabel, Source::WebhookBody, Source::StepOutput, Source::Expression, Source::Operator] {
                let read = kind.read(&text, source, &inventory());
                assert!(read.is_err(), "{kind:?} took {text:?}: {read:?}");
                // Messages show a stranger's text escaped and cut.
                let message = read.unwrap_err().to_string();
                assert!(!message.contains(['\n', '\0']) && message.len() < 600, "{message}");
            }
        }
    }
    let read = |kind: usize, text: &str| types[kind].read(text, Source::AlertLabel, &inventory());
    assert_eq!(read(0, "100"), Ok(Value::Int(100)));
    assert_eq!(read(1, "0.5"), Ok(Value::Float(0.5)));
    assert_eq!(read(2, "true"), Ok(Value::Bool(true)));
    assert_eq!(read(3, "booking"), Ok(Value::Word("booking".to_owned())));
    assert_eq!(read(4, "api"), Ok(Value::Name("api".to_owned())));
    assert_eq!(read(5, "5m"), Ok(Value::Duration(Span::from_mins(5))));
    for (kind, text) in
        [(0, "0"), (0, "101"), (0, "1.0"), (0, "+1"), (0, "0x1"), (1, "NaN"), (1, "inf"), (1, "1.1"), (2, "yes"), (5, "2h")]
    {
        assert!(read(kind, text).is_err(), "{kind} {text}");
    }
}

#[test]
fn a_type_without_bounds_takes_nothing_from_strangers() {
    let unbounded = [
        Type::Int { min: Some(1), max: None },
        Type::Float { min: None, max: None },
        Type::Name { of: None },
        Type::Duration { min: None, max: Some(Span(1)) },
    ];
    for kind in unbounded {
        for text in ["1", "api", "0s"] {
            assert!(kind.read(text, Source::AlertLabel, &inventory()).is_err(), "{kind:?} {text}");
        }
    }
    assert!(Type::Int { min: None, max: None }.read("7", Source::Operator, &Inventory::default()).is_ok());
}

const PARAMS: &str = "
params:
  service: {type: name, of: service, required: true}
  replicas: {type: int, min: 1, max: 100, required: true}
triggers:
- alert: {name: Backlog, mode: approve}
  params: {service: {label: service}, replicas: {label: replicas}}
- webhook: {source: ci, hmac_secret: ci-hook, mode: approve, params: {service: {from: body, path: /s}, replicas: {from: body, path: /r}}}
verify: [{expr: up, op: '==', value: 1, within: 1m}]";
const STEP: &str = "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool, args: [{param: service}], positional: [{param: replicas}]}}";

#[test]
fn a_label_that_is_no_value_refuses_the_run_and_nothing_is_executed() {
    let runbook = runbook("safe", STEP, PARAMS);
    let run = |service: &str| {
        let asks = of_alert([&*runbook], &firing(&[("service", service), ("replicas", "3")]));
        Run::request(runbook.clone(), "run-1", asks[0].clone(), "edna", "a", inventory(), START)
    };
    assert_eq!(run("api").row().state, RunState::Requested);
    for text in bad_texts() {
        let mut run = run(&text);
        assert_eq!(run.row().state, RunState::Refused, "{text:?}");
        let batch = run.tick(START, &mut || 0.0);
        assert!(batch.orders.is_empty() && !batch.records.is_empty(), "a refusal is stored and issues nothing");
    }
    // A label that is missing is a refusal as well, and every fault is told.
    let asks = of_alert([&*runbook], &firing(&[]));
    let run = Run::request(runbook.clone(), "run-1", asks[0].clone(), "edna", "a", inventory(), START);
    assert!(run.row().reason.contains("no label \"service\"") && run.row().reason.contains("no label \"replicas\""));
    for body in
        [r#"{"s": {"a": 1}, "r": 3}"#, r#"{"s": ["api"], "r": 3}"#, r#"{"s": "api"}"#, r#"{"s": "api", "r": "3; x"}"#, "[]"]
    {
        let ask = of_webhook(&runbook, "ci", "d1", &serde_json::from_str(body).unwrap()).unwrap();
        let run = Run::request(runbook.clone(), "run-1", ask, "edna", "a", inventory(), START);
        assert_eq!(run.row().state, RunState::Refused, "{body}");
    }
    let ask = of_webhook(&runbook, "ci", "d1", &serde_json::json!({ "s": "api", "r": 3 })).unwrap();
    assert_eq!(ask.trigger_ref.as_deref(), Some("ci/d1"));
    assert_eq!(of_webhook(&runbook, "other", "d1", &serde_json::Value::Null), None);
}

#[test]
fn documents_that_would_let_strangers_write_where_they_must_not_are_refused() {
    let with = |step: &str, params: &str| {
        errors(&text("safe", step, &format!("{params}\nverify: [{{expr: up, op: '==', value: 1, within: 1m}}]")))
    };
    let loose = "params: {num: {type: int, required: true}, s: {type: name, required: true}}\ntriggers: [{alert: {name: A}, params: {num: {label: n}, s: {label: s}}}]";
    let found = with("- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool, args: [{param: num}]}}", loose);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].contains("strangers choose this value, and the int \"num\" takes anything; give it min and max"),
        "{found:#?}"
    );
    assert!(found[1].contains("the name \"s\" takes anything; give it of: a kind of the inventory"));
    for (step, says) in [
        ("- {id: a, kind: exec.argv, effect: idempotent, with: {program: {label: p}}}", "a program is written out"),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool, args: [{label: x}]}}",
            "strangers choose the label \"x\"",
        ),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool, args: [{text: [a, {label: x}]}]}}",
            "text joins pieces for messages",
        ),
        ("- {id: a, kind: http.check, effect: idempotent, with: {url: {label: u}}}", "an address is written out"),
        (
            "- {id: a, kind: http.check, effect: idempotent, with: {url: 'https://api.example/', query: {q: {label: x}}}}",
            "strangers choose the label",
        ),
        ("- {id: a, kind: sql.query, effect: idempotent, with: {source: main, query: {label: q}}}", "a statement is written out"),
        (
            "- {id: a, kind: sql.query, effect: idempotent, with: {source: main, query: 'select 1; drop table x'}}",
            "one statement that reads",
        ),
        (
            "- {id: a, kind: metric.check, effect: idempotent, with: {expr: {label: e}, op: '>', value: 1}}",
            "an expression is written out",
        ),
        (
            "- {id: a, kind: metric.check, effect: idempotent, with: {expr: up, match: {job: {label: j}}, op: '>', value: 1}}",
            "strangers choose the label",
        ),
        (
            "- {id: a, kind: proc.signal, effect: idempotent, with: {process: {label: p}, signal: hup}}",
            "strangers choose the label",
        ),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /bin/sh, args: ['-c', 'x']}}",
            "sh runs texts as programs",
        ),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/other}}",
            "the configuration allows no program /opt/other",
        ),
        (
            "- {id: a, kind: http.check, effect: idempotent, with: {url: 'https://evil.example/'}}",
            "the configuration allows no requests to",
        ),
        (
            "- {id: a, kind: http.check, effect: idempotent, with: {url: 'http://169.254.169.254/latest'}}",
            "link-local or metadata",
        ),
        (
            "- {id: a, kind: http.check, effect: idempotent, with: {url: 'https://api.example@evil.example/'}}",
            "an address holds no user",
        ),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool}, save: {out: /stdout}}\n- {id: b, kind: exec.argv, effect: idempotent, with: {program: /opt/tool, args: [{saved: a.out}]}}",
            "has no type, so it may only be shown to people",
        ),
        (
            "- {id: a, kind: exec.argv, effect: idempotent, with: {program: /opt/tool}, save: {out: {path: /stdout, type: int}}}",
            "outputs come from outside",
        ),
    ] {
        let found = with(step, "triggers: [{alert: {name: A}}]");
        assert!(found.iter().any(|error| error.contains(says)), "{step}\n{found:#?}");
    }
}
