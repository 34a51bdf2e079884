//! `tocsin test`: unit tests of rules and of pages, and scripts of PromQL, from files.

mod pages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use regex::Regex;
use tocsin_core::problem::{Problem, has_errors};
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::promql::script;
use tocsin_core::rule::{self, RuleGroup};
use tocsin_core::testing::junit::{self, Suite};
use tocsin_core::testing::{self, Outcome, Settings, TestFile};

use super::Features;
use crate::{clock, config};

/// Of one file this many differences are shown.
const DIFFERENCES_SHOWN: usize = 10;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Test {
    /// Runs unit tests of rules in promtool's format: series in, the alerts and samples that must come of them.
    Rules(FilesArgs),
    /// Runs what files of such tests say of pages: who must be told of which alerts, when, and what keeps them from it.
    Pages(pages::PagesArgs),
    /// Runs scripts in Prometheus' language for tests of PromQL: load, clear and eval.
    ///
    /// Instant queries are also asked as range queries and with `@`. Every part of the language is open, start timestamps count, and
    /// names are dropped at the end of an evaluation, as in Prometheus' own runner.
    Promql {
        /// A script, or a folder with scripts that end in .test.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Clone, Debug, clap::Args)]
pub struct FilesArgs {
    /// A file of tests; it names the rule files, relative to its own folder.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only tests whose name matches this regular expression, repeatable.
    #[arg(long, value_name = "REGEX")]
    run: Vec<Regex>,
    /// Write the outcome as JUnit's XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    features: Features,
}

/// Runs tests and prints how they went; the exit status is 1 when one of them failed.
pub fn run(what: Test) -> anyhow::Result<ExitCode> {
    let good = match what {
        Test::Rules(args) => suites(&args, &run_rules)?,
        Test::Pages(args) => suites(&args.tests, &|path, settings| pages::run_file(path, settings, &args))?,
        Test::Promql { paths } => promql(&paths),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Returns the scripts that a path means.
fn scripts(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| format!("{}: cannot list the folder: {error}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "test"));
    files.sort();
    if files.is_empty() { Err(format!("{}: no file of the folder ends in .test", path.display())) } else { Ok(files) }
}

fn promql(paths: &[PathBuf]) -> bool {
    let (mut files, mut passed, mut failed, mut faulty) = (0, 0, 0, 0);
    for path in paths {
        let scripts = scripts(path).unwrap_or_else(|fault| {
            println!("{fault}");
            faulty += 1;
            Vec::new()
        });
        for file in scripts {
            files += 1;
            match run_script(&file) {
                Ok((good, bad)) => (passed, failed) = (passed + good, failed + bad),
                Err(faults) => {
                    faulty += 1;
                    faults.iter().for_each(|fault| println!("{fault}"));
                }
            }
        }
    }
    let faults = if faulty > 0 { format!(", {faulty} that cannot be read") } else { String::new() };
    println!("total: {passed} passed, {failed} failed, {}{faults}", count(files, "file"));
    failed == 0 && faulty == 0
}

/// Runs a script and prints how it went; returns how many evaluations passed and failed.
fn run_script(path: &Path) -> Result<(usize, usize), Vec<String>> {
    let file = config::read_file(path).map_err(|problem| vec![problem.to_string()])?;
    let outcomes = script::run(&file.text, &Options::of_test_scripts()).map_err(|faults| {
        faults
            .iter()
            .map(|fault| format!("{}:{}:{}: error: {}", file.name, fault.line, fault.column, fault.message))
            .collect::<Vec<_>>()
    })?;
    let bad: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.result.as_ref().err()?))).collect();
    println!("{}: {} passed, {} failed", file.name, outcomes.len() - bad.len(), bad.len());
    for (outcome, difference) in bad.iter().take(DIFFERENCES_SHOWN) {
        let asked = difference.asked.as_ref().map(|asked| format!(" ({asked})")).unwrap_or_default();
        println!("  {}:{}: {}{asked}", file.name, outcome.line, outcome.query);
        println!("    - {}", difference.expected);
        println!("    + {}", difference.got);
    }
    if bad.len() > DIFFERENCES_SHOWN {
        println!("  and {} more", bad.len() - DIFFERENCES_SHOWN);
    }
    Ok((outcomes.len() - bad.len(), bad.len()))
}

/// Runs what one file of tests says. Errors: what is wrong with it or with the files that it names.
type Run<'r> = dyn Fn(&Path, &Settings) -> Result<Vec<Outcome>, Vec<Problem>> + 'r;

fn suites(args: &FilesArgs, run: &Run<'_>) -> anyhow::Result<bool> {
    let settings = Settings {
        only: args.run.clone(),
        syntax: args.features.syntax(),
        options: Options { delayed_name_removal: args.features.delay_name_removal(), ..Options::default() },
    };
    let suites: Vec<Suite> = args.files.iter().map(|path| suite(path, &settings, run)).collect();
    suites.iter().for_each(print);
    let failed = |suite: &&Suite| match &suite.outcomes {
        Ok(outcomes) => outcomes.iter().any(|outcome| !outcome.failures.is_empty()),
        Err(_) => true,
    };
    let bad = suites.iter().filter(failed).count();
    if suites.len() > 1 {
        println!("total: {}, {bad} failed", count(suites.len(), "file"));
    }
    if let Some(path) = &args.junit {
        let document = junit::document(&suites, clock::now());
        std::fs::write(path, document).with_context(|| format!("--junit: cannot write {}", path.display()))?;
    }
    Ok(bad == 0)
}

fn suite(path: &Path, settings: &Settings, run: &Run<'_>) -> Suite {
    let outcomes = run(path, settings).map_err(|problems| {
        let errors = problems.iter().filter(|problem| has_errors(std::slice::from_ref(problem)));
        errors.map(Problem::to_string).collect::<Vec<_>>().join("\n")
    });
    Suite { name: path.display().to_string(), outcomes }
}

/// Reads a file of tests.
fn read(path: &Path, settings: &Settings) -> Result<TestFile, Vec<Problem>> {
    let text = config::read_file(path).map_err(|problem| vec![problem])?;
    let (read, problems) = testing::read(&text.name, &text.text, settings);
    read.filter(|_| !has_errors(&problems)).ok_or(problems)
}

fn run_rules(path: &Path, settings: &Settings) -> Result<Vec<Outcome>, Vec<Problem>> {
    let file = read(path, settings)?;
    let pages: usize = file.tests.iter().map(|test| test.scene.checks.len()).sum();
    if pages > 0 {
        println!("{}: note: {} not run here but by `tocsin test pages`", file.name, are(pages, "page test"));
    }
    let groups = if file.tests.is_empty() { Vec::new() } else { groups(path, &file, settings)? };
    Ok(testing::run(&file, &groups, settings, &Cancel::new()))
}

fn are(number: usize, what: &str) -> String {
    format!("{} {}", count(number, what), if number == 1 { "is" } else { "are" })
}

/// Returns the folder that the names in a file are relative to.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads the rule files that a file of tests names.
fn groups(path: &Path, file: &TestFile, settings: &Settings) -> Result<Vec<RuleGroup>, Vec<Problem>> {
    let folder = folder(path);
    let (mut groups, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for pattern in &file.rule_files {
        let found = config::glob(&folder.join(pattern));
        if found.is_empty() {
            println!("{}: warning: no rule file is named {pattern}", file.name);
        }
        for path in found.into_iter().filter(|path| seen.insert(path.clone())) {
            match config::read_file(&path) {
                Ok(text) => {
                    let defaults =
                        rule::Defaults { interval: file.interval, syntax: settings.syntax, ..rule::Defaults::default() };
                    let name = text.name.strip_prefix("./").unwrap_or(&text.name);
                    let (own, found) = rule::read(name, &text.text, &defaults);
                    groups.extend(own);
                    problems.extend(found);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if has_errors(&problems) { Err(problems) } else { Ok(groups) }
}

fn print(suite: &Suite) {
    let outcomes = match &suite.outcomes {
        Ok(outcomes) => outcomes,
        Err(faults) => {
            println!("FAIL {}: nothing was run", suite.name);
            faults.lines().for_each(|line| println!("  {line}"));
            return;
        }
    };
    let checks: usize = outcomes.iter().map(|outcome| outcome.checks).sum();
    let failures: usize = outcomes.iter().map(|outcome| outcome.failures.len()).sum();
    let told = format!("{} in {}", count(checks, "check"), count(outcomes.len(), "test"));
    if failures == 0 {
        println!("ok   {}: {told}", suite.name);
        return;
    }
    println!("FAIL {}: {} of {told}", suite.name, count(failures, "failure"));
    for outcome in outcomes {
        for failure in &outcome.failures {
            let position = failure.position;
            println!("  {}:{}:{}: {}: {}", suite.name, position.line, position.column, outcome.title, failure.what);
        }
    }
}
