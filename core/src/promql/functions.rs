//! The bodies of PromQL's functions, one family a file. Their signatures stand in `signature`.

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
pub(crate) mod window;

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
