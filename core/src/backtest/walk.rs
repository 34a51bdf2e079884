//! The walk over the slots: what rules give moves alerts, timers fall due, and notifications leave.

use std::collections::{BTreeMap, BTreeSet};

use super::ahead::{Given, Known};
use super::cached::Cached;
use super::recorded::{Moment, View};
use super::{Backtest, BacktestError};
use crate::ledger::Judged;
use crate::model::{LabelSet, Source, Value};
use crate::plane::Change;
use crate::promql::evaluate::Cancel;
use crate::rule::grounds::Ground;
use crate::rule::{Active, Evaluated, Local, Queries, Unseen, evaluate, with_ends};
use crate::time::{Span, Timestamp};

/// What is kept of a rule between its evaluations.
#[derive(Default)]
pub(super) struct Playing {
    /// The series that it wrote last.
    pub written: BTreeSet<LabelSet>,
    /// It has no alerts, not even resolved ones.
    is_idle: bool,
}

/// Why a rule is evaluated.
#[derive(Clone, Copy)]
enum Why<'w> {
    /// By its slot, with what it gives where that was computed ahead.
    Slot(Option<&'w Given>),
    /// Between slots: a group waits for what could inhibit its alerts.
    Look,
}

/// What an evaluation by the clock needs.
struct Stage<'s> {
    stored: &'s dyn Source,
    cancel: &'s Cancel,
}

impl Backtest {
    /// Walks all slots up to and including `until`. `columns`: what rules give, where that was computed ahead.
    pub(super) fn walk(
        &mut self,
        until: Timestamp,
        columns: Vec<Option<Vec<Given>>>,
        stored: &(dyn Source + Sync),
        cancel: &Cancel,
    ) -> Result<(), BacktestError> {
        let mut slots: Vec<(Timestamp, usize, usize)> = Vec::new();
        for group in 0..self.groups.len() {
            let own = self.slots(group, until);
            slots.extend((0..own.count).map(|step| (own.at(step), group, step)));
        }
        slots.sort_unstable();
        // Instants of one chunk look at the same samples over and over.
        let offset = self.groups.iter().map(|group| group.query_offset).max().unwrap_or(Span::ZERO);
        let cached = Cached::new(stored, self.walked - self.settings.options.lookback - offset, until);
        let stage = Stage { stored: &cached, cancel };
        for (slot, group, step) in slots {
            // What comes at an instant is known to the timers that fall due at it.
            self.pass(Timestamp(slot.0 - 1), &stage)?;
            if cancel.is_cancelled() {
                return Err(BacktestError::Cancelled);
            }
            for number in self.rules_of[group].clone() {
                match &columns[number] {
                    Some(column) => self.take(number, slot, &column[step], &stage)?,
                    None if self.plan.is_stepped[number] => self.step(number, slot, &stage)?,
                    // What it records has been computed ahead.
                    None => {}
                }
            }
        }
        self.pass(until, &stage)
    }

    /// Takes what an alerting rule gives at a slot.
    fn take(&mut self, number: usize, slot: Timestamp, given: &Given, stage: &Stage<'_>) -> Result<(), BacktestError> {
        if self.playing[number].is_idle && given.as_ref().is_ok_and(Vec::is_empty) {
            // Groups that could be inhibited by it have their answer.
            self.alerting.plane.evaluated(self.rules[number].id, slot);
            return Ok(());
        }
        self.evaluate(number, slot, Why::Slot(Some(given)), stage)
    }

    /// Evaluates a rule whose value is not known ahead.
    fn step(&mut self, number: usize, slot: Timestamp, stage: &Stage<'_>) -> Result<(), BacktestError> {
        self.evaluate(number, slot, Why::Slot(None), stage)
    }

    fn evaluate(&mut self, number: usize, slot: Timestamp, why: Why<'_>, stage: &Stage<'_>) -> Result<(), BacktestError> {
        let own = &self.rules[number];
        let rule = &self.groups[own.group].rules[own.index];
        let (options, environment) = (&self.settings.options, &self.environments[own.group]);
        let moment = Moment { slot, group: own.group, index: own.index };
        let view = View { recorded: &self.recorded, stored: stage.stored, moment: Some(moment) };
        let local = Local { source: &view, options, cancel: stage.cancel };
        let asked_at = slot - environment.query_offset;
        let evaluated = match why {
            Why::Slot(Some(given)) => {
                let known = Known { expr: &rule.expr, given, local: &local };
                evaluate(rule, slot, &known as &dyn Queries, environment)
            }
            Why::Slot(None) | Why::Look => evaluate(rule, slot, &local, environment),
        };
        let judged = match evaluated {
            Ok(Evaluated::Recorded(samples)) => return self.write(number, asked_at, samples),
            Ok(Evaluated::Active(active)) => {
                let known = match why {
                    Why::Slot(_) => self.alerting.ledger.active_of(&own.key),
                    // A look ends nothing.
                    Why::Look => BTreeSet::new(),
                };
                let ground = Ground::new(asked_at, &view, options, stage.cancel);
                let unseen = rule.unseen(known, &active, &ground).map_err(|error| error.to_string());
                unseen.map(|unseen| (active, unseen))
            }
            Err(error) => Err(error.to_string()),
        };
        match judged {
            Ok((active, unseen)) => self.judge(number, slot, why, (active, unseen)),
            Err(_) if stage.cancel.is_cancelled() => Err(BacktestError::Cancelled),
            // A failed look changes nothing; the slot tells what is wrong.
            Err(_) if matches!(why, Why::Look) => Ok(()),
            Err(reason) => {
                self.tally.failed(number, slot, reason);
                Ok(())
            }
        }
    }

    fn judge(
        &mut self,
        number: usize,
        slot: Timestamp,
        why: Why<'_>,
        (active, unseen): (Vec<Active>, BTreeMap<LabelSet, Unseen>),
    ) -> Result<(), BacktestError> {
        let own = &self.rules[number];
        let is_quiet = active.is_empty();
        let early = matches!(why, Why::Look);
        let judged = Judged { rule: own.key.clone(), terms: own.terms.clone(), active, unseen, at: slot, early };
        let outcome = self.alerting.judge(judged, slot);
        let ledger = &self.alerting.ledger;
        let is_empty = ledger.of_rule(&own.key).is_none_or(|instances| instances.iter().next().is_none());
        self.playing[number].is_idle = is_quiet && is_empty;
        self.tally.judged(number, slot, &outcome);
        self.deadline = None;
        self.take_down()?;
        let own = &self.rules[number];
        // The series are written at the slots.
        if early || !self.plan.reads_alerts {
            return Ok(());
        }
        let series = self.alerting.ledger.series(&own.key);
        let asked_at = slot - self.environments[own.group].query_offset;
        self.write(number, asked_at, series.into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect())
    }

    /// Records what a rule brings, and the ends of the series that it no longer brings.
    fn write(&mut self, number: usize, at: Timestamp, samples: Vec<(LabelSet, Value)>) -> Result<(), BacktestError> {
        for (labels, value) in with_ends(samples, &mut self.playing[number].written) {
            self.recorded.add(&labels, number, vec![(at.0, value)])?;
        }
        Ok(())
    }

    /// Lets time pass up to and including an instant, ticking at each deadline.
    fn pass(&mut self, until: Timestamp, stage: &Stage<'_>) -> Result<(), BacktestError> {
        let mut now = self.walked;
        loop {
            let plane = &mut self.alerting.plane;
            let deadline = *self.deadline.get_or_insert_with(|| plane.next_deadline());
            let Some(deadline) = deadline.filter(|deadline| *deadline <= until) else { break };
            now = now.max(deadline);
            plane.tick(now);
            let wanted = plane.take_wanted();
            self.deadline = None;
            self.take_down()?;
            for number in wanted.iter().filter_map(|id| self.ids.get(id).copied()).collect::<Vec<usize>>() {
                self.evaluate(number, now, Why::Look, stage)?;
            }
        }
        Ok(())
    }

    fn take_down(&mut self) -> Result<(), BacktestError> {
        for change in self.alerting.plane.drain() {
            match change {
                Change::Deliver(delivery) => self.tally.told(delivery)?,
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
                | Change::DropPage(_)
                | Change::Trace(_) => {}
            }
        }
        Ok(())
    }
}
