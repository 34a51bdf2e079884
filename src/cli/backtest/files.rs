//! The files of a backtest: rules, those to compare with, and the configuration.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use tocsin_core::backtest::Settings;
use tocsin_core::config::Config;
use tocsin_core::ledger::Outward;
use tocsin_core::problem::{Problem, has_errors};
use tocsin_core::promql::evaluate::Options;
use tocsin_core::promql::parse::Syntax;
use tocsin_core::rule::{Defaults, Environment, RuleGroup};

use super::{Args, align};
use crate::config;

/// The word for the rules that the configuration names.
const RUNNING: &str = "running";

pub(super) struct Files {
    pub new: Vec<RuleGroup>,
    pub old: Option<Vec<RuleGroup>>,
    pub settings: Settings,
}

/// Reads all files.
///
/// Errors: every fault in them, a line each.
pub(super) fn read(args: &Args) -> anyhow::Result<Files> {
    let (mut problems, mut faults) = (Vec::new(), Vec::new());
    if args.config.is_none() && args.alertmanager_config.is_none() {
        faults.push("no configuration says who is told; pass --alertmanager-config or --config".to_owned());
    }
    let config = match config::read_routing(args.config.as_deref(), args.alertmanager_config.as_deref()) {
        Ok((config, warnings)) => {
            problems.extend(warnings.into_iter().filter(|warning| warning.key.starts_with("receivers")));
            Some(config)
        }
        Err(found) => {
            if args.config.is_some() || args.alertmanager_config.is_some() {
                problems.extend(found);
            }
            None
        }
    };
    let defaults = defaults(args, config.as_ref());
    let mut groups_of = |flag: &str, names: &[String]| {
        let files = files(flag, names, config.as_ref(), &mut faults);
        let (groups, found) = config::read_rule_files(&files, &defaults);
        if !files.is_empty() && found.is_empty() && groups.iter().all(|group| group.rules.is_empty()) {
            faults.push(format!("{flag}: {} hold no rule", names.join(", ")));
        }
        problems.extend(found);
        groups
    };
    let mut new = groups_of("--rules", &args.rules);
    let mut old = (!args.against.is_empty()).then(|| groups_of("--against", &args.against));
    let errors = problems.iter().filter(|problem| has_errors(std::slice::from_ref(problem)));
    faults.extend(errors.map(Problem::to_string));
    let Some(config) = config.filter(|_| faults.is_empty()) else { bail!("{}", faults.join("\ntocsin: ")) };
    problems.iter().for_each(|warning| eprintln!("{warning}"));
    // The slots of a service follow from the names of its files, so rules that it may run one day take over those of today.
    let (running, _) = config::read_rule_files(&config.rule_files, &defaults);
    align(&mut new, &running);
    if let Some(old) = &mut old {
        align(old, &running);
        align(&mut new, old);
    }
    let settings = settings(args, config, &defaults);
    Ok(Files { new, old, settings })
}

fn defaults(args: &Args, config: Option<&Config>) -> Defaults {
    let asked = args.features.syntax();
    let mut defaults = config.map(config::rule_defaults).unwrap_or_default();
    let own = defaults.syntax;
    defaults.syntax = Syntax {
        experimental_functions: own.experimental_functions || asked.experimental_functions,
        duration_expressions: own.duration_expressions || asked.duration_expressions,
        extended_range_selectors: own.extended_range_selectors || asked.extended_range_selectors,
        fill_modifiers: own.fill_modifiers || asked.fill_modifiers,
    };
    Defaults { custom_resources: true, ..defaults }
}

fn settings(args: &Args, config: Config, defaults: &Defaults) -> Settings {
    let options = config.language.options(&config.global);
    let delayed_name_removal = options.delayed_name_removal || args.features.delay_name_removal();
    Settings {
        options: Options { delayed_name_removal, ..options },
        environment: Environment {
            external_labels: config.global.external_labels.clone(),
            external_url: config.tocsin.web.external_url.clone().unwrap_or_default(),
            syntax: defaults.syntax,
            ..Environment::default()
        },
        outward: Outward { external_labels: config.global.external_labels, relabel: config.alert_relabel, others: false },
        routing: Arc::new(config.routing),
        night: args.zone,
    }
}

/// Returns the paths and patterns that some names of rules mean.
fn files(flag: &str, names: &[String], config: Option<&Config>, faults: &mut Vec<String>) -> Vec<String> {
    let mut files = Vec::new();
    for name in names {
        match (name.as_str(), config) {
            (RUNNING, Some(config)) if config.rule_files.is_empty() => {
                faults.push(format!(
                    "{flag} {RUNNING} means the rules of the configuration, and that names no rule_files; pass --config"
                ));
            }
            (RUNNING, Some(config)) => files.extend(config.rule_files.iter().cloned()),
            // What is wrong with the configuration is told already.
            (RUNNING, None) => {}
            (pattern, _) => {
                let found = config::glob(Path::new(pattern));
                if found.is_empty() {
                    faults.push(format!("{flag}: no rule file is named {pattern}"));
                }
                files.extend(found.iter().map(|path| path.display().to_string()));
            }
        }
    }
    files
}
