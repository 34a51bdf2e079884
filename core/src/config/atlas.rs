//! `atlas`: measurements of MongoDB Atlas.

use std::collections::BTreeMap;

use crate::atlas::{Access, Granularity, Level, Source};
use crate::client::Secret;
use crate::yaml::{Table, Value};

use super::job::Names;
use super::place::Folder;
use super::sections::from_environment;
use super::{client, discovery, source};

const BASE_URL: &str = "https://cloud.mongodb.com";
/// The oldest form of the answers of version 2; every call that is made has it.
const RESOURCE_VERSION: &str = "2023-01-01";
/// Below what Atlas grants a project.
const REQUESTS_PER_MINUTE: u64 = 90;
const REQUESTS_PER_MINUTE_MAX: u64 = 6_000;
const RESERVED_LABELS: [&str; 10] =
    ["job", "instance", "project_id", "rs_name", "user_alias", "id", "partition_name", "database_name", "type", "version"];

/// Reads `atlas`.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder, file: &str, names: &mut Names) -> Vec<Source> {
    discovery::entries(table, "atlas").iter().map(|value| entry(value, folder, file, names)).collect()
}

fn entry(value: &Value<'_, '_>, folder: &Folder, file: &str, names: &mut Names) -> Source {
    let mut table = value.table();
    let job = source::job_name(&mut table, "atlas", file, names);
    let times = source::times(&mut table);
    let processes = table.list("processes");
    let source = Source {
        job,
        projects: projects(&mut table),
        access: access(&mut table, folder),
        interval: times.interval,
        timeout: times.timeout,
        reach: times.reach,
        discovery_interval: times.discovery_interval,
        granularity: granularity(&mut table),
        resource_version: resource_version(&mut table),
        levels: levels(&mut table),
        processes: processes.iter().filter_map(|value| source::pattern(value, "process")).collect(),
        requests_per_minute: source::number_within(
            &mut table,
            "requests_per_minute",
            REQUESTS_PER_MINUTE,
            1,
            REQUESTS_PER_MINUTE_MAX,
        ) as u32,
        labels: source::labels(&mut table, &RESERVED_LABELS),
        base_url: source::address(&mut table, "base_url").unwrap_or_else(|| BASE_URL.to_owned()),
        client: source::http(&mut table, folder),
    };
    table.finish();
    source
}

fn projects(table: &mut Table<'_, '_>) -> Vec<String> {
    let mut projects: Vec<String> = Vec::new();
    let Some(list) = table.value("project_ids") else {
        table.error("project_ids is missing; write the ids of the projects to ask, 24 hexadecimal digits each");
        return projects;
    };
    for value in list.list() {
        let Some(id) = value.text() else { continue };
        if id.len() != 24 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            value.error(format!("{id:?} is no project's id; write its 24 hexadecimal digits, in quotes"));
        } else if projects.contains(&id) {
            value.error(format!("the project {id} stands here twice; remove one"));
        }
        projects.push(id);
    }
    if projects.is_empty() {
        list.error("project_ids is empty; write the ids of the projects to ask, 24 hexadecimal digits each");
    }
    projects
}

fn access(table: &mut Table<'_, '_>, folder: &Folder) -> Access {
    let mut secret = |inline, file| client::secret(table, inline, file, folder).map(from_environment);
    let account = (secret("client_id", "client_id_file"), secret("client_secret", "client_secret_file"));
    let key = (secret("public_key", "public_key_file"), secret("private_key", "private_key_file"));
    let (has_account, has_key) = (account.0.is_some() || account.1.is_some(), key.0.is_some() || key.1.is_some());
    if has_account && has_key {
        table.error(
            "at most one of client_id & client_secret, public_key & private_key must be configured; remove the other pair",
        );
    } else if !has_account && !has_key {
        table.error("write client_id and client_secret of a service account, or public_key and private_key of an API key");
    }
    if has_account && (account.0.is_none() || account.1.is_none()) {
        table.error("client_id and client_secret belong together; write both");
    }
    if has_key && (key.0.is_none() || key.1.is_none()) {
        table.error("public_key and private_key belong together; write both");
    }
    let given = |secret: Option<Secret>| secret.unwrap_or_else(|| Secret::Inline(String::new()));
    if has_key {
        Access::ApiKey { public_key: given(key.0), private_key: given(key.1) }
    } else {
        Access::ServiceAccount { client_id: given(account.0), client_secret: given(account.1) }
    }
}

fn granularity(table: &mut Table<'_, '_>) -> Granularity {
    let Some(value) = table.value("granularity") else { return Granularity::Minute };
    let Some(text) = value.text_ref() else { return Granularity::Minute };
    let found = Granularity::ALL.into_iter().find(|granularity| granularity.word() == text);
    if found.is_none() {
        value.error(format!("Atlas keeps no points at a distance of {text:?}; write PT10S, PT1M, PT5M or PT1H"));
    }
    found.unwrap_or(Granularity::Minute)
}

fn resource_version(table: &mut Table<'_, '_>) -> String {
    let Some(value) = table.value("resource_version") else { return RESOURCE_VERSION.to_owned() };
    let text = value.text().unwrap_or_default();
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if !is_date {
        value.error(format!("{text:?} is no version of the API; write its date, such as {RESOURCE_VERSION}"));
    }
    text
}

/// Reads `measurements`: a mapping from what is read to the names of measurements.
fn levels(table: &mut Table<'_, '_>) -> BTreeMap<Level, Vec<String>> {
    let Some(value) = table.value("measurements") else {
        return [Level::Process, Level::Disk].into_iter().map(|level| (level, Vec::new())).collect();
    };
    let mut inner = value.table();
    let mut levels = BTreeMap::new();
    for level in Level::ALL {
        let Some(list) = inner.entry(level.word()) else { continue };
        let mut names = Vec::new();
        for value in list.list() {
            let Some(name) = value.text() else { continue };
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            if !is_name {
                value.error(format!(
                    "{name:?} is no measurement; write its name as Atlas does, such as DISK_PARTITION_SPACE_USED"
                ));
            }
            names.push(name);
        }
        levels.insert(level, names);
    }
    if levels.is_empty() {
        inner
            .error("measurements names nothing to read; write processes, disks or databases, each with a list that may be empty");
    }
    inner.finish();
    levels
}
