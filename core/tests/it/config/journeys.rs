//! The section `journeys`: what it comes to, what people read when it is refused, and what others see of it.

use std::fmt::Write;

use serde_json::json;
use tocsin_core::config::{self, Config, File};
use tocsin_core::journey::{Answer, Journey, Saved, Secrets, judge, request};
use tocsin_core::time::{Span, Timestamp};

fn read(text: &str) -> (Option<Config>, String) {
    let file = File { name: "etc/tocsin.yml".to_owned(), text: text.to_owned() };
    let (config, problems) = config::read(&file, None, &|_| None);
    let mut printed = String::new();
    for problem in problems {
        writeln!(printed, "{problem}").unwrap();
    }
    (config, printed)
}

#[track_caller]
fn journeys(text: &str) -> Vec<Journey> {
    let (config, printed) = read(text);
    assert_eq!(printed, "");
    config.expect("a configuration without faults").journeys
}

const BOOKING: &str = r#"
journeys:
  - name: booking
    platform: dinner
    interval: 30s
    timeout: 10s
    labels: {region: us-east-1, vantage: east}
    cache_buster: nocache
    http_config:
      tls_config: {ca: PEM}
    steps:
      - name: login
        method: POST
        url: https://dinner.example/auth/login
        body: {user: probe, password: {secret_file: probe.txt}, devices: [{id: 7, trusted: true, note: null, version: "7"}]}
        status: [200, 201]
        json: {/state: in, /count: 3, /ttl: {min: 60}, /role: {matches: '^u'}, /error: {exists: false}}
        save: {token: /token, user: {json: /user/id, type: int}}
      - name: book
        method: POST
        url: {text: ['https://dinner.example/users/', {saved: user}, '/bookings?seats=2&by=', {saved: token}]}
        headers:
          Authorization: {text: ['Bearer ', {saved: token}]}
          X-Probe: '1'
        body: {user: {saved: user}, saved: {saved: token}}
        contains: booked
        matches: 'number [0-9]+'
"#;

fn secrets(journey: &Journey) -> Secrets {
    Secrets(journey.secrets().into_iter().map(|secret| (secret.clone(), "hunter2".to_owned())).collect())
}

#[test]
fn a_journey_hands_values_from_step_to_step() {
    let all = journeys(BOOKING);
    let journey = &all[0];
    assert_eq!((journey.interval, journey.timeout), (Span::from_secs(30), Span::from_secs(10)));
    assert!(!journey.client.follow_redirects && journey.bypass_cache);
    assert_eq!(
        journey.own_labels().to_string(),
        r#"{instance="booking", job="journeys", journey="booking", platform="dinner", region="us-east-1", vantage="east"}"#
    );
    let (secrets, began) = (secrets(journey), Timestamp(0xabc));
    let login = request(journey, &journey.steps[0], &Saved::new(), &secrets, began).unwrap();
    assert_eq!(login.url, "https://dinner.example/auth/login?nocache=abc");
    assert_eq!(
        login.headers,
        [("cache-control", "no-cache"), ("pragma", "no-cache"), ("content-type", "application/json")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let body: serde_json::Value = serde_json::from_slice(login.body.as_deref().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"user": "probe", "password": "hunter2", "devices": [{"id": 7, "trusted": true, "note": null, "version": "7"}]})
    );

    let answer = br#"{"state": "in", "count": 3.0, "ttl": 61, "role": "user", "token": "a/b?c", "user": {"id": 42}}"#;
    let saved = judge(&journey.steps[0], &Answer { status: 201, body: answer }).unwrap();
    let book = request(journey, &journey.steps[1], &saved, &secrets, began).unwrap();
    assert_eq!(book.url, "https://dinner.example/users/42/bookings?seats=2&by=a%2Fb%3Fc&nocache=abc");
    assert_eq!(book.headers[0], ("authorization".to_owned(), "Bearer a/b?c".to_owned()));
    let body: serde_json::Value = serde_json::from_slice(book.body.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"user": 42, "saved": "a/b?c"}), "a saved number stays one");
    assert_eq!(judge(&journey.steps[1], &Answer { status: 204, body: b"booked: number 7" }), Ok(Saved::new()));
}

#[test]
fn an_answer_that_is_not_as_expected_says_why_and_repeats_nothing_of_it() {
    let all = journeys(BOOKING);
    let (login, book) = (&all[0].steps[0], &all[0].steps[1]);
    let good = r#"{"state":"in","count":3,"ttl":60,"role":"u","token":"t","user":{"id":1}}"#;
    let said = |step, status, body: &str| judge(step, &Answer { status, body: body.as_bytes() }).map(|_| ()).unwrap_err();
    assert!(judge(login, &Answer { status: 200, body: good.as_bytes() }).is_ok());
    for (status, body, reason) in [
        (302, good.to_owned(), "HTTP status 302, expected 200 or 201"),
        (200, "<html>".to_owned(), "the answer is no JSON"),
        (200, good.replace("in", "out"), "/state is not \"in\""),
        (200, good.replace("3", "4"), "/count is not 3"),
        (200, good.replace("60", "59"), "/ttl is not a number of at least 60"),
        (200, good.replace("\"u\"", "\"admin\""), "/role is not a text that \"^u\" fits"),
        (200, good.replace("{\"state", "{\"error\":1,\"state"), "/error is there, and should not be"),
        (200, good.replace("\"token\":\"t\",", ""), "the output token at /token is missing"),
        (200, good.replace("\"t\"", "[]"), "the output token at /token is not a text, a number or a truth value"),
        (200, good.replace("\"t\"", "\"a\\nb\""), "the output token at /token holds a control character"),
        (
            200,
            good.replace("\"t\"", &format!("\"{}\"", "t".repeat(4097))),
            "the output token at /token is longer than 4096 bytes",
        ),
        (200, good.replace("\"id\":1", "\"id\":1.5"), "the output user at /user/id is not a whole number"),
    ] {
        assert_eq!(said(login, status, &body), reason);
    }
    assert_eq!(said(book, 500, "booked"), "HTTP status 500, expected 200 to 299");
    assert_eq!(said(book, 200, "sold out"), "the answer does not contain \"booked\"");
    assert_eq!(said(book, 200, "booked"), "nothing in the answer fits \"number [0-9]+\"");
}

#[test]
fn every_fault_of_a_journey_is_told_with_its_place() {
    let text = r#"
journeys:
  - name: a b
    interval: 500ms
    timeout: 1m
    labels: {step: x}
    cache_buster: '&'
    surprise: 1
  - name: two
    steps:
      - name: one
        url: ftp://host
        method: get
        status: [99, ok]
        contains: ''
        matches: '('
        json: {state: x, /a: {min: 2, max: 1}, /b: {}, /c: {exists: yes, min: 1}}
        save: {'x y': /a, t: a, u: {json: /~2, type: uuid}, v: {}}
      - name: one
        url: {text: ['http://ho', {saved: t}]}
        headers: {Connection: close, 'b d': x, X: "a\nb", Y: {saved: tt}, Z: {secret: x}, y: 1}
        body: {a: {saved: nothing}}
      - url: http://user:pw@host/
        body: {text: ['a', {secret_file: x, secret_env: y}]}
      - {name: four, url: {text: ['http://host/', {secret_env: KEY}]}}
      - {name: five, url: 'http://host/a b#c'}
  - name: two
    steps: [{name: x, url: 'http://h/'}]
"#;
    let (config, printed) = read(text);
    assert!(config.is_none());
    let expected = include_str!("journeys.txt");
    assert_eq!(printed, expected, "{printed}");
}

#[test]
fn others_do_not_see_the_secrets_of_a_journey() {
    let text = "journeys:\n- name: a\n  labels: {token: seen}\n  http_config: {basic_auth: {username: u, password: hunter2}}\n  steps:\n  \
                - name: b\n    url: http://h/\n    headers: {Authorization: Bearer hunter2, Accept: all, X: {text: [hunter2]}}\n    body: \
                {a: hunter2, b: [hunter2]}\n    save: {token: /seen}\n";
    let masked = config::masked(text);
    assert!(!masked.contains("hunter2"), "{masked}");
    for seen in ["token: seen", "Accept: all", "token: /seen", "Authorization: <secret>", "url: http://h/"] {
        assert!(masked.contains(seen), "{seen}: {masked}");
    }
}

#[test]
fn there_is_a_limit_on_journeys_and_steps() {
    let many = |count: usize, line: &str| (0..count).map(|index| line.replace('#', &index.to_string())).collect::<String>();
    let journeys = format!("journeys:\n{}", many(102, "- {name: j#, steps: [{name: s, url: 'http://h/'}]}\n"));
    assert_eq!(
        read(&journeys).1,
        "etc/tocsin.yml:102:3: error: journeys[100]: there are 102 journeys, and at most 100 are served; remove some\n"
    );
    let steps = format!("journeys:\n- name: a\n  steps:\n{}", many(21, "  - {name: s#, url: 'http://h/'}\n"));
    assert_eq!(
        read(&steps).1,
        "etc/tocsin.yml:24:5: error: journeys[0].steps[20]: there are 21 steps, and a journey has at most 20; remove some\n"
    );
}
