//! Reading runs, and forgetting old ones.

use tocsin::db::Db;
use tocsin::db::runs::canaries::Canary;
use tocsin::db::runs::facts::FreezeWindow;
use tocsin::db::runs::{Notes, RunClass, RunCount, RunFilter};
use tocsin_core::run::record::{
    AttemptKey, AttemptState, DocKind, DocumentVersion, Phase, RateEntry, Record, RunRow, RunState, SampleRow, ScheduleFireRow,
    StepAttempt, UndoState, Vote,
};
use tocsin_core::run::schedule::FireOutcome;

use super::rows::{approval, attempt, lock, run, undo, version};
use super::runs::{add, note, store};
use super::{Place, at};

fn ids(rows: Vec<RunRow>) -> Vec<String> {
    rows.into_iter().map(|row| row.id).collect()
}

fn page(run_id: &str, state: AttemptState) -> StepAttempt {
    let key = AttemptKey { step: "failed".to_owned(), target: String::new(), phase: Phase::Page, attempt: 1 };
    StepAttempt { key, ..attempt(run_id, "", state) }
}

pub async fn a_start_finds_every_run_with_something_under_way(place: Place) {
    let db = place.open().await;
    for state in RunState::ALL {
        add(&db, &RunRow { state, ..run(state.word(), "doc") }).await;
    }
    let open = async || {
        let mut found = ids(db.open_runs().await.expect("runs"));
        found.sort();
        found
    };
    let mut expected: Vec<String> =
        RunState::ALL.into_iter().filter(|state| !state.is_final()).map(|state| state.word().to_owned()).collect();
    expected.sort();
    assert_eq!(open().await, expected);
    // Runs that have ended, but have sent no page yet, or have an undo that is not over.
    let ended = RunRow { state: RunState::Failed, ended_at: Some(at(9)), ..run("x", "doc") };
    use AttemptState::{Abandoned, Failed, Intent, Issued, Pending, Skipped, Succeeded, Unknown};
    for (number, state) in [Pending, Intent, Issued, Succeeded, Failed, Unknown, Skipped, Abandoned].into_iter().enumerate() {
        let row = RunRow { id: format!("page {number}"), ..ended.clone() };
        add(&db, &row).await;
        store(&db, &row, vec![Record::Attempt(Box::new(page(&row.id, state)))]).await;
        let row = RunRow { id: format!("step {number}"), ..ended.clone() };
        add(&db, &row).await;
        store(&db, &row, vec![Record::Attempt(Box::new(attempt(&row.id, "s", state)))]).await;
    }
    let states = [UndoState::Armed, UndoState::Started, UndoState::Undone, UndoState::Failed, UndoState::Released];
    for (number, state) in states.into_iter().enumerate() {
        let row = RunRow { id: format!("undo {number}"), ..ended.clone() };
        add(&db, &row).await;
        store(&db, &row, vec![Record::Undo(Box::new(undo(&row.id, 1, state)))]).await;
    }
    expected.extend(["page 0", "page 1", "page 2", "undo 0", "undo 1"].map(str::to_owned));
    expected.sort();
    assert_eq!(open().await, expected);
    db.close().await;
}

pub async fn runs_are_listed_newest_first(place: Place) {
    let db = place.open().await;
    let states = [RunState::Running, RunState::Succeeded, RunState::Refused, RunState::NeedsHuman, RunState::UndoFailed];
    for number in 0..20_i64 {
        let row = RunRow {
            kind: if number % 4 == 0 { DocKind::Drill } else { DocKind::Runbook },
            platform: if number % 10 < 5 { "shop" } else { "dinner" }.to_owned(),
            state: states[usize::try_from(number).expect("small") % 5],
            // Two of one instant.
            created_at: at(number / 2),
            parent_run: (number % 7 == 1).then(|| "r00".to_owned()),
            ..run(&format!("r{number:02}"), if number < 15 { "doc" } else { "other" })
        };
        add(&db, &row).await;
    }
    let list = async |filter: RunFilter| ids(db.runs(&RunFilter { limit: filter.limit.max(3), ..filter }).await.expect("runs"));
    let all = RunFilter::default;
    assert_eq!(list(all()).await, ["r19", "r18", "r17"]);
    assert_eq!(db.runs(&RunFilter { limit: -1, ..all() }).await.expect("runs"), []);
    assert_eq!(db.runs(&RunFilter { limit: i64::MAX, ..all() }).await.expect("runs").len(), 20);
    assert_eq!(list(RunFilter { class: Some(RunClass::Open), ..all() }).await, ["r18", "r15", "r13"]);
    assert_eq!(list(RunFilter { class: Some(RunClass::Ended), ..all() }).await, ["r19", "r16", "r14"]);
    assert_eq!(list(RunFilter { class: Some(RunClass::Refused), ..all() }).await, ["r17", "r12", "r07"]);
    assert_eq!(list(RunFilter { kind: Some(DocKind::Drill), ..all() }).await, ["r16", "r12", "r08"]);
    assert_eq!(list(RunFilter { doc: Some("doc".to_owned()), ..all() }).await, ["r14", "r13", "r12"]);
    assert_eq!(list(RunFilter { platform: Some("shop".to_owned()), ..all() }).await, ["r14", "r13", "r12"]);
    let narrow = RunFilter {
        class: Some(RunClass::Open),
        kind: Some(DocKind::Runbook),
        doc: Some("doc".to_owned()),
        platform: Some("dinner".to_owned()),
        before: Some("r08".to_owned()),
        limit: 3,
    };
    assert_eq!(list(narrow).await, ["r05"]);
    // Page by page, every run comes once, whichever instants they share.
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = list(RunFilter { before: before.clone(), limit: 3, ..all() }).await;
        let Some(last) = page.last() else { break };
        before = Some(last.clone());
        seen.extend(page);
    }
    assert_eq!(seen, (0..20).rev().map(|number| format!("r{number:02}")).collect::<Vec<_>>());
    assert_eq!(list(RunFilter { before: Some("none".to_owned()), ..all() }).await, [""; 0]);

    assert_eq!(ids(db.children("r00").await.expect("runs")), ["r01", "r08", "r15"]);
    assert_eq!(ids(db.children("r01").await.expect("runs")), [""; 0]);
    let last = db.last_runs(&["doc", "other", "none"]).await.expect("runs");
    let last: Vec<(&str, &str)> = last.iter().map(|(doc, row)| (doc.as_str(), row.id.as_str())).collect();
    assert_eq!(last, [("doc", "r14"), ("other", "r19")]);
    assert!(db.last_runs(&[]).await.expect("runs").is_empty());
    db.close().await;
}

pub async fn runs_are_counted(place: Place) {
    let db = place.open().await;
    let rows = [
        ("a", RunState::Succeeded, 10, false),
        ("a", RunState::Succeeded, 11, false),
        ("a", RunState::Succeeded, 12, true),
        ("a", RunState::Failed, 9, false),
        ("a", RunState::Refused, 13, false),
        ("b", RunState::Running, 14, false),
        ("b", RunState::Waiting, 1, false),
        ("b", RunState::Waiting, 20, false),
    ];
    for (number, (doc, state, seconds, dry_run)) in rows.into_iter().enumerate() {
        add(&db, &RunRow { state, created_at: at(seconds), dry_run, ..run(&format!("r{number}"), doc) }).await;
    }
    let count = |doc: &str, state, count| RunCount { doc_id: doc.to_owned(), state, count };
    assert_eq!(
        db.run_counts(at(10)).await.expect("counts"),
        [
            count("a", RunState::Refused, 1),
            count("a", RunState::Succeeded, 2),
            count("b", RunState::Running, 1),
            count("b", RunState::Waiting, 1),
        ]
    );
    assert_eq!(db.open_run_counts().await.expect("counts"), [(RunState::Running, 1), (RunState::Waiting, 2)]);
    db.close().await;
}

pub async fn what_belongs_to_many_runs_is_read_at_once(place: Place) {
    let db = place.open().await;
    let names: Vec<String> = (0..3).map(|number| format!("r{number}")).collect();
    for name in &names {
        let row = run(name, "doc");
        add(&db, &row).await;
        let mut records = vec![
            Record::Attempt(Box::new(StepAttempt { started_at: Some(at(3)), ..attempt(name, "b", AttemptState::Issued) })),
            Record::Attempt(Box::new(attempt(name, "a", AttemptState::Succeeded))),
            Record::Approval(approval(name, "ben", Vote::Deny)),
        ];
        // Numbers that come back as they are, and what is none.
        let values = [Some(0.1 + 0.2), Some(-0.0), Some(f64::INFINITY), Some(5e-324), Some(3.0), None];
        records.extend(values.into_iter().zip(1..).flat_map(|(value, seconds)| {
            ["p95", "errors"].map(|probe| {
                let probe = probe.to_owned();
                Record::Sample(SampleRow { run_id: name.clone(), at: at(seconds), probe, value, ok: seconds % 2 == 0 })
            })
        }));
        store(&db, &row, records).await;
    }
    let asked: Vec<&str> = ["r2", "none", "r0"].to_vec();
    let marks = db.attempt_marks(&asked).await.expect("marks");
    let marks: Vec<_> =
        marks.iter().map(|mark| (mark.run_id.as_str(), mark.key.step.as_str(), mark.state, mark.started_at)).collect();
    let (done, issued) = (AttemptState::Succeeded, AttemptState::Issued);
    let expected =
        [("r0", "a", done, None), ("r0", "b", issued, Some(at(3))), ("r2", "a", done, None), ("r2", "b", issued, Some(at(3)))];
    assert_eq!(marks, expected);
    let approvals: Vec<String> = db.approvals(&asked).await.expect("approvals").into_iter().map(|row| row.run_id).collect();
    assert_eq!(approvals, ["r0", "r2"]);
    assert!(db.attempt_marks(&[]).await.expect("marks").is_empty());
    // More than one statement takes.
    let many: Vec<String> = (0..1_203).map(|number| format!("r{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(db.attempt_marks(&many).await.expect("marks").len(), 6);
    assert_eq!(db.last_runs(&many).await.expect("runs").len(), 0);

    let samples = db.run_samples("r1").await.expect("samples");
    let of = |probe: &str| samples.iter().filter(|sample| sample.probe == probe).map(|sample| sample.value).collect::<Vec<_>>();
    assert_eq!(of("p95"), [Some(0.1 + 0.2), Some(-0.0), Some(f64::INFINITY), Some(5e-324), Some(3.0), None]);
    assert_eq!(of("p95"), of("errors"));
    assert!(samples.iter().all(|sample| sample.ok == (sample.at.0 / 1000 % 2 == 0)));
    let nan = SampleRow { run_id: "r1".to_owned(), at: at(9), probe: "p95".to_owned(), value: Some(f64::NAN), ok: false };
    store(&db, &run("r1", "doc"), vec![Record::Sample(nan)]).await;
    let samples = db.run_samples("r1").await.expect("samples");
    assert_eq!(samples.last().map(|sample| sample.value), Some(None), "what is no number is no value");
    db.close().await;
}

pub async fn versions_of_a_document_are_kept(place: Place) {
    let db = place.open().await;
    let text = |hash: &str, seconds, by: &str| DocumentVersion {
        hash: hash.to_owned(),
        created_at: at(seconds),
        created_by: by.to_owned(),
        kind: DocKind::Experiment,
        ..version("doc")
    };
    assert_eq!(db.first_version("doc").await.expect("an answer"), None);
    for version in [text("b", 5, "ada"), text("c", 9, "ben"), text("a", 7, "cem")] {
        db.put_version(&version).await.expect("a write");
    }
    db.put_version(&text("b", 99, "eve")).await.expect("a write");
    assert_eq!(db.document_version("b").await.expect("an answer"), Some(text("b", 5, "ada")), "who wrote it first");
    assert_eq!(db.document_version("z").await.expect("an answer"), None);
    assert_eq!(db.first_version("doc").await.expect("an answer"), Some(text("b", 5, "ada")));
    db.close().await;
}

async fn tables(db: &Db) -> Vec<(&'static str, i64)> {
    let names = [
        "run",
        "step_attempt",
        "undo",
        "approval",
        "sample",
        "run_note",
        "rate_ledger",
        "resource_lock",
        "document_version",
        "schedule_fire",
        "calendar_window",
        "canary_ack",
    ];
    let mut counts = Vec::new();
    for name in names {
        let rows = db.rows("any", format!("SELECT COUNT(*) FROM {name}"), []).await.expect("a count");
        counts.push((name, rows[0].int(0).expect("a number")));
    }
    counts
}

/// Adds a run that has ended, with one row of everything that can belong to a run.
async fn add_whole(db: &Db, row: &RunRow) {
    add(db, row).await;
    let id = row.id.as_str();
    let records = vec![
        Record::Attempt(Box::new(page(id, AttemptState::Succeeded))),
        Record::Undo(Box::new(undo(id, 1, UndoState::Released))),
        Record::Approval(approval(id, "ben", Vote::Approve)),
        Record::Sample(SampleRow { run_id: id.to_owned(), at: at(1), probe: "p".to_owned(), value: None, ok: true }),
        Record::Rate(RateEntry { key: "k".to_owned(), run_id: id.to_owned(), at: at(1) }),
        Record::Lock(lock(id, id, 5)),
    ];
    store(db, row, records).await;
    db.add_notes(&Notes { log: &[note(id, 1, "line")], audit: &[] }).await.expect("a write");
}

pub async fn old_runs_go_with_all_that_belongs_to_them(place: Place) {
    let db = place.open().await;
    let ended = |id: &str, doc: &str, seconds| RunRow { state: RunState::Succeeded, ended_at: Some(at(seconds)), ..run(id, doc) };
    // More than two steps of a sweep.
    for number in 0..45 {
        add_whole(&db, &RunRow { parent_run: Some("young".to_owned()), ..ended(&format!("old {number}"), "gone", 50) }).await;
    }
    add_whole(&db, &ended("young", "doc", 100)).await;
    add_whole(&db, &RunRow { state: RunState::Running, ended_at: None, ..run("open", "doc") }).await;
    let paging = ended("paging", "doc", 50);
    add(&db, &paging).await;
    store(&db, &paging, vec![Record::Attempt(Box::new(page("paging", AttemptState::Pending)))]).await;
    let undoing = ended("undoing", "doc", 50);
    add(&db, &undoing).await;
    store(&db, &undoing, vec![Record::Undo(Box::new(undo("undoing", 1, UndoState::Armed)))]).await;

    let text =
        |hash: &str, doc: &str, seconds| DocumentVersion { hash: hash.to_owned(), created_at: at(seconds), ..version(doc) };
    // Of `gone` the version that old runs used goes with them, since there is a newer one; the newest stays.
    for version in [text("newest of gone", "gone", 60), text("newest of idle", "idle", 2), text("older of idle", "idle", 1)] {
        db.put_version(&version).await.expect("a write");
    }
    let fire = |schedule: &str, seconds| ScheduleFireRow {
        schedule_id: schedule.to_owned(),
        due: at(seconds),
        outcome: FireOutcome::Skipped,
        run_id: None,
    };
    let mut fires: Vec<ScheduleFireRow> = (0..1_203).map(|number| fire("busy", number % 100 - number * 100)).collect();
    fires.extend([fire("yearly", 1), fire("yearly", 2), fire("busy", 101)]);
    db.add_fires(&fires).await.expect("a write");
    for (id, ends_at) in [("over", at(99)), ("lasting", at(200))] {
        let freeze = FreezeWindow {
            id: id.to_owned(),
            scope: "*".to_owned(),
            reason: String::new(),
            starts_at: at(1),
            ends_at,
            who: "ada".to_owned(),
        };
        assert!(db.add_freeze(&freeze, None).await.expect("a write"));
    }
    for (tag, seconds) in [("old", 99), ("new", 100)] {
        for seq in 0..600 {
            if seq % 100 == 0 || tag == "old" {
                db.add_canary(tag, Canary { seq, at: at(seconds), acked_at: None }).await.expect("a write");
            }
        }
    }
    db.sweep_runs(at(100)).await.expect("a sweep");
    let expected = [
        ("run", 4),
        ("step_attempt", 3),
        ("undo", 3),
        ("approval", 2),
        ("sample", 2),
        ("run_note", 2),
        ("rate_ledger", 2),
        ("resource_lock", 2),
        ("document_version", 3),
        ("schedule_fire", 2),
        ("calendar_window", 1),
        ("canary_ack", 6),
    ];
    assert_eq!(tables(&db).await, expected);
    let mut left = ids(db.runs(&RunFilter { limit: 100, ..RunFilter::default() }).await.expect("runs"));
    left.sort();
    assert_eq!(left, ["open", "paging", "undoing", "young"]);
    for (doc, hash) in [("gone", "newest of gone"), ("idle", "newest of idle"), ("doc", "hash of doc")] {
        assert_eq!(db.first_version(doc).await.expect("an answer").map(|version| version.hash).as_deref(), Some(hash));
    }
    let last = db.schedule_last(&["busy", "yearly"]).await.expect("instants");
    assert_eq!((last["busy"], last["yearly"]), (at(101), at(2)), "the newest instant stays, however old it is");
    db.sweep_runs(at(100)).await.expect("a second sweep finds nothing");
    assert_eq!(tables(&db).await, expected);
    db.close().await;
}
