//! Numbers as Go's `strconv.ParseFloat` reads them, without its hexadecimal forms.

/// The NaN that a target's `NaN` becomes, so that no exposition can forge a staleness marker.
///
/// Source: Prometheus `value.NormalNaN`.
pub const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadNumber {
    /// It holds one of `p`, `P` and `_`, which newer versions of Go read but the format does not know.
    Unsupported,
    Syntax,
    /// Its value is beyond the largest finite number.
    Range,
}

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
];

/// Whole numbers below this are exact as floats.
const EXACT_MANTISSA: u64 = 1 << 53;

/// Reads plain decimals (`12`, `-3.25`) at the start of `text`: the value and the bytes used.
///
/// Returns `None` when the number is not plain, not exact by one division, or runs on into other characters that could belong to it;
/// `parse_float` then decides.
#[inline]
pub fn scan_plain(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let first = usize::from(negative);
    let (mut at, mut mantissa) = (first, 0u64);
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let (mut digits, mut fraction) = (at - first, 0);
    if text.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        fraction = at - point;
        digits += fraction;
    }
    // Nineteen digits always fit into 64 bits.
    if digits == 0 || digits > 19 || !matches!(text.get(at), None | Some(b' ' | b'\n' | b'\t')) {
        return None;
    }
    let magnitude = match fraction {
        0 => mantissa as f64,
        // Both operands are exact and a division rounds once, so the result is the nearest float.
        1..=22 if mantissa < EXACT_MANTISSA => mantissa as f64 / EXACT_POWERS[fraction],
        _ => return None,
    };
    Some((if negative { -magnitude } else { magnitude }, at))
}

/// Returns the value of a text that is a number as a whole.
///
/// Source: Prometheus `textparse.parseFloat`.
pub fn parse_float(text: &[u8]) -> Result<f64, BadNumber> {
    let (sign, magnitude) = match text.first() {
        Some(b'+') => (1.0, &text[1..]),
        Some(b'-') => (-1.0, &text[1..]),
        _ => (1.0, text),
    };
    if is_decimal(magnitude) {
        let value: f64 = fast_float2::parse(magnitude).map_err(|_| BadNumber::Syntax)?;
        return if value.is_finite() { Ok(sign * value) } else { Err(BadNumber::Range) };
    }
    if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
        return Ok(sign * f64::INFINITY);
    }
    if text.eq_ignore_ascii_case(b"nan") {
        return Ok(NORMAL_NAN);
    }
    let is_newer_form = text.iter().any(|byte| matches!(byte, b'p' | b'P' | b'_'));
    Err(if is_newer_form { BadNumber::Unsupported } else { BadNumber::Syntax })
}

/// Returns whether a text has the form `digits [. digits] [e [sign] digits]` with a digit before the exponent.
fn is_decimal(text: &[u8]) -> bool {
    let run = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = run(0);
    let mut at = whole;
    let mut digits = whole;
    if text.get(at) == Some(&b'.') {
        let fraction = run(at + 1);
        digits += fraction;
        at += 1 + fraction;
    }
    if digits == 0 {
        return false;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let exponent = run(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

/// Returns a float in OpenMetrics' canonical form, which always shows that it is one: `1.0`, `0.25`, `1e+06`, `+Inf`.
///
/// Source: Prometheus `textparse.formatOpenMetricsFloat`.
pub fn format_openmetrics(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    // Outside these bounds Go's shortest form is the scientific one.
    if (-4..6).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+7", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1e3),
            ("1E-3", 1e-3),
            ("12345678901234567890", 12345678901234567890.0),
            ("9007199254740993", 9007199254740993u64 as f64),
            ("0.1", 0.1),
            ("123456.789", 123456.789),
            ("2.2250738585072014e-308", f64::MIN_POSITIVE),
            ("1e-999", 0.0),
            ("Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("+iNf", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), Ok(value.to_bits()), "{text}");
            if let Some((scanned, used)) = scan_plain(text.as_bytes()) {
                assert_eq!((scanned.to_bits(), used), (value.to_bits(), text.len()), "{text}");
            }
        }
        assert_eq!(parse_float(b"nAn").map(f64::to_bits), Ok(NORMAL_NAN.to_bits()));
        for text in ["", "+", ".", "e5", "1e", "1e+", "+nan", "-nan", "infi", "0x1", "1,5", "1 ", "--1", "1f", "\u{661}"] {
            assert_eq!(parse_float(text.as_bytes()), Err(BadNumber::Syntax), "{text}");
            assert_eq!(scan_plain(text.as_bytes()).filter(|(_, used)| *used == text.len()), None, "{text}");
        }
        assert_eq!(parse_float(b"1_0"), Err(BadNumber::Unsupported));
        assert_eq!(parse_float(b"0x1p3"), Err(BadNumber::Unsupported));
        assert_eq!(parse_float(b"-1e309"), Err(BadNumber::Range));
    }

    #[test]
    fn the_plain_path_agrees_with_the_general_one() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let text = match state % 3 {
                0 => (state >> 3).to_string(),
                1 => format!("-{}.{}", state % 100_000, state >> 40),
                _ => format!("{}.{:06}", (state >> 20) % 1_000, state % 1_000_000),
            };
            if let Some((value, used)) = scan_plain(text.as_bytes()) {
                assert_eq!(used, text.len());
                assert_eq!(Ok(value.to_bits()), parse_float(text.as_bytes()).map(f64::to_bits), "{text}");
            }
        }
    }

    #[test]
    fn canonical_floats_look_like_floats() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.25, "0.25"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (100000.0, "100000.0"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (1.5e-7, "1.5e-07"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_openmetrics(value), text);
        }
    }
}
