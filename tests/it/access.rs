//! Who may do what: every route with every role, logins, tokens, and the audit.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tocsin::http::access::{Access, ROUTES};
use tocsin_core::access::Role;

use crate::harness::service::{Service, Setup};

const PASSWORD: &str = "correct horse battery";

async fn start() -> Service {
    Service::start(Setup::new("route: {receiver: none}\nreceivers: [{name: none}]\n").with_auth()).await
}

/// A browser with somebody logged in: it keeps the cookie and knows the word for mutations.
pub struct Browser<'a> {
    service: &'a Service,
    cookie: String,
    csrf: String,
}

async fn log_in(service: &Service, name: &str, password: &str) -> Response {
    let body = json!({ "name": name, "password": password });
    service.client.post(service.url("/api/tocsin/v1/session")).json(&body).send().await.expect("an answer")
}

impl Browser<'_> {
    pub async fn log_in<'a>(service: &'a Service, name: &str, password: &str) -> Browser<'a> {
        let answer = log_in(service, name, password).await;
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()["set-cookie"].to_str().expect("a text").to_owned();
        for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        let session: Value = answer.json().await.expect("JSON");
        assert_eq!((&session["authenticated"], &session["user"]["name"]), (&json!(true), &json!(name)));
        let csrf = session["csrf"].as_str().expect("a word").to_owned();
        Browser { service, cookie: cookie.split(';').next().expect("a pair").to_owned(), csrf }
    }

    /// Returns the status and the body of an answer; `csrf` is sent when there is one.
    async fn send(&self, method: Method, path: &str, body: &Value, csrf: Option<&str>) -> (u16, Value) {
        let mut request = self.service.client.request(method, self.service.url(path)).header("cookie", &self.cookie).json(body);
        if let Some(csrf) = csrf {
            request = request.header("x-tocsin-csrf", csrf);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Asks as the page does.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.send(method, path, body, Some(&self.csrf)).await
    }
}

/// Logs in as the first account and makes a token of every role.
async fn tokens(service: &Service) -> BTreeMap<&'static str, String> {
    tokens_of(&Browser::log_in(service, "admin", &service.first_password()).await).await
}

/// Has somebody make a token of every role.
pub async fn tokens_of(browser: &Browser<'_>) -> BTreeMap<&'static str, String> {
    let mut tokens = BTreeMap::new();
    for role in Role::ALL {
        let (status, made) =
            browser.ask(Method::POST, "/api/tocsin/v1/tokens", &json!({ "name": role.word(), "role": role.word() })).await;
        assert_eq!(status, 201, "{made}");
        tokens.insert(role.word(), made["token"].as_str().expect("a secret").to_owned());
    }
    tokens
}

/// Fills the places of a route's pattern with names of nothing.
fn example(pattern: &str) -> String {
    pattern
        .replace("{fingerprint}", "0000000000000000")
        .replace("{id}", "nothing")
        .replace("{name}", "nothing")
        .replace("{*path}", "nothing.js")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_asks_every_caller_what_the_table_says() {
    let service = start().await;
    let tokens = tokens(&service).await;
    let call = async |method: &str, path: &str, token: Option<&str>| {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = service.client.request(method.clone(), service.url(&example(path)));
        if method != Method::GET {
            request = request.json(&json!({}));
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        // Streams do not end, so the body is not read.
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path} gets no answer: {error:?}"));
        let kind =
            answer.headers().get("content-type").map(|kind| kind.to_str().unwrap_or_default().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), kind)
    };
    let mut faults = Vec::new();
    for (method, path, access) in ROUTES {
        let (status, kind) = call(method, path, None).await;
        match access {
            Access::Open if status == 401 && *path == "/api/tocsin/v1/session" => {}
            Access::Open if matches!(status, 401 | 403) => {
                faults.push(format!("{method} {path}: open, and a stranger gets {status}"))
            }
            Access::Open => {}
            Access::Signature if status != 403 || kind != "application/problem+json" => {
                faults.push(format!("{method} {path}: without a signature a stranger gets {status} {kind}"));
            }
            Access::Signature => {}
            Access::Needs(_) if status != 401 => faults.push(format!("{method} {path}: a stranger gets {status}")),
            Access::Needs(_) if kind != "application/problem+json" => {
                faults.push(format!("{method} {path}: the refusal is {kind}"))
            }
            Access::Needs(_) => {}
        }
        let (status, _) = call(method, path, Some("tocsin_wrong")).await;
        if matches!(access, Access::Needs(_)) && status != 401 {
            faults.push(format!("{method} {path}: a wrong token gets {status}"));
        }
        let Access::Needs(permission) = access else { continue };
        for role in Role::ALL {
            let (status, kind) = call(method, path, Some(&tokens[role.word()])).await;
            let refused = status == 403;
            if refused == role.may(*permission) {
                faults.push(format!("{method} {path}: {} gets {status}", role.word()));
            }
            let is_missing = matches!(status, 401 | 405) || (path.starts_with("/api") && kind.starts_with("text/html"));
            if is_missing || status >= 500 && status != 503 {
                faults.push(format!("{method} {path}: {} gets {status} {kind}; is there a handler?", role.word()));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));

    // What stands in no table is refused even to those who may do everything.
    for (method, path) in
        [("PUT", "/api/v2/silences"), ("DELETE", "/api/tocsin/v1/alerts"), ("POST", "/api/tocsin/v1/nothing"), ("PATCH", "/")]
    {
        let (status, _) = call(method, path, Some(&tokens["sre-lead"])).await;
        assert!(matches!(status, 403..=405), "{method} {path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_opens_and_its_word_guards_every_change() {
    let service = start().await;
    let (status, session) = service.send(Method::GET, "/api/tocsin/v1/session", None).await;
    assert_eq!((status, &session["authenticated"], &session["auth"]), (200, &json!(false), &json!("password")));
    assert!(session["csrf"].is_null() && session["user"].is_null(), "{session}");
    let first = service.first_password();
    assert!(!service.log().contains(&first), "the password is printed and not logged");
    let browser = Browser::log_in(&service, "admin", &first).await;
    assert_eq!(browser.ask(Method::GET, "/api/tocsin/v1/overview", &json!({})).await.0, 200);

    let user = json!({ "name": "ada", "password": PASSWORD, "role": "viewer" });
    for csrf in [None, Some(""), Some("wrong")] {
        let (status, said) = browser.send(Method::POST, "/api/tocsin/v1/users", &user, csrf).await;
        assert_eq!(status, 403, "{csrf:?}: {said}");
    }
    assert_eq!(browser.ask(Method::POST, "/api/tocsin/v1/users", &user).await.0, 201);
    assert_eq!(browser.ask(Method::POST, "/api/tocsin/v1/users", &user).await.0, 409, "the name is taken");
    for bad in [
        json!({ "name": "ben", "password": "short", "role": "viewer" }),
        json!({ "name": "ben", "password": PASSWORD, "role": "king" }),
        json!({ "name": "b en", "password": PASSWORD, "role": "viewer" }),
        json!({ "name": "", "password": PASSWORD, "role": "viewer" }),
    ] {
        let (status, said) = browser.ask(Method::POST, "/api/tocsin/v1/users", &bad).await;
        assert_eq!(status, 400, "{bad}: {said}");
    }

    let ada = Browser::log_in(&service, "ada", PASSWORD).await;
    assert_eq!(ada.ask(Method::GET, "/api/tocsin/v1/alerts", &json!({})).await.0, 200);
    assert_eq!(ada.ask(Method::POST, "/api/tocsin/v1/users", &user).await.0, 403);
    let (status, _) =
        ada.send(Method::POST, "/api/tocsin/v1/tokens", &json!({ "name": "x", "role": "viewer" }), Some(&browser.csrf)).await;
    assert_eq!(status, 403, "somebody else's word opens nothing");

    // A new role ends the logins that had the old one.
    assert_eq!(browser.ask(Method::PATCH, "/api/tocsin/v1/users/ada", &json!({ "role": "responder" })).await.0, 200);
    assert_eq!(ada.ask(Method::GET, "/api/tocsin/v1/alerts", &json!({})).await.0, 401);
    let ada = Browser::log_in(&service, "ada", PASSWORD).await;
    assert_eq!(browser.ask(Method::PATCH, "/api/tocsin/v1/users/ada", &json!({ "disabled": true })).await.0, 200);
    assert_eq!(ada.ask(Method::GET, "/api/tocsin/v1/alerts", &json!({})).await.0, 401);
    assert_eq!(log_in(&service, "ada", PASSWORD).await.status(), 401);
    for change in [json!({ "disabled": true }), json!({ "role": "viewer" })] {
        assert_eq!(
            browser.ask(Method::PATCH, "/api/tocsin/v1/users/admin", &change).await.0,
            409,
            "somebody must be able to let others in"
        );
    }
    assert_eq!(browser.ask(Method::PATCH, "/api/tocsin/v1/users/nobody", &json!({ "disabled": true })).await.0, 404);

    let (status, _) = browser.ask(Method::DELETE, "/api/tocsin/v1/session", &json!({})).await;
    assert_eq!(status, 204);
    assert_eq!(browser.ask(Method::GET, "/api/tocsin/v1/overview", &json!({})).await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_passwords_is_slowed_down() {
    let mut service = start().await;
    let mut last = None;
    for _ in 0..12 {
        let answer = log_in(&service, "admin", "wrong wrong wrong").await;
        if answer.status() == 429 {
            last = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 401);
    }
    let answer = last.expect("after some wrong passwords none is looked at for a while");
    assert!(answer.headers().contains_key("retry-after"));
    // The first password is shown once, and works after a restart too.
    let password = service.first_password();
    service.kill().await;
    service.restart().await;
    assert!(!service.printed().contains("password"), "{}", service.printed());
    Browser::log_in(&service, "admin", &password).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_passwords_is_counted_before_it_is_looked_at() {
    let service = start().await;
    let guesses = (0..40).map(|_| log_in(&service, "admin", "wrong wrong wrong"));
    let mut wrong = 0;
    for answer in futures_util::future::join_all(guesses).await {
        match answer.status().as_u16() {
            401 => wrong += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!((1..=8).contains(&wrong), "{wrong} guesses were looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_change_their_own_password_and_every_other_login_of_theirs_ends() {
    let service = start().await;
    let first = service.first_password();
    let admin = Browser::log_in(&service, "admin", &first).await;
    let user = json!({ "name": "ada", "password": PASSWORD, "role": "viewer" });
    assert_eq!(admin.ask(Method::POST, "/api/tocsin/v1/users", &user).await.0, 201);
    let (desk, phone) = (Browser::log_in(&service, "ada", PASSWORD).await, Browser::log_in(&service, "ada", PASSWORD).await);
    let path = "/api/tocsin/v1/session/password";
    let change = |current: &str, new: &str| json!({ "current": current, "new": new });
    let good = change(PASSWORD, "another horse battery");
    assert_eq!(desk.send(Method::POST, path, &good, None).await.0, 403, "another site could send it");
    assert_eq!(desk.ask(Method::POST, path, &change("wrong", "another horse battery")).await.0, 401);
    assert_eq!(desk.ask(Method::POST, path, &change(PASSWORD, "short")).await.0, 400);
    assert_eq!(phone.ask(Method::GET, "/api/tocsin/v1/alerts", &json!({})).await.0, 200);
    let (status, session) = desk.ask(Method::POST, path, &good).await;
    assert_eq!((status, &session["user"]["name"]), (200, &json!("ada")), "{session}");
    for browser in [&desk, &phone] {
        assert_eq!(browser.ask(Method::GET, "/api/tocsin/v1/alerts", &json!({})).await.0, 401);
    }
    assert_eq!(log_in(&service, "ada", PASSWORD).await.status(), 401);
    let ada = Browser::log_in(&service, "ada", "another horse battery").await;
    assert_eq!(ada.ask(Method::DELETE, "/api/tocsin/v1/session", &json!({})).await.0, 204);
    let (_, audit) = admin.ask(Method::GET, "/api/tocsin/v1/audit", &json!({})).await;
    for (action, outcome) in [("change own password", "refused"), ("change own password", "done"), ("log out", "done")] {
        let has = |entry: &Value| entry["who"] == "ada" && entry["action"] == action && entry["outcome"] == outcome;
        assert!(audit["entries"].as_array().expect("a list").iter().any(has), "{action} {outcome}: {audit}");
    }
    assert!(!audit.to_string().contains("horse"), "no password in the audit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_works_until_it_is_revoked_and_all_of_it_is_audited() {
    let mut service = start().await;
    let first = service.first_password();
    let (token, id) = {
        let browser = Browser::log_in(&service, "admin", &first).await;
        let (status, made) =
            browser.ask(Method::POST, "/api/tocsin/v1/tokens", &json!({ "name": "deploy", "role": "responder" })).await;
        assert_eq!(status, 201);
        (made["token"].as_str().expect("a secret").to_owned(), made["id"].as_str().expect("an id").to_owned())
    };
    service.token = Some(token.clone());
    service.get("/api/v1/query?query=up").await;
    let basic =
        service.client.get(service.url("/api/v2/status")).basic_auth("anything", Some(&token)).send().await.expect("an answer");
    assert_eq!(basic.status(), 200, "clients that know only basic authorisation send the token as the password");
    assert_eq!(service.send(Method::POST, "/-/reload", None).await.0, 403);
    let now = tocsin::clock::now();
    let silence = json!({
        "matchers": [{ "name": "a", "value": "b", "isRegex": false, "isEqual": true }], "createdBy": "deploy", "comment": "x",
        "startsAt": now.rfc3339(), "endsAt": (now + tocsin_core::time::Span::from_mins(5)).rfc3339(),
    });
    let silence = service.post("/api/v2/silences", &silence).await["silenceID"].clone();
    service.token = None;

    let browser = Browser::log_in(&service, "admin", &first).await;
    let (_, listed) = browser.ask(Method::GET, "/api/tocsin/v1/tokens", &json!({})).await;
    assert!(!listed.to_string().contains(&token) && listed["tokens"][0]["name"] == "deploy", "a secret is shown once: {listed}");
    assert_eq!(browser.ask(Method::DELETE, &format!("/api/tocsin/v1/tokens/{id}"), &json!({})).await.0, 204);
    assert_eq!(browser.ask(Method::DELETE, &format!("/api/tocsin/v1/tokens/{id}"), &json!({})).await.0, 404);
    service
        .client
        .get(service.url("/api/v2/status"))
        .bearer_auth(&token)
        .send()
        .await
        .map(|answer| assert_eq!(answer.status(), 401))
        .expect("an answer");

    let (_, audit) = browser.ask(Method::GET, "/api/tocsin/v1/audit", &json!({})).await;
    let entries = audit["entries"].as_array().expect("a list");
    let has = |who: &str, action: &str, outcome: &str| {
        entries.iter().any(|entry| entry["who"] == who && entry["action"] == action && entry["outcome"] == outcome)
    };
    assert!(
        has("admin", "log in", "done") && has("admin", "add token", "done") && has("admin", "revoke token", "done"),
        "{audit}"
    );
    assert!(has("token deploy", "set silence", "done") && has("token deploy", "POST", "refused"), "{audit}");
    assert!(entries.iter().any(|entry| entry["subject"] == silence), "{audit}");
    assert!(!audit.to_string().contains(&token) && !audit.to_string().contains(&first), "no secret in the audit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_page_cannot_use_a_service_that_trusts_everybody() {
    let service = Service::start(Setup::new("route: {receiver: none}\nreceivers: [{name: none}]\n")).await;
    let host = service.address.clone();
    let post = async |headers: &[(&str, &str)]| {
        let mut request = service.client.post(service.url("/api/tocsin/v1/silences/preview")).json(&json!({ "matchers": [] }));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let own = format!("http://{host}");
    assert_eq!(post(&[]).await, 200, "programs send no origin");
    assert_eq!(post(&[("origin", &own), ("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(post(&[("origin", "http://evil.example")]).await, 403);
    assert_eq!(post(&[("origin", "null")]).await, 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")]).await, 403);
    // A name of the attacker's that points to this machine: the browser takes it for one site.
    assert_eq!(post(&[("origin", "http://evil.example"), ("host", "evil.example")]).await, 403);
    let read =
        service.client.get(service.url("/api/tocsin/v1/alerts")).header("host", "evil.example").send().await.expect("an answer");
    assert_eq!(read.status(), 403, "nor may it read");
}
