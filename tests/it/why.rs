//! Stories of those who ask why they were told, or not.

use serde_json::{Value, json};

use crate::harness::scene::{Scene, Script};
use crate::harness::service::run;
use crate::harness::soon;
use crate::harness::stand_in::Mode;

fn verdict(answer: &Value) -> (bool, String, String) {
    let verdict = &answer["alerts"][0]["verdicts"][0];
    let text = |key: &str| verdict[key].as_str().unwrap_or("-").to_owned();
    (verdict["told"] == true, text("stage"), text("why"))
}

fn lines(answer: &Value) -> Vec<String> {
    let lines = answer["alerts"][0]["timeline"].as_array().cloned().unwrap_or_default();
    lines.iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn why(scene: &Scene, alert: &str) -> Value {
    scene.service.get(&format!("/api/tocsin/v1/why?alert={alert}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_tells_the_way_from_the_sample_to_the_person() {
    let scene = Scene::start(Script::default()).await;
    // Nothing fires: the rule says how far it was from that, and the tree where an alert would have gone.
    let quiet = why(&scene, "ShopDown").await;
    assert_eq!(quiet["alerts"], json!([]));
    soon("the rule has something to compare", async || {
        let margin = &why(&scene, "ShopDown").await["rules"][0]["margins"][0];
        (margin["comparison"] == "shop_up == 0" && margin["left"][0]["value"] == "1").then_some(())
    })
    .await;
    assert_eq!(quiet["way"][0], "route {} to team: takes it");

    // Silenced, then not.
    let silence = json!({"matchers": [{"name": "alertname", "value": "ShopDown", "isRegex": false}], "createdBy": "ann",
        "comment": "deploy", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"});
    let id = scene.service.post("/api/v2/silences", &silence).await["silenceID"].as_str().expect("an id").to_owned();
    scene.break_shop();
    let held = soon("it is told that it is silenced", async || {
        let answer = why(&scene, "ShopDown").await;
        (verdict(&answer).1 == "silence").then_some(answer)
    })
    .await;
    let (told, _, reason) = verdict(&held);
    assert!(!told && reason.contains(&format!("by the silence {id} of ann (deploy)")), "{reason}");
    let otherwise = held["alerts"][0]["verdicts"][0]["otherwise"].as_str().expect("what would have had to be different");
    assert!(otherwise.starts_with("without it team would have been told at "), "{otherwise}");
    assert!(scene.webhooks.taken().is_empty());
    let silenced_at = held["at"].as_str().expect("an instant").to_owned();

    let (status, _) = scene.service.send(reqwest::Method::DELETE, &format!("/api/v2/silence/{id}"), None).await;
    assert_eq!(status, 200);
    let told = soon("it is told that all three have heard", async || {
        let answer = why(&scene, "ShopDown").await;
        (verdict(&answer).2.starts_with("told by inbox and pagerduty and webhook")).then_some(answer)
    })
    .await;
    let all = lines(&told);
    let has = |text: &str| assert!(all.iter().any(|line| line.contains(text)), "{text} in {all:#?}");
    has("rules.yml/shop holds, value 0");
    has("held back by the silence");
    has("by pagerduty: attempt 1 delivered");
    // It can still be asked how it stood before.
    let before = scene.service.get(&format!("/api/tocsin/v1/why?alert=ShopDown&at={silenced_at}")).await;
    assert_eq!((verdict(&before).0, verdict(&before).1.as_str()), (false, "silence"));

    // Asked from the terminal, by its fingerprint.
    let fingerprint = told["alerts"][0]["fingerprint"].as_str().expect("a fingerprint");
    let output = run(&["why", fingerprint, "--url", &scene.service.url("")]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["team was told (delivery): told by ", "Timeline:", "route {} to team: takes it", "shop_up == 0: at "] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let output = run(&["why", "ShopDown{shop=~\"(\"}", "--url", &scene.service.url("")]).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_survives_a_crash_and_so_does_the_answer() {
    let mut scene = Scene::start(Script { hold: "1s", ..Script::default() }).await;
    scene.pagerduty.be(Mode::Answers { status: 503, retry_after: None });
    scene.break_shop();
    soon("one of three is still to hear", async || {
        let answer = why(&scene, "ShopDown").await;
        lines(&answer).iter().any(|line| line.contains("pagerduty: attempt 2 failed")).then_some(())
    })
    .await;
    let before = lines(&why(&scene, "ShopDown").await);
    scene.service.kill().await;
    scene.service.restart().await;
    let answer = why(&scene, "ShopDown").await;
    let after = lines(&answer);
    for line in before.iter().filter(|line| !line.contains("attempt")) {
        assert!(after.contains(line), "{line:?} in {after:#?}");
    }
    assert!(after.iter().filter(|line| line.starts_with("Tocsin has started")).count() <= 2);
    scene.pagerduty.be(Mode::Up);
    scene.mend_shop();
    soon("its end is in the account", async || {
        let answer = why(&scene, "ShopDown").await;
        let all = lines(&answer);
        let ended = all.iter().any(|line| line.starts_with("resolved: the condition holds no longer"));
        (ended && all.iter().any(|line| line.ends_with("the alert has ended"))).then_some(())
    })
    .await;
}
