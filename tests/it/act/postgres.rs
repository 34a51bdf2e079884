//! Questions to PostgreSQL, its promotion, and what a failover loses.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tocsin_core::run::lever::Canary;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::value::Value;
use tocsin_core::time::Span;

use super::stage::{LONG, Stage, answer, assert_not_done};
use crate::harness::soon;
use crate::postgres::Postgres;

fn ask(query: &str, bind: Vec<Value>) -> Request {
    Request::Sql { source: "shop".to_owned(), query: query.to_owned(), bind, expect: vec![] }
}

#[tokio::test]
async fn a_question_reads_and_can_do_nothing_else() {
    let postgres = Postgres::start();
    let stage = Stage::new(&format!("{{databases: [{{name: shop, url: '{}'}}]}}", postgres.database("shop"))).await;
    let rows = async |query: &str, bind| answer(stage.carry_out(ask(query, bind), LONG).await)["rows"].clone();
    let types = "SELECT 1 AS a, 2.5::float8 AS a, true, NULL, 'x', '[1]'::jsonb, 9007199254740993::bigint, 'infinity'::float8;";
    assert_eq!(rows(types, vec![]).await, json!([[1, 2.5, true, null, "x", [1], 9007199254740993_i64, "Infinity"]]));
    let tainted = "'; DROP TABLE x; --";
    let bound = rows(
        "SELECT $1, $2 + 1, $3, $4, $5 -- the end",
        vec![
            Value::Word(tainted.to_owned()),
            Value::Int(41),
            Value::Float(0.5),
            Value::Bool(true),
            Value::Duration(Span::from_secs(90)),
        ],
    );
    assert_eq!(bound.await, json!([[tainted, 42, 0.5, true, 90]]));
    for bad in [
        "CREATE TABLE x (a int)",
        "WITH w AS (INSERT INTO pg_description VALUES (1,1,1,'x') RETURNING 1) SELECT 1",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/x'",
        "SELECT 1; SELECT 2",
        "COMMIT",
        "SELECT * FROM nowhere",
        "SELECT 1) AS q(c0); COMMIT; SELECT (2",
        "SELECT generate_series(1, 1001)",
        "SELECT repeat('x', 2000000)",
    ] {
        let outcome = stage.carry_out(ask(bad, vec![]), LONG).await;
        assert!(matches!(outcome, Outcome::NotDone(_)), "{bad}: {outcome:?}");
    }
    let slow = stage.carry_out(ask("SELECT 1 FROM pg_sleep(30)", vec![]), Span(500)).await;
    assert!(!matches!(slow, Outcome::Answer(_)), "{slow:?}");
    assert_not_done(
        &stage
            .carry_out(
                Request::Sql { source: "other".to_owned(), query: "SELECT 1".to_owned(), bind: vec![], expect: vec![] },
                LONG,
            )
            .await,
        "lists no database",
    );
}

fn canary() -> Canary {
    Canary {
        sources: vec!["primary".to_owned(), "standby".to_owned()],
        every: Span(100),
        table: "tocsin_canary".to_owned(),
        tag: "run-1/loss".to_owned(),
    }
}

fn one_writer() -> Request {
    Request::OneWriter { sources: vec!["primary".to_owned(), "standby".to_owned()] }
}

fn promote() -> Request {
    Request::PgPromote { source: "standby".to_owned(), wait: Span::from_secs(20) }
}

async fn pair() -> (Postgres, Postgres, Stage) {
    let primary = Postgres::start();
    let url = primary.database("shop");
    let standby = primary.standby();
    let act = format!("{{databases: [{{name: primary, url: '{url}'}}, {{name: standby, url: '{}'}}]}}", standby.url("shop"));
    (primary, standby, Stage::new(&act).await)
}

#[tokio::test]
async fn a_clean_failover_loses_nothing_and_the_canaries_prove_it() {
    let (mut primary, _standby, stage) = pair().await;
    let ask = async |request| answer(stage.carry_out(request, Span::from_secs(30)).await);
    assert_eq!(ask(one_writer()).await, json!({ "writable": ["primary"], "unknown": [], "ok": true }));
    let started = ask(Request::CanaryStart(canary())).await["started"].clone();
    assert_eq!(ask(Request::CanaryStart(canary())).await["started"], started, "the same tag goes on");
    let count = async || ask(Request::CanaryRead(canary())).await;
    soon("canaries are written", async || (count().await["acknowledged"].as_i64()? >= 10).then_some(())).await;
    // Streaming is quick, and here it has all the time that it needs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    primary.lose();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(one_writer()).await["ok"], false);
    assert_eq!(ask(promote()).await, json!({ "promoted": true }));
    assert_eq!(ask(promote()).await, json!({ "promoted": true, "already": true }));
    let told =
        soon("writes go on", async || Some(count().await).filter(|told| !told["first_accepted_after_gap_at"].is_null())).await;
    let number = |name: &str| told[name].as_i64().unwrap_or_else(|| panic!("{name}: {told}"));
    assert_eq!((number("lost"), number("surviving")), (0, number("acknowledged")), "{told}");
    assert_eq!(number("last_acknowledged_at"), number("newest_surviving_at"));
    assert!(number("first_accepted_after_gap_at") > number("last_acknowledged_at") && told["source"] == "standby", "{told}");
    assert_eq!(ask(one_writer()).await, json!({ "writable": ["standby"], "unknown": [], "ok": true }));
    assert_eq!(ask(Request::CanaryStop(canary())).await, json!({ "stopped": true }));
    // The lost primary still holds the table, as far as anybody can tell.
    let dropped = answer(stage.carry_out(Request::CanaryDrop(canary()), Span::from_secs(5)).await);
    assert!(dropped["removed"] == false && dropped["why"].as_str().unwrap().contains("primary"), "{dropped}");
    let rest = Canary { sources: vec!["standby".to_owned()], ..canary() };
    assert_eq!(ask(Request::CanaryDrop(rest)).await, json!({ "removed": true }));
}

#[tokio::test]
async fn what_was_not_replicated_is_counted_as_lost() {
    let (mut primary, standby, stage) = pair().await;
    let ask = async |request| answer(stage.carry_out(request, Span::from_secs(30)).await);
    ask(Request::CanaryStart(canary())).await;
    let count = async || ask(Request::CanaryRead(canary())).await;
    soon("canaries are written", async || (count().await["acknowledged"].as_i64()? >= 5).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The standby hears nothing from here on.
    let receiver = soon("replication runs", async || {
        let entries = std::fs::read_dir("/proc").ok()?.flatten();
        let name = |entry: &std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let parent = |entry: &std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let own = std::fs::read_to_string(standby.folder().join("data/postmaster.pid")).ok()?.lines().next()?.to_owned();
        entries
            .filter(|entry| {
                name(entry).contains("walreceiver")
                    && parent(entry).split(") ").nth(1).unwrap_or_default().contains(&format!(" {own} "))
            })
            .find_map(|entry| entry.file_name().into_string().ok())
    })
    .await;
    let signal = |name: &str| std::process::Command::new("kill").args([name, &receiver]).status().unwrap();
    signal("-STOP");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    primary.lose();
    tokio::time::sleep(Duration::from_millis(400)).await;
    // What lay in the receiver's socket may still be read when it goes on, so it does not.
    signal("-KILL");
    soon("the standby answers again", async || {
        let asked = stage.carry_out(promote(), Span::from_secs(30)).await;
        matches!(&asked, Outcome::Answer(told) if told["promoted"] == true).then_some(())
    })
    .await;
    let told = soon("writes go on", async || {
        let outcome = stage.carry_out(Request::CanaryRead(canary()), Span::from_secs(30)).await;
        let Outcome::Answer(told) = outcome else { return None };
        (!told["first_accepted_after_gap_at"].is_null()).then_some(told)
    })
    .await;
    let number = |name: &str| told[name].as_i64().unwrap_or_else(|| panic!("{name}: {told}"));
    let (lost, loss) = (number("lost"), number("last_acknowledged_at") - number("newest_surviving_at"));
    assert_eq!(number("acknowledged"), number("surviving") + lost);
    // One and a half seconds at ten a second.
    assert!((8..40).contains(&lost) && (800..6_000).contains(&loss), "{told}");
    ask(Request::CanaryStop(canary())).await;
}

#[tokio::test]
async fn a_table_of_somebody_else_is_neither_written_nor_removed() {
    let postgres = Postgres::start();
    let url = postgres.database("shop");
    let made = std::process::Command::new(postgres.programs().join("psql"))
        .args([&url, "-c", "CREATE TABLE tocsin_canary (a int)"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let stage = Stage::new(&format!("{{databases: [{{name: primary, url: '{url}'}}]}}")).await;
    let own = Canary { sources: vec!["primary".to_owned()], ..canary() };
    assert_not_done(&stage.carry_out(Request::CanaryStart(own.clone()), LONG).await, "somebody else's");
    assert_eq!(answer(stage.carry_out(Request::CanaryDrop(own), LONG).await), json!({ "removed": true }));
    let left = Request::Sql {
        source: "primary".to_owned(),
        query: "SELECT count(*) FROM pg_class WHERE relname = 'tocsin_canary'".to_owned(),
        bind: vec![],
        expect: vec![],
    };
    assert_eq!(answer(stage.carry_out(left, LONG).await)["rows"], Json::from(vec![vec![1]]));
}
