//! The two servers, what is posted to both at the same instants, and what each has told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tocsin::clock;
use tocsin_core::time::{Span, Timestamp};

use super::generator::{Act, Alert, SLOTS, Sequence};
use crate::harness::http;
use crate::harness::peers::{self, Peer};
use crate::harness::recorder::{Post, Recorder};
use crate::harness::service::{Service, Setup};

const SLOT: Span = Span::from_secs(2);
/// The sequences of a wave begin one after the other, so that not all groups fall due at once.
const PHASES: usize = 8;
/// What was planned for a slot must have been taken by both this long after it: timers fall due a second after it.
const LATE_MAX: Span = Span(700);
/// Alertmanager counts its intervals from when it has told; later than this, it would count another one.
const TOLD_LATE_MAX: Span = Span(800);
/// How long nothing must be told before all has been.
const QUIET: Span = Span(2500);

/// What was told to one receiver of one group, in order.
pub type Told = BTreeMap<String, Vec<Value>>;

/// What came of one sequence.
#[derive(Debug)]
pub struct Outcome {
    pub theirs: Told,
    pub ours: Told,
}

impl Outcome {
    /// Returns whether both have told the same, but for what is said of a group whose alerts were cut to `max_alerts`.
    pub fn agrees_but_for_what_is_cut(&self) -> bool {
        let seen = |told: &Told| -> Told {
            let mut told = told.clone();
            for one in told.values_mut().flatten().filter(|one| one["truncated"] != 0) {
                one["status"] = Value::Null;
                one["commonLabels"] = Value::Null;
            }
            told
        };
        seen(&self.theirs) == seen(&self.ours)
    }

    /// Returns the alerts that we have called firing to somebody and never resolved, though that is asked for.
    pub fn left_open(&self) -> Vec<String> {
        let mut left = Vec::new();
        let is_told_all = |group: &str| !group.starts_with("quiet") && !group.starts_with("few");
        for (group, told) in self.ours.iter().filter(|(group, _)| is_told_all(group)) {
            let mut open: BTreeMap<String, bool> = BTreeMap::new();
            for alert in told.iter().flat_map(|one| one["alerts"].as_array().into_iter().flatten()) {
                open.insert(alert["labels"].to_string(), alert["status"] == "firing");
            }
            left.extend(open.into_iter().filter(|(_, is_open)| *is_open).map(|(labels, _)| format!("{labels} to {group}")));
        }
        left
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, told) in [("Alertmanager", &self.theirs), ("we", &self.ours)] {
            writeln!(f, "  told by {side}:")?;
            for (group, all) in told {
                writeln!(f, "    {group}")?;
                for one in all {
                    writeln!(f, "      {one}")?;
                }
            }
        }
        Ok(())
    }
}

struct Side {
    base: String,
    client: reqwest::Client,
    recorder: Recorder,
    /// The ids of silences, by sequence and number.
    silences: BTreeMap<(usize, usize), String>,
}

pub struct Pair {
    theirs: Side,
    ours: Side,
    waves: usize,
    _peer: Peer,
    _service: Service,
    _folder: TempDir,
}

/// What one step asks of a server.
#[derive(Default)]
struct Asked {
    alerts: Vec<Value>,
    silences: Vec<((usize, usize), Value)>,
    expired: Vec<(usize, usize)>,
}

/// Names a sequence in one try.
fn label(wave: usize, sequence: &Sequence) -> String {
    format!("{}-{wave}", sequence.number)
}

fn labels(alert: Alert, sequence: &Sequence, seq: &str) -> Value {
    let mut labels = json!({
        "alertname": alert.name, "severity": alert.severity, "zone": alert.zone, "seq": seq, "kind": sequence.kind,
    });
    if sequence.kind == "größe 🙂" {
        labels["größe 🙂"] = json!("groß & klein");
    }
    labels
}

impl Side {
    fn new(address: &str, recorder: Recorder) -> Side {
        Side { base: format!("http://{address}"), client: http(), recorder, silences: BTreeMap::new() }
    }

    async fn send(&self, method: Method, path: String, body: Option<&Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path} of {} gets no answer: {error:?}", self.base));
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{path} of {}: {status} {text}", self.base);
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn step(&mut self, asked: &Asked) {
        let alerts = async {
            if !asked.alerts.is_empty() {
                self.send(Method::POST, "/api/v2/alerts".to_owned(), Some(&json!(asked.alerts))).await;
            }
        };
        let silences = join_all(asked.silences.iter().map(async |(key, silence)| {
            let said = self.send(Method::POST, "/api/v2/silences".to_owned(), Some(silence)).await;
            (*key, said["silenceID"].as_str().expect("an id").to_owned())
        }));
        let expired = join_all(asked.expired.iter().map(async |key| {
            self.send(Method::DELETE, format!("/api/v2/silence/{}", self.silences[key]), None).await;
        }));
        let (_, set, _) = tokio::join!(alerts, silences, expired);
        self.silences.extend(set);
    }
}

/// Returns what some sequences ask for at a slot; `at` is its instant.
fn asked(sequences: &[(&Sequence, String)], slot: usize, at: Timestamp) -> Asked {
    let mut asked = Asked::default();
    let later = |slots: usize| (at + Span(SLOT.0 * (slots - slot) as i64)).rfc3339();
    for (sequence, seq) in sequences {
        for act in &sequence.acts[slot] {
            match *act {
                Act::Fire { alert, until } => {
                    let mut posted = json!({
                        "labels": labels(alert, sequence, seq), "annotations": { "said": format!("at slot {slot}") },
                        "startsAt": at.rfc3339(),
                    });
                    if let Some(until) = until {
                        posted["endsAt"] = json!(later(until));
                    }
                    asked.alerts.push(posted);
                }
                Act::End(alert) => {
                    asked.alerts.push(json!({ "labels": labels(alert, sequence, seq), "endsAt": at.rfc3339() }));
                }
                Act::Silence { number, mutes, until } => {
                    let own = json!({ "name": "seq", "value": seq, "isRegex": false, "isEqual": true });
                    let matchers: Vec<Value> = [Some(own), mutes.matcher()].into_iter().flatten().collect();
                    let silence = json!({
                        "matchers": matchers, "createdBy": "ada", "comment": "generated", "startsAt": at.rfc3339(), "endsAt": later(until),
                    });
                    asked.silences.push(((sequence.number, number), silence));
                }
                Act::Expire(number) => asked.expired.push((sequence.number, number)),
            }
        }
    }
    asked
}

/// Returns a notification without what must differ.
fn settled(body: &Value) -> Value {
    let instant = |value: &Value| match Timestamp::parse_rfc3339(value.as_str().unwrap_or_default()) {
        Some(at) if at.0 > 0 => json!(at.rfc3339()),
        _ => Value::Null,
    };
    let each = |alert: &Value| {
        let mut fields: Map<String, Value> = alert.as_object().expect("an alert").clone();
        fields.remove("fingerprint");
        fields.remove("generatorURL");
        for key in ["startsAt", "endsAt"] {
            fields.insert(key.to_owned(), instant(&alert[key]));
        }
        Value::Object(fields)
    };
    let mut alerts: Vec<Value> = body["alerts"].as_array().into_iter().flatten().map(each).collect();
    alerts.sort_by_key(Value::to_string);
    json!({
        "status": body["status"], "reason": body["notification_reason"], "truncated": body["truncatedAlerts"], "alerts": alerts,
        "commonLabels": body["commonLabels"],
    })
}

/// Returns what was told of each sequence, by the name of its try.
pub fn told(posts: &[Post]) -> BTreeMap<String, Told> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    for post in posts {
        let (body, labels) = (&post.body, &post.body["groupLabels"]);
        let seq = labels["seq"].as_str().unwrap_or_else(|| panic!("a group without a sequence: {body}")).to_owned();
        let group = format!("{} {labels}", body["receiver"].as_str().expect("a receiver"));
        all.entry(seq).or_default().entry(group).or_default().push(settled(body));
    }
    all
}

impl Pair {
    pub async fn start(config: &str) -> Pair {
        let (theirs, ours) = (Recorder::start().await, Recorder::start().await);
        let folder = TempDir::new().expect("a temporary folder");
        let of = |recorder: &Recorder| config.replace("{url}", &format!("http://{}/hook", recorder.address));
        let peer = peers::alertmanager(folder.path(), &of(&theirs)).await;
        let service = Service::start(Setup::new(of(&ours))).await;
        Pair {
            theirs: Side::new(&peer.address, theirs),
            ours: Side::new(&service.address, ours),
            waves: 0,
            _peer: peer,
            _service: service,
            _folder: folder,
        }
    }

    /// Runs sequences at once; returns what came of each. Errors: why the machine was too busy for that to mean anything.
    pub async fn run(&mut self, sequences: &[Sequence]) -> Result<Vec<Outcome>, String> {
        self.waves += 1;
        let wave = self.waves;
        let before = (self.theirs.recorder.count(), self.ours.recorder.count());
        let named: Vec<(&Sequence, String)> = sequences.iter().map(|sequence| (sequence, label(wave, sequence))).collect();
        let phases: Vec<Vec<(&Sequence, String)>> =
            (0..PHASES).map(|phase| named.iter().skip(phase).step_by(PHASES).cloned().collect()).collect();
        let begin = clock::now() + Span::from_secs(1);
        let phase_at = |phase: usize| begin + Span(SLOT.0 * phase as i64 / PHASES as i64);
        let mut late = Span::ZERO;
        for slot in 0..SLOTS {
            for (phase, sequences) in phases.iter().enumerate() {
                let at = phase_at(phase) + Span(SLOT.0 * slot as i64);
                let asked = asked(sequences, slot, at);
                clock::sleep_until(at).await;
                tokio::join!(self.theirs.step(&asked), self.ours.step(&asked));
                late = late.max(clock::now() - at);
            }
        }
        self.quiet().await;
        let posts = |side: &Side, before: usize| side.recorder.taken().split_off(before);
        let (theirs, ours) = (posts(&self.theirs, before.0), posts(&self.ours, before.1));
        // Timers fall due in the middle of a slot; how much later is told says how late the servers are.
        let behind = |posts: &[Post]| {
            let number = |post: &Post| post.body["groupLabels"]["seq"].as_str().map(str::to_owned);
            let places: BTreeMap<&str, usize> = phases
                .iter()
                .enumerate()
                .flat_map(|(phase, all)| all.iter().map(move |(_, seq)| (seq.as_str(), phase)))
                .collect();
            let late = |post: &Post| {
                let phase = places.get(number(post)?.as_str()).copied()?;
                Some(((post.at - phase_at(phase)).0 - SLOT.0 / 2).rem_euclid(SLOT.0))
            };
            Span(posts.iter().filter_map(late).max().unwrap_or(0))
        };
        let (their_lag, our_lag) = (behind(&theirs), behind(&ours));
        println!(
            "wave {wave}: {} and {} notifications; posts late by {late}, told late by {their_lag} and {our_lag}",
            theirs.len(),
            ours.len()
        );
        if late > LATE_MAX || their_lag > TOLD_LATE_MAX {
            return Err(format!("posts were late by {late}, Alertmanager by {their_lag}"));
        }
        let (mut theirs, mut ours) = (told(&theirs), told(&ours));
        let outcome = |(_, seq): &(&Sequence, String)| Outcome {
            theirs: theirs.remove(seq).unwrap_or_default(),
            ours: ours.remove(seq).unwrap_or_default(),
        };
        Ok(named.iter().map(outcome).collect())
    }

    /// Waits until nothing more is told.
    async fn quiet(&self) {
        let counts = || (self.theirs.recorder.count(), self.ours.recorder.count());
        let (mut seen, mut since) = (counts(), clock::now());
        while clock::now() - since < QUIET {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if counts() != seen {
                (seen, since) = (counts(), clock::now());
            }
        }
    }
}
