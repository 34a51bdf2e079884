//! The storm: ten thousand alerts in two hundred groups begin and end while the process is killed again and again
//! and the receiver refuses some of what it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tocsin::clock;
use tocsin_core::time::{Span, Timestamp};

use crate::harness::service::{Service, Setup};
use crate::harness::{http, within};

const ALERTS: u64 = 10_000;
const GROUPS: u64 = 200;
/// Alerts that begin or end between two kills.
const MOVES: u64 = 300;
/// As many kills as `TOCSIN_STORM_KILLS` says, or these.
const KILLS: u64 = 12;
/// Of so many deliveries the receiver refuses one for good.
const REFUSED_EACH: u64 = 25;
const SEED: u64 = 0x5707_0123_4567;
const CALM: Duration = Duration::from_secs(120);

/// What receivers have heard.
#[derive(Default)]
struct Heard {
    /// Whether the last word about an alert was that it fires.
    fires: HashMap<String, bool>,
    /// By the key of the delivery: what it said, and how often it came.
    deliveries: BTreeMap<String, (u64, u32)>,
    /// Posts that were refused for good.
    refused: usize,
    contradictions: Vec<String>,
    wrong: Vec<String>,
}

type Sink = Arc<Mutex<Heard>>;

async fn take(State(sink): State<Sink>, headers: HeaderMap, body: Bytes) -> StatusCode {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let said: Value = serde_json::from_slice(&body).expect("JSON");
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).expect("a key").to_owned();
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    if hasher.finish().is_multiple_of(REFUSED_EACH) {
        sink.lock().expect("no holder of this lock panics").refused += 1;
        return StatusCode::BAD_REQUEST;
    }
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let digest = hasher.finish();
    let mut heard = sink.lock().expect("no holder of this lock panics");
    let known = heard.deliveries.get(&key).copied();
    if known.is_some_and(|(before, _)| before != digest) {
        heard.contradictions.push(key.clone());
    }
    heard.deliveries.insert(key, (digest, known.map_or(1, |(_, times)| times + 1)));
    for alert in said["alerts"].as_array().expect("alerts") {
        let name = alert["labels"]["instance"].as_str().expect("an instance").to_owned();
        if alert["labels"]["group"] == "g0" {
            heard.wrong.push(name.clone());
        }
        heard.fires.insert(name, alert["status"] == "firing");
    }
    StatusCode::OK
}

/// A generator of numbers that gives the same ones for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What an alert does from an instant on.
#[derive(Clone, Copy)]
struct Word {
    number: u64,
    fires: bool,
    at: Timestamp,
}

fn body(words: &[Word]) -> Value {
    let alert = |word: &Word| {
        let ends_at = if word.fires { word.at + Span::from_mins(24 * 60) } else { word.at };
        // The first word of an alert has no beginning of its own, so that an end may follow at once.
        json!({
            "labels": {"alertname": "Storm", "group": format!("g{}", word.number % GROUPS), "instance": format!("i{}", word.number)},
            "annotations": {"summary": format!("instance {} is in the storm", word.number)},
            "startsAt": (word.at - Span(if word.fires { 0 } else { 1 })).rfc3339(),
            "endsAt": ends_at.rfc3339(),
        })
    };
    Value::Array(words.iter().map(alert).collect())
}

/// Posts until it is taken; a service that is killed meanwhile is asked again once it is back.
async fn post(url: String, words: Vec<Word>) {
    let (client, body) = (http(), body(&words));
    loop {
        let sent = client.post(&url).timeout(Duration::from_secs(10)).json(&body).send().await;
        match sent {
            Ok(answer) if answer.status() == 200 => return,
            Ok(answer) if answer.status() == 400 => panic!("{}", answer.text().await.unwrap_or_default()),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn config(sink: &str) -> String {
    format!(
        "route: {{receiver: sink, group_by: [group], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: sink, webhook_configs: [{{url: 'http://{sink}/'}}]}}]\n"
    )
}

#[expect(clippy::disallowed_methods, reason = "how often to kill is told by the environment")]
fn kills() -> u64 {
    std::env::var("TOCSIN_STORM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_a_storm_of_ten_thousand_alerts_lose_nothing() {
    let kills = kills();
    println!("seed {SEED:#x}, {kills} kills");
    let mut dice = Dice(SEED);
    let sink = Sink::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(take).with_state(sink.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut service = Service::start(Setup::new(config(&address))).await;
    let alerts = service.url("/api/v2/alerts");

    // One group is silenced from the beginning, before anything fires.
    let now = clock::now();
    let silence = json!({
        "matchers": [{"name": "group", "value": "g0", "isRegex": false}], "createdBy": "ada", "comment": "x",
        "startsAt": now.rfc3339(), "endsAt": (now + Span::from_mins(24 * 60)).rfc3339(),
    });
    let silence_id = service.post("/api/v2/silences", &silence).await["silenceID"].clone();

    let mut fires: Vec<bool> = vec![true; ALERTS as usize];
    for piece in (0..ALERTS).collect::<Vec<u64>>().chunks(500) {
        let at = clock::now();
        post(alerts.clone(), piece.iter().map(|number| Word { number: *number, fires: true, at }).collect()).await;
    }
    let told: Vec<u64> = (0..ALERTS).filter(|number| number % GROUPS != 0).collect();
    within(CALM, "everybody has heard of the storm", async || {
        (sink.lock().expect("no holder of this lock panics").fires.len() == told.len()).then_some(())
    })
    .await;
    for _ in 0..kills {
        let chosen: BTreeSet<u64> = (0..MOVES).map(|_| dice.below(ALERTS)).collect();
        let at = clock::now();
        let words: Vec<Word> = chosen
            .into_iter()
            .map(|number| {
                let now_fires = !fires[number as usize];
                fires[number as usize] = now_fires;
                Word { number, fires: now_fires, at }
            })
            .collect();
        let posts: Vec<_> = words.chunks(50).map(|piece| tokio::spawn(post(alerts.clone(), piece.to_vec()))).collect();
        tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        service.kill().await;
        service.restart().await;
        for post in posts {
            post.await.expect("it was taken in the end");
        }
    }

    let expected = |number: u64| fires[number as usize];
    within(CALM, "everybody has heard the last word about each alert", async || {
        let heard = sink.lock().expect("no holder of this lock panics");
        let is_known = |number: &u64| match heard.fires.get(&format!("i{number}")) {
            Some(fires) => *fires == expected(*number),
            None => false,
        };
        told.iter().all(is_known).then_some(())
    })
    .await;

    let now_firing: BTreeSet<String> = service
        .get("/api/v2/alerts")
        .await
        .as_array()
        .expect("a list")
        .iter()
        .map(|alert| alert["labels"]["instance"].as_str().expect("an instance").to_owned())
        .collect();
    let should: BTreeSet<String> = (0..ALERTS).filter(|number| expected(*number)).map(|number| format!("i{number}")).collect();
    assert_eq!(now_firing.len(), should.len());
    assert!(now_firing == should, "the alerts that fire are those that were said to");
    let silences = service.get("/api/v2/silences").await;
    assert_eq!((&silences[0]["id"], &silences[0]["status"]["state"]), (&silence_id, &json!("active")));

    let heard = sink.lock().expect("no holder of this lock panics");
    assert_eq!(heard.wrong, Vec::<String>::new(), "a silenced alert was told");
    assert_eq!(heard.contradictions, Vec::<String>::new(), "one key said two things");
    let again = heard.deliveries.values().filter(|(_, times)| *times > 1).count();
    let most = heard.deliveries.values().map(|(_, times)| *times).max().unwrap_or(0);
    println!(
        "{kills} kills: {} alerts told of, {} deliveries, {again} of them came again under the same key, at most {most} times; {} refused",
        heard.fires.len(),
        heard.deliveries.len(),
        heard.refused
    );
    assert!(heard.refused > 0, "nothing was refused");
    assert_eq!(heard.fires.len(), told.len());
}
