//! Requests: actions whose references have become values, as the edge carries them out; and what an answer means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::action::{
    Action, Arg, Compare, Condition, Exec, Expect, Header, Http, Method, NoData, RestoreQuery, SavedRef, Signal, Slot, Text,
    Tree, Urgency,
};
use super::lever::{Awaited, Canary, ProcessState, Toxic};
use super::plan::{Check, FailClass};
use super::query::restrict;
use super::record::Fault;
use super::value::{Value, Values};
use crate::model::matcher::anchored;
use crate::time::{Span, Timestamp};

/// A message is cut to this.
const MESSAGE_CHARS_MAX: usize = 2000;

/// A request. Secrets are names in it, never values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with", rename_all = "snake_case")]
pub enum Request {
    /// Start a program without a shell, as a user of its own, in a session and folder of its own. Its environment is `env`, and
    /// `TOCSIN_KEY` with the key of the attempt. Answer: `{"exit": 0, "stdout": "…", "stderr": "…"}`.
    Exec { program: String, sha256: Option<String>, argv: Vec<String>, env: BTreeMap<String, String> },
    /// Answer: `{"status": 200, "body": …}`, the body as JSON where it is JSON, else as text.
    Http {
        method: Method,
        url: String,
        query: Vec<(String, String)>,
        headers: BTreeMap<String, Header>,
        body: Option<Json>,
        status: Vec<u16>,
        expect: Vec<Expected>,
    },
    /// Answer: `{"value": 1.5}`, or null for no data.
    Query { expr: String, op: Compare, value: f64, no_data: NoData },
    /// A statement that reads, in a transaction that can do no more. Answer: `{"rows": [[…], …]}`.
    Sql { source: String, query: String, bind: Vec<Value>, expect: Vec<Expected> },
    /// Answer: `{"promoted": true}`.
    PgPromote { source: String, wait: Span },
    /// Answer: `{"ok": true, …}`.
    PgRestoreCheck { source: String, queries: Vec<RestoreQuery> },
    /// Answer: `{"sent": true, "pid": 123, "started": 4567}`; `started` is the start of the process, field 22 of `/proc/<pid>/stat`.
    /// With a `ttl`, a stop is guarded: a process of its own goes on with what was stopped after it, whatever becomes of us.
    ProcSignal {
        process: String,
        signal: Signal,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl: Option<Span>,
    },
    /// Policy none: whoever is on call for the platform. The key of the attempt is the key under which pages fold.
    Page { policy: Option<String>, summary: String, urgency: Urgency },
    /// Ask for a run of another runbook, whose trigger reference is the key of the attempt. Answer: `{"state": "succeeded"}`.
    Call { runbook: String, params: Values },
    /// Spoil what goes through a proxy until `until` has passed. The same tag again replaces the fault, and its end. Answer:
    /// `{"affected": 3, "active": true}`.
    Proxy { proxy: String, toxics: Vec<Toxic>, until: Span, tag: String },
    /// Remove what has this tag; none there is success. Answer: `{"affected": 3, "active": false}`.
    ProxyHeal { proxy: String, tag: String },
    /// Answer: `{"affected": 3, "active": true}`: connections touched since the fault began, and whether it stands. `expect` is whether
    /// it should.
    ProxyProof { proxy: String, tag: String, expect: bool, affected_min: u64 },
    /// Look at a process until it is in the state or `within` has passed. With `started`, a process that began at another time means
    /// that the one meant is gone. Answer: `{"state": "T"}`, the letter of `/proc/<pid>/stat`, `-` where there is none.
    ProcProof { process: String, expect: ProcessState, started: Option<i64>, within: Span },
    /// Wait for an attempt of a journey, or a row of them, that began at `since` or later. Answer: `{"at": ms, "first": ms,
    /// "attempts": 7}`. Failed: `at` is when the first failed attempt began. Clean: when the first of the clean ones began, and `first`
    /// is when the newest of them did.
    JourneyWait { journey: String, what: Awaited, since: Timestamp },
    /// Begin to write. Answer: `{"started": ms}`; the same tag again goes on with what is there.
    CanaryStart(Canary),
    /// Answer: `{"stopped": true}`.
    CanaryStop(Canary),
    /// Answer: `{"acknowledged": n, "surviving": n, "lost": n, "last_acknowledged_at": ms, "newest_surviving_at": ms,
    /// "first_accepted_after_gap_at": ms}`. The gap is the first run of writes that failed; counted and dated are the writes that were
    /// sent before it, or all where there is none.
    CanaryRead(Canary),
    /// Stop and remove the table. Answer: `{"removed": true}`, only when nothing was found to be left.
    CanaryDrop(Canary),
    /// Look for the page of a platform since an instant, waiting for its delivery and acknowledgement. Answer: `{"page": id, "person": …,
    /// "sent_at": ms, "delivered_at": ms, "acked_at": ms, "ok": true, "why": "…"}`.
    PageCheck {
        platform: String,
        since: Timestamp,
        person: Option<String>,
        receiver: Option<String>,
        delivered_within: Span,
        acked_within: Span,
    },
    /// Ask each database whether it accepts writes. Answer: `{"writable": ["shop-primary"], "ok": true}`, ok when it is exactly one.
    OneWriter { sources: Vec<String> },
}

/// An expectation whose value is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    pub path: String,
    pub op: Compare,
    pub value: Value,
}

/// What references are resolved in.
pub struct Scope<'s> {
    pub params: &'s Values,
    pub saved: &'s BTreeMap<SavedRef, Value>,
    /// Labels of the alert; for messages only.
    pub labels: &'s BTreeMap<String, String>,
    /// The key of the attempt, for requests that carry one.
    pub idem_key: &'s str,
    pub run: About<'s>,
}

/// What references to the run itself are resolved in.
#[derive(Clone, Copy)]
pub struct About<'s> {
    pub id: &'s str,
    pub platform: &'s str,
    pub targets: &'s [String],
    /// When steps were first begun; the run under an empty name.
    pub began: &'s BTreeMap<String, Timestamp>,
}

static NOTHING_BEGAN: BTreeMap<String, Timestamp> = BTreeMap::new();

impl<'s> About<'s> {
    /// Returns a run of which nothing has begun yet.
    pub fn row(run: &'s super::record::RunRow) -> About<'s> {
        About { id: &run.id, platform: &run.platform, targets: &run.targets, began: &NOTHING_BEGAN }
    }

    const NONE: About<'static> = About { id: "", platform: "", targets: &[], began: &NOTHING_BEGAN };
}

/// Why a request cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("there is no value for parameter {0:?}")]
    NoParam(String),
    #[error("step {step:?} has saved no {name:?}")]
    NoSaved { step: String, name: String },
    #[error("the output {name:?} of step {step:?} has no type, so it may only be shown to people")]
    Untyped { step: String, name: String },
    #[error("argument {index} of {program} begins with - and its slot does not allow that")]
    Dash { program: String, index: usize },
    #[error("argument {index} of {program} does not match {pattern:?}")]
    Pattern { program: String, index: usize, pattern: String },
    #[error("there is no target number {0}")]
    NoTarget(usize),
    #[error("step {0:?} has not begun")]
    NotBegun(String),
    #[error("a number is wanted, and {0:?} is none")]
    NotANumber(String),
    #[error("cannot read the expression {0:?}")]
    Expression(String),
    #[error("a fault needs an undo with a deadline, so that it ends whatever becomes of us")]
    Fault,
    #[error("{0} is not sent anywhere: the machine carries it out itself")]
    Inner(&'static str),
}

impl Scope<'_> {
    pub fn value(&self, slot: &Slot) -> Result<Value, BadRequest> {
        match slot {
            Slot::Text(text) => Ok(Value::Word(text.clone())),
            Slot::Int(number) => Ok(Value::Int(*number)),
            Slot::Float(number) => Ok(Value::Float(*number)),
            Slot::Bool(truth) => Ok(Value::Bool(*truth)),
            Slot::Param(name) => self.params.get(name).cloned().ok_or_else(|| BadRequest::NoParam(name.clone())),
            Slot::Saved(saved) => match self.saved.get(saved) {
                Some(Value::Text(_)) => Err(BadRequest::Untyped { step: saved.step.clone(), name: saved.name.clone() }),
                Some(value) => Ok(value.clone()),
                None => Err(BadRequest::NoSaved { step: saved.step.clone(), name: saved.name.clone() }),
            },
            Slot::Target(index) => {
                let name = self.run.targets.get(*index).cloned();
                name.map(Value::Name).ok_or(BadRequest::NoTarget(*index))
            }
            Slot::Began(step) => {
                let at = self.run.began.get(step).copied();
                at.map(|at| Value::Int(at.0)).ok_or_else(|| BadRequest::NotBegun(step.clone()))
            }
        }
    }

    fn instant(&self, slot: &Slot) -> Result<Timestamp, BadRequest> {
        match self.value(slot)? {
            Value::Int(at) => Ok(Timestamp(at)),
            other => Err(BadRequest::NotANumber(other.text())),
        }
    }

    fn whole(&self, slot: &Slot) -> Result<i64, BadRequest> {
        self.instant(slot).map(|at| at.0)
    }

    /// Returns what a fault is known by outside: two runs of one document do not heal each other's.
    fn tag(&self, tag: &str) -> String {
        format!("{}/{tag}", self.run.id)
    }

    fn canary(&self, canary: &Canary) -> Canary {
        Canary { tag: self.tag(&canary.tag), ..canary.clone() }
    }

    pub fn number(&self, slot: &Slot) -> Result<f64, BadRequest> {
        let value = self.value(slot)?;
        value.number().ok_or_else(|| BadRequest::NotANumber(value.text()))
    }

    /// Returns the length of a `wait`.
    pub fn span(&self, slot: &Slot) -> Result<Span, BadRequest> {
        match self.value(slot)? {
            Value::Duration(span) => Ok(span),
            Value::Word(text) => Span::parse(&text).map_err(|_| BadRequest::NotANumber(text)),
            other => Err(BadRequest::NotANumber(other.text())),
        }
    }

    /// Returns the text of a message. What is not known is shown as such: a page must not fail for want of a label.
    pub fn message(&self, text: &Text) -> String {
        use super::action::Piece;
        let unknown = || "(unknown)".to_owned();
        let whole: String = text
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Param(name) => self.params.get(name).map_or_else(unknown, Value::text),
                Piece::Saved(saved) => self.saved.get(saved).map_or_else(unknown, Value::text),
                Piece::Label(name) => self.labels.get(name).cloned().unwrap_or_else(unknown),
            })
            .collect();
        whole.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect()
    }

    fn tree(&self, tree: &Tree) -> Result<Json, BadRequest> {
        Ok(match tree {
            Tree::Null => Json::Null,
            Tree::Leaf(slot) => self.value(slot)?.json(),
            Tree::List(items) => Json::Array(items.iter().map(|item| self.tree(item)).collect::<Result<_, _>>()?),
            Tree::Map(entries) => {
                Json::Object(entries.iter().map(|(name, entry)| Ok((name.clone(), self.tree(entry)?))).collect::<Result<_, _>>()?)
            }
        })
    }

    fn expected(&self, list: &[Expect]) -> Result<Vec<Expected>, BadRequest> {
        list.iter().map(|one| Ok(Expected { path: one.path.clone(), op: one.op, value: self.value(&one.value)? })).collect()
    }

    /// Returns the text of a condition's expression, its labels added as matchers.
    pub fn expression(&self, condition: &Condition) -> Result<String, BadRequest> {
        let labels: BTreeMap<String, String> = condition
            .matching
            .iter()
            .map(|(name, slot)| Ok((name.clone(), self.value(slot)?.text())))
            .collect::<Result<_, BadRequest>>()?;
        restrict(&condition.expr, &labels).map_err(|_| BadRequest::Expression(condition.expr.clone()))
    }

    fn argv(&self, exec: &Exec) -> Result<Vec<String>, BadRequest> {
        let mut argv = vec![exec.program.clone()];
        for (index, arg) in exec.args.iter().chain(&exec.positional).enumerate() {
            if index == exec.args.len() && exec.double_dash {
                argv.push("--".to_owned());
            }
            argv.push(self.argument(exec, index, arg)?);
        }
        Ok(argv)
    }

    fn argument(&self, exec: &Exec, index: usize, arg: &Arg) -> Result<String, BadRequest> {
        let program = exec.program.clone();
        let text = self.value(&arg.value)?.text();
        let literal = matches!(arg.value, Slot::Text(_) | Slot::Int(_) | Slot::Float(_) | Slot::Bool(_));
        if text.starts_with('-') && !literal && !arg.dash {
            return Err(BadRequest::Dash { program, index });
        }
        if let Some(pattern) = &arg.pattern
            && !anchored(pattern).is_ok_and(|regex| regex.is_match(&text))
        {
            return Err(BadRequest::Pattern { program, index, pattern: pattern.clone() });
        }
        Ok(text)
    }

    fn http(&self, http: &Http) -> Result<Request, BadRequest> {
        let mut headers = http.headers.clone();
        if let Some(name) = &http.key_header {
            headers.insert(name.clone(), Header::Literal(self.idem_key.to_owned()));
        }
        Ok(Request::Http {
            method: http.method,
            url: http.url.clone(),
            query: http
                .query
                .iter()
                .map(|(name, slot)| Ok((name.clone(), self.value(slot)?.text())))
                .collect::<Result<_, BadRequest>>()?,
            headers,
            body: http.body.as_ref().map(|body| self.tree(body)).transpose()?,
            status: http.status.clone(),
            expect: self.expected(&http.expect)?,
        })
    }

    /// Returns the request of an action.
    pub fn request(&self, action: &Action) -> Result<Request, BadRequest> {
        Ok(match action {
            Action::Exec(exec) => Request::Exec {
                program: exec.program.clone(),
                sha256: exec.sha256.clone(),
                argv: self.argv(exec)?,
                env: exec.env.clone(),
            },
            Action::HttpRequest(http) | Action::HttpCheck(http) => self.http(http)?,
            Action::MetricCheck { condition } => Request::Query {
                expr: self.expression(condition)?,
                op: condition.op,
                value: self.number(&condition.value)?,
                no_data: condition.no_data,
            },
            Action::Page { policy, summary, urgency } => {
                Request::Page { policy: Some(policy.clone()), summary: self.message(summary), urgency: *urgency }
            }
            Action::Sql { source, query, bind, expect } => Request::Sql {
                source: source.clone(),
                query: query.clone(),
                bind: bind.iter().map(|slot| self.value(slot)).collect::<Result<_, _>>()?,
                expect: self.expected(expect)?,
            },
            Action::PgPromote { source, wait } => Request::PgPromote { source: source.clone(), wait: *wait },
            Action::PgRestoreCheck { source, queries } => {
                Request::PgRestoreCheck { source: source.clone(), queries: queries.clone() }
            }
            Action::ProcSignal { process, signal, ttl } => {
                Request::ProcSignal { process: self.value(process)?.text(), signal: *signal, ttl: *ttl }
            }
            Action::Call { runbook, params } => Request::Call {
                runbook: runbook.clone(),
                params: params
                    .iter()
                    .map(|(name, slot)| Ok((name.clone(), self.value(slot)?)))
                    .collect::<Result<_, BadRequest>>()?,
            },
            Action::Proxy { proxy, toxics, ttl, tag } => {
                Request::Proxy { proxy: self.value(proxy)?.text(), toxics: toxics.clone(), until: *ttl, tag: self.tag(tag) }
            }
            Action::ProxyHeal { proxy, tag } => Request::ProxyHeal { proxy: self.value(proxy)?.text(), tag: self.tag(tag) },
            Action::ProxyProof { proxy, tag, expect, affected_min } => Request::ProxyProof {
                proxy: self.value(proxy)?.text(),
                tag: self.tag(tag),
                expect: *expect,
                affected_min: *affected_min,
            },
            Action::ProcProof { process, expect, started, within } => Request::ProcProof {
                process: self.value(process)?.text(),
                expect: *expect,
                started: started.as_ref().map(|slot| self.whole(slot)).transpose()?,
                within: *within,
            },
            Action::JourneyWait { journey, what, since } => {
                Request::JourneyWait { journey: journey.clone(), what: *what, since: self.instant(since)? }
            }
            Action::CanaryStart(canary) => Request::CanaryStart(self.canary(canary)),
            Action::CanaryStop(canary) => Request::CanaryStop(self.canary(canary)),
            Action::CanaryRead(canary) => Request::CanaryRead(self.canary(canary)),
            Action::CanaryDrop(canary) => Request::CanaryDrop(self.canary(canary)),
            Action::PageCheck { since, person, receiver, delivered_within, acked_within } => Request::PageCheck {
                platform: self.run.platform.to_owned(),
                since: self.instant(since)?,
                person: person.clone(),
                receiver: receiver.clone(),
                delivered_within: *delivered_within,
                acked_within: *acked_within,
            },
            Action::OneWriter { sources } => Request::OneWriter { sources: sources.clone() },
            Action::MetricWait { .. }
            | Action::Wait { .. }
            | Action::Human { .. }
            | Action::Approval(_)
            | Action::Watch { .. }
            | Action::Heal { .. } => return Err(BadRequest::Inner(action.kind())),
        })
    }
}

impl Expected {
    /// Returns whether the answer is as expected; what cannot be compared is not.
    pub fn holds(&self, answer: &Json) -> bool {
        let Some(found) = answer.pointer(&self.path) else { return false };
        match self.value.number() {
            Some(number) => found.as_f64().is_some_and(|found| self.op.holds(found, number)),
            None => match (self.op, super::value::scalar_text(found)) {
                (Compare::Equal, Some(text)) => text == self.value.text(),
                (Compare::NotEqual, Some(text)) => text != self.value.text(),
                _ => false,
            },
        }
    }
}

impl Request {
    /// Returns why an answer means failure; none: it means success.
    ///
    /// Shape: a failure is definite unless the other side may have acted all the same, as behind a status of 500 and above.
    pub fn fault(&self, answer: &Json) -> Option<Fault> {
        let fault = |class, definite, message: String| Some(Fault { class, message, definite });
        let truth = |name: &str| answer.get(name).and_then(Json::as_bool) == Some(true);
        let unmet = |expect: &[Expected]| {
            let first = expect.iter().find(|one| !one.holds(answer))?;
            let message = format!("expected {} {} {} in the answer", first.path, first.op.sign(), first.value.text());
            fault(FailClass::Expect, true, message)
        };
        match self {
            Request::Exec { program, .. } => match answer.get("exit").and_then(Json::as_i64) {
                Some(0) => None,
                Some(code) => fault(FailClass::Exit, true, format!("{program} ended with code {code}")),
                None => fault(FailClass::Exit, false, format!("{program} ended without a code")),
            },
            Request::Http { status, expect, .. } => {
                let Some(code) = answer.get("status").and_then(Json::as_u64) else {
                    return fault(FailClass::Status, false, "the answer has no status".to_owned());
                };
                let good = match status.is_empty() {
                    true => (200..300).contains(&code),
                    false => status.iter().any(|good| u64::from(*good) == code),
                };
                let class = match code {
                    500.. => FailClass::Http5xx,
                    409 | 412 => FailClass::Conflict,
                    _ => FailClass::Status,
                };
                if good { unmet(expect) } else { fault(class, code < 500, format!("answered with status {code}")) }
            }
            Request::Query { op, value, no_data, .. } => match answer.get("value").and_then(Json::as_f64) {
                Some(found) if op.holds(found, *value) => None,
                Some(found) => fault(FailClass::Expect, true, format!("expected {} {value}, found {found}", op.sign())),
                None if *no_data == NoData::Allow => None,
                None => fault(FailClass::Expect, true, "the expression has no data".to_owned()),
            },
            Request::Sql { expect, .. } => unmet(expect),
            Request::PgPromote { .. } if truth("promoted") => None,
            Request::PgPromote { .. } => {
                fault(FailClass::Expect, false, "the server did not say that it was promoted".to_owned())
            }
            Request::PgRestoreCheck { .. } if truth("ok") => None,
            Request::PgRestoreCheck { .. } => fault(FailClass::Expect, true, "the restored copy is not sound".to_owned()),
            Request::Call { runbook, .. } => match answer.get("state").and_then(Json::as_str) {
                Some("succeeded") => None,
                state => fault(FailClass::Refused, true, format!("the run of {runbook} ended as {}", state.unwrap_or("nothing"))),
            },
            Request::ProxyProof { expect, affected_min, .. } => {
                let (active, affected) = (truth("active"), answer.get("affected").and_then(Json::as_u64).unwrap_or(0));
                match (active == *expect, active && affected < *affected_min) {
                    (true, false) => None,
                    (true, true) => fault(FailClass::Expect, true, format!("the fault has touched {affected} connections")),
                    (false, _) if *expect => fault(FailClass::Expect, true, "the fault is not in effect".to_owned()),
                    (false, _) => fault(FailClass::Expect, true, "the fault is still in effect".to_owned()),
                }
            }
            Request::ProcProof { process, expect, .. } => {
                let letter = answer.get("state").and_then(Json::as_str).unwrap_or("?");
                let message = format!("{process} is in state {letter}, not {}", expect.word());
                if expect.is_shown_by(letter) { None } else { fault(FailClass::Expect, true, message) }
            }
            Request::JourneyWait { journey, .. } if answer.get("at").and_then(Json::as_i64).is_none() => {
                fault(FailClass::Expect, true, format!("nothing of the kind was seen at the journey {journey}"))
            }
            Request::CanaryDrop(canary) if !truth("removed") => {
                fault(FailClass::Expect, true, format!("something of {} is left", canary.table))
            }
            Request::PageCheck { .. } if !truth("ok") => {
                let why = answer.get("why").and_then(Json::as_str).unwrap_or("the page was not as expected");
                fault(FailClass::Expect, true, why.to_owned())
            }
            Request::OneWriter { .. } if !truth("ok") => {
                let names = answer.get("writable").map(Json::to_string).unwrap_or_default();
                fault(FailClass::Expect, true, format!("exactly one database must accept writes, and these do: {names}"))
            }
            Request::ProcSignal { .. }
            | Request::Page { .. }
            | Request::Proxy { .. }
            | Request::ProxyHeal { .. }
            | Request::JourneyWait { .. }
            | Request::CanaryStart(_)
            | Request::CanaryStop(_)
            | Request::CanaryRead(_)
            | Request::CanaryDrop(_)
            | Request::PageCheck { .. }
            | Request::OneWriter { .. } => None,
        }
    }
}

/// What a check says of an attempt in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Happened,
    InProgress,
    NotHappened,
    CannotTell,
}

/// Returns what the answer of a check means.
///
/// Shape: a program tells by its code: 0 happened, 1 not, 2 under way. For the others `in_progress` is asked first; an answer that is
/// as expected means happened, one that is not means not happened. No data, an answer without the part that is asked for, and
/// statuses of 500 and above tell nothing.
pub fn told(check: &Check, request: &Request, answer: &Json) -> Told {
    if let Request::Exec { .. } = request {
        return match answer.get("exit").and_then(Json::as_i64) {
            Some(0) => Told::Happened,
            Some(1) => Told::NotHappened,
            Some(2) => Told::InProgress,
            _ => Told::CannotTell,
        };
    }
    if let Some(Expect { path, op, value }) = &check.in_progress {
        let none = (Values::new(), BTreeMap::new(), BTreeMap::new());
        let scope = Scope { params: &none.0, saved: &none.1, labels: &none.2, idem_key: "", run: About::NONE };
        if scope.value(value).is_ok_and(|value| Expected { path: path.clone(), op: *op, value }.holds(answer)) {
            return Told::InProgress;
        }
    }
    if let Request::Query { .. } = request
        && answer.get("value").and_then(Json::as_f64).is_none()
    {
        return Told::CannotTell;
    }
    if let Request::Http { expect, .. } | Request::Sql { expect, .. } = request
        && expect.iter().any(|one| answer.pointer(&one.path).is_none_or(Json::is_null))
        && request.fault(answer).is_some_and(|fault| fault.class == FailClass::Expect)
    {
        return Told::CannotTell;
    }
    match request.fault(answer) {
        None => Told::Happened,
        Some(fault) if fault.class == FailClass::Expect => Told::NotHappened,
        Some(fault) if fault.definite && answer.get("status").and_then(Json::as_u64) == Some(404) => Told::NotHappened,
        Some(_) => Told::CannotTell,
    }
}
