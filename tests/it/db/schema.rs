//! Migrations, transactions and values.

use tocsin::db::{Cell, DbError, Write};

use super::rows::run;
use super::runs::add;
use super::{Place, at};
use tocsin::db::Db;
use tocsin::db::runs::RunFilter;
use tocsin::db::state::{Document, put, put_page};

pub async fn opening_twice_changes_nothing(place: Place) {
    let first = place.open().await;
    first.apply(&[put_page("p", "triggered", at(1), "1".to_owned())]).await.expect("a write");
    let versions =
        first.rows("schema_version", "SELECT version FROM schema_version ORDER BY version", []).await.expect("versions");
    first.close().await;
    let second = place.open().await;
    assert_eq!(second.page::<i64>("p").await.expect("a page"), Some(1));
    let again = second.rows("schema_version", "SELECT version FROM schema_version ORDER BY version", []).await.expect("versions");
    assert!(!versions.is_empty());
    assert_eq!(versions.len(), again.len());
    second.close().await;
}

pub async fn a_newer_database_is_refused(place: Place) {
    let db = place.open().await;
    db.write("INSERT INTO schema_version (version) VALUES ($1)", [9_999.into()]).await.expect("a write");
    db.close().await;
    let error = match &place {
        Place::File(path) => Db::open_sqlite(path).await,
        Place::Url(url) => Db::open_postgres(url).await,
    }
    .expect_err("a newer database must not be opened");
    assert!(matches!(error, DbError::TooNew { found: 9_999, .. }), "{error:?}");
}

pub async fn a_transaction_happens_whole_or_not_at_all(place: Place) {
    let db = place.open().await;
    let good = put(Document::Silence, "one", "1".to_owned());
    let bad = Write::new("INSERT INTO silence (id, body) VALUES ($1, $2)", ["one".into(), "2".into()]);
    let also_good = put(Document::Silence, "two", "2".to_owned());
    db.apply(&[good.clone(), bad, also_good]).await.expect_err("the second statement breaks the primary key");
    assert_eq!(db.documents::<i64>(Document::Silence).await.expect("documents"), [0; 0]);
    // The connection is as good as new after a failure.
    let touched = db.apply(&[good.clone(), good, put(Document::Silence, "two", "2".to_owned())]).await.expect("writes");
    assert_eq!(touched, [1, 1, 1]);
    assert_eq!(db.documents::<i64>(Document::Silence).await.expect("documents"), [1, 2]);
    assert_eq!(db.apply(&[]).await.expect("nothing to do"), [0; 0]);
    // Many of one kind go out together, in their order: of two that say something of one row the later one counts.
    let many: Vec<Write> =
        (0..700).map(|number| put(Document::Group, &format!("{:03}", number % 600), number.to_string())).collect();
    db.apply(&many).await.expect("writes");
    let found = db.documents::<i64>(Document::Group).await.expect("documents");
    assert_eq!(found, (600..700).chain(100..600).collect::<Vec<i64>>());
    db.close().await;
}

pub async fn null_and_unicode_come_back_as_they_went(place: Place) {
    let db = place.open().await;
    let body = serde_json::to_string("tab\t, quote ' \" \\ , line\n, emoji 🚒, größe, \u{10FFFF}").expect("JSON");
    db.apply(&[put_page("ключ '1'", "triggered", at(-5), body.clone())]).await.expect("a write");
    let page: String = db.page("ключ '1'").await.expect("a page").expect("it is there");
    assert_eq!(serde_json::to_string(&page).expect("JSON"), body);
    let rows = db.rows("page", "SELECT opened_at_ms, NULL, id FROM page", []).await.expect("rows");
    assert_eq!(rows[0].int(0).expect("a number"), -5000);
    assert_eq!(rows[0].optional_text(1).expect("NULL"), None);
    assert_eq!(rows[0].text(2).expect("text"), "ключ '1'");
    assert!(rows[0].text(0).is_err() && rows[0].int(2).is_err() && rows[0].int(1).is_err() && rows[0].int(9).is_err());
    let extreme = Cell::from(i64::MIN);
    db.write("UPDATE page SET opened_at_ms = $1", [extreme]).await.expect("a write");
    assert_eq!(db.rows("page", "SELECT opened_at_ms FROM page", []).await.expect("rows")[0].int(0).expect("a number"), i64::MIN);
    db.close().await;
}

pub async fn concurrent_writers_all_get_through(place: Place) {
    let db = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let db = db.clone();
        tasks.spawn(async move {
            for number in 0..8 {
                let key = format!("{task:02}-{number}");
                // Two statements, so that transactions overlap.
                let writes = [put(Document::Silence, &key, "0".to_owned()), put(Document::Silence, &key, number.to_string())];
                db.apply(&writes).await.expect("a write");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    let all = db.documents::<i64>(Document::Silence).await.expect("documents");
    assert_eq!(all.len(), 16 * 8);
    assert_eq!(all.iter().sum::<i64>(), 16 * (0..8).sum::<i64>());
    db.close().await;
}

/// The tables that the newest step makes, those first that others refer to.
const NEWEST: [&str; 19] = [
    "document_version",
    "run",
    "step_attempt",
    "undo",
    "approval",
    "rate_ledger",
    "resource_lock",
    "sample",
    "run_note",
    "schedule_fire",
    "kill_switch",
    "calendar_window",
    "canary_ack",
    "slo_row",
    "alert_extension",
    "delivery_body",
    "trace",
    "alert_flap",
    "lost_delivery",
];

pub async fn a_database_of_the_version_before_is_brought_forward(place: Place) {
    let db = place.open().await;
    db.apply(&[put_page("p", "triggered", at(1), "1".to_owned()), put(Document::Silence, "s", "2".to_owned())])
        .await
        .expect("writes");
    // Back to how the version before left it.
    let drop_table = |table: &str| format!("DROP TABLE {table}");
    for table in NEWEST.iter().rev() {
        let sql: &'static str = drop_table(table).leak();
        db.write(sql, []).await.expect("a write");
    }
    db.write("DROP INDEX audit_by_hash", []).await.expect("a write");
    db.write("ALTER TABLE audit DROP COLUMN hash", []).await.expect("a write");
    let newest = "SELECT MAX(version) FROM schema_version";
    let before = db.rows("schema_version", newest, []).await.expect("a version")[0].int(0).expect("a number");
    db.write("DELETE FROM schema_version WHERE version >= $1", [4.into()]).await.expect("a write");
    db.runs(&RunFilter { limit: 1, ..RunFilter::default() }).await.expect_err("there is no such table");
    db.close().await;

    let db = place.open().await;
    assert_eq!(db.rows("schema_version", newest, []).await.expect("a version")[0].int(0).expect("a number"), before);
    assert_eq!(db.page::<i64>("p").await.expect("a page"), Some(1));
    assert_eq!(db.documents::<i64>(Document::Silence).await.expect("documents"), [2]);
    add(&db, &run("r", "doc")).await;
    for table in NEWEST {
        db.rows("any", format!("SELECT COUNT(*) FROM {table}"), []).await.expect("the table is there");
    }
    db.close().await;
}
