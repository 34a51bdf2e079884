//! The table of signatures.
//!
//! Source: Prometheus `promql/parser/functions.go` of 3.14, which holds every function of 3.5 as well; `first_over_time`
//! is stable since then.

use super::Function;
use super::ValueType::{self, InstantVector, RangeVector, Scalar, Text};

const fn stable(name: &'static str, args: &'static [ValueType], variadic: i8, returns: ValueType) -> Function {
    Function { name, args, variadic, returns, experimental: false }
}

const fn experimental(name: &'static str, args: &'static [ValueType], variadic: i8, returns: ValueType) -> Function {
    Function { name, args, variadic, returns, experimental: true }
}

/// Every function, in order of the names.
pub static FUNCTIONS: [Function; 90] = [
    stable("abs", &[InstantVector], 0, InstantVector),
    stable("absent", &[InstantVector], 0, InstantVector),
    stable("absent_over_time", &[RangeVector], 0, InstantVector),
    stable("acos", &[InstantVector], 0, InstantVector),
    stable("acosh", &[InstantVector], 0, InstantVector),
    stable("asin", &[InstantVector], 0, InstantVector),
    stable("asinh", &[InstantVector], 0, InstantVector),
    stable("atan", &[InstantVector], 0, InstantVector),
    stable("atanh", &[InstantVector], 0, InstantVector),
    stable("avg_over_time", &[RangeVector], 0, InstantVector),
    stable("ceil", &[InstantVector], 0, InstantVector),
    stable("changes", &[RangeVector], 0, InstantVector),
    stable("clamp", &[InstantVector, Scalar, Scalar], 0, InstantVector),
    stable("clamp_max", &[InstantVector, Scalar], 0, InstantVector),
    stable("clamp_min", &[InstantVector, Scalar], 0, InstantVector),
    stable("cos", &[InstantVector], 0, InstantVector),
    stable("cosh", &[InstantVector], 0, InstantVector),
    stable("count_over_time", &[RangeVector], 0, InstantVector),
    stable("day_of_month", &[InstantVector], 1, InstantVector),
    stable("day_of_week", &[InstantVector], 1, InstantVector),
    stable("day_of_year", &[InstantVector], 1, InstantVector),
    stable("days_in_month", &[InstantVector], 1, InstantVector),
    stable("deg", &[InstantVector], 0, InstantVector),
    stable("delta", &[RangeVector], 0, InstantVector),
    stable("deriv", &[RangeVector], 0, InstantVector),
    experimental("double_exponential_smoothing", &[RangeVector, Scalar, Scalar], 0, InstantVector),
    experimental("end", &[], 0, Scalar),
    stable("exp", &[InstantVector], 0, InstantVector),
    stable("first_over_time", &[RangeVector], 0, InstantVector),
    stable("floor", &[InstantVector], 0, InstantVector),
    stable("histogram_avg", &[InstantVector], 0, InstantVector),
    stable("histogram_count", &[InstantVector], 0, InstantVector),
    stable("histogram_fraction", &[Scalar, Scalar, InstantVector], 0, InstantVector),
    stable("histogram_quantile", &[Scalar, InstantVector], 0, InstantVector),
    experimental("histogram_quantiles", &[InstantVector, Text, Scalar, Scalar], 9, InstantVector),
    stable("histogram_stddev", &[InstantVector], 0, InstantVector),
    stable("histogram_stdvar", &[InstantVector], 0, InstantVector),
    stable("histogram_sum", &[InstantVector], 0, InstantVector),
    stable("hour", &[InstantVector], 1, InstantVector),
    stable("idelta", &[RangeVector], 0, InstantVector),
    stable("increase", &[RangeVector], 0, InstantVector),
    experimental("info", &[InstantVector, InstantVector], 1, InstantVector),
    stable("irate", &[RangeVector], 0, InstantVector),
    stable("label_join", &[InstantVector, Text, Text, Text], -1, InstantVector),
    stable("label_replace", &[InstantVector, Text, Text, Text, Text], 0, InstantVector),
    stable("last_over_time", &[RangeVector], 0, InstantVector),
    stable("ln", &[InstantVector], 0, InstantVector),
    stable("log10", &[InstantVector], 0, InstantVector),
    stable("log2", &[InstantVector], 0, InstantVector),
    experimental("mad_over_time", &[RangeVector], 0, InstantVector),
    experimental("max_of", &[Scalar, Scalar], 0, Scalar),
    stable("max_over_time", &[RangeVector], 0, InstantVector),
    experimental("min_of", &[Scalar, Scalar], 0, Scalar),
    stable("min_over_time", &[RangeVector], 0, InstantVector),
    stable("minute", &[InstantVector], 1, InstantVector),
    stable("month", &[InstantVector], 1, InstantVector),
    stable("pi", &[], 0, Scalar),
    stable("predict_linear", &[RangeVector, Scalar], 0, InstantVector),
    stable("present_over_time", &[RangeVector], 0, InstantVector),
    stable("quantile_over_time", &[Scalar, RangeVector], 0, InstantVector),
    stable("rad", &[InstantVector], 0, InstantVector),
    experimental("range", &[], 0, Scalar),
    stable("rate", &[RangeVector], 0, InstantVector),
    stable("resets", &[RangeVector], 0, InstantVector),
    stable("round", &[InstantVector, Scalar], 1, InstantVector),
    stable("scalar", &[InstantVector], 0, Scalar),
    stable("sgn", &[InstantVector], 0, InstantVector),
    stable("sin", &[InstantVector], 0, InstantVector),
    stable("sinh", &[InstantVector], 0, InstantVector),
    stable("sort", &[InstantVector], 0, InstantVector),
    experimental("sort_by_label", &[InstantVector, Text], -1, InstantVector),
    experimental("sort_by_label_desc", &[InstantVector, Text], -1, InstantVector),
    stable("sort_desc", &[InstantVector], 0, InstantVector),
    stable("sqrt", &[InstantVector], 0, InstantVector),
    experimental("start", &[], 0, Scalar),
    experimental("start_timestamp", &[InstantVector], 0, InstantVector),
    stable("stddev_over_time", &[RangeVector], 0, InstantVector),
    stable("stdvar_over_time", &[RangeVector], 0, InstantVector),
    experimental("step", &[], 0, Scalar),
    stable("sum_over_time", &[RangeVector], 0, InstantVector),
    stable("tan", &[InstantVector], 0, InstantVector),
    stable("tanh", &[InstantVector], 0, InstantVector),
    stable("time", &[], 0, Scalar),
    stable("timestamp", &[InstantVector], 0, InstantVector),
    experimental("ts_of_first_over_time", &[RangeVector], 0, InstantVector),
    experimental("ts_of_last_over_time", &[RangeVector], 0, InstantVector),
    experimental("ts_of_max_over_time", &[RangeVector], 0, InstantVector),
    experimental("ts_of_min_over_time", &[RangeVector], 0, InstantVector),
    stable("vector", &[Scalar], 0, InstantVector),
    stable("year", &[InstantVector], 1, InstantVector),
];

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;

    #[test]
    fn names_are_in_order_so_that_they_can_be_looked_up() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for function in &FUNCTIONS {
            assert!(function.variadic == 0 || !function.args.is_empty(), "{} repeats nothing", function.name);
        }
    }
}
