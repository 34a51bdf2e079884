//! Rows of runs for the contract: one of each kind, and as many as it takes to hold every word.

use std::collections::BTreeMap;

use serde_json::json;
use tocsin_core::access::Role;
use tocsin_core::run::action::{Compare, Header, Method, NoData, RestoreQuery, Signal, Urgency};
use tocsin_core::run::guard::Guard;
use tocsin_core::run::lever::{Awaited, Canary, Direction, ProcessState, Toxic, ToxicKind};
use tocsin_core::run::plan::{Effect, FailClass};
use tocsin_core::run::record::{
    ApprovalRow, AttemptKey, AttemptState, Batch, DocKind, DocumentVersion, Ending, Fault, LockRow, Phase, Record, RunRow,
    RunState, StepAttempt, TriggerKind, UndoRow, UndoScope, UndoState, Vote, WaitFor,
};
use tocsin_core::run::request::{Expected, Request};
use tocsin_core::run::runbook::Mode;
use tocsin_core::run::value::{Value, Values};
use tocsin_core::time::Span;

use super::at;

/// What no column, and no JSON, may take amiss.
pub const NASTY: &str = "tab\t, quotes ' \" \\ `, line\n, $1 ? %, größe 🚒 \u{10FFFF}";

pub fn version(doc_id: &str) -> DocumentVersion {
    DocumentVersion {
        hash: format!("hash of {doc_id}"),
        kind: DocKind::Runbook,
        doc_id: doc_id.to_owned(),
        body: json!({"title": NASTY}).to_string(),
        created_by: "ada".to_owned(),
        created_at: at(1),
    }
}

/// A run that has just been asked for by hand; nothing optional is there.
pub fn run(id: &str, doc_id: &str) -> RunRow {
    RunRow {
        id: id.to_owned(),
        kind: DocKind::Runbook,
        doc_id: doc_id.to_owned(),
        doc_hash: format!("hash of {doc_id}"),
        platform: "shop".to_owned(),
        state: RunState::Requested,
        waiting: None,
        waiting_since: None,
        escalated: false,
        refused_by: None,
        reason: String::new(),
        ending: None,
        params: Values::new(),
        targets: Vec::new(),
        trigger_kind: TriggerKind::Manual,
        trigger_ref: None,
        trigger_labels: BTreeMap::new(),
        mode: Mode::Approve,
        starter: "ada".to_owned(),
        starter_role: None,
        editor: "ben".to_owned(),
        parent_run: None,
        dry_run: false,
        owner_node: None,
        fence: 1,
        lease_until: None,
        created_at: at(100),
        started_at: None,
        ended_at: None,
        verdict: None,
    }
}

/// A run with something in every column.
pub fn full_run(id: &str, doc_id: &str) -> RunRow {
    RunRow {
        state: RunState::Waiting,
        waiting: Some(WaitFor::Lock),
        waiting_since: Some(at(101)),
        escalated: true,
        refused_by: Some(Guard::KillSwitch),
        reason: NASTY.to_owned(),
        ending: Some(Ending { undo: UndoScope::Temporary, page: true, why: NASTY.to_owned() }),
        params: values(),
        targets: vec!["shop-db".to_owned(), NASTY.to_owned()],
        trigger_kind: TriggerKind::Alert,
        trigger_ref: Some(format!("{NASTY} {id}")),
        trigger_labels: BTreeMap::from([(NASTY.to_owned(), NASTY.to_owned())]),
        starter_role: Some(Role::SreLead),
        parent_run: Some("the run above".to_owned()),
        dry_run: true,
        owner_node: Some("node".to_owned()),
        fence: i64::MAX,
        lease_until: Some(at(130)),
        started_at: Some(at(102)),
        ended_at: Some(at(103)),
        verdict: Some(NASTY.to_owned()),
        ..run(id, doc_id)
    }
}

/// A value of each type, with numbers that are easily bent.
pub fn values() -> Values {
    let values = [
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Float(0.1 + 0.2),
        Value::Float(1.797e308),
        Value::Float(-5e-324),
        Value::Float(1.0),
        Value::Bool(true),
        Value::Word(NASTY.to_owned()),
        Value::Name("shop-db".to_owned()),
        Value::Duration(Span::from_secs(90)),
        Value::Text("a\0b".to_owned()),
    ];
    values.into_iter().enumerate().map(|(number, value)| (format!("p{number}"), value)).collect()
}

/// A request of each kind.
pub fn requests() -> Vec<Request> {
    let expect = || vec![Expected { path: "/a/0".to_owned(), op: Compare::NotEqual, value: Value::Float(0.1) }];
    let text = |text: &str| text.to_owned();
    let canary =
        Canary { sources: vec![text("a"), text("b")], every: Span::from_secs(1), table: text("tocsin_canary"), tag: text("t") };
    vec![
        Request::Exec {
            program: text("/usr/bin/true"),
            sha256: Some(text("ab")),
            argv: vec![text("/usr/bin/true"), text(NASTY)],
            env: BTreeMap::from([(text("A"), text(NASTY))]),
        },
        Request::Http {
            method: Method::Patch,
            url: text("https://api.example.org/x?y=z"),
            query: vec![(text("q"), text(NASTY))],
            headers: BTreeMap::from([(text("a"), Header::Literal(text("b"))), (text("c"), Header::Secret(text("ci-hook")))]),
            body: Some(json!({"deep": [1, 2.5, null, {"x": NASTY}]})),
            status: vec![200, 204],
            expect: expect(),
        },
        Request::Query { expr: text("up == 1"), op: Compare::GreaterOrEqual, value: 0.1 + 0.7, no_data: NoData::Allow },
        Request::Sql { source: text("shop"), query: text("SELECT $1"), bind: values().into_values().collect(), expect: expect() },
        Request::PgPromote { source: text("shop"), wait: Span::from_secs(60) },
        Request::PgRestoreCheck { source: text("shop"), queries: vec![RestoreQuery::RowCounts] },
        Request::ProcSignal { process: text("worker"), signal: Signal::Usr2, ttl: None },
        Request::ProcSignal { process: text("worker"), signal: Signal::Stop, ttl: Some(Span::from_secs(9)) },
        Request::Page { policy: None, summary: text(NASTY), urgency: Urgency::Critical },
        Request::Call { runbook: text("other"), params: values() },
        Request::Proxy { proxy: text("shop-db"), toxics: toxics(), until: Span::from_secs(60), tag: text("t") },
        Request::ProxyHeal { proxy: text("shop-db"), tag: text("t") },
        Request::ProxyProof { proxy: text("shop-db"), tag: text("t"), expect: true, affected_min: u64::MAX },
        Request::ProcProof {
            process: text("worker"),
            expect: ProcessState::Stopped,
            started: Some(i64::MAX),
            within: Span::from_secs(5),
        },
        Request::JourneyWait { journey: text("order"), what: Awaited::Clean { count: 10 }, since: at(5) },
        Request::JourneyWait { journey: text("order"), what: Awaited::Failed, since: at(5) },
        Request::CanaryStart(canary.clone()),
        Request::CanaryStop(canary.clone()),
        Request::CanaryRead(canary.clone()),
        Request::CanaryDrop(canary),
        Request::PageCheck {
            platform: text("shop"),
            since: at(5),
            person: Some(text("ada")),
            receiver: None,
            delivered_within: Span::from_secs(60),
            acked_within: Span::from_secs(300),
        },
        Request::OneWriter { sources: vec![text("a"), text("b")] },
    ]
}

/// A toxic of each kind.
fn toxics() -> Vec<Toxic> {
    let kinds = [
        ToxicKind::Latency { delay: Span(80), jitter: Span(20) },
        ToxicKind::Bandwidth { bytes_per_second: u64::MAX },
        ToxicKind::Blackhole,
        ToxicKind::Reset { after: Span(10) },
        ToxicKind::Down,
    ];
    let directions = Direction::ALL.into_iter().cycle();
    kinds.into_iter().zip(directions).map(|(kind, direction)| Toxic { direction, kind, toxicity: 0.1 + 0.2 }).collect()
}

pub fn attempt(run_id: &str, step: &str, state: AttemptState) -> StepAttempt {
    StepAttempt {
        run_id: run_id.to_owned(),
        key: AttemptKey { step: step.to_owned(), target: String::new(), phase: Phase::Do, attempt: 1 },
        state,
        effect: Effect::Idempotent,
        idem_key: format!("{run_id}/{step}/1"),
        fence: 1,
        request: None,
        response: None,
        handle: None,
        saved: Values::new(),
        due_at: None,
        started_at: None,
        ended_at: None,
        error: None,
    }
}

/// Attempts that hold, together, every word and every kind of request.
pub fn attempts(run_id: &str) -> Vec<StepAttempt> {
    use AttemptState::{Abandoned, Failed, Intent, Issued, Pending, Skipped, Succeeded, Unknown};
    let states = [Pending, Intent, Issued, Succeeded, Failed, Unknown, Skipped, Abandoned];
    let phases = [Phase::Do, Phase::Check, Phase::Undo, Phase::UndoCheck, Phase::Verify, Phase::Page, Phase::Sample];
    let responses = [json!(null), json!({"status": 200, "body": NASTY}), json!([0.1, i64::MAX, u64::MAX, "a\0b"]), json!("x")];
    let requests = requests();
    let mut attempts = vec![attempt(run_id, "bare", Pending)];
    for number in 0..56_usize {
        attempts.push(StepAttempt {
            key: AttemptKey {
                step: format!("step {}", number / 6),
                target: if number % 2 == 0 { NASTY.to_owned() } else { String::new() },
                phase: phases[number % phases.len()],
                attempt: u32::try_from(number).expect("small") + 1,
            },
            effect: Effect::ALL[number % Effect::ALL.len()],
            request: Some(requests[number % requests.len()].clone()),
            response: Some(responses[number % responses.len()].clone()),
            handle: Some(format!("{NASTY} {number}")),
            saved: values(),
            due_at: Some(at(1)),
            started_at: Some(at(2)),
            ended_at: Some(at(3)),
            error: Some(Fault {
                class: FailClass::ALL[number % FailClass::ALL.len()],
                message: NASTY.to_owned(),
                definite: number % 3 == 0,
            }),
            ..attempt(run_id, "", states[number % states.len()])
        });
    }
    attempts
}

pub fn undo(run_id: &str, seq: u32, state: UndoState) -> UndoRow {
    UndoRow {
        id: format!("{run_id}/{seq}"),
        run_id: run_id.to_owned(),
        step_id: "break".to_owned(),
        target: NASTY.to_owned(),
        seq,
        action: requests()[6].clone(),
        check: None,
        timeout: Span::from_secs(30),
        deadline: None,
        state,
        verified_at: None,
        fence: 1,
    }
}

/// Undos that hold, together, every word and every kind of request.
pub fn undos(run_id: &str) -> Vec<UndoRow> {
    let states = [UndoState::Armed, UndoState::Started, UndoState::Undone, UndoState::Failed, UndoState::Released];
    let with_all = requests().into_iter().zip(0_u32..).map(|(request, number)| UndoRow {
        action: request.clone(),
        check: Some(request),
        deadline: Some(at(50)),
        verified_at: Some(at(60)),
        ..undo(run_id, number + 1, states[number as usize % states.len()])
    });
    std::iter::once(undo(run_id, 0, UndoState::Armed)).chain(with_all).collect()
}

pub fn approval(run_id: &str, who: &str, verdict: Vote) -> ApprovalRow {
    ApprovalRow {
        run_id: run_id.to_owned(),
        step_id: String::new(),
        subject_hash: "subject".to_owned(),
        who: who.to_owned(),
        role: Role::SreLead,
        verdict,
        via: "web".to_owned(),
        mfa: false,
        at: at(10),
    }
}

pub fn lock(name: &str, run_id: &str, until: i64) -> LockRow {
    LockRow { name: name.to_owned(), run_id: run_id.to_owned(), fence: 1, lease_until: at(until) }
}

/// The first batch of a run.
pub fn first(run: &RunRow) -> Batch {
    batch(run, vec![Record::Run(Box::new(run.clone()))])
}

pub fn batch(run: &RunRow, records: Vec<Record>) -> Batch {
    Batch { run_id: run.id.clone(), fence: run.fence, records, orders: Vec::new() }
}
