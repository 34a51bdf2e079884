//! Specifications → rule groups.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::problem::{Problem, Severity};
use crate::rule::{self, Defaults, RuleGroup};
use crate::time::Span;

use super::windows::{AlertWindows, WindowPair};
use super::{AlertSide, Form, Options, SlothSli, SlothSlo, Spec};
use crate::slo::query::with_window;

type Labels = BTreeMap<String, String>;

/// The rules of one specification.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Name and namespace of the custom resource that the specification was; empty for other forms.
    pub resource: (String, String),
    /// A rule file of Prometheus.
    pub rule_file: String,
    pub groups: Vec<RuleGroup>,
}

struct Group {
    name: String,
    interval: Option<Span>,
    rules: Vec<Rule>,
}

struct Rule {
    /// `record` or `alert`
    kind: &'static str,
    name: String,
    expr: String,
    labels: Labels,
    annotations: Labels,
}

/// Returns the rules that Sloth generates of a specification.
///
/// Errors: a period that is no whole number of days or has no windows, and whatever makes a rule file bad.
pub fn generate(spec: &Spec, options: &Options) -> Result<Generated, Vec<Problem>> {
    let fault = |message: String| {
        let at = spec.slos.first().map(|slo| slo.at.clone());
        at.map(|at| at.problem(Severity::Error, message)).into_iter().collect::<Vec<_>>()
    };
    let own = options.windows.iter().find(|windows| windows.period == options.period).copied();
    let windows = own.or_else(|| AlertWindows::built_in(options.period)).ok_or_else(|| {
        fault(format!("there are no alert windows for a period of {}; name a catalogue that has them", options.period))
    })?;
    if options.period.0 % DAY_MS != 0 {
        return Err(fault(format!("the period {} is no whole number of days", options.period)));
    }
    let mut groups = Vec::new();
    for slo in &spec.slos {
        let maker = Maker { spec, slo, options, windows, id: slo.id(spec) };
        if options.recordings {
            groups.push(maker.group("sli-recordings", slo.intervals.sli, maker.sli_rules()));
            groups.push(maker.group("meta-recordings", slo.intervals.metadata, maker.metadata_rules()));
        }
        let alerts = maker.alert_rules();
        if options.alerts && !alerts.is_empty() {
            groups.push(maker.group("alerts", slo.intervals.alerts, alerts));
        }
    }
    let rule_file = print(&groups);
    let (groups, problems) = rule::read(&format!("sloth/{}", spec.service), &rule_file, &Defaults::default());
    if crate::problem::has_errors(&problems) {
        return Err(problems);
    }
    Ok(Generated { resource: spec.resource.clone(), rule_file, groups })
}

const DAY_MS: i64 = 24 * 60 * 60_000;

struct Maker<'a> {
    spec: &'a Spec,
    slo: &'a SlothSlo,
    options: &'a Options,
    windows: AlertWindows,
    id: String,
}

impl Maker<'_> {
    fn group(&self, kind: &str, interval: Option<Span>, rules: Vec<Rule>) -> Group {
        Group { name: format!("sloth-slo-{kind}-{}", self.id), interval, rules }
    }

    /// The labels of all recorded series of the objective.
    fn labels(&self) -> Labels {
        let mut labels = self.options.extra_labels.clone();
        labels.extend(self.spec.labels.clone());
        labels.extend(self.slo.labels.clone());
        labels.extend([
            ("sloth_id".to_owned(), self.id.clone()),
            ("sloth_service".to_owned(), self.spec.service.clone()),
            ("sloth_slo".to_owned(), self.slo.name.clone()),
        ]);
        labels
    }

    /// Returns a selector of a recorded series of the objective.
    fn series(&self, name: &str) -> String {
        format!("{name}{{sloth_id=\"{}\", sloth_service=\"{}\", sloth_slo=\"{}\"}}", self.id, self.spec.service, self.slo.name)
    }

    fn record(&self, name: String, expr: String, added: &[(&str, String)]) -> Rule {
        let mut labels = self.labels();
        labels.extend(added.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Rule { kind: "record", name, expr, labels, annotations: Labels::new() }
    }

    fn sli_rules(&self) -> Vec<Rule> {
        let filled = |query: &str, window: &str| with_window(query, window).unwrap_or_default();
        let rule =
            |window: Span, expr: String| self.record(format!("{RATIO}{window}"), expr, &[("sloth_window", window.to_string())]);
        let mut rules: Vec<Rule> = Vec::new();
        for window in self.windows.lengths() {
            let text = window.to_string();
            let expr = match &self.slo.sli {
                SlothSli::Events { errors, total } => format!("({})\n/\n({})\n", filled(errors, &text), filled(total, &text)),
                SlothSli::Raw { error_ratio } => format!("({})", filled(error_ratio, &text)),
            };
            rules.push(rule(window, expr));
        }
        let short = self.series(&format!("{RATIO}{}", self.windows.page.quick.short));
        let period = self.options.period;
        let average =
            format!("sum_over_time({short}[{period}])\n/ ignoring (sloth_window)\ncount_over_time({short}[{period}])\n");
        rules.push(rule(period, average));
        rules
    }

    fn metadata_rules(&self) -> Vec<Rule> {
        let objective = self.slo.objective / 100.0;
        let burn = |window: Span| {
            format!(
                "{}\n/ on(sloth_id, sloth_slo, sloth_service) group_left\n{}\n",
                self.series(&format!("{RATIO}{window}")),
                self.series("slo:error_budget:ratio")
            )
        };
        let record = |name: &str, expr: String| self.record(name.to_owned(), expr, &[]);
        let (mode, form) = match self.spec.form {
            Form::Prometheus => ("cli-gen-prom", "prometheus/v1"),
            Form::Kubernetes => ("cli-gen-k8s", "sloth.slok.dev/v1"),
            Form::OpenSlo => ("cli-gen-openslo", "openslo/v1alpha"),
        };
        let mut info = self.record(
            "sloth_slo_info".to_owned(),
            "vector(1)".to_owned(),
            &[
                ("sloth_mode", mode.to_owned()),
                ("sloth_objective", self.slo.objective.to_string()),
                ("sloth_spec", form.to_owned()),
                ("sloth_version", self.options.version.clone()),
            ],
        );
        info.labels.extend(self.slo.info_labels.clone());
        vec![
            record("slo:objective:ratio", format!("vector({objective})")),
            record("slo:error_budget:ratio", format!("vector(1-{objective})")),
            record("slo:time_period:days", format!("vector({})", self.options.period.0 / DAY_MS)),
            record("slo:current_burn_rate:ratio", burn(self.windows.page.quick.short)),
            record("slo:period_burn_rate:ratio", burn(self.options.period)),
            record("slo:period_error_budget_remaining:ratio", format!("1 - {}", self.series("slo:period_burn_rate:ratio"))),
            info,
        ]
    }

    fn alert_rules(&self) -> Vec<Rule> {
        let sides = [("page", &self.slo.page, self.windows.page), ("ticket", &self.slo.ticket, self.windows.ticket)];
        let enabled = sides.into_iter().filter_map(|(severity, side, windows)| Some((severity, side.as_ref()?, windows)));
        enabled
            .map(|(severity, side, windows)| {
                let expr = format!("(\n{}\n)\nor\n(\n{}\n)\n", self.pair(windows.quick), self.pair(windows.slow));
                self.alert(severity, side, expr)
            })
            .collect()
    }

    fn pair(&self, pair: WindowPair) -> String {
        let limit = format!("({} * {})", pair.factor(self.options.period), (100.0 - self.slo.objective) / 100.0);
        let exceeds =
            |window: Span| format!("    max({} > {limit}) without (sloth_window)", self.series(&format!("{RATIO}{window}")));
        format!("{}\n    and\n{}", exceeds(pair.short), exceeds(pair.long))
    }

    fn alert(&self, severity: &str, side: &AlertSide, expr: String) -> Rule {
        let mut labels = self.slo.alert_labels.clone();
        labels.extend(side.labels.clone());
        labels.insert("sloth_severity".to_owned(), severity.to_owned());
        let named = "{{$labels.sloth_service}} {{$labels.sloth_slo}} SLO error budget burn rate is";
        let mut annotations = Labels::from([
            ("summary".to_owned(), format!("{named} over expected.")),
            ("title".to_owned(), format!("({severity}) {named} too fast.")),
        ]);
        annotations.extend(self.slo.alert_annotations.clone());
        annotations.extend(side.annotations.clone());
        Rule { kind: "alert", name: self.slo.alert_name.clone(), expr, labels, annotations }
    }
}

const RATIO: &str = "slo:sli_error:ratio_rate";

/// Writes a rule file. Every text is quoted as JSON does it, which YAML reads alike.
fn print(groups: &[Group]) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut out = String::from("groups:\n");
    for group in groups {
        _ = writeln!(out, "- name: {}", quoted(&group.name));
        if let Some(interval) = group.interval {
            _ = writeln!(out, "  interval: {interval}");
        }
        out.push_str("  rules:\n");
        for rule in &group.rules {
            _ = writeln!(out, "  - {}: {}\n    expr: {}", rule.kind, quoted(&rule.name), quoted(&rule.expr));
            for (key, entries) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
                if !entries.is_empty() {
                    _ = writeln!(out, "    {key}:");
                }
                for (name, text) in entries {
                    _ = writeln!(out, "      {}: {}", quoted(name), quoted(text));
                }
            }
        }
    }
    out
}
