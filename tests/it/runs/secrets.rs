//! Secrets: what a request carries and what comes back of it is nowhere where people or files could show it.

use serde_json::json;

use super::room::{BY_HAND, GOOD, Plan, Room};
use crate::harness::service::run;

const SECRET: &str = "k3y-of-the-far-side-9f2c";
const FROM_FILE: &str = "word/in+a file=7b1d";

/// Writes its arguments and a secret that it found elsewhere to both streams.
const LEAK: &str = "#!/bin/sh\necho \"found k3y-of-the-far-side-9f2c\"\necho \"word/in+a file=7b1d\" >&2\nexit 3\n";

/// Returns the forms in which a secret may show.
fn forms() -> Vec<String> {
    let escaped = |text: &str| text.replace('/', "\\/");
    [SECRET, FROM_FILE].iter().flat_map(|text| [(*text).to_owned(), escaped(text)]).collect()
}

fn assert_clean(what: &str, text: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{what} shows a secret");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_reaches_the_far_side_and_nothing_else() {
    let spec = format!(
        r#"  class: disruptive
{BY_HAND}  steps:
    - id: echo
      kind: http.request
      effect: idempotent
      with: {{url: 'http://FAR/echo', headers: {{authorization: {{secret: far}}, x-word: {{secret: word}}}}}}
      save: {{came: /body/headers/authorization}}
    - id: leak
      kind: exec.argv
      effect: idempotent
      with: {{program: FOLDER/leak}}
      on_fail: continue
    - id: tell
      kind: page.send
      effect: keyed
      with: {{policy: night, summary: {{text: ['it said ', {{saved: echo.came}}]}}}}
{GOOD}"#
    );
    let fails = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{{id: send, kind: http.request, effect: idempotent, with: {{url: 'http://FAR/echo/expect', \
         headers: {{x-word: {{secret: far}}}}, expect: [{{path: /body/headers/x-word, value: other}}]}}}}]\n{GOOD}"
    );
    let mut plan = Plan { programs: vec![("leak", LEAK)], ..Plan::default() }
        .runbook("carries", &spec)
        .runbook("fails", &fails)
        .act(&format!("secrets: [{{name: far, value: {SECRET}}}, {{name: word, file: word}}]"));
    plan.files.push(("word".to_owned(), FROM_FILE.to_owned()));
    let mut room = Room::start(plan).await;
    let ended = room.whole("carries", json!({})).await;
    assert_eq!(ended["state"], "succeeded", "{}", ended["reason"]);
    let sent = &room.far.hits("/echo")[0].headers;
    assert_eq!((sent["authorization"].as_str(), sent["x-word"].as_str()), (SECRET, FROM_FILE), "it was sent");
    assert!(ended.to_string().contains("[secret]"), "what came back is shown without them: {ended:#}");
    let failed = room.whole("fails", json!({})).await;
    assert_eq!(failed["state"], "failed", "{}", failed["reason"]);

    let id = ended["id"].as_str().expect("an id").to_owned();
    room.is_told("it said").await;
    for run in [&ended, &failed] {
        assert_clean("the run", &run.to_string());
    }
    for path in [
        "/api/tocsin/v1/runs".to_owned(),
        format!("/api/tocsin/v1/runs/{id}/report"),
        format!("/api/tocsin/v1/runs/{id}/report.html"),
        "/api/tocsin/v1/runbooks".to_owned(),
        "/api/tocsin/v1/runbooks/carries".to_owned(),
        "/api/tocsin/v1/audit?limit=500".to_owned(),
        "/api/tocsin/v1/inbox".to_owned(),
        "/api/tocsin/v1/alerts".to_owned(),
        "/api/tocsin/v1/config".to_owned(),
        "/api/v1/status/config".to_owned(),
        "/metrics".to_owned(),
    ] {
        let (_, body) = room.service.send(reqwest::Method::GET, &path, None).await;
        assert_clean(&path, &body.to_string());
    }
    let told = run(&["run", "show", &id, "--url", &room.service.url("")]).await;
    assert!(told.status.success());
    assert_clean("the command line", &String::from_utf8_lossy(&told.stdout));
    room.service.terminate().await;
    assert_clean("the log", &room.service.log());
    assert_clean("what is printed", &room.service.printed());
    let mut looked = 0;
    let mut folders = vec![room.service.path("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                looked += 1;
                assert_clean(&entry.path().display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
    }
    assert!(looked >= 2, "there is a database, and a log of samples");
}
