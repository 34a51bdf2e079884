//! A plane with a store and a clock, as the edge would run it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::client::{HttpClient, Secret};
use tocsin_core::model::{Fingerprint, Matcher};
use tocsin_core::page::Page;
use tocsin_core::plane::{Change, Delivery, Event, Extension, Flap, Plane, Records, Refused, Reply};
use tocsin_core::route::alert::Alert;
use tocsin_core::route::dispatch::group::{Group, GroupId};
use tocsin_core::route::receiver::{Channel, Integration, PagerDuty, Receiver, Webhook};
use tocsin_core::route::silence::Silence;
use tocsin_core::route::time_interval::{TimeInterval, TimeRange};
use tocsin_core::route::tree::{GroupBy, Inhibition, Route, Routing};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::{Entry, Mark, Record, TraceChange};

/// The tables that the edge would keep, filled from JSON so that every record passes through its stored form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    /// As they are known, with what extensions say of them.
    pub alerts: BTreeMap<Fingerprint, Alert>,
    alert_records: BTreeMap<Fingerprint, Alert>,
    extensions: Vec<Extension>,
    pub flaps: BTreeMap<Fingerprint, Flap>,
    pub groups: BTreeMap<GroupId, Group>,
    pub silences: BTreeMap<String, Silence>,
    pub pages: BTreeMap<String, Page>,
    pub deliveries: Vec<Delivery>,
    pub trace: Vec<Record>,
}

impl Store {
    pub fn apply(&mut self, changes: Vec<Change>) {
        let text = serde_json::to_string(&changes).unwrap();
        for change in serde_json::from_str::<Vec<Change>>(&text).unwrap() {
            match change {
                Change::PutAlert(alert) => {
                    self.alerts.insert(alert.fingerprint, alert.clone());
                    self.alert_records.insert(alert.fingerprint, alert);
                }
                Change::DropAlert(fingerprint) => {
                    self.alerts.remove(&fingerprint);
                    self.alert_records.remove(&fingerprint);
                }
                Change::AddExtension(extension) => {
                    for alert in &extension.alerts {
                        let alert = self.alerts.get_mut(alert).unwrap();
                        (alert.updated_at, alert.ends_at) = (extension.updated_at, extension.ends_at);
                    }
                    self.extensions.push(extension);
                }
                Change::DropExtensions => self.extensions.clear(),
                Change::PutFlap(flap) => drop(self.flaps.insert(flap.alert, flap)),
                Change::DropFlap(alert) => drop(self.flaps.remove(&alert)),
                Change::PutGroup(group) => drop(self.groups.insert(group.id.clone(), group)),
                Change::DropGroup(id) => drop(self.groups.remove(&id)),
                Change::PutSilence(silence) => drop(self.silences.insert(silence.id.clone(), silence)),
                Change::DropSilence(id) => drop(self.silences.remove(&id)),
                Change::PutPage(page) => drop(self.pages.insert(page.id.clone(), page)),
                Change::DropPage(id) => drop(self.pages.remove(&id)),
                Change::Deliver(delivery) => self.deliveries.push(delivery),
                Change::Trace(TraceChange::Add { number, at, entry }) => {
                    assert!(self.trace.last().is_none_or(|last| last.number < number), "numbers rise");
                    self.trace.push(Record { number, at, until: at, times: 1, entry });
                }
                Change::Trace(TraceChange::Lasted { number, until, times }) => {
                    let record = self.trace.iter_mut().find(|record| record.number == number).unwrap();
                    (record.until, record.times) = (until, times);
                }
            }
        }
    }

    pub fn records(&self, alive_at: Option<Timestamp>) -> Records {
        Records {
            alerts: self.alert_records.values().cloned().collect(),
            extensions: self.extensions.clone(),
            flaps: self.flaps.values().cloned().collect(),
            groups: self.groups.values().cloned().collect(),
            silences: self.silences.values().cloned().collect(),
            tombstones: Vec::new(),
            pages: self.pages.values().cloned().collect(),
            alive_at,
            trace: Mark {
                number: self.trace.last().map_or(0, |record| record.number),
                routes: self.trace.iter().rev().find_map(routes_digest).unwrap_or_default(),
            },
        }
    }
}

fn routes_digest(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Routes(routes) => Some(routes.digest()),
        Entry::Alerts(_) | Entry::Flush(_) | Entry::Lost(_) | Entry::Opened { .. } => None,
    }
}

pub struct World {
    pub plane: Plane,
    pub store: Store,
    pub now: Timestamp,
    pub routing: Arc<Routing>,
}

impl World {
    pub fn new(routing: Routing, now: Timestamp) -> World {
        let routing = Arc::new(routing);
        let plane = Plane::restore(routing.clone(), "http://tocsin.test", Records::default());
        World { plane, store: Store::default(), now, routing }
    }

    pub fn accept(&mut self, event: Event) -> Result<Reply, Refused> {
        let reply = self.plane.accept(event, self.now);
        self.store.apply(self.plane.drain());
        reply
    }

    /// Lets time pass up to and including an instant, ticking at each deadline.
    pub fn run_until(&mut self, until: Timestamp) {
        for _ in 0..1_000_000 {
            let Some(deadline) = self.plane.next_deadline().filter(|deadline| *deadline <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(deadline);
            self.tick();
        }
        panic!("the plane's deadline does not move on at {}", self.now);
    }

    pub fn tick(&mut self) {
        self.plane.tick(self.now);
        self.store.apply(self.plane.drain());
    }

    /// Kills the plane and goes on with one that was restored from the store.
    pub fn restart(&mut self, alive_at: Option<Timestamp>) {
        self.plane = Plane::restore(self.routing.clone(), "http://tocsin.test", self.store.records(alive_at));
    }
}

/// Returns a route that groups by alert name, waits one second, comes back each second, and repeats each time.
pub fn route(receiver: &str, matchers: &[(&str, &str)]) -> Route {
    Route {
        receiver: receiver.to_owned(),
        matchers: matchers.iter().map(|(name, value)| Matcher::equal(*name, *value)).collect(),
        group_by: GroupBy::Labels(vec!["alertname".to_owned()]),
        continues: false,
        group_wait: Span::from_secs(1),
        group_interval: Span::from_secs(1),
        repeat_interval: Span(1),
        mute_time_intervals: vec![],
        active_time_intervals: vec![],
        routes: vec![],
    }
}

pub fn routing(root: Route, receivers: &[Receiver]) -> Routing {
    Routing {
        root,
        receivers: receivers.iter().map(|receiver| (receiver.name.clone(), receiver.clone())).collect(),
        inhibitions: vec![],
        time_intervals: BTreeMap::new(),
        resolve_timeout: Span::from_mins(5),
        flapping: None,
        silencing: tocsin_core::route::silence::Silencing::default(),
    }
}

/// Returns one receiver that hears everything; nothing repeats within a story.
pub fn calm(integrations: &[&str]) -> Routing {
    let mut root = route("team", &[]);
    root.repeat_interval = Span::from_mins(240);
    routing(root, &[receiver("team", integrations)])
}

pub fn grouped(names: &[&str], mut root: Route) -> Route {
    root.group_by = GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect());
    root
}

/// Returns that an alert of a zone inhibits those of its instances.
pub fn inhibition() -> Inhibition {
    Inhibition {
        name: String::new(),
        source: vec![Matcher::equal("alertname", "ZoneDown")],
        target: vec![Matcher::equal("alertname", "InstanceDown")],
        equal: vec!["zone".to_owned()],
    }
}

/// Returns the first hour of each day, by the name of `night`.
pub fn night() -> BTreeMap<String, Vec<TimeInterval>> {
    // The first ten seconds of a story belong to a minute; an hour starts at 3,600 seconds.
    let times = vec![TimeRange { start_minute: 0, end_minute: 60 }];
    BTreeMap::from([("night".to_owned(), vec![TimeInterval { times, ..TimeInterval::default() }])])
}

/// Returns a receiver with integrations named by words: `webhook`, `webhook-no-resolved`, `pagerduty`, `inbox`; a webhook
/// to another host as `webhook@host`.
pub fn receiver(name: &str, integrations: &[&str]) -> Receiver {
    let integration = |word: &&str| {
        let channel = match *word {
            "webhook" | "webhook-no-resolved" => webhook("hook.test"),
            "pagerduty" => pagerduty(),
            "inbox" => Channel::Inbox,
            other if other.starts_with("webhook@") => webhook(&other["webhook@".len()..]),
            other => panic!("no integration is called {other}"),
        };
        Integration { send_resolved: *word != "webhook-no-resolved", channel }
    };
    Receiver {
        name: name.to_owned(),
        position: 0,
        labels: BTreeMap::new(),
        integrations: integrations.iter().map(integration).collect(),
        users: vec!["ada".to_owned()],
    }
}

fn webhook(host: &str) -> Channel {
    Channel::Webhook(Webhook {
        url: Secret::Inline(format!("http://{host}")),
        client: HttpClient::default(),
        max_alerts: 0,
        timeout: Span::ZERO,
    })
}

fn pagerduty() -> Channel {
    Channel::PagerDuty(PagerDuty {
        routing_key: None,
        service_key: None,
        url: "http://pagerduty.test".to_owned(),
        client: HttpClient::default(),
        client_name: String::new(),
        client_url: String::new(),
        description: String::new(),
        details: BTreeMap::new(),
        images: vec![],
        links: vec![],
        source: String::new(),
        severity: String::new(),
        class: String::new(),
        component: String::new(),
        group: String::new(),
        timeout: Span::ZERO,
    })
}
