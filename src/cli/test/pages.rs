//! `tocsin test pages`: what files of tests say of pages, under the configuration that they name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tocsin_core::ledger::Outward;
use tocsin_core::problem::{Position, Problem, Severity};
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::testing::page::{self, ConfigFiles, Setup};
use tocsin_core::testing::{Outcome, Settings, TestFile};

use super::{FilesArgs, are, folder, groups, read};
use crate::config;

#[derive(Clone, Debug, clap::Args)]
pub struct PagesArgs {
    #[command(flatten)]
    pub tests: FilesArgs,
    /// Routing and receivers as in alertmanager.yml, for files of tests that name no configuration.
    #[arg(long, value_name = "FILE")]
    alertmanager_config: Option<PathBuf>,
    /// The configuration of the service, for files of tests that name none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs what a file of tests says of pages. Errors: what is wrong with it or with the files that it names.
pub fn run_file(path: &Path, settings: &Settings, args: &PagesArgs) -> Result<Vec<Outcome>, Vec<Problem>> {
    let file = read(path, settings)?;
    let others: usize = file.tests.iter().map(|test| test.alerts.len() + test.expressions.len()).sum();
    if others > 0 {
        println!("{}: note: {} not run here but by `tocsin test rules`", file.name, are(others, "rule test"));
    }
    if !file.tests.iter().any(|test| test.has_pages()) {
        println!("{}: warning: no test that is asked for has page_tests", file.name);
        return Ok(Vec::new());
    }
    let setup = setup(path, &file, args)?;
    let faults = page::faults(&file, &setup);
    if !faults.is_empty() {
        return Err(faults);
    }
    let groups = groups(path, &file, settings)?;
    Ok(page::run(&file, &groups, &setup, settings, &Cancel::new()))
}

/// Reads the configuration that a file of tests is about.
fn setup(path: &Path, file: &TestFile, args: &PagesArgs) -> Result<Setup, Vec<Problem>> {
    let own = |name: &Option<String>| name.as_ref().map(|name| folder(path).join(name));
    let (main, alertmanager) = match &file.config {
        ConfigFiles { config: None, alertmanager: None } => (args.config.clone(), args.alertmanager_config.clone()),
        ConfigFiles { config, alertmanager } => (own(config), own(alertmanager)),
    };
    if main.is_none() && alertmanager.is_none() {
        return Err(vec![no_configuration(file)]);
    }
    let (config, warnings) = config::read_routing(main.as_deref(), alertmanager.as_deref())?;
    // A receiver that is not served tells nobody, whatever a test says of it.
    warnings.iter().filter(|warning| warning.key.starts_with("receivers")).for_each(|warning| println!("{warning}"));
    let outward =
        Outward { external_labels: config.global.external_labels.clone(), relabel: config.alert_relabel.clone(), others: false };
    Ok(Setup { routing: Arc::new(config.routing), outward })
}

fn no_configuration(file: &TestFile) -> Problem {
    let message = "the file names no configuration; write alertmanager_config: FILE or config: FILE at its top, or pass \
                   --alertmanager-config or --config";
    Problem {
        severity: Severity::Error,
        file: file.name.as_str().into(),
        position: Position { line: 1, column: 1 },
        key: String::new(),
        message: message.to_owned(),
    }
}
