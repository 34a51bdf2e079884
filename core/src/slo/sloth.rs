//! Sloth's specifications → the rule groups that Sloth generates of them.
//!
//! Three forms are read: `version: prometheus/v1`, the custom resource `sloth.slok.dev/v1`, and OpenSLO v1alpha as Sloth reads it.
//! The rules compute with PromQL what our own ledger counts exactly; they serve those who move over with rules and dashboards.
//!
//! Source: slok/sloth.

mod generate;
mod plugins;
mod read;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::{Problem, Severity};
use crate::time::Span;

use super::openslo::Origin;

pub use generate::{Generated, generate};
pub use read::read;
pub use windows::{AlertWindows, Side, WindowPair, read_windows};

/// What Sloth is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The window of all objectives; whole days.
    pub period: Span,
    pub extra_labels: BTreeMap<String, String>,
    pub recordings: bool,
    pub alerts: bool,
    /// The value of `sloth_version`.
    pub version: String,
    /// Catalogues beside the built-in ones for 28 and 30 days; these come first.
    pub windows: Vec<AlertWindows>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            period: Span::from_mins(30 * 24 * 60),
            extra_labels: BTreeMap::new(),
            recordings: true,
            alerts: true,
            version: "tocsin".to_owned(),
            windows: Vec::new(),
        }
    }
}

/// In which form a specification was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Prometheus,
    Kubernetes,
    OpenSlo,
}

/// One document: the objectives of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub form: Form,
    /// Name and namespace of a custom resource; empty for the other forms.
    pub resource: (String, String),
    pub service: String,
    pub labels: BTreeMap<String, String>,
    pub slos: Vec<SlothSlo>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SlothSlo {
    pub name: String,
    /// Percent.
    pub objective: f64,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    pub sli: SlothSli,
    pub alert_name: String,
    pub alert_labels: BTreeMap<String, String>,
    pub alert_annotations: BTreeMap<String, String>,
    /// None: disabled.
    pub page: Option<AlertSide>,
    pub ticket: Option<AlertSide>,
    /// Of the groups; by a plug-in.
    pub intervals: Intervals,
    /// On `sloth_slo_info`; by a plug-in.
    pub info_labels: BTreeMap<String, String>,
    pub at: Origin,
}

/// Queries hold `{{.window}}` where the range stands.
#[derive(Clone, Debug, PartialEq)]
pub enum SlothSli {
    Events { errors: String, total: String },
    Raw { error_ratio: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSide {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intervals {
    pub sli: Option<Span>,
    pub metadata: Option<Span>,
    pub alerts: Option<Span>,
}

impl SlothSlo {
    /// Returns what tells the objective from all others, `sloth_id`.
    pub fn id(&self, spec: &Spec) -> String {
        format!("{}-{}", spec.service, self.name)
    }
}

/// Returns a problem for every objective that stands twice among the specifications of all files.
pub fn check_unique(specs: &[Spec]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (spec, slo) in specs.iter().flat_map(|spec| spec.slos.iter().map(move |slo| (spec, slo))) {
        let id = slo.id(spec);
        if !seen.insert(id.clone()) {
            let message = format!("the objective {id:?} stands twice; rename one of the two or its service");
            problems.push(slo.at.problem(Severity::Error, message));
        }
    }
    problems
}
