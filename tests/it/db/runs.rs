//! Storing runs: the rows, the fence, triggers and locks.

use tocsin::db::accounts::AuditEntry;
use tocsin::db::runs::{Added, Notes, RunNote, Stored, Taken};
use tocsin::db::{Cell, Db};
use tocsin_core::access::Role;
use tocsin_core::run::guard::Guard;
use tocsin_core::run::record::{
    ApprovalRow, AttemptState, Batch, DocKind, Ending, RateEntry, Record, RunRecords, RunRow, RunState, SampleRow, TriggerKind,
    UndoScope, Vote, WaitFor,
};
use tocsin_core::run::runbook::Mode;
use tocsin_core::time::Span;
use tokio::task::JoinSet;

use super::rows::{NASTY, approval, attempt, attempts, batch, first, full_run, lock, run, undos, version};
use super::{Place, at};

/// Adds a run that must be a new one.
pub async fn add(db: &Db, row: &RunRow) {
    let added = db.add_run(&version(&row.doc_id), &first(row), &Notes::default(), at(0)).await.expect("a write");
    assert_eq!(added, Added::New, "{row:?}");
}

/// Stores records of a run, which must succeed.
pub async fn store(db: &Db, row: &RunRow, records: Vec<Record>) {
    let stored = db.store_batch(&batch(row, records), &Notes::default(), at(0)).await.expect("a write");
    assert_eq!(stored, Stored::Done);
}

pub fn note(run_id: &str, seconds: i64, detail: &str) -> RunNote {
    RunNote {
        run_id: run_id.to_owned(),
        at: at(seconds),
        who: "ada".to_owned(),
        what: "step".to_owned(),
        detail: detail.to_owned(),
    }
}

pub fn entry(number: i64) -> AuditEntry {
    AuditEntry {
        at: at(number),
        who: "ada".to_owned(),
        action: "run".to_owned(),
        subject: format!("run {number}"),
        outcome: "done".to_owned(),
        detail: NASTY.to_owned(),
    }
}

async fn count(db: &Db, table: &str) -> i64 {
    db.rows("any", format!("SELECT COUNT(*) FROM {table}"), []).await.expect("a count")[0].int(0).expect("a number")
}

pub async fn a_run_comes_back_as_it_went(place: Place) {
    let db = place.open().await;
    let approvals: Vec<ApprovalRow> = Role::ALL
        .into_iter()
        .zip([Vote::Approve, Vote::Deny].into_iter().cycle())
        .map(|(role, verdict)| ApprovalRow { role, mfa: true, via: NASTY.to_owned(), ..approval("full", role.word(), verdict) })
        .collect();
    for row in [run("bare", "doc"), full_run("full", "doc")] {
        add(&db, &row).await;
        assert_eq!(db.run_row(&row.id).await.expect("an answer"), Some(row));
    }
    let row = full_run("full", "doc");
    let mut records: Vec<Record> = attempts("full").into_iter().map(|attempt| Record::Attempt(Box::new(attempt))).collect();
    records.extend(undos("full").into_iter().map(|undo| Record::Undo(Box::new(undo))));
    records.extend(approvals.iter().cloned().map(Record::Approval));
    store(&db, &row, records).await;
    db.close().await;

    let db = place.open().await;
    let mut found = db.run_records("full").await.expect("an answer").expect("it is there");
    found.attempts.sort_by(|a, b| a.key.cmp(&b.key));
    found.approvals.sort_by(|a, b| a.who.cmp(&b.who));
    let mut expected = RunRecords { run: row, attempts: attempts("full"), undos: undos("full"), approvals };
    expected.attempts.sort_by(|a, b| a.key.cmp(&b.key));
    expected.approvals.sort_by(|a, b| a.who.cmp(&b.who));
    for (found, expected) in found.attempts.iter().zip(&expected.attempts) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
    let bare = db.run_records("bare").await.expect("an answer").expect("it is there");
    assert_eq!((bare.attempts.len(), bare.undos.len(), bare.approvals.len()), (0, 0, 0));
    assert_eq!(db.run_records("none").await.expect("an answer"), None);
    assert_eq!(db.run_row("none").await.expect("an answer"), None);
    db.close().await;
}

pub async fn every_word_of_a_run_comes_back(place: Place) {
    use Guard::{
        Approvals, Budget, Freeze, KillSwitch, Ladder, Lease, Lock, OpenPage, Precheck, Rate, Role as RoleGuard, Schema, Targets,
    };
    let guards =
        [Schema, RoleGuard, KillSwitch, Freeze, Ladder, OpenPage, Budget, Targets, Lock, Rate, Precheck, Approvals, Lease];
    let triggers = [TriggerKind::Alert, TriggerKind::Webhook, TriggerKind::Schedule, TriggerKind::Manual, TriggerKind::Run];
    let waits = [WaitFor::Approval, WaitFor::Lock, WaitFor::Window];
    let kinds = DocKind::ALL;
    let db = place.open().await;
    // Enough that the longest list comes round, whichever length the others have.
    for number in 0..RunState::ALL.len() * 2 {
        let row = RunRow {
            kind: kinds[number % kinds.len()],
            state: RunState::ALL[number % RunState::ALL.len()],
            waiting: Some(waits[number % waits.len()]),
            refused_by: Some(guards[number % guards.len()]),
            ending: Some(Ending {
                undo: [UndoScope::All, UndoScope::Temporary][number % 2],
                page: number % 4 < 2,
                why: String::new(),
            }),
            trigger_kind: triggers[number % triggers.len()],
            trigger_ref: None,
            mode: Mode::ALL[number % Mode::ALL.len()],
            starter_role: Some(Role::ALL[number % Role::ALL.len()]),
            ..run(&format!("run {number}"), "doc")
        };
        add(&db, &row).await;
        assert_eq!(db.run_row(&row.id).await.expect("an answer"), Some(row.clone()));
        let words =
            db.rows("run", "SELECT state, refused_by, starter_role, kind FROM run WHERE id = $1", [row.id.as_str().into()]);
        let words = words.await.expect("a row");
        assert_eq!(words[0].text(0).expect("a word"), row.state.word());
        assert_eq!(words[0].text(1).expect("a word"), row.refused_by.expect("a guard").word());
        assert_eq!(words[0].text(3).expect("a word"), row.kind.word());
        assert_eq!(words[0].text(2).expect("a word"), row.starter_role.expect("a role").word());
    }
    for (column, word) in [("state", "melted"), ("kind", "poem"), ("params", "{"), ("params", "[]")] {
        let row = run(&format!("{column} {word}"), "doc");
        add(&db, &row).await;
        let sql = match column {
            "state" => "UPDATE run SET state = $2 WHERE id = $1",
            "kind" => "UPDATE run SET kind = $2 WHERE id = $1",
            _ => "UPDATE run SET params = $2 WHERE id = $1",
        };
        db.write(sql, [row.id.as_str().into(), word.into()]).await.expect("a write");
        let error = db.run_row(&row.id).await.expect_err("a word that nobody knows is a fault, not a guess");
        assert!(error.is_lasting(), "{error:?}");
    }
    db.close().await;
}

pub async fn a_batch_needs_the_fence(place: Place) {
    let db = place.open().await;
    let mut row = run("r", "doc");
    add(&db, &row).await;
    let next = |row: &RunRow, state| RunRow { state, ..row.clone() };
    let all = |row: &RunRow| {
        let sample = SampleRow { run_id: row.id.clone(), at: at(1), probe: "p".to_owned(), value: Some(1.0), ok: true };
        let rate = RateEntry { key: "k".to_owned(), run_id: row.id.clone(), at: at(1) };
        let records = vec![
            Record::Attempt(Box::new(attempt(&row.id, "s", AttemptState::Intent))),
            Record::Lock(lock("l", &row.id, 100)),
            Record::Rate(rate),
            Record::Sample(sample),
            Record::Approval(approval(&row.id, "ben", Vote::Approve)),
            Record::Run(Box::new(next(row, RunState::Running))),
        ];
        batch(row, records)
    };
    let notes = Notes { log: &[note("r", 1, "begun")], audit: &[entry(1)] };
    // Somebody else has taken the run.
    let taken = row.take("other", Span::from_secs(30), at(1)).expect("nobody holds it");
    assert!(db.take_run(&taken).await.expect("a write"));
    assert!(!db.take_run(&taken).await.expect("a write"), "once");
    assert_eq!(db.store_batch(&all(&row), &notes, at(1)).await.expect("a write"), Stored::Fenced);
    let unknown = Batch { run_id: "none".to_owned(), ..all(&taken) };
    assert_eq!(db.store_batch(&unknown, &notes, at(1)).await.expect("a write"), Stored::Fenced);
    // A row of an older fence within a batch of the right one.
    let torn = batch(&taken, vec![Record::Run(Box::new(next(&row, RunState::Running)))]);
    assert_eq!(db.store_batch(&torn, &notes, at(1)).await.expect("a write"), Stored::Fenced);
    for table in ["step_attempt", "resource_lock", "rate_ledger", "sample", "approval", "run_note", "audit"] {
        assert_eq!(count(&db, table).await, 0, "{table}: nothing of a batch without the fence is stored");
    }
    let stored = db.run_row("r").await.expect("an answer").expect("it is there");
    assert_eq!(stored, taken, "the owner, the fence and the lease are all that taking changes");

    row = taken;
    for _ in 0..2 {
        assert_eq!(db.store_batch(&all(&row), &notes, at(1)).await.expect("a write"), Stored::Done);
        for table in ["step_attempt", "resource_lock", "rate_ledger", "sample", "approval", "run_note", "audit"] {
            assert_eq!(count(&db, table).await, 1, "{table}: a batch that is repeated is one");
        }
    }
    assert_eq!(db.run_row("r").await.expect("an answer"), Some(next(&row, RunState::Running)));
    assert_eq!(db.store_batch(&batch(&row, Vec::new()), &Notes::default(), at(1)).await.expect("a write"), Stored::Done);
    db.close().await;
}

pub async fn of_two_who_take_a_run_one_wins(place: Place) {
    let db = place.open().await;
    add(&db, &run("r", "doc")).await;
    for round in 1..=5 {
        let row = db.run_row("r").await.expect("an answer").expect("it is there");
        let mut tasks = JoinSet::new();
        for number in 0..4 {
            let (db, row) = (db.clone(), row.clone());
            tasks.spawn(async move {
                let taken = row.take(&format!("node {number}"), Span::from_secs(1), at(round * 10)).expect("the lease has ended");
                db.take_run(&taken).await.expect("a write").then_some(taken)
            });
        }
        let winners: Vec<RunRow> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(db.run_row("r").await.expect("an answer").as_ref(), Some(&winners[0]));
        assert_eq!(winners[0].fence, round + 1);
    }
    db.close().await;
}

pub async fn a_trigger_brings_one_run_of_a_document(place: Place) {
    let db = place.open().await;
    let of = |id: &str, doc: &str, kind, reference: Option<&str>| RunRow {
        trigger_kind: kind,
        trigger_ref: reference.map(str::to_owned),
        ..run(id, doc)
    };
    let try_add = async |row: &RunRow| {
        let notes = Notes { log: &[note(&row.id, 1, "asked")], audit: &[] };
        db.add_run(&version(&row.doc_id), &first(row), &notes, at(0)).await.expect("a write")
    };
    // Longer than an index takes, and different only at the end; nothing that could be folded into fewer bytes.
    let long: String = (0..1_000_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761))).collect();
    for (number, reference) in ["down since 5", "", NASTY, &long, &format!("{long}x")].into_iter().enumerate() {
        let id = |name: &str| format!("{name} {number}");
        let row = of(&id("a"), "doc", TriggerKind::Alert, Some(reference));
        assert_eq!(try_add(&row).await, Added::New);
        assert_eq!(try_add(&row).await, Added::New, "an addition that is repeated finds itself");
        assert_eq!(try_add(&of(&id("b"), "doc", TriggerKind::Alert, Some(reference))).await, Added::Known(id("a")));
        assert_eq!(db.run_row(&id("b")).await.expect("an answer"), None);
        assert!(db.run_notes(&id("b")).await.expect("an answer").is_empty());
        assert_eq!(try_add(&of(&id("c"), "other doc", TriggerKind::Alert, Some(reference))).await, Added::New);
        assert_eq!(try_add(&of(&id("d"), "doc", TriggerKind::Webhook, Some(reference))).await, Added::New);
        assert_eq!(db.run_row(&id("a")).await.expect("an answer"), Some(row), "a reference comes back whole");
    }
    for number in 0..3 {
        assert_eq!(try_add(&of(&format!("hand {number}"), "doc", TriggerKind::Manual, None)).await, Added::New);
    }
    // A run that went on meanwhile is not thrown back by an addition that is repeated late.
    let row = of("late", "doc", TriggerKind::Manual, None);
    assert_eq!(try_add(&row).await, Added::New);
    store(&db, &row, vec![Record::Run(Box::new(RunRow { state: RunState::Running, ..row.clone() }))]).await;
    assert_eq!(try_add(&row).await, Added::New);
    assert_eq!(db.run_row("late").await.expect("an answer").map(|row| row.state), Some(RunState::Running));

    for round in 0..5 {
        let mut tasks = JoinSet::new();
        for number in 0..6 {
            let db = db.clone();
            let row = of(&format!("{round}/{number}"), "doc", TriggerKind::Schedule, Some(&format!("round {round}")));
            tasks.spawn(async move {
                let notes = Notes { log: &[note(&row.id, 1, "asked")], audit: &[entry(round)] };
                db.add_run(&version(&row.doc_id), &first(&row), &notes, at(0)).await.expect("a write")
            });
        }
        let added = tasks.join_all().await;
        let known: Vec<&String> =
            added.iter().filter_map(|added| if let Added::Known(id) = added { Some(id) } else { None }).collect();
        assert_eq!(known.len(), 5, "{added:?}");
        assert!(known.iter().all(|id| *id == known[0]), "{added:?}");
        assert!(db.run_row(known[0]).await.expect("an answer").is_some());
    }
    assert_eq!(db.audit(100).await.expect("entries").len(), 5, "who came too late leaves no line");
    db.close().await;
}

pub async fn a_lock_has_one_holder(place: Place) {
    let db = place.open().await;
    let (a, b) = (run("a", "doc"), run("b", "doc"));
    for row in [&a, &b] {
        add(&db, row).await;
    }
    let long: String = (0..1_000_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761))).collect();
    for name in ["shop/db", NASTY, &long] {
        let take = async |row: &RunRow, until, now| {
            let records = vec![
                Record::Run(Box::new(RunRow { reason: format!("until {until}"), ..row.clone() })),
                Record::Lock(lock(name, &row.id, until)),
                Record::Attempt(Box::new(attempt(&row.id, "s", AttemptState::Intent))),
            ];
            db.store_batch(&batch(row, records), &Notes::default(), at(now)).await.expect("a write")
        };
        let free = async |row: &RunRow| {
            store(&db, row, vec![Record::Unlock { name: name.to_owned(), run_id: row.id.clone() }]).await;
        };
        let holder =
            async |now| db.lock_holder(name, at(now)).await.expect("an answer").map(|lock| (lock.run_id, lock.lease_until));
        let by = |row: &RunRow| Stored::LockTaken(Taken { name: name.to_owned(), holder: Some(row.id.clone()) });
        assert_eq!(holder(0).await, None);
        assert_eq!(take(&a, 30, 0).await, Stored::Done);
        assert_eq!(db.lock_holder(name, at(1)).await.expect("an answer"), Some(lock(name, "a", 30)), "the name comes back whole");
        assert_eq!(take(&b, 40, 29).await, by(&a));
        assert!(!db.run_row("b").await.expect("an answer").expect("it is there").reason.contains("40"), "nothing was stored");
        assert!(db.run_records("b").await.expect("an answer").expect("it is there").attempts.is_empty());
        assert_eq!(take(&a, 60, 15).await, Stored::Done, "the holder renews its lease");
        assert_eq!(take(&b, 90, 30).await, by(&a));
        assert_eq!(holder(59).await, Some(("a".to_owned(), at(60))));
        assert_eq!(holder(60).await, Some(("a".to_owned(), at(60))), "a run that goes on after its lease keeps what it holds");
        assert_eq!(take(&b, 90, 60).await, by(&a));
        let ends = async |sql: &'static str| {
            db.write(sql, []).await.expect("a write");
        };
        ends("UPDATE run SET ended_at_ms = 1 WHERE id = 'a'").await;
        assert_eq!(holder(60).await, None, "its lease and its run have ended");
        free(&b).await;
        assert_eq!(holder(59).await, Some(("a".to_owned(), at(60))), "nobody frees what another run holds");
        assert_eq!(take(&b, 90, 60).await, Stored::Done, "whoever comes after both");
        ends("UPDATE run SET ended_at_ms = NULL WHERE id = 'a'").await;
        assert_eq!(take(&a, 99, 61).await, by(&b), "who slept through its lease has lost the lock");
        free(&a).await;
        free(&b).await;
        free(&b).await;
        assert_eq!(holder(61).await, None);
        assert_eq!(take(&a, 100, 61).await, Stored::Done);
        free(&a).await;
        db.write("DELETE FROM step_attempt WHERE run_id = $1", [Cell::from("b")]).await.expect("a write");
    }

    for round in 0..5 {
        let mut tasks = JoinSet::new();
        for row in [a.clone(), b.clone(), a.clone(), b.clone()] {
            let db = db.clone();
            tasks.spawn(async move {
                let batch = batch(&row, vec![Record::Lock(lock(&format!("round {round}"), &row.id, 10))]);
                (row.id, db.store_batch(&batch, &Notes::default(), at(0)).await.expect("a write"))
            });
        }
        let ended = tasks.join_all().await;
        let winners: Vec<&String> = ended.iter().filter(|(_, stored)| *stored == Stored::Done).map(|(id, _)| id).collect();
        assert!(winners.len() == 2 && winners[0] == winners[1], "{ended:?}");
    }
    // A first batch that holds a lock already.
    let c = run("c", "doc");
    let with_lock = batch(&c, vec![Record::Run(Box::new(c.clone())), Record::Lock(lock("round 0", "c", 10))]);
    let added = db.add_run(&version("doc"), &with_lock, &Notes::default(), at(0)).await.expect("a write");
    assert!(matches!(added, Added::LockTaken(Taken { holder: Some(_), .. })), "{added:?}");
    assert_eq!(db.run_row("c").await.expect("an answer"), None);
    db.close().await;
}

pub async fn notes_are_one_step_with_what_they_tell_of(place: Place) {
    let db = place.open().await;
    let row = run("r", "doc");
    add(&db, &row).await;
    let details =
        async |id: &str| -> Vec<String> { db.run_notes(id).await.expect("notes").into_iter().map(|note| note.detail).collect() };
    // Lines of one instant keep the order in which they came.
    let log = ["first", "second", NASTY].map(|detail| note("r", 5, detail));
    let done = batch(&row, vec![Record::Attempt(Box::new(attempt("r", "s", AttemptState::Intent)))]);
    db.store_batch(&done, &Notes { log: &log, audit: &[entry(1)] }, at(1)).await.expect("a write");
    db.add_notes(&Notes { log: &[note("r", 4, "later")], audit: &[entry(2)] }).await.expect("a write");
    assert_eq!(details("r").await, ["first", "second", NASTY, "later"]);
    assert_eq!(db.run_notes("r").await.expect("notes")[0], log[0]);
    assert_eq!(db.audit(10).await.expect("entries").len(), 2);

    db.write("ALTER TABLE audit RENAME TO hidden", []).await.expect("a write");
    let next = batch(&row, vec![Record::Attempt(Box::new(attempt("r", "s", AttemptState::Succeeded)))]);
    let notes = Notes { log: &[note("r", 6, "lost")], audit: &[entry(3)] };
    db.store_batch(&next, &notes, at(1)).await.expect_err("the audit is away");
    let other = run("other", "new doc");
    db.add_run(&version("new doc"), &first(&other), &notes, at(1)).await.expect_err("the audit is away");
    db.add_notes(&notes).await.expect_err("the audit is away");
    db.write("ALTER TABLE hidden RENAME TO audit", []).await.expect("a write");
    assert_eq!(details("r").await.len(), 4);
    assert_eq!(db.run_records("r").await.expect("an answer").expect("a run").attempts[0].state, AttemptState::Intent);
    assert_eq!(db.run_row("other").await.expect("an answer"), None);
    assert_eq!(db.document_version("hash of new doc").await.expect("an answer"), None);

    // Many who write into one log at once: every line lands.
    let mut tasks = JoinSet::new();
    for number in 0..12 {
        let db = db.clone();
        tasks.spawn(async move {
            let notes = [note("r", 10, &format!("line {number}"))];
            db.add_notes(&Notes { log: &notes, audit: &[] }).await.expect("a write");
        });
    }
    tasks.join_all().await;
    assert_eq!(details("r").await.len(), 16);
    db.close().await;
}
