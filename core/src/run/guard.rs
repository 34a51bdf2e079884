//! Guards: what must hold before a run begins, as one function. A replay of history asks the same function with recorded facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::{Action, Approvals, NoData, OnExpire, Slot};
use super::history::{Ended, effective_mode, failed_in_a_row};
use super::inventory::Inventory;
use super::plan::Class;
use super::record::{ApprovalRow, RateEntry, RunRow, TriggerKind, Vote, WaitFor, Wanted};
use super::request::{About, Scope};
use super::runbook::{Budget, FreezePolicy, KeyPart, Mode, OnBusy, Runbook, admits, hex};
use super::study::{ENVIRONMENT, PRODUCTION};
use super::value::Value;
use crate::access::Role;
use crate::time::{Span, Timestamp};

/// A run for the same document that failed this often in a row is left to people.
pub const FAILED_MAX: usize = 2;
/// A wait for a lock or the end of a freeze ends in refusal after this.
pub const QUEUE_MAX: Span = Span::from_mins(60);
const DAY: Span = Span::from_mins(24 * 60);

/// The guards, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    Schema,
    Role,
    KillSwitch,
    Freeze,
    Ladder,
    OpenPage,
    Budget,
    Targets,
    Lock,
    Rate,
    Precheck,
    Approvals,
    Lease,
}

impl Guard {
    pub fn word(self) -> &'static str {
        match self {
            Guard::Schema => "schema",
            Guard::Role => "role",
            Guard::KillSwitch => "kill_switch",
            Guard::Freeze => "freeze",
            Guard::Ladder => "ladder",
            Guard::OpenPage => "open_page",
            Guard::Budget => "budget",
            Guard::Targets => "targets",
            Guard::Lock => "lock",
            Guard::Rate => "rate",
            Guard::Precheck => "precheck",
            Guard::Approvals => "approvals",
            Guard::Lease => "lease",
        }
    }
}

/// What the world looks like now. What is not known is absent, and absent never means yes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Who pulled the kill switch of the platform or the global one, and why.
    pub kill: Option<String>,
    pub freeze: Option<Freeze>,
    /// When the same document last succeeded in staging.
    pub staging_passed_at: Option<Timestamp>,
    /// Open pages of the platform; none: not known.
    pub open_pages: Option<u32>,
    /// The share of the error budget that is left.
    pub budget_remaining: Option<f64>,
    /// How long everything may fail until the whole error budget is spent: the window times what the target allows.
    #[serde(default)]
    pub budget_outage: Option<Span>,
    pub inventory: Inventory,
    /// Which run holds the lock.
    pub lock_holder: Option<String>,
    /// The keys under which the ledger was looked up.
    pub rate_keys: Vec<String>,
    /// Entries of the ledger under these keys.
    pub rates: Vec<RateEntry>,
    /// Values of expressions, by their text; one that cannot be told is NaN.
    pub values: BTreeMap<String, f64>,
    /// Runs of this document that have ended, oldest first.
    pub history: Vec<Ended>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub reason: String,
    pub until: Option<Timestamp>,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {reason}", guard.word())]
pub struct Refusal {
    pub guard: Guard,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Pass(Cleared),
    Refuse(Refusal),
    Wait { on: WaitFor, reason: String, cleared: Cleared },
}

/// What the guards have settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    pub targets: Vec<String>,
    pub rate_keys: Vec<String>,
    /// What approvals must be bound to.
    pub subject_hash: String,
    /// Approvals that are needed.
    pub needed: usize,
}

/// Returns what approvals are bound to: any other document, value or target voids them.
pub fn subject_hash(run: &RunRow, targets: &[String], step: &str) -> String {
    let mut hash = Sha256::new();
    let params = serde_json::to_string(&run.params).expect("values are JSON");
    let targets = serde_json::to_string(targets).expect("names are JSON");
    for part in [run.doc_hash.as_str(), &params, &targets, step] {
        // Lengths keep parts apart, so that no two subjects have one text.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Returns why a vote does not count; none: it does.
pub fn vote_fault(run: &RunRow, approvals: &Approvals, who: &str, role: Role) -> Option<String> {
    if who == run.starter && approvals.not_starter {
        return Some(format!("{who} started the run and cannot approve it"));
    }
    if who == run.editor {
        return Some(format!("{who} edited the document last and cannot approve it"));
    }
    let may = if approvals.roles.is_empty() { role == Role::SreLead } else { approvals.roles.contains(&role) };
    (!may).then(|| format!("a {} cannot approve this run", role.word()))
}

/// Returns the approvals that a run needs in its mode, when it needs any.
pub fn approvals_needed(runbook: &Runbook, run: &RunRow, facts: &Facts, now: Timestamp) -> Option<Approvals> {
    let mut approvals = runbook.guards.approvals.clone();
    let mode = effective_mode(runbook, run.mode, &facts.history, now);
    let overrides_freeze = facts.freeze.is_some() && runbook.guards.freeze == FreezePolicy::OverrideWithApproval;
    // A person who starts a run by hand has decided, and so has whoever let the calling run through; a trigger has not.
    let decided = run.starter_role.is_some() || run.trigger_kind == TriggerKind::Run;
    let needs_one = overrides_freeze || (mode == Mode::Approve && !decided);
    if needs_one {
        let least = approvals.get_or_insert(default_approvals());
        least.count = least.count.max(1);
    }
    approvals.filter(|approvals| approvals.count > 0)
}

/// Returns what is asked for where the document says nothing.
pub fn default_approvals() -> Approvals {
    Approvals { count: 1, roles: Vec::new(), not_starter: true, expires: Span::from_mins(10), on_expire: OnExpire::Escalate }
}

/// Returns the key under which runs are counted; an error names the part that has no value.
fn cooldown_key(parts: &[KeyPart], run: &RunRow, targets: &[String]) -> Result<String, String> {
    let mut key = Vec::new();
    for part in parts {
        key.push(match part {
            KeyPart::Runbook => run.doc_id.clone(),
            KeyPart::Platform => run.platform.clone(),
            KeyPart::Target => targets.join(","),
            KeyPart::Param(name) => run.params.get(name).map(Value::text).ok_or(format!("there is no parameter {name:?}"))?,
            KeyPart::Label(name) => run
                .trigger_labels
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
                .ok_or(format!("the alert has no label {name:?}, so runs cannot be counted"))?,
        });
    }
    // JSON, so that no value can look like two.
    Ok(format!("cooldown:{}", serde_json::to_string(&key).expect("texts are JSON")))
}

fn daily_key(run: &RunRow) -> String {
    format!("daily:{}", run.doc_id)
}

/// Returns what must be known before `judge` can be asked.
pub fn wanted(runbook: &Runbook, run: &RunRow) -> Wanted {
    let guards = &runbook.guards;
    let mut queries: Vec<String> = Vec::new();
    let none = BTreeMap::new();
    let scope = Scope { params: &run.params, saved: &BTreeMap::new(), labels: &none, idem_key: "", run: About::row(run) };
    queries.extend(guards.precheck.iter().filter_map(|condition| scope.expression(condition).ok()));
    queries.extend(guards.blast.max_change.iter().map(|change| change.of.clone()));
    let targets = run.targets.clone();
    let cooldown = guards.cooldown.iter().filter_map(|cooldown| cooldown_key(&cooldown.key, run, &targets).ok());
    Wanted {
        lock: guards.lock.as_ref().map(|lock| lock.key.clone()),
        rate_keys: cooldown.chain(guards.daily_max.iter().map(|_| daily_key(run))).collect(),
        slo: guards.budget.as_ref().map(|budget| budget.slo.clone()),
        queries,
    }
}

/// Refuses what would spend too much of the error budget, should everything fail while it lasts.
fn predicted(budget: &Budget, facts: &Facts) -> Result<(), Stop> {
    let Some(predicted) = &budget.predicted else { return Ok(()) };
    match facts.budget_outage.filter(|whole| *whole > Span::ZERO) {
        Some(whole) => {
            let share = predicted.outage.0 as f64 / whole.0 as f64;
            if share <= predicted.at_most {
                return Ok(());
            }
            let (share, at_most) = (share * 100.0, predicted.at_most * 100.0);
            refuse(Guard::Budget, format!("{share:.1} % of the error budget may be spent; {at_most:.1} % are allowed"))
        }
        None => refuse(Guard::Budget, format!("it is not known how much of the error budget of {} may be spent", budget.slo)),
    }
}

/// What is judged.
pub struct Asked<'a> {
    pub runbook: &'a Runbook,
    pub run: &'a RunRow,
    pub approvals: &'a [ApprovalRow],
}

/// Returns whether a run may begin, or the first guard that stands in the way.
pub fn judge(asked: &Asked<'_>, facts: &Facts, now: Timestamp) -> Verdict {
    let mut cleared = Cleared::default();
    match asked.judge(facts, now, &mut cleared) {
        Ok(()) => Verdict::Pass(cleared),
        Err(Stop::Refuse(guard, reason)) => Verdict::Refuse(Refusal { guard, reason }),
        Err(Stop::Wait(on, reason)) => Verdict::Wait { on, reason, cleared },
    }
}

enum Stop {
    Refuse(Guard, String),
    Wait(WaitFor, String),
}

fn refuse<T>(guard: Guard, reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refuse(guard, reason.into()))
}

impl Asked<'_> {
    fn judge(&self, facts: &Facts, now: Timestamp, cleared: &mut Cleared) -> Result<(), Stop> {
        self.schema()?;
        self.role()?;
        if let Some(why) = &facts.kill {
            return refuse(Guard::KillSwitch, format!("the kill switch is on: {why}"));
        }
        self.freeze(facts)?;
        self.ladder(facts, now)?;
        self.open_page(facts)?;
        self.budget(facts)?;
        cleared.targets = self.targets(facts)?;
        cleared.subject_hash = subject_hash(self.run, &cleared.targets, "");
        self.lock(facts)?;
        cleared.rate_keys = self.rate(facts, &cleared.targets, now)?;
        self.precheck(facts)?;
        self.approvals(facts, cleared, now)?;
        self.lease(now)
    }

    fn schema(&self) -> Result<(), Stop> {
        if self.run.doc_hash != self.runbook.hash() {
            return refuse(Guard::Schema, "the run was asked for another version of the document");
        }
        match self.run.mode {
            Mode::Disabled => refuse(Guard::Schema, "the trigger is disabled"),
            Mode::Suggest if self.run.starter_role.is_none() => refuse(Guard::Schema, "the trigger only suggests the run"),
            Mode::Suggest | Mode::Approve | Mode::Auto => Ok(()),
        }
    }

    fn role(&self) -> Result<(), Stop> {
        match self.run.starter_role {
            // A trigger of the document itself, or a run that was let through.
            None if self.run.trigger_kind != TriggerKind::Manual => Ok(()),
            None => refuse(Guard::Role, "nobody is named who starts the run"),
            Some(role) if !admits(self.runbook.class, role) => {
                refuse(Guard::Role, format!("a {} may not run what is {}", role.word(), self.runbook.class.word()))
            }
            Some(role) if self.run.trigger_kind == TriggerKind::Manual && !self.runbook.may_start(role) => {
                refuse(Guard::Role, format!("the document lets no {} start it by hand", role.word()))
            }
            Some(_) => Ok(()),
        }
    }

    fn freeze(&self, facts: &Facts) -> Result<(), Stop> {
        let Some(freeze) = &facts.freeze else { return Ok(()) };
        match self.runbook.guards.freeze {
            // Reading harms nothing, frozen or not.
            _ if self.runbook.class == Class::Read => Ok(()),
            FreezePolicy::Honour => refuse(Guard::Freeze, format!("changes are frozen: {}", freeze.reason)),
            FreezePolicy::Wait if self.run.dry_run => refuse(Guard::Freeze, format!("changes are frozen: {}", freeze.reason)),
            FreezePolicy::Wait => Err(Stop::Wait(WaitFor::Window, format!("changes are frozen: {}", freeze.reason))),
            FreezePolicy::OverrideWithApproval => Ok(()),
        }
    }

    fn ladder(&self, facts: &Facts, now: Timestamp) -> Result<(), Stop> {
        let Some(within) = self.runbook.guards.staging_passed_within else { return Ok(()) };
        // A study that may run in both places has the ladder for the upper one.
        if self.runbook.study.is_some() && self.environment() != Some(PRODUCTION) {
            return Ok(());
        }
        match facts.staging_passed_at {
            Some(at) if at <= now && now - at <= within => Ok(()),
            Some(at) => refuse(Guard::Ladder, format!("it last passed in staging at {at}, longer ago than {within}")),
            None => refuse(Guard::Ladder, "it has not passed in staging"),
        }
    }

    fn environment(&self) -> Option<&str> {
        match self.run.params.get(ENVIRONMENT) {
            Some(Value::Word(word)) => Some(word),
            Some(_) | None => None,
        }
    }

    fn open_page(&self, facts: &Facts) -> Result<(), Stop> {
        if !self.runbook.guards.no_open_page {
            return Ok(());
        }
        match facts.open_pages {
            Some(0) => Ok(()),
            Some(count) => refuse(Guard::OpenPage, format!("{count} pages of the platform are open")),
            None => refuse(Guard::OpenPage, "it is not known whether pages are open"),
        }
    }

    fn budget(&self, facts: &Facts) -> Result<(), Stop> {
        let Some(budget) = self.runbook.guards.budget.as_ref().filter(|budget| !budget.allow_exhausted) else { return Ok(()) };
        match facts.budget_remaining.filter(|left| !left.is_nan()) {
            Some(left) if left > 0.0 && left >= budget.remaining_at_least => predicted(budget, facts),
            Some(left) => refuse(
                Guard::Budget,
                format!(
                    "{:.1} % of the error budget of {} are left; {:.1} % are needed",
                    left * 100.0,
                    budget.slo,
                    budget.remaining_at_least * 100.0
                ),
            ),
            None => refuse(Guard::Budget, format!("the error budget of {} is not known", budget.slo)),
        }
    }

    fn targets(&self, facts: &Facts) -> Result<Vec<String>, Stop> {
        let (guards, run) = (&self.runbook.guards, self.run);
        let own = |name: &str| facts.inventory.items.iter().any(|item| item.name == name && item.control_plane);
        if self.runbook.class > Class::Read
            && let Some(Value::Name(name)) = run.params.values().find(|value| matches!(value, Value::Name(name) if own(name)))
        {
            return refuse(Guard::Targets, format!("{name:?} is part of the control plane, which is never a target"));
        }
        for action in self.runbook.plan.actions() {
            let (kind, name) = match action {
                Action::ProcSignal { process: Slot::Text(name), .. } => ("process", name),
                Action::Proxy { proxy: Slot::Text(name), .. } => ("proxy", name),
                Action::PgPromote { source, .. } => ("database", source),
                _ => continue,
            };
            if !facts.inventory.has(kind, name) {
                return refuse(Guard::Targets, format!("no {kind} of the inventory is called {name:?}"));
            }
            if own(name) {
                return refuse(Guard::Targets, format!("{name:?} is part of the control plane, which is never a target"));
            }
            if let Some(place) = self.environment().filter(|_| self.runbook.study.is_some())
                && facts.inventory.label(kind, name, ENVIRONMENT) != Some(place)
            {
                return refuse(Guard::Targets, format!("{name:?} does not belong to {place}"));
            }
        }
        let targets = match &self.runbook.selection(&run.params) {
            None => Vec::new(),
            Some(selection) => {
                let named = selection.param.as_ref().and_then(|name| run.params.get(name)).map(Value::text);
                facts
                    .inventory
                    .select(selection, named.as_deref())
                    .map_err(|bad| Stop::Refuse(Guard::Targets, bad.to_string()))?
            }
        };
        if let Some(max) = guards.blast.max_targets.filter(|max| targets.len() > *max) {
            return refuse(Guard::Targets, format!("{} targets are more than {max}", targets.len()));
        }
        if let Some(change) = &guards.blast.max_change {
            let wanted = run.params.get(&change.param).and_then(Value::number);
            let (Some(wanted), Some(found)) = (wanted, facts.values.get(&change.of).filter(|found| **found > 0.0)) else {
                return refuse(Guard::Targets, format!("it is not known how far {} lies from {}", change.param, change.of));
            };
            let percent = (wanted - found).abs() / found * 100.0;
            if percent > f64::from(change.percent) {
                let why = format!("{} {wanted} lies {percent:.0} % from {found}; {} % are allowed", change.param, change.percent);
                return refuse(Guard::Targets, why);
            }
        }
        Ok(targets)
    }

    fn lock(&self, facts: &Facts) -> Result<(), Stop> {
        let (Some(lock), Some(holder)) = (&self.runbook.guards.lock, &facts.lock_holder) else { return Ok(()) };
        if *holder == self.run.id {
            return Ok(());
        }
        let reason = format!("run {holder} holds the lock {}", lock.key);
        match lock.on_busy {
            _ if self.run.dry_run => refuse(Guard::Lock, reason),
            OnBusy::Refuse => refuse(Guard::Lock, reason),
            OnBusy::Queue => Err(Stop::Wait(WaitFor::Lock, reason)),
        }
    }

    fn rate(&self, facts: &Facts, targets: &[String], now: Timestamp) -> Result<Vec<String>, Stop> {
        let guards = &self.runbook.guards;
        let mut keys = Vec::new();
        // An entry that lies ahead counts: a clock that was set back opens nothing.
        let count = |key: &str, span: Span| {
            let mine = |entry: &&RateEntry| entry.key == key && entry.run_id != self.run.id && entry.at > now - span;
            facts.rates.iter().filter(mine).count()
        };
        let looked_up = |key: &str| match facts.rate_keys.iter().any(|known| known == key) {
            true => Ok(()),
            false => refuse(Guard::Rate, "earlier runs were not counted for these targets"),
        };
        if let Some(cooldown) = &guards.cooldown {
            let key = cooldown_key(&cooldown.key, self.run, targets).map_err(|why| Stop::Refuse(Guard::Rate, why))?;
            let found = looked_up(&key).map(|()| count(&key, cooldown.every))?;
            if found >= cooldown.max as usize {
                return refuse(
                    Guard::Rate,
                    format!("{found} runs within {}; at most {} are allowed", cooldown.every, cooldown.max),
                );
            }
            keys.push(key);
        }
        if let Some(max) = guards.daily_max {
            let found = looked_up(&daily_key(self.run)).map(|()| count(&daily_key(self.run), DAY))?;
            if found >= max as usize {
                return refuse(Guard::Rate, format!("{found} runs within a day; at most {max} are allowed"));
            }
            keys.push(daily_key(self.run));
        }
        let failed = failed_in_a_row(&facts.history);
        if self.run.trigger_kind == TriggerKind::Alert && self.run.starter_role.is_none() && failed >= FAILED_MAX {
            return refuse(Guard::Rate, format!("the last {failed} runs failed; a person must look"));
        }
        Ok(keys)
    }

    fn precheck(&self, facts: &Facts) -> Result<(), Stop> {
        let none = BTreeMap::new();
        let scope =
            Scope { params: &self.run.params, saved: &BTreeMap::new(), labels: &none, idem_key: "", run: About::row(self.run) };
        for condition in &self.runbook.guards.precheck {
            let sound = (scope.expression(condition), scope.number(&condition.value));
            let (Ok(expr), Ok(bound)) = sound else {
                return refuse(Guard::Precheck, format!("cannot ask {:?} with these parameters", condition.expr));
            };
            match facts.values.get(&expr) {
                Some(found) if condition.op.holds(*found, bound) => {}
                Some(found) if found.is_nan() => return refuse(Guard::Precheck, format!("what {expr} is cannot be told")),
                Some(found) => {
                    return refuse(Guard::Precheck, format!("{expr} is {found}, not {} {bound}", condition.op.sign()));
                }
                None if condition.no_data == NoData::Allow => {}
                None => return refuse(Guard::Precheck, format!("{expr} has no data")),
            }
        }
        Ok(())
    }

    fn approvals(&self, facts: &Facts, cleared: &mut Cleared, now: Timestamp) -> Result<(), Stop> {
        let Some(needed) = approvals_needed(self.runbook, self.run, facts, now) else { return Ok(()) };
        cleared.needed = needed.count;
        // Nobody is asked to approve what will not be done.
        if self.run.dry_run {
            return Ok(());
        }
        let bound = |row: &&ApprovalRow| row.step_id.is_empty() && row.subject_hash == cleared.subject_hash;
        let counted: Vec<&ApprovalRow> = self
            .approvals
            .iter()
            .filter(bound)
            .filter(|row| vote_fault(self.run, &needed, &row.who, row.role).is_none() && now - row.at < needed.expires)
            .collect();
        if let Some(denied) = counted.iter().find(|row| row.verdict == Vote::Deny) {
            return refuse(Guard::Approvals, format!("{} denied it", denied.who));
        }
        let mut people: Vec<&str> = counted.iter().map(|row| row.who.as_str()).collect();
        people.sort_unstable();
        people.dedup();
        if people.len() >= needed.count {
            return Ok(());
        }
        Err(Stop::Wait(WaitFor::Approval, format!("{} of {} approvals are there", people.len(), needed.count)))
    }

    fn lease(&self, now: Timestamp) -> Result<(), Stop> {
        match self.run.lease_until {
            Some(until) if until > now => Ok(()),
            Some(_) | None => refuse(Guard::Lease, "the lease of the run has ended"),
        }
    }
}
