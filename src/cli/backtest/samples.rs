//! The samples of a backtest: those of a folder, or of a server.

use anyhow::{Context, bail};
use tocsin_core::backtest::Window;
use tocsin_core::model::Source;
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::rule::RuleGroup;
use tocsin_core::rule::named::named;
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};

use super::Args;
use super::served::Served;
use crate::cli::Remote;
use crate::cli::tsdb::endless;
use crate::disk::{DiskError, Reading};

/// Samples that begin within this time behind `from` begin there.
const GRACE: Span = Span::from_mins(5);

pub(super) enum Samples {
    Folder { store: Box<Store>, _reading: Reading },
    Served(Served),
}

impl Samples {
    /// Errors: they cannot be had, or begin after `--from`.
    pub fn open(args: &Args, window: Window, rules: &[RuleGroup], cancel: &Cancel) -> anyhow::Result<Samples> {
        if let Some(data) = &args.place.data {
            let store = endless();
            let reading = Reading::open(data, &store).map_err(|error| match error {
                DiskError::InUse { .. } => anyhow::Error::new(error).context(
                    "--data: a service uses the folder; ask it with --url, or give the folder of a snapshot (tocsin tsdb snapshot)",
                ),
                error => anyhow::Error::new(error).context("--data"),
            })?;
            for damage in &reading.report.damage {
                eprintln!("{}: byte {}: {}; what is lost there is missing", damage.file.display(), damage.offset, damage.reason);
            }
            let span = span(&store).with_context(|| format!("--data: {} holds no samples", data.display()))?;
            held_against(window, span)?;
            return Ok(Samples::Folder { store: Box::new(store), _reading: reading });
        }
        let url = args.place.url.clone().context("no samples are named; pass --data or --url")?;
        let remote = Remote { url, token_file: args.token_file.clone() };
        let served = Served::new(&remote, cancel)?;
        served.answers_at(window.from + GRACE, &named(rules))?;
        Ok(Samples::Served(served))
    }

    pub fn source(&self) -> &(dyn Source + Sync) {
        match self {
            Samples::Folder { store, .. } => store.as_ref(),
            Samples::Served(served) => served,
        }
    }

    /// Says up to when is played next.
    pub fn turn_to(&self, until: Timestamp) {
        match self {
            Samples::Folder { .. } => {}
            Samples::Served(served) => served.turn_to(until),
        }
    }

    /// Errors: why samples could not be had since the last call.
    pub fn fault(&self) -> anyhow::Result<()> {
        match self {
            Samples::Folder { .. } => Ok(()),
            Samples::Served(served) => served.fault(),
        }
    }
}

/// Returns the instants of the first and the last sample.
fn span(store: &Store) -> Option<(Timestamp, Timestamp)> {
    let (blocks, head) = (store.block_facts(), store.head_facts());
    let first = blocks.iter().map(|block| block.first).chain(head.first).min()?;
    let last = blocks.iter().map(|block| block.last).chain(head.last).max()?;
    Some((first, last))
}

fn held_against(window: Window, (first, last): (Timestamp, Timestamp)) -> anyhow::Result<()> {
    if first > window.from + GRACE {
        bail!("--from: the stored samples begin at {}; give that or a later instant", first.rfc3339());
    }
    if last < window.from {
        bail!("--from: the stored samples end at {}; give an earlier instant", last.rfc3339());
    }
    if last + GRACE < window.to {
        eprintln!("the stored samples end at {}; from there on rules see none", last.rfc3339());
    }
    Ok(())
}
