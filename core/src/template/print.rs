//! `print`, `println` and `printf` as Go's `fmt` does them.

use std::fmt;

use crate::model::labels::quote;

use super::number::{self, Style};
use super::value::Value;

/// The widest field and the longest fraction that a format may ask for; more is refused as `%!(BADWIDTH)`.
const WIDTH_MAX: usize = 10_000;

/// How many lists may stand inside each other before the rest is cut.
const DEPTH_MAX: usize = 32;

impl fmt::Display for Value {
    /// Writes what Go's `%v` shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self))
    }
}

/// Returns what `%v` shows.
fn shown(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 'v', &Flags::default(), 0);
    out
}

/// Returns the operands one after the other, with a space between two that are both not text.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 && values[index - 1].as_text().is_none() && value.as_text().is_none() {
            out.push(' ');
        }
        out.push_str(&shown(value));
    }
    out
}

/// Returns the operands with a space between any two and a newline at the end.
pub(super) fn println(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().map(shown).collect();
    format!("{}\n", shown.join(" "))
}

#[derive(Clone, Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Returns the operands as a format says; faults in the format stand in the text as `%!…`.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer { rest: format, args, next: 0, reordered: false, out: String::new() };
    while let Some(percent) = printer.rest.find('%') {
        printer.out.push_str(&printer.rest[..percent]);
        printer.rest = &printer.rest[percent + 1..];
        printer.directive();
    }
    printer.out.push_str(printer.rest);
    if !printer.reordered && printer.next < args.len() {
        let extra: Vec<String> =
            args[printer.next..].iter().map(|arg| format!("{}={}", arg.type_name(), shown(arg)).replace("<nil>=", "")).collect();
        printer.out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    printer.out
}

struct Printer<'a> {
    rest: &'a str,
    args: &'a [Value],
    next: usize,
    reordered: bool,
    out: String,
}

impl Printer<'_> {
    fn directive(&mut self) {
        let mut flags = Flags::default();
        let flag_count = self.rest.bytes().take_while(|byte| b"+-# 0".contains(byte)).count();
        for byte in self.rest[..flag_count].bytes() {
            match byte {
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b'#' => flags.sharp = true,
                b' ' => flags.space = true,
                _ => flags.zero = true,
            }
        }
        self.rest = &self.rest[flag_count..];
        self.argument_number();
        match self.length() {
            Ok(Some(width)) => {
                flags.minus |= width < 0;
                flags.width = Some(width.unsigned_abs() as usize);
            }
            Ok(None) => {}
            Err(()) => self.out.push_str("%!(BADWIDTH)"),
        }
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            self.argument_number();
            match self.length() {
                Ok(length) => flags.precision = Some(usize::try_from(length.unwrap_or(0)).unwrap_or(0)),
                Err(()) => self.out.push_str("%!(BADPREC)"),
            }
        }
        self.argument_number();
        let Some(verb) = self.rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return;
        };
        self.rest = &self.rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
            return;
        }
        match self.args.get(self.next) {
            Some(value) => {
                self.next += 1;
                write_value(&mut self.out, value, verb, &flags, 0);
            }
            None => self.out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }

    /// Reads `[n]`: the next operand by its number.
    fn argument_number(&mut self) {
        let Some(rest) = self.rest.strip_prefix('[') else { return };
        let Some((number, behind)) = rest.split_once(']') else { return };
        if let Ok(number) = number.trim().parse::<usize>()
            && (1..=self.args.len()).contains(&number)
        {
            self.next = number - 1;
            self.reordered = true;
        }
        self.rest = behind;
    }

    /// Reads digits or `*`, a width or a precision.
    fn length(&mut self) -> Result<Option<i64>, ()> {
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            let value = self.args.get(self.next);
            self.next += usize::from(value.is_some());
            return match value {
                Some(Value::Int(value)) if value.unsigned_abs() <= WIDTH_MAX as u64 => Ok(Some(*value)),
                _ => Err(()),
            };
        }
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(None);
        }
        number.parse::<i64>().ok().filter(|length| *length <= WIDTH_MAX as i64).map(Some).ok_or(())
    }
}

fn write_value(out: &mut String, value: &Value, verb: char, flags: &Flags, depth: usize) {
    if depth > DEPTH_MAX {
        out.push_str("...");
        return;
    }
    if verb == 'T' {
        return write_text(out, value.type_name(), 's', flags);
    }
    match value {
        Value::Nil => out.push_str(&if verb == 'v' { "<nil>".to_owned() } else { format!("%!{verb}(<nil>)") }),
        Value::Bool(truth) if matches!(verb, 'v' | 't') => pad(out, if *truth { "true" } else { "false" }, flags),
        Value::Int(number) => write_integer(out, i128::from(*number), value, verb, flags),
        Value::Uint(number) => write_integer(out, i128::from(*number), value, verb, flags),
        Value::Float(number) => write_float(out, *number, value, verb, flags),
        Value::Text(text) | Value::Safe(_, text) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
            write_text(out, text, verb, flags);
        }
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_value(out, item, verb, flags, depth + 1);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (index, (key, item)) in map.entries.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_text(out, key, if matches!(verb, 's' | 'q' | 'x' | 'X') { verb } else { 'v' }, flags);
                out.push(':');
                write_value(out, item, verb, flags, depth + 1);
            }
            out.push(']');
        }
        Value::Object(object) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => write_text(out, &object.text(), verb, flags),
        Value::Object(object) => match object.underlying() {
            Value::Nil => write_bad_verb(out, value, verb),
            inner => write_value(out, &inner, verb, flags, depth + 1),
        },
        Value::Function(_) if verb == 'v' => out.push_str("func"),
        Value::Bool(_) | Value::Text(_) | Value::Safe(..) | Value::Function(_) => write_bad_verb(out, value, verb),
    }
}

fn write_bad_verb(out: &mut String, value: &Value, verb: char) {
    out.push_str(&format!("%!{verb}({}={})", value.type_name(), shown(value)));
}

fn write_text(out: &mut String, text: &str, verb: char, flags: &Flags) {
    let cut: &str = match flags.precision {
        Some(precision) => text.char_indices().nth(precision).map_or(text, |(end, _)| &text[..end]),
        None => text,
    };
    let shown = match verb {
        'q' if flags.sharp && !cut.contains('`') => format!("`{cut}`"),
        'q' => quote(cut),
        'x' | 'X' => {
            let hex: String = cut.bytes().map(|byte| format!("{byte:02x}")).collect();
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        _ => cut.to_owned(),
    };
    pad(out, &shown, &Flags { zero: false, ..flags.clone() });
}

fn write_integer(out: &mut String, number: i128, value: &Value, verb: char, flags: &Flags) {
    let magnitude = number.unsigned_abs();
    let prefix = |text: &str| if flags.sharp { text.to_owned() } else { String::new() };
    let digits = match verb {
        'v' | 'd' => magnitude.to_string(),
        'b' => prefix("0b") + &format!("{magnitude:b}"),
        'o' => prefix("0") + &format!("{magnitude:o}"),
        'O' => format!("0o{magnitude:o}"),
        'x' => prefix("0x") + &format!("{magnitude:x}"),
        'X' => prefix("0X") + &format!("{magnitude:X}"),
        'U' => return pad(out, &format!("U+{magnitude:04X}"), flags),
        'c' | 'q' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            return pad(out, &if verb == 'c' { c.to_string() } else { format!("{c:?}") }, flags);
        }
        _ => return write_bad_verb(out, value, verb),
    };
    let digits = match flags.precision {
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let sign = sign(number < 0, flags);
    let zero = flags.zero && flags.precision.is_none();
    pad(out, &format!("{sign}{digits}"), &Flags { zero, ..flags.clone() });
}

fn write_float(out: &mut String, number: f64, value: &Value, verb: char, flags: &Flags) {
    let (style, precision) = match verb {
        'v' => (Style::General, flags.precision),
        'g' | 'G' => (Style::General, flags.precision),
        'e' | 'E' => (Style::Exponent, Some(flags.precision.unwrap_or(6))),
        'f' | 'F' => (Style::Fixed, Some(flags.precision.unwrap_or(6))),
        _ => return write_bad_verb(out, value, verb),
    };
    let text = number::format(number, style, precision);
    let text = if matches!(verb, 'E' | 'G') { text.to_uppercase().replace("INF", "Inf").replace("NAN", "NaN") } else { text };
    if !number.is_finite() {
        let text = if number.is_nan() && flags.plus { "+NaN".to_owned() } else { text };
        return pad(out, &text, &Flags { zero: false, ..flags.clone() });
    }
    let digits = text.trim_start_matches('-');
    pad(out, &format!("{}{digits}", sign(text.starts_with('-'), flags)), flags);
}

fn sign(negative: bool, flags: &Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// Writes text into a field; zeros go behind the sign, spaces before or behind everything.
fn pad(out: &mut String, text: &str, flags: &Flags) {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.zero {
        let sign = usize::from(text.starts_with(['+', '-', ' ']));
        out.push_str(&text[..sign]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&text[sign..]);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_print_as_go_prints_them() {
        let check = |format: &str, args: &[Value], expected: &str| assert_eq!(printf(format, args), expected, "{format}");
        check("%s=%d", &["a".into(), Value::Int(3)], "a=3");
        check("%.2f|%8.3f|%-8.1f|", &[1.005.into(), 2.5.into(), 2.5.into()], "1.00|   2.500|2.5     |");
        check("%05d|%+d|% d|%x|%X|%#x", &[7i64, 7, 7, 255, 255, 255].map(Value::Int), "00007|+7| 7|ff|FF|0xff");
        check("%e|%g|%G", &[1234.5, 1e-7, 1e-7].map(Value::Float), "1.234500e+03|1e-07|1E-07");
        check("%q|%5s|%-5s|%.2s", &["a\"b".into(), "ab".into(), "ab".into(), "abc".into()], "\"a\\\"b\"|   ab|ab   |ab");
        check("%t %v %%", &[true.into(), Value::Nil], "true <nil> %");
        check("%d", &["x".into()], "%!d(string=x)");
        check("%d %d", &[Value::Int(1)], "1 %!d(MISSING)");
        check("%d", &[Value::Int(1), Value::Int(2)], "1%!(EXTRA int=2)");
        check("%[2]s %[1]s", &["a".into(), "b".into()], "b a");
        check("%*d|%.*f", &[Value::Int(4), Value::Int(7), Value::Int(1), 2.25.into()], "   7|2.2");
        check("%", &[], "%!(NOVERB)");
        check("%v %.1f", &[Value::list([1.5.into(), 2.0.into()]), Value::list([1.55.into()])], "[1.5 2] [1.6]");
        check("%99999999d", &[Value::Int(1)], "%!(BADWIDTH)1");
    }

    #[test]
    fn print_puts_spaces_only_between_what_is_not_text() {
        assert_eq!(print(&[1.5.into(), Value::Int(2), "a".into(), Value::Int(3)]), "1.5 2a3");
        assert_eq!(println(&["a".into(), Value::Int(3)]), "a 3\n");
    }
}
