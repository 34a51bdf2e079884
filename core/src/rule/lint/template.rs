//! Lints of labels and annotations.

use crate::problem::Position;
use crate::promql::ast::Place;
use crate::rule::Kind;
use crate::yaml::Node;

use super::labels::labels;
use super::place::Located;
use super::{Lint, RuleAt, Sheet};

/// How a text names a label of its alert.
const NAMED: &str = "$labels.";

pub(super) fn lint(sheet: &mut Sheet<'_>, place: &RuleAt<'_>) {
    let Kind::Alert(alerting) = &place.rule.kind else { return };
    let possible = labels(&place.rule.expr);
    for (key, texts) in [("labels", &alerting.labels), ("annotations", &alerting.annotations)] {
        for (name, text) in texts {
            let node = [place.node, place.group_node].into_iter().find_map(|node| node.get(key)?.get(name));
            if key == "labels" && text.shows_value() {
                let message = format!("label {name:?} holds the value of the expression; every new value is then a new alert");
                let (position, marked) = whole(node, place);
                sheet.note(Lint::ValueInLabel, place.rule, position, marked, (message, "put it into an annotation"));
            }
            let located = Located::of(sheet.text, node);
            let mut told: Vec<&str> = Vec::new();
            for (start, label) in named_labels(&text.text) {
                if possible.may_have(label) || told.contains(&label) {
                    continue;
                }
                told.push(label);
                let end = start + NAMED.len() + label.len();
                let (position, marked) = match node {
                    Some(_) => located.range(Place { start: start as u32, end: end as u32 }),
                    None => whole(None, place),
                };
                let message = format!("no alert of this rule has the label {label:?}: the expression does not keep it");
                let remedy = "keep it with by (…), on (…) or group_left (…), or leave it out of the text";
                sheet.note(Lint::UnknownLabel, place.rule, position, marked, (message, remedy));
            }
        }
    }
}

/// Returns the place of a text of the rule, or of the rule.
fn whole(node: Option<&Node>, place: &RuleAt<'_>) -> (Position, usize) {
    let marked = node.and_then(Node::text).map_or(0, |text| text.lines().next().unwrap_or("").chars().count());
    (node.unwrap_or(place.node).position, marked)
}

/// Returns the labels that the actions of a text name, with where.
fn named_labels(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{").map(|offset| at + offset) {
        let close = text[open..].find("}}").map_or(text.len(), |offset| open + offset);
        for (offset, _) in text[open..close].match_indices(NAMED) {
            let rest = &text[open + offset + NAMED.len()..close];
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            if len > 0 {
                found.push((open + offset, &rest[..len]));
            }
        }
        at = close;
    }
    found
}
