//! The report in words.

use std::collections::BTreeMap;

use tocsin_core::backtest::{Difference, Night, Notification, Report, RuleReport, Shift, Total};
use tocsin_core::time::Span;

use crate::cli::table;

/// Returns what a report says, and how it differs from that of other rules.
pub(super) fn text(new: &Report, against: Option<&(Report, Difference)>, zone: Night, limit: usize) -> String {
    let mut text = format!(
        "{} to {} ({}), after a warm-up of {}; times and nights of {}\n",
        zone.clock(new.from),
        zone.clock(new.to),
        new.to.since(new.from),
        new.warm_up,
        new.zone
    );
    section(&mut text, &said(&new.total), &notifications(&new.notifications, zone, limit));
    if new.total.notifications > 0 {
        section(&mut text, "By receiver", &totals(&new.receivers));
    }
    if !new.users.is_empty() {
        section(&mut text, "By user", &totals(&new.users));
    }
    section(&mut text, "By rule", &rules(&new.rules, limit));
    if let Some((old, difference)) = against {
        compared(&mut text, old, difference, zone, limit);
    }
    failures(&mut text, "", new, limit);
    if let Some((old, _)) = against {
        failures(&mut text, " of the rules to compare with", old, limit);
    }
    text
}

fn section(text: &mut String, head: &str, body: &str) {
    text.push_str(&format!("\n{head}\n{body}"));
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn said(total: &Total) -> String {
    format!(
        "{}: {} firing, {} resolved; {} at night, in {}",
        count(total.notifications, "notification"),
        total.firing,
        total.resolved,
        total.at_night,
        count(total.nights, "night")
    )
}

/// Returns the first so many rows as a table, and how many more there are.
fn cut<T, const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: &[T],
    limit: usize,
    row: impl Fn(&T) -> [String; COLUMNS],
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown: Vec<[String; COLUMNS]> = rows.iter().take(limit).map(row).collect();
    let mut text = if shown.is_empty() { String::new() } else { table(head, &shown) };
    if rows.len() > limit {
        text.push_str(&format!("and {} more; --limit shows them\n", rows.len() - limit));
    }
    text
}

fn people(one: &Notification) -> String {
    if one.users.is_empty() { one.receiver.clone() } else { format!("{} ({})", one.receiver, one.users.join(", ")) }
}

fn row(one: &Notification, zone: Night) -> [String; 5] {
    let channels = if one.channels.is_empty() { "-".to_owned() } else { one.channels.join(", ") };
    let at = format!("{}{}", zone.clock(one.at), if one.is_at_night { " night" } else { "" });
    [at, people(one), channels, one.reason.as_str().to_owned(), one.title.clone()]
}

fn notifications(list: &[Notification], zone: Night, limit: usize) -> String {
    cut(["at", "receiver", "by", "why", "what"], list, limit, |one| row(one, zone))
}

fn totals(totals: &BTreeMap<String, Total>) -> String {
    let mut rows: Vec<(&String, &Total)> = totals.iter().collect();
    rows.sort_by_key(|(_, total)| std::cmp::Reverse(total.notifications));
    cut(["name", "notifications", "firing", "resolved", "at night", "nights"], &rows, usize::MAX, |(name, total)| {
        let Total { notifications, firing, resolved, at_night, nights } = total;
        let numbers = [notifications, firing, resolved, at_night, nights].map(u64::to_string);
        let [notifications, firing, resolved, at_night, nights] = numbers;
        [name.to_string(), notifications, firing, resolved, at_night, nights]
    })
}

fn name(group: &str, rule: &str) -> String {
    format!("{group}/{rule}")
}

/// Returns the rules, those first that have notified most; those that did nothing are only counted.
fn rules(rules: &[RuleReport], limit: usize) -> String {
    let mut busy: Vec<&RuleReport> = rules.iter().filter(|rule| rule.pending + rule.fired + rule.firing_at_end > 0).collect();
    busy.sort_by_key(|rule| std::cmp::Reverse((rule.notified, rule.fired, rule.pending)));
    let head = ["rule", "pending", "fired", "notified", "longest", "flaps", "firing at the end"];
    let mut text = cut(head, &busy, limit, |rule| {
        let [pending, fired, notified, flaps, open] =
            [rule.pending, rule.fired, rule.notified, rule.flaps, rule.firing_at_end].map(|number| number.to_string());
        [name(&rule.group, &rule.name), pending, fired, notified, rule.longest.to_string(), flaps, open]
    });
    let quiet = (rules.len() - busy.len()) as u64;
    if quiet > 0 {
        text.push_str(&format!("{} had no alert\n", count(quiet, "rule")));
    }
    text
}

fn compared(text: &mut String, old: &Report, difference: &Difference, zone: Night, limit: usize) {
    let head = format!(
        "Difference: {} with the rules to compare with; {} the same, {} shifted, {} only new, {} only old",
        count(old.total.notifications, "notification"),
        difference.same,
        difference.shifted.len(),
        difference.only_new.len(),
        difference.only_old.len()
    );
    let signed = |new: u64, old: u64| format!("{new} ({:+})", new as i64 - old as i64);
    let receivers: Vec<_> = difference.receivers.iter().collect();
    let totals = cut(["receiver", "notifications", "at night", "nights"], &receivers, usize::MAX, |(name, (new, old))| {
        let Total { notifications, at_night, nights, .. } = new;
        [
            name.to_string(),
            signed(*notifications, old.notifications),
            signed(*at_night, old.at_night),
            signed(*nights, old.nights),
        ]
    });
    section(text, &head, &totals);
    if !difference.only_new.is_empty() {
        section(text, "Only with the new rules", &notifications(&difference.only_new, zone, limit));
    }
    if !difference.only_old.is_empty() {
        section(text, "Only with the old rules", &notifications(&difference.only_old, zone, limit));
    }
    if !difference.shifted.is_empty() {
        let shifts = cut(["at", "shifted", "receiver", "why", "what"], &difference.shifted, limit, |Shift { new, by }| {
            let [at, receiver, _, why, what] = row(new, zone);
            let way = if *by < Span::ZERO { "earlier" } else { "later" };
            [at, format!("{} {way}", Span(by.0.abs())), receiver, why, what]
        });
        section(text, "At another time", &shifts);
    }
    if !difference.rules.is_empty() {
        let rules = cut(["rule", "fired", "notified", "longest", "flaps"], &difference.rules, limit, |rule| {
            let (new, old) = (rule.new.as_ref(), rule.old.as_ref());
            let side = match (new, old) {
                (Some(_), None) => " (only new)",
                (None, Some(_)) => " (only old)",
                (Some(_), Some(_)) | (None, None) => "",
            };
            let of = |number: &dyn Fn(&RuleReport) -> u64| signed(new.map_or(0, number), old.map_or(0, number));
            let longest = |rule: Option<&RuleReport>| rule.map_or(Span::ZERO, |rule| rule.longest);
            [
                format!("{}{side}", name(&rule.group, &rule.name)),
                of(&|rule| rule.fired),
                of(&|rule| rule.notified),
                format!("{} (was {})", longest(new), longest(old)),
                of(&|rule| rule.flaps),
            ]
        });
        section(text, "Rules that fare differently", &rules);
    }
}

/// Tells what makes a report less than whole.
fn failures(text: &mut String, whose: &str, report: &Report, limit: usize) {
    if !report.failed.is_empty() {
        let rows = cut(["rule", "evaluations", "first at", "why"], &report.failed, limit, |rule| {
            [name(&rule.group, &rule.name), rule.evaluations.to_string(), rule.first_at.rfc3339(), rule.reason.clone()]
        });
        section(text, &format!("Evaluations that failed{whose}"), &rows);
    }
    if report.refused > 0 {
        text.push_str(&format!("\n{}{whose} could not be taken by routing\n", count(report.refused, "alert")));
    }
}
