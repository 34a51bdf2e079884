//! Targets: what a job's groups of addresses come to after relabelling.

mod url;

use std::collections::BTreeSet;

use crate::model::labels::quote;
use crate::model::{LabelBuilder, LabelSet, relabel};
use crate::time::{Span, Timestamp};

use super::job::{Job, TargetGroup};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAMETER_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";

/// Something to scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What its series get: no label that begins with `__`.
    pub labels: LabelSet,
    /// Its labels before relabelling, for people.
    pub discovered: LabelSet,
    pub url: String,
    pub interval: Span,
    pub timeout: Span,
}

impl Target {
    /// Returns whether both are scraped alike; what was discovered is for people.
    pub fn is_scraped_like(&self, other: &Target) -> bool {
        (&self.labels, &self.url, self.interval, self.timeout) == (&other.labels, &other.url, other.interval, other.timeout)
    }

    /// Returns where in the interval the target is scraped, so that a job's targets are spread over it.
    ///
    /// It depends on the target and on `seed`, which tells the replicas of a server apart, and on nothing else.
    pub fn offset(&self, seed: u64) -> Span {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in self.labels.fingerprint().to_string().bytes().chain(self.url.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        Span(((hash ^ seed) % self.interval.0.max(1) as u64) as i64)
    }

    /// Returns the first instant behind `now` at which the target is due. It lies on the grid that `offset` fixes.
    pub fn next_due(&self, now: Timestamp, seed: u64) -> Timestamp {
        let interval = self.interval.0.max(1);
        let phase = (self.offset(seed).0 - now.0 % interval).rem_euclid(interval);
        now + Span(if phase == 0 { interval } else { phase })
    }

    /// Returns when the target is due next, once it was due at `due`; a scrape that came a little early does not come twice.
    ///
    /// A clock that shows more than an interval before `due` was stepped back: the grid goes on from what it shows.
    pub fn due_after(&self, due: Timestamp, now: Timestamp, seed: u64) -> Timestamp {
        self.next_due(if due.since(now) > self.interval { now } else { now.max(due) }, seed)
    }
}

/// What one address of a group comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Target(Target),
    /// The rules dropped it.
    Dropped {
        discovered: LabelSet,
    },
    /// It cannot be scraped.
    Bad {
        discovered: LabelSet,
        reason: String,
    },
}

/// Returns what each address of a job's groups comes to, in their order. A target that occurs twice is found once.
///
/// Source: Prometheus `scrape.TargetsFromGroup` and `scrape.PopulateLabels`, version 3: no port is added to or cut from an address.
pub fn targets(job: &Job, groups: &[TargetGroup]) -> Vec<Found> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    for group in groups {
        for (index, address) in group.addresses.iter().enumerate() {
            let discovered = discovered_labels(job, group, address);
            let mut labels = discovered.builder();
            if !relabel::apply(&job.relabel, &mut labels) || labels.iter().next().is_none() {
                found.push(Found::Dropped { discovered });
                continue;
            }
            match target(job, labels, &discovered) {
                Ok((identity, target)) => {
                    if known.insert((identity, target.url.clone())) {
                        found.push(Found::Target(target));
                    }
                }
                Err(reason) => {
                    let reason = format!("instance {index} in group {}: {reason}", group.source);
                    found.push(Found::Bad { discovered, reason });
                }
            }
        }
    }
    found
}

/// Returns why none of a job's targets may be scraped, when there are more than its limit.
///
/// Source: Prometheus `scrapePool.refreshTargetLimitErr`.
pub fn too_many(job: &Job, found: &[Found]) -> Option<String> {
    let (count, limit) = (found.iter().filter(|found| matches!(found, Found::Target(_))).count(), job.limits.targets);
    (limit > 0 && count as u64 > limit).then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"))
}

fn discovered_labels(job: &Job, group: &TargetGroup, address: &str) -> LabelSet {
    let mut labels = group.labels.builder();
    labels.set(ADDRESS, address);
    let mut default = |name: &str, value: &str| {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    };
    default("job", &job.name);
    default(INTERVAL, &job.interval.to_string());
    default(TIMEOUT, &job.timeout.to_string());
    default(METRICS_PATH, &job.metrics_path);
    default(SCHEME, &job.scheme);
    for (name, values) in &job.params {
        if let Some(value) = values.first() {
            default(&format!("{PARAMETER_PREFIX}{name}"), value);
        }
    }
    labels.build()
}

/// Returns a target and the labels that tell it from others, from its labels after relabelling.
fn target(job: &Job, mut labels: LabelBuilder, discovered: &LabelSet) -> Result<(LabelSet, Target), String> {
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", quote(&address)));
    }
    let span = |name: &str, what: &str| {
        let span = Span::parse(labels.get(name)).map_err(|error| format!("error parsing {what}: {error}"))?;
        if span == Span::ZERO { Err(format!("{what} cannot be 0")) } else { Ok(span) }
    };
    let interval = span(INTERVAL, "scrape interval")?;
    let timeout = span(TIMEOUT, "scrape timeout")?;
    if timeout > interval {
        return Err(format!("scrape timeout cannot be greater than scrape interval (\"{timeout}\" > \"{interval}\")"));
    }
    labels.retain(|name, _| !name.starts_with(META_PREFIX));
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    if let Some((name, _)) = labels.iter().find(|(name, _)| name.is_empty()) {
        return Err(format!("invalid label name {}", quote(name)));
    }
    let mut parameters = job.params.clone();
    for (name, value) in labels.iter() {
        if let Some(parameter) = name.strip_prefix(PARAMETER_PREFIX) {
            let values = parameters.entry(parameter.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    let identity = labels.build();
    let target = Target {
        labels: identity.without(|name| name.starts_with(RESERVED_PREFIX)),
        discovered: discovered.clone(),
        url: url::url(identity.get(SCHEME), &address, identity.get(METRICS_PATH), &parameters),
        interval,
        timeout,
    };
    Ok((identity, target))
}
