//! Functions that Prometheus and Alertmanager share: numbers for people, regular expressions.

use regex::Regex;

use super::number::{self, Style};
use super::time::{GoTime, as_duration};
use super::value::Value;
use crate::time::Timestamp;

/// Compiled expressions larger than this are refused, so that no template can exhaust memory.
const REGEX_BYTES_MAX: usize = 10 << 20;

/// Returns the number that a value is, or that its text says.
///
/// Errors: the words of Go's `strconv.ParseFloat`; the type, when it is no number.
pub fn number(value: &Value) -> Result<f64, String> {
    if let Some(duration) = as_duration(value) {
        return Ok(duration.seconds());
    }
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::Text(text) => parse(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::model::labels::quote(text))),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// Reads a number as Go does; white space around it is refused.
fn parse(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn four_digits(value: f64) -> String {
    number::format(value, Style::General, Some(4))
}

/// Divides until less than one step of `base` is left; returns what is left and the prefix that stands for the division.
fn scale(value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let (mut value, mut prefix) = (value, "");
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

/// Multiplies until at least one is there; returns what is there and the prefix that stands for the multiplication.
fn scale_up(value: f64) -> (f64, &'static str) {
    let (mut value, mut prefix) = (value, "");
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// Returns a number with a metric prefix, such as `1.235M` or `120m`.
pub fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) =
        if value.abs() >= 1.0 { scale(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"]) } else { scale_up(value) };
    four_digits(value) + prefix
}

/// Returns a number with a binary prefix, such as `1.177Mi`.
pub fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) = scale(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    four_digits(value) + prefix
}

/// Returns seconds as days, hours, minutes and seconds, such as `1d 2h 3m 4s`; below a minute four digits, such as `1.235s`.
pub fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value == 0.0 {
        return four_digits(value) + "s";
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scale_up(value);
        return format!("{}{prefix}s", four_digits(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = value.abs() as i64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(value.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// Returns a ratio in percent, such as `12.35%`.
pub fn humanize_percentage(value: f64) -> String {
    four_digits(value * 100.0) + "%"
}

/// Returns the instant so many seconds after the epoch.
///
/// Errors: the number is not finite, or its nanoseconds do not fit Go's time.
pub fn to_time(value: f64) -> Result<GoTime, String> {
    if !value.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    let nanos = value * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            number::shown(value)
        ));
    }
    Ok(GoTime::utc(Timestamp((nanos as i64) / 1_000_000)))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("error parsing regexp: {reason}: `{pattern}`")
    })
}

/// Returns whether a regular expression matches anywhere in a text.
pub fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    Ok(regex(pattern)?.is_match(text))
}

/// Returns a text with every match of a regular expression replaced; `$1` and `${1}` stand for what its groups matched.
pub fn replace_all(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
    Ok(regex(pattern)?.replace_all(text, replacement).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, plain, binary, duration) in [
            (0.0, "0", "0", "0s"),
            (1_234_567.0, "1.235M", "1.177Mi", "14d 6h 56m 7s"),
            (0.12, "120m", "0.12", "120ms"),
            (-61.5, "-61.5", "-61.5", "-1m 1s"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
        ] {
            assert_eq!(humanize(value), plain);
            assert_eq!(humanize1024(value), binary);
            assert_eq!(humanize_duration(value), duration);
        }
        assert_eq!(humanize_percentage(0.1234567), "12.35%");
        assert_eq!(humanize_duration(1.2345), "1.234s");
    }

    #[test]
    fn regular_expressions_replace_by_group() {
        assert_eq!(replace_all("(a)b", "x$1", "abab").unwrap(), "xaxa");
        assert!(replace_all("(", "", "").is_err());
        assert!(matches("a+", "baa").unwrap());
    }
}
