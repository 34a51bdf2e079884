//! `tocsin run`: what runs do, and what people say to them.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_core::template::escape_query;

use super::runbook::confirm;
use super::{Asked, Remote, each, table, text};

/// Between two looks at a run that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A service that does not answer is asked this often more before we give up.
const SILENCES_MAX: usize = 20;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Run {
    /// Lists runs, newest first.
    List {
        /// open, ended, refused or all.
        #[arg(long, default_value = "all")]
        state: String,
        /// Only runs of this document.
        #[arg(long, value_name = "ID")]
        doc: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: u16,
        #[command(flatten)]
        asked: Asked,
    },
    /// Shows one run with its steps and its log.
    Show {
        id: String,
        /// Follow the log until the run is over. The exit status is 0 only when it succeeded, held or met its objective.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Approves a run that waits for it, or one of its steps.
    Approve {
        id: String,
        /// Deny it.
        #[arg(long)]
        deny: bool,
        /// Approve without asking once more.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Ends a run; what it did is undone.
    Cancel {
        id: String,
        /// Cancel without asking once more.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Says what became of a step in doubt.
    Settle {
        id: String,
        /// The step; needed only when several are in doubt.
        #[arg(long)]
        step: Option<String>,
        verdict: Verdict,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Verdict {
    /// It has happened.
    Done,
    /// It has not; try it again.
    Retry,
    /// Undo all that the run did.
    Undo,
}

/// Asks and prints.
pub async fn run(what: Run) -> anyhow::Result<ExitCode> {
    match what {
        Run::List { state, doc, limit, asked } => {
            let doc = doc.map(|doc| format!("&doc={}", escape_query(&doc))).unwrap_or_default();
            asked.print(&format!("/runs?state={}&limit={limit}{doc}", escape_query(&state)), list).await?;
        }
        Run::Show { id, wait: true, asked, .. } => return follow(&asked.remote, &id).await,
        Run::Show { id, asked, .. } => {
            asked.print(&path(&id), show).await?;
        }
        Run::Approve { id, deny, yes, remote } => {
            let run = remote.get(&path(&id)).await?;
            let asked = &run["needs"]["approvals"];
            if asked.is_null() {
                anyhow::bail!("run {id} is {} and waits for no approval", text(&run["state"]));
            }
            let (word, verdict) = if deny { ("Deny", "deny") } else { ("Approve", "approve") };
            let question = format!("{word} {} {}{}", text(&run["title"]), params(&run), targets(&run));
            if !yes && !confirm(question.trim_end())? {
                println!("Nothing was said.");
                return Ok(ExitCode::FAILURE);
            }
            let vote = json!({ "verdict": verdict, "subject_hash": asked["subject_hash"], "step": asked["step"] });
            println!("{}", line(&remote.post(&format!("{}/approve", path(&id)), &vote).await?));
        }
        Run::Cancel { id, yes, remote } => {
            let run = remote.get(&path(&id)).await?;
            if !yes && !confirm(&format!("Cancel {} and undo what it did", text(&run["title"])))? {
                println!("Nothing was said.");
                return Ok(ExitCode::FAILURE);
            }
            println!("{}", line(&remote.post(&format!("{}/cancel", path(&id)), &json!({})).await?));
        }
        Run::Settle { id, step, verdict, remote } => {
            let step = match step {
                Some(step) => step,
                None => doubted(&remote.get(&path(&id)).await?)?,
            };
            let verdict = match verdict {
                Verdict::Done => "done",
                Verdict::Retry => "retry",
                Verdict::Undo => "undo",
            };
            let said = json!({ "step": step, "verdict": verdict });
            println!("{}", line(&remote.post(&format!("{}/settle", path(&id)), &said).await?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str) -> String {
    format!("/runs/{}", escape_query(id))
}

/// Returns the one step that is in doubt.
fn doubted(run: &Value) -> anyhow::Result<String> {
    let steps: Vec<String> = each(&run["needs"]["settle"]).map(text).collect();
    match steps.as_slice() {
        [one] => Ok(one.clone()),
        [] => anyhow::bail!("no step of the run is in doubt"),
        more => anyhow::bail!("several steps are in doubt: {}; name one with --step", more.join(", ")),
    }
}

/// Prints the log of a run as it grows, until the run is over or needs somebody to settle what is in doubt.
///
/// Returns success only when it succeeded, held or met its objective.
pub(super) async fn follow(remote: &Remote, id: &str) -> anyhow::Result<ExitCode> {
    let (mut seen, mut silences, mut waits) = (0, 0, String::new());
    loop {
        let run = match remote.get(&path(id)).await {
            Ok(run) => run,
            // The service may be starting anew; its runs go on then.
            Err(_) if silences < SILENCES_MAX && seen > 0 => {
                silences += 1;
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        silences = 0;
        for entry in each(&run["log"]).skip(seen) {
            println!("{}", log_line(entry));
            seen += 1;
        }
        if !run["ended_at"].is_null() || run["state"] == "needs_human" {
            println!("{}", line(&run));
            return Ok(if is_good(&run) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let wait = waits_for(&run);
        if wait != waits && !wait.is_empty() {
            println!("{wait}");
        }
        waits = wait;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns whether a run showed what it was to show.
fn is_good(run: &Value) -> bool {
    let verdict = run["verdict"].as_str();
    run["state"] == "succeeded" && (run["dry_run"] == true || verdict.is_none_or(|word| matches!(word, "held" | "met")))
}

/// Returns what a run waits for of people; empty: nothing.
fn waits_for(run: &Value) -> String {
    let approvals = &run["needs"]["approvals"];
    let mut parts = Vec::new();
    if !approvals.is_null() {
        let roles: Vec<String> = each(&approvals["roles"]).map(text).collect();
        parts.push(format!("{} of {} approvals are there ({})", approvals["have"], approvals["count"], roles.join(", ")));
    }
    parts.extend(each(&run["needs"]["human"]).map(|task| format!("somebody must do: {}", text(&task["title"]))));
    parts.join("; ")
}

fn params(run: &Value) -> String {
    let params = run["params"].as_object().into_iter().flatten().map(|(name, value)| format!("{name}={} ", text(value)));
    params.collect()
}

fn targets(run: &Value) -> String {
    let targets: Vec<String> = each(&run["targets"]).map(text).collect();
    if targets.is_empty() { String::new() } else { format!("on {}", targets.join(", ")) }
}

/// Returns an instant to the second, as people read it.
pub(super) fn day(at: &Value) -> String {
    at.as_str().map_or("-".to_owned(), |at| at.get(..19).unwrap_or(at).replace('T', " "))
}

fn log_line(entry: &Value) -> String {
    let by = entry["by"].as_str().map(|by| format!("{by}: ")).unwrap_or_default();
    let line = format!("{} {by}{} {}", day(&entry["at"]), text(&entry["kind"]), text(&entry["text"]));
    line.trim_end().to_owned()
}

/// Returns how a run stands, in one line.
fn line(run: &Value) -> String {
    let state = match run["verdict"].as_str() {
        Some(verdict) => format!("{} ({verdict})", text(&run["state"])),
        None => text(&run["state"]),
    };
    let refused = run["refused_by"].as_str().map(|guard| format!(" by {guard}")).unwrap_or_default();
    let reason = run["reason"].as_str().filter(|reason| !reason.is_empty()).map(|reason| format!(": {reason}"));
    format!("run {} is {state}{refused}{}", text(&run["id"]), reason.unwrap_or_default())
}

fn list(answer: &Value) -> String {
    let row = |run: &Value| {
        let state = run["verdict"].as_str().map_or_else(|| text(&run["state"]), str::to_owned);
        let waiting = run["waiting"].as_str().map(|what| format!(" for {what}")).unwrap_or_default();
        [
            text(&run["id"]),
            text(&run["doc_id"]),
            format!("{state}{waiting}"),
            format!("{}/{}", run["progress"]["done"], run["progress"]["total"]),
            text(&run["starter"]),
            day(&run["created_at"]),
            run["reason"].as_str().unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<_> = each(&answer["runs"]).map(row).collect();
    table(["ID", "DOCUMENT", "STATE", "STEPS", "BY", "ASKED", "REASON"], &rows)
}

fn show(run: &Value) -> String {
    let mut out = format!("{}\n{}\n", text(&run["title"]), line(run));
    let head = [
        ("document", format!("{} {}", text(&run["doc_id"]), params(run)).trim_end().to_owned()),
        ("targets", targets(run)),
        ("by", format!("{}, {}", text(&run["starter"]), text(&run["trigger"]["text"]))),
        ("asked", day(&run["created_at"])),
        ("ended", day(&run["ended_at"])),
        ("waits for", waits_for(run)),
    ];
    out.extend(head.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<10} {value}\n")));
    let row = |step: &Value| {
        let error = each(&step["phase_rows"]).filter_map(|row| row["error"].as_str()).last().unwrap_or_default();
        [text(&step["id"]), text(&step["kind"]), text(&step["state"]), error.to_owned()]
    };
    let rows: Vec<_> = each(&run["steps"]).map(row).collect();
    out.push('\n');
    out.push_str(&table(["STEP", "KIND", "STATE", "ERROR"], &rows));
    out.push('\n');
    out.extend(each(&run["log"]).map(|entry| format!("{}\n", log_line(entry))));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_to_be_shown_is_good() {
        for (state, verdict, dry_run, good) in [
            ("succeeded", Value::Null, false, true),
            ("succeeded", json!("held"), false, true),
            ("succeeded", json!("met"), false, true),
            ("succeeded", json!("missed"), false, false),
            ("succeeded", json!("broken"), false, false),
            ("succeeded", json!("aborted"), true, true),
            ("failed", Value::Null, false, false),
            ("refused", json!("refused"), true, false),
            ("needs_human", Value::Null, false, false),
        ] {
            let run = json!({ "state": state, "verdict": verdict, "dry_run": dry_run });
            assert_eq!(is_good(&run), good, "{run}");
        }
    }

    #[test]
    fn a_run_is_told_in_a_line() {
        let run = json!({ "id": "r1", "state": "refused", "refused_by": "freeze", "reason": "changes are frozen: the sale" });
        assert_eq!(line(&run), "run r1 is refused by freeze: changes are frozen: the sale");
        assert_eq!(
            line(&json!({ "id": "r2", "state": "succeeded", "verdict": "met", "reason": "" })),
            "run r2 is succeeded (met)"
        );
    }
}
