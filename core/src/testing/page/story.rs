//! One test of pages played through: alerts come of rules and posts, timers fall due, and who was told is looked at.

use std::collections::BTreeSet;

use super::check::{Sight, failures};
use super::hold::Holds;
use super::{PageCheck, Posted, Setup};
use crate::ledger::{Alerting, Judged, Ledger, NEVER, Outward};
use crate::model::LabelSet;
use crate::plane::{Change, Delivery, Event, Plane, Records, Refused};
use crate::promql::evaluate::Cancel;
use crate::route::alert::IncomingAlert;
use crate::route::dispatch::Tree;
use crate::rule::grounds::Ground;
use crate::rule::{Active, RuleGroup};
use crate::testing::world::{PlayedRule, World, in_order};
use crate::testing::{Failure, Outcome, Settings, Test, TestFile, What};
use crate::time::{Span, Timestamp};

/// As the API names who posts an alert.
const POST_SOURCE: &str = "api";

/// Runs what the tests of a file say of pages, over the groups of its rule files. Tests that say nothing of them are left out.
pub fn run(file: &TestFile, groups: &[RuleGroup], setup: &Setup, settings: &Settings, cancel: &Cancel) -> Vec<Outcome> {
    let groups = in_order(file, groups);
    let play = |test: &Test| {
        let mut test = test.clone();
        if test.external_labels.is_empty() {
            test.external_labels = setup.outward.external_labels.clone();
        }
        let mut story = Story {
            setup,
            interval: file.interval,
            test: &test,
            world: World::new(file, &test, &groups, settings, cancel),
            alerting: alerting(&test, setup),
            tree: Tree::new(&setup.routing.tree()),
            told: Vec::new(),
            fired: BTreeSet::new(),
            holds: Holds::default(),
            failures: Vec::new(),
        };
        story.play();
        let checks = test.scene.checks.iter().map(|check| check.expectations.len()).sum();
        Outcome { title: test.title(), position: test.position, checks, failures: story.failures }
    };
    file.tests.iter().filter(|test| test.has_pages()).map(play).collect()
}

fn alerting(test: &Test, setup: &Setup) -> Alerting {
    let mut ledger = Ledger::default();
    ledger.set_outward(Outward { external_labels: test.external_labels.clone(), ..setup.outward.clone() });
    Alerting { plane: Plane::restore(setup.routing.clone(), &test.external_url, Records::default()), ledger }
}

struct Story<'t> {
    setup: &'t Setup,
    interval: Span,
    test: &'t Test,
    world: World<'t>,
    alerting: Alerting,
    tree: Tree,
    told: Vec<Delivery>,
    /// The labels of every alert that has fired, as routing saw it.
    fired: BTreeSet<LabelSet>,
    holds: Holds,
    failures: Vec<Failure>,
}

impl Story<'_> {
    /// Goes from one instant at which something comes from outside to the next. What comes at an instant is known to the timers that
    /// fall due at it, and these have run when it is looked at what was told.
    fn play(&mut self) {
        let test = self.test;
        let mut checks: Vec<&PageCheck> = test.scene.checks.iter().collect();
        checks.sort_by_key(|check| check.at);
        let last = checks.last().map_or(Span::ZERO, |check| check.at);
        let (mut checks, mut posts) = (checks.into_iter().peekable(), posts(&test.scene.posts).into_iter().peekable());
        if let Err(what) = self.begin() {
            return self.end(vec![what]);
        }
        let mut step = Span::ZERO;
        loop {
            let waiting = [posts.peek().map(|(at, _)| *at), checks.peek().map(|check| check.at)];
            let now = waiting.into_iter().flatten().fold(step, Span::min);
            if now > last {
                return;
            }
            self.pass(Span(now.0 - 1));
            while let Some((at, news)) = posts.next_if(|(at, _)| *at == now) {
                if let Err(what) = self.post(at, news) {
                    return self.end(vec![what]);
                }
            }
            if now == step {
                let alerting = &mut self.alerting;
                if let Err(failures) =
                    self.world.step(now, &mut |rule, active, ground, at| judge(alerting, rule, active, ground, at))
                {
                    return self.end(failures);
                }
                step = step + self.interval;
            }
            self.pass(now);
            while let Some(check) = checks.next_if(|check| check.at == now) {
                self.look(check);
            }
        }
    }

    fn end(&mut self, failures: Vec<What>) {
        let position = self.test.position;
        self.failures.extend(failures.into_iter().map(|what| Failure { position, what }));
    }

    fn begin(&mut self) -> Result<(), What> {
        self.accept(Event::Warm, Span::ZERO, "the start")?;
        for silence in &self.test.scene.silences {
            self.accept(Event::SilenceSet(silence.clone()), Span::ZERO, &silence.new_id)?;
        }
        Ok(())
    }

    fn accept(&mut self, event: Event, at: Span, what: &str) -> Result<(), What> {
        let reply = self.alerting.plane.accept(event, self.test.start + at);
        let refused = |refused: Refused| What::Refused { what: what.to_owned(), at, reason: refused.to_string() };
        match reply.map_err(refused)? {
            crate::plane::Reply::Alerts { refused, .. } => match refused.into_iter().next() {
                Some((_, bad)) => Err(What::Refused { what: what.to_owned(), at, reason: bad.to_string() }),
                None => Ok(()),
            },
            crate::plane::Reply::Silence { .. }
            | crate::plane::Reply::Page(_)
            | crate::plane::Reply::Lost(_)
            | crate::plane::Reply::Done => Ok(()),
        }
    }

    fn post(&mut self, at: Span, news: News<'_>) -> Result<(), What> {
        let News { posted, ends } = news;
        let start = self.test.start;
        let alert = IncomingAlert {
            labels: posted.labels.clone(),
            annotations: posted.annotations.clone(),
            starts_at: Some(start + posted.from),
            ends_at: Some(if ends { start + at } else { NEVER }),
            generator_url: String::new(),
            source: POST_SOURCE.to_owned(),
        };
        let what = format!("alert {}", posted.labels);
        self.accept(Event::Alerts(vec![alert]), at, &what)
    }

    /// Lets time pass up to and including an instant, ticking at each deadline.
    fn pass(&mut self, until: Span) {
        let (mut now, until) = (Timestamp::MIN, self.test.start + until);
        self.take_down(until);
        while let Some(deadline) = self.alerting.plane.next_deadline().filter(|deadline| *deadline <= until) {
            now = now.max(deadline);
            self.alerting.plane.tick(now);
            self.take_down(now);
        }
    }

    fn take_down(&mut self, now: Timestamp) {
        for change in self.alerting.plane.drain() {
            match change {
                Change::Deliver(delivery) => self.told.push(delivery),
                Change::PutAlert(alert) if alert.is_firing(now) => {
                    self.fired.insert(alert.labels);
                }
                Change::Trace(change) => self.holds.note(change),
                Change::PutAlert(_)
                | Change::DropAlert(_)
                | Change::AddExtension(_)
                | Change::DropExtensions
                | Change::PutFlap(_)
                | Change::DropFlap(_)
                | Change::PutGroup(_)
                | Change::DropGroup(_)
                | Change::PutSilence(_)
                | Change::DropSilence(_)
                | Change::PutPage(_)
                | Change::DropPage(_) => {}
            }
        }
    }

    fn look(&mut self, check: &PageCheck) {
        let sight = Sight {
            plane: &self.alerting.plane,
            ledger: &self.alerting.ledger,
            routing: &self.setup.routing,
            tree: &self.tree,
            told: &self.told,
            fired: &self.fired,
            holds: &self.holds,
            start: self.test.start,
        };
        self.failures.extend(failures(check, &sight));
    }
}

/// The begin or the end of an alert that is posted.
#[derive(Clone, Copy)]
struct News<'t> {
    posted: &'t Posted,
    ends: bool,
}

/// Returns the begins and ends of posts in order of time; at one instant ends come first.
fn posts(posts: &[Posted]) -> Vec<(Span, News<'_>)> {
    let begins = posts.iter().map(|posted| (posted.from, News { posted, ends: false }));
    let ends = posts.iter().filter_map(|posted| Some((posted.to?, News { posted, ends: true })));
    let mut all: Vec<(Span, News<'_>)> = ends.chain(begins).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Hands what a rule found to the ledger and to routing; returns the series of its alerts.
fn judge(
    alerting: &mut Alerting,
    played: &PlayedRule<'_>,
    active: Vec<Active>,
    ground: &Ground<'_>,
    at: Timestamp,
) -> Result<Vec<(LabelSet, f64)>, String> {
    let known = alerting.ledger.active_of(&played.key);
    let unseen = played.rule.unseen(known, &active, ground).map_err(|error| error.to_string())?;
    let judged = Judged { rule: played.key.clone(), terms: played.terms.clone(), active, unseen, at, early: false };
    let outcome = alerting.judge(judged, at);
    if let Some(lost) = outcome.lost {
        return Err(lost.to_string());
    }
    match outcome.refused.first() {
        Some(refused) => Err(refused.to_string()),
        None => Ok(alerting.ledger.series(&played.key)),
    }
}
