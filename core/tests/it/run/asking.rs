//! Who asks for runs: alerts, webhooks, people, other runs.

use tocsin_core::access::Role;
use tocsin_core::run::machine::Run;
use tocsin_core::run::record::{RunState, TriggerKind};
use tocsin_core::run::runbook::{Mode, hex};
use tocsin_core::run::trigger::{of_alert, of_person, of_run};
use tocsin_core::run::value::Value;
use tocsin_core::run::webhook::{BadPost, Post, check, hmac};
use tocsin_core::time::Span;

use super::world::{START, firing, inventory, runbook};

const STEP: &str = "- {id: a, kind: wait, effect: idempotent, with: {for: {param: length}}}";
const REST: &str = "
params: {length: {type: duration, min: 1s, max: 1h, default: 5s}, num: {type: int, min: 1, max: 9, default: 1}}
triggers:
- alert: {name: Backlog, match: {platform: dinner}, mode: disabled}
- alert: {name: Backlog, match: {platform: dinner, region: eu}, mode: suggest}
- alert: {name: Backlog, match: {platform: dinner}, mode: auto, params: {num: {from: expr, expr: 'count(up)'}}}
- manual: {roles: [operator]}
verify: [{expr: up, op: '==', value: 1, within: 1m}]";

#[test]
fn an_alert_asks_by_the_first_trigger_that_matches_and_is_not_disabled() {
    let runbook = runbook("read", STEP, REST);
    let ask = |labels: &[(&str, &str)]| of_alert([&*runbook], &firing(labels));
    assert_eq!(ask(&[("platform", "other")]), []);
    let asks = ask(&[("platform", "dinner"), ("region", "eu")]);
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].mode, Mode::Suggest);
    let mut asks = ask(&[("platform", "dinner")]);
    assert_eq!((asks[0].mode, asks[0].trigger_ref.as_deref()), (Mode::Auto, Some("00ff/1")));
    assert_eq!(asks[0].queries, [("num".to_owned(), "count(up)".to_owned())]);
    let request = |ask| Run::request(runbook.clone(), "run-1", ask, "edna", "a", inventory(), START).row().clone();
    assert_eq!(request(asks[0].clone()).state, RunState::Refused, "the expression was not asked for");
    let mut silent = asks[0].clone();
    silent.answer("num", None);
    assert!(request(silent).reason.contains("has no data"));
    for (value, state) in
        [(7.0, RunState::Requested), (7.5, RunState::Refused), (10.0, RunState::Refused), (f64::NAN, RunState::Refused)]
    {
        let mut ask = asks[0].clone();
        ask.answer("num", Some(value));
        assert_eq!(request(ask).state, state, "{value}");
    }
    asks[0].answer("num", Some(7.0));
    assert_eq!(request(asks.remove(0)).params["num"], Value::Int(7));
}

#[test]
fn people_and_other_runs_ask_with_typed_values_too() {
    let runbook = runbook("read", STEP, REST);
    let request = |ask| Run::request(runbook.clone(), "run-1", ask, "edna", "a", inventory(), START).row().clone();
    let given = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
    let person = |given| request(of_person(&runbook, "olga", Role::Operator, None, given));
    assert_eq!(person(given("length", "10s")).params["length"], Value::Duration(Span::from_secs(10)));
    assert!(person(given("length", "2h")).reason.contains("lies outside of 1s to 1h"));
    assert!(person(given("lenght", "2m")).reason.contains("there is no parameter \"lenght\""));
    let twice = [given("num", "1"), given("num", "2")].concat();
    assert!(person(twice).reason.contains("given twice"));
    let values = [("length".to_owned(), Value::Duration(Span::from_mins(2)))].into();
    let row = request(of_run(&runbook, "parent", "parent/a/g1", &values));
    assert_eq!(
        (row.trigger_kind, row.trigger_ref.as_deref(), row.parent_run.as_deref()),
        (TriggerKind::Run, Some("parent/a/g1"), Some("parent"))
    );
    assert_eq!(row.params["length"], Value::Duration(Span::from_mins(2)));
}

#[test]
fn a_webhook_is_genuine_fresh_and_new() {
    let seconds = (START.0 / 1000).to_string();
    let secret = b"the secret";
    let sign = |timestamp: &str, delivery: &str, body: &[u8]| {
        format!("sha256={}", hex(&hmac(secret, &[timestamp.as_bytes(), b".", delivery.as_bytes(), b".", body])))
    };
    let good = sign(&seconds, "d-1", b"{}");
    let post = Post { timestamp: &seconds, delivery: "d-1", signature: &good, body: b"{}" };
    let fresh = |_: &str| false;
    assert_eq!(check(&post, secret, START, fresh), Ok("d-1"));
    assert_eq!(check(&post, secret, START, |id| id == "d-1"), Err(BadPost::Replayed));
    for (minutes, expected) in [(5, Ok("d-1")), (-5, Ok("d-1"))] {
        assert_eq!(check(&post, secret, START + Span::from_mins(minutes), fresh), expected);
        let beyond = START + Span(Span::from_mins(minutes).0 + minutes.signum());
        assert_eq!(check(&post, secret, beyond, fresh), Err(BadPost::Stale));
    }
    assert_eq!(check(&post, b"another", START, fresh), Err(BadPost::Signature));
    assert_eq!(check(&post, b"", START, fresh), Err(BadPost::Signature));
    assert_eq!(check(&Post { body: b"{ }", ..post }, secret, START, fresh), Err(BadPost::Signature));
    assert_eq!(check(&Post { delivery: "d-2", ..post }, secret, START, fresh), Err(BadPost::Signature));
    assert_eq!(check(&Post { signature: &good[..70], ..post }, secret, START, fresh), Err(BadPost::Signature));
    assert_eq!(check(&Post { signature: "", ..post }, secret, START, fresh), Err(BadPost::Signature));
    for delivery in ["", "a b", "../x", "a\n"] {
        assert_eq!(check(&Post { delivery, ..post }, secret, START, fresh), Err(BadPost::Delivery), "{delivery:?}");
    }
    for timestamp in ["", "-1", "1e9", "99999999999999999999"] {
        assert_eq!(check(&Post { timestamp, ..post }, secret, START, fresh), Err(BadPost::Timestamp), "{timestamp:?}");
    }
    let large = vec![0; (64 << 10) + 1];
    assert_eq!(check(&Post { body: &large, ..post }, secret, START, fresh), Err(BadPost::TooLarge));
}
