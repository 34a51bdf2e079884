//! The command line: it reads arguments, wires rooms, and decides nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use tocsin::act::fault::{self, GuardArgs, Identity, ProxySetting};
use tocsin::act::step::watcher;
use tocsin::cli::backtest;
use tocsin::cli::lint;
use tocsin::cli::run::Run;
use tocsin::cli::runbook::{Drill, Experiment, Runbook};
use tocsin::cli::slo::Slo;
use tocsin::cli::test::{self, Test};
use tocsin::cli::tsdb::{self, Tsdb};
use tocsin::cli::{self, Remote};
use tocsin::config::{self, Sources};
use tocsin::demo::{self, Choices, Kind, Platform};
use tocsin::pipeline::crash;
use tocsin::serve::{self, lines};
use tocsin::{http, telemetry};
use tocsin_core::problem::has_errors;
use tocsin_core::time::Span;

/// Watches your services, decides what is wrong, pages the right person, and shows it all.
///
/// Start with `tocsin demo`: it runs the whole product on a small platform of its own. With the files that you have already:
/// `tocsin serve --config prometheus.yml --alertmanager-config alertmanager.yml`.
#[derive(Parser)]
#[command(name = "tocsin", version, max_term_width = 100)]
struct Cli {
    /// What to log: error, warn, info, debug, or a filter such as tocsin=debug,info.
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log one JSON object a line.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service: scrapes, evaluates, routes, pages, and serves the web page and the APIs.
    ///
    /// SIGHUP or POST /-/reload reads the configuration again; a bad one is refused and the old one stays. SIGTERM stops within 10 s.
    Serve(ServeArgs),
    /// Runs the service on a small platform that it starts itself, with faults to switch on.
    Demo {
        #[command(flatten)]
        run: DemoArgs,
        #[command(subcommand)]
        action: Option<DemoAction>,
    },
    /// Checks files without running anything; every fault is named with file, line, column, key and remedy.
    Check {
        #[command(subcommand)]
        what: Check,
    },
    /// Runs tests from files, without a service: unit tests of rules, and scripts of PromQL.
    Test {
        #[command(subcommand)]
        what: Test,
    },
    /// Tells what rules would have notified, whom and when, over stored samples, and how that differs from other rules.
    ///
    /// Rules, routing and timers are those of the service under a simulated clock. What people and other systems did is not played
    /// again: nobody acknowledges, there are no silences, no alerts from outside, and no early looks between the slots of a group.
    Backtest(backtest::Args),
    /// Asks a running service a PromQL question and prints the answer.
    Query(QueryArgs),
    /// Asks a running service why somebody was told of an alert, or nobody: what decided, and what would have had to be different.
    Why(cli::why::Why),
    /// Asks a running service for its objectives and their error budgets.
    Slo {
        #[command(subcommand)]
        what: Slo,
    },
    /// Asks a running service for its runbooks, and runs one.
    Runbook {
        #[command(subcommand)]
        what: Runbook,
    },
    /// Asks a running service for runs, and says something to one.
    Run {
        #[command(subcommand)]
        what: Run,
    },
    /// Asks a running service for its drills, runs one, and reports.
    Drill {
        #[command(subcommand)]
        what: Drill,
    },
    /// Asks a running service for its experiments, and runs one.
    Experiment {
        #[command(subcommand)]
        what: Experiment,
    },
    /// Looks into stored samples: lists, verifies, dumps, imports, deletes, backs up, restores.
    Tsdb {
        #[command(subcommand)]
        what: Tsdb,
    },
    /// Prints the OpenAPI document of Tocsin's own API.
    Openapi,
    /// Watches over one program of a run; the service starts these.
    #[command(hide = true)]
    ExecStep {
        /// Become the program.
        #[arg(long)]
        begin: bool,
        folder: PathBuf,
    },
    /// One service of the demo platform; `tocsin demo` starts these.
    #[command(hide = true)]
    DemoService {
        kind: Kind,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long = "peer")]
        peers: Vec<String>,
        #[arg(long)]
        pair: Option<PathBuf>,
    },
    /// The keeper of one PostgreSQL server of the demo platform; `tocsin demo` starts these.
    #[command(hide = true)]
    DemoPostgres {
        server: String,
        #[arg(long)]
        pair: PathBuf,
    },
    /// A proxy of the configuration; `tocsin serve` starts these.
    #[command(hide = true)]
    FaultProxy {
        #[arg(long)]
        name: String,
        #[arg(long)]
        listen: String,
        #[arg(long)]
        upstream: String,
        /// End with this process: its number, a colon, and its start in ticks.
        #[arg(long)]
        tied_to: Option<String>,
    },
    /// The guard of a stopped process; `tocsin serve` starts these.
    #[command(hide = true)]
    FaultGuard {
        #[arg(long)]
        tag: String,
        #[arg(long)]
        pid: i32,
        #[arg(long)]
        started: u64,
        #[arg(long)]
        ttl_ms: i64,
    },
}

#[derive(Args)]
struct ServeArgs {
    /// A prometheus.yml, with Tocsin's own keys if you like.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Routing and receivers as in alertmanager.yml, when they stand in a file of their own.
    #[arg(long, value_name = "FILE")]
    alertmanager_config: Option<PathBuf>,
    /// Where samples and state are kept.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Where to listen, repeatable. Default: web.listen of the configuration, else 127.0.0.1:9190.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Where people reach the service from outside, for links in notifications. Default: web.external_url of the configuration.
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    /// Below which path all is served, the APIs, the page and /metrics. Default: web.route_prefix of the configuration, else the path
    /// of the external URL.
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,
    /// Trust every caller. Refused unless every listener is loopback.
    #[arg(long)]
    no_auth: bool,
    /// Take samples that other servers write, also where web.remote_write_receiver says no.
    #[arg(long = "web.enable-remote-write-receiver")]
    remote_write_receiver: bool,
    /// Die at a named point, to prove that a crash loses nothing.
    #[arg(long, hide = true, value_name = "POINT[:N]")]
    crash_at: Option<String>,
}

#[derive(Args)]
struct DemoArgs {
    /// Where samples and state are kept.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data: PathBuf,
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = serve::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Trust every caller. Refused unless the listener is loopback.
    #[arg(long)]
    no_auth: bool,
    /// Start no PostgreSQL servers; then orders are not kept.
    #[arg(long)]
    without_postgresql: bool,
}

#[derive(Subcommand)]
enum DemoAction {
    /// Switches a fault of the running demo on, or off with --off: slow-api, failing-api, slow-database, stalled-queue.
    Fault {
        name: String,
        #[arg(long)]
        off: bool,
    },
    /// Makes a standby of the PostgreSQL server that died, once the other one takes orders. The way back after a failover.
    Rejoin {
        /// The folder of the pair. Default: demo/pg in the data folder.
        #[arg(long, value_name = "DIR")]
        pair: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Check {
    /// A configuration with everything that it refers to.
    Config {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Routing and receivers, when they stand in a file of their own.
        #[arg(long, value_name = "FILE")]
        alertmanager_config: Option<PathBuf>,
    },
    /// Rule files: faults, and lints of what is hardly meant.
    Rules(lint::Rules),
    /// Runbooks, experiments and drills, all files together: what one calls may stand in another.
    Runbooks {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The configuration that lists the hosts, programs, databases, secrets and policies which they name.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Objectives in OpenSLO v1, all files together: what one names may stand in another.
    Slo {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct QueryArgs {
    /// The expression, such as 'sum by (job) (up)'.
    expr: String,
    #[command(flatten)]
    remote: Remote,
    /// The instant to evaluate at: seconds since the epoch, or RFC 3339. Default: now.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything is opened or started that a program could inherit.
    if let Command::ExecStep { begin, folder } = &cli.command {
        return exec_step(*begin, folder);
    }
    if let Err(reason) = telemetry::start_logging(&cli.log, cli.log_json) {
        eprintln!("tocsin: --log: {reason}");
        return ExitCode::FAILURE;
    }
    telemetry::count_panics();
    // One provider of cryptography for every TLS connection; only a second installation could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tocsin: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli.command));
    // Work that cannot be broken off, such as an evaluation, is left behind.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tocsin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn exec_step(begin: bool, folder: &std::path::Path) -> ExitCode {
    let result = if begin { Err(watcher::begin(folder)) } else { watcher::watch(folder) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tocsin: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => {
            if let Some(point) = &args.crash_at {
                crash::plan(point).map_err(|reason| anyhow::anyhow!("--crash-at: {reason}"))?;
            }
            serve::serve(serve::Args {
                sources: Sources { config: args.config, alertmanager: args.alertmanager_config },
                data: args.data,
                listen: args.listen,
                external_url: args.external_url,
                route_prefix: args.route_prefix,
                auth: !args.no_auth,
                platform: None,
                remote_write_receiver: args.remote_write_receiver,
            })
            .await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { run, action: None } => run_demo(run).await,
        Command::Demo { run, action: Some(DemoAction::Fault { name, off }) } => {
            Platform::find(&run.data)?.set_fault(&name, !off).await?;
            println!("{name} is {}", if off { "off" } else { "on" });
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { run, action: Some(DemoAction::Rejoin { pair }) } => {
            let folder = match pair {
                Some(folder) => folder,
                None => Platform::find(&run.data)?.pair()?.folder.clone(),
            };
            println!("{}", demo::postgres::rejoin(&folder).await?);
            Ok(ExitCode::SUCCESS)
        }
        Command::DemoPostgres { server, pair } => {
            demo::postgres::keep(&pair, &server).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { what } => check(what).await,
        Command::Test { what } => test::run(what),
        Command::Backtest(args) => backtest::run(args).await,
        Command::Query(args) => query(args).await,
        Command::ExecStep { begin, folder } => Ok(exec_step(begin, &folder)),
        Command::Why(asked) => cli::why::run(asked).await.map(|()| ExitCode::SUCCESS),
        Command::Slo { what } => cli::slo::run(what).await.map(|()| ExitCode::SUCCESS),
        Command::Runbook { what } => cli::runbook::runbook(what).await,
        Command::Run { what } => cli::run::run(what).await,
        Command::Drill { what } => cli::runbook::drill(what).await,
        Command::Experiment { what } => cli::runbook::experiment(what).await,
        Command::Tsdb { what } => tsdb::run(what).await.map(|()| ExitCode::SUCCESS),
        Command::Openapi => {
            print!("{}", http::openapi::document());
            Ok(ExitCode::SUCCESS)
        }
        Command::DemoService { kind, listen, peers, pair } => {
            let mut addresses = BTreeMap::new();
            for peer in peers {
                let (word, address) = peer.split_once('=').with_context(|| format!("--peer {peer:?} is not NAME=ADDR"))?;
                addresses.insert(word.to_owned(), address.parse().with_context(|| format!("--peer {peer:?} holds no address"))?);
            }
            demo::run_service(kind, listen, addresses, pair.as_deref()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::FaultProxy { name, listen, upstream, tied_to } => {
            let tied_to =
                tied_to.map(|text| text.parse()).transpose().map_err(|reason: String| anyhow::anyhow!("--tied-to: {reason}"))?;
            fault::run_proxy(ProxySetting { name, listen, upstream }, tied_to).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::FaultGuard { tag, pid, started, ttl_ms } => {
            fault::run_guard(GuardArgs { tag, identity: Identity { pid, started }, ttl: Span(ttl_ms) }).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run_demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let platform = Arc::new(Platform::plan(&args.data, Choices { postgresql: !args.without_postgresql })?);
    let config = demo::write_configuration(&platform, &args.data)?;
    let data = args.data.clone();
    println!("Starting the demo platform: {}", platform.targets().map(|(job, _)| job).collect::<Vec<_>>().join(", "));
    println!("{}", platform.told_of_pair());
    let service = serve::serve(serve::Args {
        sources: Sources { config, alertmanager: None },
        data: args.data,
        listen: vec![args.listen],
        external_url: None,
        route_prefix: None,
        auth: !args.no_auth,
        platform: Some(platform.clone()),
        remote_write_receiver: false,
    });
    tokio::select! {
        result = service => result?,
        result = platform.keep_running(&data) => result.context("the demo platform failed")?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(what: Check) -> anyhow::Result<ExitCode> {
    let mut failed = false;
    match what {
        Check::Rules(rules) => return lint::run(rules).await,
        Check::Config { files, alertmanager_config } => {
            for file in files {
                match config::load(&Sources { config: file.clone(), alertmanager: alertmanager_config.clone() }) {
                    Ok(loaded) => {
                        if !loaded.warnings.is_empty() {
                            println!("{}", lines(&loaded.warnings));
                        }
                        let rules: usize = loaded.groups.iter().map(|group| group.rules.len()).sum();
                        println!(
                            "{}: good: {} jobs, {rules} rules in {} groups, {} objectives, {} receivers",
                            file.display(),
                            loaded.config.jobs.len(),
                            loaded.groups.len(),
                            loaded.objectives.len(),
                            loaded.config.routing.receivers.len()
                        );
                    }
                    Err(problems) => {
                        failed = true;
                        println!("{}", lines(&problems));
                    }
                }
            }
        }
        Check::Runbooks { files, config } => {
            let sources = config.map(|config| Sources { config, alertmanager: None });
            let (documents, problems) = config::read_runbooks(&files, sources.as_ref());
            if !problems.is_empty() {
                println!("{}", lines(&problems));
            }
            failed = has_errors(&problems);
            if !failed {
                println!("good: {} documents", documents.len());
            }
        }
        Check::Slo { files } => {
            let (definitions, problems) = config::read_objectives(&files);
            if !problems.is_empty() {
                println!("{}", lines(&problems));
            }
            failed = has_errors(&problems);
            if !failed {
                println!("good: {} objectives in {} files", definitions.len(), files.len());
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn query(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let (http, token) = args.remote.client()?;
    let mut form = vec![("query", args.expr.as_str())];
    if let Some(time) = &args.time {
        form.push(("time", time));
    }
    let mut request = http.post(args.remote.address("/api/v1/query")).form(&form);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.with_context(|| format!("{} does not answer", args.remote.url))?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.context("the answer is no JSON")?;
    if body["status"] != "success" {
        let said = body["error"].as_str().or(body["detail"].as_str()).unwrap_or("no reason was given");
        bail!("{said} (HTTP {status})");
    }
    for line in body["warnings"].as_array().into_iter().chain(body["infos"].as_array()).flatten() {
        eprintln!("{}", line.as_str().unwrap_or_default());
    }
    print_answer(&body["data"]);
    Ok(ExitCode::SUCCESS)
}

/// Prints a line for each series, or the one value.
fn print_answer(data: &serde_json::Value) {
    let result = &data["result"];
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match data["resultType"].as_str() {
        Some("vector" | "matrix") => {
            for series in result.as_array().into_iter().flatten() {
                let labels = series["metric"].as_object().map(|labels| {
                    tocsin_core::model::LabelSet::from_pairs(
                        labels.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())),
                    )
                });
                print!("{}", labels.unwrap_or_default());
                let points = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
                for point in points {
                    let value = if point.is_null() { text(&series["histogram"][1]) } else { text(&point[1]) };
                    print!(" {value}");
                }
                println!();
            }
        }
        _ => println!("{}", text(&result[1])),
    }
}
