//! The service: everything wired together, started, reloaded and stopped.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tocsin_core::access::Role;
use tocsin_core::plane::{Event, Plane, Records};
use tocsin_core::problem::Problem;
use tocsin_core::promql::evaluate::Options;
use tocsin_core::route::receiver::Receiver;
use tocsin_core::rule::Environment;
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot, watch};

use crate::client;
use crate::clock;
use crate::config::{Loaded, Sources, load, syntax};
use crate::db::Db;
use crate::db::accounts::Account;
use crate::db::state::{Document, put_alive_at};
use crate::demo::Platform;
use crate::disk::Disk;
use crate::http::access::{Caller, Guard};
use crate::http::alertmanager::RoutingView;
use crate::http::prometheus::query::Queries;
use crate::http::session::hash_password;
use crate::http::{self, Front};
use crate::id;
use crate::notify::{Sender, with_causes};
use crate::pipeline::hub::Hub;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::ledger::{Ledger, Outward};
use crate::pipeline::outbox::{Addressees, Outbox};
use crate::pipeline::rules::{self, Rules};
use crate::pipeline::scrapes::{self, Scrapes};
use crate::pipeline::watch::{self as watch_room, State, Watch};
use crate::telemetry::Metrics;

/// Where we listen when nobody says otherwise: this machine alone can reach it.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9190";
/// How long samples are kept when the configuration does not say.
const DEFAULT_RETENTION: Span = Span::from_mins(15 * 24 * 60);
/// A clean stop must be over within 10 s; requests that still run are cut off before.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How often we note that we are alive, so that the next start knows how long nobody watched.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long resolved pages, finished deliveries and histories are kept.
const HISTORY: Span = Span::from_mins(90 * 24 * 60);
/// Scrapes that may have landed before a rule group looks.
const LANDED_MAX: usize = 1024;
/// Queries of clients that run at a time.
const QUERIES_MAX: usize = 4;
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Args {
    pub sources: Sources,
    pub data: PathBuf,
    /// Empty: what the configuration says, else `DEFAULT_LISTEN`.
    pub listen: Vec<SocketAddr>,
    pub auth: bool,
    pub platform: Option<Arc<Platform>>,
}

/// A reload that somebody waits for.
type Reload = oneshot::Sender<Result<Vec<Problem>, Vec<Problem>>>;

/// Runs the service until a signal asks it to stop.
pub async fn serve(args: Args) -> anyhow::Result<()> {
    let loaded =
        load(&args.sources).map_err(|problems| anyhow::anyhow!("the configuration cannot be used\n{}", lines(&problems)))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let listeners = listen(&args, &loaded).await?;
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    if !args.auth
        && let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback())
    {
        bail!(
            "--no-auth is refused: {open} can be reached from other machines; listen on 127.0.0.1 or [::1], or leave --no-auth away"
        );
    }
    let external_url = loaded.config.tocsin.web.external_url.clone().unwrap_or_else(|| format!("http://{}", addresses[0]));
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot make the data folder {}", args.data.display()))?;
    let started_at = clock::now();
    let retention = loaded.config.storage.retention.unwrap_or(DEFAULT_RETENTION);

    let store = Arc::new(Store::new(StoreOptions {
        retention,
        out_of_order_window: loaded.config.storage.out_of_order_window,
        ..StoreOptions::default()
    }));
    let (disk, recovery) = {
        let (store, data) = (store.clone(), args.data.clone());
        tokio::task::spawn_blocking(move || Disk::open(&data, &store)).await.context("opening the store ended in a fault")??
    };
    tracing::info!(?recovery, "the store is open");
    let disk = Arc::new(disk);
    let db = open_db(&args, &loaded).await?;
    let first_login = if args.auth { first_login(&db).await? } else { None };

    let metrics = Metrics::new();
    let hub = Hub::new(u64::try_from(started_at.0).unwrap_or(1));
    let ingest = Arc::new(Ingest { store: store.clone(), disk: disk.clone(), metrics: metrics.clone() });
    let routing = Arc::new(loaded.config.routing.clone());
    let wake = Arc::new(Notify::new());

    let alive_at = db.alive_at().await?;
    let unseen = alive_at.map_or(Span::ZERO, |alive_at| Span(started_at.since(alive_at).0 - ALIVE_EVERY.as_millis() as i64));
    let (ledger, mut opening, refused) = Ledger::restore(db.instances().await?, unseen.max(Span::ZERO));
    opening.push(put_alive_at(started_at));
    if refused > 0 {
        tracing::error!(refused, "stored alerts contradict themselves and were left out");
    }
    let records = Records {
        alerts: db.documents(Document::RoutedAlert).await?,
        groups: db.documents(Document::Group).await?,
        silences: db.documents(Document::Silence).await?,
        pages: db.pages_to_restore(10_000).await?,
        alive_at,
    };
    let plane = Plane::restore(routing, external_url.clone(), records);
    let parts = watch_room::Parts {
        last_delivery_id: db.last_delivery_id().await?,
        opening,
        db: db.clone(),
        hub: hub.clone(),
        outbox: wake.clone(),
        metrics: metrics.clone(),
    };
    let (watch, watching) = Watch::new(State { plane, ledger }, parts);
    let watching = tokio::spawn(watching);

    let (landed, _) = broadcast::channel(LANDED_MAX);
    let scrapes = Arc::new(Scrapes::new(scrapes::Parts {
        ingest: ingest.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        landed: landed.clone(),
        seed: 0,
    }));
    let rules = Arc::new(Rules::new(rules::Parts {
        store: store.clone(),
        ingest: ingest.clone(),
        watch: watch.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        landed,
        targets: scrapes.targets(),
    }));
    let (addressees_sender, addressees) = watch::channel(addressees_of(&loaded));
    let outbox = Outbox {
        db: db.clone(),
        sender: Arc::new(Sender::default()),
        addressees,
        hub: hub.clone(),
        wake,
        metrics: metrics.clone(),
    };
    let (stop_sender, stop) = watch::channel(false);
    let outbox = tokio::spawn(outbox.run(stop.clone()));

    let (config_sender, config) = watch::channel(loaded.yaml.clone());
    let (routing_sender, routing_view) = watch::channel(routing_of(&loaded));
    let (reload, mut reloads) = mpsc::channel::<Reload>(8);
    let ready = Arc::new(AtomicBool::new(false));
    let guard = Arc::new(Guard { db: db.clone(), asks: args.auth, external_url: external_url.clone() });
    let queries = Queries {
        store: store.clone(),
        options: Options::default(),
        syntax: syntax(),
        timeout: QUERY_TIMEOUT,
        slots: Arc::new(Semaphore::new(QUERIES_MAX)),
    };
    let router = http::router(Front {
        guard,
        watch: watch.clone(),
        hub: hub.clone(),
        db: db.clone(),
        queries,
        rules: rules.clone(),
        scrapes: scrapes.clone(),
        metrics: metrics.clone(),
        ready: ready.clone(),
        reload,
        config,
        routing: routing_view,
        platform: args.platform.clone(),
        external_url: external_url.clone(),
        started_at,
        retention,
    });

    let live = Live {
        watch: watch.clone(),
        scrapes: scrapes.clone(),
        rules: rules.clone(),
        external_url: external_url.clone(),
        metrics: metrics.clone(),
    };
    live.apply(loaded.clone()).await;
    ready.store(true, Ordering::Release);
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let (router, stop) = (router.clone(), stop.clone());
        servers.spawn(
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(stopped(stop))
                .into_future(),
        );
    }
    for address in &addresses {
        tracing::info!("Listening on address={address}");
    }
    say_hello(&external_url, first_login.as_deref());
    let warm = tokio::spawn({
        let (rules, watch) = (rules.clone(), watch.clone());
        async move {
            rules.warm().await;
            // Only a watch that has stopped does not take this.
            let _ = watch.event(Event::Warm).await;
        }
    });
    let chores = tokio::spawn(chores(db.clone(), disk.clone(), store.clone(), metrics.clone()));

    let mut hang_up =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    loop {
        let asker = tokio::select! {
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = hang_up.recv() => None,
            asker = reloads.recv() => asker,
        };
        let sources = args.sources.clone();
        let result =
            tokio::task::spawn_blocking(move || load(&sources)).await.context("reading the configuration ended in a fault")?;
        let said = match result {
            Ok(loaded) => {
                let warnings = loaded.warnings.clone();
                addressees_sender.send_replace(addressees_of(&loaded));
                config_sender.send_replace(loaded.yaml.clone());
                routing_sender.send_replace(routing_of(&loaded));
                live.apply(loaded).await;
                metrics.config_reload_successful.set(1);
                tracing::info!("the configuration was reloaded");
                Ok(warnings)
            }
            Err(problems) => {
                metrics.config_reload_successful.set(0);
                tracing::error!("the new configuration cannot be used, the old one stays\n{}", lines(&problems));
                Err(problems)
            }
        };
        match asker {
            // Who sent the signal is not known.
            None => {
                let (outcome, detail) = match &said {
                    Ok(_) => ("done", String::new()),
                    Err(problems) => ("refused", lines(problems)),
                };
                let note = Caller::new("signal SIGHUP", Role::SreLead).note("reload", "configuration", outcome, detail);
                if let Err(error) = db.add_audit(&note).await {
                    tracing::error!(error = with_causes(&error), "cannot note a reload in the audit");
                }
            }
            // An asker that has gone needs no answer.
            Some(asker) => drop(asker.send(said)),
        }
    }
    tracing::info!("stopping");
    ready.store(false, Ordering::Release);
    stop_sender.send_replace(true);
    hub.close();
    warm.abort();
    chores.abort();
    scrapes.stop().await;
    rules.stop().await;
    // It lets attempts in flight end for a few seconds, so that their ends are recorded and none is made twice.
    let _ = outbox.await;
    if tokio::time::timeout(DRAIN_MAX, async { while servers.join_next().await.is_some() {} }).await.is_err() {
        servers.abort_all();
    }
    drop((router, live, watch, rules, scrapes));
    // What the watch has taken in it still records; afterwards nobody can send it more.
    if tokio::time::timeout(Duration::from_secs(2), watching).await.is_err() {
        tracing::warn!("the watch did not end in time; what it had recorded is safe");
    }
    let _ = db.set_alive_at(clock::now()).await;
    tokio::task::spawn_blocking(move || disk.sync()).await.context("the last write ended in a fault")??;
    db.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender has gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Returns problems one a line.
pub fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

async fn listen(args: &Args, loaded: &Loaded) -> anyhow::Result<Vec<TcpListener>> {
    let mut addresses = args.listen.clone();
    if addresses.is_empty() {
        for text in &loaded.config.tocsin.web.listen {
            addresses.push(text.parse().with_context(|| format!("web.listen: {text:?} is no address:port"))?);
        }
    }
    if addresses.is_empty() {
        addresses.push(DEFAULT_LISTEN.parse().context("the default address")?);
    }
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?);
    }
    Ok(listeners)
}

async fn open_db(args: &Args, loaded: &Loaded) -> anyhow::Result<Db> {
    Ok(match &loaded.config.tocsin.database {
        Some(url) => Db::open_postgres(&client::reveal(url).await?).await?,
        None => Db::open_sqlite(&args.data.join("tocsin.db")).await?,
    })
}

/// Makes the first account when there is none; returns its password, which is shown this once.
async fn first_login(db: &Db) -> anyhow::Result<Option<String>> {
    if !db.accounts().await?.is_empty() {
        return Ok(None);
    }
    let password = id::password();
    let password_hash = hash_password(password.clone()).await.map_err(|problem| anyhow::anyhow!(problem.detail))?;
    let account =
        Account { name: "admin".to_owned(), password_hash, role: Role::SreLead, created_at: clock::now(), disabled: false };
    Ok(db.add_account(&account, None).await?.then_some(password))
}

fn say_hello(url: &str, password: Option<&str>) {
    println!("Tocsin is ready: {url}");
    if let Some(password) = password {
        println!("First login: name admin, password {password}");
        println!("The password is shown this once; change it under Settings.");
    }
}

fn addressees_of(loaded: &Loaded) -> Addressees {
    let receivers: BTreeMap<String, Receiver> = loaded.config.routing.receivers.clone();
    Addressees { receivers: Arc::new(receivers), templates: loaded.templates.clone() }
}

fn routing_of(loaded: &Loaded) -> RoutingView {
    RoutingView {
        yaml: loaded.routing_yaml.clone(),
        receivers: Arc::new(loaded.config.routing.receivers.keys().cloned().collect()),
    }
}

/// The parts that a reload reaches.
struct Live {
    watch: Watch,
    scrapes: Arc<Scrapes>,
    rules: Arc<Rules>,
    external_url: String,
    metrics: Arc<Metrics>,
}

impl Live {
    /// Puts a configuration into force, whole.
    async fn apply(&self, loaded: Loaded) {
        let Loaded { config, groups, .. } = loaded;
        // Routing first: alerts of new rules must meet the routes that were written for them.
        if self.watch.event(Event::Reload(Arc::new(config.routing))).await.is_err() {
            return;
        }
        let settings = rules::Settings {
            options: Options { default_step: config.global.evaluation_interval, ..Options::default() },
            environment: Environment {
                external_labels: config.global.external_labels.clone(),
                external_url: self.external_url.clone(),
                syntax: syntax(),
                ..Environment::default()
            },
            outward: Outward { external_labels: config.global.external_labels, relabel: config.alert_relabel },
        };
        self.rules.replace(groups, &settings).await;
        self.scrapes.replace(config.jobs).await;
        self.metrics.config_reload_successful.set(1);
    }
}

/// Keeps the house: samples reach the disk each second, old things go, and a sign of life is left behind.
async fn chores(db: Db, disk: Arc<Disk>, store: Arc<Store>, metrics: Arc<Metrics>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count: u64 = 0;
    loop {
        second.tick().await;
        let synced = {
            let disk = disk.clone();
            tokio::task::spawn_blocking(move || disk.sync()).await
        };
        disk.leave_room(db.is_without_ballast());
        if let Ok(Err(error)) = synced {
            tracing::error!(%error, "samples cannot be made safe on the disk");
        }
        metrics.series.set(i64::try_from(store.stats(0).series).unwrap_or(i64::MAX));
        if count.is_multiple_of(ALIVE_EVERY.as_secs())
            && let Err(error) = db.set_alive_at(clock::now()).await
        {
            tracing::error!(error = with_causes(&error), "cannot leave a sign of life");
        }
        if count.is_multiple_of(60) {
            let (disk, store) = (disk.clone(), store.clone());
            match tokio::task::spawn_blocking(move || disk.maintain(&store, clock::now())).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => tracing::error!(error = with_causes(&error), "the store cannot be tidied"),
            }
        }
        if count % 3600 == 300
            && let Err(error) = db.sweep(Timestamp(clock::now().0 - HISTORY.0)).await
        {
            tracing::error!(error = with_causes(&error), "old records cannot be swept out");
        }
        count += 1;
    }
}
