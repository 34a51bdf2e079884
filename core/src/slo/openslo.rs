//! OpenSLO v1: texts → documents, each checked by itself.
//!
//! Source: the specification at openslo/v1; where its prose, its examples and its removed schema differ, the examples are read.

mod alerting;
mod indicator;
mod object;
mod objective;
mod resolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Position, Problem, Severity};
use crate::time::Span;
use crate::yaml::{self, Kind, Node, Problems, Value};

use super::window::{Shorthand, Window};

pub use object::Metadata;
pub use resolve::{Policy, Resolved, resolve};

/// The version that is read.
pub const API_VERSION: &str = "openslo/v1";
const KINDS: [&str; 7] = ["AlertCondition", "AlertNotificationTarget", "AlertPolicy", "DataSource", "SLI", "SLO", "Service"];
/// Objects of one file.
const OBJECTS_MAX: usize = 10_000;

/// Where something stands, for problems that are found once all files are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<str>,
    pub position: Position,
    /// The path of keys.
    pub key: String,
}

impl Origin {
    fn of(value: &Value<'_, '_>, file: &Arc<str>) -> Origin {
        Origin { file: file.clone(), position: value.node.position, key: value.path.clone() }
    }

    /// Returns a problem of this place.
    pub fn problem(&self, severity: Severity, message: impl Into<String>) -> Problem {
        Problem { severity, file: self.file.clone(), position: self.position, key: self.key.clone(), message: message.into() }
    }
}

/// An object that is written out in place, or the name of one that stands elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference<T> {
    Inline(Arc<T>),
    Named { name: String, at: Origin },
}

/// The objects of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    pub services: Vec<Service>,
    pub slos: Vec<Slo>,
    pub slis: Vec<Arc<Sli>>,
    pub policies: Vec<Arc<AlertPolicy>>,
    pub conditions: Vec<Arc<AlertCondition>>,
    pub targets: Vec<Arc<AlertNotificationTarget>>,
    pub sources: Vec<DataSource>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub metadata: Metadata,
    pub description: String,
}

/// Connection details are not kept: they hold secrets, and figures are read from our own store.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSource {
    pub metadata: Metadata,
    pub description: String,
    pub source_type: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sli {
    pub metadata: Metadata,
    pub description: String,
    pub metric: Metric,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// Each value is held against the objective's `op` and `value`.
    Threshold(MetricSource),
    Ratio {
        /// Monotone counters; else each value counts by itself.
        counter: bool,
        part: Part,
        events: MetricSource,
        total: MetricSource,
    },
    /// A ratio that somebody else has computed.
    Raw { part: Part, ratio: MetricSource },
}

/// What the numerator of a ratio counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Good,
    Bad,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MetricSource {
    /// The name of a DataSource; empty: none.
    pub source: String,
    /// Empty: that of the DataSource.
    pub source_type: String,
    /// `spec.query`; none where the source has other fields.
    pub query: Option<String>,
    pub at: Origin,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    pub metadata: Metadata,
    pub description: String,
    pub service: String,
    /// None: each objective has its own.
    pub indicator: Option<Reference<Sli>>,
    pub window: Window,
    pub method: Method,
    pub objectives: Vec<Objective>,
    pub policies: Vec<Reference<AlertPolicy>>,
}

/// `budgetingMethod`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub display_name: String,
    pub op: Option<Op>,
    pub value: Option<f64>,
    pub target: Target,
    pub slice_target: Option<Target>,
    pub slice: Option<Span>,
    pub indicator: Option<Reference<Sli>>,
    pub at: Origin,
}

/// A share of events or slices that must be good.
///
/// Unit: billionths, so that limits can be compared without rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(pub u32);

impl Target {
    pub const WHOLE: u32 = 1_000_000_000;

    /// Returns the share as a number from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Target::WHOLE)
    }

    /// Returns the share that may be bad, in billionths.
    pub fn budget(self) -> u32 {
        Target::WHOLE - self.0
    }

    /// Returns the share that may be bad as a number from 0 to 1.
    pub fn budget_ratio(self) -> f64 {
        f64::from(self.budget()) / f64::from(Target::WHOLE)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Lte,
    Gte,
    Lt,
    Gt,
}

impl Op {
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Op::Lte => value <= limit,
            Op::Gte => value >= limit,
            Op::Lt => value < limit,
            Op::Gt => value > limit,
        }
    }

    /// Returns the word of the specification.
    pub fn name(self) -> &'static str {
        match self {
            Op::Lte => "lte",
            Op::Gte => "gte",
            Op::Lt => "lt",
            Op::Gt => "gt",
        }
    }

    /// Returns the operator of expressions.
    pub fn sign(self) -> &'static str {
        match self {
            Op::Lte => "<=",
            Op::Gte => ">=",
            Op::Lt => "<",
            Op::Gt => ">",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlertPolicy {
    pub metadata: Metadata,
    pub description: String,
    pub when_no_data: bool,
    pub when_resolved: bool,
    pub when_breaching: bool,
    pub condition: Reference<AlertCondition>,
    pub targets: Vec<Reference<AlertNotificationTarget>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlertCondition {
    pub metadata: Metadata,
    pub description: String,
    pub severity: String,
    pub op: Op,
    pub threshold: f64,
    pub lookback: Span,
    pub alert_after: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlertNotificationTarget {
    pub metadata: Metadata,
    pub description: String,
    pub target: String,
}

/// Reads a file of OpenSLO v1: one object or a list of them in each of its documents, YAML or JSON.
///
/// Shape: the objects that could be read, also when others are at fault; whoever loads refuses a file with errors as a whole.
/// References to other objects are not followed here: see `resolve`.
pub fn read(file: &str, text: &str) -> (Documents, Vec<Problem>) {
    let (nodes, mut problems) = yaml::parse_all(file, text);
    let mut documents = Documents::default();
    let found = Problems::new(file);
    let file: Arc<str> = file.into();
    for object in objects(nodes.as_deref().unwrap_or_default(), &found) {
        read_object(&object, &file, &mut documents);
    }
    problems.extend(found.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (documents, problems)
}

/// Returns the objects of the documents of a file, whether they stand alone or in lists.
pub(super) fn objects<'n, 'p>(nodes: &'n [Node], problems: &'p Problems) -> Vec<Value<'n, 'p>> {
    let mut objects = Vec::new();
    for node in nodes.iter().filter(|node| !node.is_null()) {
        match node.kind {
            Kind::Sequence(_) => objects.extend(Value::new(node, "", problems).list()),
            Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_) => objects.push(Value::new(node, "", problems)),
        }
    }
    if let Some(beyond) = objects.get(OBJECTS_MAX) {
        beyond.error(format!("the file holds more than {OBJECTS_MAX} objects; split it"));
        objects.truncate(OBJECTS_MAX);
    }
    objects
}

fn read_object(value: &Value<'_, '_>, file: &Arc<str>, documents: &mut Documents) {
    let version = value.node.get("apiVersion").and_then(Node::text).unwrap_or_default();
    if version != API_VERSION {
        let place = value.node.get("apiVersion").unwrap_or(value.node);
        Value::new(place, format!("{}apiVersion", prefix(value)), value.problems)
            .error(format!("expected apiVersion: {API_VERSION}, found {version:?}; other versions are not read"));
        return;
    }
    let mut object = object::Object::new(value, file);
    match object.kind.as_str() {
        "Service" => documents.services.push(object::service(object)),
        "DataSource" => documents.sources.extend(object::data_source(object)),
        "SLI" => documents.slis.extend(indicator::sli(object).map(Arc::new)),
        "SLO" => documents.slos.extend(objective::slo(object)),
        "AlertPolicy" => documents.policies.extend(alerting::policy(object).map(Arc::new)),
        "AlertCondition" => documents.conditions.extend(alerting::condition(object).map(Arc::new)),
        "AlertNotificationTarget" => documents.targets.extend(alerting::target(object).map(Arc::new)),
        other => {
            let near = yaml::nearest(other, &KINDS).map(|kind| format!("; did you mean {kind}?")).unwrap_or_default();
            object.error("kind", format!("unknown kind {other:?}; it is one of {}{near}", KINDS.join(", ")));
        }
    }
}

fn prefix(value: &Value<'_, '_>) -> String {
    if value.path.is_empty() { String::new() } else { format!("{}.", value.path) }
}

/// Reads the name of another object.
fn named<T>(value: &Value<'_, '_>, file: &Arc<str>) -> Option<Reference<T>> {
    let name = value.text()?;
    object::check_name(value, &name);
    Some(Reference::Named { name, at: Origin::of(value, file) })
}

/// Reads a length such as `30d`; `what` names it in the fault.
fn shorthand(value: &Value<'_, '_>, zero_allowed: bool) -> Option<Shorthand> {
    let text = value.text()?;
    let read = Shorthand::parse(&text).filter(|length| zero_allowed || length.count > 0);
    if read.is_none() {
        value.error(format!(
            "cannot read the length {text:?}; write a whole number and one of m, h, d, w, M (months), Q (quarters), Y, such as 4w"
        ));
    }
    read
}

/// Labels with several values keep them all.
pub type Labels = BTreeMap<String, Vec<String>>;
