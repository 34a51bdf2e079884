//! Go's `time.Time` and `time.Duration` as templates see them.

use std::any::Any;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};

use crate::time::Timestamp;

use super::value::{Object, Value};

/// An instant in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoTime {
    pub at: Timestamp,
    pub zone: Tz,
}

/// Go's zero time, the first instant of year 1.
pub const ZERO_TIME: Timestamp = Timestamp(-62_135_596_800_000);

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl GoTime {
    pub fn utc(at: Timestamp) -> GoTime {
        GoTime { at, zone: Tz::UTC }
    }

    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    fn local(self) -> DateTime<Tz> {
        self.at.to_utc().unwrap_or(DateTime::<Utc>::MIN_UTC).with_timezone(&self.zone)
    }

    /// Returns the instant as a layout of Go says, such as `2006-01-02 15:04:05 MST`.
    ///
    /// Source: Go `time.Layout`.
    pub fn format(self, layout: &str) -> String {
        let time = self.local();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match next_part(rest) {
                Some((len, part)) => {
                    write_part(&mut out, part, &time);
                    rest = &rest[len..];
                }
                None => {
                    let c = rest.chars().next().expect("the rest is not empty");
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out
    }
}

/// One element of a layout.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    LongMonth,
    Month,
    ZeroMonth,
    NumberMonth,
    LongDay,
    Day,
    DayOfMonth,
    SpacedDay,
    ZeroDay,
    DayOfYear,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    Year,
    ShortYear,
    UpperHalf,
    LowerHalf,
    ZoneName,
    /// An offset: whether zero is written `Z`, whether a colon stands inside, whether minutes are written.
    Offset {
        z: bool,
        colon: bool,
        minutes: bool,
    },
    /// A fraction of a second: how many digits, whether zeros at the end are cut, and what stands in front.
    Fraction {
        digits: usize,
        cut: bool,
        separator: char,
    },
}

/// Returns the element that a layout starts with and its length.
fn next_part(layout: &str) -> Option<(usize, Part)> {
    const PARTS: [(&str, Part); 32] = [
        ("January", Part::LongMonth),
        ("Jan", Part::Month),
        ("Monday", Part::LongDay),
        ("Mon", Part::Day),
        ("MST", Part::ZoneName),
        ("2006", Part::Year),
        ("002", Part::DayOfYear),
        ("01", Part::ZeroMonth),
        ("02", Part::ZeroDay),
        ("03", Part::ZeroHour12),
        ("04", Part::ZeroMinute),
        ("05", Part::ZeroSecond),
        ("06", Part::ShortYear),
        ("15", Part::Hour),
        ("_2", Part::SpacedDay),
        ("1", Part::NumberMonth),
        ("2", Part::DayOfMonth),
        ("3", Part::Hour12),
        ("4", Part::Minute),
        ("5", Part::Second),
        ("PM", Part::UpperHalf),
        ("pm", Part::LowerHalf),
        ("-07:00:00", Part::Offset { z: false, colon: true, minutes: true }),
        ("-07:00", Part::Offset { z: false, colon: true, minutes: true }),
        ("-070000", Part::Offset { z: false, colon: false, minutes: true }),
        ("-0700", Part::Offset { z: false, colon: false, minutes: true }),
        ("-07", Part::Offset { z: false, colon: false, minutes: false }),
        ("Z07:00:00", Part::Offset { z: true, colon: true, minutes: true }),
        ("Z07:00", Part::Offset { z: true, colon: true, minutes: true }),
        ("Z070000", Part::Offset { z: true, colon: false, minutes: true }),
        ("Z0700", Part::Offset { z: true, colon: false, minutes: true }),
        ("Z07", Part::Offset { z: true, colon: false, minutes: false }),
    ];
    let bytes = layout.as_bytes();
    if matches!(bytes.first(), Some(b'.' | b',')) && matches!(bytes.get(1), Some(b'0' | b'9')) {
        let digits = bytes[1..].iter().take_while(|byte| **byte == bytes[1]).count();
        if !bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
            let part = Part::Fraction { digits: digits.min(9), cut: bytes[1] == b'9', separator: bytes[0] as char };
            return Some((1 + digits, part));
        }
    }
    // `_2006` is a literal underscore and a year.
    if layout.starts_with("_2006") {
        return None;
    }
    PARTS.iter().find(|(text, _)| layout.starts_with(text)).map(|(text, part)| (text.len(), *part))
}

fn write_part(out: &mut String, part: Part, time: &DateTime<Tz>) {
    let hour12 = time.hour12().1;
    match part {
        Part::LongMonth => out.push_str(MONTHS[time.month0() as usize]),
        Part::Month => out.push_str(&MONTHS[time.month0() as usize][..3]),
        Part::ZeroMonth => out.push_str(&format!("{:02}", time.month())),
        Part::NumberMonth => out.push_str(&time.month().to_string()),
        Part::LongDay => out.push_str(DAYS[time.weekday().num_days_from_sunday() as usize]),
        Part::Day => out.push_str(&DAYS[time.weekday().num_days_from_sunday() as usize][..3]),
        Part::DayOfMonth => out.push_str(&time.day().to_string()),
        Part::SpacedDay => out.push_str(&format!("{:>2}", time.day())),
        Part::ZeroDay => out.push_str(&format!("{:02}", time.day())),
        Part::DayOfYear => out.push_str(&format!("{:03}", time.ordinal())),
        Part::Hour => out.push_str(&format!("{:02}", time.hour())),
        Part::Hour12 => out.push_str(&hour12.to_string()),
        Part::ZeroHour12 => out.push_str(&format!("{hour12:02}")),
        Part::Minute => out.push_str(&time.minute().to_string()),
        Part::ZeroMinute => out.push_str(&format!("{:02}", time.minute())),
        Part::Second => out.push_str(&time.second().to_string()),
        Part::ZeroSecond => out.push_str(&format!("{:02}", time.second())),
        Part::Year => out.push_str(&format!("{:04}", time.year())),
        Part::ShortYear => out.push_str(&format!("{:02}", time.year().rem_euclid(100))),
        Part::UpperHalf => out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
        Part::LowerHalf => out.push_str(if time.hour() < 12 { "am" } else { "pm" }),
        Part::ZoneName => {
            let offset = time.offset();
            match offset.abbreviation() {
                Some(name) => out.push_str(name),
                None => out.push_str(&offset_text(time, false, true)),
            }
        }
        Part::Offset { z: true, .. } if time.offset().fix().local_minus_utc() == 0 => out.push('Z'),
        Part::Offset { colon, minutes, .. } => out.push_str(&offset_text(time, colon, minutes)),
        Part::Fraction { digits, cut, separator } => {
            let text = format!("{:09}", time.nanosecond() % 1_000_000_000);
            let kept = if cut { text[..digits].trim_end_matches('0') } else { &text[..digits] };
            if !kept.is_empty() {
                out.push(separator);
                out.push_str(kept);
            }
        }
    }
}

fn offset_text(time: &DateTime<Tz>, colon: bool, minutes: bool) -> String {
    let seconds = time.offset().fix().local_minus_utc();
    let sign = if seconds < 0 { '-' } else { '+' };
    let total = seconds.abs() / 60;
    let mut text = format!("{sign}{:02}", total / 60);
    if minutes {
        text.push_str(if colon { ":" } else { "" });
        text.push_str(&format!("{:02}", total % 60));
    }
    text
}

/// Reads an instant as a layout of Go says; without a zone in the layout it is UTC.
///
/// Errors: the words of Go's `time.Parse`.
pub fn parse(layout: &str, text: &str) -> Result<GoTime, String> {
    let mut read = Read { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanos: 0, half: None, offset: 0 };
    let (mut form, mut rest) = (layout, text);
    let fault = |form: &str, rest: &str| format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {form:?}");
    while !form.is_empty() {
        let Some((len, part)) = next_part(form) else {
            let c = form.chars().next().expect("the layout is not empty");
            rest = rest.strip_prefix(c).ok_or_else(|| fault(form, rest))?;
            form = &form[c.len_utf8()..];
            continue;
        };
        let behind = &form[len..];
        rest = read.part(part, rest, behind).ok_or_else(|| fault(&form[..len], rest))?;
        form = behind;
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    read.finish().ok_or_else(|| format!("parsing time {text:?}: day out of range"))
}

/// What was read of a date so far.
struct Read {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    /// Whether the clock's second half was written.
    half: Option<bool>,
    offset: i64,
}

fn take_digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count >= least).then(|| (text[..count].parse().unwrap_or(0), &text[count..]))
}

fn take_name<'a>(text: &'a str, names: &[&str], len: Option<usize>) -> Option<(u32, &'a str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = &name[..len.unwrap_or(name.len())];
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (index as u32, &text[name.len()..]))
    })
}

impl Read {
    /// Reads one element; `behind` is the layout that follows it.
    fn part<'a>(&mut self, part: Part, text: &'a str, behind: &str) -> Option<&'a str> {
        let (number, rest) = match part {
            Part::LongMonth => take_name(text, &MONTHS, None).map(|(index, rest)| (index + 1, rest)),
            Part::Month => take_name(text, &MONTHS, Some(3)).map(|(index, rest)| (index + 1, rest)),
            Part::LongDay => take_name(text, &DAYS, None),
            Part::Day => take_name(text, &DAYS, Some(3)),
            Part::ZeroMonth | Part::ZeroDay | Part::Hour | Part::ZeroHour12 | Part::ZeroMinute | Part::ZeroSecond => {
                take_digits(text, 2, 2)
            }
            Part::NumberMonth | Part::DayOfMonth | Part::Hour12 | Part::Minute | Part::Second => take_digits(text, 1, 2),
            Part::SpacedDay => take_digits(text.strip_prefix(' ').unwrap_or(text), 1, 2),
            Part::DayOfYear => take_digits(text, 3, 3),
            Part::Year => take_digits(text, 4, 4),
            Part::ShortYear => take_digits(text, 2, 2),
            Part::UpperHalf | Part::LowerHalf => take_name(text, &["am", "pm"], None),
            Part::ZoneName => return self.zone_name(text),
            Part::Offset { z, colon, minutes } => return self.offset(text, z, colon, minutes),
            Part::Fraction { digits, cut, .. } => return self.fraction(text, digits, cut),
        }?;
        match part {
            Part::LongMonth | Part::Month | Part::ZeroMonth | Part::NumberMonth => self.month = number,
            Part::ZeroDay | Part::DayOfMonth | Part::SpacedDay => self.day = number,
            Part::Hour | Part::Hour12 | Part::ZeroHour12 => self.hour = number,
            Part::Minute | Part::ZeroMinute => self.minute = number,
            Part::Second | Part::ZeroSecond => {
                self.second = number;
                // A fraction may follow the seconds where the layout names none.
                let named = matches!(next_part(behind), Some((_, Part::Fraction { .. })));
                if !named && rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                    return self.fraction(rest, 9, true);
                }
            }
            Part::Year => self.year = number as i32,
            Part::ShortYear => self.year = if number >= 69 { 1900 } else { 2000 } + number as i32,
            Part::DayOfYear => (self.month, self.day) = (1, number),
            Part::UpperHalf | Part::LowerHalf => self.half = Some(number == 1),
            Part::LongDay | Part::Day | Part::ZoneName | Part::Offset { .. } | Part::Fraction { .. } => {}
        }
        Some(rest)
    }

    fn zone_name<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let count = text.bytes().take_while(u8::is_ascii_uppercase).count();
        (3..=5).contains(&count).then(|| &text[count..])
    }

    fn offset<'a>(&mut self, text: &'a str, z: bool, colon: bool, minutes: bool) -> Option<&'a str> {
        if z && let Some(rest) = text.strip_prefix('Z') {
            return Some(rest);
        }
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = take_digits(&text[1..], 2, 2)?;
        let mut total = i64::from(hours) * 60;
        if minutes {
            rest = if colon { rest.strip_prefix(':')? } else { rest };
            let (number, behind) = take_digits(rest, 2, 2)?;
            (total, rest) = (total + i64::from(number), behind);
        }
        self.offset = sign * total;
        Some(rest)
    }

    fn fraction<'a>(&mut self, text: &'a str, digits: usize, cut: bool) -> Option<&'a str> {
        let Some(rest) = text.strip_prefix(['.', ',']) else { return cut.then_some(text) };
        let count = rest.bytes().take(9).take_while(u8::is_ascii_digit).count();
        if !cut && count != digits {
            return None;
        }
        self.nanos = format!("{:0<9}", &rest[..count]).parse().ok()?;
        Some(&rest[count..])
    }

    fn finish(self) -> Option<GoTime> {
        let hour = match self.half {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = if self.day > 31 {
            NaiveDate::from_yo_opt(self.year, self.day)?
        } else {
            NaiveDate::from_ymd_opt(self.year, self.month, self.day)?
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        let local = Utc.from_utc_datetime(&NaiveDateTime::new(date, time)).timestamp_millis();
        Some(GoTime::utc(Timestamp(local - self.offset * 60_000)))
    }
}

/// A number that shows itself as a name: a month, a day of the week.
struct Named {
    type_name: &'static str,
    text: &'static str,
    number: i64,
}

impl Object for Named {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        self.type_name
    }

    fn text(&self) -> String {
        self.text.to_owned()
    }

    fn call(&self, method: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        (method == "String").then(|| Ok(self.text.into()))
    }

    fn underlying(&self) -> Value {
        Value::Int(self.number)
    }
}

fn time_argument(args: &[Value]) -> Result<Timestamp, String> {
    match args {
        [value] => as_time(value).map(|time| time.at).ok_or_else(|| "expected time.Time".into()),
        _ => Err("wrong number of arguments; expected one time.Time".into()),
    }
}

/// Returns the instant that a value holds, `None` when it is not a time.
pub fn as_time(value: &Value) -> Option<GoTime> {
    match value {
        Value::Object(object) => object.as_any().downcast_ref::<GoTime>().copied(),
        _ => None,
    }
}

/// Returns the duration that a value holds, `None` when it is not a duration.
pub fn as_duration(value: &Value) -> Option<GoDuration> {
    match value {
        Value::Object(object) => object.as_any().downcast_ref::<GoDuration>().copied(),
        _ => None,
    }
}

impl Object for GoTime {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        "time.Time"
    }

    fn text(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let time = self.local();
        let compared =
            |test: fn(Timestamp, Timestamp) -> bool| time_argument(args).map(|other| Value::Bool(test(self.at, other)));
        let number = |value: i64| Ok(Value::Int(value));
        Some(match method {
            "Format" => match args {
                [layout] if layout.as_text().is_some() => Ok(self.format(layout.as_text().unwrap_or_default()).into()),
                _ => Err("wrong type or number of arguments; expected one string".into()),
            },
            "String" => Ok(self.text().into()),
            "Unix" => number(self.at.0.div_euclid(1000)),
            "UnixMilli" => number(self.at.0),
            "UnixMicro" => number(self.at.0.saturating_mul(1000)),
            "UnixNano" => number(self.at.0.saturating_mul(1_000_000)),
            "Year" => number(i64::from(time.year())),
            "Month" => {
                let month = time.month0() as usize;
                let named = Named { type_name: "time.Month", text: MONTHS[month], number: month as i64 + 1 };
                Ok(Value::Object(Arc::new(named)))
            }
            "Weekday" => {
                let day = time.weekday().num_days_from_sunday() as usize;
                Ok(Value::Object(Arc::new(Named { type_name: "time.Weekday", text: DAYS[day], number: day as i64 })))
            }
            "Day" => number(i64::from(time.day())),
            "YearDay" => number(i64::from(time.ordinal())),
            "Hour" => number(i64::from(time.hour())),
            "Minute" => number(i64::from(time.minute())),
            "Second" => number(i64::from(time.second())),
            "Nanosecond" => number(i64::from(time.nanosecond())),
            "IsZero" => Ok(Value::Bool(self.at == ZERO_TIME)),
            "UTC" | "Local" => Ok(GoTime::utc(self.at).value()),
            "Before" => compared(|own, other| own < other),
            "After" => compared(|own, other| own > other),
            "Equal" => compared(|own, other| own == other),
            "Sub" => time_argument(args).map(|other| GoDuration::from_ms(self.at.since(other).0).value()),
            "Add" => match args.first().map(Value::plain) {
                Some(Value::Int(nanos)) => {
                    Ok(GoTime { at: Timestamp(self.at.0.saturating_add(nanos / 1_000_000)), ..*self }.value())
                }
                _ => Err("wrong type or number of arguments; expected one time.Duration".into()),
            },
            _ => return None,
        })
    }

    fn json(&self) -> Option<String> {
        Some(format!("\"{}\"", self.format("2006-01-02T15:04:05.999999999Z07:00")))
    }
}

/// Go's `time.Duration`: nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub i64);

impl GoDuration {
    pub fn from_ms(ms: i64) -> GoDuration {
        GoDuration(ms.saturating_mul(1_000_000))
    }

    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }
}

impl Object for GoDuration {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        "time.Duration"
    }

    /// Returns text such as `1h30m0s`, `1.5s`, `200ms`, `0s`.
    fn text(&self) -> String {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = |unit: u64, name: &str| {
            let digits = unit.ilog10() as usize;
            let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
            format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
        };
        match nanos {
            0 => "0s".into(),
            1..1_000 => format!("{sign}{nanos}ns"),
            1_000..1_000_000 => fraction(1_000, "µs"),
            1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
            _ => {
                let seconds = nanos / 1_000_000_000;
                let below_minute = format!("{}.{:09}", seconds % 60, nanos % 1_000_000_000);
                let below_minute = below_minute.trim_end_matches('0').trim_end_matches('.');
                match (seconds / 3600, seconds / 60 % 60) {
                    (0, 0) => format!("{sign}{below_minute}s"),
                    (0, minutes) => format!("{sign}{minutes}m{below_minute}s"),
                    (hours, minutes) => format!("{sign}{hours}h{minutes}m{below_minute}s"),
                }
            }
        }
    }

    fn call(&self, method: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match method {
            "String" => self.text().into(),
            "Seconds" => self.seconds().into(),
            "Minutes" => (self.seconds() / 60.0).into(),
            "Hours" => (self.seconds() / 3600.0).into(),
            "Milliseconds" => Value::Int(self.0 / 1_000_000),
            "Microseconds" => Value::Int(self.0 / 1_000),
            "Nanoseconds" => Value::Int(self.0),
            "Abs" => GoDuration(self.0.saturating_abs()).value(),
            _ => return None,
        }))
    }

    fn underlying(&self) -> Value {
        Value::Int(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_format_as_go_formats_them() {
        let time = GoTime { at: Timestamp::parse_rfc3339("2024-03-05T08:04:09.120Z").unwrap(), zone: Tz::Europe__Paris };
        for (layout, text) in [
            ("2006-01-02 15:04:05.999999999 -0700 MST", "2024-03-05 09:04:09.12 +0100 CET"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Tue, 05 Mar 2024 09:04:09 CET"),
            ("Monday _2 January 06 3:04PM", "Tuesday  5 March 24 9:04AM"),
            ("2006-01-02T15:04:05.000Z07:00", "2024-03-05T09:04:09.120+01:00"),
            ("1/2 002", "3/5 065"),
        ] {
            assert_eq!(time.format(layout), text);
        }
        assert_eq!(GoTime::utc(Timestamp(0)).text(), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(GoTime::utc(ZERO_TIME).format("2006-01-02T15:04:05Z07:00"), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn texts_parse_by_layout() {
        assert_eq!(parse("2006-01-02", "2024-03-15").unwrap().at, Timestamp::parse_rfc3339("2024-03-15T00:00:00Z").unwrap());
        assert_eq!(
            parse("2 Jan 2006 3:04:05.000 PM -0700", "5 Mar 2024 1:02:03.250 AM +0100").unwrap().at,
            Timestamp::parse_rfc3339("2024-03-05T00:02:03.250Z").unwrap()
        );
        for (layout, bad) in [("2006-01-02", "not-a-date"), ("2006-01-02", "2024-02-31"), ("2006", "2024x")] {
            assert!(parse(layout, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1_800_000_000_000, "30m0s"),
            (5_430_000_000_000, "1h30m30s"),
            (1_500_000_000, "1.5s"),
            (-250_000_000, "-250ms"),
            (1_500, "1.5µs"),
        ] {
            assert_eq!(GoDuration(nanos).text(), text);
        }
    }
}
