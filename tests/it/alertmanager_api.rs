//! Alertmanager's API v2: the same requests to a real Alertmanager and to us, one after the other, and the answers side by side.

mod asked;
mod configured;
mod metrics;

use reqwest::{Method, header};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::harness::peers::{self, Peer};
use crate::harness::service::{Service, Setup};
use crate::harness::{http, soon};

use asked::{Ask, Differs};

const CONFIG: &str = r#"
route:
  receiver: zeta
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - {receiver: muted, matchers: ['team="night"'], mute_time_intervals: [always]}
    - {receiver: beta, matchers: ['team="a"'], continue: true}
    - {receiver: alpha, matchers: ['team="a"'], group_by: [team]}
receivers:
  - name: zeta
  - name: muted
  - name: beta
    labels: {team: web, tier: "1"}
  - name: alpha
inhibit_rules:
  - source_matchers: ['alertname="Boss"']
    target_matchers: ['alertname="Minion"']
time_intervals:
  - name: always
    time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]
"#;

/// One of the two servers, and the ids of the silences that it has set.
struct Side {
    base: String,
    client: reqwest::Client,
    silences: Vec<String>,
}

struct Answer {
    status: u16,
    /// JSON, or text where it is none; null where nothing is said.
    body: Value,
}

impl Side {
    fn new(address: &str) -> Side {
        Side { base: format!("http://{address}"), client: http(), silences: Vec::new() }
    }

    /// `{0}` in a path or a body stands for the id of the first silence that was set.
    fn filled(&self, text: &str) -> String {
        let numbered = self.silences.iter().enumerate();
        numbered.fold(text.to_owned(), |text, (number, id)| text.replace(&format!("{{{number}}}"), id))
    }

    async fn send(&mut self, ask: &Ask) -> Answer {
        let method = Method::from_bytes(ask.method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{}", self.base, self.filled(ask.path))).query(&ask.query);
        if let Some((kind, body)) = &ask.body {
            request = request.body(self.filled(body));
            if !kind.is_empty() {
                request = request.header(header::CONTENT_TYPE, *kind);
            }
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{ask:?} gets no answer: {error:?}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        if let Some(id) = body["silenceID"].as_str() {
            self.silences.push(id.to_owned());
        }
        Answer { status, body }
    }
}

struct Pair {
    theirs: Side,
    ours: Side,
    _peer: Peer,
    _service: Service,
    _folder: TempDir,
}

impl Pair {
    async fn start() -> Pair {
        let folder = TempDir::new().expect("a temporary folder");
        let peer = peers::alertmanager(folder.path(), CONFIG).await;
        let service = Service::start(Setup::new(CONFIG)).await;
        let (theirs, ours) = (Side::new(&peer.address), Side::new(&service.address));
        Pair { theirs, ours, _peer: peer, _service: service, _folder: folder }
    }

    async fn both_show(&mut self, what: &str, path: &'static str, query: &[(&str, &str)], shows: impl Fn(&Value) -> bool) {
        for side in [&mut self.theirs, &mut self.ours] {
            let ask = Ask::new("GET", path).query(query);
            soon(what, async || {
                let answer = Side { base: side.base.clone(), client: side.client.clone(), silences: Vec::new() }.send(&ask).await;
                shows(&answer.body).then_some(())
            })
            .await;
        }
    }
}

/// Fields that tell of moments, or that each server makes up for itself; that they are there is compared.
const VOLATILE: [&str; 7] = ["startsAt", "endsAt", "updatedAt", "id", "silenceID", "silencedBy", "uptime"];

/// Returns an answer without what may differ. Lists stay in their order.
fn settled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let settle = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::Array(ids) if name == "silencedBy" => ids.len().into(),
                    _ if VOLATILE.contains(&name.as_str()) => "…".into(),
                    other => settled(other),
                };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(settle).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(settled).collect(),
        other => other.clone(),
    }
}

/// Returns the form of an error: a text, nothing, or the names of its fields with the code.
fn form(body: &Value) -> String {
    match body {
        Value::String(_) => "a text".to_owned(),
        Value::Null => "nothing".to_owned(),
        Value::Object(fields) => format!("{:?} {}", fields.keys().collect::<Vec<_>>(), body["code"]),
        other => other.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_alertmanager() {
    let mut pair = Pair::start().await;
    let (mut faults, mut same, mut explained) = (Vec::new(), 0, 0);
    for ask in asked::posts().into_iter().chain(asked::settle()).chain(asked::lists()).chain(asked::silences()) {
        if ask.path == asked::SETTLED {
            let is_muted = |body: &Value| body[0]["alerts"][0]["status"]["mutedBy"][0] == "always";
            pair.both_show("the group is muted", "/api/v2/alerts/groups", &[("receiver", "muted")], is_muted).await;
            let minion = [("filter", "alertname=\"Minion\"")];
            pair.both_show("the other is inhibited", "/api/v2/alerts", &minion, |body| {
                body[0]["status"]["state"] == "suppressed"
            })
            .await;
            continue;
        }
        let (theirs, ours) = (pair.theirs.send(&ask).await, pair.ours.send(&ask).await);
        let status = theirs.status == ours.status;
        let alike = match ask.differs {
            Differs::No => status && settled(&theirs.body) == settled(&ours.body),
            Differs::Words(_) => status && form(&theirs.body) == form(&ours.body),
            Differs::Status(wanted, _) => ours.status == wanted && theirs.status != wanted,
        };
        match ask.differs {
            _ if !alike => faults.push(format!(
                "{ask:?}\n  they {} {}\n  we   {} {}",
                theirs.status,
                settled(&theirs.body),
                ours.status,
                settled(&ours.body)
            )),
            Differs::No => same += 1,
            Differs::Words(reason) | Differs::Status(_, reason) => {
                explained += 1;
                println!("{} {} {:?}: {reason}", ask.method, ask.path, ask.query);
            }
        }
    }
    println!("{same} answers are the same, {explained} differ as they must");
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_not_lost_for_one_alert_of_a_wrong_form() {
    let mut pair = Pair::start().await;
    let post = Ask::new("POST", "/api/v2/alerts").json(
        r#"[{"labels": {"alertname": "Before"}}, {"labels": {"alertname": 7}}, {"labels": {"alertname": "Late"}, "endsAt": "soon"},
            {"labels": {"alertname": "After"}, "annotations": null}]"#,
    );
    let list = Ask::new("GET", "/api/v2/alerts");
    let (theirs, ours) = (pair.theirs.send(&post).await, pair.ours.send(&post).await);
    assert_eq!((theirs.status, form(&theirs.body)), (ours.status, form(&ours.body)));
    let said = ours.body["message"].as_str().expect("a message");
    assert!(said.contains("1: invalid type") && said.contains("2.endsAt \"soon\""), "{said}");
    assert_eq!(pair.theirs.send(&list).await.body, Value::Array(Vec::new()), "Alertmanager takes none");
    let held = pair.ours.send(&list).await.body;
    let mut names: Vec<&str> =
        held.as_array().expect("a list").iter().filter_map(|alert| alert["labels"]["alertname"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["After", "Before"]);
}
