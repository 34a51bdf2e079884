//! The start: ports first, then the store, the state, and the tasks between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tocsin_core::plane::Event;
use tocsin_core::problem::Problem;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::acting::{self, Acting};
use super::chores::{Chores, MAINTENANCE_STILL};
use super::listen::{Doors, Place, listen, place};
use super::open::{make_first_account, open_db, open_store, restore, retention};
use super::reload::{Live, addressees_of, classes, documents_of, routing_of, stand};
use super::tasks::Tasks;
use super::{Args, lines};
use crate::clock;
use crate::config::load;
use crate::db::Db;
use crate::disk::Disk;
use crate::disk::queue::Queue;
use crate::http::access::Guard;
use crate::http::prometheus::query::Queries;
use crate::http::{self, Front};
use crate::notify::Sender;
use crate::pipeline::alertmanagers::{Alertmanagers, Reports};
use crate::pipeline::auditor;
use crate::pipeline::fresh::Fresh;
use crate::pipeline::heartbeats::{self, Heartbeats};
use crate::pipeline::hub::Hub;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::journeys::{self, Journeys};
use crate::pipeline::memory::{Keeper, Standing};
use crate::pipeline::objectives::{self, Objectives};
use crate::pipeline::outbox::Outbox;
use crate::pipeline::own_alerts::OwnAlerts;
use crate::pipeline::pulse::Pulse;
use crate::pipeline::receive::Receiver;
use crate::pipeline::remote::Remote;
use crate::pipeline::rules::{self, Rules};
use crate::pipeline::scrapes::{self, Scrapes};
use crate::pipeline::stored::Stored;
use crate::pipeline::tombstones::Tombstones;
use crate::pipeline::watch::{self as watch_room, Watch};
use crate::telemetry::Metrics;

/// Wishes for looks that may wait before a rule group hears of them.
const WANTED_MAX: usize = 64;
/// Scrapes that may have landed before a rule group looks.
const LANDED_MAX: usize = 1024;
/// Reloads that wait.
const RELOADS_MAX: usize = 8;
/// Alerts may begin runs after this at the latest, whatever has not been evaluated yet.
const TRIGGERS_WAIT: Duration = Duration::from_secs(120);
/// The watch and the outbox go round every few seconds; a database that is away holds them up for less than this at a time.
const STILL: Duration = Duration::from_secs(120);

/// A reload that somebody waits for.
pub type Reload = oneshot::Sender<Result<Vec<Problem>, Vec<Problem>>>;

/// The service as it runs.
pub struct Service {
    pub tasks: Tasks,
    pub live: Live,
    pub reloads: mpsc::Receiver<Reload>,
    pub hub: Hub,
    pub ready: Arc<AtomicBool>,
    /// True once no more connections are wanted.
    pub stop: watch::Sender<bool>,
    /// What connections take room from.
    pub room: Arc<Semaphore>,
    pub warm: JoinHandle<()>,
    pub acting: Acting,
    pub db: Db,
    pub disk: Arc<Disk>,
}

/// Starts everything; returns once the rules run.
pub async fn start(args: Args) -> anyhow::Result<Service> {
    let loaded = load(&args.sources).map_err(|problems| anyhow!("the configuration cannot be used\n{}", lines(&problems)))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let listeners = listen(&args, &loaded).await?;
    let Place { external_url, prefix } = place(&args, &loaded, &listeners)?;
    let started_at = clock::now();

    // Whoever looks whether we are well gets an answer from here on, however long the log of samples is.
    let mut tasks = Tasks::default();
    let Doors { router, stop, room } = Doors::open(listeners, &prefix, &mut tasks)?;

    let storage = loaded.config.storage;
    let (store, disk) = open_store(&args.data, &storage).await?;
    let (opened, merging) = (clock::Stopwatch::start(), Pulse::new("the merging of blocks", MAINTENANCE_STILL));
    // Before anything is forgotten.
    store.keep_by(classes(&storage, &loaded));
    stand(&store, &loaded).await;
    let db = open_db(&args, &loaded).await?;
    if args.auth {
        make_first_account(&db).await?;
    }
    let metrics = Metrics::new();
    metrics.config_taken_at_ms.set(started_at.0);
    let hub = Hub::new(u64::try_from(started_at.0).unwrap_or(1));
    let queue = Arc::new(Queue::open(&args.data, storage.remote_write_queue_bytes)?);
    let remote = Arc::new(Remote::new(queue, metrics.clone()));
    tasks.start("chores", remote.clone().keep());
    let ingest = Arc::new(Ingest { store: store.clone(), disk: disk.clone(), metrics: metrics.clone(), remote: remote.clone() });
    let alertmanagers = Arc::new(Alertmanagers::new(ingest.clone(), metrics.clone()));
    let (others, reports) = Reports::new(metrics.clone());
    tasks.start("alertmanagers", alertmanagers.clone().hear(reports));
    let (wake, fresh) = (Arc::new(Notify::new()), Arc::new(Fresh::default()));

    let (watch_pulse, outbox_pulse) = (Pulse::new("the watch", STILL), Pulse::new("the outbox", STILL));
    let (tombstones, ended) =
        Tombstones::open(&args.data, started_at).context("cannot read or write silences.ended in the data folder")?;
    let (state, opening) = restore(&db, &loaded, &external_url, ended, started_at).await?;
    let (wanted, _) = broadcast::channel(WANTED_MAX);
    let parts = watch_room::Parts {
        opening,
        last_delivery_id: db.last_delivery_id().await?,
        db: db.clone(),
        hub: hub.clone(),
        others,
        outbox: wake.clone(),
        fresh: fresh.clone(),
        wanted: wanted.clone(),
        metrics: metrics.clone(),
        pulse: watch_pulse.clone(),
        tombstones,
    };
    let (watch, watching) = Watch::new(state, parts);
    tasks.start("watch", watching);

    let (landed, _) = broadcast::channel(LANDED_MAX);
    let scrapes = Scrapes::new(scrapes::Parts {
        ingest: ingest.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        landed: landed.clone(),
        seed: 0,
    });
    let scrapes = Arc::new(scrapes.context("cannot start the thread of the scrapes")?);
    let journeys = Journeys::new(journeys::Parts {
        ingest: ingest.clone(),
        hub: hub.clone(),
        landed: landed.clone(),
        scrapes: scrapes.clone(),
    });
    let journeys = Arc::new(journeys.context("cannot start the thread of the journeys")?);
    let (budget_sender, budget) = watch::channel(loaded.config.limits.memory);
    let (standing_sender, standing) = watch::channel(Standing::default());
    let memory_pulse = Pulse::new("the keeping of memory", STILL);
    let keeper = Keeper {
        store: store.clone(),
        disk: disk.clone(),
        metrics: metrics.clone(),
        budget,
        standing: standing_sender,
        pulse: memory_pulse.clone(),
    };
    tasks.start("chores", keeper.keep());
    let (missing_sender, missing) = watch::channel(0);
    let auditing = auditor::Parts { watch: watch.clone(), db: db.clone(), metrics: metrics.clone(), missing: missing_sender };
    tasks.start("chores", auditor::audit(auditing));
    let own_alerts = OwnAlerts {
        watch: watch.clone(),
        standing: standing.clone(),
        missing: missing.clone(),
        external_url: external_url.clone(),
    };
    tasks.start("chores", own_alerts.tell());
    let rules = Arc::new(Rules::new(rules::Parts {
        store: store.clone(),
        ingest: ingest.clone(),
        watch: watch.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        landed,
        wanted,
        targets: scrapes.targets(),
    }));
    let objectives_pulse = Pulse::new("the count of objectives", STILL);
    let (objectives, counting) = Objectives::new(objectives::Parts {
        db: db.clone(),
        ingest: ingest.clone(),
        watch: watch.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        pulse: objectives_pulse.clone(),
        external_url: external_url.clone(),
    });
    tasks.start("objectives", counting.run(stop.subscribe()));
    let (addressees_sender, addressees) = watch::channel(addressees_of(&loaded));
    let outbox = Outbox {
        db: db.clone(),
        watch: watch.clone(),
        sender: Arc::new(Sender::default()),
        addressees,
        hub: hub.clone(),
        wake,
        fresh,
        metrics: metrics.clone(),
        pulse: outbox_pulse.clone(),
    };
    tasks.start("outbox", outbox.run(stop.subscribe()));
    let chores = Chores {
        db: db.clone(),
        disk: disk.clone(),
        store: store.clone(),
        metrics: metrics.clone(),
        sync_every: storage.sync_every.to_std(),
        trace: (storage.trace_time, storage.trace_bytes),
        merging: merging.clone(),
        opened,
    };
    let mut pulses = chores.start(&mut tasks);
    pulses.extend([watch_pulse, outbox_pulse, objectives_pulse, memory_pulse]);

    let (documents_sender, documents) = watch::channel(documents_of(&loaded));
    let (settings_sender, settings) = watch::channel(Arc::new(loaded.config.act.clone()));
    let acting = Acting::start(
        acting::Parts {
            data: args.data.clone(),
            is_demo: args.platform.is_some(),
            db: db.clone(),
            hub: hub.clone(),
            metrics: metrics.clone(),
            store: store.clone(),
            watch: watch.clone(),
            rules: rules.clone(),
            objectives: objectives.handle(),
            journeys: journeys.clone(),
            external_url: external_url.clone(),
            documents,
            settings,
        },
        &mut tasks,
    )?;

    let (yaml_sender, yaml) = watch::channel(loaded.yaml.clone());
    let options = loaded.config.language.options(&loaded.config.global);
    let (language_sender, language) = watch::channel((loaded.config.language.syntax, options));
    let (routing_sender, routing) = watch::channel(routing_of(&loaded));
    let (reload, reloads) = mpsc::channel(RELOADS_MAX);
    let ready = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::new(
        ingest.clone(),
        scrapes.metadata.clone(),
        storage.remote_out_of_order_window,
        args.remote_write_receiver || loaded.config.tocsin.web.remote_write_receiver,
    );
    let pulses: Arc<[Pulse]> = pulses.into();
    let heartbeats = Heartbeats::new(heartbeats::Parts {
        watch: watch.clone(),
        rules: rules.clone(),
        ready: ready.clone(),
        pulses: pulses.clone(),
        missing,
        metrics: metrics.clone(),
    });
    let front = http::router(Front {
        guard: Arc::new(Guard { db: db.clone(), asks: args.auth, external_url: external_url.clone() }),
        watch: watch.clone(),
        hub: hub.clone(),
        db: db.clone(),
        stored: Stored::new(store.clone(), disk.clone(), db.clone(), metrics.clone(), args.data.clone(), merging),
        queries: Queries::new(store.clone(), language, standing.clone(), metrics.clone()),
        standing,
        receiver,
        rules: rules.clone(),
        objectives: objectives.handle(),
        scrapes: scrapes.clone(),
        alertmanagers: alertmanagers.clone(),
        journeys: journeys.clone(),
        desk: acting.desk.clone(),
        metrics: metrics.clone(),
        ready: ready.clone(),
        pulses,
        reload,
        config: yaml,
        routing,
        platform: args.platform.clone(),
        external_url: external_url.clone(),
        prefix: prefix.clone(),
        started_at,
        retention: retention(&storage),
        retention_bytes: storage.retention_bytes,
    });
    let counted = objectives.handle();
    let live = Live {
        sources: args.sources,
        watch: watch.clone(),
        scrapes,
        remote,
        alertmanagers,
        heartbeats,
        store,
        memory_budget: budget_sender,
        journeys,
        rules: rules.clone(),
        objectives,
        faults: acting.faults.clone(),
        documents: documents_sender,
        settings: settings_sender,
        external_url: external_url.clone(),
        metrics,
        addressees: addressees_sender,
        yaml: yaml_sender,
        language: language_sender,
        routing: routing_sender,
        started_with: loaded.config.clone(),
    };
    live.apply(loaded).await;
    acting.resume().await?;
    drop(router.send_replace(front));
    ready.store(true, Ordering::Release);
    println!("Tocsin is ready: {external_url}");
    let begun = acting.clone();
    let warm = tokio::spawn(async move {
        let warm = async {
            tokio::join!(rules.warm(), counted.warm());
            // Only a watch that has stopped does not take this.
            let _ = watch.event(Event::Warm).await;
        };
        // A group that is evaluated once an hour holds up no alert of the others.
        let late = async {
            tokio::time::sleep(TRIGGERS_WAIT).await;
            begun.open();
        };
        tokio::join!(
            async {
                warm.await;
                begun.open();
            },
            late
        );
    });
    Ok(Service { tasks, live, reloads, hub, ready, stop, room, warm, acting, db, disk })
}
