//! `info`: adds labels of info metrics, such as `target_info`, to the series that they describe.

use std::collections::BTreeMap;

use crate::model::{LabelSet, METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{At, Call, DurationExpr, Expr, ExprKind, Place, VectorSelector};
use crate::promql::evaluate::{Engine, EvalError, Grid, Line, LineIndex, Point, Steps, bare};
use crate::time::Span;

const DEFAULT_INFO_METRIC: &str = "target_info";

/// The labels by which an info series is joined.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// When an expression looks at its samples: the instant that `@` fixes, and the offset back from there or from the step.
#[derive(Clone, Copy, Default)]
struct Reference {
    at: Option<At>,
    offset: i64,
}

impl Engine<'_> {
    /// Returns when the first selector of an expression looks at its samples; the info series are looked up then as well.
    fn looks_at(&self, expr: &Expr) -> Result<Option<Reference>, EvalError> {
        let of = |at, offset: Option<&DurationExpr>| -> Result<Reference, EvalError> {
            Ok(Reference { at, offset: self.offset(offset, expr.place)? })
        };
        let first = |parts: &[&Expr]| {
            let found = parts.iter().map(|part| self.looks_at(part)).find(|found| !matches!(found, Ok(None)));
            found.unwrap_or(Ok(None))
        };
        Ok(match &expr.kind {
            ExprKind::Vector(selector) => Some(of(selector.at, selector.offset.as_ref())?),
            ExprKind::Matrix(selector) => Some(of(selector.vector.at, selector.vector.offset.as_ref())?),
            ExprKind::Subquery(subquery) => {
                let (inner, outer) = (self.looks_at(&subquery.expr)?, of(subquery.at, subquery.offset.as_ref())?);
                inner.map(|inner| match inner.at {
                    Some(_) => inner,
                    None => Reference { at: outer.at, offset: outer.offset + inner.offset },
                })
            }
            ExprKind::Call(call) => first(&call.args.iter().collect::<Vec<&Expr>>())?,
            ExprKind::Aggregate(aggregate) => self.looks_at(&aggregate.expr)?,
            ExprKind::Binary(binary) => first(&[&binary.left, &binary.right])?,
            ExprKind::Unary { operand, .. } => self.looks_at(operand)?,
            ExprKind::Paren(inner) => self.looks_at(inner)?,
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => None,
        })
    }
}

fn identity(labels: &LabelSet) -> LabelSet {
    labels.only(|name| IDENTIFYING.contains(&name))
}

/// What `info` looks for.
struct Wanted {
    names: Vec<Matcher>,
    /// Conditions on data labels; when there are any, only their labels are added.
    data: Vec<Matcher>,
}

impl Engine<'_> {
    /// Returns the info series with, at each step, the time of their current sample.
    fn info_series(&self, base: &Grid, is_info: &[bool], wanted: &Wanted, call: &Call, steps: &Steps) -> Result<Grid, EvalError> {
        let bad = |error: crate::model::matcher::BadRegex| EvalError::execution(error.to_string(), call.args[0].place);
        let mut matchers = wanted.names.clone();
        for name in IDENTIFYING {
            let bases = base.lines.iter().zip(is_info).filter(|(_, is_info)| !**is_info);
            let mut values: Vec<String> = bases.map(|(line, _)| regex::escape(line.labels.get(name))).collect();
            values.retain(|value| !value.is_empty());
            values.sort();
            values.dedup();
            if !values.is_empty() {
                matchers.push(Matcher::new(name, MatchOp::Regex, values.join("|")).map_err(bad)?);
            }
        }
        if matchers.len() == wanted.names.len() {
            return self.grid(steps.count);
        }
        matchers.extend(wanted.data.iter().cloned());
        let reference = self.looks_at(&call.args[0])?.unwrap_or_default();
        let offset = Some(DurationExpr::Literal(Span(reference.offset)));
        let selector = VectorSelector { name: None, matchers, offset, at: reference.at, edges: None };
        self.select_current(&selector, call.args[0].place, steps, |_, at, point| match point {
            // Info metrics are always 1; what counts is how new the sample is.
            Point::Float(_) => Point::Float(at as f64),
            other => other,
        })
    }

    pub(crate) fn info(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let base = self.vector(bare(&call.args[0]), steps)?;
        let base = if base.width == steps.count { base } else { self.widened(&base, steps.count)? };
        let mut wanted = Wanted { names: Vec::new(), data: Vec::new() };
        if let Some(ExprKind::Vector(selector)) = call.args.get(1).map(|arg| &bare(arg).kind) {
            let (names, data) = selector.matchers.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
            wanted = Wanted { names, data };
        }
        if wanted.names.is_empty() {
            wanted.names.push(Matcher::equal(METRIC_NAME, DEFAULT_INFO_METRIC));
        }
        let names = &wanted.names;
        let is_info: Vec<bool> =
            base.lines.iter().map(|line| names.iter().all(|matcher| matcher.is_match(line.labels.name()))).collect();
        let infos = self.info_series(&base, &is_info, &wanted, call, steps)?;

        // Info series by what they describe, then by name.
        let mut by_identity: BTreeMap<LabelSet, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
        for (index, line) in infos.lines.iter().enumerate() {
            let names = by_identity.entry(identity(&line.labels)).or_default();
            names.entry(line.labels.name().to_owned()).or_default().push(index);
        }
        let all_may_be_missing = wanted.data.iter().all(Matcher::matches_empty);
        let (mut out, mut index) = (self.grid(steps.count)?, LineIndex::new());
        for (line_index, line) in base.lines.iter().enumerate() {
            self.alive()?;
            let none = BTreeMap::new();
            let candidates = by_identity.get(&identity(&line.labels)).unwrap_or(&none);
            for step in 0..steps.count {
                let point = base.at(line_index, step);
                if point.is_absent() {
                    continue;
                }
                let mut labels = line.labels.clone();
                if !is_info[line_index] {
                    match self.enriched(line, candidates, &infos, step, &wanted, place)? {
                        Some(enriched) => labels = enriched,
                        None if all_may_be_missing => {}
                        None => continue,
                    }
                }
                let target = index.find_or_add(self, &mut out, Line { labels, drop_name: line.drop_name })?;
                let target = &mut out.points[target * steps.count + step];
                if !target.is_absent() {
                    return Err(EvalError::execution("vector cannot contain metrics with the same labelset", place));
                }
                *target = point.clone();
            }
        }
        Ok(out)
    }

    /// Returns the labels of a series with those of its info series at one step; `None` when there is no info series.
    fn enriched(
        &self,
        base: &Line,
        candidates: &BTreeMap<String, Vec<usize>>,
        infos: &Grid,
        step: usize,
        wanted: &Wanted,
        place: Place,
    ) -> Result<Option<LabelSet>, EvalError> {
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        let mut found = false;
        for lines in candidates.values() {
            let mut newest: Option<(f64, usize)> = None;
            for line in lines {
                let at = match infos.at(*line, step) {
                    Point::Absent => continue,
                    Point::Float(at) => *at,
                    Point::Histogram(_) => {
                        let message = format!("this should be an info metric, with float samples: {}", infos.lines[*line].labels);
                        return Err(EvalError::execution(message, place));
                    }
                };
                match newest {
                    Some((other, earlier)) if other == at => {
                        let (earlier, new) = (&infos.lines[earlier].labels, &infos.lines[*line].labels);
                        let message =
                            format!("found duplicate series for info metric: existing {earlier} @ {at}, new {new} @ {at}");
                        return Err(EvalError::execution(message, place));
                    }
                    Some((other, _)) if other > at => {}
                    _ => newest = Some((at, *line)),
                }
            }
            let Some((_, line)) = newest else { continue };
            found = true;
            for (name, value) in infos.lines[line].labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
                if !wanted.data.is_empty() && !wanted.data.iter().any(|matcher| matcher.name == name) {
                    continue;
                }
                if added.get(name).is_some_and(|other| *other != value) {
                    return Err(EvalError::execution(format!("conflicting label: {name}"), place));
                }
                if !base.labels.has(name) {
                    added.insert(name, value);
                }
            }
        }
        if !found {
            return Ok(None);
        }
        let mut labels = base.labels.builder();
        for (name, value) in added {
            labels.set(name, value);
        }
        Ok(Some(labels.build()))
    }
}
