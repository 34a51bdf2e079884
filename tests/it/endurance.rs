//! Stories of what must not bring the service down, and of how it goes down when it must.

use std::time::Duration;

use reqwest::Method;
use tocsin::clock::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::scene::{Scene, Script};
use crate::harness::service::{Service, Setup};
use crate::harness::soon;
use crate::postgres::Postgres;

const ROUTE: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_must_not_die_takes_the_process_with_it() {
    for point in ["in-watch", "in-outbox", "in-chores"] {
        let mut service = Service::prepare(Setup::new(ROUTE));
        service.launch(&["--crash-at".to_owned(), format!("{point}:2")]);
        assert!(!service.ended().await, "{point}: a supervisor must see that it ended badly");
        let log = service.log();
        assert!(log.contains("has died"), "{point}: {log}");
    }
}

/// Says something and returns whether the service hangs up before `most`.
async fn is_hung_up_on(service: &Service, words: &str, most: Duration) -> bool {
    let mut stream = TcpStream::connect(&service.address).await.expect("a connection");
    stream.write_all(words.as_bytes()).await.expect("it takes the words");
    let mut said = Vec::new();
    tokio::time::timeout(most, stream.read_to_end(&mut said)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_keeps_us_waiting_is_hung_up_on() {
    let service = Service::start(Setup::new(ROUTE)).await;
    let host = format!("Host: {}\r\n", service.address);
    let (silence, head, body) = tokio::join!(
        is_hung_up_on(&service, "", Duration::from_secs(20)),
        is_hung_up_on(&service, "GET /-/healthy HTTP/1.1\r\n", Duration::from_secs(20)),
        // The answer to a body that did not come leaves the connection unusable.
        async {
            let words = format!(
                "POST /api/tocsin/v1/silences/preview HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
            );
            is_hung_up_on(&service, &words, Duration::from_secs(55)).await
        },
    );
    assert_eq!((silence, head, body), (true, true, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_silent_strangers_does_not_stop_it_from_working() {
    let scene = Scene::start(Script::default()).await;
    let mut crowd = Vec::new();
    for _ in 0..1100 {
        // Those beyond the limit wait in the queue of the listener, or are turned away by it.
        let connecting = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(&scene.service.address));
        crowd.extend(connecting.await.ok().and_then(Result::ok));
    }
    scene.break_shop();
    soon("an incident", async || scene.pagerduty.incidents().first().map(drop)).await;
    let log = scene.service.log();
    assert!(!log.contains("Too many open files") && !log.contains("cannot be accepted"), "{log}");
    drop(crowd);
    assert_eq!(scene.service.send(Method::GET, "/-/healthy", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_in_time_while_rules_are_slow_and_at_once_when_asked_twice() {
    let slow = "      - {record: slow, expr: 'count_over_time(vector(1)[9000000s:1s])'}\n".repeat(30);
    let rules = format!("groups:\n  - name: slow\n    interval: 1s\n    rules:\n{slow}");
    let config = format!("rule_files: [rules.yml]\n{ROUTE}");
    let mut service = Service::start(Setup::new(config).with_file("rules.yml", rules)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let took = service.terminate().await;
    assert!(took < Duration::from_secs(10), "{took:?}");

    service.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    service.signal("TERM").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let watch = Stopwatch::start();
    if service.is_running() {
        service.signal("TERM").await;
    }
    assert!(service.ended().await);
    assert!(watch.elapsed() < Duration::from_secs(3), "{:?}", watch.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_it_says_that_it_lives_and_stops_in_time() {
    let postgres = Postgres::start();
    let config = format!("{ROUTE}database: {{url: '{}'}}\n", postgres.database("away"));
    let mut service = Service::start(Setup::new(config).with_auth()).await;
    drop(postgres);
    service.token = Some("tocsin_of_somebody".to_owned());
    for open in ["/-/healthy", "/-/ready", "/metrics", "/nothing.js"] {
        let (status, said) = service.send(Method::GET, open, None).await;
        assert!(matches!(status, 200 | 404), "{open}: {status} {said}");
    }
    assert_eq!(service.send(Method::GET, "/api/tocsin/v1/alerts", None).await.0, 500);
    let took = service.terminate().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_during_the_start_is_obeyed() {
    // The database does not answer, so the start does not end by itself.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let config = format!("{ROUTE}database: {{url: 'postgres://tocsin@127.0.0.1:{port}/away'}}\n");
    let mut service = Service::prepare(Setup::new(config));
    service.launch(&[]);
    let address = soon("it listens", async || {
        let log = service.log();
        let (_, rest) = log.split_once("Listening on address=")?;
        rest.lines().next().map(str::to_owned)
    })
    .await;
    service.address = address;
    assert_eq!(service.send(Method::GET, "/-/healthy", None).await.0, 200, "a start that takes long is no reason to kill it");
    assert_eq!(service.send(Method::GET, "/-/ready", None).await.0, 503);
    assert_eq!(service.send(Method::GET, "/api/v1/query?query=up", None).await.0, 503);
    service.signal("HUP").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(service.is_running(), "{}", service.log());
    let took = service.terminate().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}
