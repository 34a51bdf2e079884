//! What the guards of runs ask for, and what people set for them.

use tocsin::db::Db;
use tocsin::db::runs::canaries::Canary;
use tocsin::db::runs::facts::{FreezeWindow, KillSwitch};
use tocsin_core::access::Role;
use tocsin_core::run::history::Ended;
use tocsin_core::run::record::{RateEntry, Record, RunRow, RunState, ScheduleFireRow, Vote};
use tocsin_core::run::schedule::FireOutcome;

use super::rows::{NASTY, approval, run};
use super::runs::{add, entry, store};
use super::{Place, at};

pub async fn the_history_of_a_document_is_oldest_first(place: Place) {
    let db = place.open().await;
    let ended = |id: &str, state, seconds| RunRow { state, ended_at: Some(at(seconds)), ..run(id, "doc") };
    add(&db, &RunRow { starter_role: Some(Role::Operator), ..ended("by hand", RunState::Succeeded, 10) }).await;
    add(&db, &ended("alone", RunState::Failed, 30)).await;
    let approved = ended("approved", RunState::Undone, 20);
    add(&db, &approved).await;
    store(&db, &approved, vec![Record::Approval(approval("approved", "ben", Vote::Approve))]).await;
    let denied = ended("denied", RunState::Refused, 40);
    add(&db, &denied).await;
    store(&db, &denied, vec![Record::Approval(approval("denied", "ben", Vote::Deny))]).await;
    add(&db, &run("under way", "doc")).await;
    add(&db, &RunRow { dry_run: true, starter_role: Some(Role::Operator), ..ended("dry", RunState::Succeeded, 50) }).await;
    add(&db, &RunRow { ended_at: Some(at(60)), state: RunState::Succeeded, ..run("other", "other doc") }).await;
    let expected = [(RunState::Succeeded, true), (RunState::Undone, true), (RunState::Failed, false), (RunState::Refused, false)]
        .map(|(state, attended)| Ended { doc_hash: "hash of doc".to_owned(), attended, state });
    assert_eq!(db.history("doc", 10).await.expect("a history"), expected);
    assert_eq!(db.history("doc", 2).await.expect("a history"), expected[2..], "the newest of them");
    assert_eq!(db.history("none", 10).await.expect("a history"), []);
    db.close().await;
}

pub async fn rates_are_counted_by_their_keys(place: Place) {
    let db = place.open().await;
    let row = run("r", "doc");
    add(&db, &row).await;
    let long: String = (0..1_000_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761))).collect();
    let keys = ["daily:doc", NASTY, &long].map(str::to_owned);
    for key in &keys {
        for (number, seconds) in [(1, 10), (2, 30), (3, 20)] {
            let entry = RateEntry { key: key.clone(), run_id: format!("run {number}"), at: at(seconds) };
            store(&db, &row, vec![Record::Rate(entry.clone()), Record::Rate(entry)]).await;
        }
    }
    let found = async |keys: &[String], since| -> Vec<(String, i64)> {
        let rates = db.rates(keys, at(since)).await.expect("rates");
        rates.into_iter().map(|entry| (entry.key, entry.at.0 / 1000)).collect()
    };
    for key in &keys {
        assert_eq!(found(std::slice::from_ref(key), 20).await, [(key.clone(), 30), (key.clone(), 20)]);
    }
    assert_eq!(found(&keys, 0).await.len(), 9);
    assert_eq!(found(&["none".to_owned()], 0).await, []);
    assert_eq!(found(&[], 0).await, []);
    db.close().await;
}

pub async fn what_a_schedule_decided_stays_decided(place: Place) {
    let db = place.open().await;
    let fire = |schedule: &str, seconds, outcome, run_id: Option<&str>| ScheduleFireRow {
        schedule_id: schedule.to_owned(),
        due: at(seconds),
        outcome,
        run_id: run_id.map(str::to_owned),
    };
    db.add_fires(&[]).await.expect("nothing to do");
    db.add_fires(&[
        fire("a", 10, FireOutcome::Skipped, None),
        fire("a", 20, FireOutcome::Run, None),
        fire("b", 15, FireOutcome::Run, Some("r1")),
    ])
    .await
    .expect("a write");
    db.add_fires(&[
        fire("a", 20, FireOutcome::Run, Some("r2")),
        fire("b", 15, FireOutcome::Skipped, Some("r3")),
        fire("a", 10, FireOutcome::Skipped, None),
    ])
    .await
    .expect("a write");
    let last = db.schedule_last(&["b", "a", "c"]).await.expect("instants");
    assert_eq!(last.into_iter().collect::<Vec<_>>(), [("a".to_owned(), at(20)), ("b".to_owned(), at(15))]);
    assert!(db.schedule_last(&[]).await.expect("instants").is_empty());
    let rows = db.rows("schedule_fire", "SELECT outcome, run_id FROM schedule_fire ORDER BY schedule_id, due_ms", []).await;
    let rows = rows.expect("rows");
    let rows: Vec<_> = rows.iter().map(|row| (row.text(0).expect("a word"), row.optional_text(1).expect("an id"))).collect();
    assert_eq!(rows, [("skipped", None), ("run", Some("r2")), ("run", Some("r1"))]);
    db.close().await;
}

async fn lines(db: &Db) -> usize {
    db.audit(100).await.expect("entries").len()
}

pub async fn a_kill_switch_is_pulled_and_released(place: Place) {
    let db = place.open().await;
    let switch = |scope: &str, is_on, seconds| KillSwitch {
        scope: scope.to_owned(),
        is_on,
        who: "ada".to_owned(),
        at: at(seconds),
        why: NASTY.to_owned(),
    };
    assert!(db.kill_switches().await.expect("switches").is_empty());
    for (pulled, number) in [switch("shop", true, 1), switch("", true, 2), switch("shop", false, 3)].iter().zip(1..) {
        db.set_kill_switch(pulled, Some(&entry(number))).await.expect("a write");
    }
    assert_eq!(db.kill_switches().await.expect("switches"), [switch("", true, 2), switch("shop", false, 3)]);
    assert_eq!(lines(&db).await, 3);
    db.write("ALTER TABLE audit RENAME TO hidden", []).await.expect("a write");
    db.set_kill_switch(&switch("", false, 4), Some(&entry(4))).await.expect_err("the audit is away");
    db.write("ALTER TABLE hidden RENAME TO audit", []).await.expect("a write");
    assert!(db.kill_switches().await.expect("switches")[0].is_on);
    db.close().await;
}

pub async fn a_freeze_lasts_until_its_end(place: Place) {
    let db = place.open().await;
    let freeze = |id: &str, starts, ends| FreezeWindow {
        id: id.to_owned(),
        scope: "*".to_owned(),
        reason: NASTY.to_owned(),
        starts_at: at(starts),
        ends_at: at(ends),
        who: "ada".to_owned(),
    };
    let (later, now) = (freeze("later", 50, 60), freeze("now", 10, 20));
    for freeze in [&later, &now] {
        assert!(db.add_freeze(freeze, Some(&entry(1))).await.expect("a write"));
    }
    assert!(!db.add_freeze(&freeze("now", 1, 99), Some(&entry(2))).await.expect("a write"), "the id is taken");
    assert_eq!(lines(&db).await, 1);
    assert_eq!(db.freezes(at(19)).await.expect("freezes"), [now, later.clone()]);
    assert_eq!(db.freezes(at(20)).await.expect("freezes"), [later]);
    assert!(db.drop_freeze("later", Some(&entry(3))).await.expect("a write"));
    assert!(!db.drop_freeze("later", Some(&entry(4))).await.expect("a write"));
    assert_eq!(lines(&db).await, 2);
    assert!(db.freezes(at(20)).await.expect("freezes").is_empty());
    db.close().await;
}

pub async fn writes_of_drills_are_kept_by_their_tag(place: Place) {
    let db = place.open().await;
    let canary = |seq| Canary { seq, at: at(seq), acked_at: Some(at(seq + 1)) };
    for seq in [2, 1, 3, 2] {
        db.add_canary("run 1/canary", canary(seq)).await.expect("a write");
    }
    db.add_canary("run 2/canary", canary(9)).await.expect("a write");
    db.add_canary("run 1/canary", Canary { acked_at: Some(at(99)), ..canary(3) }).await.expect("a write");
    assert_eq!(db.canaries("run 1/canary").await.expect("writes"), [1, 2, 3].map(canary));
    let silent = Canary { acked_at: None, ..canary(4) };
    db.add_canary("run 1/canary", silent).await.expect("a write");
    assert_eq!(db.canaries("run 1/canary").await.expect("writes")[3], silent);
    for canary in [canary(4), silent] {
        db.add_canary("run 1/canary", canary).await.expect("a write");
    }
    assert_eq!(db.canaries("run 1/canary").await.expect("writes")[3], canary(4), "what was acknowledged stays so");
    db.drop_canaries("run 1/canary").await.expect("a write");
    db.drop_canaries("run 1/canary").await.expect("a write");
    assert_eq!(db.canaries("run 1/canary").await.expect("writes"), []);
    assert_eq!(db.canaries("run 2/canary").await.expect("writes"), [canary(9)]);
    db.close().await;
}
