//! Why somebody was told, or nobody: the stages between an alert and a notification, as they stand at the instant of a check.

use super::PageCheck;
use super::check::{Said, Sight, fits};
use super::hold::silence_name;
use crate::alert::State;
use crate::model::LabelSet;
use crate::plane::AlertView;

/// Of alerts that are meant this many are told of; of others too.
const ALERTS_SHOWN: usize = 3;
/// Of what an alert was kept from, and of what was said of it, this many lines are shown.
const LINES_SHOWN: usize = 10;

/// Returns lines that say how it came to what a check found.
pub(super) fn why(check: &PageCheck, sight: &Sight<'_>) -> Vec<String> {
    let views = sight.views(check);
    let mut lines = Vec::new();
    for view in views.iter().take(ALERTS_SHOWN) {
        lines.extend(of_alert(view, check, sight));
    }
    if views.len() > ALERTS_SHOWN {
        lines.push(format!("and {} more alerts with these labels fire", views.len() - ALERTS_SHOWN));
    }
    let pending = sight.pending(check);
    for (labels, since, hold) in pending.iter().take(ALERTS_SHOWN) {
        lines.push(format!("{labels} is pending since {since}; its rule waits for {hold}"));
    }
    if views.is_empty() {
        lines.extend(of_none(pending.is_empty(), check, sight));
    }
    lines
}

/// Says how no alert that is meant fires.
fn of_none(none_pending: bool, check: &PageCheck, sight: &Sight<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let dropped =
        sight.ledger.alerts().filter(|(_, instance)| instance.state == State::Firing && fits(&check.labels, &instance.labels));
    for (_, instance) in dropped.filter(|(_, instance)| sight.ledger.routed_labels(&instance.labels).is_none()).take(ALERTS_SHOWN)
    {
        lines.push(format!("{} fires, and alert_relabel_configs drop it", instance.labels));
    }
    for labels in sight.fired.iter().filter(|labels| fits(&check.labels, labels)).take(ALERTS_SHOWN) {
        lines.push(format!("{labels} has fired and has ended"));
        lines.extend(sight.tree.explain(labels).iter().map(|step| format!("  {step}")));
        lines.extend(told(check, sight, labels));
    }
    if lines.is_empty() && none_pending {
        lines.push("no alert with these labels has fired or is pending".to_owned());
        let others: Vec<String> = sight.plane.firing(sight.now(check)).map(|alert| alert.labels.to_string()).collect();
        lines.extend(others.iter().take(ALERTS_SHOWN).map(|labels| format!("{labels} fires")));
        if others.len() > ALERTS_SHOWN {
            lines.push(format!("and {} more fire", others.len() - ALERTS_SHOWN));
        }
    }
    lines
}

fn of_alert(view: &AlertView, check: &PageCheck, sight: &Sight<'_>) -> Vec<String> {
    let now = sight.now(check);
    let labels = &view.alert.labels;
    let mut lines = vec![format!("{labels} fires since {}", view.alert.starts_at - sight.start)];
    lines.extend(sight.tree.explain(labels).iter().map(|step| format!("  {step}")));
    for silence in view.silenced_by.iter().filter_map(|id| sight.plane.silence(id)) {
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        lines.push(format!("  the silence {} of {} mutes it", silence_name(sight.plane, &silence.id), matchers.join(", ")));
    }
    lines.extend(sight.inhibitors(view, now).iter().map(|source| format!("  {source} inhibits it")));
    for group in sight.plane.groups(now) {
        let Some(own) = group.alerts.iter().find(|own| own.alert.fingerprint == view.alert.fingerprint) else { continue };
        let mut line = format!("  the group {} of {}", group.key, group.receiver);
        if let Some(at) = group.next_flush_at {
            line.push_str(&format!(" is flushed next at {}", at - sight.start));
        }
        if !own.muted_by.is_empty() {
            line.push_str(&format!("; {} keeps it silent at {now}", own.muted_by.join(", ")));
        }
        if sight.routing.receivers.get(&group.receiver).is_some_and(|receiver| receiver.integrations.is_empty()) {
            line.push_str("; the receiver has no integration, so nobody is told");
        }
        lines.push(line);
    }
    lines.extend(told(check, sight, labels));
    lines
}

/// Says who was told of an alert, and what kept it from whom.
fn told(check: &PageCheck, sight: &Sight<'_>, labels: &LabelSet) -> Vec<String> {
    let held = sight.holds.lines(labels, sight.plane, sight.start);
    let said = sight.said(&PageCheck { from: None, ..check.clone() }, |own| own == labels);
    let line = |one: &Said<'_>| format!("{} was told at {}: {}", one.receiver, one.at, one.data.reason.as_str());
    let mut lines: Vec<String> = held.into_iter().take(LINES_SHOWN).collect();
    lines.extend(said[said.len().saturating_sub(LINES_SHOWN)..].iter().map(line));
    if said.is_empty() {
        lines.push("nobody was told of it".to_owned());
    }
    lines.into_iter().map(|line| format!("  {line}")).collect()
}
