//! `tocsin runbook`, `tocsin drill` and `tocsin experiment`: which documents are in force, and runs of them.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tocsin_core::template::escape_query;

use super::{Asked, Remote, each, run, table, text};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Runbook {
    /// Lists the runbooks, experiments and drills that are in force.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Shows one document: what it does, what it asks for, and what stands in its way.
    Show {
        /// As `tocsin runbook list` names it.
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Runs a document.
    Run(Begin),
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Drill {
    /// Lists the drills: when each is due, and what the last ones have shown.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Runs a drill.
    Run(Begin),
    /// Reports on one run: what was measured against the objective.
    Report {
        /// The id of the run.
        run: String,
        /// Write the report as a page that stands alone.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Experiment {
    /// Lists the experiments, and what the last run of each has shown.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Runs an experiment.
    Run(Begin),
}

/// A wish for a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Begin {
    /// The document.
    id: String,
    /// The value of a parameter, repeatable.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Ask the guards, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Follow the log until the run is over. The exit status is 0 only when it succeeded, held or met its objective.
    #[arg(long)]
    wait: bool,
    /// Begin without asking once more.
    #[arg(long)]
    yes: bool,
    /// Why, for those who read the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The same reference begins one run, however often it is sent.
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Asks and prints.
pub async fn runbook(what: Runbook) -> anyhow::Result<ExitCode> {
    match what {
        Runbook::List { asked } => {
            asked.print("/runbooks", list).await?;
        }
        Runbook::Show { id, asked } => {
            asked.print(&document_path(&id), show).await?;
        }
        Runbook::Run(begin) => return start(begin, None).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks and prints.
pub async fn drill(what: Drill) -> anyhow::Result<ExitCode> {
    match what {
        Drill::List { asked } => {
            asked.print("/drills", drills).await?;
        }
        Drill::Run(begin) => return start(begin, Some("drill")).await,
        Drill::Report { run, html, asked } => {
            let path = format!("/runs/{}/report", escape_query(&run));
            match html {
                Some(file) => {
                    let page = asked.remote.text(&format!("{path}.html")).await?;
                    std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
                    println!("{}", file.display());
                }
                None => {
                    asked.print(&path, report).await?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks and prints.
pub async fn experiment(what: Experiment) -> anyhow::Result<ExitCode> {
    match what {
        Experiment::List { asked } => {
            asked.print("/experiments", experiments).await?;
        }
        Experiment::Run(begin) => return start(begin, Some("experiment")).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn document_path(id: &str) -> String {
    format!("/runbooks/{}", escape_query(id))
}

/// Returns the parameters that are written as `name=value`.
fn read_params(params: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut read = BTreeMap::new();
    for param in params {
        let (name, value) = param.split_once('=').with_context(|| format!("--param {param:?} is not NAME=VALUE"))?;
        if read.insert(name.to_owned(), value.to_owned()).is_some() {
            bail!("--param {name} is given twice");
        }
    }
    Ok(read)
}

/// Asks a person whether it is meant; what is no terminal must say so beforehand.
pub(super) fn confirm(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("{question}: nobody is here to be asked; say --yes");
    }
    print!("{question}? [y/N] ");
    std::io::stdout().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn start(begin: Begin, kind: Option<&str>) -> anyhow::Result<ExitCode> {
    let params = read_params(&begin.params)?;
    let path = document_path(&begin.id);
    let document = begin.remote.get(&path).await?;
    if let Some(kind) = kind.filter(|kind| document["kind"] != *kind) {
        bail!("{} is a {}, and no {kind}", begin.id, text(&document["kind"]));
    }
    let harmless = begin.dry_run || document["class"] == "read";
    if !begin.yes && !harmless {
        println!("{}", steps(&document));
        let question = format!("Run {} ({}), which is {}", begin.id, text(&document["title"]), text(&document["class"]));
        if !confirm(&question)? {
            println!("Nothing was begun.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let asked = json!({ "params": params, "dry_run": begin.dry_run, "reason": begin.reason, "reference": begin.reference });
    let begun = begin.remote.post(&format!("{path}/runs"), &asked).await?;
    println!("run {}", text(&begun["id"]));
    if begin.wait {
        return run::follow(&begin.remote, &text(&begun["id"])).await;
    }
    Ok(ExitCode::SUCCESS)
}

fn last(document: &Value) -> String {
    let last = &document["last_run"];
    let word = if last["verdict"].is_string() { &last["verdict"] } else { &last["state"] };
    if last.is_null() { "never".to_owned() } else { format!("{} {}", text(word), run::day(&last["ended_at"])) }
}

fn list(answer: &Value) -> String {
    let row = |document: &Value| {
        let mode =
            each(&document["triggers"]).map(|trigger| format!("{} {}", text(&trigger["kind"]), text(&trigger["effective_mode"])));
        [
            text(&document["id"]),
            text(&document["kind"]),
            text(&document["platform"]),
            text(&document["class"]),
            mode.collect::<Vec<_>>().join(", "),
            last(document).trim_end().to_owned(),
            text(&document["title"]),
        ]
    };
    let rows: Vec<_> = each(&answer["documents"]).map(row).collect();
    table(["ID", "KIND", "PLATFORM", "CLASS", "TRIGGERS", "LAST", "TITLE"], &rows)
}

fn steps(document: &Value) -> String {
    let row = |step: &Value| [text(&step["id"]), text(&step["kind"]), text(&step["effect"]), text(&step["text"])];
    let rows: Vec<_> = each(&document["steps"]).map(row).collect();
    table(["STEP", "KIND", "EFFECT", "WHAT"], &rows)
}

fn show(document: &Value) -> String {
    let mut out = format!("{}\n", text(&document["title"]));
    let head = [
        ("kind", text(&document["kind"])),
        ("class", text(&document["class"])),
        ("owner", text(&document["owner"])),
        ("review by", run::day(&document["review_by"])),
        ("version", text(&document["hash"]).chars().take(12).collect()),
        ("file", text(&document["file"])),
        ("you", document["why_not"].as_str().unwrap_or("may start it").to_owned()),
        ("last run", last(document).trim_end().to_owned()),
    ];
    out.extend(head.iter().map(|(name, value)| format!("{name:<10} {value}\n")));
    for (name, key) in [("trigger", "triggers"), ("guard", "guards")] {
        out.extend(each(&document[key]).map(|one| format!("{name:<10} {}\n", text(&one["text"]))));
    }
    for param in each(&document["params"]) {
        let value = if param["required"] == true { "required".to_owned() } else { format!("default {}", param["default"]) };
        out.push_str(&format!("{:<10} {} ({}), {value}\n", "parameter", text(&param["name"]), text(&param["type"])));
    }
    out.extend(each(&document["verify"]).map(|one| format!("{:<10} {}\n", "verify", text(one))));
    out.push('\n');
    out + &steps(document)
}

fn seconds(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn drills(answer: &Value) -> String {
    let row = |drill: &Value| {
        let (newest, due) = (&drill["results"][0], &drill["cadence"]);
        let overdue = if due["overdue"] == true { " overdue" } else { "" };
        [
            text(&drill["document"]["id"]),
            format!("{}{overdue}", run::day(&due["due_at"])),
            text(&newest["verdict"]),
            run::day(&newest["at"]),
            format!("{} of {}", seconds(&newest["rto_seconds"]), seconds(&drill["objective"]["rto_seconds"])),
            format!("{} of {}", seconds(&newest["rpo_seconds"]), seconds(&drill["objective"]["rpo_seconds"])),
            text(&newest["run"]),
        ]
    };
    let rows: Vec<_> = each(&answer["drills"]).map(row).collect();
    table(["ID", "DUE", "LAST", "ON", "RTO", "RPO", "RUN"], &rows)
}

fn experiments(answer: &Value) -> String {
    let row = |experiment: &Value| {
        let newest = &experiment["results"][0];
        [
            text(&experiment["document"]["id"]),
            text(&newest["verdict"]),
            run::day(&newest["at"]),
            text(&newest["run"]),
            text(&newest["why"]),
        ]
    };
    let rows: Vec<_> = each(&answer["experiments"]).map(row).collect();
    table(["ID", "LAST", "ON", "RUN", "WHY"], &rows)
}

fn report(answer: &Value) -> String {
    let (run, measured) = (&answer["run"], &answer["measured"]);
    let mut out = format!("{} ({})\n", text(&run["title"]), text(&run["id"]));
    let verdict = answer["verdict"].as_str().map_or_else(|| text(&run["state"]), str::to_owned);
    out.push_str(&format!("{:<14} {verdict} {}\n", "verdict", answer["why"].as_str().unwrap_or_default()));
    for (name, value) in measured.as_object().into_iter().flatten().filter(|(_, value)| value.is_number()) {
        out.push_str(&format!("{name:<14} {value}\n"));
    }
    let row = |phase: &Value| {
        let ok = if phase["ok"] == true { "ok" } else { "missed" };
        [text(&phase["name"]), seconds(&phase["seconds"]), seconds(&phase["budget_seconds"]), ok.to_owned()]
    };
    let rows: Vec<_> = each(&answer["phases"]).map(row).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(["PHASE", "TOOK", "ALLOWED", ""], &rows));
    }
    for check in each(&answer["checks"]) {
        let ok = if check["ok"] == true { "ok" } else { "missed" };
        out.push_str(&format!("{ok:<7} {}: {}\n", text(&check["id"]), text(&check["text"])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_each() {
        let read = |params: &[&str]| read_params(&params.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())]);
        assert_eq!(read(&["a=1", "b=x=y"]).expect("good ones"), expected);
        assert!(read(&["a"]).is_err() && read(&["a=1", "a=2"]).is_err());
    }
}
