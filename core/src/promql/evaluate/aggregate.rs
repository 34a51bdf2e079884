//! Aggregation: many series become one for each group.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::engine::LineIndex;
use super::{Column, Engine, EvalError, Grid, Line, Note, Point, Steps, bare};
use crate::model::histogram::{Compensated, Incompatible, Reconciled};
use crate::model::labels::quote;
use crate::model::sample::compensated;
use crate::model::{Histogram, LabelSet, METRIC_NAME};
use crate::promql::ast::{Aggregate, AggregateOp, Expr, ExprKind, Place};
use crate::promql::functions::label::is_label_name;
use crate::promql::functions::over_time::{HistogramMean, Mean, Trouble, quantile_of};

/// The lines of one group, in the order of the input.
pub(super) struct Group {
    pub labels: LabelSet,
    pub lines: Vec<usize>,
}

/// Puts the labels that a series has in common with its group, packed, in place of what `out` holds.
fn pack_group(labels: &LabelSet, aggregate: &Aggregate, out: &mut Vec<u8>) {
    let named = |name: &str| aggregate.grouping.iter().any(|label| label == name);
    match aggregate.without {
        true => labels.pack_only(|name| name != METRIC_NAME && !named(name), out),
        false if aggregate.grouping.is_empty() => out.clear(),
        false => labels.pack_only(named, out),
    }
}

fn unpacked(packed: &[u8]) -> LabelSet {
    LabelSet::from_packed(packed).expect("some labels of a set are a set")
}

/// Returns the groups in the order in which their first series come.
fn groups(input: &Grid, aggregate: &Aggregate) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut numbers: HashTable<usize> = HashTable::new();
    let hasher = RandomState::default();
    let mut packed = Vec::new();
    for (index, line) in input.lines.iter().enumerate() {
        pack_group(&line.labels, aggregate, &mut packed);
        let hash = hasher.hash_one(&packed);
        let entry = numbers.entry(
            hash,
            |group| groups[*group].labels.packed() == packed,
            |group| hasher.hash_one(groups[*group].labels.packed()),
        );
        let group = match entry {
            Entry::Occupied(group) => *group.get(),
            Entry::Vacant(place) => {
                let group = groups.len();
                place.insert(group);
                groups.push(Group { labels: unpacked(&packed), lines: Vec::new() });
                group
            }
        };
        groups[group].lines.push(index);
    }
    groups
}

/// Sums or means of histograms.
enum Histograms {
    Sum(Compensated),
    Mean(HistogramMean),
}

impl Histograms {
    fn new(op: AggregateOp, first: Histogram) -> Histograms {
        if op == AggregateOp::Avg {
            Histograms::Mean(HistogramMean::new(first))
        } else {
            Histograms::Sum(Compensated::new(first))
        }
    }

    fn add(&mut self, histogram: &Histogram) -> Result<Reconciled, Incompatible> {
        match self {
            Histograms::Sum(sum) => sum.add(histogram),
            Histograms::Mean(mean) => mean.add(histogram),
        }
    }

    fn finish(self) -> Histogram {
        let mut histogram = match self {
            Histograms::Sum(sum) => sum.finish(),
            Histograms::Mean(mean) => mean.finish(),
        };
        histogram.compact();
        histogram
    }
}

/// What one group has gathered at one step.
#[derive(Default)]
struct Gathered {
    count: f64,
    value: f64,
    loss: f64,
    mean: Mean,
    numbers: Vec<f64>,
    histograms: Option<Histograms>,
    trouble: Trouble,
    has_float: bool,
    is_mixed: bool,
    is_incompatible: bool,
    drop_name: bool,
}

impl Gathered {
    fn float(&mut self, op: AggregateOp, value: f64) {
        self.is_mixed |= self.histograms.is_some();
        self.has_float = true;
        self.count += 1.0;
        match op {
            AggregateOp::Sum => (self.value, self.loss) = compensated(value, self.value, self.loss),
            AggregateOp::Avg => self.mean.add(value),
            AggregateOp::Min if self.count == 1.0 || value < self.value || self.value.is_nan() => self.value = value,
            AggregateOp::Max if self.count == 1.0 || value > self.value || self.value.is_nan() => self.value = value,
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                // Welford's method: `loss` is the mean so far, `value` the sum of squared distances from it.
                let distance = value - self.loss;
                if self.count == 1.0 {
                    self.loss = value;
                    self.value = if value.is_finite() { 0.0 } else { f64::NAN };
                } else {
                    self.loss += distance / self.count;
                    self.value += distance * (value - self.loss);
                }
            }
            AggregateOp::Quantile => self.numbers.push(value),
            _ => {}
        }
    }

    fn histogram(&mut self, op: AggregateOp, histogram: &Histogram) -> Result<(), Incompatible> {
        self.is_mixed |= self.has_float;
        self.trouble.see(histogram);
        match &mut self.histograms {
            _ if self.is_mixed || self.is_incompatible => {}
            None => self.histograms = Some(Histograms::new(op, histogram.clone())),
            Some(histograms) => match histograms.add(histogram) {
                Ok(reconciled) => self.trouble.join(reconciled),
                Err(incompatible) => {
                    self.is_incompatible = true;
                    return Err(incompatible);
                }
            },
        }
        Ok(())
    }

    fn finish(self, op: AggregateOp, quantile: f64) -> Point {
        let mut numbers = self.numbers;
        Point::Float(match op {
            _ if self.is_incompatible => return Point::Absent,
            AggregateOp::Sum | AggregateOp::Avg if self.histograms.is_some() => {
                return self.histograms.map_or(Point::Absent, |all| Point::Histogram(Arc::new(all.finish())));
            }
            _ if self.count == 0.0 => return Point::Absent,
            AggregateOp::Sum => self.value + self.loss,
            AggregateOp::Avg => self.mean.finish(),
            AggregateOp::Count => self.count,
            AggregateOp::Group => 1.0,
            AggregateOp::Stdvar => self.value / self.count,
            AggregateOp::Stddev => (self.value / self.count).sqrt(),
            AggregateOp::Quantile => quantile_of(quantile, &mut numbers),
            _ => self.value,
        })
    }
}

impl Engine<'_> {
    pub fn aggregate(&self, aggregate: &Aggregate, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let input_expr = bare(&aggregate.expr);
        let param = aggregate.param.as_ref().map(bare);
        match aggregate.op {
            AggregateOp::CountValues => self.count_values(aggregate, input_expr, param, place, steps),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                let (column, param_place) = self.parameter(param, place, steps)?;
                let input = self.widened_for(self.vector(input_expr, steps)?, &column, steps)?;
                let groups = groups(&input, aggregate);
                self.ranked(aggregate.op, &input, &groups, &column, param_place, place)
            }
            AggregateOp::Quantile => {
                let (column, param_place) = self.parameter(param, place, steps)?;
                for quantile in column.0.iter().filter(|quantile| !(0.0..=1.0).contains(*quantile)) {
                    self.notes.add(Note::InvalidQuantile(*quantile), param_place);
                }
                let input = self.widened_for(self.vector(input_expr, steps)?, &column, steps)?;
                self.gathered(aggregate, &input, &column, input_expr.place)
            }
            _ => self.gathered(aggregate, &self.vector(input_expr, steps)?, &Column(vec![f64::NAN]), input_expr.place),
        }
    }

    fn parameter(&self, param: Option<&Expr>, place: Place, steps: &Steps) -> Result<(Column, Place), EvalError> {
        let param = param.ok_or_else(|| EvalError::execution("the aggregation lacks its parameter", place))?;
        Ok((self.scalar(param, steps)?, param.place))
    }

    fn widened_for(&self, grid: Grid, column: &Column, steps: &Steps) -> Result<Grid, EvalError> {
        if grid.width == 1 && column.0.len() > 1 { self.widened(&grid, steps.count) } else { Ok(grid) }
    }

    /// Evaluates the aggregations that answer one value for each group.
    fn gathered(&self, aggregate: &Aggregate, input: &Grid, quantiles: &Column, place: Place) -> Result<Grid, EvalError> {
        let op = aggregate.op;
        let takes_histograms = matches!(op, AggregateOp::Sum | AggregateOp::Avg);
        let counts_histograms = matches!(op, AggregateOp::Count | AggregateOp::Group);
        let mut out = self.grid(input.width)?;
        for group in groups(input, aggregate) {
            self.alive()?;
            // The series of a group one after the other, each over all steps: memory is read in order.
            let mut row: Vec<Gathered> = Vec::new();
            row.resize_with(input.width, Gathered::default);
            for line in &group.lines {
                let drop_name = input.lines[*line].drop_name;
                for (gathered, point) in row.iter_mut().zip(input.row(*line)) {
                    match point {
                        Point::Absent => continue,
                        Point::Float(value) => gathered.float(op, *value),
                        Point::Histogram(_) if counts_histograms => gathered.float(op, 1.0),
                        Point::Histogram(histogram) if takes_histograms => {
                            if gathered.histogram(op, histogram).is_err() {
                                self.notes.add(Note::MixedBuckets { metric: input.lines[*line].labels.name() }, place);
                            }
                        }
                        Point::Histogram(_) => {
                            self.notes.add(Note::IgnoredInAggregation { aggregation: op.symbol() }, place);
                            continue;
                        }
                    }
                    gathered.drop_name |= drop_name;
                }
            }
            let index = self.add_line(&mut out, Line { labels: group.labels, drop_name: false })?;
            for (step, gathered) in row.into_iter().enumerate() {
                if gathered.is_mixed {
                    self.notes.add(Note::MixedSamplesInAggregation, place);
                    continue;
                }
                gathered.trouble.remark(&self.notes, place);
                out.lines[index].drop_name |= gathered.drop_name;
                out.points[index * input.width + step] = gathered.finish(op, quantiles.at(step));
            }
        }
        Ok(out.without_empty_lines())
    }

    /// Evaluates `count_values`: a series for each group and value.
    fn count_values(
        &self,
        aggregate: &Aggregate,
        input: &Expr,
        param: Option<&Expr>,
        place: Place,
        steps: &Steps,
    ) -> Result<Grid, EvalError> {
        let Some(ExprKind::Text(label)) = param.map(|param| &param.kind) else {
            return Err(EvalError::execution("count_values expects a string as parameter", place));
        };
        if !is_label_name(label) {
            return Err(EvalError::execution(format!("invalid label name {}", quote(label)), place));
        }
        let input = self.vector(input, steps)?;
        let mut out = self.grid(input.width)?;
        let mut index = LineIndex::new();
        let mut packed = Vec::new();
        let mut keeping = aggregate.clone();
        if !aggregate.without {
            keeping.grouping.push(label.clone());
        }
        for (line, row) in input.rows() {
            self.alive()?;
            for (step, point) in row.iter().enumerate() {
                let value = match point {
                    Point::Absent => continue,
                    Point::Float(value) if value.is_infinite() => if *value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
                    Point::Float(value) => value.to_string(),
                    Point::Histogram(histogram) => histogram.to_string(),
                };
                pack_group(&line.labels.builder().set(label, &value).build(), &keeping, &mut packed);
                let labels = unpacked(&packed);
                let target = index.find_or_add(self, &mut out, Line { labels, drop_name: false })?;
                let target = &mut out.points[target * input.width + step];
                *target = Point::Float(target.float().unwrap_or(0.0) + 1.0);
            }
        }
        Ok(out)
    }
}
