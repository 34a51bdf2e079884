//! `tocsin tsdb import`: samples by the file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use tocsin_core::model::{Cell, Row};
use tocsin_core::remote::import::Import as Reader;
use tocsin_core::remote::send::{Backoff, Queue, wish};
use tocsin_core::remote::write::{Entry, encode};
use tocsin_core::remote::{Protocol, dump};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::Span;

use crate::cli::Remote;
use crate::clock;
use crate::disk::{Disk, DiskOptions};

/// So much of a file is in memory at a time.
const PIECE_BYTES: usize = 4 << 20;
/// A line is at most this long.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Samples of one request.
const SENT_AT_ONCE: usize = 5_000;
/// After so many samples they leave memory for blocks.
const HELD_MAX: usize = 4_000_000;
/// How often a request is sent again that finds the service busy.
const TRIES_MAX: usize = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// The file: OpenMetrics, which ends with # EOF, or what dump --format json wrote.
    file: PathBuf,
    /// Write into a data folder that no service uses.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token_file"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// The pieces of a file, each cut behind a line.
struct Pieces {
    file: BufReader<File>,
}

impl Pieces {
    fn open(path: &Path) -> anyhow::Result<Pieces> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Pieces { file: BufReader::with_capacity(1 << 20, file) })
    }

    /// Returns the next piece and whether it is the last one.
    fn next(&mut self) -> anyhow::Result<(Vec<u8>, bool)> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + 4096);
        (&mut self.file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if piece.last().is_some_and(|byte| *byte != b'\n') {
            let taken = (&mut self.file).take(LINE_BYTES_MAX).read_until(b'\n', &mut piece)?;
            if taken as u64 == LINE_BYTES_MAX {
                bail!("a line is longer than {LINE_BYTES_MAX} bytes");
            }
        }
        let is_last = self.file.fill_buf()?.is_empty();
        Ok((piece, is_last))
    }
}

/// Reads what `dump --format json` wrote.
#[derive(Default)]
struct JsonLines {
    lines: usize,
    is_ended: bool,
}

impl JsonLines {
    fn read(&mut self, piece: &[u8], is_last: bool) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for line in piece.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.lines += 1;
            let fault = |what: String| format!("line {}: {what}", self.lines);
            let line = str::from_utf8(line).map_err(|_| fault("it is not UTF-8".to_owned()))?;
            if self.is_ended {
                return Err(fault("something follows the line that ends the dump".to_owned()));
            }
            match dump::is_end(line) {
                Ok(true) => self.is_ended = true,
                Ok(false) => entries.extend(dump::entries(dump::take_json(line).map_err(fault)?)),
                Err(why) => return Err(fault(format!("the dump broke off: {why}"))),
            }
        }
        if is_last && !self.is_ended {
            return Err(format!("line {}: the file is cut short: the line that ends a dump is missing", self.lines));
        }
        Ok(entries)
    }
}

/// Reads a file and hands its samples on, piece by piece.
async fn read(path: &Path, mut each: impl AsyncFnMut(Vec<Entry>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut pieces, mut reader) = (Pieces::open(path)?, Reader::default());
    let is_json = pieces.file.fill_buf().with_context(|| format!("cannot read {}", path.display()))?.starts_with(b"{\"");
    let mut lines = JsonLines::default();
    loop {
        let (piece, is_last) = pieces.next().with_context(|| format!("cannot read {}", path.display()))?;
        let entries = match is_json {
            true => lines.read(&piece, is_last).map_err(|fault| anyhow::anyhow!("{}:{fault}", path.display()))?,
            false => reader.read(&piece, is_last).map_err(|fault| anyhow::anyhow!("{}:{fault}", path.display()))?,
        };
        each(entries).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// Does what the command line asks for.
///
/// Errors: faults of the file with their lines, and what the service or the disk says.
pub async fn run(import: Import) -> anyhow::Result<()> {
    read(&import.file, async |_| Ok(())).await?;
    let count = match &import.data {
        Some(data) => into_folder(&import.file, data).await?,
        None => into_service(&import.file, &import.remote).await?,
    };
    println!("{count} samples imported");
    Ok(())
}

/// A store that takes samples of any age.
struct Folder {
    store: Store,
    disk: Disk,
    held: usize,
}

impl Folder {
    fn open(data: &Path) -> anyhow::Result<Folder> {
        // What is too old goes when the service with its retention starts, and not before.
        let store = Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() });
        // All that is old enough goes to blocks each time, and not a part of it.
        let (disk, _) = Disk::open_with(data, &store, DiskOptions { cut_period: Span(1), ..DiskOptions::default() })?;
        Ok(Folder { store, disk, held: 0 })
    }

    fn append(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        for entry in entries {
            let series = self.store.resolve(&entry.labels)?;
            let cell = Cell { series, at: Some(entry.at), value: entry.value.clone() };
            match rows.last_mut().filter(|row| row.cells.len() < SENT_AT_ONCE) {
                Some(row) => row.cells.push(cell),
                None => rows.push(Row { at: entry.at, cells: vec![cell] }),
            }
        }
        let written = self.disk.append_bulk(&self.store, &rows).context("cannot append samples")?;
        if let Some(error) = written.unlogged {
            return Err(error).context("cannot write to the log");
        }
        self.held += entries.len();
        if self.held >= HELD_MAX {
            self.held = 0;
            self.disk.maintain(&self.store, clock::now())?;
        }
        Ok(())
    }

    /// Moves what is old enough to blocks, and leaves everything safe on the disk.
    fn close(self) -> anyhow::Result<()> {
        self.disk.maintain(&self.store, clock::now())?;
        self.disk.checkpoint(&self.store)?;
        self.disk.sync().context("cannot make samples safe on the disk")
    }
}

async fn into_folder(file: &Path, data: &Path) -> anyhow::Result<usize> {
    let (mut count, mut folder) = (0, Folder::open(data)?);
    read(file, async |entries| {
        count += entries.len();
        folder.append(&entries)
    })
    .await?;
    folder.close()?;
    Ok(count)
}

async fn into_service(file: &Path, remote: &Remote) -> anyhow::Result<usize> {
    let (http, token) = remote.client()?;
    let url = remote.address("/api/v1/write");
    let mut count = 0;
    read(file, async |entries| {
        for some in entries.chunks(SENT_AT_ONCE) {
            let body = snap::raw::Encoder::new().compress_vec(&encode(some, Protocol::V2, &|_| None))?;
            let sent = send(&http, &url, token.as_deref(), body).await;
            sent.with_context(|| format!("{count} samples were imported before the fault"))?;
            count += some.len();
        }
        Ok(())
    })
    .await?;
    Ok(count)
}

/// Sends one request until there is an answer that lasts.
async fn send(http: &reqwest::Client, url: &str, token: Option<&str>, body: Vec<u8>) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(&Queue { min_backoff: Span(500), max_backoff: Span::from_secs(10), ..Queue::default() });
    for _ in 0..TRIES_MAX {
        let mut request = http.post(url).header("Content-Type", Protocol::V2.content_type()).header("Content-Encoding", "snappy");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.body(body.clone()).send().await.with_context(|| format!("{url} does not answer"))?;
        let asked = answer.headers().get("Retry-After").and_then(|value| wish(value.to_str().ok()?));
        match answer.status() {
            status if status.is_success() => return Ok(()),
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(backoff.wait(asked, 0.5).to_std()).await,
            status => {
                let said = answer.text().await.unwrap_or_default();
                let remedy = if said.contains("too old sample") {
                    "\nset storage.tsdb.out_of_order_time_window, or stop the service and import with --data"
                } else {
                    ""
                };
                bail!("the service refused samples (HTTP {status}): {}{remedy}", said.trim());
            }
        }
    }
    bail!("the service was busy {TRIES_MAX} times in a row; import the file again later, what is there stays as it is")
}
