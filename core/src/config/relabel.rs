//! Relabelling rules as configured.
//!
//! Source: Prometheus `model/relabel.Config`.

use std::sync::LazyLock;

use regex::Regex;

use crate::model::labels::is_classic_label_name;
use crate::model::matcher::anchored;
use crate::model::relabel::{Action, RelabelRule};
use crate::yaml::{Table, Value};

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

const SEPARATOR: &str = ";";
const PATTERN: &str = "(.*)";
const REPLACEMENT: &str = "$1";

/// A classic label name in which parts may be references such as `$1` and `${name}`.
static TEMPLATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$").expect("the expression is constant"));

/// Reads a list of rules. `what` names a rule of this list, such as `target relabeling rule`.
pub(super) fn rules(table: &mut Table<'_, '_>, key: &'static str, what: &str, classic_names: bool) -> Vec<RelabelRule> {
    table
        .list(key)
        .iter()
        .filter_map(|value| {
            if value.is_null() {
                value.error(format!("empty or null {what}; remove the lone dash"));
                return None;
            }
            rule(value, classic_names)
        })
        .collect()
}

/// What a rule says, before it is checked; null stands for the empty text, not for the default.
struct Written<'n, 'p> {
    action: Option<Value<'n, 'p>>,
    regex: Option<Value<'n, 'p>>,
    separator: String,
    replacement: String,
    has_source_labels: bool,
    target_label: String,
    modulus: u64,
}

fn rule(value: &Value<'_, '_>, classic_names: bool) -> Option<RelabelRule> {
    let errors_before = value.problems.error_count();
    let mut table = value.table();
    let source_labels = table.entry("source_labels");
    let or_default = |value: Option<Value<'_, '_>>, default: &str| match value {
        Some(value) => value.text().unwrap_or_default(),
        None => default.to_owned(),
    };
    let written = Written {
        action: table.entry("action"),
        regex: table.entry("regex"),
        separator: or_default(table.entry("separator"), SEPARATOR),
        replacement: or_default(table.entry("replacement"), REPLACEMENT),
        has_source_labels: source_labels.as_ref().is_some_and(|labels| !labels.is_null()),
        target_label: table.text("target_label").unwrap_or_default(),
        modulus: table.unsigned("modulus").unwrap_or(0),
    };
    let source_labels = source_labels.map(|labels| labels.texts()).unwrap_or_default();
    if let Some(bad) = source_labels.iter().find(|name| !is_label_name(name, classic_names)) {
        table.error(format!("{bad:?} is not a valid label name in source_labels"));
    }
    table.finish();
    let action = action(value, written.action.as_ref())?;
    if let Err(message) = check(action, &written, classic_names) {
        value.error(message);
    }
    let pattern = or_default(written.regex.clone(), PATTERN);
    let regex = match anchored(&pattern) {
        Ok(regex) => Some(regex),
        Err(bad) => {
            written.regex.as_ref().unwrap_or(value).error(format!("error parsing regexp: {}: {pattern:?}", bad.reason));
            None
        }
    }?;
    (value.problems.error_count() == errors_before).then_some(RelabelRule {
        source_labels,
        separator: written.separator,
        regex,
        pattern,
        modulus: written.modulus,
        target_label: written.target_label,
        replacement: written.replacement,
        action,
    })
}

fn action(rule: &Value<'_, '_>, value: Option<&Value<'_, '_>>) -> Option<Action> {
    let Some(value) = value else { return Some(Action::Replace) };
    let text = value.text()?.to_ascii_lowercase();
    if text.is_empty() {
        rule.error("relabel action cannot be empty; remove the key for replace");
        return None;
    }
    let action = ACTIONS.iter().find(|(name, _)| *name == text).map(|(_, action)| *action);
    if action.is_none() {
        let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        value.error(format!("unknown relabel action {text:?}; write one of {}", names.join(", ")));
    }
    action
}

fn is_label_name(name: &str, classic_names: bool) -> bool {
    if classic_names { is_classic_label_name(name) } else { !name.is_empty() }
}

fn check(action: Action, written: &Written<'_, '_>, classic_names: bool) -> Result<(), String> {
    let name = ACTIONS.iter().find(|(_, candidate)| *candidate == action).map_or("", |(name, _)| *name);
    let target = written.target_label.as_str();
    let writes_target = matches!(
        action,
        Action::Replace | Action::HashMod | Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
    );
    if action == Action::HashMod && written.modulus == 0 {
        return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
    }
    if writes_target && target.is_empty() {
        return Err(format!("relabel configuration for {name} action requires 'target_label' value"));
    }
    let is_template = |text: &str| if classic_names { TEMPLATE.is_match(text) } else { !text.is_empty() };
    let target_is_valid = match action {
        Action::Replace if target.contains('$') => is_template(target),
        _ => is_label_name(target, classic_names),
    };
    if writes_target && !target_is_valid {
        return Err(format!("{target:?} is invalid 'target_label' for {name} action"));
    }
    let default_replacement = written.replacement == REPLACEMENT;
    if matches!(action, Action::Lowercase | Action::Uppercase) && !default_replacement {
        return Err(format!("'replacement' can not be set for {name} action"));
    }
    if action == Action::LabelMap && !is_template(&written.replacement) {
        return Err(format!("{:?} is invalid 'replacement' for {name} action", written.replacement));
    }
    let plain = written.modulus == 0 && written.separator == SEPARATOR && default_replacement;
    if matches!(action, Action::KeepEqual | Action::DropEqual) && !(plain && written.regex.is_none()) {
        return Err(format!("{name} action requires only 'source_labels' and `target_label`, and no other fields"));
    }
    if matches!(action, Action::LabelDrop | Action::LabelKeep) && !(plain && target.is_empty() && !written.has_source_labels) {
        return Err(format!("{name} action requires only 'regex', and no other fields"));
    }
    Ok(())
}
