//! The reload: a configuration that is sound goes into force whole, any other one changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_core::config::{Config, Limits, MemoryBudget, RetentionClass, Storage};
use tocsin_core::ledger::Outward;
use tocsin_core::model::Matcher;
use tocsin_core::plane::Event;
use tocsin_core::problem::{Position, Problem, Severity};
use tocsin_core::promql::evaluate::Options;
use tocsin_core::promql::parse::Syntax;
use tocsin_core::route::receiver::Receiver;
use tocsin_core::route::tree::{Route, Routing};
use tocsin_core::rule::{Environment, named};
use tocsin_core::run::settings::Settings;
use tocsin_core::store::{Class, Classes, EXEMPLARS_MAX, SERIES_MAX, SeriesLimits, Store};
use tokio::sync::watch;
use tracing::warn;

use super::acting::set_proxies;
use super::{lines, open};
use crate::act::desk::Documents;
use crate::act::fault::Faults;
use crate::clock;
use crate::config::{Loaded, Sources, load};
use crate::http::alertmanager::{Receivers, RoutingView};
use crate::pipeline::alertmanagers::Alertmanagers;
use crate::pipeline::heartbeats::Heartbeats;
use crate::pipeline::journeys::Journeys;
use crate::pipeline::objectives::Objectives;
use crate::pipeline::outbox::Addressees;
use crate::pipeline::remote::Remote;
use crate::pipeline::rules::{self, Rules};
use crate::pipeline::scrapes::Scrapes;
use crate::pipeline::watch::Watch;
use crate::telemetry::Metrics;
use crate::telemetry::notifications::Size;

/// The parts that a reload reaches.
pub struct Live {
    pub sources: Sources,
    pub watch: Watch,
    pub scrapes: Arc<Scrapes>,
    pub remote: Arc<Remote>,
    pub alertmanagers: Arc<Alertmanagers>,
    pub heartbeats: Heartbeats,
    pub store: Arc<Store>,
    pub memory_budget: watch::Sender<MemoryBudget>,
    pub journeys: Arc<Journeys>,
    pub rules: Arc<Rules>,
    pub objectives: Objectives,
    pub faults: Arc<Faults>,
    pub documents: watch::Sender<Documents>,
    pub settings: watch::Sender<Arc<Settings>>,
    pub external_url: String,
    pub metrics: Arc<Metrics>,
    pub addressees: watch::Sender<Addressees>,
    pub yaml: watch::Sender<Arc<str>>,
    /// What queries may say, and how they are evaluated.
    pub language: watch::Sender<(Syntax, Options)>,
    pub routing: watch::Sender<RoutingView>,
    /// The configuration of the start, some keys of which hold until the stop.
    pub started_with: Config,
}

pub fn addressees_of(loaded: &Loaded) -> Addressees {
    let receivers: BTreeMap<String, Receiver> = loaded.config.routing.receivers.clone();
    Addressees { receivers: Arc::new(receivers), templates: loaded.templates.clone() }
}

/// Returns how long samples stay.
pub fn classes(storage: &Storage, loaded: &Loaded) -> Classes {
    let (default, retention) = (open::retention(storage), &loaded.config.retention);
    let class = |class: &RetentionClass| Class { selectors: class.selectors.clone(), keep: class.keep };
    let mut classes: Vec<Class> = retention.classes.iter().map(class).collect();
    if let Some(keep) = retention.of_rules {
        classes.push(Class { selectors: named_by(loaded), keep: keep.max(default) });
    }
    Classes::new(default, classes)
}

/// Returns selectors of what rules and objectives read or write.
fn named_by(loaded: &Loaded) -> Vec<Vec<Matcher>> {
    let read = loaded.objectives.iter().flat_map(|objective| objective.selectors());
    named::named(&loaded.groups).into_iter().chain(read.map(<[Matcher]>::to_vec)).collect()
}

/// Has the store know at all times which series rules and objectives read.
pub async fn stand(store: &Arc<Store>, loaded: &Loaded) {
    let (store, selectors) = (store.clone(), named_by(loaded));
    let stood = tokio::task::spawn_blocking(move || store.stand(selectors)).await;
    match stood {
        Ok(0) => {}
        Ok(left_out) => warn!(left_out, "rules name more selectors than the store follows; the others are looked up each time"),
        Err(error) => warn!(%error, "the store does not follow what rules read"),
    }
}

fn series_limits(limits: Limits) -> SeriesLimits {
    SeriesLimits {
        series: limits.series.unwrap_or(SERIES_MAX),
        per_metric: limits.metric_series,
        of_metric: limits.series_of_metric,
    }
}

pub fn documents_of(loaded: &Loaded) -> Documents {
    Arc::new(loaded.documents.clone())
}

pub fn routing_of(loaded: &Loaded) -> RoutingView {
    RoutingView {
        yaml: loaded.routing_yaml.clone(),
        receivers: Arc::new(Receivers::new(&loaded.config.routing.receivers)),
        matchers: loaded.config.matchers,
    }
}

/// Returns how much of a routing is in use: receivers that no route leads to do not count.
fn size_of(routing: &Routing) -> Size {
    fn used<'r>(route: &'r Route, names: &mut BTreeSet<&'r str>) {
        names.insert(&route.receiver);
        route.routes.iter().for_each(|child| used(child, names));
    }
    let mut names = BTreeSet::new();
    used(&routing.root, &mut names);
    let receivers = names.iter().filter_map(|name| routing.receivers.get(*name));
    Size {
        integrations: receivers.map(|receiver| receiver.integrations.len()).sum(),
        receivers: names.len(),
        inhibition_rules: routing.inhibitions.len(),
    }
}

impl Live {
    /// Reads the configuration anew and puts it into force; returns its warnings.
    ///
    /// Errors: every problem of a configuration that cannot be used; the old one stays.
    pub async fn reload(&self) -> Result<Vec<Problem>, Vec<Problem>> {
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || load(&sources)).await;
        let read = read.unwrap_or_else(|error| {
            let message = format!("reading the configuration ended in a fault of the program: {error}");
            Err(vec![self.problem(Severity::Error, "", message)])
        });
        match read {
            Ok(loaded) => {
                let mut warnings = loaded.warnings.clone();
                warnings.extend(loaded.config.held_since(&self.started_with).into_iter().map(|key| {
                    let message = "this has changed since the start; restart the service to use it".to_owned();
                    self.problem(Severity::Warning, key, message)
                }));
                self.apply(loaded).await;
                tracing::info!("the configuration was reloaded");
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
                Ok(warnings)
            }
            Err(problems) => {
                self.metrics.config_reload_successful.set(0);
                self.metrics.notifications.config_successful.set(0);
                tracing::error!("the new configuration cannot be used, the old one stays\n{}", lines(&problems));
                Err(problems)
            }
        }
    }

    fn problem(&self, severity: Severity, key: &str, message: String) -> Problem {
        Problem {
            severity,
            file: self.sources.config.display().to_string().into(),
            position: Position { line: 1, column: 1 },
            key: key.to_owned(),
            message,
        }
    }

    /// Puts a configuration into force, whole.
    pub async fn apply(&self, loaded: Loaded) {
        self.addressees.send_replace(addressees_of(&loaded));
        // The retention itself holds until the stop.
        self.store.keep_by(classes(&self.started_with.storage, &loaded));
        stand(&self.store, &loaded).await;
        self.yaml.send_replace(loaded.yaml.clone());
        self.routing.send_replace(routing_of(&loaded));
        self.settings.send_replace(Arc::new(loaded.config.act.clone()));
        self.documents.send_replace(documents_of(&loaded));
        let size = size_of(&loaded.config.routing);
        self.metrics.notifications.configured(&loaded.routing_yaml, size, clock::now());
        let Loaded { config, groups, objectives, .. } = loaded;
        // Routing first: alerts of new rules must meet the routes that were written for them.
        if self.watch.event(Event::Reload(Arc::new(config.routing))).await.is_err() {
            return;
        }
        let options = config.language.options(&config.global);
        self.language.send_replace((config.language.syntax, options.clone()));
        let settings = rules::Settings {
            options,
            environment: Environment {
                external_labels: config.global.external_labels.clone(),
                external_url: self.external_url.clone(),
                syntax: config.language.syntax,
                ..Environment::default()
            },
            outward: Outward {
                external_labels: config.global.external_labels,
                relabel: config.alert_relabel,
                others: !config.alertmanagers.is_empty(),
            },
        };
        // Before the rules, so that what these bring first is told.
        self.alertmanagers.replace(config.alertmanagers);
        self.heartbeats.replace(config.heartbeats);
        // Before the rules, so that none that is gone is judged once its alerts have ended.
        let judged_elsewhere = self.objectives.replace(objectives, settings.options.clone()).await;
        self.rules.replace(groups, judged_elsewhere, &settings).await;
        // Before the first scrape, so that none goes beyond them.
        self.memory_budget.send_if_modified(|budget| std::mem::replace(budget, config.limits.memory) != config.limits.memory);
        self.store.limit_series(series_limits(config.limits));
        // Before the first scrape, so that none is missing there.
        self.remote.replace(config.remote_write, &self.scrapes.metadata).await;
        self.scrapes.keep_exemplars(config.storage.exemplars_max.unwrap_or(EXEMPLARS_MAX));
        self.scrapes.replace(config.jobs).await;
        self.scrapes.collects.replace(config.cloudwatch, config.atlas).await;
        set_proxies(&self.faults, &config.act).await;
        self.journeys.replace(config.journeys).await;
        self.metrics.config_reload_successful.set(1);
        self.metrics.config_taken_at_ms.set(clock::now().0);
    }
}
