//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` over classic and native histograms.

use foldhash::{HashMap, HashMapExt};

use super::engine::LineIndex;
use super::{Column, Engine, EvalError, Grid, Note, Point, Steps, bare};
use crate::model::histogram::Skew;
use crate::model::sample::shortest;
use crate::model::{Histogram, LabelSet};
use crate::promql::ast::{Call, Expr, ExprKind, Place};
use crate::promql::functions::classic::{self, ClassicBucket};

const BUCKET_LABEL: &str = "le";

/// What a line of the input is.
enum Role {
    /// A bucket of the classic histogram with this number.
    Bucket { histogram: usize, upper: f64 },
    /// `le` is missing or no number.
    BadBucket,
}

/// A vector sorted into histograms, once for all steps.
struct Sorted {
    roles: Vec<Role>,
    /// Labels of the classic histograms.
    classic: Vec<LabelSet>,
    /// For each line the classic histogram of the same labels, which a native one collides with.
    twin: Vec<Option<usize>>,
}

fn sort(grid: &Grid) -> Sorted {
    let mut numbers: HashMap<LabelSet, usize> = HashMap::new();
    let (mut roles, mut classic) = (Vec::with_capacity(grid.lines.len()), Vec::new());
    for line in &grid.lines {
        roles.push(match parse_bound(line.labels.get(BUCKET_LABEL)) {
            None => Role::BadBucket,
            Some(upper) => {
                let labels = line.labels.without(|name| name == BUCKET_LABEL);
                let histogram = *numbers.entry(labels).or_insert_with_key(|labels| {
                    classic.push(labels.clone());
                    classic.len() - 1
                });
                Role::Bucket { histogram, upper }
            }
        });
    }
    let twin = grid.lines.iter().map(|line| numbers.get(&line.labels).copied()).collect();
    Sorted { roles, classic, twin }
}

/// Reads the bound of a bucket as Go reads numbers.
fn parse_bound(text: &str) -> Option<f64> {
    match text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => Some(f64::NAN),
        _ => fast_float2::parse(text).ok(),
    }
}

/// Returns a number as OpenMetrics writes it in a label: always with a point or an exponent.
fn label_value(value: f64) -> String {
    let text = shortest(value);
    if text.contains(['.', 'e', 'N', 'I']) { text } else { format!("{text}.0") }
}

impl Engine<'_> {
    /// Calls `classic` and `native` for every histogram at every step, with the results' labels.
    ///
    /// A native histogram of the same labels as a classic one at the same step makes both useless.
    fn each_histogram(
        &self,
        input: &Grid,
        place: Place,
        mut each: impl FnMut(usize, &LabelSet, Found<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let sorted = sort(input);
        let mut buckets: Vec<Vec<ClassicBucket>> = vec![Vec::new(); sorted.classic.len()];
        for step in 0..input.width {
            self.alive()?;
            buckets.iter_mut().for_each(Vec::clear);
            for (line, role) in sorted.roles.iter().enumerate() {
                let Point::Float(count) = input.at(line, step) else { continue };
                match role {
                    Role::Bucket { histogram, upper } => buckets[*histogram].push(ClassicBucket { upper: *upper, count: *count }),
                    Role::BadBucket => {
                        let labels = &input.lines[line].labels;
                        let (metric, label) = (labels.name(), labels.get(BUCKET_LABEL));
                        self.notes.add(Note::BadBucketLabel { metric, label }, place);
                    }
                }
            }
            for (line, twin) in sorted.twin.iter().enumerate() {
                let Point::Histogram(histogram) = input.at(line, step) else { continue };
                let labels = &input.lines[line].labels;
                if let Some(twin) = twin.filter(|twin| !buckets[*twin].is_empty()) {
                    buckets[twin].clear();
                    self.notes.add(Note::MixedClassicAndNative { metric: labels.name() }, place);
                    continue;
                }
                each(step, labels, Found::Native(histogram))?;
            }
            for (labels, buckets) in sorted.classic.iter().zip(&mut buckets).filter(|(_, buckets)| !buckets.is_empty()) {
                each(step, labels, Found::Classic(buckets))?;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        out: &mut Grid,
        index: &mut LineIndex,
        step: usize,
        labels: &LabelSet,
        value: f64,
        place: Place,
    ) -> Result<(), EvalError> {
        let line = index.find_or_add(self, out, self.renamed(labels))?;
        let point = &mut out.points[line * out.width + step];
        if !point.is_absent() {
            return Err(EvalError::execution(super::grid::SAME_LABELS, place));
        }
        *point = Point::Float(value);
        Ok(())
    }

    fn check_quantile(&self, column: &Column, place: Place) {
        for quantile in column.0.iter().filter(|quantile| !(0.0..=1.0).contains(*quantile)) {
            self.notes.add(Note::InvalidQuantile(*quantile), place);
        }
    }

    /// Returns the quantile of one histogram, remarking what bends it.
    fn quantile(&self, quantile: f64, labels: &LabelSet, found: Found<'_>, place: Place) -> f64 {
        match found {
            Found::Native(histogram) => {
                let estimate = histogram.quantile(quantile);
                let metric = labels.name();
                match estimate.skew {
                    Some(Skew::IsNan) => self.notes.add(Note::NanQuantile { metric }, place),
                    Some(Skew::Higher) => self.notes.add(Note::SkewedQuantile { metric }, place),
                    None => {}
                }
                estimate.value
            }
            Found::Classic(buckets) => {
                let (value, repaired) = classic::quantile(quantile, buckets);
                if repaired {
                    self.notes.add(Note::ForcedMonotonicity { metric: labels.name() }, place);
                }
                value
            }
        }
    }

    /// Returns the input with a value for every step when an argument differs from step to step.
    fn input(&self, arg: &Expr, columns: &[&Column], steps: &Steps) -> Result<Grid, EvalError> {
        let grid = self.vector(arg, steps)?;
        let varies = columns.iter().any(|column| column.0.len() > 1);
        if varies && grid.width == 1 { self.widened(&grid, steps.count) } else { Ok(grid) }
    }

    pub fn histogram_quantile(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let (quantile_arg, vector_arg) = (bare(&call.args[0]), bare(&call.args[1]));
        let quantiles = self.scalar(quantile_arg, steps)?;
        let input = self.input(vector_arg, &[&quantiles], steps)?;
        self.check_quantile(&quantiles, quantile_arg.place);
        let (mut out, mut index) = (self.grid(input.width)?, LineIndex::new());
        self.each_histogram(&input, vector_arg.place, |step, labels, found| {
            let value = self.quantile(quantiles.at(step), labels, found, vector_arg.place);
            self.put(&mut out, &mut index, step, labels, value, place)
        })?;
        Ok(out)
    }

    pub fn histogram_quantiles(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let vector_arg = bare(&call.args[0]);
        let ExprKind::Text(label) = &bare(&call.args[1]).kind else {
            return Err(EvalError::execution("histogram_quantiles expects a string as argument 2", place));
        };
        let mut quantiles = Vec::new();
        for arg in call.args[2..].iter().map(bare) {
            let column = self.scalar(arg, steps)?;
            self.check_quantile(&column, arg.place);
            quantiles.push(column);
        }
        let input = self.input(vector_arg, &quantiles.iter().collect::<Vec<&Column>>(), steps)?;
        let (mut out, mut index) = (self.grid(input.width)?, LineIndex::new());
        self.each_histogram(&input, vector_arg.place, |step, labels, mut found| {
            for column in &quantiles {
                let quantile = column.at(step);
                let value = self.quantile(quantile, labels, found.again(), vector_arg.place);
                let labels = labels.builder().set(label, &label_value(quantile)).build();
                self.put(&mut out, &mut index, step, &labels, value, place)?;
            }
            Ok(())
        })?;
        Ok(out)
    }

    pub fn histogram_fraction(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let [lower_arg, upper_arg, vector_arg] = [0, 1, 2].map(|index| bare(&call.args[index]));
        let (lower, upper) = (self.scalar(lower_arg, steps)?, self.scalar(upper_arg, steps)?);
        let input = self.input(vector_arg, &[&lower, &upper], steps)?;
        let (mut out, mut index) = (self.grid(input.width)?, LineIndex::new());
        self.each_histogram(&input, vector_arg.place, |step, labels, found| {
            let (lower, upper) = (lower.at(step), upper.at(step));
            let value = match found {
                Found::Classic(buckets) => classic::fraction(lower, upper, buckets),
                Found::Native(histogram) => {
                    let estimate = histogram.fraction(lower, upper);
                    if estimate.skew.is_some() {
                        self.notes.add(Note::NanFraction { metric: labels.name() }, vector_arg.place);
                    }
                    estimate.value
                }
            };
            self.put(&mut out, &mut index, step, labels, value, place)
        })?;
        Ok(out)
    }
}

/// A histogram at one step.
enum Found<'a> {
    Native(&'a Histogram),
    Classic(&'a mut Vec<ClassicBucket>),
}

impl Found<'_> {
    fn again(&mut self) -> Found<'_> {
        match self {
            Found::Native(histogram) => Found::Native(histogram),
            Found::Classic(buckets) => Found::Classic(buckets),
        }
    }
}
