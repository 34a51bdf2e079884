//! `cloudwatch`: metrics of Amazon CloudWatch.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::{Access, Identity, Role};
use crate::client::Secret;
use crate::cloudwatch::{Chosen, Discovery, Metric, Reading, Source};
use crate::model::Matcher;
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::job::Names;
use super::place::Folder;
use super::sections::from_environment;
use super::{client, discovery, source};

const PERIOD: Span = Span::from_mins(1);
const DELAY: Span = Span::from_mins(2);
const DELAY_MAX: Span = Span::from_mins(24 * 60);
const QUERIES: u64 = 5_000;
const QUERIES_MAX: u64 = 100_000;
/// How far back an instant query looks.
const LOOKBACK: Span = Span::from_mins(5);
const DIMENSIONS_MAX: usize = 30;
const RESERVED_LABELS: [&str; 4] = ["job", "instance", "region", "account_id"];

/// Reads `cloudwatch`.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder, file: &str, names: &mut Names) -> Vec<Source> {
    discovery::entries(table, "cloudwatch").iter().map(|value| entry(value, folder, file, names)).collect()
}

fn entry(value: &Value<'_, '_>, folder: &Folder, file: &str, names: &mut Names) -> Source {
    let mut table = value.table();
    let job = source::job_name(&mut table, "cloudwatch", file, names);
    let times = source::times(&mut table);
    let identity = Identity {
        name: job.clone(),
        access: access(&mut table, folder),
        role: role(&mut table),
        sts_endpoint: source::address(&mut table, "sts_endpoint"),
        imds_endpoint: source::address(&mut table, "imds_endpoint"),
        client: source::http(&mut table, folder),
    };
    let inherited = Reading { period: PERIOD, delay: DELAY, statistics: Vec::new(), label_names: BTreeMap::new() };
    let defaults = reading(&mut table, &inherited);
    let (discovery, metrics) =
        (discoveries(&mut table, &defaults, times.interval), chosen(&mut table, &defaults, times.interval));
    if !table.has("discovery") && !table.has("metrics") {
        table.error("nothing is asked for; write discovery with namespaces, or metrics with single ones");
    }
    let source = Source {
        job,
        regions: regions(&mut table),
        identity,
        account_id: account(&mut table),
        interval: times.interval,
        timeout: times.timeout,
        reach: times.reach,
        discovery_interval: times.discovery_interval,
        recently_active: table.boolean("recently_active").unwrap_or(true),
        queries_max: source::number_within(&mut table, "queries_max", QUERIES, 1, QUERIES_MAX) as usize,
        labels: source::labels(&mut table, &RESERVED_LABELS),
        snake_case: table.boolean("labels_snake_case").unwrap_or(false),
        discovery,
        metrics,
        endpoint: source::address(&mut table, "endpoint"),
    };
    table.finish();
    source
}

fn regions(table: &mut Table<'_, '_>) -> Vec<String> {
    let mut regions: Vec<String> = Vec::new();
    let Some(list) = table.value("regions") else {
        table.error("regions is missing; write the regions to ask, such as [eu-central-1]");
        return regions;
    };
    for value in list.list() {
        let Some(region) = value.text() else { continue };
        let parts: Vec<&str> = region.split('-').collect();
        let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let (last, words) = parts.split_last().expect("a split text has a part");
        let is_region =
            words.len() >= 2 && words.iter().all(is_word) && !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        if !is_region {
            value.error(format!("{region:?} is no region; write its code, such as eu-central-1"));
        } else if regions.contains(&region) {
            value.error(format!("the region {region} stands here twice; remove one"));
        }
        regions.push(region);
    }
    if regions.is_empty() {
        list.error("regions is empty; write the regions to ask, such as [eu-central-1]");
    }
    regions
}

fn account(table: &mut Table<'_, '_>) -> Option<String> {
    let value = table.value("account_id")?;
    let text = value.text()?;
    if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        value.error(format!("{text:?} is no account; write its 12 digits, in quotes"));
    }
    Some(text)
}

fn role_arn(value: &Value<'_, '_>) -> Option<String> {
    let arn = value.text()?;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_role = matches!(parts.as_slice(), ["arn", _, "iam", "", _, name] if name.len() > 5 && name.starts_with("role/"))
        && crate::aws::account_of(&arn).is_some();
    if !is_role {
        value.error(format!("{arn:?} names no role; write arn:aws:iam::ACCOUNT:role/NAME"));
    }
    Some(arn)
}

fn role(table: &mut Table<'_, '_>) -> Option<Role> {
    let arn = table.value("role_arn").and_then(|value| role_arn(&value));
    let external_id = client::some_text(table, "external_id");
    let session = table.value("role_session_name");
    let session_name = session.as_ref().and_then(Value::text).unwrap_or_else(|| "tocsin".to_owned());
    if let Some(value) = &session
        && !((2..=64).contains(&session_name.len())
            && session_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)))
    {
        value.error("a session's name has 2 to 64 letters, digits and characters of _+=,.@-");
    }
    if arn.is_none() && external_id.is_some() {
        table.error("external_id goes with role_arn; write role_arn, or remove it");
    }
    arn.map(|arn| Role { arn, external_id, session_name })
}

fn access(table: &mut Table<'_, '_>, folder: &Folder) -> Access {
    let mut secret = |inline, file| client::secret(table, inline, file, folder).map(from_environment);
    let keys = (
        secret("access_key", "access_key_file"),
        secret("secret_key", "secret_key_file"),
        secret("session_token", "session_token_file"),
    );
    let profile = client::some_text(table, "profile");
    let profile_file = client::some_text(table, "profile_file").map(|path| folder.join(&path));
    let web_identity = table.table("web_identity").map(|table| web_identity(table, folder));
    let machine = table.boolean("instance_metadata").unwrap_or(false);
    let has_keys = keys.0.is_some() || keys.1.is_some() || keys.2.is_some();
    let has_profile = profile.is_some() || profile_file.is_some();
    let ways = [has_keys, has_profile, web_identity.is_some(), machine];
    if ways.into_iter().filter(|present| *present).count() > 1 {
        table.error("at most one of access_key & secret_key, profile, web_identity & instance_metadata must be configured; remove the others");
    }
    if has_keys && (keys.0.is_none() || keys.1.is_none()) {
        table.error("access_key and secret_key belong together; write both, or neither");
    }
    if has_keys {
        let missing = || Secret::Inline(String::new());
        let (access_key, secret_key) = (keys.0.unwrap_or_else(missing), keys.1.unwrap_or_else(missing));
        Access::Keys { access_key, secret_key, session_token: keys.2 }
    } else if has_profile {
        Access::Profile { name: profile.unwrap_or_else(|| "default".to_owned()), file: profile_file }
    } else if let Some(web_identity) = web_identity {
        web_identity
    } else if machine {
        Access::Machine
    } else {
        Access::Chain
    }
}

fn web_identity(mut table: Table<'_, '_>, folder: &Folder) -> Access {
    let token_file = client::some_text(&mut table, "token_file");
    let role = table.value("role_arn").and_then(|value| role_arn(&value));
    if token_file.is_none() || role.is_none() {
        table.error("web_identity needs token_file and role_arn; write both");
    }
    table.finish();
    Access::WebIdentity { token_file: folder.join(&token_file.unwrap_or_default()), role_arn: role.unwrap_or_default() }
}

/// Reads how metrics are read, where the keys stand among others.
fn reading(table: &mut Table<'_, '_>, defaults: &Reading) -> Reading {
    let mut reading = defaults.clone();
    if let Some(value) = table.value("statistics") {
        reading.statistics = statistics(&value);
    }
    if let Some(value) = table.value("period")
        && let Some(period) = value.span()
    {
        let seconds = period.0 / 1000;
        if period.0 % 1000 != 0
            || !(matches!(seconds, 1 | 5 | 10 | 30) || (seconds > 0 && seconds <= 86_400 && seconds % 60 == 0))
        {
            value.error(format!("CloudWatch knows no period of {period}; write 1s, 5s, 10s, 30s, or whole minutes up to 1d"));
        } else {
            reading.period = period;
        }
    }
    reading.delay = source::span_within(table, "delay", reading.delay, Span::ZERO, DELAY_MAX);
    if let Some(names) = table.value("label_names") {
        let mut taken = BTreeSet::new();
        for (dimension, value) in names.entries() {
            let Some(name) = value.text() else { continue };
            source::check_label_name(&value, &name, &RESERVED_LABELS);
            if !taken.insert(name.clone()) {
                value.error(format!("the label {name} stands for two dimensions; give each its own"));
            }
            reading.label_names.insert(dimension.name.clone(), name);
        }
    }
    reading
}

fn statistics(list: &Value<'_, '_>) -> Vec<String> {
    let mut statistics: Vec<String> = Vec::new();
    for value in list.list() {
        let Some(text) = value.text() else { continue };
        if !is_statistic(&text) {
            value.error(format!(
                "CloudWatch knows no statistic {text:?}; write Average, Sum, Minimum, Maximum, SampleCount, IQM, a percentile such as p99 or \
                 p99.9, or tm, wm, tc or ts with a percentage such as tm90"
            ));
        } else if statistics.contains(&text) {
            value.error(format!("the statistic {text} stands here twice; remove one"));
        } else {
            statistics.push(text);
        }
    }
    statistics
}

fn is_statistic(text: &str) -> bool {
    if matches!(text, "SampleCount" | "Average" | "Sum" | "Minimum" | "Maximum" | "IQM") {
        return true;
    }
    let Some(number) = ["p", "tm", "wm", "tc", "ts"].into_iter().find_map(|word| text.strip_prefix(word)) else { return false };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole, 3) && digits(part, 10) && number.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number))
}

/// Checks what can be checked only with all keys of an entry known.
fn check_reading(entry: &Value<'_, '_>, reading: &Reading, interval: Span) {
    if reading.statistics.is_empty() {
        entry.error("statistics is missing; write some here or for the whole source, such as [Sum] or [Average, p99]");
    }
    let age = Span(reading.period.0 + reading.delay.0 + interval.0);
    if age > LOOKBACK {
        let range = Span(age.0 + reading.period.0 + interval.0);
        entry.warning(format!(
            "points are up to {age} old when the next ones arrive (period, delay and interval together), and an instant query looks back \
             {LOOKBACK}: ask with a range, such as last_over_time(…[{range}])"
        ));
    }
}

fn namespace(table: &mut Table<'_, '_>) -> String {
    let namespace = client::some_text(table, "namespace");
    if namespace.is_none() {
        table.error("namespace is missing; write one, such as AWS/SQS");
    }
    namespace.unwrap_or_default()
}

fn discoveries(table: &mut Table<'_, '_>, defaults: &Reading, interval: Span) -> Vec<Discovery> {
    discovery::entries(table, "discovery").iter().map(|value| sought(value, defaults, interval)).collect()
}

fn sought(value: &Value<'_, '_>, defaults: &Reading, interval: Span) -> Discovery {
    let mut table = value.table();
    let namespace = namespace(&mut table);
    let patterns = table.list("names");
    let names: Vec<Matcher> = patterns.iter().filter_map(|value| source::pattern(value, "name")).collect();
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ -/".contains(&byte));
    let one_name = match patterns.as_slice() {
        [one] => one.text().filter(|text| is_plain(text)),
        _ => None,
    };
    let mut dimensions = Vec::new();
    for (key, value) in table.value("dimensions").iter().flat_map(Value::entries) {
        dimensions.extend(source::pattern(&value, &key.name));
    }
    let dimension_names = table.value("dimension_names").map(|value| value.texts());
    let reading = reading(&mut table, defaults);
    table.finish();
    check_reading(value, &reading, interval);
    Discovery { namespace, names, one_name, dimensions, dimension_names, reading }
}

fn chosen(table: &mut Table<'_, '_>, defaults: &Reading, interval: Span) -> Vec<Chosen> {
    let mut all: Vec<Chosen> = Vec::new();
    for value in discovery::entries(table, "metrics") {
        let mut table = value.table();
        let namespace = namespace(&mut table);
        let name = client::some_text(&mut table, "name");
        if name.is_none() {
            table.error("name is missing; write the metric's name, such as NumberOfMessagesSent");
        }
        let dimensions: Vec<(String, String)> = table.text_map("dimensions").into_iter().collect();
        if dimensions.len() > DIMENSIONS_MAX {
            table.error(format!("a metric has at most {DIMENSIONS_MAX} dimensions; these are {}", dimensions.len()));
        }
        let reading = reading(&mut table, defaults);
        table.finish();
        check_reading(&value, &reading, interval);
        all.push(Chosen { metric: Metric { namespace, name: name.unwrap_or_default(), dimensions }, reading });
    }
    all
}
