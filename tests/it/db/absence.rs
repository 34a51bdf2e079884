//! A database that is away, silent, full, or somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tocsin::clock::Stopwatch;
use tocsin::db::state::{Document, put};
use tocsin::db::{Db, DbError};
use tocsin_core::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::harness::service::{Service, Setup};
use crate::harness::within;
use crate::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_the_ballast_and_not_the_alerts() {
    let folder = TempDir::new().expect("a temporary folder");
    let (path, ballast) = (folder.path().join("tocsin.db"), folder.path().join("tocsin.db.ballast"));
    let db = Db::open_sqlite(&path).await.expect("it opens");
    assert_eq!(std::fs::metadata(&ballast).expect("the ballast").len(), 8 << 20);
    // SQLite's own limit ends with the same error as a full disk.
    let mut dice = 88_172_645_463_325_252u64;
    // What cannot be packed.
    let mut word = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        format!("{dice:016x}")
    };
    let body: String = (0..1 << 17).map(|_| word()).collect();
    db.write("PRAGMA max_page_count = 60", []).await.expect("a limit");
    let full = db.apply(&[put(Document::Silence, "one", body.clone())]).await.expect_err("there is no room");
    assert!(full.is_full_disk() && !full.is_lasting(), "{full:?}");
    assert!(!ballast.exists() && db.is_without_ballast());
    // The limit was that of the connection, which is another one after a failure.
    db.apply(&[put(Document::Silence, "one", body)]).await.expect("with the room of the ballast the same is recorded");
    db.renew_ballast();
    assert!(ballast.exists() && !db.is_without_ballast(), "it is laid again once there is room");
    db.close().await;
}

/// A way to a server's socket on which all may fall silent, as when a host vanishes from the network.
async fn silent_way(socket: std::path::PathBuf) -> (u16, Arc<AtomicBool>) {
    async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, is_silent: Arc<AtomicBool>) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if is_silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    }
    async fn serve(client: TcpStream, socket: std::path::PathBuf, is_silent: Arc<AtomicBool>) {
        let Ok(server) = UnixStream::connect(socket).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(carry(from_client, to_server, is_silent.clone()), carry(from_server, to_client, is_silent));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let is_silent = Arc::new(AtomicBool::new(false));
    let shared = is_silent.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, socket.clone(), shared.clone()));
        }
    });
    (port, is_silent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_vanishes_is_not_waited_for_without_end() {
    let server = Postgres::start();
    server.database("vanishing");
    let (port, is_silent) = silent_way(server.socket()).await;
    let db = Db::open_postgres(&format!("postgres://tocsin@127.0.0.1:{port}/vanishing")).await.expect("it opens");
    db.apply(&[put(Document::Silence, "one", "1".to_owned())]).await.expect("a write");
    is_silent.store(true, Ordering::SeqCst);
    let watch = Stopwatch::start();
    let writes = [put(Document::Silence, "two", "2".to_owned())];
    let (write, read) = tokio::join!(db.apply(&writes), db.page::<i64>("none"));
    for error in [write.expect_err("nobody answers"), read.expect_err("nobody answers")] {
        assert!(!error.is_lasting(), "{error:?}");
    }
    assert!(watch.elapsed() < Duration::from_secs(25), "it took {:?}", watch.elapsed());
    is_silent.store(false, Ordering::SeqCst);
    let back = Stopwatch::start();
    while let Err(error) = db.apply(&writes).await {
        assert!(back.elapsed() < Duration::from_secs(60), "it does not come back: {error:?}");
    }
    assert_eq!(db.documents::<i64>(Document::Silence).await.expect("documents"), [1, 2]);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_the_database_is_silent_is_told_so() {
    let server = Postgres::start();
    server.database("silent");
    let (port, is_silent) = silent_way(server.socket()).await;
    let config = "route: {receiver: none}\nreceivers: [{name: none}]\n";
    let config = format!("{config}database: {{url: 'postgres://tocsin@127.0.0.1:{port}/silent'}}\n");
    let service = Service::start(Setup::new(config)).await;
    is_silent.store(true, Ordering::SeqCst);
    let now = tocsin::clock::now();
    let silence = json!({
        "matchers": [{ "name": "a", "value": "b", "isRegex": false, "isEqual": true }], "createdBy": "ada", "comment": "x",
        "startsAt": now.rfc3339(), "endsAt": (now + Span::from_mins(5)).rfc3339(),
    });
    let watch = Stopwatch::start();
    let (status, said) = service.send(Method::POST, "/api/v2/silences", Some(&silence)).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.to_string().contains("may still be done"), "{said}");
    let (status, said) = service.send(Method::GET, "/api/v2/silences", None).await;
    assert_eq!(status, 503, "{said}");
    assert!(watch.elapsed() < Duration::from_secs(25), "it took {:?}", watch.elapsed());
    is_silent.store(false, Ordering::SeqCst);
    within(Duration::from_secs(90), "the silence is made", async || {
        let (status, silences) = service.send(Method::GET, "/api/v2/silences", None).await;
        (status == 200 && silences.as_array().is_some_and(|list| list.len() == 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_works_on_a_database_at_a_time() {
    let server = Postgres::start();
    let url = server.database("shared");
    let first = Db::open_postgres(&url).await.expect("it opens");
    let next = tokio::spawn({
        let url = url.clone();
        async move { Db::open_postgres(&url).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!next.is_finished(), "the second one waits");
    first.close().await;
    let second = next.await.expect("no panic").expect("it goes on once the first one has ended");
    let third = Db::open_postgres(&url).await.expect_err("and it is not waited for without end");
    assert!(matches!(third, DbError::InUse), "{third:?}");
    second.close().await;
}

#[tokio::test]
async fn an_address_of_another_kind_is_told_at_once_and_without_its_password() {
    for url in ["sqlite:///tmp/x.db", "mysql://a:hunter2@h/d", "h/d:hunter2", "postgres:hunter2"] {
        let error = Db::open_postgres(url).await.expect_err("it is of another kind");
        assert!(matches!(error, DbError::Kind { .. }) && !error.to_string().contains("hunter2"), "{error}");
    }
}
