//! Prometheus' API: the same requests to a real Prometheus and to us, over the same targets, and the shapes of the answers.

mod asked;
mod shapes;

use reqwest::{Method, StatusCode, header};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tocsin::clock;

use crate::harness::exporter::Exporter;
use crate::harness::peers::{self, Peer};
use crate::harness::service::{Service, Setup};
use crate::harness::{http, soon};

use asked::{Ask, Differs};

/// What both scrape: constant values, so that it does not matter when.
const SERIES: [(&str, f64); 15] = [
    (
        "# HELP http_requests_total Requests that were served.\n# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"}",
        1027.0,
    ),
    ("http_requests_total{code=\"500\"}", 3.0),
    ("# HELP temperature_celsius Temperature.\n# TYPE temperature_celsius gauge\ntemperature_celsius{room=\"kitchen\"}", 21.5),
    ("temperature_celsius{room=\"cellar\"}", -3e-7),
    ("temperature_celsius{room=\"sun\"}", 1.5e21),
    ("temperature_celsius{room=\"nan\"}", f64::NAN),
    ("temperature_celsius{room=\"far\"}", f64::INFINITY),
    ("# TYPE latency_seconds histogram\nlatency_seconds_bucket{le=\"0.1\"}", 3.0),
    ("latency_seconds_bucket{le=\"1\"}", 5.0),
    ("latency_seconds_bucket{le=\"+Inf\"}", 6.0),
    ("latency_seconds_count", 6.0),
    ("latency_seconds_sum", 3.25),
    ("untyped_thing{esc=\"a\\\\b\\\"c\\nd<&>é\"}", 7.0),
    ("{\"utf8.metric\",\"label.dotted\"=\"x y\"}", 5.0),
    ("zero", 0.0),
];

const RULES: &str = r#"
groups:
  - name: one
    labels: {team: web}
    rules:
      - record: job:requests:sum
        expr: sum by (job) (http_requests_total)
        labels: {kind: recorded}
      - alert: Hot
        expr: temperature_celsius{room="kitchen"} > 20
        labels: {severity: page, room_of: "{{ $labels.room }}"}
        annotations: {summary: "{{ $labels.room }} is {{ $value }}"}
      - alert: Held
        expr: temperature_celsius > -1
        for: 1h
        keep_firing_for: 5m
      - alert: Quiet
        expr: temperature_celsius{room="attic"} > 20
  - name: three
    limit: 1
    rules:
      - record: too_many
        expr: temperature_celsius
  - name: two
    rules:
      - alert: Other
        expr: vector(1)
        labels: {severity: info}
"#;

/// A Prometheus and a service of ours that watch the same.
struct Pair {
    theirs: Peer,
    ours: Service,
    _folder: TempDir,
    _exporter: Exporter,
    client: reqwest::Client,
}

impl Pair {
    async fn start() -> Pair {
        let exporter = Exporter::start().await;
        for (series, value) in SERIES {
            exporter.set(series, value);
        }
        let config = format!(
            r#"
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ['{}'], labels: {{shop: main}}}}]
  - job_name: gone
    static_configs: [{{targets: ['127.0.0.1:1']}}]
  - job_name: droppings
    static_configs: [{{targets: ['127.0.0.1:2']}}]
    relabel_configs: [{{source_labels: [job], regex: droppings, action: drop}}]
rule_files: [rules.yml]
"#,
            exporter.address
        );
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("rules.yml"), RULES).expect("the folder takes files");
        let theirs = peers::prometheus_with(folder.path(), &config, &["--enable-feature=promql-per-step-stats"]).await;
        let ours = Service::start(Setup::new(config).with_file("rules.yml", RULES)).await;
        let pair = Pair { theirs, ours, _folder: folder, _exporter: exporter, client: http() };
        for base in [pair.their_base(), pair.our_base()] {
            soon("both have scraped a while, and have an alert and a failure", async || {
                let get = async |path: &str| -> Option<String> {
                    pair.client.get(format!("{base}/api/v1/{path}")).send().await.ok()?.text().await.ok()
                };
                let (rules, samples) = (get("rules").await?, get("query?query=count_over_time(zero[1m])>5").await?);
                let told = ["is 21.5", "exceeded limit", "1e+00"].iter().all(|part| rules.contains(part));
                (told && samples.contains("shop")).then_some(())
            })
            .await;
        }
        pair
    }

    fn their_base(&self) -> String {
        format!("http://{}", self.theirs.address)
    }

    fn our_base(&self) -> String {
        format!("http://{}", self.ours.address)
    }

    async fn send(&self, base: &str, ask: &Ask) -> (u16, String, Value) {
        let url = format!("{base}/api/v1/{}", ask.path);
        let method = Method::from_bytes(ask.method.as_bytes()).expect("a method");
        let request = self.client.request(method, url);
        let request = if ask.method == "POST" { request.form(&ask.pairs) } else { request.query(&ask.pairs) };
        let answer = request.send().await.unwrap_or_else(|error| panic!("{ask:?} gets no answer: {error:?}"));
        let status = answer.status().as_u16();
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
        let text = answer.text().await.expect("text");
        (status, kind, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

/// Fields that tell of moments, of durations or of the machine.
const VOLATILE: [&str; 12] = [
    "file",
    "lastScrape",
    "lastScrapeDuration",
    "globalUrl",
    "evaluationTime",
    "lastEvaluation",
    "activeAt",
    "timings",
    "peakSamples",
    "lastError",
    "position",
    "instance",
];

/// Returns an answer without what may differ, its lists of objects in one order.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, settled(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(settled).collect();
            if items.iter().all(Value::is_object) {
                items.sort_by_key(Value::to_string);
            }
            Value::Array(items)
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_prometheus() {
    let pair = Pair::start().await;
    let now = clock::now().0 / 1000;
    let (mut faults, mut same, mut explained) = (Vec::new(), 0, 0);
    for ask in asked::all(now) {
        let theirs = pair.send(&pair.their_base(), &ask).await;
        let ours = pair.send(&pair.our_base(), &ask).await;
        let (their_body, our_body) = (settled(theirs.2.clone()), settled(ours.2.clone()));
        let (status, error) = (theirs.0 == ours.0, theirs.2["errorType"] == ours.2["errorType"]);
        let alike = match ask.differs {
            Differs::No => status && their_body == our_body && theirs.1 == ours.1,
            Differs::Words(_) => status && error && their_body != our_body,
            Differs::Page(_) => status && theirs.2.is_string() && ours.2.is_object(),
            Differs::Status(wanted, _) => ours.0 == wanted && theirs.0 != wanted,
            Differs::Cut(_) => status && theirs.2["warnings"] == ours.2["warnings"],
        };
        match ask.differs {
            _ if !alike => {
                faults.push(format!(
                    "{ask:?}\n  they {} {} {}\n  we   {} {} {}",
                    theirs.0, theirs.1, theirs.2, ours.0, ours.1, ours.2
                ));
            }
            Differs::No => same += 1,
            differs => {
                explained += 1;
                println!("{} {} {:?}: {}", ask.method, ask.path, ask.pairs, differs.reason());
            }
        }
    }
    println!("{same} answers are the same, {explained} differ as they must");
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_rules_come_in_pieces() {
    let pair = Pair::start().await;
    for base in [pair.their_base(), pair.our_base()] {
        let (mut names, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut pairs = vec![("group_limit".to_owned(), "1".to_owned())];
            pairs.extend(token.take().map(|token| ("group_next_token".to_owned(), token)));
            let (status, _, body) = pair.send(&base, &Ask::new("GET", "rules", pairs)).await;
            assert_eq!(status, 200, "{body}");
            let groups = body["data"]["groups"].as_array().expect("a list");
            names.extend(groups.iter().map(|group| group["name"].as_str().unwrap_or_default().to_owned()));
            match body["data"]["groupNextToken"].as_str() {
                Some(next) => token = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(names, ["one", "three", "two"], "{base}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_packed_and_methods_are_told() {
    let pair = Pair::start().await;
    let url = format!("{}/api/v1/query?query=temperature_celsius", pair.our_base());
    let plain = pair.client.get(&url).send().await.expect("an answer").text().await.expect("text");
    for (coding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd][..])] {
        let answer = pair.client.get(&url).header(header::ACCEPT_ENCODING, coding).send().await.expect("an answer");
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], coding);
        let bytes = answer.bytes().await.expect("a body");
        assert!(bytes.starts_with(magic) && bytes.len() < plain.len(), "{coding}: {} of {} bytes", bytes.len(), plain.len());
    }
    let answer = pair.client.request(Method::OPTIONS, &url).send().await.expect("an answer");
    assert_eq!((answer.status(), &answer.headers()[header::ALLOW]), (StatusCode::NO_CONTENT, &"GET,HEAD,POST".parse().unwrap()));
    // Pages of other sites may not read an answer.
    let answer = pair.client.get(&url).header(header::ORIGIN, "http://elsewhere.example").send().await.expect("an answer");
    assert_eq!(answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
    let answer = pair.client.head(&url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let answer = pair.client.put(&url).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()[header::ALLOW]), (405, &"GET,HEAD,POST".parse().unwrap()));
    let answer = pair.client.get(format!("{}/api/v1/nosuch", pair.our_base())).send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
    let said: Value = answer.json().await.expect("JSON");
    assert_eq!(said, json!({ "status": "error", "errorType": "not_found", "error": "there is no /api/v1/nosuch" }));
    let form = [("query", "x".repeat(1 << 20))];
    let answer = pair.client.post(format!("{}/api/v1/query", pair.our_base())).form(&form).send().await.expect("an answer");
    let status = answer.status();
    let said: Value = answer.json().await.expect("JSON");
    assert_eq!((status.as_u16(), &said["errorType"]), (413, &json!("too_large")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_the_shapes_of_the_description() {
    let Some(shapes) = shapes::Shapes::load() else {
        println!("skipped: there are no corpora");
        return;
    };
    let pair = Pair::start().await;
    let now = clock::now().0 / 1000;
    let (mut faults, mut checked) = (Vec::new(), 0);
    for ask in asked::all(now).into_iter().chain(asked::told(now)) {
        let (status, _, mut body) = pair.send(&pair.our_base(), &ask).await;
        // The description knows no answers to what is not there, and it has a text where Prometheus writes the time of a text.
        if status == 405 || status == 404 || body["data"]["resultType"] == "string" {
            continue;
        }
        // Where in the query a fault stands, and a node of a tree: ours alone, and nobody who reads the rest is disturbed.
        if let Some(fields) = body.as_object_mut() {
            fields.remove("position");
        }
        checked += 1;
        for fault in shapes.faults(&ask, status, &body) {
            faults.push(format!("{ask:?}: {fault}"));
        }
    }
    println!("{checked} answers were held against their shapes");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
