//! Functions from number to number.

use std::f64::consts::PI;

/// Returns the lesser of two numbers; NaN when one is NaN, unless the other one is negative infinity.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// Returns the greater of two numbers; NaN when one is NaN, unless the other one is infinity.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    -min(-a, -b)
}

/// Rounds to the nearest multiple, halves upwards.
pub(crate) fn round(value: f64, multiple: f64) -> f64 {
    // The inverse loses fewer digits than the multiple where that is 0.1 or the like.
    let inverse = 1.0 / multiple;
    (value * inverse + 0.5).floor() / inverse
}

/// Returns the body of a function from number to number.
pub(crate) fn body(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |degrees| degrees * PI / 180.0,
        "deg" => |radians| radians * 180.0 / PI,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_let_nan_through() {
        assert!(min(1.0, f64::NAN).is_nan() && max(f64::NAN, 1.0).is_nan());
        assert_eq!((min(f64::NAN, f64::NEG_INFINITY), max(f64::NAN, f64::INFINITY)), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!((min(2.0, 1.0), max(2.0, 1.0)), (1.0, 2.0));
    }

    #[test]
    fn halves_round_upwards() {
        assert_eq!((round(-2.5, 1.0), round(2.5, 1.0), round(7.0, 5.0), round(0.13, 0.1)), (-2.0, 3.0, 5.0, 0.1));
    }
}
