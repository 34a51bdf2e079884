//! A definition at work: it says what it wants to read, counts it, and judges.

use std::sync::Arc;

use crate::time::{Span, Timestamp};

use super::SloError;
use super::alerts::{self, Condition, Judged, PairStatus};
use super::budget::{Budget, Burn};
use super::count::Tally;
use super::counter::{self, Counters, Found};
use super::definition::Definition;
use super::fetch::{Samples, Want};
use super::ledger::{Counted, Ledger, Row};
use super::query::Meaning;
use super::slices::OpenSlices;
use super::window::Bounds;

/// A series that was not seen for this long is forgotten.
pub const FORGET: Span = Span::from_mins(60);
/// The most that is read at once, so that catching up goes in steps of bounded size.
pub const READ_MAX: Span = Span::from_mins(30);

/// When counts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The distance of the points of a ledger. Whole seconds that divide a minute.
    step: Span,
    /// How long late samples are waited for. A sample that is later still is passed over, and its series' next one counts for both.
    tolerance: Span,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { step: Span::from_secs(15), tolerance: Span::from_secs(5) }
    }
}

impl Pace {
    /// Returns a pace; `None` for a step that does not divide a minute and for a negative tolerance.
    pub fn new(step: Span, tolerance: Span) -> Option<Pace> {
        let divides = step > Span::ZERO && 60_000 % step.0 == 0;
        (divides && tolerance >= Span::ZERO).then_some(Pace { step, tolerance })
    }

    /// Returns the first instant after `now` at which another step is complete.
    pub fn next_due(self, now: Timestamp) -> Timestamp {
        self.settled(now) + self.step + self.tolerance
    }

    /// Returns the last step that is complete at an instant.
    fn settled(self, now: Timestamp) -> Timestamp {
        self.floor(now - self.tolerance)
    }

    fn floor(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.div_euclid(self.step.0) * self.step.0)
    }
}

/// What a tick brings.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// To be stored; rows of earlier ticks never change.
    pub rows: Vec<Row>,
    /// One for each alert rule; none while the standing still catches up.
    pub judged: Vec<Judged>,
    /// Values and series that could not be counted.
    pub refused: u64,
    /// Nothing is left to read at this instant.
    pub is_current: bool,
}

/// An objective as people see it at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Until when counts are known.
    pub at: Timestamp,
    pub budget: Budget,
    pub pairs: Vec<PairStatus>,
}

/// A definition, its ledger, and how far it has read.
///
/// The counts follow from the samples and the definition alone. To count anew after a change of the definition, begin a standing
/// in the past and tick it until it is current.
#[derive(Clone, Debug)]
pub struct Standing {
    definition: Arc<Definition>,
    pace: Pace,
    counters: Counters,
    slices: OpenSlices,
    ledger: Ledger,
    /// Since when the ledger counts; what was read before only tells where counters stood.
    since: Timestamp,
    read_until: Timestamp,
}

impl Standing {
    /// Returns a standing that counts from an instant on (rounded down to a step), and its first rows.
    pub fn new(definition: Arc<Definition>, pace: Pace, since: Timestamp) -> (Standing, Vec<Row>) {
        let since = pace.floor(since);
        let (ledger, rows) = Ledger::new(&definition.id, &definition.hash(), &definition.tiers(), since);
        (Standing::from_ledger(definition, pace, ledger, since, since), rows)
    }

    /// Returns the standing that goes on from stored rows, given in any order, and rows to store beside them.
    ///
    /// Where counters stood is read again from their samples, so that nothing of the time in between is lost while it is kept.
    /// Errors: rows of another definition, and rows that contradict each other.
    pub fn resume(definition: Arc<Definition>, pace: Pace, rows: Vec<Row>) -> Result<(Standing, Vec<Row>), SloError> {
        let (ledger, seeded) = Ledger::restore(&definition.id, &definition.hash(), &definition.tiers(), rows)?;
        let (since, last) = (ledger.since(), ledger.last().0);
        Ok((Standing::from_ledger(definition, pace, ledger, since, last), seeded))
    }

    fn from_ledger(definition: Arc<Definition>, pace: Pace, ledger: Ledger, since: Timestamp, last: Timestamp) -> Standing {
        // The slice that is open at the last point has to be filled again.
        let open = definition.counting.slices.map_or(last, |slices| slices.start_of(last).max(since).min(last));
        let counters = Counters::new(definition.counting.newcomers, definition.counting.streams.len());
        Standing { pace, counters, slices: OpenSlices::default(), ledger, since, read_until: open - FORGET, definition }
    }

    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts another definition in place of the present one, when both count the same; returns rows to store, those of a tier that
    /// a longer window brings.
    ///
    /// None: they count differently and nothing is changed; the ledger has to be counted anew.
    pub fn redefine(&mut self, definition: Arc<Definition>) -> Option<Vec<Row>> {
        if (&definition.id, definition.hash()) != (&self.definition.id, self.definition.hash()) {
            return None;
        }
        let mut added = Vec::new();
        if definition.tiers() != self.definition.tiers() {
            let restored = Ledger::restore(&definition.id, &definition.hash(), &definition.tiers(), self.ledger.rows());
            (self.ledger, added) = restored.expect("a ledger's own rows agree with each other");
        }
        self.definition = definition;
        Some(added)
    }

    /// Returns what has to be read for the next tick; none when everything that is settled has been read.
    pub fn wants(&self, now: Timestamp) -> Option<Want> {
        let until = self.pace.settled(now).min(self.pace.floor(self.read_until + READ_MAX));
        let is_due = until > self.read_until && self.pace.settled(now) > self.ledger.last().0;
        is_due.then(|| Want { definition: self.definition.clone(), after: self.read_until, until })
    }

    /// Takes the samples that were wanted; returns the points that they make, and judges when nothing is left to read.
    ///
    /// Errors: other samples than those that are wanted now; nothing is then taken.
    pub fn tick(&mut self, now: Timestamp, samples: &Samples) -> Result<Tick, SloError> {
        let out_of_turn = |wanted| SloError::OutOfTurn { id: self.definition.id.clone(), got: samples.until, wanted };
        let whole = samples.after == self.read_until && samples.streams.len() == self.definition.counting.streams.len();
        if !whole || samples.until <= samples.after || samples.until > self.read_until + READ_MAX {
            return Err(out_of_turn(self.wants(now).map_or(self.read_until, |want| want.until)));
        }
        let found = self.count(samples);
        let mut tick = Tick { refused: found.refused, ..Tick::default() };
        self.book(&found, samples.until, &mut tick.rows);
        self.read_until = samples.until;
        tick.is_current = self.wants(now).is_none();
        if tick.is_current {
            tick.judged = self.judge();
        }
        Ok(tick)
    }

    fn count(&mut self, samples: &Samples) -> Found {
        let streams = &self.definition.counting.streams;
        let mut found = self.counters.take(streams, &samples.streams, samples.until.0);
        for (stream, series) in streams.iter().zip(&samples.streams) {
            if !matches!(stream.meaning, Meaning::Counter { .. }) {
                counter::values(stream.meaning, series, &mut found);
            }
        }
        found
    }

    /// Puts events into the ledger: a point for every step up to `until`.
    fn book(&mut self, found: &Found, until: Timestamp, rows: &mut Vec<Row>) {
        let (last, mut sum) = self.ledger.last();
        let step = self.pace.step.0;
        let steps = usize::try_from((until.since(last).0 / step).max(0)).unwrap_or(0);
        let mut by_step = vec![Tally::ZERO; steps];
        for &(at, events) in &found.events {
            match self.definition.counting.slices {
                // What is read again after a start may belong to slices that were judged before it.
                Some(slices) if slices.end_of(Timestamp(at)) > last => self.slices.add(&slices, at, events),
                Some(_) => {}
                None if at > last.0 => by_step[((at - last.0 - 1) / step) as usize] += events,
                None => {}
            }
        }
        for (number, events) in (1..).zip(by_step) {
            let at = last + Span(step * number);
            sum += match self.definition.counting.slices {
                Some(slices) => self.slices.close(&slices, at, self.since),
                None => events,
            };
            rows.extend(self.ledger.append(at, sum));
        }
    }

    /// Judges every alert rule at the last point.
    pub fn judge(&self) -> Vec<Judged> {
        alerts::judge(&self.definition, &self.ledger, self.ledger.last().0)
    }

    /// Returns what was counted in a window; two look-ups.
    pub fn window(&self, bounds: Bounds) -> Counted {
        self.ledger.window(bounds)
    }

    /// Returns the burn rate over a look-back that ends with the last point.
    pub fn burn(&self, lookback: Span) -> Burn {
        Burn::over(&self.ledger, self.definition.target, lookback, self.ledger.last().0)
    }

    /// Returns the objective as it stands at its last point.
    pub fn status(&self) -> Status {
        let at = self.ledger.last().0;
        let pairs = self.definition.alerts.iter().flat_map(|rule| match &rule.condition {
            Condition::Burning(pairs) => pairs.as_slice(),
            Condition::Exhausted | Condition::Rate { .. } => &[],
        });
        let pairs = pairs.map(|pair| alerts::status(&self.definition, &self.ledger, *pair, at)).collect();
        Status { at, budget: Budget::at(&self.definition, &self.ledger, at), pairs }
    }
}
