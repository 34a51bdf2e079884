//! MongoDB Atlas: which measurements to ask its Administration API for, at what pace, and what the answers mean.

pub mod answer;
pub mod digest;
pub mod name;
pub mod pace;
pub mod plan;

use std::collections::BTreeMap;

use crate::client::{HttpClient, Secret};
use crate::collect::Reach;
use crate::model::{LabelSet, Matcher};
use crate::time::Span;

/// One entry of `atlas`: what to read of which projects.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub job: String,
    pub projects: Vec<String>,
    pub access: Access,
    pub interval: Span,
    pub timeout: Span,
    pub reach: Reach,
    /// How often processes, disks and databases are listed anew.
    pub discovery_interval: Span,
    pub granularity: Granularity,
    /// The date that names the form of the API's answers.
    pub resource_version: String,
    /// What is read, and which measurements of it; empty: all that there are.
    pub levels: BTreeMap<Level, Vec<String>>,
    /// Processes to read, by id or alias; empty: all.
    pub processes: Vec<Matcher>,
    /// Pace of requests to one project.
    pub requests_per_minute: u32,
    pub labels: LabelSet,
    /// No slash at the end.
    pub base_url: String,
    pub client: HttpClient,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// OAuth 2.0 with client credentials.
    ServiceAccount { client_id: Secret, client_secret: Secret },
    /// A programmatic API key, by HTTP digest.
    ApiKey { public_key: Secret, private_key: Secret },
}

/// What a measurement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Process,
    Disk,
    Database,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Process, Level::Disk, Level::Database];

    /// Returns the word for it in the configuration and in the API's paths.
    pub fn word(self) -> &'static str {
        match self {
            Level::Process => "processes",
            Level::Disk => "disks",
            Level::Database => "databases",
        }
    }
}

/// The distance between two points, of those that Atlas keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    TenSeconds,
    Minute,
    FiveMinutes,
    Hour,
}

impl Granularity {
    pub const ALL: [Granularity; 4] = [Granularity::TenSeconds, Granularity::Minute, Granularity::FiveMinutes, Granularity::Hour];

    /// Returns the ISO 8601 text that the API takes.
    pub fn word(self) -> &'static str {
        match self {
            Granularity::TenSeconds => "PT10S",
            Granularity::Minute => "PT1M",
            Granularity::FiveMinutes => "PT5M",
            Granularity::Hour => "PT1H",
        }
    }

    pub fn span(self) -> Span {
        match self {
            Granularity::TenSeconds => Span::from_secs(10),
            Granularity::Minute => Span::from_mins(1),
            Granularity::FiveMinutes => Span::from_mins(5),
            Granularity::Hour => Span::from_mins(60),
        }
    }
}

/// A process of a project, `mongod` or `mongos`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `host:port`.
    pub id: String,
    pub alias: String,
    pub replica_set: String,
    /// What it is at present, such as `REPLICA_PRIMARY`.
    pub kind: String,
    pub version: String,
}

/// Something that has measurements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub process: Process,
    pub level: Level,
    /// Name of the disk or database; empty for a process.
    pub part: String,
}

impl Source {
    /// Returns whether a process is one of those to read.
    pub fn wants(&self, process: &Process) -> bool {
        let named = |pattern: &Matcher| pattern.is_match(&process.id) || pattern.is_match(&process.alias);
        self.processes.is_empty() || self.processes.iter().any(named)
    }
}

#[cfg(test)]
mod tests;
