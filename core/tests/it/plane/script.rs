//! Stories as text: what happens when, and what must come out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::model::{LabelSet, MatchOp, Matcher};
use tocsin_core::page::Page;
use tocsin_core::plane::{Delivery, Event, FLAPPING, Refused, Reply};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::notification::{NotifiedAlert, Status};
use tocsin_core::route::receiver::Receiver;
use tocsin_core::route::silence::{SilenceRequest, Terms};
use tocsin_core::route::time_interval::{IntervalForm, RangeForm};
use tocsin_core::route::tree::Routing;
use tocsin_core::time::Timestamp;

use super::world::World;

/// Friday, the zero of all stories.
fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap()
}

fn instant(seconds: &str) -> Timestamp {
    Timestamp(start().0 + (seconds.parse::<f64>().unwrap() * 1000.0).round() as i64)
}

fn seconds(at: Timestamp) -> String {
    format!("{}", (at - start()).seconds())
}

/// Plays a script and compares what came out with what was expected, both line by line.
///
/// Script lines are `time verb words`, in order of time:
/// `fire name {label=value} [@start] [..end] ["note"]` · `silence id [=old] from..to label=value [until-resolved] [within=22:00-06:00]` · `expire id` · `ack who` · `unack who` ·
/// `lose receiver/integration [back]` (its last delivery, or one before that many others) · `reload number` (of `others`) · `restart [number]` · `outage seconds` · `cold` · `warm` · `end`
///
/// Lines that come out are `time receiver/integration action (reason) firing alerts - resolved alerts` (those that flap say so), `time page state …`,
/// `time lost, what becomes of it`, and `time refused why`.
pub fn check(routing: Routing, others: &[Routing], script: &str, expected: &str) {
    let out = play(routing, others, script);
    let tidy = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let (out, expected) = (tidy(&out), tidy(expected));
    assert!(out == expected, "came out:\n{out}\n\nexpected:\n{expected}\n");
}

fn play(routing: Routing, others: &[Routing], script: &str) -> String {
    let mut story = Story { world: World::new(routing, start()), out: Vec::new(), printed: 0, pages: BTreeMap::new() };
    let starts_cold = script.lines().any(|line| line.trim() == "cold");
    if !starts_cold {
        story.world.accept(Event::Warm).unwrap();
    }
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "cold" && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        story.run_until(instant(words[0]));
        story.act(words[1], &words[2..], others);
        story.print_new();
    }
    story.out.join("\n")
}

struct Story {
    world: World,
    out: Vec<String>,
    printed: usize,
    pages: BTreeMap<String, String>,
}

impl Story {
    fn run_until(&mut self, until: Timestamp) {
        while let Some(deadline) = self.world.plane.next_deadline().filter(|deadline| *deadline <= until) {
            self.world.run_until(deadline.max(self.world.now));
            self.print_new();
        }
        self.world.now = until;
    }

    fn act(&mut self, verb: &str, words: &[&str], others: &[Routing]) {
        let reply = match verb {
            "fire" => self.world.accept(Event::Alerts(vec![incoming(words)])),
            "silence" => self.world.accept(Event::SilenceSet(silence(words))),
            "expire" => self.world.accept(Event::SilenceExpire { id: words[0].to_owned(), by: None }),
            "ack" => {
                let page = self.open_page();
                self.world.accept(Event::Acknowledge { page, by: words[0].to_owned() })
            }
            "unack" => {
                let page = self.open_page();
                self.world.accept(Event::Unacknowledge { page, by: words[0].to_owned() })
            }
            "reload" => {
                let routing = Arc::new(others[words[0].parse::<usize>().unwrap()].clone());
                self.world.routing = routing.clone();
                self.world.accept(Event::Reload(routing))
            }
            "restart" => {
                if let Some(number) = words.first() {
                    self.world.routing = Arc::new(others[number.parse::<usize>().unwrap()].clone());
                }
                self.world.restart(Some(self.world.now));
                self.world.accept(Event::Warm)
            }
            "outage" => {
                let alive_at = self.world.now;
                self.world.now = instant(words[0]);
                self.world.restart(Some(alive_at));
                Ok(Reply::Done)
            }
            "lose" => {
                let delivery = self.delivery(words[0], words.get(1).map_or(0, |back| back.parse::<usize>().unwrap()));
                self.world.accept(Event::Undelivered(Box::new(delivery)))
            }
            "warm" => self.world.accept(Event::Warm),
            "end" => Ok(Reply::Done),
            other => panic!("no verb is called {other}"),
        };
        match reply {
            Ok(Reply::Alerts { refused, .. }) => {
                self.out.extend(refused.iter().map(|(_, bad)| format!("{} refused {bad}", seconds(self.world.now))));
            }
            Ok(Reply::Lost(lost)) => {
                let words = lost.map_or("nothing to take back".to_owned(), |lost| match lost.again_at {
                    Some(at) => format!("again at {}", seconds(at)),
                    None if lost.given_up.is_empty() => "nothing is left to tell".to_owned(),
                    None => format!("{} ends given up", lost.given_up.len()),
                });
                self.out.push(format!("{} lost, {words}", seconds(self.world.now)));
            }
            Ok(Reply::Silence { .. } | Reply::Page(_) | Reply::Done) => {}
            Err(refused) => self.out.push(format!("{} refused {}", seconds(self.world.now), plain(&refused))),
        }
    }

    /// Returns a delivery to an integration, told as `receiver/place`, that stands before so many others to it.
    fn delivery(&self, place: &str, back: usize) -> Delivery {
        let is_meant = |delivery: &&Delivery| delivery_text(delivery, &self.world.routing).starts_with(&format!("{place} "));
        self.world.store.deliveries.iter().rev().filter(is_meant).nth(back).expect("such a delivery").clone()
    }

    fn open_page(&self) -> String {
        let pages = self.world.plane.pages();
        pages.iter().find(|page| page.is_open()).or(pages.first()).map_or("none".to_owned(), |page| page.id.clone())
    }

    fn print_new(&mut self) {
        let now = seconds(self.world.now);
        for page in self.world.store.pages.values() {
            let text = page_text(page);
            if self.pages.get(&page.id) != Some(&text) {
                self.out.push(format!("{now} page {text}"));
                self.pages.insert(page.id.clone(), text);
            }
        }
        for delivery in &self.world.store.deliveries[self.printed..] {
            self.out.push(format!("{now} {}", delivery_text(delivery, &self.world.routing)));
        }
        self.printed = self.world.store.deliveries.len();
    }
}

/// Page ids are hashes; a story needs none of them.
fn plain(refused: &Refused) -> String {
    match refused {
        Refused::AlreadyAcknowledged { by, at, .. } => format!("{by} took it at {}", seconds(*at)),
        Refused::PageResolved { .. } => "it is resolved".to_owned(),
        other => other.to_string(),
    }
}

fn page_text(page: &Page) -> String {
    let by = page.acknowledged_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{} {}{by} {}", page.group.receiver, page.state, page.firing().count())
}

fn delivery_text(delivery: &Delivery, routing: &Routing) -> String {
    let names = routing.receivers.get(&delivery.receiver).map(Receiver::named).unwrap_or_default();
    let position = names.iter().position(|(name, _)| *name == delivery.integration);

    let list = |status: Status| {
        let alerts = delivery.data.alerts.iter().filter(|alert| alert.status == status);
        alerts.map(alert_text).collect::<Vec<_>>().join(" ")
    };
    let resolved = list(Status::Resolved);
    let resolved = if resolved.is_empty() { resolved } else { format!(" - {resolved}") };
    format!(
        "{}/{} {} ({}) {}{resolved}",
        delivery.receiver,
        position.map_or("none".to_owned(), |position| position.to_string()),
        delivery.action.as_str(),
        delivery.data.reason.as_str(),
        list(Status::Firing),
    )
}

fn alert_text(alert: &NotifiedAlert) -> String {
    let rest: Vec<String> =
        alert.labels.iter().filter(|(name, _)| *name != "alertname").map(|(name, value)| format!("{name}={value}")).collect();
    let rest = if rest.is_empty() { String::new() } else { format!("{{{}}}", rest.join(",")) };
    let end = if alert.status == Status::Resolved { format!("..{}", seconds(alert.ends_at)) } else { String::new() };
    let note = alert.annotations.get("note").map(|note| format!("{note:?}")).unwrap_or_default();
    let flaps = if alert.annotations.get(FLAPPING).is_some() { " flaps" } else { "" };
    format!("{}{rest}@{}{end}{note}{flaps}", alert.labels.get("alertname"), seconds(alert.starts_at))
}

fn incoming(words: &[&str]) -> IncomingAlert {
    let mut labels = vec![("alertname", words[0])];
    let mut alert = IncomingAlert { source: "api".to_owned(), ..IncomingAlert::default() };
    for word in &words[1..] {
        if let Some(start) = word.strip_prefix('@') {
            alert.starts_at = Some(instant(start));
        } else if let Some(end) = word.strip_prefix("..") {
            alert.ends_at = Some(instant(end));
        } else if let Some(note) = word.strip_prefix('"') {
            alert.annotations.insert("note".to_owned(), note.trim_end_matches('"').to_owned());
        } else {
            labels.push(word.split_once('=').unwrap());
        }
    }
    alert.labels = LabelSet::from_pairs(labels);
    alert
}

pub fn silence(words: &[&str]) -> SilenceRequest {
    let (old, rest) = match words[1].strip_prefix('=') {
        Some(old) => (Some(old.to_owned()), &words[2..]),
        None => (None, &words[1..]),
    };
    let (from, to) = rest[0].split_once("..").unwrap();
    let matcher = |word: &&str| {
        let (name, value) = word.split_once('=').unwrap();
        match value.strip_prefix('~') {
            Some(pattern) => Matcher::new(name, MatchOp::Regex, pattern).unwrap(),
            None => Matcher::equal(name, value),
        }
    };
    let (mut terms, mut matchers) = (Terms::default(), Vec::new());
    for word in &rest[1..] {
        if *word == "until-resolved" {
            terms.until_resolved = true;
        } else if let Some((start, end)) = word.strip_prefix("within=").and_then(|times| times.split_once('-')) {
            let times = vec![RangeForm { start_time: start.to_owned(), end_time: end.to_owned() }];
            terms.times.push(IntervalForm { times, ..IntervalForm::default() }.read().unwrap());
        } else {
            matchers.push(matcher(word));
        }
    }
    SilenceRequest {
        id: old,
        new_id: words[0].to_owned(),
        matchers,
        starts_at: Some(instant(from)),
        ends_at: instant(to),
        created_by: "ada".to_owned(),
        comment: "story".to_owned(),
        annotations: BTreeMap::new(),
        owner: None,
        seen_at: None,
        terms: Some(terms).filter(|terms| *terms != Terms::default()),
    }
}
