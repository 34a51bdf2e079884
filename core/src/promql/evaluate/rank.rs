//! Aggregations that answer some of the series they get: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use super::aggregate::Group;
use super::xxhash::xxh64;
use super::{Column, Engine, EvalError, Grid, Note, Point};
use crate::model::LabelSet;
use crate::promql::ast::{AggregateOp, Place};

/// A heap of values with the line each belongs to, the worst at the top, which keeps and evicts equal values as Prometheus does.
struct Heap {
    entries: Vec<(f64, usize)>,
    /// Whether small values are the worst.
    largest_wins: bool,
}

impl Heap {
    /// Returns whether a value is worse than another one; NaN is worst.
    fn worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || (if self.largest_wins { a < b } else { a > b })
    }

    fn push(&mut self, entry: (f64, usize)) {
        self.entries.push(entry);
        let mut child = self.entries.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.worse(self.entries[child].0, self.entries[parent].0) {
                break;
            }
            self.entries.swap(child, parent);
            child = parent;
        }
    }

    /// Puts a better value in the place of the worst.
    fn replace_top(&mut self, entry: (f64, usize)) {
        self.entries[0] = entry;
        let mut parent = 0;
        loop {
            let (left, right) = (2 * parent + 1, 2 * parent + 2);
            let mut child = left;
            if left >= self.entries.len() {
                break;
            }
            if right < self.entries.len() && self.worse(self.entries[right].0, self.entries[left].0) {
                child = right;
            }
            if !self.worse(self.entries[child].0, self.entries[parent].0) {
                break;
            }
            self.entries.swap(parent, child);
            parent = child;
        }
    }

    fn offer(&mut self, size: usize, value: f64, line: usize) {
        if self.entries.len() < size {
            return self.push((value, line));
        }
        let worst = self.entries[0].0;
        let beats = if self.largest_wins { value > worst } else { value < worst };
        if beats || (worst.is_nan() && !value.is_nan()) {
            self.replace_top((value, line));
        }
    }

    /// Returns the lines, best first, NaN last.
    fn into_lines(self) -> Vec<usize> {
        let mut entries = self.entries;
        let largest_wins = self.largest_wins;
        entries.sort_by(|(a, _), (b, _)| {
            let order = if largest_wins { b.partial_cmp(a) } else { a.partial_cmp(b) };
            order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        entries.into_iter().map(|(_, line)| line).collect()
    }
}

/// Returns where between 0 and 1 a series falls when a share of all is taken.
///
/// Source: Prometheus `HashRatioSampler` over `stringlabels`, so that the same series are taken.
fn sampling_offset(labels: &LabelSet) -> f64 {
    let mut bytes = Vec::with_capacity(128);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes) as f64 / u64::MAX as f64
}

fn in_ratio(ratio: f64, offset: f64) -> bool {
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}

impl Engine<'_> {
    /// Remarks on ratios beyond -1 and 1; refuses parameters that are no number.
    fn check_parameter(&self, op: AggregateOp, column: &Column, place: Place) -> Result<(), EvalError> {
        let numbers = || column.0.iter().copied();
        let (largest, smallest) = (numbers().fold(f64::NEG_INFINITY, f64::max), numbers().fold(f64::INFINITY, f64::min));
        let has_nan = numbers().any(f64::is_nan);
        if op == AggregateOp::LimitRatio {
            if has_nan {
                return Err(EvalError::execution("Ratio value is NaN", place));
            }
            if largest > 1.0 {
                self.notes.add(Note::InvalidRatio { ratio: largest, capped: 1.0 }, place);
            }
            if smallest < -1.0 {
                self.notes.add(Note::InvalidRatio { ratio: smallest, capped: -1.0 }, place);
            }
            return Ok(());
        }
        let message = if has_nan {
            "Parameter value is NaN".to_owned()
        } else if largest >= 1.0 && smallest <= -9.223_372_036_854_775e18 {
            format!("Scalar value {} underflows int64", crate::model::sample::shortest(smallest))
        } else if largest >= 9.223_372_036_854_775e18 {
            format!("Scalar value {} overflows int64", crate::model::sample::shortest(largest))
        } else {
            return Ok(());
        };
        Err(EvalError::execution(message, place))
    }

    pub(super) fn ranked(
        &self,
        op: AggregateOp,
        input: &Grid,
        groups: &[Group],
        column: &Column,
        param_place: Place,
        place: Place,
    ) -> Result<Grid, EvalError> {
        self.check_parameter(op, column, param_place)?;
        let (width, mut out) = (input.width, self.grid(input.width)?);
        // Result lines by input line; they come into being in the order of the first step that has them.
        let mut targets: Vec<Option<usize>> = vec![None; input.lines.len()];
        let offsets: Vec<f64> = match op {
            AggregateOp::LimitRatio => input.lines.iter().map(|line| sampling_offset(&line.labels)).collect(),
            _ => Vec::new(),
        };
        for step in 0..width {
            self.alive()?;
            let parameter = column.at(step);
            for group in groups {
                let points = group.lines.iter().map(|line| (*line, input.at(*line, step)));
                let present = points.filter(|(_, point)| !point.is_absent());
                let chosen: Vec<usize> = match op {
                    AggregateOp::LimitRatio => {
                        let ratio = parameter.clamp(-1.0, 1.0);
                        present.map(|(line, _)| line).filter(|line| in_ratio(ratio, offsets[*line])).collect()
                    }
                    _ if parameter < 1.0 => Vec::new(),
                    AggregateOp::LimitK => present.map(|(line, _)| line).take(parameter as usize).collect(),
                    _ => {
                        let size = (parameter as usize).min(group.lines.len());
                        let largest_wins = op == AggregateOp::TopK;
                        let mut heap = Heap { entries: Vec::with_capacity(size), largest_wins };
                        for (line, point) in present {
                            match point {
                                Point::Float(value) => heap.offer(size, *value, line),
                                _ => {
                                    let aggregation = if largest_wins { "topk" } else { "bottomk" };
                                    self.notes.add(Note::IgnoredInAggregation { aggregation }, place);
                                }
                            }
                        }
                        heap.into_lines()
                    }
                };
                for line in chosen {
                    let target = match targets[line] {
                        Some(target) => target,
                        None => self.add_line(&mut out, input.lines[line].clone())?,
                    };
                    targets[line] = Some(target);
                    out.points[target * width + step] = input.at(line, step).clone();
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(values: &[f64], size: usize, largest_wins: bool) -> Vec<usize> {
        let mut heap = Heap { entries: Vec::new(), largest_wins };
        values.iter().enumerate().for_each(|(line, value)| heap.offer(size, *value, line));
        heap.into_lines()
    }

    #[test]
    fn the_best_come_first_and_nan_last() {
        assert_eq!(top(&[1.0, f64::NAN, 3.0, 2.0], 2, true), [2, 3]);
        assert_eq!(top(&[1.0, f64::NAN, 3.0, 2.0], 4, false), [0, 3, 2, 1]);
        assert_eq!(top(&[5.0, 5.0, 5.0], 2, true), [0, 1]);
    }

    #[test]
    fn a_ratio_and_its_complement_share_nothing() {
        for offset in [0.0, 0.2, 0.5, 0.99] {
            assert_ne!(in_ratio(0.3, offset), in_ratio(-0.7, offset));
        }
    }
}
