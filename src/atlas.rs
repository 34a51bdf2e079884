//! MongoDB Atlas: one collection of one project's measurements. What to ask for, and what the answers mean, core decides.

mod api;

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::atlas::{Level, Process, Source, Subject, answer, name, plan};
use tocsin_core::collect::{Gathered, must_list, named};
use tocsin_core::model::LabelSet;
use tocsin_core::time::{Span, Timestamp};

use crate::client::answer::with_causes;
use crate::clock;
use api::{Api, ApiError};

/// Things to measure in one project: processes, disks and databases.
const SUBJECTS_MAX: usize = 10_000;

/// Collects the measurements of one project.
pub struct Collector {
    source: Arc<Source>,
    project: String,
    /// What the series of the report have.
    own: LabelSet,
    api: Api,
    processes: Vec<Process>,
    /// Names of disks and databases, by process.
    parts: BTreeMap<(String, Level), Vec<String>>,
    listed_at: Option<Timestamp>,
    succeeded_at: Option<Timestamp>,
    /// Where the next collection begins, so that one that runs out of time leaves out others than the last one did.
    first: usize,
    asked: u64,
    left_out: usize,
}

impl Collector {
    /// `own` are the labels under which the source itself is known: job, instance, and those of the configuration.
    pub fn new(source: Arc<Source>, project: &str, own: LabelSet) -> Collector {
        Collector {
            api: Api::new(source.clone()),
            source,
            project: project.to_owned(),
            own,
            processes: Vec::new(),
            parts: BTreeMap::new(),
            listed_at: None,
            succeeded_at: None,
            first: 0,
            asked: 0,
            left_out: 0,
        }
    }

    /// Returns where a project is asked.
    pub fn url(source: &Source, project: &str) -> String {
        let path = plan::list(project, None, 1);
        format!("{}{}", source.base_url, path.split('?').next().unwrap_or_default())
    }

    /// Asks for everything once, within the source's timeout.
    pub async fn collect(&mut self) -> Gathered {
        let now = clock::now();
        let mut gathered = Gathered::default();
        let timeout = self.source.timeout;
        match tokio::time::timeout(timeout.to_std(), self.gather(now, &mut gathered)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => gathered.fail(with_causes(&error)),
            Err(_) => gathered.run_out(timeout, self.api.trouble.take()),
        }
        if gathered.error.is_none() {
            self.succeeded_at = Some(now);
        }
        gathered.facts = self.facts();
        gathered
    }

    /// Returns what the series of a project have in common.
    fn common(&self) -> LabelSet {
        let mut labels = self.own.builder();
        labels.remove("instance").set("project_id", &self.project);
        labels.build()
    }

    fn facts(&self) -> Vec<(LabelSet, f64)> {
        let count = |name: &str, value: f64| (named(&self.own, name), value);
        let mut facts = vec![
            count("mongodbatlas_requests_total", self.api.requests as f64),
            count("mongodbatlas_measurements_requested_total", self.asked as f64),
            count("mongodbatlas_subjects_left_out", self.left_out as f64),
        ];
        let common = self.common();
        let wanted = self.processes.iter().filter(|process| self.source.wants(process));
        facts.extend(wanted.map(|process| (name::info(process, &common), 1.0)));
        facts
    }

    async fn gather(&mut self, now: Timestamp, gathered: &mut Gathered) -> Result<(), ApiError> {
        if must_list(self.listed_at, self.source.discovery_interval, now) {
            match self.list().await {
                Ok((processes, parts)) => (self.processes, self.parts, self.listed_at) = (processes, parts, Some(now)),
                // What was found before is still worth asking for.
                Err(error) if self.listed_at.is_some() && !error.is_about_credentials() => gathered.fail(with_causes(&error)),
                Err(error) => return Err(error),
            }
        }
        let parts = |process: &Process, level: Level| self.parts.get(&(process.id.clone(), level)).cloned().unwrap_or_default();
        let mut subjects = plan::subjects(&self.source, &self.processes, &parts);
        self.left_out = subjects.len().saturating_sub(SUBJECTS_MAX);
        subjects.truncate(SUBJECTS_MAX);
        if !subjects.is_empty() {
            let first = self.first % subjects.len();
            subjects.rotate_left(first);
        }
        let back = now.since(self.source.reach.start(now, self.succeeded_at));
        let common = self.common();
        for subject in &subjects {
            match self.read(subject, back, &common).await {
                Ok(series) => gathered.series.extend(series),
                // A subject that is refused, such as a disk that has gone, says nothing about the others.
                Err(error) if error.is_about_this_request() => gathered.fail(with_causes(&error)),
                Err(error) => return Err(error),
            }
            self.first = self.first.wrapping_add(1);
        }
        Ok(())
    }

    async fn read(
        &mut self,
        subject: &Subject,
        back: Span,
        common: &LabelSet,
    ) -> Result<Vec<tocsin_core::model::Series>, ApiError> {
        self.asked += 1;
        let path = plan::measurements(&self.source, &self.project, subject, back);
        let answer = self.api.get("measurements", &path).await?;
        Ok(answer::series(&answer, subject, common)?)
    }

    #[allow(clippy::type_complexity, reason = "the two lists of a project are told together")]
    async fn list(&mut self) -> Result<(Vec<Process>, BTreeMap<(String, Level), Vec<String>>), ApiError> {
        let mut processes = Vec::new();
        for page in 1..=plan::PAGES_MAX {
            let (found, more) = answer::processes(&self.api.get("processes", &plan::list(&self.project, None, page)).await?)?;
            processes.extend(found);
            if !more {
                break;
            }
        }
        let mut parts = BTreeMap::new();
        let levels: Vec<Level> = self.source.levels.keys().copied().filter(|level| *level != Level::Process).collect();
        let source = self.source.clone();
        for process in processes.iter().filter(|process| source.wants(process)) {
            for level in &levels {
                let mut names = Vec::new();
                for page in 1..=plan::PAGES_MAX {
                    let path = plan::list(&self.project, Some((process, *level)), page);
                    let (found, more) = answer::parts(&self.api.get(level.word(), &path).await?)?;
                    names.extend(found);
                    if !more {
                        break;
                    }
                }
                parts.insert((process.id.clone(), *level), names);
            }
        }
        Ok((processes, parts))
    }
}
