//! Journeys: what a user does, tried from outside at a steady beat, as settings, requests, judgements and series.
//!
//! A journey is also the clock of a drill: service is lost with the first attempt that fails, and is back with the first of a clean
//! run. So an attempt is told by the instant at which it began, and one that began late says so.

mod answer;
mod memory;
mod report;
mod request;

use std::collections::BTreeMap;

use regex::Regex;

use crate::client::{HttpClient, Secret};
use crate::model::LabelSet;
use crate::time::Span;

pub use answer::{Answer, judge};
pub use memory::{ATTEMPTS_KEPT, Attempt, Memory};
pub use report::{Ended, Failure, Report, StepEnded, Written, late_after};
pub use request::{Request, Secrets, request};

/// The job of all series of journeys.
pub const JOB: &str = "journeys";
/// More journeys than this are refused.
pub const JOURNEYS_MAX: usize = 100;
pub const STEPS_MAX: usize = 20;
/// Headers, expectations and outputs of one step, each.
pub const ENTRIES_MAX: usize = 50;
/// A longer answer is a failed step.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// A longer output is a failed step.
pub const SAVED_BYTES_MAX: usize = 4096;

/// A journey as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    pub name: String,
    pub platform: Option<String>,
    pub interval: Span,
    /// What all steps together may take; at most the interval, so that attempts never overlap.
    pub timeout: Span,
    /// What all its series get.
    pub labels: LabelSet,
    pub client: HttpClient,
    /// Ask caches on the way for a fresh answer.
    pub bypass_cache: bool,
    /// A parameter that gets a new value at each attempt, for caches that do not listen.
    pub cache_buster: Option<String>,
    pub steps: Vec<Step>,
}

/// One request of a journey, and what makes its answer good.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    pub method: String,
    /// Its first piece is written out and holds the whole host.
    pub url: Text,
    pub headers: Vec<(String, Text)>,
    pub body: Option<Body>,
    pub expect: Expect,
    /// What later steps may use.
    pub save: Vec<Save>,
}

/// A text, put together at each attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Text(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Literal(String),
    /// An output of an earlier step.
    Saved(String),
    Secret(Secret),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Text(Text),
    Json(Json),
}

/// A body in JSON, with places that are filled at each attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Value(serde_json::Value),
    /// Keeps the type that the output had.
    Saved(String),
    Secret(Secret),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// What an answer must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// Empty: any status from 200 to 299.
    pub status: Vec<u16>,
    pub contains: Option<String>,
    pub matches: Option<Pattern>,
    /// By JSON pointer.
    pub json: Vec<(String, Wanted)>,
}

/// A regular expression that must fit somewhere.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What a place of an answer in JSON must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This text, number, truth value or null.
    Equal(serde_json::Value),
    Exists(bool),
    /// A number within bounds, both inclusive.
    Within {
        min: Option<f64>,
        max: Option<f64>,
    },
    /// A text that the expression fits.
    Matches(Pattern),
}

/// An output: where it stands in the answer, and what it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Save {
    pub name: String,
    pub pointer: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text, a number or a truth value.
    Scalar,
    Text,
    Int,
    Float,
    Bool,
}

impl Kind {
    /// Returns what stands for it in the configuration; none for the kind that is meant when nothing is written.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Text => "text",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
        }
    }
}

/// The outputs of the steps so far: texts, numbers and truth values.
pub type Saved = BTreeMap<String, serde_json::Value>;

impl Journey {
    /// Returns every secret that its requests carry, so that they can be read before the first one is sent.
    pub fn secrets(&self) -> Vec<&Secret> {
        let mut found = Vec::new();
        for step in &self.steps {
            for text in step.headers.iter().map(|(_, text)| text) {
                text.collect(&mut found);
            }
            match &step.body {
                Some(Body::Text(text)) => text.collect(&mut found),
                Some(Body::Json(json)) => json.collect(&mut found),
                None => {}
            }
        }
        found
    }

    /// Returns the labels that all its series have, but for their names.
    pub fn own_labels(&self) -> LabelSet {
        let mut labels = self.labels.builder();
        labels.set("job", JOB).set("instance", &self.name).set("journey", &self.name);
        if let Some(platform) = &self.platform {
            labels.set("platform", platform);
        }
        labels.build()
    }
}

impl Text {
    fn collect<'a>(&'a self, found: &mut Vec<&'a Secret>) {
        found.extend(self.0.iter().filter_map(|piece| match piece {
            Piece::Secret(secret) => Some(secret),
            Piece::Literal(_) | Piece::Saved(_) => None,
        }));
    }
}

impl Json {
    fn collect<'a>(&'a self, found: &mut Vec<&'a Secret>) {
        match self {
            Json::Secret(secret) => found.push(secret),
            Json::List(items) => items.iter().for_each(|item| item.collect(found)),
            Json::Map(entries) => entries.iter().for_each(|(_, value)| value.collect(found)),
            Json::Value(_) | Json::Saved(_) => {}
        }
    }
}
