//! Guards: one table, in their order; each refusal with its reason.

use tocsin_core::access::Role;
use tocsin_core::run::guard::{Asked, Facts, Freeze, Guard, Verdict, judge, subject_hash, wanted};
use tocsin_core::run::history::{Ended, effective_mode};
use tocsin_core::run::record::{ApprovalRow, RateEntry, RunRow, RunState, TriggerKind, Vote, WaitFor};
use tocsin_core::run::runbook::{Mode, Runbook};
use tocsin_core::run::value::{Value, Values};
use tocsin_core::time::{Span, Timestamp};

use super::world::{START, World, by_alert, by_person, inventory, runbook, secs};

const REST: &str = "
params: {num: {type: int, min: 0, max: 100, default: 20}, p: {type: name, of: process, default: worker-1}}
triggers: [{manual: {roles: [operator, responder]}}, {alert: {name: Backlog, mode: auto}}]
targets: {kind: process, labels: {tier: one}, expect: 1}
guards:
  lock: {key: dinner/api}
  cooldown: {key: [runbook, param.num, target], every: 1h}
  daily_max: 3
  blast: {max_targets: 1, max_change: {param: num, of: ready, percent: 100}}
  budget: {slo: dn, on_exhausted: refuse, remaining_at_least: 0.5}
  precheck: [{expr: paused, match: {job: {param: p}}, op: '==', value: 0}]
  no_open_page: true
  staging_passed_within: 14d
verify: [{expr: up, op: '==', value: 1, within: 1m}]";
const STEP: &str = "- {id: a, kind: proc.signal, effect: idempotent, with: {process: {param: p}, signal: hup}}";

struct Case {
    runbook: std::sync::Arc<Runbook>,
    row: RunRow,
    facts: Facts,
    approvals: Vec<ApprovalRow>,
    now: Timestamp,
}

impl Case {
    /// Returns a case in which every guard passes.
    fn good() -> Case {
        let runbook = runbook("disruptive", STEP, REST);
        let world = World::new(runbook.clone(), by_person(&runbook));
        let row = world.run.row().clone();
        let asked = wanted(&runbook, &row);
        assert_eq!(asked.queries, ["paused{job=\"worker-1\"}", "ready"]);
        assert_eq!((asked.lock.as_deref(), asked.slo.as_deref()), (Some("dinner/api"), Some("dn")));
        let facts = Facts {
            staging_passed_at: Some(START - Span::from_mins(60)),
            open_pages: Some(0),
            budget_remaining: Some(0.5),
            inventory: inventory(),
            rate_keys: asked.rate_keys,
            values: [("paused{job=\"worker-1\"}".to_owned(), 0.0), ("ready".to_owned(), 10.0)].into(),
            ..Facts::default()
        };
        Case { runbook, row, facts, approvals: Vec::new(), now: START }
    }

    fn judge(&self) -> Verdict {
        judge(&Asked { runbook: &self.runbook, run: &self.row, approvals: &self.approvals }, &self.facts, self.now)
    }

    fn refusal(&self) -> Option<(Guard, String)> {
        match self.judge() {
            Verdict::Refuse(refusal) => Some((refusal.guard, refusal.reason)),
            Verdict::Wait { on, .. } => panic!("waits for {on:?}"),
            Verdict::Pass(_) => None,
        }
    }

    fn entry(&self, key: usize, at: Timestamp) -> RateEntry {
        RateEntry { key: self.facts.rate_keys[key].clone(), run_id: format!("other-{}", at.0), at }
    }
}

type Break = fn(&mut Case);

/// Writes the name of a process into the document.
fn signal(case: &mut Case, name: &str) {
    let text = super::world::text("disruptive", &STEP.replace("{param: p}", name), REST);
    let (runbook, _) = tocsin_core::run::read::read("r.yml", &text, &super::world::allowed(), START);
    case.runbook = runbook.unwrap().into();
    case.row.doc_hash = case.runbook.hash();
}

/// What breaks each guard, in the order in which they are asked.
const BREAKS: [(Guard, &str, Break); 30] = [
    (Guard::Schema, "another version of the document", |case| case.row.doc_hash = "0".repeat(64)),
    (Guard::Schema, "the trigger is disabled", |case| case.row.mode = Mode::Disabled),
    (Guard::Role, "a responder may not run what is disruptive", |case| case.row.starter_role = Some(Role::Responder)),
    (Guard::Role, "lets no sre-lead start it by hand", |case| case.row.starter_role = Some(Role::SreLead)),
    (Guard::Role, "nobody is named", |case| case.row.starter_role = None),
    (Guard::KillSwitch, "the kill switch is on: oncall: storm", |case| case.facts.kill = Some("oncall: storm".to_owned())),
    (Guard::Freeze, "changes are frozen: holidays", |case| {
        case.facts.freeze = Some(Freeze { reason: "holidays".to_owned(), until: None });
    }),
    (Guard::Ladder, "it has not passed in staging", |case| case.facts.staging_passed_at = None),
    (Guard::Ladder, "longer ago than 2w", |case| case.facts.staging_passed_at = Some(START - Span::from_mins(15 * 24 * 60))),
    (Guard::OpenPage, "2 pages of the platform are open", |case| case.facts.open_pages = Some(2)),
    (Guard::OpenPage, "it is not known", |case| case.facts.open_pages = None),
    (Guard::Budget, "49.9 % of the error budget of dn are left; 50.0 % are needed", |case| {
        case.facts.budget_remaining = Some(0.499)
    }),
    (Guard::Budget, "is not known", |case| case.facts.budget_remaining = None),
    (Guard::Budget, "is not known", |case| case.facts.budget_remaining = Some(f64::NAN)),
    (Guard::Targets, "an empty selection is never acted upon", |case| {
        case.facts.inventory.items.retain(|item| item.name != "worker-1");
    }),
    (Guard::Targets, "2 things match where 1 are expected", |case| {
        case.facts.inventory.items[2].labels.insert("tier".to_owned(), "one".to_owned());
    }),
    (Guard::Targets, "part of the control plane", |case| case.facts.inventory.items[1].control_plane = true),
    (Guard::Targets, "all 1 things of the kind \"process\" match", |case| {
        case.facts.inventory.items.retain(|item| item.name == "worker-1");
    }),
    (Guard::Targets, "no process of the inventory is called \"gone\"", |case| signal(case, "gone")),
    (Guard::Targets, "\"tocsin\" is part of the control plane", |case| signal(case, "tocsin")),
    (Guard::Targets, "\"tocsin\" is part of the control plane", |case| {
        case.row.params.insert("p".to_owned(), Value::Name("tocsin".to_owned()));
    }),
    (Guard::Targets, "num 20 lies 122 % from 9; 100 % are allowed", |case| {
        case.facts.values.insert("ready".to_owned(), 9.0);
    }),
    (Guard::Targets, "it is not known how far num lies", |case| {
        case.facts.values.remove("ready");
    }),
    (Guard::Lock, "run other holds the lock dinner/api", |case| case.facts.lock_holder = Some("other".to_owned())),
    (Guard::Rate, "1 runs within 1h; at most 1 are allowed", |case| {
        case.facts.rates.push(case.entry(0, case.now - Span::from_mins(59)));
    }),
    (Guard::Rate, "1 runs within 1h", |case| case.facts.rates.push(case.entry(0, case.now + Span::from_mins(90)))),
    (Guard::Rate, "3 runs within a day; at most 3 are allowed", |case| {
        for hours in [2, 3, 23] {
            case.facts.rates.push(case.entry(1, case.now - Span::from_mins(hours * 60)));
        }
    }),
    (Guard::Rate, "earlier runs were not counted", |case| case.facts.rate_keys.clear()),
    (Guard::Precheck, "has no data", |case| {
        case.facts.values.remove("paused{job=\"worker-1\"}");
    }),
    (Guard::Lease, "the lease of the run has ended", |case| case.row.lease_until = Some(START)),
];

#[test]
fn each_guard_refuses_with_its_reason() {
    assert_eq!(Case::good().refusal(), None);
    for (guard, says, breaks) in BREAKS {
        let mut case = Case::good();
        breaks(&mut case);
        let (found, reason) = case.refusal().unwrap_or_else(|| panic!("{guard:?} let {says:?} pass"));
        assert_eq!(found, guard, "{reason}");
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn the_first_guard_in_the_order_speaks() {
    for (first, says, breaks_first) in BREAKS {
        for (second, _, breaks_second) in BREAKS.iter().filter(|(second, ..)| *second > first) {
            let mut case = Case::good();
            breaks_second(&mut case);
            breaks_first(&mut case);
            assert_eq!(case.refusal().map(|(guard, _)| guard), Some(first), "{says} before {second:?}");
        }
    }
}

#[test]
fn what_lies_outside_of_the_span_is_not_counted_and_the_same_run_is_not_either() {
    let mut case = Case::good();
    case.facts.rates.push(case.entry(0, case.now - Span::from_mins(60)));
    case.facts.rates.push(RateEntry { key: case.facts.rate_keys[0].clone(), run_id: "run-1".to_owned(), at: case.now });
    assert_eq!(case.refusal(), None);
    case.facts.lock_holder = Some("run-1".to_owned());
    assert_eq!(case.refusal(), None);
}

fn vote(case: &Case, who: &str, role: Role, hash: &str) -> ApprovalRow {
    ApprovalRow {
        run_id: "run-1".to_owned(),
        step_id: String::new(),
        subject_hash: hash.to_owned(),
        who: who.to_owned(),
        role,
        verdict: Vote::Approve,
        via: "web".to_owned(),
        mfa: false,
        at: case.now,
    }
}

#[test]
fn an_alert_in_auto_waits_for_a_person_until_five_runs_were_verified() {
    let runbook = runbook("disruptive", STEP, REST);
    let mut case = Case::good();
    let alert = World::new(runbook.clone(), by_alert(&runbook));
    case.row = alert.run.row().clone();
    let hash = subject_hash(&case.row, &["worker-1".to_owned()], "");
    let ended = |state, attended| Ended { doc_hash: runbook.hash(), attended, state };
    let waits = |case: &Case| matches!(case.judge(), Verdict::Wait { on: WaitFor::Approval, .. });
    assert!(waits(&case));
    case.facts.history = vec![ended(RunState::Succeeded, true); 4];
    assert!(waits(&case));
    case.facts.history.push(ended(RunState::Succeeded, false));
    assert!(waits(&case), "a run that nobody watched earns nothing");
    case.facts.history.push(ended(RunState::Succeeded, true));
    assert!(matches!(case.judge(), Verdict::Pass(_)));
    case.facts.history.push(ended(RunState::Undone, false));
    assert!(waits(&case), "one failure sends it back");
    case.facts.history.push(ended(RunState::Failed, true));
    assert_eq!(
        case.refusal().map(|(guard, reason)| (guard, reason.contains("the last 2 runs failed"))),
        Some((Guard::Rate, true))
    );
    // Another version begins at nothing.
    let other = Ended { doc_hash: "other".to_owned(), attended: true, state: RunState::Succeeded };
    assert_eq!(effective_mode(&runbook, Mode::Auto, &vec![other; 9], START), Mode::Approve);
    let good = vec![ended(RunState::Succeeded, true); 5];
    assert_eq!(effective_mode(&runbook, Mode::Auto, &good, START), Mode::Auto);
    let mut stale = (*runbook).clone();
    stale.metadata.review_by = Some(START);
    let history: Vec<Ended> = good.iter().map(|one| Ended { doc_hash: stale.hash(), ..one.clone() }).collect();
    assert_eq!(effective_mode(&stale, Mode::Auto, &history, START - Span(1)), Mode::Auto);
    assert_eq!(effective_mode(&stale, Mode::Auto, &history, START), Mode::Approve);
    assert_eq!(effective_mode(&runbook, Mode::Suggest, &good, START), Mode::Suggest);
    // Whoever may not approve does not count, and a vote is worth what it was given for.
    case.facts.history.clear();
    for (who, role, hash) in
        [("edna", Role::SreLead, hash.as_str()), ("oscar", Role::Operator, hash.as_str()), ("lea", Role::SreLead, "another")]
    {
        case.approvals = vec![vote(&case, who, role, hash)];
        assert!(waits(&case), "{who}");
    }
    case.approvals = vec![vote(&case, "lea", Role::SreLead, &hash)];
    assert!(matches!(case.judge(), Verdict::Pass(_)));
    case.row.params.insert("num".to_owned(), Value::Int(19));
    let counted = std::mem::replace(&mut case.facts.rate_keys, wanted(&case.runbook, &case.row).rate_keys);
    assert!(waits(&case), "other values void it");
    case.facts.rate_keys = counted;
    case.row.params.insert("num".to_owned(), Value::Int(20));
    case.now = START + Span::from_mins(10);
    case.row.lease_until = Some(case.now + secs(30));
    assert!(waits(&case), "a vote expires");
}

#[test]
fn a_subject_is_document_values_targets_and_step() {
    let row = Case::good().row;
    let hash = |change: fn(&mut RunRow), targets: &[&str], step: &str| {
        let mut row = row.clone();
        change(&mut row);
        subject_hash(&row, &targets.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>(), step)
    };
    let hashes = [
        hash(|_| {}, &["a"], ""),
        hash(|_| {}, &["a"], "s"),
        hash(|_| {}, &["a", "b"], ""),
        hash(|_| {}, &["a,b"], ""),
        hash(|row| row.doc_hash = "x".to_owned(), &["a"], ""),
        hash(|row| row.params = Values::new(), &["a"], ""),
    ];
    let distinct: std::collections::BTreeSet<&String> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());
}

#[test]
fn freezes_can_be_overridden_by_approval_or_waited_for() {
    let frozen = |policy: &str| {
        let runbook =
            runbook("disruptive", STEP, &REST.replace("no_open_page: true", &format!("no_open_page: true\n  freeze: {policy}")));
        let mut case = Case::good();
        case.row.doc_hash = runbook.hash();
        case.runbook = runbook;
        case.facts.freeze = Some(Freeze { reason: "holidays".to_owned(), until: None });
        case.judge()
    };
    assert!(matches!(frozen("honour"), Verdict::Refuse(refusal) if refusal.guard == Guard::Freeze));
    assert!(matches!(frozen("override_with_approval"), Verdict::Wait { on: WaitFor::Approval, .. }));
    assert!(matches!(frozen("wait"), Verdict::Wait { on: WaitFor::Window, .. }));
}

#[test]
fn a_called_run_was_let_through_with_its_caller() {
    let mut case = Case::good();
    case.row.starter_role = None;
    case.row.trigger_kind = TriggerKind::Run;
    case.row.mode = Mode::Auto;
    assert_eq!(case.refusal(), None);
}
