//! Random hours in the life of a plane, beside a twin that is killed and restored all the time.
//!
//! Both get the same events at the same instants. What they store must stay equal, and after every instant the invariants below
//! must hold. A failing run prints its seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Fingerprint, LabelSet, Matcher};
use tocsin_core::plane::{Action, Change, Delivery, Event, Plane, Records};
use tocsin_core::route::alert::{Alert, IncomingAlert};
use tocsin_core::route::dispatch::Tree;
use tocsin_core::route::dispatch::group::GroupId;
use tocsin_core::route::notification::Status;
use tocsin_core::route::silence::{SilenceRequest, SilenceState, Terms};
use tocsin_core::route::time_interval::{TimeInterval, TimeRange, silent_by};
use tocsin_core::route::tree::{Flapping, GroupBy, Inhibition, Route, Routing};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::{AlertStep, Entry, TraceChange, What};

use super::world::{Store, receiver, route, routing};

const SEEDS: u64 = 40;
const STEPS: u64 = 300;

/// SplitMix64: a few lines, the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.throw(words.len() as u64) as usize]
    }
}

fn timed(receiver: &str, matchers: &[(&str, &str)]) -> Route {
    Route {
        group_wait: Span::from_secs(30),
        group_interval: Span::from_mins(5),
        repeat_interval: Span::from_mins(60),
        ..route(receiver, matchers)
    }
}

/// Several configurations to reload between.
fn configurations() -> Vec<Arc<Routing>> {
    let times = vec![TimeRange { start_minute: 120, end_minute: 180 }];
    let night = BTreeMap::from([("night".to_owned(), vec![TimeInterval { times, ..TimeInterval::default() }])]);
    let receivers =
        [receiver("team", &["webhook", "pagerduty"]), receiver("audit", &["webhook-no-resolved"]), receiver("other", &["inbox"])];
    let inhibition = Inhibition {
        name: String::new(),
        source: vec![Matcher::equal("severity", "critical")],
        target: vec![Matcher::equal("severity", "warning")],
        equal: vec!["zone".to_owned()],
    };
    let mut plain = routing(timed("team", &[]), &receivers);
    plain.inhibitions = vec![inhibition];
    plain.time_intervals = night;
    let mut branched = plain.clone();
    branched.flapping = Some(Flapping { begins: 2, within: Span::from_mins(120), quiet: Span::from_mins(20) });
    branched.root.routes = vec![
        Route { continues: true, group_by: GroupBy::All, ..timed("audit", &[]) },
        Route { mute_time_intervals: vec!["night".to_owned()], ..timed("other", &[("zone", "a")]) },
        Route { group_by: GroupBy::Labels(vec!["zone".to_owned()]), ..timed("team", &[("severity", "critical")]) },
    ];
    let mut moved = branched.clone();
    moved.flapping = Some(Flapping { begins: 3, within: Span::from_mins(240), quiet: Span::from_mins(45) });
    moved.root.routes.remove(0);
    // The same alerts to the same receiver by two routes, one for the night and one for the rest of the day.
    let split = timed("team", &[("zone", "b")]);
    let nightly =
        Route { active_time_intervals: vec!["night".to_owned()], repeat_interval: Span::from_mins(20), ..split.clone() };
    moved.root.routes.push(Route { mute_time_intervals: vec!["night".to_owned()], continues: true, ..split });
    moved.root.routes.push(nightly);
    moved.root.routes[0].receiver = "audit".to_owned();
    vec![Arc::new(plain), Arc::new(branched), Arc::new(moved)]
}

struct Simulation {
    dice: Dice,
    configurations: Vec<Arc<Routing>>,
    routing: Arc<Routing>,
    now: Timestamp,
    live: Plane,
    /// Restored from `store` again and again; always in step with `live`.
    mortal: Plane,
    store: Store,
    audit: Audit,
    ids: u64,
}

/// What an onlooker knows who sees only the deliveries and the clock.
#[derive(Default)]
struct Audit {
    keys: BTreeSet<String>,
    last_in_lane: BTreeMap<String, i64>,
    /// By lane: alerts that some delivery has called firing.
    said: BTreeMap<String, BTreeSet<Fingerprint>>,
    /// By lane: deliveries that have not ended.
    waiting: BTreeMap<String, VecDeque<Delivery>>,
    /// By lane: alerts that the receiver has heard called firing and not yet called resolved.
    heard: BTreeMap<String, BTreeSet<Fingerprint>>,
    lost: usize,
    /// Since when an alert has been firing, unmuted and due to an integration without a break.
    due_since: BTreeMap<(Fingerprint, GroupId, u32), Timestamp>,
    /// Since when an integration that wants ends has been owed one that nothing holds back.
    owed_since: BTreeMap<(Fingerprint, GroupId, String, bool), Timestamp>,
    deliveries: usize,
}

/// Returns changes without the numbers of the trace, which tell how often a plane has started.
fn unnumbered(changes: &[Change]) -> Vec<Change> {
    let mut changes = changes.to_vec();
    for change in &mut changes {
        match change {
            Change::Trace(TraceChange::Add { number, .. } | TraceChange::Lasted { number, .. }) => *number = 0,
            Change::PutGroup(group) => {
                let stretches = group.strands.values_mut().filter_map(|strand| strand.stretch.as_mut());
                stretches.for_each(|stretch| stretch.record = 0);
            }
            _ => {}
        }
    }
    changes
}

fn restore(routing: &Arc<Routing>, records: Records, now: Timestamp) -> Plane {
    let mut plane = Plane::restore(routing.clone(), "http://tocsin.test", records.clone());
    plane.accept(Event::Warm, now).unwrap();
    let mut changes = plane.drain();
    let is_of_start = |change: &Change| {
        matches!(change, Change::Trace(TraceChange::Add { entry: Entry::Opened { .. } | Entry::Routes(_), .. }))
    };
    changes.retain(|change| !is_of_start(change));
    assert!(changes.is_empty(), "a restart alone changed {changes:#?}\nin {records:#?}");
    plane
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let configurations = configurations();
        let routing = configurations[(seed % 3) as usize].clone();
        let now = Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        let plane = || restore(&routing, Records::default(), now);
        Simulation {
            dice: Dice(seed),
            live: plane(),
            mortal: plane(),
            configurations,
            routing,
            now,
            store: Store::default(),
            audit: Audit::default(),
            ids: 0,
        }
    }

    /// Returns how many deliveries there were, how many of them were lost, and how many ends were put off.
    fn run(mut self) -> (usize, usize, usize) {
        for _ in 0..STEPS {
            let pause = Span(self.dice.throw(120_000) as i64);
            self.run_until(self.now + pause);
            let event = self.random_event();
            let routing = match &event {
                Event::Reload(routing) => routing.clone(),
                _ => self.routing.clone(),
            };
            self.both(routing, |plane, now| drop(plane.accept(event.clone(), now)));
            self.send(8);
            if self.dice.throw(4) == 0 {
                self.mortal = restore(&self.routing, self.store.records(Some(self.now)), self.now);
            }
        }
        self.let_all_end();
        let is_put_off = |step: &&AlertStep| matches!(step.what, What::PutOff { .. });
        let steps = self.store.trace.iter().filter_map(|record| match &record.entry {
            Entry::Alerts(steps) => Some(steps),
            Entry::Flush(_) | Entry::Lost(_) | Entry::Routes(_) | Entry::Opened { .. } => None,
        });
        (self.audit.deliveries, self.audit.lost, steps.flatten().filter(is_put_off).count())
    }

    /// Does the same to both planes; the mortal one may die before its changes are stored, and does it again.
    fn both(&mut self, routing_after: Arc<Routing>, act: impl Fn(&mut Plane, Timestamp)) {
        if self.dice.throw(5) == 0 {
            act(&mut self.mortal, self.now);
            self.mortal = restore(&self.routing, self.store.records(Some(self.now)), self.now);
        }
        self.routing = routing_after;
        act(&mut self.live, self.now);
        act(&mut self.mortal, self.now);
        let (changes, same) = (self.live.drain(), self.mortal.drain());
        assert_eq!(unnumbered(&changes), unnumbered(&same), "the restored plane decided otherwise");
        assert_eq!(self.live.next_deadline(), self.mortal.next_deadline());
        let new: Vec<Delivery> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Deliver(delivery) => Some(delivery.clone()),
                _ => None,
            })
            .collect();
        self.store.apply(changes);
        for delivery in &new {
            self.check_delivery(delivery);
        }
        self.check_state();
    }

    fn run_until(&mut self, until: Timestamp) {
        let mut ticks = 0;
        while let Some(deadline) = self.live.next_deadline().filter(|deadline| *deadline <= until) {
            ticks += 1;
            assert!(ticks < 1_000_000, "the plane's deadline does not move on");
            // The edge wakes a little late.
            let late = Span(self.dice.throw(3) as i64);
            self.now = self.now.max((deadline + late).min(until));
            self.both(self.routing.clone(), |plane, now| plane.tick(now));
            self.send(8);
        }
        self.now = until;
    }

    /// Plays the outbox and the receivers: of `sides` lanes one is stuck until the next time, and of as many deliveries one is lost; 0: none.
    fn send(&mut self, sides: u64) {
        let lanes: Vec<String> = self.audit.waiting.keys().cloned().collect();
        for lane in lanes {
            while sides == 0 || self.dice.throw(sides) != 0 {
                let Some(delivery) = self.audit.waiting.get_mut(&lane).and_then(VecDeque::pop_front) else { break };
                if sides != 0 && self.dice.throw(sides) == 0 {
                    self.audit.lost += 1;
                    let event = Event::Undelivered(Box::new(delivery));
                    self.both(self.routing.clone(), |plane, now| drop(plane.accept(event.clone(), now)));
                    continue;
                }
                let heard = self.audit.heard.entry(lane.clone()).or_default();
                for alert in delivery.data.alerts.iter().filter(|_| delivery.action != Action::Acknowledge) {
                    match alert.status {
                        Status::Firing => _ = heard.insert(alert.fingerprint),
                        Status::Resolved => _ = heard.remove(&alert.fingerprint),
                    }
                }
            }
        }
    }

    fn random_event(&mut self) -> Event {
        match self.dice.throw(20) {
            0..=8 => Event::Alerts(vec![self.random_alert(false), self.random_alert(false)]),
            9..=12 => Event::Alerts(vec![self.random_alert(true)]),
            13 | 14 => Event::SilenceSet(self.random_silence()),
            15 => {
                let ids: Vec<String> = self.store.silences.keys().cloned().collect();
                let id = if ids.is_empty() { "none".to_owned() } else { ids[self.dice.throw(ids.len() as u64) as usize].clone() };
                Event::SilenceExpire { id, by: None }
            }
            16 | 17 => self.random_page_event(true),
            18 => self.random_page_event(false),
            _ => Event::Reload(self.configurations[self.dice.throw(3) as usize].clone()),
        }
    }

    fn random_alert(&mut self, ends: bool) -> IncomingAlert {
        let labels = LabelSet::from_pairs([
            ("alertname", self.dice.pick(&["Slow", "Down", "Full"])),
            ("zone", self.dice.pick(&["a", "b", ""])),
            ("severity", self.dice.pick(&["critical", "warning", "info"])),
        ]);
        let ago = Span(self.dice.throw(60_000) as i64);
        let ahead = Span(self.dice.throw(3_600_000) as i64);
        let (starts_at, ends_at) = match self.dice.throw(3) {
            _ if ends => (Some(self.now - Span::from_mins(60)), Some(self.now)),
            0 => (None, None),
            1 => (Some(self.now - ago), None),
            _ => (Some(self.now - ago), Some(self.now + ahead)),
        };
        IncomingAlert { labels, starts_at, ends_at, source: "api".to_owned(), ..IncomingAlert::default() }
    }

    fn random_silence(&mut self) -> SilenceRequest {
        self.ids += 1;
        let known: Vec<String> = self.store.silences.keys().cloned().collect();
        let terms = (self.dice.throw(3) == 0).then(|| {
            let start_minute = self.dice.throw(1440) as u16;
            let end_minute = (start_minute + 1 + self.dice.throw(1438) as u16) % 1440;
            let times = vec![TimeRange { start_minute, end_minute }];
            Terms { until_resolved: false, times: vec![TimeInterval { times, ..TimeInterval::default() }] }
        });
        let edits = !known.is_empty() && self.dice.throw(3) == 0;
        SilenceRequest {
            id: edits.then(|| known[self.dice.throw(known.len() as u64) as usize].clone()),
            new_id: format!("silence-{}", self.ids),
            matchers: vec![Matcher::equal("alertname", self.dice.pick(&["Slow", "Down", "Full"]))],
            starts_at: (self.dice.throw(2) == 0).then(|| self.now + Span(600_000)),
            ends_at: self.now + Span::from_mins(11) + Span(self.dice.throw(3_600_000) as i64),
            created_by: "ada".to_owned(),
            comment: String::new(),
            annotations: BTreeMap::new(),
            owner: None,
            seen_at: None,
            terms,
        }
    }

    fn random_page_event(&mut self, acknowledge: bool) -> Event {
        let pages: Vec<&String> = self.store.pages.values().filter(|page| page.is_open()).map(|page| &page.id).collect();
        let page = if pages.is_empty() { "none".to_owned() } else { pages[self.dice.throw(pages.len() as u64) as usize].clone() };
        let by = self.dice.pick(&["ada", "bob"]).to_owned();
        if acknowledge { Event::Acknowledge { page, by } } else { Event::Unacknowledge { page, by } }
    }

    fn is_muted(&self, alert: &Alert) -> bool {
        let silenced = self
            .store
            .silences
            .values()
            .any(|silence| silence.state(self.now) == SilenceState::Active && all_match(&silence.matchers, &alert.labels));
        let inhibited = self.routing.inhibitions.iter().any(|rule| {
            all_match(&rule.target, &alert.labels)
                && self.store.alerts.values().any(|source| {
                    source.is_firing(self.now)
                        && all_match(&rule.source, &source.labels)
                        && rule.equal.iter().all(|name| source.labels.get(name) == alert.labels.get(name))
                })
        });
        silenced || inhibited
    }

    /// No key twice, lanes in order, only what is true is said, and no end of what was never told.
    fn check_delivery(&mut self, delivery: &Delivery) {
        assert!(self.audit.keys.insert(delivery.key.clone()), "key {} was used twice", delivery.key);
        if let Some(last) = self.audit.last_in_lane.insert(delivery.lane.clone(), delivery.sequence) {
            assert!(last < delivery.sequence, "lane {} went from {last} to {}", delivery.lane, delivery.sequence);
        }
        self.audit.deliveries += 1;
        self.audit.waiting.entry(delivery.lane.clone()).or_default().push_back(delivery.clone());
        if delivery.action == Action::Acknowledge {
            return;
        }
        let said = self.audit.said.entry(delivery.lane.clone()).or_default();
        let mut firing = BTreeSet::new();
        for alert in &delivery.data.alerts {
            match alert.status {
                Status::Firing => {
                    firing.insert(alert.fingerprint);
                    said.insert(alert.fingerprint);
                }
                Status::Resolved => {
                    assert!(said.contains(&alert.fingerprint), "{} ended but {} was never told", alert.labels, delivery.lane);
                }
            }
        }
        for fingerprint in firing {
            let alert = &self.store.alerts[&fingerprint];
            assert!(alert.is_firing(self.now) && !self.is_muted(alert), "{} should not be told", alert.labels);
        }
    }

    fn check_state(&mut self) {
        let open: Vec<&GroupId> = self.store.pages.values().filter(|page| page.is_open()).map(|page| &page.group).collect();
        let distinct: BTreeSet<&GroupId> = open.iter().copied().collect();
        assert_eq!(open.len(), distinct.len(), "two open pages for one group");
        self.check_everything_is_told();
        self.check_every_end_is_told();
    }

    /// Every firing, unmuted alert is told to every integration it is routed to, in time.
    fn check_everything_is_told(&mut self) {
        let tree = Tree::new(&self.routing.tree());
        let mut due_since = BTreeMap::new();
        for alert in self.store.alerts.values().filter(|alert| alert.is_firing(self.now) && !self.is_muted(alert)) {
            for node in tree.matching(&alert.labels).into_iter().map(|index| tree.node(index)) {
                let intervals = &self.routing.time_intervals;
                if !silent_by(intervals, &node.mute_time_intervals, &node.active_time_intervals, self.now).is_empty() {
                    continue;
                }
                let id = GroupId { key: node.group_key(&node.group_labels(&alert.labels)), receiver: node.receiver.clone() };
                let log = self.store.groups.get(&id).map(|group| group.log.clone()).unwrap_or_default();
                let integrations = self.routing.receivers[&node.receiver].named();
                if integrations
                    .iter()
                    .all(|(name, _)| log.get(name).is_some_and(|entry| entry.firing.contains(&alert.fingerprint)))
                {
                    continue;
                }
                let since = *self.audit.due_since.get(&(alert.fingerprint, id.clone(), node.twin)).unwrap_or(&self.now);
                let waited = self.now - since;
                let allowed = Span(node.group_wait.max(node.group_interval).0 + 10);
                assert!(waited <= allowed, "{} has waited {waited} for {}", alert.labels, id.receiver);
                due_since.insert((alert.fingerprint, id, node.twin), since);
            }
        }
        self.audit.due_since = due_since;
    }

    /// Whoever was told of an alert, and wants to hear of its end, does so in time.
    fn check_every_end_is_told(&mut self) {
        let tree = Tree::new(&self.routing.tree());
        let fires = |one: &Fingerprint| self.store.alerts.get(one).is_some_and(|alert| alert.is_firing(self.now));
        let mut owed_since = BTreeMap::new();
        for group in self.store.groups.values() {
            let nodes: Vec<_> = group
                .strands
                .keys()
                .filter_map(|twin| tree.find(group.path().unwrap(), &group.id.receiver, *twin))
                .map(|index| tree.node(index))
                .collect();
            let intervals = &self.routing.time_intervals;
            let silent = nodes
                .iter()
                .any(|node| !silent_by(intervals, &node.mute_time_intervals, &node.active_time_intervals, self.now).is_empty());
            if silent || group.departed.iter().any(fires) {
                continue;
            }
            let waits = nodes.iter().map(|node| node.group_wait.max(node.group_interval).0).max();
            let again = self.routing.root.group_interval.0;
            for (name, entry) in &group.log {
                if !self.routing.receivers[&group.id.receiver].find(name).unwrap().send_resolved {
                    continue;
                }
                for fingerprint in entry.owed.iter().filter(|one| !fires(one)) {
                    // A reload that takes a group's route away makes the end due at once, unless it was told and lost.
                    let at_once = nodes.is_empty() && !entry.unheard.contains_key(fingerprint);
                    let key = (*fingerprint, group.id.clone(), name.clone(), at_once);
                    let since = *self.audit.owed_since.get(&key).unwrap_or(&self.now);
                    let waited = self.now - since;
                    assert!(
                        waited <= Span(waits.unwrap_or(if at_once { 0 } else { again }) + 10),
                        "{} has waited {waited} for the end of {fingerprint}: {group:#?}",
                        group.id.receiver
                    );
                    owed_since.insert(key, since);
                }
            }
        }
        self.audit.owed_since = owed_since;
    }

    /// No more events: all alerts run out, and everybody hears of it.
    fn let_all_end(&mut self) {
        self.run_until(self.now + Span::from_mins(12 * 60));
        self.send(0);
        self.run_until(self.now + Span::from_mins(12 * 60));
        self.send(0);
        assert!(
            self.store.alerts.is_empty() && self.store.groups.is_empty(),
            "something is held for ever: {:?}",
            self.store.groups
        );
        assert!(self.store.pages.values().all(|page| !page.is_open()), "a page stayed open");
        for (lane, told) in &self.audit.heard {
            // Only team and other want ends, and their integrations exist in every configuration.
            assert!(lane.contains("/audit/") || told.is_empty(), "{lane} never heard of the end of {told:?}");
        }
        self.run_until(self.now + Span::from_mins(40 * 24 * 60));
        let Store { silences, pages, flaps, .. } = &self.store;
        assert!(silences.is_empty() && pages.is_empty() && flaps.is_empty(), "something is remembered for ever");
        assert_eq!(self.live.next_deadline(), None);
    }
}

#[test]
fn a_plane_that_dies_all_the_time_decides_as_one_that_lives() {
    let (mut deliveries, mut lost, mut put_off) = (0, 0, 0);
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (more, gone, held) = Simulation::new(seed).run();
        (deliveries, lost, put_off) = (deliveries + more, lost + gone, put_off + held);
    }
    println!("{deliveries} deliveries, {lost} of them lost, {put_off} ends put off");
    assert!(lost > 200, "too little is lost to prove anything: {lost}");
    assert!(put_off > 50, "too little flaps to prove anything: {put_off}");
    assert!(deliveries > 1_000, "the simulation is too quiet to prove anything: {deliveries}");
}
