//! The functions that Alertmanager gives to the templates of notifications.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chrono_tz::Tz;

use crate::template::humanize::{self, number};
use crate::template::time::{self, GoDuration, GoTime, ZERO_TIME, as_time};
use crate::template::{Functions, Include, Options, Param, Safe, Signature, TemplateSet, Value};
use crate::time::Timestamp;

const TIME: Param = Param::Named("time.Time");

/// The functions with what they know of the notification.
pub struct NotificationFunctions<'a> {
    now: Timestamp,
    routes: Option<Routes<'a>>,
}

/// What `routeLabels` expands: texts, each against the same data.
struct Routes<'a> {
    set: &'a TemplateSet,
    data: &'a Value,
    labels: BTreeMap<String, String>,
    options: Options,
    /// The labels under expansion, so that one that calls itself is noticed.
    open: RefCell<Vec<String>>,
}

impl<'a> NotificationFunctions<'a> {
    pub fn new(
        set: &'a TemplateSet,
        data: &'a Value,
        route_labels: BTreeMap<String, String>,
        options: Options,
        now: Timestamp,
    ) -> NotificationFunctions<'a> {
        let routes = Routes { set, data, labels: route_labels, options, open: RefCell::new(Vec::new()) };
        NotificationFunctions { now, routes: Some(routes) }
    }

    /// Returns functions to read templates with.
    pub fn without_data() -> NotificationFunctions<'static> {
        NotificationFunctions { now: Timestamp(0), routes: None }
    }

    fn route_label(&self, name: &str) -> Result<String, String> {
        /// Labels that call labels may stand this deep in each other.
        const DEPTH_MAX: usize = 16;
        let Some(routes) = &self.routes else { return Ok(String::new()) };
        let Some(text) = routes.labels.get(name) else { return Ok(String::new()) };
        if routes.open.borrow().iter().any(|open| open == name) {
            return Err(format!("route label {name:?} refers to itself"));
        }
        if routes.open.borrow().len() >= DEPTH_MAX {
            return Err(format!("route labels refer to each other more than {DEPTH_MAX} deep"));
        }
        routes.open.borrow_mut().push(name.to_owned());
        let mut set = routes.set.clone();
        let result = set.add(name, text, self).and_then(|()| set.execute(name, routes.data, self, &routes.options));
        routes.open.borrow_mut().pop();
        result.map_err(|error| error.to_string())
    }
}

impl Functions for NotificationFunctions<'_> {
    fn signature(&self, name: &str) -> Option<Signature> {
        Some(match name {
            "toUpper" | "toLower" | "title" | "trimSpace" | "safeHtml" | "safeUrl" | "urlUnescape" | "base64encode"
            | "base64decode" | "routeLabels" => Signature::new(&[Param::Text]),
            "join" => Signature::new(&[Param::Text, Param::List]),
            "match" | "toDate" | "mustToDate" => Signature::new(&[Param::Text, Param::Text]),
            "reReplaceAll" => Signature::new(&[Param::Text, Param::Text, Param::Text]),
            "stringSlice" => Signature::repeating(&[Param::Text]),
            "date" | "tz" => Signature::new(&[Param::Text, TIME]),
            "since" => Signature::new(&[TIME]),
            "humanizeDuration" | "toJson" => Signature::new(&[Param::Any]),
            "list" | "dict" => Signature::repeating(&[Param::Any]),
            "append" => Signature::repeating(&[Param::List, Param::Any]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value], _include: &mut Include<'_>) -> Result<Value, String> {
        let text = |index: usize| args[index].as_text().unwrap_or_default();
        let time = |index: usize| as_time(&args[index]).unwrap_or(GoTime::utc(ZERO_TIME));
        match name {
            "toUpper" => Ok(text(0).to_uppercase().into()),
            "toLower" => Ok(text(0).to_lowercase().into()),
            "title" => Ok(title(text(0)).into()),
            "trimSpace" => Ok(text(0).trim().into()),
            "safeHtml" => Ok(Value::Safe(Safe::Html, text(0).into())),
            "safeUrl" => Ok(Value::Safe(Safe::Url, text(0).into())),
            "urlUnescape" => unescape_query(text(0)).map(Value::from),
            "base64encode" => Ok(encode_base64(text(0).as_bytes()).into()),
            "base64decode" => decode_base64(text(0)).map(Value::from),
            "routeLabels" => self.route_label(text(0)).map(Value::from),
            "join" => match args[1].plain() {
                Value::List(list) => {
                    let shown: Vec<String> = list.iter().map(Value::to_string).collect();
                    Ok(shown.join(text(0)).into())
                }
                _ => Ok("".into()),
            },
            "match" => humanize::matches(text(0), text(1)).map(Value::from),
            "reReplaceAll" => humanize::replace_all(text(0), text(1), text(2)).map(Value::from),
            "stringSlice" | "list" => Ok(Value::list(args.iter().cloned())),
            "dict" => dict(args),
            "append" => match args[0].plain() {
                Value::List(list) => Ok(Value::list(list.iter().chain(&args[1..]).cloned())),
                other => Err(format!("append: expected a list, got {}", other.type_name())),
            },
            "date" => Ok(time(1).format(text(0)).into()),
            "tz" => match text(0) {
                "" | "UTC" => Ok(GoTime::utc(time(1).at).value()),
                zone => match zone.parse::<Tz>() {
                    Ok(zone) => Ok(GoTime { zone, ..time(1) }.value()),
                    Err(_) => Err(format!("unknown time zone {zone}")),
                },
            },
            "since" => Ok(GoDuration::from_ms(self.now.since(time(0).at).0).value()),
            "humanizeDuration" => number(&args[0]).map(|seconds| humanize::humanize_duration(seconds).into()),
            "toJson" => args[0].json().map(Value::from),
            "toDate" => Ok(time::parse(text(0), text(1)).unwrap_or(GoTime::utc(ZERO_TIME)).value()),
            "mustToDate" => time::parse(text(0), text(1)).map(GoTime::value),
            _ => Err(format!("function {name:?} not defined")),
        }
    }
}

fn dict(args: &[Value]) -> Result<Value, String> {
    if !args.len().is_multiple_of(2) {
        return Err("dict: a value is missing; expected pairs of key and value".into());
    }
    let mut entries = BTreeMap::new();
    for pair in args.chunks_exact(2) {
        let key = pair[0].as_text().ok_or_else(|| format!("dict: keys must be text, got {}", pair[0].type_name()))?;
        entries.insert(key.to_owned(), pair[1].clone());
    }
    Ok(Value::map(entries))
}

/// Writes the first letter of each word large and the others small; a word may hold apostrophes, points and underscores.
fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for (index, c) in chars.iter().enumerate() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        let joins = matches!(c, '\'' | '\u{2019}' | '.' | ':' | '\u{b7}');
        let letter_follows = chars.get(index + 1).is_some_and(|next| next.is_alphabetic());
        inside = c.is_alphanumeric() || *c == '_' && inside || joins && inside && letter_follows;
    }
    out
}

/// Source: Go `url.QueryUnescape`.
fn unescape_query(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
                match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => out.push(byte),
                    None => {
                        let shown = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
                        return Err(format!("invalid URL escape {shown:?}"));
                    }
                }
                at += 3;
            }
            b'+' => {
                out.push(b' ');
                at += 1;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes base64 of the alphabet for addresses, with padding.
fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            if digit <= chunk.len() {
                out.push(BASE64[(word >> (18 - 6 * digit) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn decode_base64(text: &str) -> Result<String, String> {
    let bad = |at: usize| format!("illegal base64 data at input byte {at}");
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(bad(body.len()));
    }
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::with_capacity(body.len()));
    for (at, byte) in body.bytes().enumerate() {
        let digit = BASE64.iter().position(|known| *known == byte).ok_or_else(|| bad(at))?;
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
