//! Configuration: one file that is a prometheus.yml, an alertmanager.yml, or both, and our own keys.
//!
//! Nothing here reads files: the edge asks `referenced_files` what else to load, and `Config` names what is loaded later.

mod act;
mod alerting;
mod atlas;
mod client;
mod cloudwatch;
mod discovery;
mod flapping;
mod global;
mod heartbeats;
mod intervals;
mod job;
mod journeys;
mod masked;
mod place;
mod receivers;
mod relabel;
mod remote;
mod routing;
mod sections;
mod sigv4;
mod silences;
mod source;
mod storage;

use crate::alertmanagers::Entry;
use crate::heartbeat::Heartbeat;
use crate::journey::Journey;
use crate::model::relabel::RelabelRule;
use crate::problem::{Problem, has_errors};
use crate::remote::send::Endpoint;
use crate::route::matchers::Mode;
use crate::route::tree::Routing;
use crate::scrape::job::Job;
use crate::yaml::{self, Problems, Table};

use place::Folder;

pub use global::Global;
pub use masked::{masked, masked_routing, without_password};
pub use place::{check_url, path_of, pattern_matches, route_prefix};
pub use sections::{Language, Tocsin, Web, database_fault};
pub use storage::{Limits, MemoryBudget, Retention, RetentionClass, Storage};

/// A file as the edge read it. Paths in it are relative to the folder in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// A configuration without errors. All paths are as the edge can open them.
#[derive(Clone, Debug)]
pub struct Config {
    pub global: Global,
    pub jobs: Vec<Job>,
    /// Sources that are asked over an API: Amazon CloudWatch, and MongoDB Atlas.
    pub cloudwatch: Vec<crate::cloudwatch::Source>,
    pub atlas: Vec<crate::atlas::Source>,
    /// Watchers outside that hear from us as long as we are well.
    pub heartbeats: Vec<Heartbeat>,
    /// What users do, tried from outside.
    pub journeys: Vec<Journey>,
    /// Paths, each with at most one pattern, in its last part.
    pub rule_files: Vec<String>,
    /// Paths or patterns of OpenSLO files; what one names may stand in another.
    pub slo_files: Vec<String>,
    /// Paths or patterns of runbooks, experiments and drills.
    pub runbook_files: Vec<String>,
    /// What these may act upon.
    pub act: crate::run::settings::Settings,
    /// Paths or patterns of files with more `scrape_configs`; hand each to `add_scrape_file`.
    pub scrape_config_files: Vec<String>,
    pub routing: Routing,
    /// How matchers of routes, and those that clients send, are read.
    pub matchers: Mode,
    /// Paths or patterns of notification templates.
    pub templates: Vec<String>,
    /// What happens to the labels of our own alerts before they are routed.
    pub alert_relabel: Vec<RelabelRule>,
    /// Other Alertmanagers that our own alerts are sent to.
    pub alertmanagers: Vec<Entry>,
    /// Other servers that samples are sent to.
    pub remote_write: Vec<Endpoint>,
    pub storage: Storage,
    pub limits: Limits,
    pub retention: Retention,
    pub language: Language,
    pub tocsin: Tocsin,
    job_names: job::Names,
}

/// Files that must be loaded before the main file can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferencedFiles {
    /// What `alertmanager_config` names.
    pub alertmanager: Option<String>,
}

/// Returns which files `read` needs beside the main file; faults are left to `read`.
pub fn referenced_files(main: &File) -> ReferencedFiles {
    let node = yaml::parse(&main.name, &main.text).0;
    let path = node.as_ref().and_then(|node| node.get(ALERTMANAGER_CONFIG)).and_then(yaml::Node::text);
    let folder = Folder::of(&main.name);
    ReferencedFiles { alertmanager: path.filter(|path| !path.is_empty()).map(|path| folder.join(path)) }
}

const ALERTMANAGER_CONFIG: &str = "alertmanager_config";
const ROUTING_KEYS: [&str; 6] = ["route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals", "templates"];

/// Reads a configuration.
///
/// `alertmanager` is the file that `alertmanager_config` names. `environment` answers for variables in `external_labels`.
/// Shape: no configuration when any problem is an error; the problems of the main file come first, each file's by place.
pub fn read(
    main: &File,
    alertmanager: Option<&File>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Option<Config>, Vec<Problem>) {
    let (node, mut problems) = yaml::parse(&main.name, &main.text);
    let collected = Problems::new(&main.name);
    let mut config = node.map(|node| {
        let mut table = Table::new(&node, "", &collected);
        let config = read_main(&mut table, main, alertmanager.is_some(), environment);
        table.finish();
        config
    });
    problems.extend(collected.into_vec());
    problems.sort_by_key(|problem| problem.position);
    if let Some(file) = alertmanager {
        let (routing, found) = read_alertmanager(file, config.as_ref().map_or(Mode::Fallback, |config| config.matchers));
        problems.extend(found);
        match (&mut config, routing) {
            (Some(config), Some((routing, templates))) => {
                // The file of Alertmanager does not know our own keys.
                let silencing = std::mem::take(&mut config.routing.silencing);
                config.routing = Routing { flapping: config.routing.flapping, silencing, ..routing };
                config.templates = templates;
            }
            (config, _) => *config = None,
        }
    }
    (config.filter(|_| !has_errors(&problems)), problems)
}

fn read_main(
    table: &mut Table<'_, '_>,
    file: &File,
    has_alertmanager: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Config {
    let folder = Folder::of(&file.name);
    let (global, defaults) = match table.table("global") {
        None => (Global::default(), receivers::Defaults::default()),
        Some(mut table) => {
            let both = (global::read(&mut table, environment), receivers::defaults(&mut table, &folder));
            table.finish();
            both
        }
    };
    if let Some(value) = table.value(ALERTMANAGER_CONFIG) {
        value.text();
        if let Some(key) = ROUTING_KEYS.into_iter().find(|key| table.has(key)) {
            value.error(format!(
                "{key} stands here and routing is in another file too; move {key} there, or remove {ALERTMANAGER_CONFIG}"
            ));
        } else if !has_alertmanager {
            value.error("the file cannot be read; check its path and permissions");
        }
    }
    let mut job_names = job::Names::new();
    let (storage, limits, retention) = storage::read(table);
    let matchers = sections::matchers(table);
    let is_routed = has_alertmanager || table.has("route");
    let alerting = alerting::read(table, &folder, global.classic_names_only, is_routed);
    let config = Config {
        jobs: job::read(table, &global, &folder, &file.name, &mut job_names),
        cloudwatch: cloudwatch::read(table, &folder, &file.name, &mut job_names),
        atlas: atlas::read(table, &folder, &file.name, &mut job_names),
        heartbeats: heartbeats::read(table, &folder),
        journeys: journeys::read(table, &folder),
        rule_files: paths(table, "rule_files", "rule", &folder),
        slo_files: paths(table, "slo_files", "slo", &folder),
        runbook_files: paths(table, "runbook_files", "runbook", &folder),
        act: act::read(table, &folder),
        scrape_config_files: paths(table, "scrape_config_files", "scrape config", &folder),
        routing: Routing {
            flapping: flapping::read(table),
            silencing: silences::read(table, matchers),
            ..routing::read(table, &defaults, &folder, matchers)
        },
        matchers,
        templates: templates(table, &folder),
        alert_relabel: alerting.relabel,
        alertmanagers: alerting.alertmanagers,
        remote_write: remote::write(table, &folder, &global),
        storage,
        limits,
        retention,
        language: sections::language(table),
        tocsin: sections::tocsin(table, &folder),
        job_names,
        global,
    };
    remote::read(table, &folder);
    sections::tracing(table, &folder);
    sections::otlp(table, config.global.classic_names_only);
    sections::runtime(table);
    config
}

fn read_alertmanager(file: &File, mode: Mode) -> (Option<(Routing, Vec<String>)>, Vec<Problem>) {
    let (node, mut problems) = yaml::parse(&file.name, &file.text);
    let collected = Problems::new(&file.name);
    let folder = Folder::of(&file.name);
    let routing = node.map(|node| {
        let mut table = Table::new(&node, "", &collected);
        let defaults = match table.table("global") {
            None => receivers::Defaults::default(),
            Some(mut table) => {
                let defaults = receivers::defaults(&mut table, &folder);
                table.finish();
                defaults
            }
        };
        let routing = (routing::read(&mut table, &defaults, &folder, mode), templates(&mut table, &folder));
        sections::tracing(&mut table, &folder);
        table.finish();
        routing
    });
    problems.extend(collected.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (routing, problems)
}

fn paths(table: &mut Table<'_, '_>, key: &'static str, what: &str, folder: &Folder) -> Vec<String> {
    let mut paths = Vec::new();
    for value in table.list(key) {
        let Some(path) = value.text() else { continue };
        if !place::is_pattern_at_end(&path) {
            value.error(format!("invalid {what} file path {path:?}; * may stand in the file's name only"));
        }
        paths.push(folder.join(&path));
    }
    paths
}

fn templates(table: &mut Table<'_, '_>, folder: &Folder) -> Vec<String> {
    table.texts("templates").iter().map(|path| folder.join(path)).collect()
}

impl Config {
    /// Returns the keys that only a start takes into use and that are not as they were at the start.
    pub fn held_since(&self, start: &Config) -> Vec<&'static str> {
        let changed = [
            ("web", self.tocsin.web != start.tocsin.web),
            ("database", self.tocsin.database != start.tocsin.database),
            // How many exemplars are kept can be changed at any time.
            ("storage", Storage { exemplars_max: start.storage.exemplars_max, ..self.storage } != start.storage),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// Adds the jobs of a file that `scrape_config_files` names.
    ///
    /// Errors: the problems of that file, also a job's name that stood before; then nothing of the file is added.
    pub fn add_scrape_file(&mut self, file: &File) -> Vec<Problem> {
        let (node, mut problems) = yaml::parse(&file.name, &file.text);
        let collected = Problems::new(&file.name);
        let mut names = self.job_names.clone();
        let jobs = node.map(|node| {
            let mut table = Table::new(&node, "", &collected);
            let jobs = job::read(&mut table, &self.global, &Folder::of(&file.name), &file.name, &mut names);
            table.finish();
            jobs
        });
        problems.extend(collected.into_vec());
        problems.sort_by_key(|problem| problem.position);
        if !has_errors(&problems) {
            self.jobs.extend(jobs.unwrap_or_default());
            self.job_names = names;
        }
        problems
    }
}
