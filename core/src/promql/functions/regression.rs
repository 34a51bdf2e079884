//! Lines through samples: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::over_time::floats_only;
use super::window::Window;
use crate::model::sample::{compensated, shortest};
use crate::promql::evaluate::{EvalError, Notes, Point};

/// Returns slope per second, and value at an instant, of the straight line with the least squared distance to the samples.
///
/// Source: Prometheus `linearRegression`.
fn line(samples: &[(i64, f64)], at: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|(_, value)| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let count = samples.len() as f64;
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        let terms = samples.iter().map(|(time, value)| term((time - at) as f64 / 1e3, *value));
        let (sum, loss) = terms.fold((0.0, 0.0), |(sum, loss), term| compensated(term, sum, loss));
        sum + loss
    };
    let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
    let (xy, xx) = (sum(&|x, y| x * y), sum(&|x, _| x * x));
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

fn two_floats(window: &Window<'_>, notes: &Notes) -> bool {
    floats_only(window, notes) && window.floats.len() >= 2
}

pub(crate) fn deriv(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    if !two_floats(window, notes) {
        return Ok(Point::Absent);
    }
    // Times are counted from the first sample, because squares of large numbers lose digits.
    let (slope, _) = line(window.floats, window.floats[0].0);
    Ok(Point::Float(slope))
}

pub(crate) fn predict_linear(window: &Window<'_>, args: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    if !two_floats(window, notes) {
        return Ok(Point::Absent);
    }
    let (slope, value) = line(window.floats, window.now);
    Ok(Point::Float(slope * args[0] + value))
}

pub(crate) fn double_exponential_smoothing(window: &Window<'_>, args: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    let (smoothing, trend) = (args[0], args[1]);
    for (name, symbol, factor) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            let message = format!("invalid {name} factor. Expected: 0 < {symbol} < 1, got: {}", shortest(factor));
            return Err(EvalError::execution(message, window.place));
        }
    }
    if !two_floats(window, notes) {
        return Ok(Point::Absent);
    }
    let values = window.floats;
    let (mut before, mut level, mut slope) = (0.0, values[0].1, values[1].1 - values[0].1);
    for (index, (_, value)) in values.iter().enumerate().skip(1) {
        if index > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Ok(Point::Float(level))
}
