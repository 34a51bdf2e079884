//! Runbooks as people write them: good ones, and every fault of bad ones with its place.

use tocsin_core::problem::Severity;
use tocsin_core::run::plan::{Effect, OnFail};
use tocsin_core::run::read::{check_calls, read};
use tocsin_core::run::runbook::Runbook;

use super::world::{START, allowed, errors, runbook, text};

const WHOLE: &str = r#"
apiVersion: tocsin/v1
kind: Runbook
metadata:
  id: dn-scale-out
  platform: dinner
  slug: scaling
  title: Raise capacity of the booking API
  owner: team-booking
  review_by: 2027-01-31
spec:
  class: disruptive
  params:
    replicas: {type: int, min: 10, max: 100, required: true}
    namespace: {type: enum, values: [booking], default: booking}
    process: {type: name, of: process, default: worker-1}
  triggers:
    - alert: {name: DnBacklogHigh, match: {platform: dinner}, mode: auto}
      params: {replicas: {from: expr, expr: 'min(100 * vector(1))'}}
    - webhook: {source: ci, hmac_secret: ci-hook, params: {replicas: {from: body, path: /replicas}}}
    - schedule: {cron: '0 18 * * 5', tz: Europe/Paris, params: {replicas: 80}}
    - manual: {roles: [operator]}
  targets: {kind: process, labels: {tier: one}, expect: 1, max_percent: 50}
  guards:
    lock: {key: 'dinner/booking-api', on_busy: queue}
    cooldown: {key: ['runbook', 'param.namespace', 'target'], every: 1h, max: 1}
    daily_max: 4
    blast: {max_targets: 1, max_change: {param: replicas, of: dn_ready_replicas, percent: 100}}
    freeze: override_with_approval
    budget: {slo: dn-availability, on_exhausted: allow}
    precheck:
      - {expr: 'kube_deployment_spec_paused{deployment="booking-api"}', op: '==', value: 0, no_data: allow}
    approvals: {count: 1, roles: [sre-lead], not_starter: true, expires: 10m, on_expire: escalate}
    total_timeout: 15m
  steps:
    - id: snapshot
      kind: http.request
      effect: idempotent
      with: {method: GET, url: 'https://api.example/hpa', query: {ns: {param: namespace}}}
      save: {before: {path: /body/spec/min, type: int, min: 0, max: 1000}, whole: /body}
    - id: raise_floor
      kind: http.request
      effect: keyed
      with:
        method: PATCH
        url: https://api.example/hpa
        key_header: Idempotency-Key
        headers: {authorization: {secret: ci-hook}}
        body: {spec: {min: {param: replicas}, notes: ['a', 1, null]}}
      undo:
        kind: http.request
        with: {method: PATCH, url: 'https://api.example/hpa', body: {spec: {min: {saved: snapshot.before}}}}
        check: {kind: http.check, with: {url: 'https://api.example/hpa', expect: [{path: /spec/min, value: {saved: snapshot.before}}]}}
      timeout: 30s
      retry: {attempts: 4, backoff: 1s, factor: 2, max: 20s, jitter: full, when: [timeout, 5xx, conflict]}
    - id: wait_ready
      kind: metric.wait
      effect: idempotent
      with: {expr: 'dn_ready_replicas', match: {namespace: {param: namespace}}, op: '>=', value: {param: replicas}, hold: 30s}
      timeout: 8m
      on_fail: goto:tell_human
    - {id: nudge, kind: proc.signal, effect: probe, with: {process: {param: process}, signal: hup}, undo: none,
       check: {kind: sql.query, with: {source: main, query: 'select state from t where id = $1', bind: [{param: process}],
               expect: [{path: /rows/0/0, value: done}]}, in_progress: {path: /rows/0/0, value: busy}}}
    - {id: tool, kind: exec.argv, effect: idempotent, undo: none, with: {program: /opt/tool, positional: [{value: {param: namespace}, match: '[a-z]+'}], env: {MODE: fast}}}
    - {id: rest, kind: wait, effect: idempotent, with: {for: 30s}}
    - {id: look, kind: human.task, effect: idempotent, with: {title: {text: [look at, ' ', {label: instance}, {saved: snapshot.whole}]}, evidence: true}}
    - {id: agree, kind: approval, effect: idempotent, with: {count: 2, roles: [sre-lead]}}
    - {id: sound, kind: pg.restore_check, effect: idempotent, with: {source: main, queries: [row_counts]}}
    - {id: other, kind: runbook.call, effect: idempotent, with: {runbook: warm-cache, params: {num: {param: replicas}}}}
    - id: tell_human
      when: {step: wait_ready, is: failed}
      kind: page.send
      effect: keyed
      with: {policy: booking, summary: capacity did not arrive}
  verify:
    - {use: trigger_alert, must: not_firing, hold: 5m, within: 15m, no_data: fail}
    - {expr: 'dn:error_ratio:5m', op: '<', value: 0.05, hold: 2m, within: 10m}
    - {journey: book-table, hold: 2m, within: 10m}
  on_verify_fail: undo_then_page
  capture: {max_bytes: 65536, redact: [secrets, pii]}
"#;

#[test]
fn a_whole_document_is_read_stored_and_read_again() {
    let (runbook, problems) = read("r.yml", WHOLE, &allowed(), START);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{told:#?}");
    let runbook = runbook.unwrap();
    assert_eq!(runbook.plan.steps.len(), 11);
    assert_eq!(runbook.plan.steps[2].on_fail, OnFail::Goto("tell_human".to_owned()));
    assert_eq!(runbook.plan.steps[3].effect, Effect::Probe);
    let version = runbook.version("edna", START);
    assert_eq!(Runbook::from_version(&version).unwrap(), runbook);
    let mut tampered = version.clone();
    tampered.body = tampered.body.replace("booking", "bookinG");
    assert!(Runbook::from_version(&tampered).is_err());
    // What does not change the meaning does not change the hash; what does, does.
    let hash = |text: &str| read("x.yml", text, &allowed(), START).0.unwrap().hash();
    assert_eq!(hash(&WHOLE.replace("timeout: 30s", "timeout:    '30s' # half a minute")), version.hash);
    assert_ne!(hash(&WHOLE.replace("timeout: 30s", "timeout: 31s")), version.hash);
    assert_eq!(version.hash.len(), 64);
}

#[test]
fn calls_are_checked_across_documents() {
    let call = |id: &str, class: &str, to: &str, params: &str| {
        let steps = format!("- {{id: a, kind: runbook.call, effect: idempotent, with: {{runbook: {to}, params: {{{params}}}}}}}");
        let whole = text(class, &steps, "params: {num: {type: int, required: true}}").replace("id: r1", &format!("id: {id}"));
        read("r.yml", &whole, &allowed(), START).0.unwrap()
    };
    let books = [
        call("one", "read", "two", "num: 1, m: 2"),
        call("two", "safe", "three", ""),
        call("three", "safe", "two", "num: 1"),
        call("four", "safe", "five", ""),
    ];
    let faults: Vec<String> = check_calls(&books).iter().map(|bad| format!("{}: {}", bad.id, bad.message)).collect();
    assert_eq!(
        faults,
        [
            "one: step a: two is safe, and the caller is declared read",
            "one: step a: two has no parameter \"m\"",
            "two: step a: three needs the parameter \"num\"",
            "two: its calls lead back to itself",
            "three: its calls lead back to itself",
            "four: step a: there is no runbook \"five\"",
        ]
    );
}

#[test]
fn all_faults_of_a_document_come_at_once_with_their_places() {
    let found = errors(
        "apiVersion: tocsin/v2
kind: Runbook
metadata: {id: on, platform: dinner, title: '', owner: 'a b', review_by: soon}
spec:
  class: mild
  params:
    a: {type: enum, values: [fast, off, fast]}
    b: {type: int, min: 9, max: 1, default: x}
    c: {type: text, required: true}
  triggers:
  - alert: {name: A, params: {z: 1}}
  - schedule: {cron: '0 0 0 * * *', tz: Local}
  - manual: {roles: [sre]}
  guards: {approvals: {mfa: true, not_starter: false}, cooldown: {every: 1h, key: [param.q]}, lokc: 1}
  steps:
  - {id: a, kind: http.request, effect: once, with: {url: 'https://api.example/'}, retry: {attempts: 3}}
  - {id: a, kind: k8s.patch, effect: keyed, with: {}}
  - {id: b, kind: net.proxy, effect: once, with: {}}
  - {id: c, kind: wiat, effect: keyed, with: {for: 1s}}
  - {id: d, kind: wait, with: {for: 1s}, on_fail: 'goto:a'}
  - {id: e, kind: wait, effect: idempotent, with: {for: {param: nn}, till: 1}, on_fail: 'goto:zz', when: {step: f, is: failed}}
  - {id: f, kind: exec.argv, effect: probe, with: {program: /opt/tool, args: [{saved: f.x}]}}
  verify: [{journey: login, clean: 10}, {expr: 'sum(', op: '=<', value: x, within: 1s, hold: 2s}]
  elevation: {for: 1h}
",
    );
    let expected = [
        "1:13: error: apiVersion: this version reads tocsin/v1",
        "3:16: error: metadata.id: \"on\" is a truth value to some readers of YAML; choose another name",
        "3:11: error: metadata: title is missing",
        "error: metadata.owner: \"a b\" is no name",
        "error: metadata.review_by: write a day such as 2027-01-31",
        "5:10: error: spec.class: \"mild\" is none of read, safe, disruptive, destructive",
        "error: spec.params.a.values[1]: \"off\" is a truth value",
        "error: spec.params.a.values[2]: \"fast\" is listed twice",
        "error: spec.params.a: a parameter is required or has a default",
        "error: spec.params.b: min lies above max",
        "error: spec.params.b.default: the value \"x\" is not a whole number",
        "error: spec.params.c.type: \"text\" is none of int, float, bool, enum, name, duration",
        "error: spec.triggers[0].alert.params.z: there is no parameter \"z\"",
        "error: spec.triggers[1].schedule: cannot read the crontab \"0 0 0 * * *\"",
        "error: spec.triggers[1].schedule: there is no time zone \"Local\"",
        "error: spec.triggers[2].manual.roles[0]: \"sre\" is none of viewer",
        "error: spec.guards.approvals.mfa: the document needs a second factor, which is not there in this version, so it is refused",
        "error: spec.guards.approvals.not_starter: whoever starts a run never approves it",
        "error: spec.guards.cooldown.key[0]: there is no parameter \"q\"",
        "error: spec.guards.lokc: unknown key lokc; did you mean lock?",
        "error: spec.steps[0].effect: a step that is never repeated has no retries",
        "error: spec.steps[1].id: the id stands above already",
        "error: spec.steps[1].kind: steps of the kind k8s.patch are not there in this version, so the document is refused",
        "error: spec.steps[2].kind: net.proxy is a fault, and faults belong into an Experiment",
        "error: spec.steps[3].kind: unknown kind wiat; did you mean wait?",
        "20:5: error: spec.steps[4]: effect is missing; write idempotent, keyed, probe or once",
        "error: spec.steps[4].on_fail: step a stands above; a run never goes back",
        "error: spec.steps[5].when: no step \"f\" stands above this one",
        "error: spec.steps[5].with.for.param: there is no parameter \"nn\"",
        "error: spec.steps[5].with.till: unknown key till",
        "error: spec.steps[5].on_fail: there is no later step \"zz\"",
        "error: spec.steps[6].with.args[0].saved: no step \"f\" stands above this place",
        "error: spec.steps[6].effect: probe needs a check",
        "error: spec.verify[0].clean: a journey is tried at its own beat; write hold",
        "error: spec.verify[0]: within is missing",
        "error: spec.verify[1].expr: could not parse expression",
        "error: spec.verify[1].op: \"=<\" is none of ==, !=, <, <=, >, >=",
        "error: spec.verify[1].value: expected a number",
        "error: spec.verify[1]: within must be longer than hold",
        "error: spec.elevation: the document needs just-in-time elevation",
    ];
    for says in expected {
        assert!(found.iter().any(|error| error.contains(says)), "missing: {says}\n{found:#?}");
    }
    assert!(found.iter().all(|error| error.split(':').next().unwrap().parse::<u32>().is_ok_and(|line| line > 0)));
    assert!(found.len() <= expected.len() + 6, "more was told than is wrong:\n{found:#?}");
}

#[test]
fn what_a_document_promises_must_be_true() {
    let alert = "triggers: [{alert: {name: A, mode: auto}}]";
    let verify = "verify: [{expr: up, op: '==', value: 1, within: 1m}]";
    let post = "- {id: a, kind: http.request, effect: idempotent, with: {url: 'https://api.example/'}}";
    for (class, step, rest, says) in [
        ("safe", post, alert.to_owned(), "mode auto needs a verify"),
        ("destructive", post, format!("{alert}\n{verify}"), "a destructive runbook never has mode auto"),
        (
            "safe",
            "- {id: a, kind: pg.promote, effect: once, with: {source: main}}",
            verify.to_owned(),
            "pg.promote is at least destructive, and the runbook is declared safe",
        ),
        ("read", post, String::new(), "http.request is at least safe"),
        ("safe", post, format!("{verify}\non_verify_fail: undo_then_page"), "so this step needs an undo"),
        ("safe", &post.replace("}}", "}, on_fail: undo}"), verify.to_owned(), "so this step needs an undo"),
        ("safe", &post.replace("idempotent", "keyed"), verify.to_owned(), "needs key_header"),
        (
            "safe",
            "- {id: a, kind: wait, effect: once, with: {for: 1s}}",
            verify.to_owned(),
            "wait changes nothing, so it may always be repeated",
        ),
        (
            "safe",
            "- {id: a, kind: page.send, effect: idempotent, with: {policy: booking, summary: x}}",
            verify.to_owned(),
            "a page that is sent twice wakes twice",
        ),
        (
            "safe",
            "- {id: a, kind: http.check, effect: idempotent, with: {url: 'https://api.example/', expect: [{path: /a, value: yes}]}}",
            verify.to_owned(),
            "yes is a truth value to some readers of YAML; quote it",
        ),
        ("safe", &post.replace("}}", "}, undo: {kind: wait, with: {for: 1s}}}"), verify.to_owned(), "wait takes nothing back"),
        (
            "safe",
            "- {id: a, kind: page.send, effect: keyed, with: {policy: nobody, summary: x}}",
            verify.to_owned(),
            "the configuration knows no policy \"nobody\"",
        ),
        ("safe", post, "verify: [{use: trigger_alert, within: 1m}]".to_owned(), "no alert triggers this runbook"),
        (
            "safe",
            post,
            format!("{verify}\ntargets: {{kind: process, expect: 2}}"),
            "without labels, names or param every thing of the kind is meant",
        ),
        (
            "safe",
            post,
            format!("{verify}\nparams: {{num: {{type: int, required: true}}}}\ntriggers: [{{alert: {{name: A}}}}]"),
            "the parameter \"num\" is required, and this trigger gives it no value",
        ),
    ] {
        let found = errors(&text(class, step, &rest));
        assert!(found.iter().any(|error| error.contains(says)), "{step}\n{rest}\n{found:#?}");
    }
    // The same, mended.
    runbook("safe", &post.replace("}}", "}, undo: none}"), &format!("{alert}\n{verify}\non_verify_fail: undo_then_page"));
    let found = errors(&text("safe", post, "").replace("Runbook", "Playbook"));
    assert!(found[0].contains("\"Playbook\" is none of Runbook, Experiment, Drill"), "{found:?}");
    assert!(errors(&"x".repeat(300 << 10))[0].contains("larger than 256 KiB"));
    assert!(errors("a: 1\na: 2\n").iter().any(|error| error.contains("already set")));
}
