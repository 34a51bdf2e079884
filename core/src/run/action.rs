//! What a step does, as the document says it: typed settings, with references where values are not known yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lever::{Awaited, Canary, ProcessState, Toxic};
use super::plan::Class;
use crate::access::Role;
use crate::time::Span;

/// A value, or where it will come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A parameter of the run.
    Param(String),
    /// An output that an earlier step saved under a type.
    Saved(SavedRef),
    /// One of the things that the guards resolved, by its place among them.
    Target(usize),
    /// When a step was first begun, in milliseconds since the epoch; without a name, the run.
    Began(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SavedRef {
    pub step: String,
    pub name: String,
}

/// A tree of values, for bodies in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    Null,
    Leaf(Slot),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

/// A message for people. Only here may texts that strangers chose stand as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    Literal(String),
    Param(String),
    Saved(SavedRef),
    /// A label of the alert that asked for the run.
    Label(String),
}

/// One argument of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arg {
    pub value: Slot,
    /// The whole value must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// A value that is not written in the document may begin with `-`.
    #[serde(default)]
    pub dash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    Literal(String),
    /// The name of a secret, which the edge resolves when the request leaves.
    Secret(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

impl Compare {
    pub const ALL: [Compare; 6] =
        [Compare::Equal, Compare::NotEqual, Compare::Less, Compare::LessOrEqual, Compare::Greater, Compare::GreaterOrEqual];

    pub fn sign(self) -> &'static str {
        match self {
            Compare::Equal => "==",
            Compare::NotEqual => "!=",
            Compare::Less => "<",
            Compare::LessOrEqual => "<=",
            Compare::Greater => ">",
            Compare::GreaterOrEqual => ">=",
        }
    }

    /// Returns whether the comparison holds; nothing holds for NaN.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Compare::Equal => left == right,
            Compare::NotEqual => left != right && !left.is_nan() && !right.is_nan(),
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterOrEqual => left >= right,
        }
    }
}

/// What part of an answer must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// A JSON pointer into the answer.
    pub path: String,
    pub op: Compare,
    pub value: Slot,
}

/// What no data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    #[default]
    Fail,
    Allow,
}

/// A condition on the value of an expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub expr: String,
    /// Labels that every selector of the expression must have besides.
    #[serde(default)]
    pub matching: BTreeMap<String, Slot>,
    pub op: Compare,
    pub value: Slot,
    #[serde(default)]
    pub no_data: NoData,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    pub program: String,
    /// The program's content must have this hash. Shape: 64 hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub args: Vec<Arg>,
    /// Arguments behind `--`.
    #[serde(default)]
    pub positional: Vec<Arg>,
    /// The program understands `--`.
    pub double_dash: bool,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    pub method: Method,
    pub url: String,
    #[serde(default)]
    pub query: BTreeMap<String, Slot>,
    #[serde(default)]
    pub headers: BTreeMap<String, Header>,
    #[serde(default)]
    pub body: Option<Tree>,
    /// The header that carries the key under which the other side recognises a repeat.
    #[serde(default)]
    pub key_header: Option<String>,
    /// Statuses that mean success; none: 200 to 299.
    #[serde(default)]
    pub status: Vec<u16>,
    #[serde(default)]
    pub expect: Vec<Expect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Method; 6] = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub fn word(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Stop,
    Cont,
    Term,
    Kill,
    Hup,
    Usr1,
    Usr2,
}

impl Signal {
    pub const ALL: [Signal; 7] =
        [Signal::Stop, Signal::Cont, Signal::Term, Signal::Kill, Signal::Hup, Signal::Usr1, Signal::Usr2];

    pub fn word(self) -> &'static str {
        match self {
            Signal::Stop => "stop",
            Signal::Cont => "cont",
            Signal::Term => "term",
            Signal::Kill => "kill",
            Signal::Hup => "hup",
            Signal::Usr1 => "usr1",
            Signal::Usr2 => "usr2",
        }
    }
}

/// What a restored copy of a database is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreQuery {
    RowCounts,
    ConstraintCheck,
    CanaryMax,
}

/// Who must agree, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    pub count: usize,
    /// Roles whose holders may approve; none: whoever may approve at all.
    #[serde(default)]
    pub roles: Vec<Role>,
    pub not_starter: bool,
    pub expires: Span,
    pub on_expire: OnExpire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpire {
    Refuse,
    /// Page, and wait once more as long.
    Escalate,
}

/// How urgently a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    Critical,
    Warning,
    Info,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with")]
pub enum Action {
    #[serde(rename = "exec.argv")]
    Exec(Exec),
    #[serde(rename = "http.request")]
    HttpRequest(Http),
    #[serde(rename = "http.check")]
    HttpCheck(Http),
    #[serde(rename = "metric.wait")]
    MetricWait { condition: Condition, hold: Span, poll: Span },
    #[serde(rename = "metric.check")]
    MetricCheck { condition: Condition },
    #[serde(rename = "wait")]
    Wait { length: Slot },
    #[serde(rename = "page.send")]
    Page { policy: String, summary: Text, urgency: Urgency },
    #[serde(rename = "human.task")]
    Human { title: Text, instructions: Text, evidence: bool, roles: Vec<Role> },
    #[serde(rename = "approval")]
    Approval(Approvals),
    #[serde(rename = "sql.query")]
    Sql { source: String, query: String, bind: Vec<Slot>, expect: Vec<Expect> },
    #[serde(rename = "pg.promote")]
    PgPromote { source: String, wait: Span },
    #[serde(rename = "pg.restore_check")]
    PgRestoreCheck { source: String, queries: Vec<RestoreQuery> },
    #[serde(rename = "proc.signal")]
    ProcSignal {
        process: Slot,
        signal: Signal,
        /// The signal is a fault, which ends by itself after this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl: Option<Span>,
    },
    #[serde(rename = "runbook.call")]
    Call { runbook: String, params: BTreeMap<String, Slot> },
    /// Spoils what goes through a proxy. The tag keeps the fault apart from others; the run's id is added to it.
    #[serde(rename = "net.proxy")]
    Proxy { proxy: Slot, toxics: Vec<Toxic>, ttl: Span, tag: String },
    #[serde(rename = "net.proxy.heal")]
    ProxyHeal { proxy: Slot, tag: String },
    /// Shows whether a fault is in effect, and that it has touched so many connections at least.
    #[serde(rename = "net.proxy.proof")]
    ProxyProof { proxy: Slot, tag: String, expect: bool, affected_min: u64 },
    /// Shows the state of a process, waiting for it so long. `started`: the process that began then is meant, not its successor.
    #[serde(rename = "proc.proof")]
    ProcProof { process: Slot, expect: ProcessState, started: Option<Slot>, within: Span },
    #[serde(rename = "journey.wait")]
    JourneyWait { journey: String, what: Awaited, since: Slot },
    #[serde(rename = "canary.start")]
    CanaryStart(Canary),
    #[serde(rename = "canary.stop")]
    CanaryStop(Canary),
    #[serde(rename = "canary.read")]
    CanaryRead(Canary),
    #[serde(rename = "canary.drop")]
    CanaryDrop(Canary),
    #[serde(rename = "page.check")]
    PageCheck { since: Slot, person: Option<String>, receiver: Option<String>, delivered_within: Span, acked_within: Span },
    #[serde(rename = "one_writer")]
    OneWriter { sources: Vec<String> },
    /// Lets time pass while the study's probes are watched.
    #[serde(rename = "watch")]
    Watch { length: Span, steady: bool },
    /// Takes back these steps, which are faults, now.
    #[serde(rename = "heal")]
    Heal { steps: Vec<String> },
}

/// The kinds that a runbook may use.
pub const KINDS: [&str; 14] = [
    "exec.argv",
    "http.request",
    "http.check",
    "metric.wait",
    "metric.check",
    "wait",
    "page.send",
    "human.task",
    "approval",
    "sql.query",
    "pg.promote",
    "pg.restore_check",
    "proc.signal",
    "runbook.call",
];

impl Action {
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Exec(_) => "exec.argv",
            Action::HttpRequest(_) => "http.request",
            Action::HttpCheck(_) => "http.check",
            Action::MetricWait { .. } => "metric.wait",
            Action::MetricCheck { .. } => "metric.check",
            Action::Wait { .. } => "wait",
            Action::Page { .. } => "page.send",
            Action::Human { .. } => "human.task",
            Action::Approval(_) => "approval",
            Action::Sql { .. } => "sql.query",
            Action::PgPromote { .. } => "pg.promote",
            Action::PgRestoreCheck { .. } => "pg.restore_check",
            Action::ProcSignal { .. } => "proc.signal",
            Action::Call { .. } => "runbook.call",
            Action::Proxy { .. } => "net.proxy",
            Action::ProxyHeal { .. } => "net.proxy.heal",
            Action::ProxyProof { .. } => "net.proxy.proof",
            Action::ProcProof { .. } => "proc.proof",
            Action::JourneyWait { .. } => "journey.wait",
            Action::CanaryStart(_) => "canary.start",
            Action::CanaryStop(_) => "canary.stop",
            Action::CanaryRead(_) => "canary.read",
            Action::CanaryDrop(_) => "canary.drop",
            Action::PageCheck { .. } => "page.check",
            Action::OneWriter { .. } => "one_writer",
            Action::Watch { .. } => "watch",
            Action::Heal { .. } => "heal",
        }
    }

    /// Returns the least class that a document with this action must declare.
    pub fn class(&self) -> Class {
        match self {
            Action::HttpRequest(http) if http.method.reads() => Class::Read,
            Action::HttpCheck(_)
            | Action::MetricWait { .. }
            | Action::MetricCheck { .. }
            | Action::Wait { .. }
            | Action::Human { .. }
            | Action::Approval(_)
            | Action::Page { .. }
            | Action::Sql { .. }
            | Action::Call { .. }
            | Action::ProxyHeal { .. }
            | Action::ProxyProof { .. }
            | Action::ProcProof { .. }
            | Action::JourneyWait { .. }
            | Action::CanaryStop(_)
            | Action::CanaryRead(_)
            | Action::PageCheck { .. }
            | Action::OneWriter { .. }
            | Action::Watch { .. }
            | Action::Heal { .. } => Class::Read,
            Action::Exec(_)
            | Action::HttpRequest(_)
            | Action::PgRestoreCheck { .. }
            | Action::CanaryStart(_)
            | Action::CanaryDrop(_) => Class::Safe,
            Action::ProcSignal { .. } | Action::Proxy { .. } => Class::Disruptive,
            Action::PgPromote { .. } => Class::Destructive,
        }
    }

    /// Returns whether the action changes a system, so that somebody may want it undone.
    pub fn changes(&self) -> bool {
        match self {
            Action::Exec(_)
            | Action::PgPromote { .. }
            | Action::ProcSignal { .. }
            | Action::Proxy { .. }
            | Action::CanaryStart(_)
            | Action::CanaryDrop(_) => true,
            Action::HttpRequest(http) => !http.method.reads(),
            Action::HttpCheck(_)
            | Action::MetricWait { .. }
            | Action::MetricCheck { .. }
            | Action::Wait { .. }
            | Action::Page { .. }
            | Action::Human { .. }
            | Action::Approval(_)
            | Action::Sql { .. }
            | Action::PgRestoreCheck { .. }
            | Action::Call { .. }
            | Action::ProxyHeal { .. }
            | Action::ProxyProof { .. }
            | Action::ProcProof { .. }
            | Action::JourneyWait { .. }
            | Action::CanaryStop(_)
            | Action::CanaryRead(_)
            | Action::PageCheck { .. }
            | Action::OneWriter { .. }
            | Action::Watch { .. }
            | Action::Heal { .. } => false,
        }
    }

    /// Returns whether the machine itself carries the action out: nothing leaves that a crash could leave in doubt.
    pub fn is_inner(&self) -> bool {
        matches!(
            self,
            Action::MetricWait { .. }
                | Action::Wait { .. }
                | Action::Human { .. }
                | Action::Approval(_)
                | Action::Watch { .. }
                | Action::Heal { .. }
        )
    }

    /// Returns whether the answer can tell that something happened, so that the action can be a check.
    pub fn tells(&self) -> bool {
        matches!(self, Action::Exec(_) | Action::HttpCheck(_) | Action::MetricCheck { .. } | Action::Sql { .. })
    }

    /// Returns every reference that stands where a value is acted upon.
    pub fn slots(&self) -> Vec<&Slot> {
        let mut found = Vec::new();
        match self {
            Action::Exec(exec) => found.extend(exec.args.iter().chain(&exec.positional).map(|arg| &arg.value)),
            Action::HttpRequest(http) | Action::HttpCheck(http) => {
                found.extend(http.query.values());
                http.body.iter().for_each(|body| body.slots(&mut found));
                found.extend(http.expect.iter().map(|expect| &expect.value));
            }
            Action::MetricWait { condition, .. } | Action::MetricCheck { condition } => {
                found.extend(condition.matching.values());
                found.push(&condition.value);
            }
            Action::Wait { length } => found.push(length),
            Action::Sql { bind, expect, .. } => {
                found.extend(bind);
                found.extend(expect.iter().map(|expect| &expect.value));
            }
            Action::ProcSignal { process, .. } => found.push(process),
            Action::Call { params, .. } => found.extend(params.values()),
            Action::Proxy { proxy, .. } | Action::ProxyHeal { proxy, .. } | Action::ProxyProof { proxy, .. } => found.push(proxy),
            Action::ProcProof { process, started, .. } => {
                found.push(process);
                found.extend(started);
            }
            Action::JourneyWait { since, .. } | Action::PageCheck { since, .. } => found.push(since),
            Action::Page { .. }
            | Action::Human { .. }
            | Action::Approval(_)
            | Action::PgPromote { .. }
            | Action::PgRestoreCheck { .. }
            | Action::CanaryStart(_)
            | Action::CanaryStop(_)
            | Action::CanaryRead(_)
            | Action::CanaryDrop(_)
            | Action::OneWriter { .. }
            | Action::Watch { .. }
            | Action::Heal { .. } => {}
        }
        found
    }

    /// Returns the texts that people read.
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Action::Page { summary, .. } => vec![summary],
            Action::Human { title, instructions, .. } => vec![title, instructions],
            _ => Vec::new(),
        }
    }
}

impl Tree {
    fn slots<'t>(&'t self, found: &mut Vec<&'t Slot>) {
        match self {
            Tree::Null => {}
            Tree::Leaf(slot) => found.push(slot),
            Tree::List(items) => items.iter().for_each(|item| item.slots(found)),
            Tree::Map(entries) => entries.values().for_each(|entry| entry.slots(found)),
        }
    }
}
