//! `tocsin check rules`: faults and lints of rule files, with what a running service knows of their metrics.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use serde_json::Value;
use tocsin_core::problem::has_errors;
use tocsin_core::rule::lint::{Facts, Finding, Level, Lint, Question, lint, questions};
use tocsin_core::time::Span;

use super::{Features, Remote, each};
use crate::config::{self, RuleFile};

/// Exit status when a lint found something and --lint-fatal is given, as promtool has it.
const LINT_FOUND: u8 = 3;
/// Selectors that a service is asked for.
const QUESTIONS_MAX: usize = 5_000;

#[derive(Debug, clap::Args)]
pub struct Rules {
    /// Rule files, or files of a PrometheusRule. None, or -: the standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which lints to apply: all, none, or names with commas between them.
    ///
    /// A comment `# tocsin-ignore: NAME` in a rule or right above it silences a lint for that rule.
    #[arg(long, value_name = "NAMES", default_value = "all", value_delimiter = ',', long_help = long_help())]
    lint: Vec<Chosen>,
    /// Exit with status 3 when a lint says error or warning.
    #[arg(long)]
    lint_fatal: bool,
    /// Pass over keys that are not known, for files with notes of your own in them.
    #[arg(long)]
    ignore_unknown_fields: bool,
    #[command(flatten)]
    features: Features,
    /// Ask a running Tocsin or Prometheus for the types of metrics, for scrape intervals, and whether selectors find anything.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with an API token, for a service that asks who you are.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    All,
    None,
    One(Lint),
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Chosen, String> {
        match text.trim() {
            "all" => Ok(Chosen::All),
            "none" => Ok(Chosen::None),
            name => Lint::find(name).map(Chosen::One).ok_or_else(|| {
                let names: Vec<&str> = Lint::ALL.iter().map(|lint| lint.name()).collect();
                format!("there is no lint {name:?}; there are all, none, {}", names.join(", "))
            }),
        }
    }
}

fn long_help() -> String {
    let mut text =
        "Which lints to apply: all, none, or names with commas between them.\n\nA comment `# tocsin-ignore: NAME` in a rule, or \
                    right above it, silences a lint for that rule. The lints:"
            .to_owned();
    for lint in Lint::ALL {
        text.push_str(&format!("\n  {} ({}): {}", lint.name(), lint.level().word(), lint.meaning()));
    }
    text
}

impl Rules {
    fn wants(&self, lint: Lint) -> bool {
        let chosen = |choice: &Chosen| *choice == Chosen::All || *choice == Chosen::One(lint);
        !self.lint.contains(&Chosen::None) && self.lint.iter().any(chosen)
    }
}

/// Checks rule files and prints what is wrong with them.
pub async fn run(args: Rules) -> anyhow::Result<ExitCode> {
    let paths = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files.clone() };
    let files: Vec<RuleFile> =
        paths.iter().map(|path| config::read_rules(path, args.features.syntax(), args.ignore_unknown_fields)).collect();
    let mut facts = Facts::default();
    files.iter().for_each(|file| facts.learn_recorded(&file.groups));
    if let Some(url) = &args.url {
        let remote = Remote { url: url.clone(), token_file: args.token_file.clone() };
        ask(&remote, &files, &mut facts).await?;
    }
    let (mut failed, mut fatal) = (false, false);
    let mut counts: BTreeMap<Lint, usize> = BTreeMap::new();
    for file in &files {
        for problem in &file.problems {
            println!("{problem}");
        }
        if has_errors(&file.problems) {
            failed = true;
            continue;
        }
        let mut found = lint(&file.name, &file.text, &file.groups, &facts);
        found.retain(|finding| args.wants(finding.lint));
        for finding in &found {
            println!("{finding}");
            *counts.entry(finding.lint).or_default() += 1;
        }
        fatal |= args.lint_fatal && found.iter().any(|finding| finding.lint.level() != Level::Info);
        let rules: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        println!("{}: good: {rules} rules in {} groups{}", file.name, file.groups.len(), told(&found));
    }
    if files.len() > 1 {
        for (lint, count) in &counts {
            println!("{count:6}  {} ({})", lint.name(), lint.level().word());
        }
    }
    Ok(match (failed, fatal) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(LINT_FOUND),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Returns how many findings there are of each level, such as `; 2 warnings, 1 info`.
fn told(found: &[Finding]) -> String {
    let of = |level: Level| found.iter().filter(|finding| finding.lint.level() == level).count();
    let parts = [Level::Error, Level::Warning, Level::Info].into_iter().filter(|level| of(*level) > 0).map(|level| {
        let count = of(level);
        format!("{count} {}{}", level.word(), if count == 1 { "" } else { "s" })
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

/// Learns from a running service what it knows of the metrics in the files.
async fn ask(remote: &Remote, files: &[RuleFile], facts: &mut Facts) -> anyhow::Result<()> {
    let metadata = remote.prometheus("metadata", &[]).await?;
    for (family, said) in metadata.as_object().into_iter().flatten() {
        if let Some(kind) = said[0]["type"].as_str() {
            facts.types.insert(family.clone(), kind.to_owned());
        }
    }
    let targets = remote.prometheus("targets", &[("state", "active")]).await?;
    for target in each(&targets["activeTargets"]) {
        let every = target["scrapeInterval"].as_str().and_then(|text| Span::parse(text).ok());
        if let (Some(job), Some(every)) = (target["labels"]["job"].as_str(), every) {
            let longest = facts.scrapes.entry(job.to_owned()).or_insert(every);
            *longest = (*longest).max(every);
        }
    }
    let asked: Vec<Question> = files.iter().flat_map(|file| questions(&file.groups, facts)).collect();
    if asked.len() > QUESTIONS_MAX {
        bail!("the files have {} selectors, and a service is asked for {QUESTIONS_MAX} at most; check fewer files", asked.len());
    }
    for question in asked {
        if facts.nothing.contains(&question.selector) {
            continue;
        }
        let within = Span(Span::from_mins(5).0.saturating_add(question.back.0));
        let query = format!("group(present_over_time({}[{within}]))", question.selector);
        let answer = remote.prometheus("query", &[("query", &query)]).await?;
        if each(&answer["result"]).next().is_none() {
            facts.nothing.insert(question.selector);
        }
    }
    Ok(())
}

impl Remote {
    /// Gets data from the API that Prometheus and Tocsin have in common.
    ///
    /// Errors: what the service says, in its words.
    async fn prometheus(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let (http, token) = self.client()?;
        let mut request = http.get(self.address(&format!("/api/v1/{path}"))).query(parameters);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.url))?;
        let status = answer.status();
        let mut body: Value = answer.json().await.with_context(|| format!("the answer is no JSON (HTTP {status})"))?;
        if body["status"] != "success" {
            bail!(
                "{path}: {} (HTTP {status})",
                body["error"].as_str().or(body["detail"].as_str()).unwrap_or("no reason was given")
            );
        }
        Ok(body["data"].take())
    }
}
