//! Matching the series of two instant vectors: arithmetic and comparisons one to one or many to one, and set operators.

use foldhash::{HashMap, HashMapExt};

use super::engine::LineIndex;
use super::grid::{SAME_LABELS, without_metadata};
use super::{Engine, EvalError, Grid, Line, Point};
use crate::model::{LabelSet, METRIC_NAME};
use crate::promql::ast::{Binary, BinaryOp, Cardinality, Matching, Place};

/// Returns the labels of a series that decide about its match.
fn signature(labels: &LabelSet, matching: &Matching) -> LabelSet {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on { labels.only(named) } else { labels.without(|name| name == METRIC_NAME || named(name)) }
}

/// The series of both sides by group of equal signature, once for all steps.
struct Groups {
    left: Vec<usize>,
    right: Vec<usize>,
    count: usize,
}

fn groups(left: &Grid, right: &Grid, matching: &Matching) -> Groups {
    let mut numbers: HashMap<LabelSet, usize> = HashMap::new();
    let mut number = |grid: &Grid| -> Vec<usize> {
        let signatures = grid.lines.iter().map(|line| signature(&line.labels, matching));
        signatures
            .map(|signature| {
                let next = numbers.len();
                *numbers.entry(signature).or_insert(next)
            })
            .collect()
    };
    let (left, right) = (number(left), number(right));
    Groups { left, right, count: numbers.len() }
}

/// Returns the labels of the result of two matched series, of which `many` is on the side that may have more.
///
/// Source: Prometheus `resultMetric`.
fn joined_labels(many: &LabelSet, one: &LabelSet, op: BinaryOp, matching: &Matching) -> LabelSet {
    let mut labels = if op.changes_meaning() { without_metadata(many) } else { many.clone() };
    if matching.cardinality == Cardinality::OneToOne {
        let named = |name: &str| matching.labels.iter().any(|label| label == name);
        labels = if matching.on { labels.only(named) } else { labels.without(named) };
    }
    if !matching.include.is_empty() {
        let mut builder = labels.builder();
        for name in &matching.include {
            builder.set(name, one.get(name));
        }
        labels = builder.build();
    }
    labels
}

const NONE: usize = usize::MAX;

/// The state of one operation over the steps.
struct Join<'a> {
    binary: &'a Binary,
    matching: &'a Matching,
    place: Place,
    swapped: bool,
    out: Grid,
    index: LineIndex,
    /// Result lines by the pair of joined lines.
    pairs: HashMap<(usize, usize), usize>,
    /// For each result line the step and group that wrote it last, so that a second writer is noticed.
    last: Vec<(usize, usize)>,
    /// The groups that were joined at this step.
    matched: Vec<bool>,
}

impl Join<'_> {
    fn is_one_to_one(&self) -> bool {
        self.matching.cardinality == Cardinality::OneToOne
    }

    /// Joins two points; the lines are `NONE` for a value that fills a gap.
    fn add(
        &mut self,
        engine: &Engine<'_>,
        at: (usize, usize),
        lines: (usize, usize),
        labels: (&LabelSet, &LabelSet),
        points: (&Point, &Point),
    ) -> Result<(), EvalError> {
        let (step, group) = at;
        let (left, right) = if self.swapped { (points.1, points.0) } else { points };
        let Some(outcome) = engine.points(self.binary.op, left, right, self.place) else { return Ok(()) };
        let result = match self.pairs.get(&lines) {
            Some(result) => *result,
            None => {
                let joined = joined_labels(labels.0, labels.1, self.binary.op, self.matching);
                let line = match self.binary.returns_bool {
                    true => engine.renamed(&joined),
                    false => Line { labels: joined, drop_name: false },
                };
                let result = self.index.find_or_add(engine, &mut self.out, line)?;
                self.pairs.insert(lines, result);
                result
            }
        };
        if self.is_one_to_one() && self.matched[group] {
            let message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
            return Err(EvalError::execution(message, self.place));
        }
        self.matched[group] = true;
        self.last.resize(self.out.lines.len(), (NONE, NONE));
        if !self.is_one_to_one() && self.last[result] == (step, group) {
            let message = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(EvalError::execution(message, self.place));
        }
        self.last[result] = (step, group);
        let point = match (self.binary.returns_bool, outcome.keep) {
            (true, keep) => Point::Float(f64::from(u8::from(keep))),
            (false, true) => outcome.point,
            (false, false) => return Ok(()),
        };
        let target = &mut self.out.points[result * self.out.width + step];
        if !target.is_absent() {
            return Err(EvalError::execution(SAME_LABELS, self.place));
        }
        *target = point;
        Ok(())
    }
}

impl Engine<'_> {
    /// Evaluates an arithmetic or comparing operator between two vectors.
    ///
    /// Source: Prometheus `VectorBinop`.
    pub fn matched(
        &self,
        binary: &Binary,
        left: &Grid,
        right: &Grid,
        matching: &Matching,
        place: Place,
    ) -> Result<Grid, EvalError> {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let groups = groups(many, one, matching);
        // Which side is filled goes by "many" and "one", also where `group_right` has them the other way round.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let width = left.width.max(right.width);
        let mut join = Join {
            binary,
            matching,
            place,
            swapped,
            out: self.grid(width)?,
            index: LineIndex::new(),
            pairs: HashMap::new(),
            last: Vec::new(),
            matched: vec![false; groups.count],
        };
        let mut ones = vec![NONE; groups.count];
        for step in 0..width {
            self.alive()?;
            let is_empty = |grid: &Grid| (0..grid.lines.len()).all(|line| grid.at(line, step).is_absent());
            if fill_many.is_none() && fill_one.is_none() && (is_empty(many) || is_empty(one)) {
                // Where nothing can match, nothing can match twice.
                continue;
            }
            ones.fill(NONE);
            join.matched.fill(false);
            for (line, group) in groups.right.iter().enumerate().filter(|(line, _)| !one.at(*line, step).is_absent()) {
                if ones[*group] != NONE {
                    let side = if swapped { "left" } else { "right" };
                    let (new, earlier) = (&one.lines[line].labels, &one.lines[ones[*group]].labels);
                    return Err(many_to_many(&signature(new, matching), side, new, earlier, place));
                }
                ones[*group] = line;
            }
            for (line, group) in groups.left.iter().copied().enumerate() {
                let point = many.at(line, step);
                if point.is_absent() {
                    continue;
                }
                let labels = &many.lines[line].labels;
                let other = ones[group];
                match (other, fill_one) {
                    (NONE, None) => {}
                    (NONE, Some(fill)) => {
                        let filled = signature(labels, matching);
                        join.add(self, (step, group), (line, NONE), (labels, &filled), (point, &Point::Float(fill)))?;
                    }
                    (other, _) => {
                        let labels = (labels, &one.lines[other].labels);
                        join.add(self, (step, group), (line, other), labels, (point, one.at(other, step)))?;
                    }
                }
            }
            let Some(fill) = fill_many else { continue };
            for (group, other) in ones.iter().copied().enumerate() {
                if other == NONE || join.matched[group] {
                    continue;
                }
                let labels = &one.lines[other].labels;
                let filled = signature(labels, matching);
                join.add(self, (step, group), (NONE, other), (&filled, labels), (&Point::Float(fill), one.at(other, step)))?;
            }
        }
        Ok(join.out.without_empty_lines())
    }

    /// Evaluates `and`, `or` and `unless`.
    pub fn set(&self, op: BinaryOp, left: &Grid, right: &Grid, matching: &Matching, place: Place) -> Result<Grid, EvalError> {
        let groups = groups(left, right, matching);
        let width = left.width.max(right.width);
        let (mut out, mut index) = (self.grid(width)?, LineIndex::new());
        let mut present = vec![false; groups.count * width];
        let (side, of) = if op == BinaryOp::Or { (left, &groups.left) } else { (right, &groups.right) };
        for (line, group) in of.iter().enumerate() {
            for step in 0..width {
                present[group * width + step] |= !side.at(line, step).is_absent();
            }
        }
        let mut copy = |from: &Grid, of: &[usize], wanted: Option<bool>| -> Result<(), EvalError> {
            for (line, group) in of.iter().enumerate() {
                self.alive()?;
                let target = index.find_or_add(self, &mut out, from.lines[line].clone())?;
                for step in 0..width {
                    let point = from.at(line, step);
                    if point.is_absent() || wanted.is_some_and(|wanted| present[group * width + step] != wanted) {
                        continue;
                    }
                    let target = &mut out.points[target * width + step];
                    if !target.is_absent() {
                        return Err(EvalError::execution(SAME_LABELS, place));
                    }
                    *target = point.clone();
                }
            }
            Ok(())
        };
        match op {
            BinaryOp::And => copy(left, &groups.left, Some(true))?,
            BinaryOp::Unless => copy(left, &groups.left, Some(false))?,
            _ => {
                copy(left, &groups.left, None)?;
                copy(right, &groups.right, Some(false))?;
            }
        }
        Ok(out.without_empty_lines())
    }
}

fn many_to_many(group: &LabelSet, side: &str, new: &LabelSet, earlier: &LabelSet, place: Place) -> EvalError {
    let (first, second) = (new.min(earlier), new.max(earlier));
    let message = format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, {second}]\
         ;many-to-many matching not allowed: matching labels must be unique on one side"
    );
    EvalError::execution(message, place)
}
