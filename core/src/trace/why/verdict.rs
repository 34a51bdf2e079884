//! Who was told of an alert up to an instant, and what kept it from the others.

use serde::Serialize;

use crate::time::{Span, Timestamp};

use super::super::{AlertStep, Flush, Holder, Record, What, moment};
use super::{DeliveryFact, Destination, Evidence, Stage, destinations};

/// Whether a receiver was told, and the first part of the way that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// None: the alert got to no receiver at all.
    pub receiver: Option<String>,
    pub told: bool,
    pub stage: Stage,
    pub why: String,
    /// What would have had to be different; None where all went its way.
    pub otherwise: Option<String>,
}

/// A time during which an alert fired.
struct Firing<'e> {
    step: &'e AlertStep,
    ended_at: Option<Timestamp>,
}

pub(super) fn verdicts(evidence: &Evidence) -> Vec<Verdict> {
    let steps = evidence.steps();
    let before: Vec<&AlertStep> = steps.iter().copied().filter(|step| step.at <= evidence.at).collect();
    let Some(firing) = firing(&before, evidence) else { return vec![not_fired(&before, evidence)] };
    if let What::Fired { routed: false, .. } = firing.step.what {
        let why = "alert_relabel_configs drop it on its way to routing".to_owned();
        return vec![nobody(Stage::Routing, why, "a relabelling that keeps it".to_owned())];
    }
    let Some(routes) = evidence.routes_at(firing.step.at) else {
        let why = "the routes of that time are not written down any more".to_owned();
        return vec![Verdict { receiver: None, told: false, stage: Stage::Routing, why, otherwise: None }];
    };
    let refused = before.iter().rev().find_map(|step| match &step.what {
        What::Refused { reason } if step.at >= firing.step.at => Some(reason.clone()),
        _ => None,
    });
    let tree = routes.tree();
    let mut verdicts = Vec::new();
    for destination in destinations(&tree, &evidence.labels) {
        let verdict = of_receiver(&destination, &firing, evidence, refused.as_deref());
        // Two ways to one receiver in one group are one.
        if !verdicts.contains(&verdict) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

/// Returns the last time that the alert fired and that had begun by the instant.
fn firing<'e>(before: &[&'e AlertStep], evidence: &Evidence) -> Option<Firing<'e>> {
    let (mut last, mut fires): (Option<Firing<'e>>, bool) = (None, false);
    for step in before {
        if let What::PutOff { .. } = step.what {
            // The end that was just told does not count yet.
            last.iter_mut().for_each(|last| last.ended_at = None);
            fires = true;
            continue;
        }
        match step.what.fires() {
            Some(true) if !fires => (last, fires) = (Some(Firing { step, ended_at: None }), true),
            Some(false) => {
                fires = false;
                if let Some(last) = last.as_mut().filter(|last| last.ended_at.is_none()) {
                    last.ended_at = Some(step.at);
                }
            }
            Some(true) | None => {}
        }
    }
    let mut last = last?;
    if last.ended_at.is_none() {
        // What its sender says no more ends without a word, and is seen when its group is due.
        let alert = evidence.fingerprint();
        let mut later = evidence.flushes().filter(|(record, _)| record.at > last.step.at && record.at <= evidence.at);
        last.ended_at = later.find(|(_, flush)| !flush.has_firing(alert)).map(|(record, _)| record.at);
    }
    Some(last)
}

fn nobody(stage: Stage, why: String, otherwise: String) -> Verdict {
    Verdict { receiver: None, told: false, stage, why, otherwise: Some(otherwise) }
}

/// The alert has not fired before the instant, as far back as was looked.
fn not_fired(before: &[&AlertStep], evidence: &Evidence) -> Verdict {
    let at = evidence.at;
    let state = before.iter().rev().find(|step| !matches!(step.what, What::Held { .. } | What::Seen));
    match state.map(|step| (step.at, &step.what)) {
        Some((since, What::Pending { hold, .. })) => {
            let (start, due) = (moment(since, at), moment(since + *hold, at));
            let why =
                format!("it was pending since {start}; its rule waits for {hold}, so it fires at {due} if the condition lasts");
            nobody(Stage::Rule, why, format!("a `for` of at most {}", seconds(at - since)))
        }
        Some((ended, What::Cleared { since })) => {
            let (from, to, long) = (moment(*since, at), moment(ended, at), seconds(ended - *since));
            let why = format!("it never fired: its condition held from {from} to {to}, shorter than its rule asks");
            nobody(Stage::Rule, why, format!("a `for` shorter than {long}, or the condition lasting longer"))
        }
        Some((ended, _)) => {
            let why = format!("it had ended by {}", moment(ended, at));
            nobody(Stage::Rule, why, "its condition holding".to_owned())
        }
        None => nobody(Stage::Rule, "it was neither pending nor firing".to_owned(), "its condition holding".to_owned()),
    }
}

fn of_receiver(destination: &Destination, firing: &Firing<'_>, evidence: &Evidence, refused: Option<&str>) -> Verdict {
    let (alert, at, fired_at) = (evidence.fingerprint(), evidence.at, firing.step.at);
    let receiver = destination.group.receiver.clone();
    let verdict = |told: bool, stage: Stage, why: String, otherwise: Option<String>| Verdict {
        receiver: Some(receiver.clone()),
        told,
        stage,
        why,
        otherwise,
    };
    let not_told = |stage: Stage, why: String, otherwise: String| verdict(false, stage, why, Some(otherwise));
    let ended_at = firing.ended_at.unwrap_or(Timestamp::MAX);
    let is_meant = |(record, flush): &(&Record, &Flush)| {
        flush.group == destination.group && flush.has_firing(alert) && record.at >= fired_at && record.at <= at.min(ended_at)
    };
    let flushes: Vec<(&Record, &Flush)> = evidence.flushes().filter(is_meant).collect();
    let mut deliveries: Vec<(&Record, Option<&DeliveryFact>)> = Vec::new();
    for (record, flush) in flushes.iter().filter(|(_, flush)| flush.shown.contains(&alert)) {
        let told = flush.said.iter().filter_map(|said| said.told.as_ref()?.delivery.as_deref());
        deliveries.extend(told.map(|key| (*record, evidence.delivery(key))));
    }
    if !deliveries.is_empty() {
        return of_deliveries(&deliveries, evidence, verdict);
    }
    let Some((record, flush)) = flushes.last() else {
        return before_flush(destination, firing, evidence, refused, not_told);
    };
    let first = flushes.iter().find(|(_, flush)| !flush.shown.contains(&alert) || !flush.intervals.is_empty());
    let first_at = first.map_or(record.at, |(record, _)| record.at);
    let would = format!("{receiver} would have been told at {}", moment(first_at, at));
    let holders: Vec<&Holder> = flush.holders(alert).collect();
    if let Some(holder) = holders.first() {
        let stage = match holder {
            Holder::Silence { .. } => Stage::Silence,
            Holder::Inhibitor { .. } => Stage::Inhibition,
        };
        let words: Vec<String> = holders.iter().map(|holder| holder.words(at)).collect();
        let since = moment(first_at, at);
        let why = format!("held back since {since} by {}", words.join(" and by "));
        let without = if words.len() == 1 { "without it" } else { "without all of them" };
        return not_told(stage, why, format!("{without} {would}"));
    }
    if !flush.intervals.is_empty() {
        let why = format!("the time interval {} keeps it silent", flush.intervals.join(", "));
        return not_told(Stage::Interval, why, format!("outside of it {would}"));
    }
    if flush.said.is_empty() {
        let why = "the receiver has no integration".to_owned();
        return not_told(Stage::Routing, why, "a receiver that sends somewhere".to_owned());
    }
    let heard = flush.said.iter().filter_map(|said| said.heard_at).max();
    let again = flush.said.iter().filter_map(|said| said.repeat_at).min();
    let heard = heard.map_or("no news for it".to_owned(), |heard| format!("it was told of it before, at {}", moment(heard, at)));
    let again = again.map_or("nothing fires on, or somebody has taken the page".to_owned(), |again| {
        format!("it hears again at {}", moment(again, at))
    });
    not_told(Stage::Group, heard, again)
}

/// It fired, and its group was not due before the instant.
fn before_flush(
    destination: &Destination,
    firing: &Firing<'_>,
    evidence: &Evidence,
    refused: Option<&str>,
    not_told: impl Fn(Stage, String, String) -> Verdict,
) -> Verdict {
    let (at, fired_at, wait) = (evidence.at, firing.step.at, destination.group_wait);
    if let Some(reason) = refused {
        return not_told(
            Stage::Routing,
            format!("routing had no place for it: {reason}"),
            "fewer alerts, or higher limits".to_owned(),
        );
    }
    if let Some((started_at, opened_at)) = evidence.closed_at(at) {
        let (start, open) = (moment(started_at, at), moment(opened_at, at));
        let why = format!("Tocsin had started at {start} and told nobody before its rules were evaluated");
        return not_told(Stage::Service, why, format!("from {open} on it was told"));
    }
    match firing.ended_at {
        Some(ended) => {
            let why = format!("it ended at {}, before its group was due", moment(ended, at));
            let long = seconds(ended - fired_at);
            not_told(Stage::Group, why, format!("a group_wait shorter than {long}; it is {wait}"))
        }
        None => {
            let why =
                format!("its group waits for others to join: group_wait is {wait}, and it fired at {}", moment(fired_at, at));
            not_told(Stage::Group, why, "a shorter group_wait, or a group that was told already and falls due sooner".to_owned())
        }
    }
}

/// Returns a span for people: whole seconds where it is longer than one.
fn seconds(span: Span) -> Span {
    if span.0 < 1000 { Span(span.0.max(0)) } else { Span(span.0 / 1000 * 1000) }
}

fn of_deliveries(
    deliveries: &[(&Record, Option<&DeliveryFact>)],
    evidence: &Evidence,
    verdict: impl Fn(bool, Stage, String, Option<String>) -> Verdict,
) -> Verdict {
    let at = evidence.at;
    let arrived = deliveries.iter().filter_map(|(_, delivery)| {
        let delivery = (*delivery)?;
        let done = delivery.attempts.iter().find(|attempt| attempt.outcome == "delivered" && attempt.at <= at)?;
        Some((done.at, delivery))
    });
    let mut arrived: Vec<(Timestamp, &DeliveryFact)> = arrived.collect();
    arrived.sort_by_key(|(at, _)| *at);
    if let Some((first, _)) = arrived.first() {
        let mut channels: Vec<&str> = arrived.iter().map(|(_, delivery)| delivery.channel.as_str()).collect();
        channels.sort_unstable();
        channels.dedup();
        let times = if arrived.len() == 1 { String::new() } else { format!(", {} times in all", arrived.len()) };
        let why = format!("told by {} at {}{times}", channels.join(" and "), moment(*first, at));
        return verdict(true, Stage::Delivery, why, None);
    }
    let (record, delivery) = deliveries.first().expect("the caller has looked");
    let Some(delivery) = delivery else {
        let why = format!("it was decided at {} to tell it; how that ended is not written down any more", moment(record.at, at));
        return verdict(false, Stage::Delivery, why, None);
    };
    let tries = delivery.attempts.iter().filter(|attempt| attempt.at <= at).count();
    let last = delivery.attempts.iter().rev().find(|attempt| attempt.at <= at).map(|attempt| attempt.detail.as_str());
    let last = last.map_or("no attempt was made yet".to_owned(), |detail| format!("{tries} attempts, the last: {detail}"));
    let (id, channel, state) = (delivery.id, &delivery.channel, &delivery.state);
    let why = format!("delivery {id} by {channel} was decided at {} and has not arrived: {last}", moment(record.at, at));
    let otherwise = match state.as_str() {
        "pending" => match evidence.before_in_lane(delivery) {
            Some(first) => {
                format!("delivery {} comes before it, and is tried again at {}", first.id, moment(first.next_attempt_at, at))
            }
            None => format!("it is tried again at {}", moment(delivery.next_attempt_at, at)),
        },
        "delivered" => "it arrived later".to_owned(),
        "rejected" | "expired" if let Some((record, lost)) = evidence.lost(&delivery.key) => {
            format!("{channel} taking it; it {}; {}", delivery.refusal(), lost.words(record.at.min(at)))
        }
        state => format!("{channel} taking it; it is {state} now"),
    };
    verdict(false, Stage::Delivery, why, Some(otherwise))
}
