//! Functions that put an instant vector in order.

use std::cmp::Ordering;

use crate::promql::ast::{Call, ExprKind, Place};
use crate::promql::evaluate::{Engine, EvalError, Grid, Line, Note, Point, Steps, bare};

/// Splits text into runs of digits and runs of other characters.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.bytes().next()?.is_ascii_digit();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() == digits).count();
        let (run, behind) = rest.split_at(length);
        rest = behind;
        Some(run)
    })
}

/// Compares texts so that numbers inside them count by value: `node2` comes before `node10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (runs(a), runs(b));
    loop {
        let (a, b) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => (a, b),
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        };
        let order = match (a.parse::<i64>(), b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    // NaN goes to the end in both directions.
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

impl Engine<'_> {
    pub(crate) fn sort(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let name = call.function.name;
        let by_label = name.starts_with("sort_by_label");
        let descending = name.ends_with("_desc");
        let mut grid = self.vector(bare(&call.args[0]), steps)?;
        if !by_label {
            grid = grid.map(|point| if point.float().is_some() { point.clone() } else { Point::Absent }).without_empty_lines();
        }
        if self.step.0 > 0 {
            self.notes.add(Note::SortInRangeQuery, place);
            return Ok(grid);
        }
        if grid.width != 1 {
            return Ok(grid);
        }
        let names: Vec<&str> = call.args[1..]
            .iter()
            .filter_map(|arg| match &bare(arg).kind {
                ExprKind::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let mut rows: Vec<(Line, Point)> = grid.lines.drain(..).zip(grid.points.drain(..)).collect();
        rows.sort_by(|(a, left), (b, right)| {
            if !by_label {
                return by_value(left.float().unwrap_or(f64::NAN), right.float().unwrap_or(f64::NAN), descending);
            }
            let by_names = names.iter().map(|name| natural(a.labels.get(name), b.labels.get(name)));
            let order = by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
            if descending { order.reverse() } else { order }
        });
        (grid.lines, grid.points) = rows.into_iter().unzip();
        Ok(grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_value() {
        let mut names = vec!["node10", "node2", "node", "node2a", "1node"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["1node", "node", "node2", "node2a", "node10"]);
    }
}
