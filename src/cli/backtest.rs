//! `tocsin backtest`: what rules would have notified, over stored samples.

mod files;
mod progress;
mod samples;
mod served;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use tocsin_core::backtest::{Backtest, Difference, Night, Report, Window, align, difference, warm_up};
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::time::{Span, Timestamp};

use super::Features;
use super::tsdb::instant;
use crate::clock;
use files::Files;
use progress::Progress;
use samples::Samples;

/// Exit status for input that is at fault: files, flags, samples that are not there.
const BAD_INPUT: u8 = 2;
/// Threads that rules are evaluated on, at most.
const THREADS_MAX: usize = 16;

/// Where samples are: in a folder, or on a server.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// A data folder that no service uses, such as a snapshot; it is only read.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A running Tocsin, Prometheus, or what answers as they do; it is asked for samples, and the rules are evaluated here.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A rule file, or files such as 'rules/*.yml'; or the word running: those that the configuration names. Repeatable.
    #[arg(long, required = true, value_name = "FILE")]
    rules: Vec<String>,
    /// Rules to compare with, as --rules names them. Repeatable.
    #[arg(long, value_name = "FILE")]
    against: Vec<String>,
    /// From when on notifications are counted: seconds since the epoch, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true)]
    from: Timestamp,
    /// Until when. Default: now.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true)]
    to: Option<Timestamp>,
    /// How long before --from rules are evaluated already, so that alerts can begin, such as 6h. Default: as long as the longest `for`
    /// and the ranges over recorded series need.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    warm_up: Option<Span>,
    #[command(flatten)]
    place: Place,
    /// A file with an API token, for a server that asks who you are.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Routing and receivers as in alertmanager.yml.
    #[arg(long, value_name = "FILE")]
    alertmanager_config: Option<PathBuf>,
    /// The configuration of the service, with routing or without.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The time zone of the nights (22:00 to 7:00) and of the times that are printed, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: Night,
    /// The form of the report.
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
    /// Lines of each list of the text; what is left out is counted all the same.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Tell how far it is also where standard error is no terminal.
    #[arg(long)]
    progress: bool,
    /// How much time is evaluated at once. Longer is faster and takes more memory; the report is the same.
    #[arg(long, value_name = "SPAN", default_value = "6h", value_parser = span)]
    chunk: Span,
    #[command(flatten)]
    features: Features,
}

fn span(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).map_err(|error| error.to_string())?;
    if span < Span::ZERO { Err("it must not be negative".to_owned()) } else { Ok(span) }
}

fn zone(text: &str) -> Result<Night, String> {
    Night::of(text).ok_or_else(|| format!("there is no time zone {text:?}; zones are named as Europe/Berlin or UTC"))
}

/// What was found out.
struct Findings {
    new: Report,
    against: Option<(Report, Difference)>,
}

/// Plays and prints; the exit status is 2 when files, flags or samples are at fault.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Evaluations take the threads they are given for as long as they run; the runtime needs its own.
    let played = tokio::task::spawn_blocking(move || {
        let findings = play(&args)?;
        print(&args, &findings)
    });
    match played.await.context("the backtest ended in a fault of Tocsin")? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("tocsin: {error:#}");
            Ok(ExitCode::from(BAD_INPUT))
        }
    }
}

fn play(args: &Args) -> anyhow::Result<Findings> {
    let to = args.to.unwrap_or_else(clock::now);
    if to <= args.from {
        bail!("--to: {} is not after --from, {}", to.rfc3339(), args.from.rfc3339());
    }
    let Files { new, old, settings } = files::read(args)?;
    let groups = || std::iter::once(&new).chain(&old);
    let needed = groups().map(|groups| warm_up(groups, &settings.options)).max().unwrap_or(Span::ZERO);
    let window = Window { from: args.from, to, warm_up: args.warm_up.unwrap_or(needed) };
    let cancel = Cancel::new();
    let samples = Samples::open(args, window, &new, &cancel)?;
    let mut runs = vec![Backtest::new(new.clone(), settings.clone(), window)];
    runs.extend(old.map(|groups| Backtest::new(groups, settings, window)));
    let mut progress = Progress::new(args.progress, window);
    while let Some(until) = runs[0].next(args.chunk) {
        samples.turn_to(until);
        for run in &mut runs {
            // The shortest interval of its groups may cut the chunks of one and not of the other.
            while let Some(next) = run.next(args.chunk).filter(|_| run.walked() < until) {
                let played = run.play(next.min(until), samples.source(), &cancel, &in_threads);
                samples.fault()?;
                played.map_err(|error| anyhow!("{error}"))?;
            }
        }
        progress.tell(until);
    }
    progress.end();
    let mut reports = runs.into_iter().map(Backtest::finish);
    let new = reports.next().context("the new rules are played")?;
    let against = reports.next().map(|old| {
        let found = difference(&new, &old);
        (old, found)
    });
    Ok(Findings { new, against })
}

/// Does pieces of work on all processors.
fn in_threads(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(count);
    let next = AtomicUsize::new(0);
    let hand = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            work(index);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(hand);
        }
        hand();
    });
}

fn print(args: &Args, findings: &Findings) -> anyhow::Result<()> {
    let Findings { new, against } = findings;
    let text = match args.format {
        Form::Text => words::text(new, against.as_ref(), args.zone, args.limit),
        Form::Json => {
            let (old, difference) = against.as_ref().map(|(old, difference)| (old, difference)).unzip();
            format!("{:#}\n", json!({"new": new, "old": old, "difference": difference}))
        }
    };
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).context("cannot write")
}
