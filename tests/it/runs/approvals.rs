//! Who may start, approve and steer what: people by their roles and by what they have to do with the run.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin_core::access::Role;

use super::room::{GOOD, Plan, Room};
use crate::access::Browser;
use crate::harness::soon;

const PASSWORD: &str = "correct horse battery";
const EVERYBODY: &str = "[viewer, responder, operator, sre-lead, author, auditor]";

/// A document of a class that everybody may start by hand, as far as the document says.
fn of_class(class: &str, guards: &str) -> String {
    let step = match class {
        "read" => "{id: look, kind: http.check, effect: idempotent, with: {url: 'http://FAR/look'}}",
        _ => "{id: send, kind: http.request, effect: idempotent, with: {url: 'http://FAR/send'}}",
    };
    format!("  class: {class}\n  triggers: [{{manual: {{roles: {EVERYBODY}}}}}]\n  guards: {guards}\n  steps: [{step}]\n{GOOD}")
}

/// Starts a room where everybody must say who they are; its own requests are those of a lead called `admin`.
async fn start(plan: Plan) -> Room {
    let mut room = Room::start(Plan { auth: true, ..plan }).await;
    let token = {
        let admin = Browser::log_in(&room.service, "admin", &room.service.first_password()).await;
        for (name, role) in [("lea", "sre-lead"), ("lou", "sre-lead"), ("ola", "operator"), ("ria", "responder")] {
            let user = json!({ "name": name, "password": PASSWORD, "role": role });
            let (status, said) = admin.ask(Method::POST, "/api/tocsin/v1/users", &user).await;
            assert_eq!(status, 201, "{said}");
        }
        let (_, made) = admin.ask(Method::POST, "/api/tocsin/v1/tokens", &json!({ "name": "story", "role": "sre-lead" })).await;
        made["token"].as_str().expect("a secret").to_owned()
    };
    room.service.token = Some(token);
    room
}

async fn person<'r>(room: &'r Room, name: &str) -> Browser<'r> {
    Browser::log_in(&room.service, name, PASSWORD).await
}

async fn begin(browser: &Browser<'_>, id: &str) -> (u16, Value) {
    browser.ask(Method::POST, &format!("/api/tocsin/v1/runbooks/{id}/runs"), &json!({})).await
}

async fn vote(browser: &Browser<'_>, run: &Value, verdict: &str) -> (u16, Value) {
    let body = json!({ "verdict": verdict, "subject_hash": run["needs"]["approvals"]["subject_hash"] });
    browser.ask(Method::POST, &format!("/api/tocsin/v1/runs/{}/approve", run["id"].as_str().expect("an id")), &body).await
}

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap_or_else(|| panic!("no run in {run}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_started_it_does_not_approve_it_and_what_was_seen_is_what_is_approved() {
    let approvals = |more: &str| format!("{{approvals: {{count: 1, roles: [sre-lead]{more}}}}}");
    let plan = Plan::default()
        .runbook("one", &of_class("safe", &approvals("")))
        .runbook("two", &of_class("safe", "{approvals: {count: 2, roles: [sre-lead, operator]}}"))
        .runbook("late", &of_class("safe", &approvals(", expires: 2s, on_expire: escalate")))
        .runbook("short", &of_class("safe", &approvals(", expires: 1s, on_expire: refuse")));
    let room = start(plan).await;
    let (lea, lou, ola) = (person(&room, "lea").await, person(&room, "lou").await, person(&room, "ola").await);

    let (status, run) = begin(&lea, "one").await;
    assert_eq!(status, 202, "{run}");
    let run = room.in_state(id(&run), "waiting").await;
    assert_eq!(run["needs"]["approvals"]["may_vote"], true, "admin is another lead: {run}");
    room.is_told("Story one waits until").await;
    let (status, said) = vote(&lea, &run, "approve").await;
    assert_eq!((status, said["detail"].to_string().contains("started the run")), (403, true), "{said}");
    let (status, said) = vote(&ola, &run, "approve").await;
    assert_eq!((status, said["detail"].to_string().contains("operator cannot approve")), (403, true), "{said}");
    let mut other = run.clone();
    other["needs"]["approvals"]["subject_hash"] = json!("0".repeat(64));
    let (status, said) = vote(&lou, &other, "approve").await;
    assert_eq!((status, said["detail"].to_string().contains("another document")), (409, true), "{said}");
    assert!(room.far.hits("/send").is_empty());
    assert_eq!(vote(&lou, &run, "approve").await.0, 200);
    let run = room.in_state(id(&run), "succeeded").await;
    let given = &run["approvals"][0];
    assert_eq!((&given["who"], &given["role"], &given["verdict"]), (&json!("lou"), &json!("sre-lead"), &json!("approve")));
    let lines = room.audited(id(&run)).await;
    let has = |who: &str, what: &str| lines.iter().any(|line| line["who"] == who && line["action"].to_string().contains(what));
    assert!(has("lea", "run") && has("lou", "approved"), "{lines:#?}");
    assert!(lines.iter().filter(|line| line["outcome"] == "refused").count() >= 3, "{lines:#?}");

    // Two are two people.
    let (_, run) = begin(&lea, "two").await;
    let run = room.in_state(id(&run), "waiting").await;
    assert_eq!(vote(&ola, &run, "approve").await.0, 200);
    assert_eq!(vote(&ola, &run, "approve").await.0, 409, "who has voted has voted");
    let run = room.in_state(id(&run), "waiting").await;
    assert_eq!((&run["needs"]["approvals"]["have"], &run["reason"]), (&json!(1), &json!("1 of 2 approvals are there")));
    assert_eq!(vote(&lou, &run, "approve").await.0, 200);
    room.in_state(id(&run), "succeeded").await;

    let (_, run) = begin(&lea, "two").await;
    let run = room.in_state(id(&run), "waiting").await;
    assert_eq!(vote(&ola, &run, "approve").await.0, 200);
    assert_eq!(vote(&lou, &run, "deny").await.0, 200);
    let run = room.in_state(id(&run), "refused").await;
    assert_eq!((&run["refused_by"], &run["reason"]), (&json!("approvals"), &json!("lou denied it")));

    let (_, run) = begin(&lea, "late").await;
    let refused = room.in_state(id(&run), "refused").await;
    assert_eq!((&refused["refused_by"], &refused["reason"]), (&json!("approvals"), &json!("nobody approved it in time")));
    let page = "waits for an approval that nobody has given";
    soon("the escalation", async || room.told(id(&run)).await.into_iter().find(|one| one["body"].to_string().contains(page)))
        .await;
    let (_, run) = begin(&lea, "short").await;
    let refused = room.in_state(id(&run), "refused").await;
    assert_eq!(refused["reason"], "nobody approved it in time");
    assert!(room.told(id(&run)).await.iter().all(|one| !one["body"].to_string().contains(page)), "nobody is woken for it");
    other["id"] = refused["id"].clone();
    assert_eq!(vote(&lou, &other, "approve").await.0, 409, "what is over is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_starts_and_steers_what_it_may_and_a_dry_run_does_nothing() {
    let mut plan = Plan::default();
    for class in ["read", "safe", "disruptive", "destructive"] {
        plan = plan.runbook(class, &of_class(class, "{}"));
    }
    let held = format!(
        "  class: disruptive\n  triggers: [{{manual: {{roles: [sre-lead]}}}}]\n  steps: [{{id: send, kind: http.request, effect: idempotent, \
         timeout: 60s, with: {{url: 'http://FAR/held/role'}}}}]\n{GOOD}"
    );
    let room = start(plan.runbook("held", &held)).await;
    let (_, run) = room.ask("destructive", json!({ "dry_run": true, "reason": "to see" })).await;
    let run = room.in_state(id(&run), "succeeded").await;
    assert_eq!((&run["dry_run"], &run["progress"]["done"], room.far.hits("/send").len()), (&json!(true), &json!(0), 0), "{run}");
    assert!(run["log"].to_string().contains("to see"), "{}", run["log"]);

    let tokens = crate::access::tokens_of(&person(&room, "lea").await).await;
    let rank = |class: &str| ["read", "safe", "disruptive", "destructive"].iter().position(|one| *one == class);
    let most = |role: Role| match role {
        Role::Responder => Some(1),
        Role::Operator => Some(2),
        Role::SreLead => Some(3),
        Role::Viewer | Role::Author | Role::Auditor | Role::Writer => None,
    };
    let send = async |role: Role, method: Method, path: &str, body: &Value| {
        let request = room.service.client.request(method, room.service.url(path)).bearer_auth(&tokens[role.word()]);
        let answer = request.json(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    for class in ["read", "safe", "disruptive", "destructive"] {
        for role in Role::ALL {
            let may = most(role) >= rank(class);
            let document = send(role, Method::GET, &format!("/api/tocsin/v1/runbooks/{class}"), &json!({})).await.1;
            match role {
                Role::Writer => assert_eq!(document["status"], 403, "{document}"),
                _ => assert_eq!(document["may_start"], may, "{} {class}: {document}", role.word()),
            }
            let (status, run) = send(role, Method::POST, &format!("/api/tocsin/v1/runbooks/{class}/runs"), &json!({})).await;
            assert_eq!(status, if may { 202 } else { 403 }, "{} {class}: {run}", role.word());
            if may {
                room.in_state(id(&run), "succeeded").await;
            }
        }
    }
    let held = room.begin("held", json!({})).await;
    soon("it is in the middle", async || (!room.far.hits("/held/role").is_empty()).then_some(())).await;
    for role in [Role::Viewer, Role::Responder, Role::Author, Role::Auditor] {
        for what in ["cancel", "pause", "resume"] {
            let (status, said) = send(role, Method::POST, &format!("/api/tocsin/v1/runs/{held}/{what}"), &json!({})).await;
            assert_eq!(status, 403, "{} {what}: {said}", role.word());
        }
        let shown = send(role, Method::GET, &format!("/api/tocsin/v1/runs/{held}"), &json!({})).await.1;
        assert_eq!((&shown["state"], &shown["may_cancel"]), (&json!("running"), &json!(false)), "{}", role.word());
    }
    let (pull, release) = (json!({ "platform": "other", "on": true }), json!({ "platform": "other", "on": false }));
    for (role, pulls, releases) in
        [(Role::Responder, 403, 403), (Role::Operator, 200, 403), (Role::SreLead, 200, 200), (Role::Auditor, 403, 403)]
    {
        assert_eq!(send(role, Method::PUT, "/api/tocsin/v1/kill-switch", &pull).await.0, pulls, "{} pulls", role.word());
        assert_eq!(send(role, Method::PUT, "/api/tocsin/v1/kill-switch", &release).await.0, releases, "{} releases", role.word());
    }
    assert_eq!(send(Role::Operator, Method::POST, &format!("/api/tocsin/v1/runs/{held}/cancel"), &json!({})).await.0, 200);
    let run = room.in_state(&held, "undone").await;
    assert!(run["reason"].to_string().contains("cancelled by lea"), "a token speaks for who made it: {}", run["reason"]);
}
