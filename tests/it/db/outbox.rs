//! Deliveries, attempts and the inbox.

use tocsin::db::Db;
use tocsin::db::deliveries::{
    Attempt, DeliveryFilter, DeliveryState, InboxMessage, OutboxRow, Verdict, insert, insert_body, settle_lost,
};

use super::{Place, at};

fn row(id: i64, lane: &str) -> OutboxRow {
    OutboxRow {
        id,
        key: format!("key {id}"),
        lane: lane.to_owned(),
        state: DeliveryState::Pending,
        receiver: "team".to_owned(),
        channel: "webhook".to_owned(),
        action: "notify".to_owned(),
        title: format!("title {id}"),
        page_id: None,
        fingerprints: " 00ab 00cd ".to_owned(),
        created_at: at(id),
        next_attempt_at: at(id),
        expires_at: at(1_000),
        finished_at: None,
        attempts: 0,
    }
}

fn attempt(delivery_id: i64, number: i64, outcome: &str) -> Attempt {
    Attempt {
        delivery_id,
        number,
        at: at(50 + number),
        outcome: outcome.to_owned(),
        detail: format!("{outcome} {number}"),
        duration_ms: 7,
    }
}

async fn put(db: &Db, rows: &[OutboxRow]) {
    db.apply(&rows.iter().map(insert).collect::<Vec<_>>()).await.expect("a write");
}

async fn all(db: &Db) -> Vec<OutboxRow> {
    db.deliveries(&DeliveryFilter { limit: 1000, ..DeliveryFilter::default() }).await.expect("deliveries")
}

async fn heads(db: &Db) -> Vec<i64> {
    db.lane_heads(100).await.expect("heads").iter().map(|row| row.id).collect()
}

pub async fn a_delivery_comes_back_as_it_went(place: Place) {
    let db = place.open().await;
    assert_eq!(db.last_delivery_id().await.expect("an id"), 0);
    let full = OutboxRow {
        page_id: Some("page".to_owned()),
        finished_at: Some(at(9)),
        state: DeliveryState::Delivered,
        attempts: 3,
        ..row(7, "lane")
    };
    put(&db, &[full.clone(), row(5, "lane")]).await;
    assert_eq!(all(&db).await, [full, row(5, "lane")]);
    db.apply(&[insert_body("key 7", "seven".to_owned()), insert_body("key 7", "again".to_owned())]).await.expect("writes");
    assert_eq!(db.delivery_body(7).await.expect("an answer").as_deref(), Some("seven"));
    // An older version kept it in the delivery's row.
    db.write("UPDATE delivery SET body = $1 WHERE id = 5", ["five".into()]).await.expect("a write");
    assert_eq!(db.delivery_body(5).await.expect("an answer").as_deref(), Some("five"));
    assert_eq!(db.delivery_body(99).await.expect("an answer"), None);
    assert_eq!(db.last_delivery_id().await.expect("an id"), 7);
    db.close().await;
}

pub async fn the_same_key_is_taken_once(place: Place) {
    let db = place.open().await;
    put(&db, &[row(1, "lane")]).await;
    db.record_attempt(&attempt(1, 1, "delivered"), &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    // The same decision made again after a crash has another number and the same key.
    put(&db, &[OutboxRow { key: "key 1".to_owned(), ..row(2, "lane") }, row(3, "lane")]).await;
    let ids: Vec<(i64, DeliveryState)> = all(&db).await.iter().map(|row| (row.id, row.state)).collect();
    assert_eq!(ids, [(3, DeliveryState::Pending), (1, DeliveryState::Delivered)]);
    db.close().await;
}

pub async fn a_lane_offers_its_first_pending_delivery(place: Place) {
    let db = place.open().await;
    put(&db, &[row(1, "a"), row(2, "a"), row(3, "b"), OutboxRow { next_attempt_at: at(0), ..row(4, "c") }, row(5, "b")]).await;
    assert_eq!(heads(&db).await, [4, 1, 3], "by when they are due");
    let other = OutboxRow { receiver: "other".to_owned(), ..row(6, "d") };
    put(&db, &[other]).await;
    let firsts: Vec<i64> = db.lane_heads(1).await.expect("heads").iter().map(|head| head.id).collect();
    assert_eq!(firsts, [4, 6], "so many of each place, and none of them crowds out another");
    db.expire_delivery(6, at(7)).await.expect("a write");
    // A delivery that waits for its next attempt holds its lane: what follows it must not overtake it.
    db.record_attempt(&attempt(1, 1, "retry"), &Verdict::RetryAt(at(600))).await.expect("a write");
    assert_eq!(heads(&db).await, [4, 3, 1]);
    let waiting = db.lane_heads(100).await.expect("heads").into_iter().find(|row| row.id == 1).expect("it is a head still");
    assert_eq!((waiting.next_attempt_at, waiting.attempts), (at(600), 1));
    assert_eq!(db.delivery(1).await.expect("an answer").map(|row| row.state), Some(DeliveryState::Pending));
    assert_eq!(db.delivery(99).await.expect("an answer"), None);
    db.record_attempt(&attempt(1, 2, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    assert_eq!(heads(&db).await, [4, 2, 3], "a rejected delivery frees its lane");
    db.close().await;
}

pub async fn an_attempt_is_recorded_once_and_never_revives(place: Place) {
    let db = place.open().await;
    put(&db, &[row(1, "a"), row(2, "b")]).await;
    db.record_attempt(&attempt(1, 1, "retry"), &Verdict::RetryAt(at(70))).await.expect("a write");
    let before = all(&db).await;
    db.record_attempt(&attempt(1, 2, "delivered"), &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    assert_eq!(
        db.attempts(&before).await.expect("attempts"),
        [attempt(1, 1, "retry")],
        "a delivery that was read while it was pending has no attempt that ended it"
    );
    // Recording the same attempt again, as after a failure to hear the database's answer, changes nothing.
    db.record_attempt(&attempt(1, 2, "delivered"), &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    db.record_attempt(&attempt(1, 3, "retry"), &Verdict::RetryAt(at(900))).await.expect("a write");
    let ended = all(&db).await.into_iter().find(|row| row.id == 1).expect("it is there");
    assert_eq!((ended.state, ended.finished_at, ended.attempts), (DeliveryState::Delivered, Some(at(52)), 2));
    db.record_attempt(&attempt(2, 1, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    let after = all(&db).await;
    let attempts = db.attempts(&after).await.expect("attempts");
    assert_eq!(attempts[..2], [attempt(1, 1, "retry"), attempt(1, 2, "delivered")]);
    assert_eq!(attempts.last(), Some(&attempt(2, 1, "rejected")));
    let second: Vec<OutboxRow> = after.into_iter().filter(|row| row.id == 2).collect();
    assert_eq!(db.attempts(&second).await.expect("attempts").len(), 1);
    assert_eq!(db.attempts(&[]).await.expect("attempts"), []);
    db.close().await;
}

pub async fn attempts_that_end_together_are_all_recorded(place: Place) {
    let db = place.open().await;
    let rows: Vec<OutboxRow> = (1..=40).map(|id| row(id, &format!("lane {id}"))).collect();
    put(&db, &rows).await;
    let mut tasks = tokio::task::JoinSet::new();
    for id in 1..=40 {
        let db = db.clone();
        tasks.spawn(async move {
            let verdict = if id % 2 == 0 { Verdict::RetryAt(at(600)) } else { Verdict::Finished(DeliveryState::Delivered) };
            db.record_attempt(&attempt(id, 1, "told"), &verdict).await.expect("a write");
            // It stands by the time that its own record is said to be made.
            db.delivery(id).await.expect("a row").expect("it is there").attempts
        });
    }
    assert!(tasks.join_all().await.iter().all(|attempts| *attempts == 1));
    let after = all(&db).await;
    assert_eq!(db.attempts(&after).await.expect("attempts").len(), 40);
    assert_eq!(heads(&db).await, (1..=20).map(|half| 2 * half).collect::<Vec<_>>());
    db.close().await;
}

pub async fn an_expired_delivery_frees_its_lane(place: Place) {
    let db = place.open().await;
    put(&db, &[row(1, "a"), row(2, "a")]).await;
    db.expire_delivery(1, at(1_000)).await.expect("a write");
    assert_eq!(heads(&db).await, [2]);
    let expired = all(&db).await.into_iter().find(|row| row.id == 1).expect("it is there");
    assert_eq!((expired.state, expired.finished_at), (DeliveryState::Expired, Some(at(1_000))));
    // An answer that comes after the end does not change how it ended.
    db.record_attempt(&attempt(1, 1, "delivered"), &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    assert_eq!(all(&db).await.into_iter().find(|row| row.id == 1).expect("it is there").state, DeliveryState::Expired);
    db.expire_delivery(2, at(5)).await.expect("a write");
    db.expire_delivery(2, at(6)).await.expect("expiring twice is no fault");
    assert_eq!(heads(&db).await, [0; 0]);
    db.close().await;
}

pub async fn what_is_lost_is_known_until_it_is_settled(place: Place) {
    let db = place.open().await;
    put(&db, &(1..=6).map(|id| row(id, &format!("lane {id}"))).collect::<Vec<_>>()).await;
    db.record_attempt(&attempt(1, 1, "delivered"), &Verdict::Finished(DeliveryState::Delivered)).await.expect("a write");
    db.record_attempt(&attempt(2, 1, "retry"), &Verdict::RetryAt(at(70))).await.expect("a write");
    db.record_attempt(&attempt(5, 1, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    db.record_attempt(&attempt(4, 1, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    db.expire_delivery(3, at(80)).await.expect("a write");
    db.record_attempt(&attempt(6, 1, "rejected"), &Verdict::Partly).await.expect("a write");
    assert_eq!(db.delivery(6).await.expect("an answer").map(|row| row.state), Some(DeliveryState::Rejected), "some have it");
    let lost = async |behind| db.lost_deliveries(behind, 2).await.expect("ids");
    assert_eq!((lost(0).await, lost(4).await), (vec![3, 4], vec![5]));
    db.apply(&[settle_lost("key 4"), settle_lost("nothing")]).await.expect("writes");
    assert_eq!(lost(0).await, [3, 5]);
    // Whatever is recorded again, it is settled once.
    db.record_attempt(&attempt(4, 1, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    db.expire_delivery(4, at(90)).await.expect("a write");
    db.expire_delivery(1, at(90)).await.expect("a write");
    assert_eq!(lost(0).await, [3, 5]);
    db.close().await;
}

pub async fn filters_choose_deliveries(place: Place) {
    let db = place.open().await;
    put(
        &db,
        &[
            row(1, "a"),
            OutboxRow { channel: "email".to_owned(), page_id: Some("p".to_owned()), ..row(2, "b") },
            OutboxRow { fingerprints: " 00ef ".to_owned(), page_id: Some("p".to_owned()), ..row(3, "c") },
            row(4, "d"),
        ],
    )
    .await;
    db.record_attempt(&attempt(4, 1, "rejected"), &Verdict::Finished(DeliveryState::Rejected)).await.expect("a write");
    let ids = async |filter: DeliveryFilter| -> Vec<i64> {
        let filter = DeliveryFilter { limit: if filter.limit == 0 { 100 } else { filter.limit }, ..filter };
        db.deliveries(&filter).await.expect("deliveries").iter().map(|row| row.id).collect()
    };
    let any = DeliveryFilter::default;
    assert_eq!(ids(any()).await, [4, 3, 2, 1]);
    assert_eq!(ids(DeliveryFilter { limit: 2, ..any() }).await, [4, 3]);
    assert_eq!(ids(DeliveryFilter { before: Some(3), ..any() }).await, [2, 1]);
    assert_eq!(ids(DeliveryFilter { state: Some(DeliveryState::Rejected), ..any() }).await, [4]);
    assert_eq!(ids(DeliveryFilter { channel: Some("email".to_owned()), ..any() }).await, [2]);
    assert_eq!(ids(DeliveryFilter { page_id: Some("p".to_owned()), ..any() }).await, [3, 2]);
    assert_eq!(ids(DeliveryFilter { fingerprint: Some("00cd".to_owned()), ..any() }).await, [4, 2, 1]);
    assert_eq!(ids(DeliveryFilter { fingerprint: Some("00c".to_owned()), ..any() }).await, [0; 0], "only whole fingerprints");
    let several =
        DeliveryFilter { page_id: Some("p".to_owned()), fingerprint: Some("00ab".to_owned()), before: Some(4), ..any() };
    assert_eq!(ids(several).await, [2]);
    db.close().await;
}

pub async fn counts_are_of_pending_ones_and_of_recent_ones(place: Place) {
    let db = place.open().await;
    let rows: Vec<OutboxRow> = (1..=6).map(|id| row(id, &format!("lane {id}"))).collect();
    put(&db, &rows).await;
    for (id, state) in [(1, DeliveryState::Delivered), (4, DeliveryState::Delivered), (5, DeliveryState::Rejected)] {
        db.record_attempt(&attempt(id, 1, "x"), &Verdict::Finished(state)).await.expect("a write");
    }
    db.record_attempt(&attempt(2, 1, "retry"), &Verdict::RetryAt(at(60))).await.expect("a write");
    db.expire_delivery(6, at(70)).await.expect("a write");
    let counts = db.delivery_counts(at(4)).await.expect("counts");
    // Number 1 ended and is old; 2 and 3 are pending, of which 2 has failed.
    assert_eq!((counts.pending, counts.failing), (2, 1));
    assert_eq!((counts.delivered, counts.rejected, counts.expired), (1, 1, 1));
    let none = db.delivery_counts(at(1_000_000)).await.expect("counts");
    assert_eq!((none.pending, none.delivered, none.rejected, none.expired), (2, 0, 0, 0));
    db.close().await;
}

pub async fn the_inbox_takes_a_message_once(place: Place) {
    let db = place.open().await;
    let message = |key: &str, seconds| InboxMessage {
        key: key.to_owned(),
        at: at(seconds),
        receiver: "team".to_owned(),
        status: "firing".to_owned(),
        title: format!("title {key}"),
        body: "line\nline".to_owned(),
        page_id: Some("page".to_owned()),
    };
    let without_page = InboxMessage { page_id: None, ..message("c", 2) };
    for message in [message("a", 1), message("b", 3), without_page.clone(), message("a", 9)] {
        db.add_inbox(&message).await.expect("a write");
    }
    assert_eq!(db.inbox(10).await.expect("messages"), [message("b", 3), without_page, message("a", 1)]);
    assert_eq!(db.inbox(1).await.expect("messages"), [message("b", 3)]);
    db.close().await;
}

pub async fn a_value_that_no_column_takes_holds_up_nothing(place: Place) {
    let db = place.open().await;
    let nul = OutboxRow { title: "a\0b".to_owned(), ..row(1, "a") };
    put(&db, &[nul, row(2, "b")]).await;
    assert_eq!(db.delivery(1).await.expect("an answer").expect("it is there").title, "a\u{fffd}b");
    let detail = Attempt { detail: "502 \0\0".to_owned(), ..attempt(1, 1, "retry") };
    db.record_attempt(&detail, &Verdict::RetryAt(at(9))).await.expect("a provider's answer is no reason to fail");
    assert_eq!(db.attempts(&all(&db).await).await.expect("attempts")[0].detail, "502 \u{fffd}\u{fffd}");
    // A number that is taken by another delivery cannot be recorded however often it is tried; a fault that passes is another thing.
    let taken =
        db.apply(&[insert(&OutboxRow { key: "another".to_owned(), ..row(2, "c") })]).await.expect_err("the number is taken");
    assert!(taken.is_lasting(), "{taken:?}");
    db.close().await;
    let closed = db.apply(&[insert(&row(3, "c"))]).await.expect_err("it is closed");
    assert!(!closed.is_lasting(), "{closed:?}");
}
