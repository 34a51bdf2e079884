//! `tocsin tsdb delete`.

use anyhow::bail;
use serde_json::{Value, json};
use tocsin_core::model::Matcher;
use tocsin_core::store::Counted;
use tocsin_core::time::Timestamp;

use super::{Between, Where, endless, selectors};
use crate::cli::runbook::confirm;
use crate::disk::{Disk, Reading};

#[derive(Clone, Debug, clap::Args)]
pub struct Delete {
    /// Which series, such as '{job="shop"}'. Repeatable.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    matches: Vec<String>,
    #[command(flatten)]
    between: Between,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
    /// Delete without asking once more.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Where,
}

/// Deletes, after a question.
pub async fn run(asked: Delete) -> anyhow::Result<()> {
    let sets = selectors(&asked.matches)?;
    let (series, samples, not_counted) = match &asked.place.data {
        Some(_) => {
            let found = counted(&asked, &sets)?;
            (found.series, found.samples, found.shortfall())
        }
        None => {
            let found = asked.place.remote.post("/tsdb/delete", &body(&asked, true)).await?;
            let not_counted = found["not_counted"].as_str().map(str::to_owned);
            (found["series"].as_u64().unwrap_or(0), found["samples"].as_u64().unwrap_or(0), not_counted)
        }
    };
    let mut told = format!("{samples} samples of {series} series");
    if let Some(why) = &not_counted {
        eprintln!("not all could be counted: {why}");
        told.push_str(" and those that could not be counted");
    }
    if asked.dry_run || samples == 0 && not_counted.is_none() {
        println!("{told} would go");
        return Ok(());
    }
    if !asked.yes && !confirm(&format!("Delete {told}, for ever"))? {
        bail!("nothing was deleted");
    }
    match &asked.place.data {
        Some(data) => {
            let store = endless();
            let (disk, _) = Disk::open(data, &store)?;
            let find = || store.deletion(&sets, asked.between.start(), asked.between.end());
            disk.delete_all(&store, &find(), find)?;
        }
        None => drop(asked.place.remote.post("/tsdb/delete", &body(&asked, false)).await?),
    }
    println!("{told} are deleted; their room on the disk is free once the service has written their blocks anew");
    Ok(())
}

fn counted(asked: &Delete, sets: &[Vec<Matcher>]) -> anyhow::Result<Counted> {
    let (store, data) = (endless(), asked.place.data.as_deref().unwrap_or_else(|| std::path::Path::new(".")));
    let _reading = Reading::open(data, &store)?;
    Ok(store.count(&store.deletion(sets, asked.between.start(), asked.between.end())))
}

fn body(asked: &Delete, dry_run: bool) -> Value {
    let at = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    json!({ "match": asked.matches, "from": at(asked.between.from), "to": at(asked.between.to), "dry_run": dry_run })
}
