//! The ledger of an objective: cumulative counts, so that the counts of any window are the difference of two points.
//!
//! A point is written at every step, and the same point again into a coarser tier whenever a full step of that tier has passed.
//! Every tier forgets what has grown too old for it; nothing is ever rewritten. How exactly the start of a window is met depends
//! on its age: see `tiers`.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

use super::SloError;
use super::count::{Count, Tally};
use super::points::{Point, Points};
use super::window::Bounds;

/// A point as it is stored; rows are only added, and taken away by age (`Ledger::cutoffs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// `Definition::id`
    pub objective: String,
    /// `Definition::hash`
    pub definition: String,
    /// The tier: its step in milliseconds; zero for the finest.
    pub tier_ms: i64,
    pub at_ms: i64,
    /// Cumulative, whole part and millionths.
    pub good: i64,
    pub good_millionths: i32,
    pub total: i64,
    pub total_millionths: i32,
}

/// Points of one distance, kept for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Zero: every step.
    pub step: Span,
    pub keep: Span,
}

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

/// Returns the tiers that keep windows up to a length.
///
/// The start of a window is met to one step up to 7 h back, to 1 min up to 4 d, to 5 min up to 36 d, and to 1 h beyond.
pub fn tiers(longest: Span) -> Vec<Tier> {
    let mut tiers = Vec::new();
    let kept = Span(longest.0.saturating_add(Span::from_mins(DAY).0));
    for (step, keep) in [(0, 7 * HOUR), (1, 4 * DAY), (5, 36 * DAY)] {
        let tier = Tier { step: Span::from_mins(step), keep: Span::from_mins(keep) };
        if kept <= tier.keep {
            tiers.push(Tier { keep: kept, ..tier });
            return tiers;
        }
        tiers.push(tier);
    }
    tiers.push(Tier { step: Span::from_mins(HOUR), keep: kept });
    tiers
}

/// What was counted, and between which instants: the start left out, the end included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub bounds: Bounds,
    pub tally: Tally,
    /// The ledger reaches back to where the window was asked to begin.
    pub is_whole: bool,
}

#[derive(Clone, Debug)]
pub struct Ledger {
    objective: String,
    definition: String,
    tiers: Vec<(Tier, Points)>,
}

impl Ledger {
    /// Returns a ledger that begins at an instant, and its first rows.
    pub fn new(objective: &str, definition: &str, tiers: &[Tier], since: Timestamp) -> (Ledger, Vec<Row>) {
        let mut ledger = Ledger::empty(objective, definition, tiers);
        let point = Point { at: since, tally: Tally::ZERO };
        let mut rows = Vec::with_capacity(tiers.len());
        for (tier, points) in &mut ledger.tiers {
            points.push(point);
            rows.push(row(objective, definition, *tier, point));
        }
        (ledger, rows)
    }

    fn empty(objective: &str, definition: &str, tiers: &[Tier]) -> Ledger {
        assert!(!tiers.is_empty(), "a ledger has a tier");
        Ledger {
            objective: objective.to_owned(),
            definition: definition.to_owned(),
            tiers: tiers.iter().map(|tier| (*tier, Points::default())).collect(),
        }
    }

    /// Returns the ledger that goes on from its stored rows, given in any order, and rows to store beside them: those of a tier
    /// that was not kept before, since the window has become longer.
    ///
    /// Rows of coarser tiers behind the last one of the finest are left out: their time is counted again, as it was.
    /// Errors: no rows of the finest tier, rows of another objective or definition, and two rows of one instant that differ.
    pub fn restore(
        objective: &str,
        definition: &str,
        tiers: &[Tier],
        mut rows: Vec<Row>,
    ) -> Result<(Ledger, Vec<Row>), SloError> {
        let bad = |reason| SloError::Rows { id: objective.to_owned(), reason };
        rows.sort_by_key(|row| (row.tier_ms, row.at_ms));
        let last = rows.iter().filter(|row| row.tier_ms == 0).map(|row| row.at_ms).max();
        rows.retain(|row| last.is_none_or(|last| row.at_ms <= last));
        let mut ledger = Ledger::empty(objective, definition, tiers);
        for row in &rows {
            if row.objective != objective || row.definition != definition {
                return Err(bad("there are rows of another objective or definition among them"));
            }
            // A tier that is no longer wanted: the window has become shorter.
            let Some((_, points)) = ledger.tiers.iter_mut().find(|(tier, _)| tier.step.0 == row.tier_ms) else { continue };
            let point = row.point();
            match points.last() {
                Some(last) if last == point => {}
                Some(last) if last.at == point.at => return Err(bad("two rows of one instant differ")),
                _ => points.push(point),
            }
        }
        if ledger.tiers[0].1.first().is_none() {
            return Err(bad("there are no rows of the finest tier"));
        }
        let seeded = ledger.seed(&rows);
        Ok((ledger, seeded))
    }

    /// Fills tiers that have no rows from all rows that there are.
    fn seed(&mut self, rows: &[Row]) -> Vec<Row> {
        let mut known: Vec<Point> = rows.iter().map(Row::point).collect();
        known.sort_by_key(|point| point.at);
        known.dedup_by_key(|point| point.at);
        let mut seeded = Vec::new();
        for (tier, points) in self.tiers.iter_mut().filter(|(_, points)| points.first().is_none()) {
            for (index, point) in known.iter().enumerate() {
                if index == 0 || point.at.0.rem_euclid(tier.step.0) == 0 {
                    points.push(*point);
                    seeded.push(row(&self.objective, &self.definition, *tier, *point));
                }
            }
        }
        seeded
    }

    /// Appends the cumulative counts at an instant; returns the rows to store.
    pub fn append(&mut self, at: Timestamp, tally: Tally) -> Vec<Row> {
        let point = Point { at, tally };
        let mut rows = Vec::with_capacity(1);
        for (tier, points) in &mut self.tiers {
            if tier.step > Span::ZERO && at.0.rem_euclid(tier.step.0) != 0 {
                continue;
            }
            points.push(point);
            points.drop_before(at - tier.keep);
            rows.push(row(&self.objective, &self.definition, *tier, point));
        }
        rows
    }

    /// Returns the instant and the cumulative counts of the last point.
    pub fn last(&self) -> (Timestamp, Tally) {
        let point = self.tiers[0].1.last().expect("a ledger has a first point");
        (point.at, point.tally)
    }

    /// Returns since when there are counts.
    pub fn since(&self) -> Timestamp {
        self.tiers.iter().filter_map(|(_, points)| points.first()).map(|point| point.at).min().unwrap_or_default()
    }

    /// Returns the nearest point at or before an instant, or the very first one.
    fn at(&self, at: Timestamp) -> Point {
        let found = self.tiers.iter().find_map(|(_, points)| points.at(at));
        found.unwrap_or_else(|| {
            let firsts = self.tiers.iter().filter_map(|(_, points)| points.first());
            firsts.min_by_key(|point| point.at).expect("a ledger has a first point")
        })
    }

    /// Returns what was counted in a window: two look-ups.
    ///
    /// The bounds that are told are those of the counts: exact, and as near to what was asked as there are points.
    pub fn window(&self, asked: Bounds) -> Counted {
        let (from, to) = (self.at(asked.from), self.at(asked.to));
        let bounds = Bounds { from: from.at, to: to.at.max(from.at) };
        Counted { bounds, tally: to.tally - from.tally, is_whole: from.at <= asked.from }
    }

    /// Returns for each tier the instant before which rows may be deleted.
    pub fn cutoffs(&self) -> Vec<(i64, Timestamp)> {
        self.tiers.iter().filter_map(|(tier, points)| Some((tier.step.0, points.first()?.at))).collect()
    }

    /// Returns the rows of all points that are held.
    pub fn rows(&self) -> Vec<Row> {
        let of_tier = |(tier, points): &(Tier, Points)| {
            points.iter().map(|point| row(&self.objective, &self.definition, *tier, point)).collect::<Vec<_>>()
        };
        self.tiers.iter().flat_map(of_tier).collect()
    }

    /// Returns how many points are held, in how many bytes.
    pub fn size(&self) -> (usize, usize) {
        self.tiers.iter().fold((0, 0), |(len, bytes), (_, points)| (len + points.len(), bytes + points.bytes()))
    }
}

fn row(objective: &str, definition: &str, tier: Tier, point: Point) -> Row {
    let (good, good_millionths) = point.tally.good.parts();
    let (total, total_millionths) = point.tally.total.parts();
    Row {
        objective: objective.to_owned(),
        definition: definition.to_owned(),
        tier_ms: tier.step.0,
        at_ms: point.at.0,
        good,
        good_millionths,
        total,
        total_millionths,
    }
}

impl Row {
    fn point(&self) -> Point {
        let tally = Tally {
            good: Count::from_parts(self.good, self.good_millionths),
            total: Count::from_parts(self.total, self.total_millionths),
        };
        Point { at: Timestamp(self.at_ms), tally }
    }
}
