//! Drills in a scripted world: what is measured, what is missed, and a death at every point.

use serde_json::json;
use tocsin_core::run::drill::{DrillWord, link, standing};
use tocsin_core::run::read::{check_calls, read};
use tocsin_core::run::record::{AttemptState, RunState, UndoState};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::study::Cadence;
use tocsin_core::time::Span;

use super::lab::{Death, Lab, Script, databases, document, live};
use super::world::{START, secs};

const TEXT: &str = "
apiVersion: tocsin/v1
kind: Drill
metadata: {id: d1, platform: shop, title: Lose the primary}
spec:
  environment: staging
  mode: live
  objective: {rpo: 1s, rto: 1m, phases: {detect: 30s, page: 10s, ack: 1m, data: 30s, traffic: 20s, verify: 30s, capacity: 2m}}
  cadence: {every: 30d, remind_before: 7d, alert_if_older_than: 40d}
  roles: {commander: {user: lea}, scribe: {user: any}}
  canary: {write: {kind: sql, sources: [main, spare], every: 100ms}, ack_log: local}
  clock:
    start: {event: first_failed_journey, journey: order}
    stop: {event: clean_journeys, journey: order, count: 5}
  inject:
    - {id: lose, kind: proc.signal, with: {process: primary, signal: kill}, until: failback}
    - {id: cut, kind: net.proxy, with: {proxy: db-a, blackhole: true}, ttl: 10m}
  page_check: {expect: {receiver: booking}, delivered_within: 30s, acked_within: 2m}
  recover: [{runbook: promote}]
  checks:
    - {id: data, kind: pg.restore_check, with: {source: main, queries: [row_counts]}}
    - {id: one, kind: one_writer, with: {sources: [main, spare]}}
    - {id: capacity, kind: metric.wait, with: {expr: ready, op: '>=', value: 0}}
  failback: [{runbook: back}]
  cleanup: {must_remove: [canary], verify: true}
  evidence: {frameworks: [soc2-a1.3]}
";

/// Something breaks at about 3 s; these are the instants behind the start of the run.
fn page(sent: i64, delivered: i64, acked: i64) -> serde_json::Value {
    let at = |seconds| (START + secs(seconds)).0;
    json!({ "page": "p1", "person": "lea", "sent_at": at(sent), "delivered_at": at(delivered), "acked_at": at(acked), "ok": true })
}

fn good() -> Script {
    Script {
        page: page(10, 12, 40),
        supervised: false,
        canary: json!({
            "acknowledged": 60, "surviving": 60, "lost": 0, "last_acknowledged_at": START.0 + 9000,
            "newest_surviving_at": START.0 + 9000, "first_accepted_after_gap_at": START.0 + 30_000
        }),
        ..Script::default()
    }
}

fn ended(script: Script) -> Lab {
    let lab = live(document(TEXT), script);
    assert!(!lab.stands());
    lab
}

#[test]
fn recovery_time_and_data_loss_are_measured_at_the_edge() {
    let lab = ended(good());
    let found = lab.result();
    assert_eq!((found.verdict, lab.state()), (DrillWord::Met, RunState::Succeeded), "{:?}", found.why);
    // The recovery takes 20 s from the first failed attempt, and users see it 5 s later.
    let start = found.clock_start.unwrap();
    let broken = lab.attempt("fault/lose").unwrap().started_at.unwrap();
    assert_eq!(start - broken, secs(2));
    assert!((secs(24)..=secs(27)).contains(&found.rto.unwrap()), "{:?}", found.rto);
    assert_eq!((found.rpo, found.lost_writes), (Some(Span::ZERO), Some(0)));
    assert_eq!(found.restore, Some(Span(12_500)));
    let names: Vec<&str> = found.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["detect", "page", "ack", "data", "traffic", "capacity", "verify"]);
    assert_eq!(found.phases[1].taken(), secs(2));
    assert_eq!(found.phases[2].taken(), secs(28));
    assert!(!lab.has_canary() && lab.pages.is_empty());
    assert!(
        lab.stored.undos.values().filter(|undo| undo.step_id.starts_with("fault/")).all(|undo| undo.state == UndoState::Undone)
    );
    assert!(lab.stored.samples.iter().any(|sample| sample.probe == "journey"));
    // A result can be made again from what was stored, in any order.
    let mut records = lab.records();
    records.attempts.reverse();
    assert_eq!(tocsin_core::run::drill::result(&lab.document, &records), Some(found));
}

#[test]
fn what_is_lost_is_counted_and_dated() {
    let mut script = good();
    script.canary["surviving"] = json!(31);
    script.canary["lost"] = json!(29);
    script.canary["newest_surviving_at"] = json!(START.0 + 6_060);
    let found = ended(script).result();
    assert_eq!((found.verdict, found.missed.as_slice()), (DrillWord::Missed, ["rpo".to_owned()].as_slice()));
    assert_eq!((found.rpo, found.lost_writes), (Some(Span(2_940)), Some(29)));
    assert_eq!(found.why, ["what was lost: 2s940ms; 1s are allowed"]);
}

/// What is missed, and by what.
type Miss = (&'static [&'static str], fn(&mut Script));

#[test]
fn each_objective_can_be_missed() {
    let cases: [Miss; 8] = [
        (&["rto"], |script| script.recovers_in = secs(70)),
        (&["rpo"], |script| script.canary = json!({ "acknowledged": 60 })),
        (&["page"], |script| script.page["ok"] = json!(false)),
        (&["detect"], |script| script.page = page(60, 61, 62)),
        (&["data"], |script| script.writers = 2),
        (&["data"], |script| script.restore_ok = false),
        (&["cleanup"], |script| script.removed = false),
        (&["page"], |script| script.page = json!({ "ok": false, "why": "delivered to oscar, not to lea" })),
    ];
    for (words, change) in cases {
        let mut script = good();
        change(&mut script);
        let lab = ended(script);
        let found = lab.result();
        assert_eq!(found.verdict, DrillWord::Missed, "{words:?}: {:?}", found.why);
        for word in words {
            assert!(found.missed.iter().any(|missed| missed == word), "{word}: {found:?}");
        }
        assert!(!found.missed.is_empty() && found.missed.len() <= 4, "{found:?}");
    }
}

#[test]
fn a_recovery_that_fails_is_missed_and_everything_is_taken_back() {
    let lab = ended(Script { recovery: "failed", supervised: true, ..good() });
    let found = lab.result();
    assert_eq!((found.verdict, lab.state()), (DrillWord::Missed, RunState::Undone));
    assert!(found.missed.contains(&"rto".to_owned()), "{found:?}");
    assert_eq!(found.rto, None);
    assert!(!lab.has_canary());
    assert_eq!(lab.pages.len(), 1, "{:?}", lab.pages);
}

#[test]
fn a_drill_that_was_cut_or_broke_nothing_says_nothing() {
    for (says, script) in [
        ("cancelled by olga", Script { cancel_at: Some(secs(12)), supervised: true, ..good() }),
        ("step proof/lose failed", Script { unproven: true, supervised: true, ..good() }),
    ] {
        let lab = ended(script);
        let found = lab.result();
        assert_eq!((found.verdict, lab.state()), (DrillWord::Aborted, RunState::Undone), "{:?}", found.why);
        assert_eq!(found.why, [says]);
        assert!(!lab.has_canary());
    }
}

#[test]
fn a_process_that_nobody_brings_back_is_told_at_once_and_kept_in_sight() {
    let lab = live(document(TEXT), Script { cancel_at: Some(secs(12)), ..good() });
    assert_eq!(lab.state(), RunState::UndoFailed);
    assert!(
        lab.pages.iter().any(|page| page.contains("fault/lose does not heal: primary is in state -, not running")),
        "{:?}",
        lab.pages
    );
    assert!(!lab.has_canary());
    let ended = lab.stored.run.as_ref().unwrap().ended_at.unwrap();
    assert!(ended - START >= Span::from_mins(240), "what stands until the failback has the whole drill");
}

#[test]
fn a_death_at_any_point_leaves_nothing_broken() {
    let script = || Script { supervised: true, ..good() };
    let mut calm = Death::default();
    Lab::new(document(TEXT), script()).live(&mut calm);
    let mut verdicts = std::collections::BTreeMap::new();
    for at in 1..=calm.passed {
        let mut death = Death { at: Some(at), ..Death::default() };
        let mut lab = Lab::new(document(TEXT), script());
        lab.live(&mut death);
        assert!(death.died, "point {at} was not reached");
        assert!(!lab.stands() && !lab.has_canary(), "point {at}");
        let found = lab.result();
        if lab.attempt("clock/stop").is_some_and(|one| one.state == AttemptState::Succeeded) {
            assert!(matches!(found.verdict, DrillWord::Met | DrillWord::Missed), "point {at}: {found:?}");
        } else {
            assert_eq!(found.verdict, DrillWord::Aborted, "point {at}: {found:?}");
        }
        *verdicts.entry(found.verdict.word()).or_insert(0) += 1;
    }
    assert!(verdicts["met"] > 10 && verdicts["aborted"] > 10, "{verdicts:?}");
}

#[test]
fn on_paper_people_talk_it_through() {
    let text = "
apiVersion: tocsin/v1
kind: Drill
metadata: {id: t1, platform: shop, title: Lose the region, owner: team}
spec:
  environment: [staging, production]
  mode: tabletop
  schedule: {cron: '0 10 1 * *', tz: UTC, environment: staging, jitter: 1h, window: 3h}
  tasks: [{id: who, title: Who decides?, evidence: true}, {id: how, title: How is the name switched?}]
";
    let drill = document(text);
    assert!(drill.params["environment"].required);
    let single = text.replace("[staging, production]", "staging");
    let lab = live(document(&single), Script::default());
    assert_eq!((lab.result().verdict, lab.state()), (DrillWord::Tabletop, RunState::Succeeded));
    let lab = live(document(&single), Script { cancel_at: Some(Span::ZERO), ..Script::default() });
    assert!(matches!(lab.state(), RunState::Refused | RunState::Succeeded | RunState::Undone));
}

#[test]
fn a_restore_alone_is_no_recovery() {
    let text = "
apiVersion: tocsin/v1
kind: Drill
metadata: {id: c1, platform: shop, title: Restore the backup}
spec:
  environment: staging
  mode: component
  objective: {phases: {data: 10s}}
  checks: [{id: restore, kind: pg.restore_check, with: {source: main, queries: [row_counts, constraint_check]}}]
";
    let found = live(document(text), Script::default()).result();
    assert_eq!((found.verdict, found.rto, found.restore), (DrillWord::Met, None, Some(Span(12_500))));
    let found = live(document(text), Script { restore_ok: false, ..Script::default() }).result();
    assert_eq!((found.verdict, found.missed), (DrillWord::Missed, vec!["data".to_owned()]));
}

const EXPERIMENT: &str = "
apiVersion: tocsin/v1
kind: Experiment
metadata: {id: cut-db, platform: shop, title: Cut the database}
spec:
  environment: staging
  hypothesis: [{id: errors, expr: errors, op: '<', value: 1}]
  phases: {baseline: 30s, fault: 1m, recovery: 30s}
  targets: {select: {kind: proxy, labels: {service: db}}, expect: 1}
  faults: [{id: cut, kind: net.proxy, with: {blackhole: true}, ttl: 5m}]
";

fn documents(drill: &str) -> Vec<Runbook> {
    let runbook = |id: &str, class: &str| {
        format!(
            "apiVersion: tocsin/v1\nkind: Runbook\nmetadata: {{id: {id}, platform: shop, title: T, owner: team}}\nspec:\n  class: {class}\n  \
             steps: [{{id: a, kind: wait, effect: idempotent, with: {{for: 1s}}}}]\n"
        )
    };
    [drill.to_owned(), EXPERIMENT.to_owned(), runbook("promote", "destructive"), runbook("back", "safe")]
        .iter()
        .map(|text| read("d.yml", text, &databases(), START).0.unwrap_or_else(|| panic!("{text}")))
        .collect()
}

#[test]
fn a_drill_injects_the_faults_of_an_experiment() {
    let text = TEXT.replace("{id: cut, kind: net.proxy, with: {proxy: db-a, blackhole: true}, ttl: 10m}", "{experiment: cut-db}");
    let mut all = documents(&text);
    let before = all[0].hash();
    assert_eq!(link(&mut all), []);
    assert_eq!(check_calls(&all), []);
    assert_ne!(all[0].hash(), before, "approvals are bound to what is broken");
    assert_eq!(all[0].guards.targets, all[1].guards.targets);
    let lab = live(std::sync::Arc::new(all.remove(0)), good());
    assert_eq!(lab.result().verdict, DrillWord::Met, "{:?}", lab.result().why);
    assert_eq!(lab.attempt("fault/cut").unwrap().state, AttemptState::Succeeded);

    let mut all = documents(
        &TEXT.replace("{id: cut, kind: net.proxy, with: {proxy: db-a, blackhole: true}, ttl: 10m}", "{experiment: other}"),
    );
    let found = link(&mut all);
    assert_eq!((found[0].id.as_str(), found[0].message.as_str()), ("d1", "there is no experiment \"other\""));
    let all = documents(&TEXT.replace("runbook: back", "runbook: cut-db").replace("runbook: promote", "runbook: none"));
    let faults = check_calls(&all);
    assert!(
        faults.iter().any(|one| one.id == "d1" && one.message == "step recover/0: there is no runbook \"none\""),
        "{faults:?}"
    );
    assert!(faults.iter().any(|one| one.message.contains("cut-db is no runbook, and only runbooks are called")), "{faults:?}");
}

#[test]
fn a_calendar_reminds_and_then_alerts() {
    let day = Span::from_mins(24 * 60);
    let days = |count: i64| START + Span(day.0 * count);
    let cadence = Cadence { every: days(30) - START, remind_before: days(7) - START, alert_if_older_than: days(40) - START };
    for (now, remind, overdue, alert) in
        [(22, false, false, false), (23, true, false, false), (30, true, true, false), (40, true, true, true)]
    {
        let found = standing(&cadence, START, days(now));
        assert_eq!((found.due_at, found.remind, found.overdue, found.alert), (days(30), remind, overdue, alert));
    }
}
