//! Ranges over midnight as Alertmanager's tools can read them: the evening in one interval, the morning of the next day in another.

use crate::yaml::{Kind, Node, Style};

use crate::route::time_interval::text::WEEKDAYS;

/// Splits the intervals of one entry of `time_intervals`.
///
/// The morning of a weekday is that of the next one. A day of a month, a month or a year stays what it is: the last morning of a month
/// is then counted to the next one, which is as near as Alertmanager can say it.
pub(super) fn split(named: &mut Node) {
    let Kind::Mapping(entries) = &mut named.kind else { return };
    for (key, value) in entries {
        if let ("time_intervals", Kind::Sequence(intervals)) = (key.name.as_str(), &mut value.kind) {
            *intervals = std::mem::take(intervals).into_iter().flat_map(split_interval).collect();
        }
    }
}

fn split_interval(interval: Node) -> Vec<Node> {
    let Some(Kind::Sequence(times)) = interval.get("times").map(|times| times.kind.clone()) else { return vec![interval] };
    let (nights, days): (Vec<Node>, Vec<Node>) = times.into_iter().partition(is_over_midnight);
    if nights.is_empty() {
        return vec![interval];
    }
    let mut split = Vec::new();
    if !days.is_empty() {
        split.push(with(&interval, "times", Kind::Sequence(days)));
    }
    for night in nights {
        let ends = night.get("end_time").and_then(Node::text).unwrap_or_default().to_owned();
        let times = |node: Node| Kind::Sequence(vec![node]);
        split.push(with(&interval, "times", times(with(&night, "end_time", text("24:00")))));
        if ends != MIDNIGHT {
            let morning = with(&with(&night, "start_time", text(MIDNIGHT)), "end_time", text(&ends));
            split.push(next_day(with(&interval, "times", times(morning))));
        }
    }
    split
}

const MIDNIGHT: &str = "00:00";

/// Times of two digits each are in the order of their texts.
fn is_over_midnight(range: &Node) -> bool {
    let time = |key: &str| range.get(key).and_then(Node::text);
    matches!((time("start_time"), time("end_time")), (Some(start), Some(end)) if end < start)
}

fn text(value: &str) -> Kind {
    Kind::Scalar { text: value.to_owned(), style: Style::Quoted }
}

/// Returns a mapping with another value under a key that it has.
fn with(mapping: &Node, key: &str, kind: Kind) -> Node {
    let mut mapping = mapping.clone();
    if let Kind::Mapping(entries) = &mut mapping.kind {
        for (_, value) in entries.iter_mut().filter(|(own, _)| own.name == key) {
            value.kind = kind.clone();
        }
    }
    mapping
}

fn next_day(interval: Node) -> Node {
    let Some(weekdays) = interval.get("weekdays").map(Node::items) else { return interval };
    let mut days = Vec::new();
    for range in weekdays.iter().filter_map(Node::text) {
        let range = range.to_lowercase();
        let (begin, end) = range.split_once(':').unwrap_or((&range, &range));
        let place = |day: &str| WEEKDAYS.iter().position(|name| *name == day);
        let (Some(begin), Some(end)) = (place(begin), place(end)) else { continue };
        days.extend((begin..=end).map(|day| WEEKDAYS[(day + 1) % WEEKDAYS.len()]));
    }
    let nodes = days.into_iter().map(|day| Node { position: interval.position, kind: text(day) }).collect();
    with(&interval, "weekdays", Kind::Sequence(nodes))
}
