//! The functions of PromQL: their signatures. Their bodies stand in `functions/`, one family a file.

use super::ast::ValueType;

pub(crate) mod classic;
pub(crate) mod clock;
pub(crate) mod edges;
mod info;
pub(crate) mod label;
pub(crate) mod math;
pub(crate) mod native;
pub(crate) mod over_time;
mod rate;
mod regression;
mod sort;
mod table;
pub(crate) mod window;

pub use table::FUNCTIONS;

/// The signature of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    /// Zero: exactly the arguments of `args`. Positive: the last of `args` may be left out, or stand up to this many times.
    /// Negative: the last may be left out, or repeat without end.
    pub variadic: i8,
    pub returns: ValueType,
    pub experimental: bool,
}

impl Function {
    /// Returns the fewest arguments a call may have.
    pub fn args_min(&self) -> usize {
        if self.variadic == 0 { self.args.len() } else { self.args.len() - 1 }
    }

    /// Returns the most arguments a call may have; `None` when there is no end.
    pub fn args_max(&self) -> Option<usize> {
        usize::try_from(self.variadic).ok().map(|extra| self.args_min() + extra)
    }

    /// Returns the type of the argument at `index`: behind the last of `args` the last one repeats.
    pub fn arg(&self, index: usize) -> Option<ValueType> {
        self.args.get(index).or(self.args.last()).copied()
    }
}

/// Returns the function of this name, experimental ones included.
pub fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

/// Returns the body of a function over a range vector.
pub(crate) fn range_body(name: &str) -> Option<window::RangeBody> {
    Some(match name {
        "rate" => rate::rate,
        "increase" => rate::increase,
        "delta" => rate::delta,
        "irate" => rate::irate,
        "idelta" => rate::idelta,
        "resets" => rate::resets,
        "changes" => rate::changes,
        "sum_over_time" => over_time::sum,
        "avg_over_time" => over_time::avg,
        "count_over_time" => over_time::count,
        "present_over_time" => over_time::present,
        "first_over_time" => over_time::first,
        "last_over_time" => over_time::last,
        "max_over_time" => over_time::max,
        "min_over_time" => over_time::min,
        "ts_of_first_over_time" => over_time::time_of_first,
        "ts_of_last_over_time" => over_time::time_of_last,
        "ts_of_max_over_time" => over_time::time_of_max,
        "ts_of_min_over_time" => over_time::time_of_min,
        "stddev_over_time" => over_time::stddev,
        "stdvar_over_time" => over_time::stdvar,
        "quantile_over_time" => over_time::quantile,
        "mad_over_time" => over_time::mad,
        "deriv" => regression::deriv,
        "predict_linear" => regression::predict_linear,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        _ => return None,
    })
}
