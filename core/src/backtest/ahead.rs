//! The values of rules at all slots of a chunk, by range queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::plan::Plan;
use super::recorded::View;
use super::{AHEAD_VALUES_MAX, Backtest, BacktestError, Hands};
use crate::model::{LabelSet, STALE, Series, Source, Value};
use crate::promql::ast::Expr;
use crate::promql::evaluate::{Cancel, EvalError, Options, range};
use crate::promql::value::Value as Answered;
use crate::rule::evaluate::recorded_labels;
use crate::rule::{Environment, Evaluated, Kind, Local, Queries, Rule, evaluate, with_ends};
use crate::time::{Span, Timestamp};

/// What an expression gives at one slot, or why it gives nothing.
pub(super) type Given = Result<Vec<(LabelSet, Value)>, String>;

/// The slots of a group within a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub first: Timestamp,
    pub interval: Span,
    pub count: usize,
}

impl Slots {
    pub fn at(&self, step: usize) -> Timestamp {
        self.first + Span(self.interval.0 * step as i64)
    }
}

/// Some slots that one evaluation answered.
struct Piece {
    /// The first step and the one behind the last.
    steps: (usize, usize),
    given: Result<Vec<Series>, String>,
}

/// A rule's values ahead of the walk.
struct Ahead<'a> {
    rule: &'a Rule,
    slots: Slots,
    environment: &'a Environment,
    options: &'a Options,
    source: &'a View<'a>,
    cancel: &'a Cancel,
}

/// What a recording rule writes, and where it failed.
struct Written {
    samples: Vec<(LabelSet, Vec<(i64, Value)>)>,
    /// Step and reason.
    failed: Vec<(usize, String)>,
    last: BTreeSet<LabelSet>,
}

/// What computing ahead brought for one rule.
enum Found {
    Recorded(Written),
    /// One for each step.
    Alerts(Vec<Given>),
}

impl Backtest {
    /// Returns the slots of a group behind what was walked, up to and including `until`.
    pub(super) fn slots(&self, group: usize, until: Timestamp) -> Slots {
        let own = &self.groups[group];
        let first = own.next_slot(self.walked);
        let count = if first > until { 0 } else { (until.since(first).0 / own.interval.0) as usize + 1 };
        Slots { first, interval: own.interval, count }
    }

    /// Computes what can be computed ahead of the walk: takes in what is recorded, and returns what alerting rules give, by rule.
    pub(super) fn look_ahead(
        &mut self,
        until: Timestamp,
        stored: &(dyn Source + Sync),
        cancel: &Cancel,
        hands: &Hands<'_>,
    ) -> Result<Vec<Option<Vec<Given>>>, BacktestError> {
        let mut columns: Vec<Option<Vec<Given>>> = self.rules.iter().map(|_| None).collect();
        for level in 0..self.plan.levels.len() {
            let rules = &self.plan.levels[level];
            let found: Vec<Mutex<Option<Found>>> = rules.iter().map(|_| Mutex::new(None)).collect();
            hands(rules.len(), &|index| {
                let one = self.find(rules[index], until, stored, cancel);
                *found[index].lock().expect("no holder of this lock panics") = one;
            });
            if cancel.is_cancelled() {
                return Err(BacktestError::Cancelled);
            }
            let found: Vec<Option<Found>> =
                found.into_iter().map(|one| one.into_inner().expect("no holder of this lock panics")).collect();
            let Plan { levels, .. } = &self.plan;
            for (number, found) in levels[level].clone().into_iter().zip(found) {
                match found {
                    None => return Err(BacktestError::Cancelled),
                    Some(Found::Alerts(column)) => columns[number] = Some(column),
                    Some(Found::Recorded(written)) => self.take_in(number, until, written)?,
                }
            }
        }
        Ok(columns)
    }

    fn take_in(&mut self, number: usize, until: Timestamp, written: Written) -> Result<(), BacktestError> {
        let slots = self.slots(self.rules[number].group, until);
        for (step, reason) in written.failed {
            self.tally.failed(number, slots.at(step), reason);
        }
        for (labels, samples) in written.samples {
            self.recorded.add(&labels, number, samples)?;
        }
        self.playing[number].written = written.last;
        Ok(())
    }

    /// Returns what one rule brings; None: it was broken off.
    fn find(&self, number: usize, until: Timestamp, stored: &(dyn Source + Sync), cancel: &Cancel) -> Option<Found> {
        let own = &self.rules[number];
        let group = &self.groups[own.group];
        let ahead = Ahead {
            rule: &group.rules[own.index],
            slots: self.slots(own.group, until),
            environment: &self.environments[own.group],
            options: &self.settings.options,
            source: &View { recorded: &self.recorded, stored, moment: None },
            cancel,
        };
        let mut pieces = Vec::new();
        ahead.ask((0, ahead.slots.count), &mut pieces).ok()?;
        Some(match &ahead.rule.kind {
            Kind::Alert(_) => Found::Alerts(by_step(&ahead, pieces)),
            Kind::Record { name, labels } => {
                Found::Recorded(ahead.written(pieces, (name, labels), self.playing[number].written.clone()))
            }
        })
    }
}

impl Ahead<'_> {
    /// Asks for some steps, in halves where they cannot be answered together: what fails at one slot fails there alone, as it does
    /// for the service.
    ///
    /// Errors: it was broken off.
    fn ask(&self, steps: (usize, usize), pieces: &mut Vec<Piece>) -> Result<(), EvalError> {
        let (first, behind) = steps;
        match behind - first {
            0 => {}
            1 => {
                let local = Local { source: self.source, options: self.options, cancel: self.cancel };
                let at = self.asked_at(first);
                let given = local.instant(&self.rule.expr, &self.rule.text, at);
                if self.cancel.is_cancelled() {
                    return Err(EvalError::Cancelled);
                }
                let given = given.map(|samples| samples.into_iter().map(|(labels, value)| single(labels, at, value)).collect());
                pieces.push(Piece { steps, given });
            }
            count => match self.range(steps) {
                Ok(series) => pieces.push(Piece { steps, given: Ok(series) }),
                Err(EvalError::Cancelled) => return Err(EvalError::Cancelled),
                Err(_) => {
                    let middle = first + count / 2;
                    self.ask((first, middle), pieces)?;
                    self.ask((middle, behind), pieces)?;
                }
            },
        }
        Ok(())
    }

    fn asked_at(&self, step: usize) -> Timestamp {
        self.slots.at(step) - self.environment.query_offset
    }

    fn step_of(&self, at: i64) -> usize {
        ((at - self.asked_at(0).0) / self.slots.interval.0) as usize
    }

    fn range(&self, (first, behind): (usize, usize)) -> Result<Vec<Series>, EvalError> {
        let options = Options { samples_max: self.options.samples_max.min(AHEAD_VALUES_MAX), ..self.options.clone() };
        let (start, end) = (self.asked_at(first), self.asked_at(behind - 1));
        let answer = range(&self.rule.expr, start, end, self.slots.interval, self.source, &options, self.cancel)?;
        match answer.value {
            Answered::Matrix(series) => Ok(series),
            Answered::Scalar(_) | Answered::Text(_) | Answered::Vector(_) => Ok(Vec::new()),
        }
    }

    /// Returns what a recording rule writes, with the ends of series.
    fn written(&self, pieces: Vec<Piece>, (name, own): (&str, &BTreeMap<String, String>), last: BTreeSet<LabelSet>) -> Written {
        let mut written = Written { samples: Vec::new(), failed: Vec::new(), last };
        for piece in pieces {
            let (first, behind) = piece.steps;
            match piece.given {
                Err(reason) => written.failed.push((first, reason)),
                Ok(series) => {
                    let labels: Vec<LabelSet> = series.iter().map(|one| recorded_labels(&one.labels, name, own)).collect();
                    let alone = labels.iter().collect::<BTreeSet<_>>().len() == labels.len();
                    if alone && self.environment.limit == 0 {
                        self.at_once((first, behind), labels.into_iter().zip(series).collect(), &mut written);
                    } else {
                        self.one_by_one((first, behind), series, &mut written);
                    }
                }
            }
        }
        written
    }

    /// Writes series of which no two can become one.
    fn at_once(&self, (first, behind): (usize, usize), series: Vec<(LabelSet, Series)>, written: &mut Written) {
        let mut goes_on = BTreeSet::new();
        let mut begins = BTreeSet::new();
        for (labels, series) in series {
            let mut samples: Vec<(i64, Value)> = Vec::with_capacity(series.floats.len() + series.histograms.len());
            for (at, value) in in_order(series) {
                if let Some((last, _)) = samples.last()
                    && *last + self.slots.interval.0 < at
                {
                    samples.push((*last + self.slots.interval.0, Value::Float(STALE)));
                }
                if samples.is_empty() && self.step_of(at) == first {
                    begins.insert(labels.clone());
                }
                samples.push((at, value));
            }
            if let Some((last, _)) = samples.last() {
                if self.step_of(*last) + 1 < behind {
                    samples.push((*last + self.slots.interval.0, Value::Float(STALE)));
                } else {
                    goes_on.insert(labels.clone());
                }
            }
            written.samples.push((labels, samples));
        }
        let ended = std::mem::replace(&mut written.last, goes_on);
        for labels in ended.difference(&begins) {
            written.samples.push((labels.clone(), vec![(self.asked_at(first).0, Value::Float(STALE))]));
        }
    }

    /// Writes what each slot brings by itself.
    fn one_by_one(&self, steps: (usize, usize), series: Vec<Series>, written: &mut Written) {
        let local = Local { source: self.source, options: self.options, cancel: self.cancel };
        for (offset, samples) in self.columns(steps, series).into_iter().enumerate() {
            let step = steps.0 + offset;
            let known = Known { expr: &self.rule.expr, given: &Ok(samples), local: &local };
            match evaluate(self.rule, self.slots.at(step), &known, self.environment) {
                Ok(Evaluated::Recorded(samples)) => {
                    for (labels, value) in with_ends(samples, &mut written.last) {
                        written.samples.push((labels, vec![(self.asked_at(step).0, value)]));
                    }
                }
                Ok(Evaluated::Active(_)) => {}
                Err(error) => written.failed.push((step, error.to_string())),
            }
        }
    }

    /// Returns samples slot by slot.
    fn columns(&self, (first, behind): (usize, usize), series: Vec<Series>) -> Vec<Vec<(LabelSet, Value)>> {
        let mut columns = vec![Vec::new(); behind - first];
        for one in series {
            let labels = one.labels.clone();
            for (at, value) in in_order(one) {
                columns[self.step_of(at) - first].push((labels.clone(), value));
            }
        }
        columns
    }
}

fn by_step(ahead: &Ahead<'_>, pieces: Vec<Piece>) -> Vec<Given> {
    let mut all = Vec::with_capacity(ahead.slots.count);
    for piece in pieces {
        match piece.given {
            Err(reason) => all.push(Err(reason)),
            Ok(series) => all.extend(ahead.columns(piece.steps, series).into_iter().map(Ok)),
        }
    }
    all
}

fn single(labels: LabelSet, at: Timestamp, value: Value) -> Series {
    let (floats, histograms) = match value {
        Value::Float(value) => (vec![(at.0, value)], Vec::new()),
        Value::Histogram(histogram) => (Vec::new(), vec![(at.0, histogram)]),
    };
    Series { labels, floats, histograms, starts: Vec::new() }
}

fn in_order(series: Series) -> Vec<(i64, Value)> {
    let mut all: Vec<(i64, Value)> = series.floats.into_iter().map(|(at, value)| (at, Value::Float(value))).collect();
    if !series.histograms.is_empty() {
        all.extend(series.histograms.into_iter().map(|(at, histogram)| (at, Value::Histogram(histogram))));
        all.sort_by_key(|(at, _)| *at);
    }
    all
}

/// Knows what one expression gives; everything else, such as queries of templates, it asks.
pub(super) struct Known<'k> {
    pub expr: &'k Expr,
    pub given: &'k Given,
    pub local: &'k Local<'k>,
}

impl Queries for Known<'_> {
    fn instant(&self, expr: &Expr, text: &str, at: Timestamp) -> Given {
        if std::ptr::eq(expr, self.expr) { self.given.clone() } else { self.local.instant(expr, text, at) }
    }
}
