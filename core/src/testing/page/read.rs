//! `page_tests`, `alerts` and `silences` of a test: tree → what they say.

use std::collections::BTreeMap;

use super::{ConfigFiles, Expectation, Expected, Named, Notice, PageCheck, Posted, Scene, Standing};
use crate::ledger::NEVER;
use crate::model::LabelSet;
use crate::route::alert::IncomingAlert;
use crate::route::dispatch::decision::Reason;
use crate::route::matchers::{Mode, parse_matchers};
use crate::route::notification::Status;
use crate::route::silence::{SilenceRequest, Silences};
use crate::time::{Span, Timestamp};
use crate::yaml::{Kind, Table, Value, nearest};

/// Why a flush may speak.
const REASONS: [Reason; 5] = [Reason::First, Reason::NewAlerts, Reason::SomeResolved, Reason::AllResolved, Reason::Repeat];

const KEYS: [&str; 7] = [
    "expect_receivers",
    "expect_not",
    "expect_state",
    "expect_silenced_by",
    "expect_inhibited_by",
    "expect_muted_by",
    "expect_notifications",
];

/// Reads which configuration a file of tests is about.
pub fn config_files(table: &mut Table<'_, '_>) -> ConfigFiles {
    let mut file = |key: &'static str| table.text(key).filter(|path| !path.is_empty());
    ConfigFiles { config: file("config"), alertmanager: file("alertmanager_config") }
}

/// The lists of a test that are about pages.
pub struct Lists<'n, 'p> {
    alerts: Vec<Value<'n, 'p>>,
    silences: Vec<Value<'n, 'p>>,
    checks: Vec<Value<'n, 'p>>,
}

impl<'n, 'p> Lists<'n, 'p> {
    pub fn of(table: &mut Table<'n, 'p>) -> Lists<'n, 'p> {
        Lists { alerts: table.list("alerts"), silences: table.list("silences"), checks: table.list("page_tests") }
    }
}

/// Reads what a test that begins at `start` says of pages.
pub fn scene(lists: &Lists<'_, '_>, start: Timestamp) -> Scene {
    let mut scene = Scene {
        posts: lists.alerts.iter().filter_map(|value| posted(value, start)).collect(),
        silences: Vec::new(),
        checks: Vec::new(),
    };
    let mut known = Silences::default();
    for value in &lists.silences {
        if let Some(request) = silence(value, start) {
            let comment = request.comment.clone();
            // The one that judges silences in the service says what is wrong with this one.
            if let Err(bad) = known.set(request.clone(), usize::MAX, |_, _| Ok(()), start) {
                value.error(format!("{bad}; write matchers such as severity=\"page\", and from and to"));
            } else if scene.silences.iter().any(|other| !comment.is_empty() && other.comment == comment) {
                value.error(format!("two silences have the comment {comment:?}; tell them apart"));
            }
            scene.silences.push(request);
        }
    }
    let comments = scene.silences.iter().map(|silence| silence.comment.as_str()).filter(|comment| !comment.is_empty());
    let comments: Vec<&str> = comments.collect();
    scene.checks = lists.checks.iter().filter_map(|value| page_check(value, &comments)).collect();
    scene
}

/// Reads `from` and `to`.
fn span_of_time(table: &mut Table<'_, '_>) -> Option<(Span, Option<Span>)> {
    let from = table.span("from").unwrap_or_default();
    let to = table.value("to");
    let end = to.as_ref().and_then(Value::span);
    if let Some((value, end)) = to.zip(end)
        && end <= from
    {
        value.error(format!("the end {end} does not lie behind the start {from}; both count from the start of the test"));
        return None;
    }
    Some((from, end))
}

fn posted(value: &Value<'_, '_>, start: Timestamp) -> Option<Posted> {
    let mut table = value.table();
    let labels = LabelSet::from_pairs(table.text_map("labels"));
    let annotations = table.text_map("annotations");
    let times = span_of_time(&mut table);
    table.finish();
    let (from, to) = times?;
    let news = IncomingAlert { labels: labels.clone(), annotations: annotations.clone(), ..IncomingAlert::default() };
    if let Err(bad) = news.receive(start, Span::ZERO) {
        value.error(format!("{bad}; write labels such as {{alertname: ApiDown}}"));
        return None;
    }
    Some(Posted { labels, annotations, from, to })
}

fn silence(value: &Value<'_, '_>, start: Timestamp) -> Option<SilenceRequest> {
    let mut table = value.table();
    let (mut matchers, mut good) = (Vec::new(), true);
    for line in table.value("matchers").map(|lines| one_or_more(&lines)).unwrap_or_default() {
        match parse_matchers(line.text_ref().unwrap_or_default(), Mode::default()) {
            Ok(own) => matchers.extend(own),
            Err(bad) => {
                line.error(format!("{bad}; write matchers such as severity=\"page\" or team=~\"a|b\""));
                good = false;
            }
        }
    }
    let times = span_of_time(&mut table);
    let comment = table.text("comment").unwrap_or_default();
    table.finish();
    let (from, to) = times.filter(|_| good)?;
    Some(SilenceRequest {
        id: None,
        new_id: value.path.clone(),
        matchers,
        starts_at: Some(start + from),
        ends_at: to.map_or(NEVER, |to| start + to),
        created_by: String::new(),
        comment,
        annotations: BTreeMap::new(),
        owner: None,
        seen_at: None,
        terms: None,
    })
}

/// Returns the items of a list, or a text that stands alone.
fn one_or_more<'n, 'p>(value: &Value<'n, 'p>) -> Vec<Value<'n, 'p>> {
    match value.node.kind {
        Kind::Scalar { .. } => vec![value.clone()],
        Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => value.list(),
    }
}

fn names(value: &Value<'_, '_>) -> Vec<Named> {
    one_or_more(value).iter().filter_map(named).collect()
}

fn named(value: &Value<'_, '_>) -> Option<Named> {
    Some(Named { name: value.text()?, position: value.node.position, key: value.path.clone() })
}

/// Reads `at` or `between`. Returns from when on things count, where that is not the start, and the instant of the question.
fn instants(table: &mut Table<'_, '_>) -> Option<(Option<Span>, Span)> {
    let (at, between) = (table.value("at"), table.value("between"));
    match (&at, &between) {
        (Some(at), None) => Some((None, at.span()?)),
        (None, Some(between)) => {
            let ends: Vec<Span> = between.list().iter().filter_map(Value::span).collect();
            match ends.as_slice() {
                [from, to] if from <= to => Some((Some(*from), *to)),
                _ => {
                    between.error("expected two instants, the earlier one first, such as [5m, 10m]");
                    None
                }
            }
        }
        (None, None) => {
            table.error("it says no instant; write at: 5m, or between: [5m, 10m]");
            None
        }
        (Some(_), Some(between)) => {
            between.error("at and between stand here both; keep one");
            None
        }
    }
}

fn page_check(value: &Value<'_, '_>, comments: &[&str]) -> Option<PageCheck> {
    let mut table = value.table();
    let instants = instants(&mut table);
    let labels = table.text_map("labels");
    let mut expectations = Vec::new();
    for key in KEYS {
        // An empty list says that there is none; nothing at all says nothing.
        if let Some(value) = table.value(key)
            && let Some(what) = expected(key, &value, comments)
        {
            expectations.push(Expectation { position: value.node.position, what });
        }
    }
    let says_nothing = KEYS.iter().all(|key| value.node.get(key).is_none_or(|node| node.is_null()));
    table.finish();
    if says_nothing {
        value.error(format!("it expects nothing; write one of {}", KEYS.join(", ")));
    }
    let (from, at) = instants?;
    let about_one = |what: &Expected| match what {
        Expected::Receivers(_) | Expected::Not(_) | Expected::Notifications(_) => false,
        Expected::State(_) | Expected::SilencedBy(_) | Expected::InhibitedBy(_) | Expected::MutedBy(_) => true,
    };
    if from.is_some()
        && let Some(expectation) = expectations.iter().find(|expectation| about_one(&expectation.what))
    {
        value.error(format!("{} is about one instant; write at in place of between", expectation.what.key()));
    }
    Some(PageCheck { position: value.node.position, from, at, labels, expectations })
}

fn expected(key: &str, value: &Value<'_, '_>, comments: &[&str]) -> Option<Expected> {
    Some(match key {
        "expect_receivers" => Expected::Receivers(names(value)),
        "expect_not" => Expected::Not(names(value)),
        "expect_state" => Expected::State(standing(value)?),
        "expect_silenced_by" => Expected::SilencedBy(silences(value, comments)),
        "expect_inhibited_by" => Expected::InhibitedBy(value.list().iter().map(Value::text_map).collect()),
        "expect_muted_by" => Expected::MutedBy(names(value)),
        _ => Expected::Notifications(notices(value)),
    })
}

fn notices(value: &Value<'_, '_>) -> Vec<Notice> {
    let notices: Vec<Notice> = value.list().iter().filter_map(notice).collect();
    if !notices.is_sorted_by_key(|notice| notice.at) {
        value.error("notifications stand in order of time; sort them by at");
    }
    notices
}

fn standing(value: &Value<'_, '_>) -> Option<Standing> {
    let word = value.text_ref()?;
    let found = Standing::ALL.into_iter().find(|standing| standing.word() == word);
    if found.is_none() {
        value.error(format!("an alert is not {word:?}; write {}", Standing::ALL.map(Standing::word).join(", ")));
    }
    found
}

fn silences(value: &Value<'_, '_>, comments: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for item in one_or_more(value) {
        let Some(comment) = item.text() else { continue };
        if !comments.contains(&comment.as_str()) {
            let remedy = nearest(&comment, comments)
                .map_or("give the silence that comment".to_owned(), |near| format!("did you mean {near:?}?"));
            item.error(format!("the test has no silence with the comment {comment:?}; {remedy}"));
        }
        all.push(comment);
    }
    all
}

fn notice(value: &Value<'_, '_>) -> Option<Notice> {
    let mut table = value.table();
    let receiver = table.value("receiver").and_then(|value| named(&value));
    let at = table.span("at");
    let status = table.value("status");
    let reason = table.value("reason").and_then(|value| reason(&value));
    let alerts = table.unsigned("alerts").and_then(|count| usize::try_from(count).ok());
    let text = table.value("text").map(|value| one_or_more(&value)).unwrap_or_default();
    let has_all = [table.has("receiver"), table.has("at"), status.is_some()].iter().all(|has| *has);
    table.finish();
    if !has_all {
        value.error("a notification needs receiver, at and status");
        return None;
    }
    let status = status?;
    let status = match status.text_ref()? {
        "firing" => Status::Firing,
        "resolved" => Status::Resolved,
        other => {
            status.error(format!("a notification is not {other:?}; write firing or resolved"));
            return None;
        }
    };
    let text = text.iter().filter_map(Value::text).collect();
    Some(Notice { receiver: receiver?, at: at?, status, reason, alerts, text })
}

fn reason(value: &Value<'_, '_>) -> Option<Reason> {
    let word = value.text_ref()?;
    let found = REASONS.into_iter().find(|reason| reason.as_str() == word);
    if found.is_none() {
        value.error(format!("nothing is told for the reason {word:?}; write {}", REASONS.map(Reason::as_str).join(", ")));
    }
    found
}
