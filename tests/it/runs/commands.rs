//! The command line: the same runs, from a terminal, with an exit status that a script can trust.

use serde_json::json;

use super::room::{BY_HAND, GOOD, Plan, Room};
use crate::access::Browser;
use crate::harness::service::{binary, run};
use crate::harness::soon;

/// Runs the command line against a room; returns whether it ended well, and what it printed.
async fn tocsin(room: &Room, arguments: &[&str]) -> (bool, String) {
    let (url, token) = (room.service.url(""), room.mark("token").display().to_string());
    let output = run(&[arguments, &["--url", &url, "--token-file", &token]].concat()).await;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn id_of(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("run "));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_else(|| panic!("no run in {text:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_begun_followed_and_steered_from_the_terminal() {
    let send = "{id: send, kind: http.request, effect: idempotent, timeout: 60s, with: {url: 'http://FAR/sent', body: {level: {param: level}}}}";
    let with_level = format!(
        "  class: disruptive\n  params: {{level: {{type: int, min: 1, max: 9, default: 3}}}}\n{BY_HAND}  steps: [{send}]\n{GOOD}"
    );
    let path = |path: &str, effect: &str| {
        format!(
            "  class: disruptive\n{BY_HAND}  steps: [{{id: send, kind: http.request, effect: {effect}, timeout: 60s, with: {{url: 'http://FAR{path}'}}, \
             undo: none}}]\n{GOOD}"
        )
    };
    let approved = format!(
        "  class: disruptive\n{BY_HAND}  guards: {{approvals: {{count: 1, roles: [operator]}}}}\n  steps: [{{id: send, kind: http.request, \
         effect: idempotent, with: {{url: 'http://FAR/approved'}}}}]\n{GOOD}"
    );
    let reads = format!(
        "  class: read\n{BY_HAND}  steps: [{{id: look, kind: http.check, effect: idempotent, with: {{url: 'http://FAR/look'}}}}]\n"
    );
    let plan = Plan { auth: true, ..Plan::default() }
        .runbook("good", &with_level)
        .runbook("bad", &path("/fail", "idempotent"))
        .runbook("long", &path("/held/cli", "once"))
        .runbook("approved", &approved)
        .runbook("reads", &reads);
    let mut room = Room::start(plan).await;
    {
        let admin = Browser::log_in(&room.service, "admin", &room.service.first_password()).await;
        let tokens = crate::access::tokens_of(&admin).await;
        std::fs::write(room.mark("token"), format!("{}\n", tokens["sre-lead"])).expect("the folder takes files");
        // Another person, since whoever starts a run does not approve it.
        let user = json!({ "name": "ola", "password": "correct horse battery", "role": "operator" });
        assert_eq!(admin.ask(reqwest::Method::POST, "/api/tocsin/v1/users", &user).await.0, 201);
        let ola = Browser::log_in(&room.service, "ola", "correct horse battery").await;
        let run = ola.ask(reqwest::Method::POST, "/api/tocsin/v1/runbooks/approved/runs", &json!({})).await.1;
        std::fs::write(room.mark("ola"), run["id"].as_str().expect("an id")).expect("the folder takes files");
        room.service.token = Some(tokens["sre-lead"].clone());
    }

    let (good, text) = tocsin(&room, &["runbook", "list"]).await;
    assert!(good && text.starts_with("ID") && text.contains("approved  runbook  shop      disruptive  manual approve"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "show", "good"]).await;
    assert!(good && text.contains("level (int), default 3") && text.contains("http.request"), "{text}");
    let (good, text) =
        tocsin(&room, &["runbook", "run", "good", "--param", "level=5", "--yes", "--wait", "--reason", "to try"]).await;
    assert!(good && text.contains("succeeded") && text.contains("to try"), "{text}");
    assert_eq!(room.far.hits("/sent")[0].body, json!({ "level": 5 }));
    let first = id_of(&text);
    let (good, text) = tocsin(&room, &["run", "show", &first]).await;
    assert!(good && text.contains("send  http.request  succeeded") && text.contains("level=5"), "{text}");

    // What is not wanted is not begun.
    let (good, text) = tocsin(&room, &["runbook", "run", "good", "--wait"]).await;
    assert!(!good && text.contains("say --yes"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "run", "good", "--param", "level", "--yes"]).await;
    assert!(!good && text.contains("NAME=VALUE"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "run", "good", "--param", "level=70", "--yes", "--wait"]).await;
    assert!(!good && text.contains("is refused by schema"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "run", "good", "--dry-run", "--wait"]).await;
    assert!(good && text.contains("nothing was done"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "run", "nothing", "--yes"]).await;
    assert!(!good && text.contains("there is no such runbook"), "{text}");
    let (good, text) = tocsin(&room, &["drill", "run", "good", "--yes"]).await;
    assert!(!good && text.contains("is a runbook, and no drill"), "{text}");
    let (good, text) = tocsin(&room, &["runbook", "run", "bad", "--yes", "--wait"]).await;
    assert!(!good && text.contains("is failed"), "{text}");
    assert_eq!(room.far.hits("/sent").len(), 1);
    let (good, text) = tocsin(&room, &["runbook", "run", "reads", "--wait"]).await;
    assert!(good, "reading asks nobody: {text}");
    for reference in ["r-1", "r-1"] {
        assert!(tocsin(&room, &["runbook", "run", "good", "--yes", "--wait", "--reference", reference]).await.0);
    }
    assert_eq!(room.far.hits("/sent").len(), 2, "one reference is one run");

    // Somebody else's run is approved.
    let other = room.marked("ola");
    let (good, text) = tocsin(&room, &["run", "approve", &other]).await;
    assert!(!good && text.contains("say --yes"), "{text}");
    let (good, text) = tocsin(&room, &["run", "approve", &other, "--yes"]).await;
    assert!(!good && text.contains("sre-lead cannot approve"), "{text}");
    let (good, text) = tocsin(&room, &["run", "cancel", &other, "--yes"]).await;
    assert!(good && text.contains("is refused"), "{text}");
    let (good, text) = tocsin(&room, &["run", "approve", &first, "--yes"]).await;
    assert!(!good && text.contains("waits for no approval"), "{text}");

    // A run in doubt ends the wait, and is settled.
    let (_, text) = tocsin(&room, &["runbook", "run", "long", "--yes"]).await;
    let long = id_of(&text);
    soon("it is in the middle", async || (!room.far.hits("/held/cli").is_empty()).then_some(())).await;
    let (url, token) = (room.service.url(""), room.mark("token"));
    let follower = binary()
        .args(["run", "show", &long, "--wait", "--url", &url, "--token-file"])
        .arg(token)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    room.service.kill().await;
    room.service.restart().await;
    let told = tokio::time::timeout(crate::harness::SOON, follower.wait_with_output()).await.expect("it ends").expect("it ran");
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(!told.status.success() && said.contains("is needs_human"), "it follows over a restart: {said}");
    let (good, text) = tocsin(&room, &["run", "settle", &long, "done"]).await;
    assert!(good, "{text}");
    let (good, text) = tocsin(&room, &["run", "show", &long, "--wait"]).await;
    assert!(good && text.contains("is succeeded"), "{text}");
    let (good, text) = tocsin(&room, &["run", "settle", &long, "done"]).await;
    assert!(!good && text.contains("no step of the run is in doubt"), "{text}");

    let (good, text) = tocsin(&room, &["run", "list", "--state", "refused"]).await;
    assert!(good && text.contains("refused") && text.lines().count() == 3, "{text}");
    let (good, text) = tocsin(&room, &["run", "list", "--doc", "long", "--json"]).await;
    assert!(good && serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["runs"][0]["id"] == json!(long), "{text}");
    for arguments in [["drill", "list"], ["experiment", "list"]] {
        let (good, text) = tocsin(&room, &arguments).await;
        assert!(good && text.starts_with("ID") && text.lines().count() == 1, "{text}");
    }
    room.service.kill().await;
    let (good, text) = tocsin(&room, &["run", "list"]).await;
    assert!(!good && text.contains("does not answer"), "{text}");
}
