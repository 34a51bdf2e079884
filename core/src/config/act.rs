//! `act`: what runbooks, experiments and drills may act upon, and with what means.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Secret;
use crate::run::inventory::Item;
use crate::run::settings::{Database, ENVIRONMENT_LABEL, Environment, Process, Proxy, Restore, Settings};
use crate::run::value::is_name;
use crate::yaml::{Table, Value, nearest};

use super::client;
use super::place::Folder;
use super::sections::from_environment;
use super::source::check_label_name;

/// Kinds of items that have sections of their own.
const OWN_KINDS: [(&str, &str); 3] = [("database", "databases"), ("process", "processes"), ("proxy", "proxies")];
const ITEMS_MAX: usize = 10_000;

/// Reads `act`.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder) -> Settings {
    let Some(mut table) = table.table("act") else { return Settings::default() };
    let settings = Settings {
        environment: environment(&mut table),
        user: client::some_text(&mut table, "user"),
        programs: programs(&mut table),
        hosts: hosts(&mut table),
        secrets: secrets(&mut table, folder),
        databases: each(&mut table, "databases", |table| database(table, folder)),
        processes: each(&mut table, "processes", |table| process(table, folder)),
        proxies: proxies(&mut table),
        items: items(&mut table),
    };
    table.finish();
    settings
}

fn environment(table: &mut Table<'_, '_>) -> Environment {
    let Some(value) = table.value("environment") else { return Environment::default() };
    value.text_ref().and_then(|text| read_environment(text, &value)).unwrap_or_default()
}

fn read_environment(text: &str, value: &Value<'_, '_>) -> Option<Environment> {
    let found = Environment::ALL.into_iter().find(|environment| environment.word() == text);
    if found.is_none() {
        value.error(format!("{text:?} is no environment; write staging or production"));
    }
    found
}

/// Reads a list of things that have names, each name once.
fn each<T>(table: &mut Table<'_, '_>, key: &'static str, read: impl Fn(&mut Table<'_, '_>) -> Option<(String, T)>) -> Vec<T> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for value in table.list(key).iter().take(ITEMS_MAX) {
        let mut table = value.table();
        let one = read(&mut table);
        table.finish();
        let Some((name, one)) = one else { continue };
        if !names.insert(name.clone()) {
            value.error(format!("the name {name:?} stands here twice; choose another one"));
        }
        all.push(one);
    }
    all
}

fn name(table: &mut Table<'_, '_>) -> Option<String> {
    let Some(value) = table.value("name") else {
        table.error("name is missing");
        return None;
    };
    let text = value.text()?;
    if !is_name(&text) {
        value.error(format!("{text:?} is no name; write letters, digits, . _ - and :, beginning with a letter or digit"));
    }
    Some(text)
}

fn required(table: &mut Table<'_, '_>, key: &'static str, what: &str) -> String {
    client::some_text(table, key).unwrap_or_else(|| {
        table.error(format!("{key} is missing; write {what}"));
        String::new()
    })
}

fn labels(table: &mut Table<'_, '_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, value) in table.value("labels").iter().flat_map(Value::entries) {
        check_label_name(&value, &key.name, &[]);
        let Some(text) = value.text() else { continue };
        if key.name == ENVIRONMENT_LABEL {
            read_environment(&text, &value);
        }
        labels.insert(key.name.clone(), text);
    }
    labels
}

fn programs(table: &mut Table<'_, '_>) -> BTreeMap<String, Option<String>> {
    let mut programs = BTreeMap::new();
    for value in table.list("programs") {
        let mut table = value.table();
        let path = required(&mut table, "path", "the absolute path of a program");
        if !path.is_empty() && (!path.starts_with('/') || path.split('/').any(|part| part == "..")) {
            value.error(format!("{path:?} is no absolute path; write where the program is, without .."));
        }
        let hash = client::some_text(&mut table, "sha256");
        if hash
            .as_ref()
            .is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        {
            table.error("sha256 is no SHA-256; write its 64 hexadecimal digits in small letters");
        }
        table.finish();
        if programs.insert(path.clone(), hash).is_some() {
            value.error(format!("the program {path:?} stands here twice; remove one"));
        }
    }
    programs
}

fn hosts(table: &mut Table<'_, '_>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for value in table.list("hosts") {
        let Some(host) = value.text() else { continue };
        if host.is_empty() || host.contains(['/', '@', '*', '?', '#', ' ']) {
            value
                .error(format!("{host:?} is no host; write a name or an address, with its port where that is not the usual one"));
        }
        hosts.insert(host);
    }
    hosts
}

fn secrets(table: &mut Table<'_, '_>, folder: &Folder) -> BTreeMap<String, Secret> {
    let read = |table: &mut Table<'_, '_>| {
        let name = name(table);
        let secret = client::secret(table, "value", "file", folder).map(from_environment);
        if secret.is_none() {
            table.error("write file, the path of a file with the secret, or value");
        }
        let name = name?;
        Some((name.clone(), (name, secret?)))
    };
    each(table, "secrets", read).into_iter().collect()
}

fn database(table: &mut Table<'_, '_>, folder: &Folder) -> Option<(String, Database)> {
    let name = name(table);
    let url = required(table, "url", "postgres://user@host:5432/database");
    let authority = url.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        table.error("url is no address of PostgreSQL; write postgres://user@host:5432/database");
    } else if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        table.error("url holds a password; write it into a file that password_file names");
    }
    let password = client::secret(table, "password", "password_file", folder).map(from_environment);
    let labels = labels(table);
    let restore = table.table("restore").map(|mut table| {
        let restore = Restore {
            data: folder.join(&required(&mut table, "data", "the folder of a base backup")),
            archive: folder.join(&required(&mut table, "archive", "the folder of archived WAL")),
            bin: folder.join(&required(&mut table, "bin", "the folder of PostgreSQL's programs")),
        };
        table.finish();
        restore
    });
    let name = name?;
    Some((name.clone(), Database { name, url, password, labels, restore }))
}

fn process(table: &mut Table<'_, '_>, folder: &Folder) -> Option<(String, Process)> {
    let name = name(table);
    let pid_file = folder.join(&required(table, "pid_file", "the file that holds the number of the process"));
    let command = required(table, "command", "a text that the command line of the process holds");
    let labels = labels(table);
    let name = name?;
    Some((name.clone(), Process { name, pid_file, command, labels }))
}

fn proxies(table: &mut Table<'_, '_>) -> Vec<Proxy> {
    let proxies = each(table, "proxies", |table| {
        let name = name(table);
        let listen = address(table, "listen");
        let upstream = address(table, "upstream");
        if !listen.is_empty() && listen == upstream {
            table.error("the proxy would connect to itself; upstream is where the dependency listens");
        }
        let labels = labels(table);
        let name = name?;
        Some((name.clone(), Proxy { name, listen, upstream, labels }))
    });
    let mut listens = BTreeSet::new();
    for proxy in &proxies {
        if !listens.insert(&proxy.listen) && !proxy.listen.is_empty() {
            table.error(format!("two proxies listen on {}; give each an address of its own", proxy.listen));
        }
    }
    proxies
}

/// Reads `host:port`.
fn address(table: &mut Table<'_, '_>, key: &'static str) -> String {
    let text = required(table, key, "address:port");
    let good =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !text.is_empty() && (!good || text.contains('/')) {
        table.error(format!("{key} {text:?} is no address; write host:port"));
    }
    text
}

fn items(table: &mut Table<'_, '_>) -> Vec<Item> {
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for value in table.list("items").iter().take(ITEMS_MAX) {
        let mut table = value.table();
        let kind = required(&mut table, "kind", "what it is, such as service");
        if let Some((_, own)) = OWN_KINDS.iter().find(|(own, _)| *own == kind) {
            table.error(format!("things of the kind {kind} stand in {own}"));
        } else if !kind.is_empty() && !is_name(&kind) {
            let near = nearest(&kind, &["service", "region", "cluster", "queue"]).map(|near| format!("; did you mean {near}?"));
            table.error(format!("{kind:?} is no name{}", near.unwrap_or_default()));
        }
        let name = name(&mut table);
        let labels = labels(&mut table);
        let control_plane = table.boolean("control_plane").unwrap_or(false);
        table.finish();
        let Some(name) = name else { continue };
        if !seen.insert((kind.clone(), name.clone())) {
            value.error(format!("the {kind} {name:?} stands here twice; remove one"));
        }
        items.push(Item { kind, name, labels, control_plane });
    }
    items
}
