//! The means of a service, made from a configuration as people write it, and requests to carry out with them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tocsin::act::fault::Faults;
use tocsin::act::step::call::CallAsk;
use tocsin::act::step::canary::Canaries;
use tocsin::act::step::journey::Look;
use tocsin::act::step::{About, Issue, Means, carry_out};
use tocsin::clock;
use tocsin::config::{Sources, load};
use tocsin::db::Db;
use tocsin::pipeline::alertmanagers::Reports;
use tocsin::pipeline::hub::Hub;
use tocsin::pipeline::pulse::Pulse;
use tocsin::pipeline::tombstones::Tombstones;
use tocsin::pipeline::watch::{Parts, Watch};
use tocsin::telemetry::Metrics;
use tocsin_core::ledger::{Alerting, Ledger};
use tocsin_core::plane::{Plane, Records};
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::plan::{Capture, Redact};
use tocsin_core::run::record::{AttemptKey, Phase};
use tocsin_core::run::request::Request;
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{mpsc, watch as channel};

use crate::harness::http;

pub struct Stage {
    pub means: Arc<Means>,
    /// Removed with the stage.
    _folder: TempDir,
    pub calls: mpsc::Receiver<CallAsk>,
    /// What the journey `shop` has seen.
    pub looks: Arc<Mutex<Vec<Look>>>,
}

const ROUTING: &str = "route: {receiver: desk, group_wait: 0s, group_by: [alertname]}\nreceivers: [{name: desk, inbox_configs: [{}]}, {name: night, inbox_configs: [{}]}]\n";

/// Returns the word of an answer that is one.
pub fn answer(outcome: Outcome) -> serde_json::Value {
    match outcome {
        Outcome::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

#[track_caller]
pub fn assert_not_done(outcome: &Outcome, why: &str) {
    match outcome {
        Outcome::NotDone(said) if said.contains(why) => {}
        other => panic!("expected that it was not done because {why:?}: {other:?}"),
    }
}

#[track_caller]
pub fn assert_unknown(outcome: &Outcome, why: &str) {
    match outcome {
        Outcome::Unknown(said) if said.contains(why) => {}
        other => panic!("expected that nobody knows because {why:?}: {other:?}"),
    }
}

/// Makes a folder that other users may pass through.
pub fn open_folder() -> TempDir {
    let folder = TempDir::with_prefix("tocsin-act-").expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    folder
}

/// Writes a program that anybody may run; returns its path.
pub fn program(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder takes files");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the file is ours");
    path.display().to_string()
}

impl Stage {
    /// `act` is what stands under that key, in the flow style of YAML.
    pub async fn new(act: &str) -> Stage {
        Stage::within(open_folder(), act).await
    }

    pub async fn within(folder: TempDir, act: &str) -> Stage {
        let _ = http();
        let config = folder.path().join("tocsin.yml");
        std::fs::write(&config, format!("{ROUTING}act: {act}\n")).expect("the folder takes files");
        let loaded = load(&Sources { config, alertmanager: None }).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        });
        let db = Db::open_sqlite(&folder.path().join("tocsin.db")).await.expect("a database");
        let plane = Plane::restore(Arc::new(loaded.config.routing.clone()), "http://tocsin.test", Records::default());
        let parts = Parts {
            db: db.clone(),
            hub: Hub::new(1),
            others: Reports::new(Metrics::new()).0,
            outbox: Arc::default(),
            fresh: Arc::default(),
            wanted: tokio::sync::broadcast::channel(1).0,
            metrics: Metrics::new(),
            last_delivery_id: 0,
            pulse: Pulse::new("the watch", std::time::Duration::from_secs(600)),
            tombstones: Tombstones::open(folder.path(), tocsin::clock::now()).expect("a folder").0,
            opening: Vec::new(),
        };
        let (watch, watching) = Watch::new(Alerting { plane, ledger: Ledger::default() }, parts);
        tokio::spawn(watching);
        watch.event(tocsin_core::plane::Event::Warm).await.expect("a watch").expect("it is warm");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_tocsin"));
        let (settings_sender, settings) = channel::channel(Arc::new(loaded.config.act.clone()));
        // The configuration does not change.
        std::mem::forget(settings_sender);
        let (calls_sender, calls) = mpsc::channel(8);
        let looks: Arc<Mutex<Vec<Look>>> = Arc::default();
        let seen = looks.clone();
        let means = Means {
            settings,
            folder: folder.path().join("steps"),
            program: program.clone(),
            store: Arc::new(Store::new(StoreOptions::default())),
            watch,
            db,
            faults: Arc::new(Faults::with_program(folder.path().join("faults"), program).expect("a folder for faults")),
            canaries: Canaries::default(),
            looks: Box::new(move |journey, since| {
                let looks = seen.lock().expect("nobody panics with it");
                (journey == "shop").then(|| looks.iter().filter(|look| look.began >= since).copied().collect())
            }),
            calls: calls_sender,
            external_url: "http://tocsin.test".to_owned(),
            leaving: AtomicBool::new(false),
        };
        Stage { means: Arc::new(means), _folder: folder, calls, looks }
    }

    pub async fn carry_out(&self, request: Request, timeout: Span) -> Outcome {
        carry_out(&self.means, &issue(request, timeout), async |_| {}).await
    }
}

/// Returns an issue of a request as a run would have it.
pub fn issue(request: Request, timeout: Span) -> Issue {
    Issue {
        run_id: "run-1".to_owned(),
        about: About { platform: "shop".to_owned(), document: "shop-restart".to_owned(), slug: "incident".to_owned() },
        key: AttemptKey { step: "one".to_owned(), target: String::new(), phase: Phase::Do, attempt: 1 },
        idem_key: "run-1/one/g1".to_owned(),
        request,
        timeout,
        before: clock::now() + Span::from_mins(10),
        capture: Capture { max_bytes: 4_000, redact: vec![Redact::Secrets, Redact::Pii] },
        goes_on: Default::default(),
    }
}

pub fn exec(program: &str, arguments: &[&str]) -> Request {
    let argv = std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect();
    Request::Exec { program: program.to_owned(), sha256: None, argv, env: BTreeMap::from([("LEVEL".to_owned(), "7".to_owned())]) }
}

pub const LONG: Span = Span::from_secs(60);

/// An instant that has passed.
pub fn passed() -> Timestamp {
    clock::now() - Span::from_secs(1)
}
