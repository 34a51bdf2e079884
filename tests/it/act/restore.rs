//! A backup restored beside its original, and looked into.

use std::process::Command;

use tocsin_core::run::action::RestoreQuery;
use tocsin_core::run::request::Request;
use tocsin_core::time::Span;

use super::stage::{Stage, answer, assert_not_done};
use crate::postgres::Postgres;

const HALF_AN_HOUR: Span = Span::from_mins(30);

fn sql(postgres: &Postgres, url: &str, text: &str) {
    let done = Command::new(postgres.programs().join("psql")).args([url, "-v", "ON_ERROR_STOP=1", "-c", text]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn check() -> Request {
    let queries = vec![RestoreQuery::RowCounts, RestoreQuery::ConstraintCheck, RestoreQuery::CanaryMax];
    Request::PgRestoreCheck { source: "shop".to_owned(), queries }
}

fn act(postgres: &Postgres, url: &str, data: &std::path::Path, archive: &std::path::Path) -> String {
    let (data, archive, bin) = (data.display(), archive.display(), postgres.programs().display());
    format!("{{databases: [{{name: shop, url: '{url}', restore: {{data: {data}, archive: {archive}, bin: {bin}}}}}]}}")
}

#[tokio::test]
async fn a_backup_is_restored_to_the_end_of_the_archive_and_removed() {
    let postgres = Postgres::start();
    let url = postgres.database("shop");
    let schema = "CREATE TABLE item (id int PRIMARY KEY, price int CHECK (price > 0)); \
                  CREATE TABLE \"Order\" (id int PRIMARY KEY, item int REFERENCES item (id)); INSERT INTO item VALUES (1, 5), (2, 7)";
    sql(&postgres, &url, schema);
    let backup = postgres.backup();
    sql(&postgres, &url, "INSERT INTO \"Order\" SELECT n, 1 + n % 2 FROM generate_series(1, 500) AS n");
    sql(&postgres, &url, "SELECT pg_switch_wal()");
    let archive = postgres.archive();
    let stage = Stage::new(&act(&postgres, &url, &backup.path().join("data"), archive.path())).await;
    let told = answer(stage.carry_out(check(), HALF_AN_HOUR).await);
    assert_eq!(told["ok"], true, "{told}");
    assert_eq!(told["row_counts"], serde_json::json!({ "public.item": 2, "public.\"Order\"": 500 }), "{told}");
    assert!(told["restore_seconds"].as_f64().unwrap() > 0.0 && told["canary"].is_null() && told["removed"] == true, "{told}");
    assert!(["good", "not installed"].iter().any(|word| told["amcheck"] == *word), "{told}");
    let left: Vec<_> = std::fs::read_dir(&stage.means.folder).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    // The original was not touched.
    sql(&postgres, &url, "INSERT INTO item VALUES (3, 1)");
}

#[tokio::test]
async fn a_backup_that_lies_is_found_out() {
    let postgres = Postgres::start();
    let url = postgres.database("shop");
    let lie = "CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE sale (item int REFERENCES item (id)); \
               ALTER TABLE sale DISABLE TRIGGER ALL; INSERT INTO sale VALUES (7)";
    sql(&postgres, &url, lie);
    let backup = postgres.backup();
    sql(&postgres, &url, "SELECT pg_switch_wal()");
    let archive = postgres.archive();
    let stage = Stage::new(&act(&postgres, &url, &backup.path().join("data"), archive.path())).await;
    let told = answer(stage.carry_out(check(), HALF_AN_HOUR).await);
    assert!(told["ok"] == false && told["why"].as_str().unwrap().contains("sale_item_fkey of sale"), "{told}");
    // Without its WAL the backup is none.
    let empty = tempfile::tempdir().unwrap();
    let stage = Stage::new(&act(&postgres, &url, &backup.path().join("data"), empty.path())).await;
    let told = answer(stage.carry_out(check(), HALF_AN_HOUR).await);
    assert!(told["ok"] == false && told["why"].as_str().unwrap().contains("at which the backup begins"), "{told}");
    let stage = Stage::new(&act(&postgres, &url, empty.path(), archive.path())).await;
    let told = answer(stage.carry_out(check(), HALF_AN_HOUR).await);
    assert!(told["ok"] == false && told["why"].as_str().unwrap().contains("no base backup"), "{told}");
    let stage = Stage::new(&format!("{{databases: [{{name: shop, url: '{url}'}}]}}")).await;
    assert_not_done(&stage.carry_out(check(), HALF_AN_HOUR).await, "says nothing of restoring");
}
