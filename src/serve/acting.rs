//! The half that acts: the desk with its means, the proxies, and the triggers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use tocsin_core::run::settings::Settings;
use tocsin_core::store::Store;
use tokio::sync::{mpsc, watch};

use super::tasks::Tasks;
use crate::act::desk::{CALLS_MAX, Desk, Documents};
use crate::act::facts::Facts;
use crate::act::fault::{Faults, ProxySetting};
use crate::act::runner;
use crate::act::step::canary::{self, Canaries};
use crate::act::step::journey::Look;
use crate::act::step::{self, Means};
use crate::act::triggers;
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::Db;
use crate::pipeline::hub::Hub;
use crate::pipeline::journeys::Journeys;
use crate::pipeline::objectives::Handle;
use crate::pipeline::rules::Rules;
use crate::pipeline::watch::Watch;
use crate::telemetry::Metrics;

/// The kernel's name for our own program, which holds good when its file has been replaced.
const PROGRAM: &str = "/proc/self/exe";

/// What acting builds upon.
pub struct Parts {
    pub data: PathBuf,
    /// Nothing is left behind: proxies end with us.
    pub is_demo: bool,
    pub db: Db,
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub store: Arc<Store>,
    pub watch: Watch,
    pub rules: Arc<Rules>,
    pub objectives: Handle,
    pub journeys: Arc<Journeys>,
    pub external_url: String,
    pub documents: watch::Receiver<Documents>,
    pub settings: watch::Receiver<Arc<Settings>>,
}

#[derive(Clone)]
pub struct Acting {
    pub desk: Desk,
    pub faults: Arc<Faults>,
    means: Arc<Means>,
    /// True once runs of an earlier life are at work, which is when schedules may begin others.
    is_resumed: Arc<watch::Sender<bool>>,
    /// True once what alerts say can be believed.
    is_open: Arc<watch::Sender<bool>>,
}

impl Acting {
    /// Makes the desk and starts what feeds it. Nothing runs before `resume`, nothing is triggered before `open`.
    ///
    /// Errors: a folder that cannot be made.
    pub fn start(parts: Parts, tasks: &mut Tasks) -> anyhow::Result<Acting> {
        let faults = Faults::new(parts.data.join("faults")).context("cannot make the folder of faults")?;
        let faults = Arc::new(if parts.is_demo { faults.tied().context("cannot look at this process")? } else { faults });
        // Programs work elsewhere, so the way there must not depend on where we are.
        let data = parts.data.canonicalize().with_context(|| format!("cannot find {}", parts.data.display()))?;
        let folder = data.join("programs");
        make_passable(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        step::sweep(&folder, clock::now());
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let journeys = parts.journeys;
        let means = Arc::new(Means {
            settings: parts.settings,
            folder,
            program: PROGRAM.into(),
            store: parts.store,
            watch: parts.watch.clone(),
            db: parts.db.clone(),
            faults: faults.clone(),
            canaries: Canaries::default(),
            looks: Box::new(move |name, from| {
                let attempts = journeys.since(name, from)?;
                Some(attempts.into_iter().map(|attempt| Look { began: attempt.began, ok: attempt.ok }).collect())
            }),
            calls,
            external_url: parts.external_url,
            leaving: AtomicBool::new(false),
        });
        let facts = Facts {
            db: parts.db.clone(),
            watch: parts.watch.clone(),
            rules: parts.rules,
            means: means.clone(),
            objectives: parts.objectives,
            kill_file: data.join("kill-switch"),
        };
        let hub = parts.hub.clone();
        let desk = Desk::new(
            Arc::new(runner::Parts {
                db: parts.db,
                hub: hub.clone(),
                metrics: parts.metrics,
                means: means.clone(),
                facts,
                gate: Arc::default(),
            }),
            parts.documents,
        );
        let (is_resumed, is_open) = (Arc::new(watch::Sender::new(false)), Arc::new(watch::Sender::new(false)));
        tasks.start("calls", desk.clone().serve_calls(called));
        tasks.start("kill switch", desk.clone().watch_kill_switches());
        let proxies = faults.clone();
        tasks.start("proxies", async move { proxies.proxies.keep_running().await });
        let (alerts, opened) = (desk.clone(), is_open.subscribe());
        tasks.start("triggers", after(opened, triggers::watch_alerts(alerts, parts.watch, hub)));
        tasks.start("triggers", after(is_resumed.subscribe(), triggers::watch_schedules(desk.clone())));
        tasks.start("triggers", after(is_resumed.subscribe(), triggers::watch_cadences(desk.clone())));
        Ok(Acting { desk, faults, means, is_resumed, is_open })
    }

    /// Goes on with the runs of an earlier life. Faults that belong to none of them end at once.
    ///
    /// Errors: the database says nothing.
    pub async fn resume(&self) -> anyhow::Result<()> {
        let parts = self.desk.parts();
        let open: BTreeSet<String> =
            parts.db.open_runs().await.context("cannot read the runs that are open")?.into_iter().map(|run| run.id).collect();
        for fault in self.faults.standing().await {
            let run = fault.tag.split('/').next().unwrap_or_default();
            if open.contains(run) {
                continue;
            }
            tracing::warn!(tag = fault.tag, kind = fault.kind, "a fault stands that belongs to no run; ending it");
            if let Err(error) = self.faults.end(&fault).await {
                tracing::error!(tag = fault.tag, error = with_causes(&error), "cannot end a fault; it ends by its own clock");
            }
        }
        canary::resume(&self.means).await;
        self.desk.resume().await.context("cannot read the runs that are open")?;
        self.is_resumed.send_replace(true);
        Ok(())
    }

    /// Lets alerts begin runs.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Ends the work at runs, which the next life goes on with, and the faults that stand. Proxies relay on: users' traffic flows
    /// through them.
    pub async fn stop(&self) {
        self.desk.close();
        for fault in self.faults.standing().await {
            if let Err(error) = self.faults.end(&fault).await {
                tracing::error!(tag = fault.tag, error = with_causes(&error), "cannot end a fault; it ends by its own clock");
            }
        }
    }
}

/// Has exactly the proxies of the configuration run.
pub async fn set_proxies(faults: &Faults, settings: &Settings) {
    let wanted: Vec<ProxySetting> = settings
        .proxies
        .iter()
        .map(|proxy| ProxySetting { name: proxy.name.clone(), listen: proxy.listen.clone(), upstream: proxy.upstream.clone() })
        .collect();
    for error in faults.proxies.replace(&wanted).await {
        tracing::error!(error = with_causes(&error), "a proxy is not as the configuration has it");
    }
}

async fn after(mut opened: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    // Its sender lives as long as the service.
    if opened.wait_for(|open| *open).await.is_ok() {
        work.await;
    }
}

/// Makes a folder that others may pass through, as the user of a program must, and may not look into.
fn make_passable(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)
}
