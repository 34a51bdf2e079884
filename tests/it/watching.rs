//! Stories of Tocsin watching itself: a watcher outside hears from it, and notifications that are missing are found.

use std::time::Duration;

use serde_json::json;

use crate::harness::recorder::Recorder;
use crate::harness::scene::{Scene, Script};
use crate::harness::stand_in::Mode;
use crate::harness::{soon, within};

/// The patience of a group, the grace of the auditor, a round of it, and what a busy machine takes.
const FOUND: Duration = Duration::from_secs(240);

fn heartbeats(watcher: &Recorder) -> String {
    let address = &watcher.address;
    format!(
        "heartbeats:\n  - url: http://{address}/well\n    fail_url: http://{address}/fail\n    method: POST\n    every: 1s\n    \
         basic_auth: {{username: tocsin, password: hunter2}}\n"
    )
}

fn arrived(watcher: &Recorder, path: &str) -> usize {
    watcher.taken().iter().filter(|post| post.path == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_is_missing_is_found_and_the_watcher_outside_hears_of_it() {
    let watcher = Recorder::start().await;
    let scene = Scene::start(Script { repeat_interval: "5s", more: heartbeats(&watcher), ..Script::default() }).await;
    soon("the watcher hears that all is well", async || (arrived(&watcher, "/well") > 2).then_some(())).await;
    assert_eq!(arrived(&watcher, "/fail"), 0);
    let first = &watcher.taken()[0];
    assert_eq!(first.headers["authorization"], "Basic dG9jc2luOmh1bnRlcjI=");

    // The provider refuses for good, so one of three never hears.
    scene.pagerduty.be(Mode::Answers { status: 400, retry_after: None });
    scene.break_shop();
    within(FOUND, "the auditor finds it", async || {
        scene.service.alerts("TocsinNotificationsMissing").await.iter().any(|alert| alert["state"] == "firing").then_some(())
    })
    .await;
    soon("the watcher hears that it is not well", async || (arrived(&watcher, "/fail") > 0).then_some(())).await;
    assert!(scene.service.log().contains("a notification is missing"), "the log names it");
    let metrics = reqwest::get(scene.service.url("/metrics")).await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("tocsin_notifications_missing 1"), "{metrics}");
    let told = scene.webhooks.taken();
    let of_own = told.iter().filter(|hook| hook["groupLabels"]["alertname"] == "TocsinNotificationsMissing");
    assert!(of_own.count() > 0, "the others hear of it");

    // It is taken again, with the next repeat, and all is well.
    scene.pagerduty.be(Mode::Up);
    within(FOUND, "nothing is missing any more", async || {
        scene.service.alerts("TocsinNotificationsMissing").await.iter().all(|alert| alert["state"] != "firing").then_some(())
    })
    .await;
    let before = arrived(&watcher, "/well");
    soon("the watcher hears that all is well again", async || (arrived(&watcher, "/well") > before + 1).then_some(())).await;
    assert!(!scene.service.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_come_and_go_with_the_configuration_and_a_watcher_that_is_away_harms_nobody() {
    let watcher = Recorder::start().await;
    let mut scene = Scene::start(Script { more: heartbeats(&watcher), ..Script::default() }).await;
    soon("a heartbeat", async || (arrived(&watcher, "/well") > 0).then_some(())).await;
    watcher.answer(500);
    soon("one that does not arrive is told", async || scene.service.log().contains("a heartbeat does not arrive").then_some(()))
        .await;
    assert!(!scene.service.log().contains("/well"), "its address is a secret");
    watcher.answer(200);
    soon("they arrive again", async || scene.service.log().contains("heartbeats arrive again").then_some(())).await;

    let config = Script::default().config(&scene.exporter, &scene.pagerduty, &scene.webhooks);
    std::fs::write(scene.service.path("tocsin.yml"), &config).expect("the folder takes files");
    scene.service.post("/-/reload", &json!({})).await;
    let (begun, scrapes) = (watcher.begun(), scene.exporter.scrapes());
    soon("some seconds pass", async || (scene.exporter.scrapes() > scrapes + 3).then_some(())).await;
    assert!(watcher.begun() <= begun + 1, "one may have been under way");

    let bad = "heartbeats:\n  - {every: 10ms, method: PUT}\n  - {url: 'ftp://x', url_file: y}\n";
    std::fs::write(scene.service.path("tocsin.yml"), format!("{config}\n{bad}")).expect("the folder takes files");
    let (status, answer) = scene.service.send(reqwest::Method::POST, "/-/reload", Some(&json!({}))).await;
    assert_eq!(status, 500);
    let said = answer["detail"].as_str().unwrap_or_default();
    for fault in ["write url or url_file", "write GET, HEAD or POST", "write 1s or more", "URL scheme", "remove one"] {
        assert!(said.contains(fault), "{fault:?} in {said}");
    }
    scene.service.terminate().await;
}
