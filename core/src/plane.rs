//! The alerting plane: alerts in, deliveries and pages out, as one machine without clock or I/O.
//!
//! The edge feeds events to `accept`, calls `tick` when `next_deadline` has come, stores what `drain` returns in one transaction,
//! and only then lets deliveries go. After a crash, `restore` goes on from what was stored.
//!
//! A delivery that is stored counts as told; trying until it arrives is the outbox's work. Of outcomes the plane hears one: that a delivery
//! is lost, and what it told has to be told again.

mod change;
mod duty;
mod extension;
mod flap;
mod flush;
mod homes;
mod lost;
mod membership;
mod people;
mod silencing;
mod view;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::Fingerprint;
use crate::page::Page;
use crate::route::alert::{Alert, BadAlert, IncomingAlert};
use crate::route::dispatch::Tree;
use crate::route::dispatch::group::{Group, GroupId};
use crate::route::inhibition::Inhibitor;
use crate::route::silence::{BadSilence, SilenceRequest, Silences};
use crate::route::tree::Routing;
use crate::time::{Span, Timestamp};
use crate::trace::{AlertStep, Lost, Routes, Tracer};

use extension::Extensions;
use flap::Flaps;
use homes::Homes;
use silencing::Waiting;
use witness::Witnesses;

pub use crate::route::message::Action;
pub use change::{Change, DELIVERY_LIFE, Delivery, Records};
pub use duty::{Duties, Duty};
pub use extension::Extension;
pub use flap::{FLAPPING, Flap};
pub use silencing::Reminder;
pub use view::{AlertState, AlertView, Counts, GroupView};
pub use witness::ANSWERS_MAX;

/// After a start, notifications wait at most this long for our own rules to be evaluated once, so that inhibitors exist.
pub const WARM_UP_MAX: Span = Span::from_secs(60);

/// A resolved page is remembered this long.
const PAGE_RETENTION: Span = Span::from_mins(30 * 24 * 60);

/// How much the plane holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub alerts: usize,
    pub groups: usize,
    pub silences: usize,
    /// Above this the oldest resolved pages are forgotten before their time; open pages never are.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { alerts: 100_000, groups: 50_000, silences: 10_000, pages: 10_000 }
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    Alerts(Vec<IncomingAlert>),
    SilenceSet(SilenceRequest),
    SilenceExpire {
        id: String,
        /// Who ends it, as they had signed in.
        by: Option<String>,
    },
    Acknowledge {
        page: String,
        by: String,
    },
    Unacknowledge {
        page: String,
        by: String,
    },
    Reload(Arc<Routing>),
    /// A delivery has ended, and nobody has heard it: it was refused, or its time is over.
    Undelivered(Box<Delivery>),
    /// Our own rule groups have all been evaluated since the start.
    Warm,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Good alerts are taken even where others of the same post are refused. An alert that is only held, for want of room among the
    /// groups, counts as refused.
    Alerts {
        accepted: usize,
        refused: Vec<(Fingerprint, BadAlert)>,
    },
    /// The id under which the silence is found from now on; a changed silence may have a new one.
    Silence {
        id: String,
    },
    Page(Box<Page>),
    /// What becomes of what a lost delivery told; None: nothing of it is left to be told.
    Lost(Option<Box<Lost>>),
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Silence(#[from] BadSilence),
    #[error("there is no page {0:?}")]
    UnknownPage(String),
    #[error("page {id:?} is resolved already")]
    PageResolved { id: String },
    #[error("page {id:?} was acknowledged by {by} at {at}")]
    AlreadyAcknowledged { id: String, by: String, at: Timestamp },
    #[error("page {id:?} is not acknowledged")]
    NotAcknowledged { id: String },
    #[error("a person's name holds at most {limit} bytes and at least one")]
    BadName { limit: usize },
}

/// The machine. See the head of this file.
#[derive(Debug)]
pub struct Plane {
    routing: Arc<Routing>,
    tree: Tree,
    external_url: String,
    limits: Limits,
    alerts: BTreeMap<Fingerprint, Alert>,
    extensions: Extensions,
    flaps: Flaps,
    homes: Homes,
    /// Alerts that no group has room for.
    loose: BTreeSet<Fingerprint>,
    groups: BTreeMap<GroupId, Group>,
    silences: Silences,
    waiting: Waiting,
    inhibitor: Inhibitor,
    pages: BTreeMap<String, Page>,
    /// The one page of a group that is open; follows from `pages`.
    open_pages: BTreeMap<GroupId, String>,
    gate: Gate,
    /// How often the routes have changed.
    generation: u64,
    witnesses: Witnesses,
    tracer: Tracer,
    /// The last instant at which anything was said or ticked.
    heard_at: Timestamp,
    unsaved: Unsaved,
}

/// What keeps notifications back after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Nothing has happened yet, so the time of the start is not known.
    Fresh {
        alive_at: Option<Timestamp>,
    },
    Cold {
        since: Timestamp,
        until: Timestamp,
    },
    Open,
}

/// What has changed since the last `drain`.
#[derive(Debug, Default)]
struct Unsaved {
    alerts: BTreeSet<Fingerprint>,
    groups: BTreeSet<GroupId>,
    silences: BTreeSet<String>,
    pages: BTreeSet<String>,
    deliveries: Vec<Delivery>,
}

impl Plane {
    /// Returns the machine that goes on from what another one stored; empty records make a new one.
    ///
    /// Records of groups and pages that the configuration does not know any more are kept until their alerts have ended.
    pub fn restore(routing: Arc<Routing>, external_url: impl Into<String>, records: Records) -> Plane {
        let alive_at = records.alive_at.or_else(|| records.alerts.iter().map(|alert| alert.updated_at).max());
        let (silences, ended) = Silences::from_records(records.silences, records.tombstones);
        let mut plane = Plane {
            tree: Tree::new(&routing.tree()),
            inhibitor: Inhibitor::new(&routing.inhibitions),
            routing,
            external_url: external_url.into(),
            limits: Limits::default(),
            alerts: BTreeMap::new(),
            extensions: Extensions::default(),
            flaps: Flaps::restore(records.flaps),
            homes: Homes::default(),
            loose: BTreeSet::new(),
            groups: records.groups.into_iter().map(|group| (group.id.clone(), group)).collect(),
            silences,
            waiting: Waiting::new(),
            pages: records.pages.into_iter().map(|page| (page.id.clone(), page)).collect(),
            open_pages: BTreeMap::new(),
            gate: Gate::Fresh { alive_at },
            generation: 0,
            witnesses: Witnesses::default(),
            tracer: Tracer::new(records.trace),
            heard_at: Timestamp::MIN,
            unsaved: Unsaved { silences: ended.into_iter().collect(), ..Unsaved::default() },
        };
        for alert in records.alerts {
            plane.inhibitor.add(&alert);
            plane.alerts.insert(alert.fingerprint, alert);
        }
        plane.extensions = Extensions::restore(records.extensions, &mut plane.alerts);
        plane.rejoin();
        plane.index_homes();
        let open = plane.pages.values().filter(|page| page.is_open());
        plane.open_pages = open.map(|page| (page.group.clone(), page.id.clone())).collect();
        plane
    }

    /// Sets other limits than the default ones.
    pub fn with_limits(mut self, limits: Limits) -> Plane {
        self.limits = limits;
        self
    }

    /// Takes in an event. Nothing leaves before the next `tick`; what is to be stored waits for `drain` either way.
    ///
    /// Errors: the event is refused as a whole and has changed nothing; bad alerts of a post are listed in the reply instead.
    pub fn accept(&mut self, event: Event, now: Timestamp) -> Result<Reply, Refused> {
        self.wake(now);
        match event {
            Event::Alerts(alerts) => Ok(self.take_alerts(alerts, now)),
            Event::SilenceSet(request) => self.set_silence(request, now),
            Event::SilenceExpire { id, by } => self.expire_silence(&id, by, now),
            Event::Acknowledge { page, by } => self.acknowledge(&page, &by, now),
            Event::Unacknowledge { page, by } => self.unacknowledge(&page, &by, now),
            Event::Reload(routing) => {
                self.reload(routing, now);
                Ok(Reply::Done)
            }
            Event::Undelivered(delivery) => {
                let lost = self.take_back(&delivery, now).map(Box::new);
                if let Some(lost) = &lost {
                    self.tracer.lost(lost.as_ref().clone(), now);
                }
                Ok(Reply::Lost(lost))
            }
            Event::Warm => {
                self.open(now);
                Ok(Reply::Done)
            }
        }
    }

    /// Does everything that has fallen due. Timers that fell due long ago fire once.
    pub fn tick(&mut self, now: Timestamp) {
        self.wake(now);
        if let Gate::Cold { until, .. } = self.gate {
            if now < until {
                return;
            }
            self.open(now);
        }
        self.calm(now);
        self.end_resolved_silences(now);
        self.flush_due(now);
        self.unsaved.silences.extend(self.silences.forget(now));
        self.forget_pages(now);
        self.forget_loose_alerts(now);
    }

    /// Returns when `tick` has something to do next; an instant in the past means at once. None: nothing waits.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.gate {
            Gate::Fresh { .. } => Some(Timestamp::MIN),
            Gate::Cold { until, .. } => Some(until),
            Gate::Open => {
                let old_page = self.pages.values().filter_map(|page| page.resolved_at).min();
                let old_page = old_page.map(|at| at + PAGE_RETENTION);
                let silences = [self.silences.next_deadline(), self.next_silence_end()];
                let all = [self.next_flush(), old_page, self.next_loose_end(), self.next_calm()];
                let all = all.into_iter().chain(silences);
                all.flatten().min()
            }
        }
    }

    /// Takes out what is to be stored since the last call: first the state, then the deliveries in order.
    ///
    /// If storing fails, throw the plane away and restore another one from what is stored.
    pub fn drain(&mut self) -> Vec<Change> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let mut changes = self.extensions.drain(&unsaved.alerts, &self.alerts);
        for fingerprint in unsaved.alerts {
            changes.push(match self.alerts.get(&fingerprint) {
                Some(alert) => Change::PutAlert(alert.clone()),
                None => Change::DropAlert(fingerprint),
            });
        }
        changes.extend(self.flaps.drain());
        for id in unsaved.silences {
            changes.push(match self.silences.get(&id) {
                Some(silence) => Change::PutSilence(silence.clone()),
                None => Change::DropSilence(id),
            });
        }
        for id in unsaved.pages {
            changes.push(match self.pages.get(&id) {
                Some(page) => Change::PutPage(page.clone()),
                None => Change::DropPage(id),
            });
        }
        for id in unsaved.groups {
            changes.push(match self.groups.get_mut(&id) {
                Some(group) => {
                    group.recorded_at = self.heard_at;
                    Change::PutGroup(group.clone())
                }
                None => Change::DropGroup(id),
            });
        }
        changes.extend(unsaved.deliveries.into_iter().map(Change::Deliver));
        changes.extend(self.tracer.drain().into_iter().map(Change::Trace));
        changes
    }

    /// Returns whether nothing waits for `drain`.
    pub fn is_drained(&self) -> bool {
        let Unsaved { alerts, groups, silences, pages, deliveries } = &self.unsaved;
        self.extensions.is_drained()
            && self.flaps.is_drained()
            && self.tracer.is_drained()
            && alerts.is_empty()
            && groups.is_empty()
            && silences.is_empty()
            && pages.is_empty()
            && deliveries.is_empty()
    }

    /// Returns since when and until when, at the latest, nobody is told of anything after the start; None: people are told.
    pub fn closed(&self) -> Option<(Timestamp, Timestamp)> {
        match self.gate {
            Gate::Cold { since, until } => Some((since, until)),
            Gate::Fresh { .. } | Gate::Open => None,
        }
    }

    /// Returns whether notifications are no longer held back after the start.
    pub fn is_warm(&self) -> bool {
        self.gate == Gate::Open
    }

    /// Learns the time of the start from the first event.
    fn wake(&mut self, now: Timestamp) {
        self.heard_at = now;
        let Gate::Fresh { alive_at } = self.gate else { return };
        self.gate = Gate::Cold { since: now, until: now + WARM_UP_MAX };
        self.tracer.routes(Routes::new(&self.routing), now);
        if let Some(alive_at) = alive_at {
            self.bridge_outage(alive_at, now);
        }
        self.heed_flapping(now);
        self.reconcile(now, membership::Timers::Keep);
    }

    fn open(&mut self, now: Timestamp) {
        if let Gate::Cold { since, .. } = self.gate {
            self.tracer.opened(since, now);
        }
        self.gate = Gate::Open;
    }

    /// Takes down what became of an alert, for those who ask later.
    pub fn trace(&mut self, step: AlertStep) {
        self.tracer.step(step);
    }

    /// While nobody listened, senders could not say that their alerts go on; those get time to say it now.
    fn bridge_outage(&mut self, alive_at: Timestamp, now: Timestamp) {
        for alert in self.alerts.values_mut() {
            let said = self.flaps.as_said(alert);
            // An end that was said is no end by silence.
            let was_ended = said.ends_at <= said.updated_at;
            if said.is_firing(alive_at) && !said.is_firing(now) && !was_ended {
                alert.ends_at = self.flaps.put_off(alert.fingerprint, now + self.routing.resolve_timeout);
                alert.timeout_derived = true;
                self.unsaved.alerts.insert(alert.fingerprint);
            }
        }
    }

    /// Returns whether an alert is held and has not ended.
    pub fn is_firing(&self, fingerprint: Fingerprint, now: Timestamp) -> bool {
        self.alerts.get(&fingerprint).is_some_and(|alert| alert.is_firing(now))
    }

    /// Forgets pages that were resolved long ago, and the oldest of them early where there are too many.
    fn forget_pages(&mut self, now: Timestamp) {
        let surplus = self.pages.len().saturating_sub(self.limits.pages);
        let is_old = |at: Timestamp| at + PAGE_RETENTION <= now;
        // Mostly there is nothing to forget, and this is asked at every tick.
        if surplus == 0 && !self.pages.values().filter_map(|page| page.resolved_at).any(is_old) {
            return;
        }
        let mut resolved: Vec<(Timestamp, String)> =
            self.pages.values().filter_map(|page| Some((page.resolved_at?, page.id.clone()))).collect();
        resolved.sort();
        for (index, (at, id)) in resolved.into_iter().enumerate() {
            if index < surplus || is_old(at) {
                self.pages.remove(&id);
                self.unsaved.pages.insert(id);
            }
        }
    }
}
