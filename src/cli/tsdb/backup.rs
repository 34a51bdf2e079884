//! `tocsin tsdb snapshot` and `restore`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{Remote, each, text};
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::Db;
use crate::disk::restore::Restore;
use crate::disk::snapshot::compact;

#[derive(Clone, Debug, clap::Args)]
pub struct Take {
    /// Its name. Default: the time.
    name: Option<String>,
    /// Remove the oldest snapshots, so that so many are left.
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Bring {
    /// The folder of the snapshot.
    snapshot: PathBuf,
    /// The data folder, which no service uses.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Take the place of what is there, which is kept aside.
    #[arg(long)]
    replace: bool,
    /// Restore the samples, and leave the state as it is.
    #[arg(long)]
    samples_only: bool,
}

/// Has a snapshot made.
pub async fn take(asked: Take) -> anyhow::Result<()> {
    let made = asked.remote.post("/tsdb/snapshots", &json!({ "name": asked.name, "keep": asked.keep })).await?;
    println!("snapshot {}, in {}", text(&made["name"]), text(&made["path"]));
    if made["has_state"] != true {
        println!("the state is in PostgreSQL, and not in it: save that with pg_dump");
    }
    each(&made["removed"]).for_each(|name| println!("removed {}", text(name)));
    Ok(())
}

/// Restores a snapshot.
pub async fn restore(asked: Bring) -> anyhow::Result<()> {
    let restore = Restore::prepare(&asked.snapshot, &asked.data, asked.replace, !asked.samples_only)?;
    if let Some(old) = restore.old_state() {
        // Opening and closing brings what its log holds into the one file.
        match Db::open_sqlite(&old).await {
            Ok(db) => db.close().await,
            Err(error) => eprintln!("the state that gives way cannot be opened, and is kept as it is: {}", with_causes(&error)),
        }
    }
    let done = restore.finish(&format!("before-{}", compact(clock::now())))?;
    println!("restored {} into {}", if done.state { "samples and state" } else { "samples" }, asked.data.display());
    done.aside.iter().for_each(|path| println!("kept aside: {}", path.display()));
    Ok(())
}
