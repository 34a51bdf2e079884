//! Constants as Go writes them: quoted text, characters, numbers.

use super::value::Value;

/// Reads text in double quotes or backquotes.
pub(super) fn text(quoted: &str) -> Result<String, String> {
    let inner = &quoted[1..quoted.len() - 1];
    if quoted.starts_with('`') {
        return Ok(inner.replace('\r', ""));
    }
    unescape(inner, '"').ok_or_else(|| "invalid syntax".to_owned())
}

/// Reads a number or a character; a character is its code point.
///
/// Shape: a float when the text has a point or an exponent, else an integer.
pub(super) fn number(text: &str) -> Result<Value, String> {
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        let read = unescape(inner, '\'').filter(|read| read.chars().count() == 1);
        let c = read.and_then(|read| read.chars().next());
        return c.map(|c| Value::Int(i64::from(c as u32))).ok_or_else(|| format!("malformed character constant: {text}"));
    }
    let bad = || format!("bad number syntax: {text:?}");
    let plain = text.replace('_', "");
    let lower = plain.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let negative = plain.starts_with('-');
    let radix = match lower.as_bytes() {
        [b'0', b'x', ..] => 16,
        [b'0', b'o', ..] => 8,
        [b'0', b'b', ..] => 2,
        _ => 10,
    };
    if radix != 10 {
        return integer(&lower[2..], radix, negative).ok_or_else(bad);
    }
    if lower.contains(['.', 'e']) {
        return plain.trim_start_matches('+').parse::<f64>().map(Value::Float).map_err(|_| bad());
    }
    let octal = lower.len() > 1 && lower.starts_with('0');
    match integer(&lower, if octal { 8 } else { 10 }, negative) {
        Some(value) => Ok(value),
        None if !octal && lower.bytes().all(|byte| byte.is_ascii_digit()) => Err(format!("integer overflow: {text:?}")),
        None => Err(bad()),
    }
}

fn integer(digits: &str, radix: u32, negative: bool) -> Option<Value> {
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok().map(Value::Int)
}

/// Replaces Go's escapes; `None` when one is malformed.
fn unescape(text: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            c if c == quote => c as u8,
            'x' => take_number(&mut chars, 2, 16)? as u8,
            'u' | 'U' => {
                let code = take_number(&mut chars, if escape == 'u' { 4 } else { 8 }, 16)?;
                bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            '0'..='7' => {
                let code = escape.to_digit(8)? * 64 + take_number(&mut chars, 2, 8)?;
                u8::try_from(code).ok()?
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn take_number(chars: &mut std::str::Chars<'_>, digits: usize, radix: u32) -> Option<u32> {
    let mut code = 0u32;
    for _ in 0..digits {
        code = code.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_reads_them() {
        for (text, shown) in [
            ("12", "12"),
            ("-3", "-3"),
            ("0x1F", "31"),
            ("0755", "493"),
            ("1_000", "1000"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("'a'", "97"),
            (r"'\n'", "10"),
        ] {
            assert_eq!(number(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["99999999999999999999", "0x", "08", "'ab'"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escapes_read_as_go_reads_them() {
        assert_eq!(text(r#""a\tb\x41\101é\"""#).unwrap(), "a\tbAA\u{e9}\"");
        assert_eq!(text("`a\\n`").unwrap(), "a\\n");
        assert!(text(r#""\q""#).is_err());
    }
}
