//! SLOs: their window, their method and their objectives.

use std::sync::Arc;

use chrono::NaiveDateTime;
use chrono_tz::Tz;

use crate::time::Span;
use crate::yaml::{Table, Value};

use super::alerting::{op, policy_reference};
use super::object::{Object, required};
use super::{Method, Objective, Origin, Slo, Target, indicator, shorthand};
use crate::slo::window::{Unit, Window};

/// Objectives of one SLO.
const OBJECTIVES_MAX: usize = 100;
/// The window of an SLO that names none.
const WINDOW_DEFAULT: Window = Window::Rolling(Span::from_mins(30 * 24 * 60));

pub(super) fn slo(mut object: Object<'_, '_>) -> Option<Slo> {
    let description = object.description.clone();
    let file = object.file.clone();
    let Some(spec) = object.spec.as_mut() else {
        object.finish();
        return None;
    };
    let service = required(spec, "service");
    let has_indicator = spec.has("indicator") || spec.has("indicatorRef");
    let indicator = indicator::reference(spec, &file);
    let window = time_window(spec);
    let method = method(spec);
    let listed = spec.list("objectives");
    if listed.is_empty() {
        spec.error("objectives must hold at least one objective");
    } else if listed.len() > OBJECTIVES_MAX {
        spec.error(format!("an SLO has at most {OBJECTIVES_MAX} objectives"));
    }
    let mut objectives = Vec::new();
    for value in listed.iter().take(OBJECTIVES_MAX) {
        objectives.extend(objective(value, method, has_indicator, &file));
    }
    let policies = spec.list("alertPolicies").iter().filter_map(|value| policy_reference(value, &file)).collect();
    let metadata = object.finish();
    let (service, method, window) = (service?, method?, window?);
    Some(Slo { metadata, description, service, indicator, window, method, objectives, policies })
}

fn method(spec: &mut Table<'_, '_>) -> Option<Method> {
    let Some(value) = spec.value("budgetingMethod") else {
        spec.error("budgetingMethod is missing; write Occurrences, Timeslices or RatioTimeslices");
        return None;
    };
    match value.text()?.as_str() {
        "Occurrences" => Some(Method::Occurrences),
        "Timeslices" => Some(Method::Timeslices),
        "RatioTimeslices" => Some(Method::RatioTimeslices),
        _ => {
            value.error("expected Occurrences, Timeslices or RatioTimeslices");
            None
        }
    }
}

fn time_window(spec: &mut Table<'_, '_>) -> Option<Window> {
    let mut listed = spec.list("timeWindow").into_iter();
    match (listed.next(), listed.next()) {
        (None, _) => {
            spec.value_here().warning("timeWindow is missing; a rolling window of 30d is taken");
            Some(WINDOW_DEFAULT)
        }
        (Some(value), None) => window(value.table()),
        (Some(_), Some(second)) => {
            second.error("timeWindow holds exactly one window; write an SLO for each");
            None
        }
    }
}

fn window(mut table: Table<'_, '_>) -> Option<Window> {
    let length = table.value("duration").and_then(|value| shorthand(&value, false).map(|length| (length, value)));
    if !table.has("duration") {
        table.error("duration is missing; write a length such as 30d");
    }
    if let Some((length, value)) = &length
        && length.unit == Unit::Minute
    {
        value.warning(format!("{0}m is {0} minutes; months are written {0}M", length.count));
    }
    let rolling = table.boolean("isRolling");
    let calendar = table.table("calendar");
    let window = match (rolling, calendar) {
        (Some(true), None) => length.map(|(length, _)| Window::Rolling(length.span())),
        (Some(true), Some(calendar)) => {
            calendar.error("a rolling window has no calendar; remove it, or write isRolling: false");
            None
        }
        (Some(false) | None, Some(calendar)) => {
            let (start, zone) = read_calendar(calendar);
            match (length, start, zone) {
                (Some((length, _)), Some(start), Some(zone)) => Some(Window::Calendar { length, start, zone }),
                _ => None,
            }
        }
        (Some(false) | None, None) => {
            table.error("write isRolling: true, or calendar: with startTime: and timeZone:");
            None
        }
    };
    table.finish();
    window
}

fn read_calendar(mut table: Table<'_, '_>) -> (Option<NaiveDateTime>, Option<Tz>) {
    let start = table.value("startTime").and_then(|value| {
        let start = NaiveDateTime::parse_from_str(&value.text()?, "%Y-%m-%d %H:%M:%S").ok();
        if start.is_none() {
            value.error("cannot read the time; write it without a zone, such as 2026-01-01 00:00:00");
        }
        start
    });
    let zone = table.value("timeZone").and_then(|value| {
        let text = value.text()?;
        let zone = text.parse::<Tz>().ok();
        if zone.is_none() {
            value.error(format!("{text:?} is no time zone of the IANA database; write one such as Europe/Berlin or UTC"));
        }
        zone
    });
    for key in ["startTime", "timeZone"] {
        if !table.has(key) {
            table.error(format!("{key} is missing"));
        }
    }
    table.finish();
    (start, zone)
}

fn objective(value: &Value<'_, '_>, method: Option<Method>, has_indicator: bool, file: &Arc<str>) -> Option<Objective> {
    let mut table = value.table();
    let display_name = table.text("displayName").unwrap_or_default();
    let op = table.value("op").and_then(|value| op(&value));
    let limit = table.float("value");
    let target = target(&mut table);
    let slice_target = table.value("timeSliceTarget").and_then(|value| {
        let target = share(value.float()?, 1.0).filter(|target| target.0 > 0);
        if target.is_none() {
            value.error("expected a number above 0 and at most 1");
        }
        target
    });
    let slice = table.value("timeSliceWindow").and_then(|value| slice_window(&value));
    let indicator = indicator::reference(&mut table, file);
    if has_indicator && let Some(own) = table.value("indicator").or_else(|| table.value("indicatorRef")) {
        own.error("the SLO has an indicator already; move it into each objective, or remove this one");
    }
    if !has_indicator && !table.has("indicator") && !table.has("indicatorRef") {
        table.error("one of indicator and indicatorRef must be set, here or for the whole SLO");
    }
    if let Some(weight) = table.value("compositeWeight") {
        match weight.float() {
            Some(number) if number > 0.0 => weight.warning("objectives are judged each by itself; the weight is not used"),
            Some(_) => weight.error("expected a number above 0"),
            None => {}
        }
    }
    check_slices(&mut table, method, slice_target, slice);
    let at = Origin::of(value, file);
    table.finish();
    Some(Objective { display_name, op, value: limit, target: target?, slice_target, slice, indicator, at })
}

fn check_slices(table: &mut Table<'_, '_>, method: Option<Method>, slice_target: Option<Target>, slice: Option<Span>) {
    let Some(method) = method else { return };
    if method != Method::Occurrences && slice.is_none() && !table.has("timeSliceWindow") {
        table.error("timeSliceWindow is missing; write the length of a slice, such as 1m");
    }
    if method == Method::Timeslices && slice_target.is_none() && !table.has("timeSliceTarget") {
        table.error("timeSliceTarget is missing; write the share that makes a slice good, such as 0.95");
    }
}

fn target(table: &mut Table<'_, '_>) -> Option<Target> {
    let (ratio, percent) = (table.value("target"), table.value("targetPercent"));
    let (value, whole) = match (ratio, percent) {
        (Some(_), Some(percent)) => {
            percent.error("only one of target and targetPercent may be set; remove one of the two");
            return None;
        }
        (Some(value), None) => (value, 1.0),
        (None, Some(value)) => (value, 100.0),
        (None, None) => {
            table.error("target is missing; write target: 0.999 or targetPercent: 99.9");
            return None;
        }
    };
    let target = share(value.float()?, whole).filter(|target| target.0 < Target::WHOLE);
    if target.is_none() {
        value.error(format!("expected a number from 0 to below {whole}, of at most nine digits after the point of the share"));
    }
    target
}

/// Returns a share of `whole` in billionths; none where it is no share, or is finer than that.
fn share(number: f64, whole: f64) -> Option<Target> {
    let billionths = number / whole * f64::from(Target::WHOLE);
    let rounded = billionths.round();
    let exact = (billionths - rounded).abs() < 1e-3;
    let fits = (0.0..=f64::from(Target::WHOLE)).contains(&rounded);
    (exact && fits).then_some(Target(rounded as u32))
}

/// Reads the length of a slice; a bare number counts minutes.
fn slice_window(value: &Value<'_, '_>) -> Option<Span> {
    let text = value.text()?;
    if let Ok(minutes) = text.parse::<u32>() {
        if minutes == 0 {
            value.error("expected at least one minute");
        }
        return (minutes > 0).then(|| Span::from_mins(i64::from(minutes)));
    }
    let span = shorthand(value, false)?.span();
    if span > SLICE_MAX {
        value.error("a slice is at most a day long");
        return None;
    }
    Some(span)
}

const SLICE_MAX: Span = Span::from_mins(24 * 60);
