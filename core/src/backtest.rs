//! What would have been notified: rules, routing and timers over stored samples, under a simulated clock.
//!
//! What is evaluated, stepped, routed, grouped and muted is what the service runs: `rule::evaluate` and `ledger::Alerting`. Time is
//! walked in chunks. Of most rules the values at all slots of a chunk are computed ahead, by one range query instead of many instant
//! ones (`ahead`); of those that read what is only known once alerts have moved, or what a later rule of theirs records, slot by slot
//! (`plan` says which). Then the slots are walked in order of time (`walk`).

mod ahead;
mod cached;
mod difference;
mod night;
mod plan;
mod recorded;
mod report;
mod tally;
mod walk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::ledger::{Alerting, Ledger, Outward, RuleKey, RuleTerms, rule_id};
use crate::model::{Fingerprint, Source};
use crate::plane::{Event, Plane, Records};
use crate::promql::evaluate::{Cancel, Options};
use crate::route::tree::Routing;
use crate::rule::{Environment, RuleGroup};
use crate::time::{Span, Timestamp};

use plan::Plan;
use recorded::Recorded;
use tally::Tally;
use walk::Playing;

pub use cached::cut;
pub use difference::{Difference, RuleDifference, Shift, difference};
pub use night::Night;
pub use report::{FailedRule, Notification, Report, RuleReport, Total};

/// Steps of one chunk of a group; above it a chunk is cut.
const STEPS_MAX: usize = 10_000;
/// Values that a range query of one rule may hold; one that would hold more is cut in two.
const AHEAD_VALUES_MAX: usize = 20_000_000;
/// Samples of recording rules that are held; how many there are follows from how far back rules read them.
const RECORDED_MAX: usize = 100_000_000;
/// Notifications that are kept for the report.
const NOTIFICATIONS_MAX: usize = 1_000_000;

/// Under which configuration rules are played.
#[derive(Clone, Debug)]
pub struct Settings {
    pub options: Options,
    /// Offset and limit are those of each group.
    pub environment: Environment,
    pub outward: Outward,
    pub routing: Arc<Routing>,
    pub night: Night,
}

/// Which time is played. Instants without a slot of theirs are walked too: timers fall due at any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on is counted and told.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Alerts begin, and rules record, so long before `from`.
    pub warm_up: Span,
}

impl Window {
    pub fn begins(&self) -> Timestamp {
        self.from - self.warm_up
    }
}

/// Whose hands do pieces of work that do not depend on each other: all of `0..count` are done when it returns, in any order.
pub type Hands<'h> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + 'h;

/// Does the pieces one after the other.
pub fn one_by_one(count: usize, work: &(dyn Fn(usize) + Sync)) {
    (0..count).for_each(work);
}

/// Why a backtest ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BacktestError {
    #[error("it was broken off")]
    Cancelled,
    #[error(
        "the rules record more than {RECORDED_MAX} samples that later evaluations may read; play fewer rules, or shorten their ranges"
    )]
    TooMuchRecorded,
    #[error("more than {NOTIFICATIONS_MAX} notifications would have been sent; play a shorter time, or fewer rules")]
    TooManyNotifications,
}

/// Returns how long before the first instant of interest rules should be played: until every alert that fires then could have begun,
/// and what rules read of each other is there. What they read of stored samples needs no time, since these are there.
///
/// Shape: the longest `for` with `keep_firing_for`, behind the longest chain of ranges over what rules record, and room for an
/// evaluation and for news to be said again.
pub fn warm_up(groups: &[RuleGroup], options: &Options) -> Span {
    Plan::new(groups, options).warm_up
}

/// Gives groups the file names of their namesakes, so that both are evaluated at the same slots and compare instant by instant.
///
/// A name that stands in several files of `others` says nothing and changes nothing.
pub fn align(groups: &mut [RuleGroup], others: &[RuleGroup]) {
    let taken: Vec<(Arc<str>, String)> = groups.iter().map(|group| (group.file.clone(), group.name.clone())).collect();
    for (index, group) in groups.iter_mut().enumerate() {
        let mut namesakes = others.iter().filter(|other| other.name == group.name);
        let (Some(namesake), None) = (namesakes.next(), namesakes.next()) else { continue };
        let clashes = taken.iter().enumerate().any(|(other, (file, name))| {
            other != index && *name == group.name && (*file == namesake.file || *file == group.file)
        });
        let is_alone = taken.iter().filter(|(_, name)| *name == group.name).count() == 1;
        if is_alone && !clashes {
            group.file = namesake.file.clone();
        }
    }
}

/// One rule of those that are played.
struct Rule {
    group: usize,
    /// Its place in the group.
    index: usize,
    key: RuleKey,
    /// The short name under which groups wait for it.
    id: Fingerprint,
    terms: Arc<RuleTerms>,
}

/// Rules and routing on their walk through time.
pub struct Backtest {
    settings: Settings,
    window: Window,
    groups: Vec<RuleGroup>,
    /// The group's own, for each group.
    environments: Vec<Environment>,
    /// In the order of groups and rules.
    rules: Vec<Rule>,
    /// The numbers of the rules of each group.
    rules_of: Vec<Range<usize>>,
    /// The numbers of rules by their short names.
    ids: BTreeMap<Fingerprint, usize>,
    plan: Plan,
    playing: Vec<Playing>,
    recorded: Recorded,
    alerting: Alerting,
    tally: Tally,
    /// Everything up to here, itself included, has been walked.
    walked: Timestamp,
    /// When the plane has something to do next; None: to be asked.
    deadline: Option<Option<Timestamp>>,
}

impl Backtest {
    pub fn new(groups: Vec<RuleGroup>, settings: Settings, window: Window) -> Backtest {
        let plan = Plan::new(&groups, &settings.options);
        let environments: Vec<Environment> = groups
            .iter()
            .map(|group| Environment { query_offset: group.query_offset, limit: group.limit, ..settings.environment.clone() })
            .collect();
        let url = &settings.environment.external_url;
        let rules: Vec<Rule> = groups
            .iter()
            .enumerate()
            .flat_map(|(number, group)| {
                group.rules.iter().zip(group.ids()).enumerate().map(move |(index, (rule, id))| Rule {
                    group: number,
                    index,
                    id: rule_id(&id),
                    key: Arc::new(id),
                    terms: Arc::new(RuleTerms::new(group, rule, url)),
                })
            })
            .collect();
        let rules_of = (0..groups.len())
            .map(|group| rules.partition_point(|rule| rule.group < group)..rules.partition_point(|rule| rule.group <= group));
        let mut plane = Plane::restore(settings.routing.clone(), url.clone(), Records::default());
        let begins = window.begins();
        // Rules are evaluated before the first notification is due, so nothing has to wait for them; it is never refused.
        let _ = plane.accept(Event::Warm, begins);
        let mut alerting = Alerting { plane, ledger: Ledger::default() };
        let keys: Vec<RuleKey> = rules.iter().map(|rule| rule.key.clone()).collect();
        // There are no alerts yet that could end.
        let _ = alerting.replace_rules(&keys, &[], settings.outward.clone(), begins);
        Backtest {
            recorded: Recorded::new(&groups, begins),
            playing: rules.iter().map(|_| Playing::default()).collect(),
            tally: Tally::new(&rules, &groups, window.from),
            alerting,
            ids: rules.iter().enumerate().map(|(number, rule)| (rule.id, number)).collect(),
            environments,
            rules_of: rules_of.collect(),
            rules,
            plan,
            walked: Timestamp(begins.0 - 1),
            deadline: None,
            settings,
            window,
            groups,
        }
    }

    /// Returns the instant up to which, itself included, all is played.
    pub fn walked(&self) -> Timestamp {
        self.walked
    }

    /// Returns up to where to play next, in chunks of about `chunk`; None: all is played.
    pub fn next(&self, chunk: Span) -> Option<Timestamp> {
        if self.walked >= self.window.to {
            return None;
        }
        let shortest = self.groups.iter().map(|group| group.interval).min().unwrap_or(chunk);
        let most = Span(shortest.0.saturating_mul(STEPS_MAX as i64 - 1));
        Some((self.walked + chunk.min(most).max(Span(1))).min(self.window.to))
    }

    /// Plays on up to and including an instant, over what a source holds.
    ///
    /// Errors: see `BacktestError`; a rule that fails is no error but stands in the report.
    pub fn play(
        &mut self,
        until: Timestamp,
        source: &(dyn Source + Sync),
        cancel: &Cancel,
        hands: &Hands<'_>,
    ) -> Result<(), BacktestError> {
        let columns = self.look_ahead(until, source, cancel, hands)?;
        self.walk(until, columns, source, cancel)?;
        self.walked = until;
        if let Some(reach) = self.plan.reach {
            self.recorded.forget_before(until - reach);
        }
        Ok(())
    }

    /// Returns what would have been notified.
    pub fn finish(self) -> Report {
        let (window, night, routing) = (self.window, self.settings.night, self.settings.routing);
        self.tally.finish(window, night, &routing)
    }
}
