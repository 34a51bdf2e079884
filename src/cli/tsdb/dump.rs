//! `tocsin tsdb dump`: samples as text.

use std::io::{BufWriter, Stdout, Write};

use anyhow::{Context, bail};
use tocsin_core::model::Series;
use tocsin_core::remote::dump::{self, Unsaid};
use tocsin_core::time::Timestamp;

use super::{Between, Where, endless, selectors};
use crate::disk::Reading;

/// So many samples are read at once.
const READ_AT_ONCE: usize = 1 << 20;
/// A line of the service is at most this long.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Openmetrics,
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Dump {
    #[command(flatten)]
    place: Where,
    /// Which series, such as '{job="shop"}'. Repeatable. Default: all.
    #[arg(long = "match", value_name = "SELECTOR")]
    matches: Vec<String>,
    #[command(flatten)]
    between: Between,
    /// The form.
    #[arg(long, value_enum, default_value = "openmetrics")]
    format: Form,
}

/// Standard output, in a form.
struct Out {
    form: Form,
    out: BufWriter<Stdout>,
    text: String,
    unsaid: Unsaid,
}

impl Out {
    fn put(&mut self, series: &Series) -> anyhow::Result<()> {
        self.text.clear();
        match self.form {
            Form::Openmetrics => dump::put_openmetrics(&mut self.text, series, &mut self.unsaid),
            Form::Json => dump::put_json(&mut self.text, series),
        }
        self.out.write_all(self.text.as_bytes()).context("cannot write")
    }

    fn end(mut self) -> anyhow::Result<()> {
        let end = if self.form == Form::Json { dump::end_line(None) } else { dump::END.to_owned() };
        self.out.write_all(end.as_bytes()).and_then(|()| self.out.flush()).context("cannot write")?;
        let Unsaid { stale, histograms, nameless } = self.unsaid;
        for (count, what) in [
            (stale, "marks of the end of a series"),
            (histograms, "native histograms"),
            (nameless, "samples of series without a metric's name"),
        ] {
            if count > 0 {
                eprintln!("{count} {what} are left out, which OpenMetrics cannot say; --format json says them");
            }
        }
        Ok(())
    }
}

/// Dumps.
pub async fn run(asked: Dump) -> anyhow::Result<()> {
    let out = Out {
        form: asked.format,
        out: BufWriter::with_capacity(1 << 20, std::io::stdout()),
        text: String::new(),
        unsaid: Unsaid::default(),
    };
    let sets = selectors(&asked.matches)?;
    match &asked.place.data {
        None => from_service(&asked, out).await,
        Some(data) => {
            let store = endless();
            let reading = Reading::open(data, &store)?;
            for damage in &reading.report.damage {
                eprintln!("{}: byte {}: {}; what is lost there is missing", damage.file.display(), damage.offset, damage.reason);
            }
            from_folder(&store, store.walk(&sets, asked.between.start(), asked.between.end()), out)
        }
    }
}

fn from_folder(store: &tocsin_core::store::Store, mut walk: tocsin_core::store::Walk, mut out: Out) -> anyhow::Result<()> {
    while let Some(some) = walk.next(store, READ_AT_ONCE)? {
        for series in &some {
            out.put(series)?;
        }
    }
    out.end()
}

async fn from_service(asked: &Dump, mut out: Out) -> anyhow::Result<()> {
    let (http, token) = asked.place.remote.client()?;
    let url = asked.place.remote.address("/api/tocsin/v1/tsdb/dump");
    let mut query: Vec<(&str, String)> = asked.matches.iter().map(|text| ("match[]", text.clone())).collect();
    query.extend(asked.between.from.map(|at: Timestamp| ("start", at.rfc3339())));
    query.extend(asked.between.to.map(|at: Timestamp| ("end", at.rfc3339())));
    let mut request = http.get(&url).query(&query);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let mut answer = request.send().await.with_context(|| format!("{url} does not answer"))?;
    if !answer.status().is_success() {
        let status = answer.status();
        let said: serde_json::Value = answer.json().await.unwrap_or_default();
        let why = said["detail"].as_str().or(said["error"].as_str()).unwrap_or("no reason was given");
        bail!("{why} (HTTP {status})");
    }
    let mut waiting: Vec<u8> = Vec::new();
    while let Some(piece) = answer.chunk().await.context("the answer broke off")? {
        waiting.extend_from_slice(&piece);
        let mut from = 0;
        while let Some(len) = waiting[from..].iter().position(|byte| *byte == b'\n') {
            let line = str::from_utf8(&waiting[from..from + len]).context("the answer is not UTF-8")?;
            from += len + 1;
            match dump::is_end(line) {
                Ok(true) => return out.end(),
                Ok(false) => out.put(&dump::take_json(line).map_err(anyhow::Error::msg)?)?,
                Err(why) => bail!("the service broke off: {why}"),
            }
        }
        waiting.drain(..from);
        if waiting.len() > LINE_BYTES_MAX {
            bail!("a line of the answer is longer than {LINE_BYTES_MAX} bytes");
        }
    }
    bail!("the answer ended in the middle")
}
