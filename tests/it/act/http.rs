//! Requests over HTTP against servers of the test's own.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Redirect;
use axum::routing::{any, get, post};
use tocsin_core::run::action::{Header, Method};
use tocsin_core::run::request::Request;
use tocsin_core::time::Span;
use tokio::net::TcpListener;

use super::stage::{LONG, Stage, answer, assert_not_done, assert_unknown};

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

fn request(method: Method, url: String) -> Request {
    Request::Http { method, url, query: vec![], headers: BTreeMap::new(), body: None, status: vec![], expect: vec![] }
}

#[tokio::test]
async fn a_request_carries_its_secret_and_the_answer_does_not_show_it() {
    let echo = |headers: HeaderMap, query: axum::extract::RawQuery, body: String| async move {
        let said = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        (StatusCode::CREATED, axum::Json(serde_json::json!({ "said": said, "query": query.0, "body": body, "n": 7 })))
    };
    let address = serve(Router::new().route("/do", post(echo))).await;
    let stage = Stage::new(&format!("{{hosts: ['{address}'], secrets: [{{name: key, value: 'Bearer s3cr3t-key'}}]}}")).await;
    let sent = Request::Http {
        method: Method::Post,
        url: format!("http://{address}/do"),
        query: vec![("who".to_owned(), "a&b=c; $(id)\n".to_owned())],
        headers: BTreeMap::from([
            ("Authorization".to_owned(), Header::Secret("key".to_owned())),
            ("Idempotency-Key".to_owned(), Header::Literal("k".to_owned())),
        ]),
        body: Some(serde_json::json!({ "replicas": 3 })),
        status: vec![],
        expect: vec![],
    };
    let told = answer(stage.carry_out(sent, LONG).await);
    assert_eq!(told["status"], 201);
    assert_eq!((&told["body"]["said"], &told["body"]["n"]), (&"[secret]".into(), &7.into()), "{told}");
    assert_eq!(told["body"]["query"], "who=a%26b%3Dc%3B+%24%28id%29%0A");
    assert_eq!(told["body"]["body"], "{\"replicas\":3}");
}

#[tokio::test]
async fn requests_go_only_where_they_may() {
    let secret = serve(Router::new().route("/", any(|| async { "the other" }))).await;
    let leads_away = secret.clone();
    let routes = Router::new()
        .route("/away", get(move || async move { Redirect::temporary(&format!("http://{leads_away}/")) }))
        .route("/near", get(|| async { Redirect::temporary("/here") }))
        .route("/moved", post(|| async { Redirect::to("/here") }))
        .route("/here", any(|| async { "here" }));
    let address = serve(routes).await;
    let act = format!("{{hosts: ['{address}', 169.254.169.254, '[::ffff:169.254.169.254]:80', '[fe80::1]:80', 0.0.0.0]}}");
    let stage = Stage::new(&act).await;
    let get = async |url: String| stage.carry_out(request(Method::Get, url), LONG).await;
    assert_not_done(&get(format!("http://{secret}/")).await, "allows no requests");
    assert_not_done(&get(format!("http://user@{address}/")).await, "holds no user");
    assert_not_done(&get("file:///etc/passwd".to_owned()).await, "http://");
    for metadata in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "0.0.0.0", "0xA9FEA9FE", "2852039166"] {
        let outcome = get(format!("http://{metadata}/latest/meta-data/")).await;
        assert_not_done(&outcome, "");
        assert!(format!("{outcome:?}").contains("never go to") || format!("{outcome:?}").contains("allows no"), "{outcome:?}");
    }
    assert_eq!(answer(get(format!("http://{address}/away")).await)["status"], 307);
    assert_eq!(answer(get(format!("http://{address}/near")).await)["body"], "here");
    let moved = stage.carry_out(request(Method::Post, format!("http://{address}/moved")), LONG).await;
    assert_eq!(answer(moved)["status"], 303, "what must arrive is not turned into a look");
}

#[tokio::test]
async fn what_did_not_leave_is_told_from_what_nobody_answered() {
    let routes = Router::new()
        .route("/slow", any(|| async { tokio::time::sleep(Duration::from_secs(30)).await }))
        .route("/long", get(|| async { vec![b'x'; 2 << 20] }))
        .route("/text", get(|| async { ([(header::CONTENT_TYPE, "text/plain")], "call +44 20 7946 0958.\n".repeat(500)) }));
    let address = serve(routes).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let stage = Stage::new(&format!("{{hosts: ['{address}', '{closed}', nowhere.invalid]}}")).await;
    let get = async |url: String, timeout| stage.carry_out(request(Method::Get, url), timeout).await;
    assert_not_done(&get(format!("http://{closed}/"), LONG).await, "cannot connect");
    assert_not_done(&get("http://nowhere.invalid/".to_owned(), LONG).await, "cannot find nowhere.invalid");
    assert_not_done(&get(format!("https://{address}/text"), LONG).await, "cannot connect");
    assert_unknown(&get(format!("http://{address}/slow"), Span(500)).await, "no answer within");
    let long = answer(get(format!("http://{address}/long"), LONG).await);
    assert_eq!((&long["status"], long["body"].is_null()), (&200.into(), true), "{long}");
    let text = answer(get(format!("http://{address}/text"), LONG).await);
    assert!(text["body"].as_str().unwrap().starts_with("call [phone].\ncall [phone].\n") && text.to_string().len() <= 4_000);
}
