//! Stories of those who silence, and of those who must not be left in the dark by it.

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::clock;
use tocsin_core::time::{Span, Timestamp};

use crate::access::Browser;
use crate::harness::service::{Service, Setup};
use crate::harness::{peers, soon};

const ROUTES: &str = "route: {receiver: team, group_by: [alertname], group_wait: 0s, group_interval: 1s}\n\
    receivers: [{name: team, inbox_configs: [{}]}]\n";

fn ahead(minutes: i64) -> String {
    (clock::now() + Span::from_mins(minutes)).rfc3339()
}

fn equal(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value, "isRegex": false, "isEqual": true })
}

fn alert(name: &str, ends_at: &str) -> Value {
    json!([{ "labels": { "alertname": name, "service": "shop", "severity": "critical" }, "endsAt": ends_at }])
}

async fn silences(browser: &Browser<'_>) -> Vec<Value> {
    let (status, listed) = browser.ask(Method::GET, "/api/tocsin/v1/silences", &json!({})).await;
    assert_eq!(status, 200, "{listed}");
    listed["silences"].as_array().expect("a list").clone()
}

async fn told(browser: &Browser<'_>) -> usize {
    let (_, inbox) = browser.ask(Method::GET, "/api/tocsin/v1/inbox", &json!({})).await;
    let messages = inbox["messages"].as_array().unwrap_or_else(|| panic!("messages in {inbox}"));
    messages.iter().filter(|message| message["title"].as_str().is_some_and(|title| title.contains("Slow"))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_is_held_against_history_and_policy_has_an_owner_and_ends_with_its_alerts() {
    let policy = "silences: {longest: 1d, needs: [alertname], never: ['alertname=\"Watchdog\"'], remind: 1h}\n";
    let service = Service::start(Setup::new(format!("{ROUTES}{policy}")).with_auth()).await;
    let browser = Browser::log_in(&service, "admin", &service.first_password()).await;
    let ask = async |path: &str, body: Value| browser.ask(Method::POST, path, &body).await;
    for name in ["Slow", "Watchdog"] {
        assert_eq!(ask("/api/v2/alerts", alert(name, &ahead(60))).await.0, 200);
    }
    soon("somebody is told", async || (told(&browser).await == 1).then_some(())).await;

    // Before: what it would have muted, and what speaks against it.
    let shop = json!([equal("service", "shop")]);
    let history = soon("the trace is written", async || {
        let (status, history) = ask("/api/tocsin/v1/silences/history", json!({ "matchers": shop })).await;
        assert_eq!(status, 200, "{history}");
        (history["notifications"] == 1).then_some(history)
    })
    .await;
    let count = |name: &str| json!([{ "name": name, "begins": 1 }]);
    assert_eq!((&history["alerts"], &history["begins"], &history["pages"]), (&json!(1), &json!(1), &json!(1)), "{history}");
    assert_eq!((&history["names"], &history["services"]), (&count("Slow"), &count("shop")), "{history}");
    assert_eq!(history["complete"], true);
    let wish = json!({ "matchers": shop, "ends_at": ahead(3000), "comment": "deploy" });
    let (_, preview) = ask("/api/tocsin/v1/silences/preview", json!({ "matchers": shop, "ends_at": wish["ends_at"] })).await;
    assert_eq!((&preview["total"], &preview["spared"]), (&json!(1), &json!(1)), "{preview}");
    let faults: Vec<&str> = preview["faults"].as_array().expect("faults").iter().filter_map(Value::as_str).collect();
    assert!(faults.len() == 2 && faults[0].contains("silences.longest") && faults[1].contains("silences.needs"), "{faults:?}");
    let (status, refused) = ask("/api/tocsin/v1/silences", wish).await;
    assert_eq!((status, &refused["type"]), (400, &json!("against-policy")), "{refused}");
    assert!(faults.iter().all(|fault| refused["detail"].as_str().is_some_and(|detail| detail.contains(fault))), "{refused}");

    // Made, seen, reminded of, and changed by whoever has seen it as it is.
    let slow = json!([equal("alertname", "Slow")]);
    let wish = json!({ "matchers": slow, "ends_at": ahead(30), "comment": "deploy", "until_resolved": true });
    let (status, made) = ask("/api/tocsin/v1/silences", wish.clone()).await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().expect("an id").to_owned();
    let seen = silences(&browser).await.remove(0);
    let facts = ["state", "owner", "created_by", "until_resolved", "firing", "critical"].map(|key| seen[key].clone());
    assert_eq!(json!(facts), json!(["active", "admin", "admin", true, 1, 1]), "{seen}");
    let reminder = async || {
        let (_, alerts) = browser.ask(Method::GET, "/api/v2/alerts?filter=alertname=\"TocsinSilenceEnds\"", &json!({})).await;
        alerts.as_array().expect("a list").first().cloned()
    };
    let reminded = soon("people are reminded of its end", reminder).await;
    assert_eq!((&reminded["labels"]["silence"], &reminded["labels"]["owner"]), (&json!(id), &json!("admin")), "{reminded}");
    assert!(reminded["annotations"]["description"].as_str().is_some_and(|text| text.contains("deploy")), "{reminded}");
    let change = |seen_at: &str| {
        let mut wish = wish.clone();
        wish["id"] = json!(id);
        wish["seen_at"] = json!(seen_at);
        wish["starts_at"] = seen["starts_at"].clone();
        wish["ends_at"] = json!(ahead(20));
        wish
    };
    let (status, conflict) = ask("/api/tocsin/v1/silences", change("2026-01-01T00:00:00Z")).await;
    assert_eq!((status, &conflict["type"]), (409, &json!("silence-changed")), "{conflict}");
    let (status, changed) = ask("/api/tocsin/v1/silences", change(seen["updated_at"].as_str().expect("an instant"))).await;
    assert_eq!((status, &changed["id"]), (200, &json!(id)), "{changed}");

    // A client of Alertmanager sees the terms, and one that knows none of them leaves them.
    let (_, theirs) = browser.ask(Method::GET, &format!("/api/v2/silence/{id}"), &json!({})).await;
    assert_eq!(theirs["annotations"], json!({ "tocsin_until": "resolved" }), "{theirs}");
    let plain = json!({ "id": id, "matchers": slow, "startsAt": theirs["startsAt"], "endsAt": ahead(25), "createdBy": "karma",
        "comment": "deploy" });
    assert_eq!(ask("/api/v2/silences", plain).await.1["silenceID"], json!(id));
    assert_eq!(silences(&browser).await[0]["until_resolved"], true);

    // It ends with its alert, and the next one is told.
    let before = told(&browser).await;
    assert_eq!(ask("/api/v2/alerts", alert("Slow", &clock::now().rfc3339())).await.0, 200);
    let over =
        soon("the silence ends", async || silences(&browser).await.into_iter().find(|silence| silence["state"] == "expired"))
            .await;
    assert_eq!(
        (&over["id"], &over["ended"]["why"], &over["ended"]["by"]),
        (&json!(id), &json!("resolved"), &Value::Null),
        "{over}"
    );
    soon("the reminder is over", async || reminder().await.is_none().then_some(())).await;
    assert_eq!(ask("/api/v2/alerts", alert("Slow", &ahead(60))).await.0, 200);
    soon("the next one is told", async || (told(&browser).await > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_that_was_ended_stays_so_though_the_database_is_put_back_from_before() {
    let mut service = Service::start(Setup::new(ROUTES)).await;
    let made = |comment: &str| json!({ "matchers": [equal("alertname", "Slow")], "ends_at": ahead(60), "comment": comment });
    let ended = service.post("/api/tocsin/v1/silences", &made("ended")).await["id"].clone();
    let kept = service.post("/api/tocsin/v1/silences", &made("kept")).await["id"].clone();
    service.terminate().await;
    let (db, copy) = (service.path("data/tocsin.db"), service.path("older.db"));
    std::fs::copy(&db, &copy).expect("a copy");
    service.restart().await;
    let path = format!("/api/tocsin/v1/silences/{}", ended.as_str().expect("an id"));
    assert_eq!(service.send(Method::DELETE, &path, None).await.0, 204);
    service.kill().await;
    for left in ["tocsin.db-wal", "tocsin.db-shm"] {
        let _ = std::fs::remove_file(service.path(&format!("data/{left}")));
    }
    std::fs::copy(&copy, &db).expect("it is put back");
    service.restart().await;
    let listed = service.get("/api/tocsin/v1/silences").await;
    let state = |id: &Value| {
        let found = listed["silences"].as_array().expect("a list").iter().find(|silence| silence["id"] == *id);
        found.map(|silence| (silence["state"].clone(), silence["ended"]["why"].clone()))
    };
    assert_eq!(state(&ended), Some((json!("expired"), json!("person"))), "{listed}");
    assert_eq!(state(&kept), Some((json!("active"), Value::Null)), "{listed}");
    assert_eq!(service.send(Method::DELETE, "/api/tocsin/v1/silences/nothing", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recurring_silence_goes_through_amtool_and_back() {
    assert!(peers::version("amtool").await >= (0, 33), "amtool is too old");
    let service = Service::start(Setup::new(ROUTES)).await;
    let night = json!([{ "times": [{ "start_time": "22:00", "end_time": "06:00" }], "weekdays": ["saturday"], "location": "Europe/Berlin" }]);
    let wish = json!({ "matchers": [equal("alertname", "Slow")], "ends_at": ahead(60 * 24 * 60), "comment": "backups", "created_by": "ann",
        "times": night });
    let id = service.post("/api/tocsin/v1/silences", &wish).await["id"].as_str().expect("an id").to_owned();
    let listed = service.get("/api/tocsin/v1/silences").await["silences"][0].clone();
    let turn = listed["next_turn_at"].as_str().and_then(Timestamp::parse_rfc3339).expect("it is Saturday night within a week");
    assert!(turn > clock::now() && turn < clock::now() + Span::from_mins(7 * 24 * 60), "{listed}");
    assert_eq!((&listed["created_by"], &listed["owner"]), (&json!("ann"), &Value::Null));
    assert_eq!(listed["times"][0]["weekdays"], json!(["saturday"]));
    let url = service.url("");
    let amtool = async |arguments: &[&str]| {
        let url = format!("--alertmanager.url={url}");
        peers::ask("amtool", &[&[url.as_str()], arguments].concat()).await
    };
    let exported = amtool(&["silence", "query", "-o", "json"]).await;
    assert!(exported.contains("tocsin_times"), "{exported}");
    let file = service.path("silences.json");
    std::fs::write(&file, &exported).expect("the folder takes files");
    amtool(&["silence", "expire", &id]).await;
    amtool(&["silence", "import", "--force", file.to_str().expect("a path")]).await;
    let listed = service.get("/api/tocsin/v1/silences").await;
    let list = listed["silences"].as_array().expect("a list");
    let back: Vec<&Value> = list.iter().filter(|silence| silence["state"] != "expired").collect();
    assert_eq!(back.len(), 1, "{listed}");
    assert!(back[0]["id"] != json!(id) && back[0]["times"][0]["times"] == night[0]["times"], "{listed}");
    assert_eq!(list.len(), 2);
    // It reads annotations as it reads matchers.
    let said = format!("--annotation=tocsin_times={:?}", night.to_string());
    let added =
        amtool(&["silence", "add", "alertname=Backup", "--author=ann", "--comment=backups", "--duration=90d", &said]).await;
    let added = service.get("/api/tocsin/v1/silences").await["silences"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|silence| silence["id"] == added.trim())
        .cloned();
    assert_eq!(added.expect("it is listed")["times"][0]["location"], "Europe/Berlin");
    // What cannot be read is told, with what can be written in its place.
    let mut bad = wish.clone();
    bad["times"] = json!([{ "weekdays": ["freitag"], "location": "Mars" }]);
    let (status, refused) = service.send(Method::POST, "/api/tocsin/v1/silences", Some(&bad)).await;
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(status == 400 && detail.contains("freitag") && detail.contains("Mars"), "{refused}");
}
