//! Records of the machines in core: documents, alerts, pages, histories, and the sweep.

use serde_json::{Value, json};
use tocsin::db::deliveries::{Attempt, DeliveryFilter, DeliveryState, InboxMessage, OutboxRow, Verdict, insert, insert_body};
use tocsin::db::state::{Document, add_alert_event, put, put_instance, put_page, remove, remove_instance, remove_rule};

use super::{Place, at};

pub async fn documents_are_put_replaced_and_removed(place: Place) {
    let db = place.open().await;
    for document in [Document::RoutedAlert, Document::Flap, Document::Group, Document::Silence] {
        let text = |value: Value| value.to_string();
        db.apply(&[
            put(document, "b", text(json!({"n": 1}))),
            put(document, "a", text(json!({"n": 2}))),
            put(document, "b", text(json!({"n": 3}))),
        ])
        .await
        .expect("writes");
        assert_eq!(db.documents::<Value>(document).await.expect("documents"), [json!({"n": 2}), json!({"n": 3})]);
        let touched = db.apply(&[remove(document, "a"), remove(document, "none")]).await.expect("writes");
        assert_eq!(touched, [1, 0]);
        assert_eq!(db.documents::<Value>(document).await.expect("documents"), [json!({"n": 3})]);
        db.documents::<Vec<i64>>(document).await.expect_err("a document of another shape is a fault, not a panic");
    }
    db.close().await;
}

pub async fn instances_belong_to_their_rule(place: Place) {
    let db = place.open().await;
    db.apply(&[
        put_instance("rule 2", "ff", "1".to_owned()),
        put_instance("rule 1", "ff", "2".to_owned()),
        put_instance("rule 1", "aa", "3".to_owned()),
        put_instance("rule 1", "ff", "4".to_owned()),
    ])
    .await
    .expect("writes");
    let all = async || db.instances::<i64>().await.expect("instances");
    let text = |pairs: &[(&str, i64)]| pairs.iter().map(|(rule, body)| ((*rule).to_owned(), *body)).collect::<Vec<_>>();
    assert_eq!(all().await, text(&[("rule 1", 3), ("rule 1", 4), ("rule 2", 1)]));
    db.apply(&[remove_instance("rule 1", "aa")]).await.expect("a write");
    assert_eq!(all().await, text(&[("rule 1", 4), ("rule 2", 1)]));
    db.apply(&[put_instance("rule 1", "bb", "5".to_owned()), remove_rule("rule 1")]).await.expect("writes");
    assert_eq!(all().await, text(&[("rule 2", 1)]));
    db.close().await;
}

pub async fn pages_are_listed_newest_first(place: Place) {
    let db = place.open().await;
    db.apply(&[
        put_page("a", "triggered", at(1), "1".to_owned()),
        put_page("b", "acknowledged", at(3), "2".to_owned()),
        put_page("c", "triggered", at(2), "3".to_owned()),
        put_page("c", "resolved", at(99), "4".to_owned()),
    ])
    .await
    .expect("writes");
    assert_eq!(db.pages::<i64>(true, 10).await.expect("pages"), [2, 1]);
    assert_eq!(db.pages::<i64>(false, 10).await.expect("pages"), [2, 4, 1], "when a page was opened does not change");
    assert_eq!(db.pages::<i64>(false, 2).await.expect("pages"), [2, 4]);
    assert_eq!(db.page::<i64>("c").await.expect("an answer"), Some(4));
    assert_eq!(db.page::<i64>("z").await.expect("an answer"), None);
    db.close().await;
}

pub async fn an_alerts_history_is_read_newest_first(place: Place) {
    let db = place.open().await;
    db.apply(&[
        add_alert_event("aa", at(1), "pending", "Down"),
        add_alert_event("aa", at(2), "firing", "Down"),
        add_alert_event("bb", at(3), "pending", "Slow"),
        add_alert_event("aa", at(4), "resolved", "Down"),
        // As when a commit got no answer and is made again.
        add_alert_event("aa", at(4), "resolved", "Down"),
    ])
    .await
    .expect("writes");
    let states = async |limit| -> Vec<String> {
        db.alert_events("aa", limit).await.expect("events").into_iter().map(|event| event.state).collect()
    };
    assert_eq!(states(10).await, ["resolved", "firing", "pending"]);
    assert_eq!(states(1).await, ["resolved"]);
    assert!(db.alert_events("zz", 10).await.expect("events").is_empty());
    db.close().await;
}

pub async fn the_sign_of_life_is_the_last_one(place: Place) {
    let db = place.open().await;
    assert_eq!(db.alive_at().await.expect("an answer"), None);
    for seconds in [1, 5, 4] {
        db.set_alive_at(at(seconds)).await.expect("a write");
    }
    assert_eq!(db.alive_at().await.expect("an answer"), Some(at(4)));
    db.close().await;
}

pub async fn the_sweep_takes_what_ended_and_is_old(place: Place) {
    let db = place.open().await;
    let row = |id: i64| OutboxRow {
        id,
        key: format!("key {id}"),
        lane: format!("lane {id}"),
        state: DeliveryState::Pending,
        receiver: "team".to_owned(),
        channel: "inbox".to_owned(),
        action: "notify".to_owned(),
        title: String::new(),
        page_id: None,
        fingerprints: " ".to_owned(),
        created_at: at(1),
        next_attempt_at: at(1),
        expires_at: at(100),
        finished_at: None,
        attempts: 0,
    };
    let message = |key: &str, seconds| InboxMessage {
        key: key.to_owned(),
        at: at(seconds),
        receiver: "team".to_owned(),
        status: "firing".to_owned(),
        title: String::new(),
        body: String::new(),
        page_id: None,
    };
    db.apply(&[
        put_page("old and open", "triggered", at(1), "1".to_owned()),
        put_page("old and resolved", "resolved", at(1), "2".to_owned()),
        put_page("new and resolved", "resolved", at(50), "3".to_owned()),
        add_alert_event("aa", at(1), "pending", "Down"),
        add_alert_event("aa", at(50), "firing", "Down"),
        insert(&row(1)),
        insert(&row(2)),
        insert(&row(3)),
        insert_body("key 1", "one".to_owned()),
        insert_body("key 2", "two".to_owned()),
        insert_body("key 3", "three".to_owned()),
    ])
    .await
    .expect("writes");
    for (id, seconds) in [(1, 5), (2, 50)] {
        let attempt = Attempt {
            delivery_id: id,
            number: 1,
            at: at(seconds),
            outcome: "delivered".to_owned(),
            detail: String::new(),
            duration_ms: 0,
        };
        db.record_attempt(&attempt, &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    }
    db.add_inbox(&message("old", 1)).await.expect("a write");
    db.add_inbox(&message("new", 50)).await.expect("a write");

    let filter = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
    let before = db.deliveries(&filter).await.expect("deliveries");
    db.sweep(at(40)).await.expect("a sweep");
    assert_eq!(db.pages::<i64>(false, 10).await.expect("pages"), [3, 1], "an open page stays however old it is");
    assert_eq!(db.alert_events("aa", 10).await.expect("events").len(), 1);
    let left: Vec<i64> = db.deliveries(&filter).await.expect("deliveries").iter().map(|row| row.id).collect();
    assert_eq!(left, [3, 2], "a pending delivery stays");
    let bodies = db.rows("delivery_body", "SELECT body FROM delivery_body ORDER BY delivery_key", []).await.expect("rows");
    assert_eq!(bodies.iter().map(|row| row.text(0).expect("text")).collect::<Vec<_>>(), ["two", "three"]);
    let attempts: Vec<i64> = db.attempts(&before).await.expect("attempts").iter().map(|attempt| attempt.delivery_id).collect();
    assert_eq!(attempts, [2]);
    let kept: Vec<String> = db.inbox(10).await.expect("messages").into_iter().map(|message| message.key).collect();
    assert_eq!(kept, ["new"]);
    db.close().await;
}

pub async fn a_start_reads_every_open_page_and_the_newest_others(place: Place) {
    let db = place.open().await;
    let mut writes =
        vec![put_page("old", "triggered", at(1), "1".to_owned()), put_page("taken", "acknowledged", at(2), "2".to_owned())];
    writes.extend((10..40).map(|number| put_page(&format!("r{number}"), "resolved", at(number), number.to_string())));
    db.apply(&writes).await.expect("writes");
    assert_eq!(db.pages_to_restore::<i64>(3).await.expect("pages"), [39, 38, 37, 2, 1]);
    db.close().await;
}

pub async fn a_sweep_goes_in_steps_until_nothing_is_left(place: Place) {
    let db = place.open().await;
    let mut writes: Vec<_> =
        (0..1_203).map(|number| put_page(&format!("p{number}"), "resolved", at(number / 7), "0".to_owned())).collect();
    writes.extend((0..1_203).map(|number| add_alert_event(&format!("{number}"), at(number / 700), "firing", "Down")));
    db.apply(&writes).await.expect("writes");
    db.sweep(at(10_000)).await.expect("a sweep");
    for table in ["page", "alert_event"] {
        let rows = db.rows("any", format!("SELECT COUNT(*) FROM {table}"), []).await.expect("a count");
        assert_eq!(rows[0].int(0).expect("a number"), 0, "{table}");
    }
    db.close().await;
}

pub async fn a_key_may_be_longer_than_an_index_takes(place: Place) {
    let db = place.open().await;
    // Nothing that a database could fold into fewer bytes.
    let long: String = (0..2_000_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761))).collect();
    for text in ["1", "2"] {
        db.apply(&[put(Document::Group, &long, text.to_owned())]).await.expect("a group with long labels is recorded");
    }
    db.apply(&[put(Document::Group, &format!("{long}x"), "3".to_owned())]).await.expect("a write");
    assert_eq!(db.documents::<i64>(Document::Group).await.expect("documents").len(), 2);
    assert_eq!(db.apply(&[remove(Document::Group, &long)]).await.expect("a write"), [1]);
    assert_eq!(db.documents::<i64>(Document::Group).await.expect("documents"), [3]);
    db.close().await;
}
