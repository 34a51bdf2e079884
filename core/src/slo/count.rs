//! Exact counts.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// A number of events, or of slices, in millionths.
///
/// Sums and differences are those of whole numbers: the order of additions, a restart and the place of a window change nothing.
/// Counters of events hold whole numbers; ratios are rounded once, when they come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Count(pub i128);

pub const MILLION: i128 = 1_000_000;
/// Above this a float no longer holds every whole number, so an increment of that size is no count.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

impl Count {
    pub const ZERO: Count = Count(0);
    pub const ONE: Count = Count(MILLION);

    pub const fn whole(count: i64) -> Count {
        Count(count as i128 * MILLION)
    }

    /// Returns the nearest count; `None` for what is not finite or too large to be counted exactly.
    pub fn from_float(value: f64) -> Option<Count> {
        if !value.is_finite() || value.abs() > FLOAT_MAX {
            return None;
        }
        // The whole part is exact in a float; scaling it there would not be.
        let whole = value.trunc();
        Some(Count(whole as i128 * MILLION + ((value - whole) * 1e6).round() as i128))
    }

    /// Returns the nearest float.
    pub fn float(self) -> f64 {
        (self.0 / MILLION) as f64 + (self.0 % MILLION) as f64 / 1e6
    }

    /// Returns the whole part, rounded down, and the millionths beside it; a whole part beyond 64 bits is held at their ends.
    pub fn parts(self) -> (i64, i32) {
        let whole = self.0.div_euclid(MILLION);
        match i64::try_from(whole) {
            Ok(whole) => (whole, self.0.rem_euclid(MILLION) as i32),
            Err(_) => (if whole < 0 { i64::MIN } else { i64::MAX }, 0),
        }
    }

    pub fn from_parts(whole: i64, millionths: i32) -> Count {
        Count(i128::from(whole) * MILLION + i128::from(millionths))
    }

    pub fn max(self, other: Count) -> Count {
        Count(self.0.max(other.0))
    }
}

impl Add for Count {
    type Output = Count;
    fn add(self, other: Count) -> Count {
        Count(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        *self = *self + other;
    }
}

impl Sub for Count {
    type Output = Count;
    fn sub(self, other: Count) -> Count {
        Count(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Count {
    /// Writes a decimal number without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / MILLION as u128, self.0.unsigned_abs() % MILLION as u128);
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{rest:06}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Good events and all events: cumulative, or of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub good: Count,
    pub total: Count,
}

impl Tally {
    pub const ZERO: Tally = Tally { good: Count::ZERO, total: Count::ZERO };

    pub fn bad(self) -> Count {
        self.total - self.good
    }

    /// Returns the share of bad events, from 0 to 1; `None` without events.
    pub fn error_ratio(self) -> Option<f64> {
        (self.total > Count::ZERO).then(|| (self.bad().float() / self.total.float()).clamp(0.0, 1.0))
    }
}

impl Add for Tally {
    type Output = Tally;
    fn add(self, other: Tally) -> Tally {
        Tally { good: self.good + other.good, total: self.total + other.total }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        *self = *self + other;
    }
}

impl Sub for Tally {
    type Output = Tally;
    fn sub(self, other: Tally) -> Tally {
        Tally { good: self.good - other.good, total: self.total - other.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_the_nearest_millionth_and_parts_come_back() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (0.1 + 0.2, "0.3"),
            (-2.5, "-2.5"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (0.999_999_9, "1"),
        ] {
            let count = Count::from_float(value).unwrap();
            assert_eq!(count.to_string(), text);
            let (whole, millionths) = count.parts();
            assert_eq!(Count::from_parts(whole, millionths), count, "{text}");
        }
        for bad in [f64::NAN, f64::INFINITY, 1e16, -1e300] {
            assert_eq!(Count::from_float(bad), None);
        }
        assert_eq!(Count(i128::MAX).parts(), (i64::MAX, 0));
    }
}
