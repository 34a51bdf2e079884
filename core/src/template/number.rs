//! Floats as Go's `strconv` and `fmt` write them.

/// The verb: `%e`, `%f` or `%g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Exponent,
    Fixed,
    General,
}

/// The decimal digits of a finite number: `0.d₁d₂d₃… × 10^point`, no zeros at the end.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

/// Returns a float as text; without a precision, the shortest text that reads back the same.
///
/// Shape: `NaN`, `+Inf`, `-Inf`; exponents have a sign and at least two digits.
/// Source: Go `strconv.FormatFloat`.
pub fn format(value: f64, style: Style, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let value = value.abs();
    let body = match (style, precision) {
        (Style::Fixed, Some(precision)) => format!("{value:.precision$}"),
        (Style::Fixed, None) => fixed(&digits(value, None), None),
        (Style::Exponent, precision) => exponent(&digits(value, precision.map(|p| p + 1)), precision),
        (Style::General, precision) => general(value, precision),
    };
    format!("{sign}{body}")
}

/// Returns a float as Go's `%v` shows it.
pub fn shown(value: f64) -> String {
    format(value, Style::General, None)
}

/// Takes the number apart, rounded to `count` digits when a count is given.
fn digits(value: f64, count: Option<usize>) -> Digits {
    let text = match count {
        Some(count) => format!("{value:.*e}", count.saturating_sub(1)),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').expect("Rust writes an exponent");
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let point = if digits.is_empty() { 0 } else { exponent.parse::<i32>().expect("Rust writes a whole exponent") + 1 };
    Digits { digits, point }
}

fn general(value: f64, precision: Option<usize>) -> String {
    let wanted = precision.map(|p| p.max(1));
    let parts = digits(value, wanted);
    let count = parts.digits.len() as i32;
    let limit = match wanted {
        // `%v` of a million is 1e+06, of 123456 it is 123456.
        None => 6,
        Some(wanted) if wanted as i32 > count && count >= parts.point => count,
        Some(wanted) => wanted as i32,
    };
    let power = parts.point - 1;
    if power < -4 || power >= limit {
        exponent(&parts, Some(parts.digits.len().saturating_sub(1)))
    } else {
        fixed(&parts, Some((count - parts.point).max(0) as usize))
    }
}

fn exponent(parts: &Digits, precision: Option<usize>) -> String {
    let mut out = String::new();
    out.push(*parts.digits.first().unwrap_or(&b'0') as char);
    let precision = precision.unwrap_or(parts.digits.len().saturating_sub(1));
    if precision > 0 {
        out.push('.');
        out.extend((1..=precision).map(|index| *parts.digits.get(index).unwrap_or(&b'0') as char));
    }
    let power = if parts.digits.is_empty() { 0 } else { parts.point - 1 };
    out.push_str(&format!("e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()));
    out
}

fn fixed(parts: &Digits, precision: Option<usize>) -> String {
    let digit =
        |index: i32| usize::try_from(index).ok().and_then(|index| parts.digits.get(index)).map_or('0', |digit| *digit as char);
    let mut out = String::new();
    if parts.point > 0 {
        out.extend((0..parts.point).map(digit));
    } else {
        out.push('0');
    }
    let precision = precision.unwrap_or((parts.digits.len() as i32 - parts.point).max(0) as usize);
    if precision > 0 {
        out.push('.');
        out.extend((0..precision as i32).map(|index| digit(parts.point + index)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1e6, "1e+06"),
            (123456.0, "123456"),
            (1234567.0, "1.234567e+06"),
            (1353755652.0, "1.353755652e+09"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5, "1.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(shown(value), text);
        }
        for (value, precision, text) in
            [(1234.567, 4, "1235"), (12345.0, 4, "1.234e+04"), (0.12, 4, "0.12"), (100.0, 4, "100"), (0.00001, 4, "1e-05")]
        {
            assert_eq!(format(value, Style::General, Some(precision)), text, "{value}");
        }
        assert_eq!(format(1.0, Style::Exponent, None), "1e+00");
        assert_eq!(format(1234.5, Style::Exponent, Some(2)), "1.23e+03");
        assert_eq!(format(2.5, Style::Fixed, Some(0)), "2");
        assert_eq!(format(1e22, Style::Fixed, None), "10000000000000000000000");
    }
}
