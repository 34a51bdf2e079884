//! `route` and `inhibit_rules`.
//!
//! Source: Alertmanager `config.Route`, `config.InhibitRule`, `dispatch.NewRoute`.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::labels::is_classic_label_name;
use crate::model::{MatchOp, Matcher};
use crate::route::matchers::{Mode, parse_matchers};
use crate::route::receiver::{Channel, Integration, Receiver};
use crate::route::silence::Silencing;
use crate::route::time_interval::TimeInterval;
use crate::route::tree::{GroupBy, Inhibition, Route, Routing};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::intervals;
use super::place::Folder;
use super::receivers::{self, Defaults};

/// The receiver that hears of everything where nothing is configured.
const INBOX: &str = "inbox";

/// Reads the keys of Alertmanager's top level; `defaults` comes from `global`.
pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder, mode: Mode) -> Routing {
    let mut receivers = receivers::read(table, defaults, folder);
    let time_intervals = intervals::read(table);
    let inhibitions = inhibitions(table, mode);
    let route = table.value("route");
    let root = match &route {
        Some(value) => root(value, &Names { receivers: &receivers, time_intervals: &time_intervals, mode }),
        None => {
            if !receivers.is_empty() {
                table.error("no route provided in config; write route: {receiver: NAME} with the name of a receiver");
            }
            if receivers.is_empty() {
                receivers.insert(INBOX.to_owned(), inbox());
            }
            Route { receiver: INBOX.to_owned(), group_by: GroupBy::Labels(vec!["alertname".to_owned()]), ..bare_root() }
        }
    };
    Routing {
        root,
        receivers,
        inhibitions,
        time_intervals,
        resolve_timeout: defaults.resolve_timeout,
        flapping: None,
        silencing: Silencing::default(),
    }
}

fn inbox() -> Receiver {
    let integration = Integration { send_resolved: true, channel: Channel::Inbox };
    Receiver { name: INBOX.to_owned(), position: 0, labels: BTreeMap::new(), integrations: vec![integration], users: Vec::new() }
}

/// What the root takes where it says nothing.
fn bare_root() -> Route {
    Route {
        receiver: String::new(),
        matchers: Vec::new(),
        group_by: GroupBy::Labels(Vec::new()),
        continues: false,
        group_wait: Span::from_secs(30),
        group_interval: Span::from_mins(5),
        repeat_interval: Span::from_mins(4 * 60),
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        routes: Vec::new(),
    }
}

/// What routes may name, and how their matchers are read.
struct Names<'a> {
    receivers: &'a BTreeMap<String, Receiver>,
    time_intervals: &'a BTreeMap<String, Vec<TimeInterval>>,
    mode: Mode,
}

fn root(value: &Value<'_, '_>, names: &Names<'_>) -> Route {
    let mut table = value.table();
    if table.text("receiver").unwrap_or_default().is_empty() {
        table.error("root route must specify a default receiver; write receiver: NAME");
    }
    let says = |table: &mut Table<'_, '_>, key: &'static str| {
        table.value(key).is_some_and(|value| !value.node.items().is_empty() || !value.node.entries().is_empty())
    };
    if ["match", "match_re", "matchers"].into_iter().any(|key| says(&mut table, key)) {
        table.error("root route must not have any matchers; move them to a route under routes");
    }
    if says(&mut table, "mute_time_intervals") {
        table.error("root route must not have any mute time intervals; move them to a route under routes");
    }
    if says(&mut table, "active_time_intervals") {
        table.error("root route must not have any active time intervals; move them to a route under routes");
    }
    let route = route(value, &bare_root(), names);
    if route.continues {
        table.error("cannot have continue in root route; remove it");
    }
    route
}

fn route(value: &Value<'_, '_>, parent: &Route, names: &Names<'_>) -> Route {
    let mut table = value.table();
    let receiver = table.value("receiver");
    let name = receiver.as_ref().and_then(Value::text).filter(|name| !name.is_empty());
    if let (Some(value), Some(name)) = (&receiver, &name)
        && !names.receivers.contains_key(name)
    {
        let known: Vec<&str> = names.receivers.keys().map(String::as_str).collect();
        value.error(format!("undefined receiver {name:?} used in route{}", did_you_mean(name, &known)));
    }
    let mut matchers = exact(&mut table, "match");
    matchers.extend(expressions(&mut table, "match_re"));
    matchers.extend(matcher_lines(&mut table, "matchers", names.mode));
    let mut route = Route {
        receiver: name.unwrap_or_else(|| parent.receiver.clone()),
        matchers,
        group_by: group_by(&mut table, names.mode).unwrap_or_else(|| parent.group_by.clone()),
        continues: table.boolean("continue").unwrap_or(false),
        group_wait: table.span("group_wait").unwrap_or(parent.group_wait),
        group_interval: span_above_zero(&mut table, "group_interval").unwrap_or(parent.group_interval),
        repeat_interval: span_above_zero(&mut table, "repeat_interval").unwrap_or(parent.repeat_interval),
        mute_time_intervals: interval_names(&mut table, "mute_time_intervals", names),
        active_time_intervals: interval_names(&mut table, "active_time_intervals", names),
        routes: Vec::new(),
    };
    route.routes = table.list("routes").iter().map(|child| self::route(child, &route, names)).collect();
    table.finish();
    route
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    match crate::yaml::nearest(name, known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => "; define it or use another name".to_owned(),
    }
}

fn span_above_zero(table: &mut Table<'_, '_>, key: &'static str) -> Option<Span> {
    let value = table.value(key)?;
    let span = value.span()?;
    if span == Span::ZERO {
        value.error(format!("{key} cannot be zero"));
    }
    Some(span)
}

fn interval_names(table: &mut Table<'_, '_>, key: &'static str, names: &Names<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for value in table.list(key) {
        let Some(name) = value.text() else { continue };
        if !names.time_intervals.contains_key(&name) {
            let known: Vec<&str> = names.time_intervals.keys().map(String::as_str).collect();
            value.error(format!("undefined time interval {name:?} used in route{}", did_you_mean(&name, &known)));
        }
        all.push(name);
    }
    all
}

/// Returns `None` where nothing is said: an empty list says nothing either.
fn group_by(table: &mut Table<'_, '_>, mode: Mode) -> Option<GroupBy> {
    let whole = table.value("group_by")?;
    let (mut labels, mut seen, mut all) = (Vec::new(), BTreeSet::new(), false);
    for value in whole.list() {
        let Some(name) = value.text() else { continue };
        if name == "..." {
            all = true;
            continue;
        }
        if !is_label_name(&name, mode) {
            value.error(format!("invalid label name {name:?} in group_by list"));
        } else if !seen.insert(name.clone()) {
            value.error(format!("duplicated label {name:?} in group_by; remove one"));
        }
        labels.push(name);
    }
    match (all, labels.is_empty()) {
        (true, false) => {
            whole.error("cannot have wildcard group_by (`...`) and other labels at the same time");
            None
        }
        (true, true) => Some(GroupBy::All),
        (false, true) => None,
        (false, false) => Some(GroupBy::Labels(labels)),
    }
}

/// Returns whether a label can be called so; without the UTF-8 grammar names are those before 0.27.
fn is_label_name(name: &str, mode: Mode) -> bool {
    !name.is_empty() && (mode != Mode::Classic || is_classic_label_name(name))
}

fn check_classic_name(value: &Value<'_, '_>, name: &str) {
    if !is_classic_label_name(name) {
        value.error(format!("invalid label name {name:?}; use matchers for names beyond letters, digits and underscores"));
    }
}

fn exact(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Matcher> {
    let Some(whole) = table.value(key) else { return Vec::new() };
    let mut pairs = BTreeMap::new();
    for (key, value) in whole.entries() {
        check_classic_name(&value, &key.name);
        if let Some(text) = value.text() {
            pairs.insert(key.name.clone(), text);
        }
    }
    pairs.into_iter().map(|(name, value)| Matcher::equal(name, value)).collect()
}

fn expressions(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Matcher> {
    let Some(whole) = table.value(key) else { return Vec::new() };
    let mut matchers = BTreeMap::new();
    for (key, value) in whole.entries() {
        check_classic_name(&value, &key.name);
        if value.is_null() {
            value.error(format!("invalid regexp value for {:?}; write an expression", key.name));
            continue;
        }
        let Some(text) = value.text() else { continue };
        match Matcher::new(key.name.clone(), MatchOp::Regex, text) {
            Ok(matcher) => {
                matchers.insert(key.name.clone(), matcher);
            }
            Err(bad) => value.error(format!("error parsing regexp: {bad}")),
        }
    }
    matchers.into_values().collect()
}

fn matcher_lines(table: &mut Table<'_, '_>, key: &'static str, mode: Mode) -> Vec<Matcher> {
    let mut all = Vec::new();
    for value in table.list(key) {
        let Some(text) = value.text_ref() else { continue };
        match parse_matchers(text, mode) {
            Ok(matchers) => all.extend(matchers),
            Err(bad) => value.error(format!("{bad}; write matchers such as severity=\"page\" or team=~\"a|b\"")),
        }
    }
    all
}

fn inhibitions(table: &mut Table<'_, '_>, mode: Mode) -> Vec<Inhibition> {
    table.list("inhibit_rules").iter().filter_map(|value| inhibition(value, mode)).collect()
}

fn inhibition(value: &Value<'_, '_>, mode: Mode) -> Option<Inhibition> {
    let mut table = value.table();
    let mut rule = Inhibition {
        name: table.text("name").unwrap_or_default(),
        source: conditions(&mut table, ["source_match", "source_match_re", "source_matchers"], mode),
        target: conditions(&mut table, ["target_match", "target_match_re", "target_matchers"], mode),
        equal: equal(&mut table, "in equal list", mode),
    };
    let sources = table.list("sources");
    let says_source = !rule.source.is_empty() || !rule.equal.is_empty();
    if says_source && !sources.is_empty() {
        table.error("sources cannot be combined with source_match, source_match_re, source_matchers, or equal");
    }
    for (index, source) in sources.iter().enumerate() {
        let mut entry = source.table();
        let matchers = matcher_lines(&mut entry, "matchers", mode);
        let labels = equal(&mut entry, "in source equal list", mode);
        entry.finish();
        if matchers.is_empty() {
            source.error(format!("source {index}: matchers must not be empty"));
        } else if matchers.iter().all(Matcher::matches_empty) {
            source.error(format!("source {index}: at least one matcher must not match the empty string"));
        }
        (rule.source, rule.equal) = (matchers, labels);
    }
    table.finish();
    if sources.len() > 1 {
        value.warning("an inhibition by several sources is not served yet; the rule is ignored, so its targets are notified");
        return None;
    }
    Some(rule)
}

fn conditions(table: &mut Table<'_, '_>, [plain, regex, lines]: [&'static str; 3], mode: Mode) -> Vec<Matcher> {
    let mut matchers = exact(table, plain);
    matchers.extend(expressions(table, regex));
    matchers.extend(matcher_lines(table, lines, mode));
    matchers
}

fn equal(table: &mut Table<'_, '_>, where_: &str, mode: Mode) -> Vec<String> {
    let mut names = Vec::new();
    for value in table.list("equal") {
        let Some(name) = value.text() else { continue };
        if !is_label_name(&name, mode) {
            value.error(format!("invalid label name {name:?} {where_}"));
        }
        names.push(name);
    }
    names
}
