//! `tocsin tsdb`: what people do with stored samples.

mod backup;
mod delete;
mod dump;
mod import;
mod list;
mod top;

use std::path::PathBuf;

use anyhow::anyhow;
use tocsin_core::model::Matcher;
use tocsin_core::promql::parse::parse_selector;
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use super::Remote;

/// What is done with samples.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Tsdb {
    /// Lists what is stored: blocks, memory, log, snapshots.
    List(list::List),
    /// Reads every byte of stored samples and holds it against its checksums. Writes nothing; a service may run beside.
    ///
    /// Each fault is named with its file, its place, and what to do; then the exit status is 1.
    Verify {
        /// A data folder, or a snapshot.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Writes samples to standard output: as OpenMetrics, which import and promtool read back, or as lines of JSON, which lose nothing.
    Dump(dump::Dump),
    /// Imports OpenMetrics with timestamps, as promtool's create-blocks-from openmetrics reads it, or what dump wrote.
    ///
    /// The file is checked whole before anything is written, and read twice for that; it may be longer than memory. Samples go to a
    /// running service, or with --data into the folder of one that is stopped.
    Import(import::Import),
    /// Tells who has the series, and who grows: metrics, labels, their values, jobs, targets.
    Top(top::Top),
    /// Deletes samples, for ever. What is written later is seen, also in the span that was deleted.
    Delete(delete::Delete),
    /// Has a running service copy everything, state included, into snapshots/NAME in its data folder.
    Snapshot(backup::Take),
    /// Puts a snapshot into the data folder of a stopped service.
    ///
    /// The snapshot is read through first. A crash at any moment leaves the old samples or the new ones.
    Restore(backup::Bring),
}

/// Where samples are: in a folder that no service uses, or in a running service.
#[derive(Clone, Debug, clap::Args)]
pub struct Where {
    /// The data folder of a stopped service.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token_file"])]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Between which instants: seconds since the epoch, or RFC 3339; both ends belong to it.
#[derive(Clone, Debug, clap::Args)]
pub struct Between {
    /// The first instant: seconds since the epoch, or RFC 3339. Default: the beginning.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true)]
    from: Option<Timestamp>,
    /// The last instant. Default: the end.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true)]
    to: Option<Timestamp>,
}

impl Between {
    fn start(&self) -> Timestamp {
        self.from.unwrap_or(Timestamp::MIN)
    }

    fn end(&self) -> Timestamp {
        self.to.unwrap_or(Timestamp::MAX)
    }
}

pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse::<f64>().ok().and_then(Timestamp::from_seconds);
    seconds
        .or_else(|| Timestamp::parse_rfc3339(text))
        .ok_or_else(|| "it is no instant: give seconds since the epoch, or such as 2026-11-21T09:00:00Z".to_owned())
}

/// Reads selectors.
///
/// Errors: the first fault in one.
fn selectors(texts: &[String]) -> anyhow::Result<Vec<Vec<Matcher>>> {
    let read = |text: &String| {
        let set = parse_selector(text).map_err(|errors| match errors.first() {
            Some(error) => anyhow!("--match {text:?}: {}", error.summary(text)),
            None => anyhow!("--match {text:?} is no selector"),
        })?;
        if set.iter().all(Matcher::matches_empty) {
            return Err(anyhow!("--match {text:?} names every series; say {{__name__=~\".+\"}} if you mean that"));
        }
        Ok(set)
    };
    texts.iter().map(read).collect()
}

/// Returns a store in which nothing is too old.
pub(super) fn endless() -> Store {
    Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() })
}

/// Does what the command line asks for.
///
/// Errors: faults of files with their places, and what the service or the disk says.
pub async fn run(what: Tsdb) -> anyhow::Result<()> {
    match what {
        Tsdb::List(list) => list::run(list).await,
        Tsdb::Verify { data } => list::verify(&data),
        Tsdb::Dump(asked) => dump::run(asked).await,
        Tsdb::Import(import) => import::run(import).await,
        Tsdb::Top(asked) => top::run(asked).await,
        Tsdb::Delete(asked) => delete::run(asked).await,
        Tsdb::Snapshot(asked) => backup::take(asked).await,
        Tsdb::Restore(asked) => backup::restore(asked).await,
    }
}
