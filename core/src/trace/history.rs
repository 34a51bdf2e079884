//! What a silence would have muted, had there been one: read from the trace before it is made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::matcher::all_match;
use crate::model::{Fingerprint, LabelSet, Matcher};
use crate::route::alert::ALERT_NAME;
use crate::route::silence::{Silencing, Terms};
use crate::time::Timestamp;

use super::{Entry, Flush, Record, What};

/// So many alerts are told apart; what comes behind is not counted.
const ALERTS_MAX: usize = 50_000;

/// Counts what matchers would have muted, record by record, the oldest first.
pub struct History {
    matchers: Vec<Matcher>,
    terms: Terms,
    silencing: Silencing,
    meant: HashMap<Fingerprint, Past>,
    pages: BTreeSet<String>,
    notifications: usize,
}

struct Past {
    labels: LabelSet,
    begins: usize,
    last_at: Timestamp,
}

/// What would have been muted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Muted {
    /// Alerts that began to fire, each once.
    pub alerts: usize,
    /// How often they did.
    pub begins: usize,
    /// Notifications that told of nothing else.
    pub notifications: usize,
    /// Pages of which the same is true.
    pub pages: usize,
    pub last_at: Option<Timestamp>,
    /// How often alerts of a name have begun, the most frequent first.
    pub names: Vec<(String, usize)>,
    /// The same by the label `service`; those without one are left out.
    pub services: Vec<(String, usize)>,
}

impl History {
    /// Counts for a silence that would have had these matchers and terms all the while.
    pub fn new(matchers: Vec<Matcher>, terms: Terms, silencing: Silencing) -> History {
        History { matchers, terms, silencing, meant: HashMap::new(), pages: BTreeSet::new(), notifications: 0 }
    }

    pub fn take(&mut self, record: &Record) {
        match &record.entry {
            Entry::Alerts(steps) => {
                for step in steps {
                    if matches!(step.what, What::Fired { routed: true, .. } | What::Received { .. }) {
                        self.begin(&step.labels, step.at);
                    }
                }
            }
            Entry::Flush(flush) if self.terms.is_time(record.at) => self.flush(flush),
            Entry::Flush(_) | Entry::Routes(_) | Entry::Opened { .. } | Entry::Lost(_) => {}
        }
    }

    fn begin(&mut self, labels: &LabelSet, at: Timestamp) {
        if !all_match(&self.matchers, labels) || self.silencing.spares(labels) {
            return;
        }
        let (fingerprint, counts) = (labels.fingerprint(), usize::from(self.terms.is_time(at)));
        let has_room = self.meant.len() < ALERTS_MAX;
        if let Some(past) = self.meant.get_mut(&fingerprint) {
            past.begins += counts;
            past.last_at = past.last_at.max(at);
        } else if has_room {
            self.meant.insert(fingerprint, Past { labels: labels.clone(), begins: counts, last_at: at });
        }
    }

    fn flush(&mut self, flush: &Flush) {
        let is_silenced = !flush.shown.is_empty() && flush.shown.iter().all(|alert| self.meant.contains_key(alert));
        let told = flush.said.iter().filter(|said| said.told.as_ref().is_some_and(|told| told.delivery.is_some())).count();
        if is_silenced && told > 0 {
            self.notifications += told;
            self.pages.extend(flush.page.clone());
        }
    }

    /// Returns what was counted, with at most so many names and services.
    pub fn finish(self, most: usize) -> Muted {
        let past: Vec<Past> = self.meant.into_values().filter(|past| past.begins > 0).collect();
        let by = |label: &str| {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for past in &past {
                *counts.entry(past.labels.get(label)).or_default() += past.begins;
            }
            counts.remove("");
            let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
            counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
            counts.truncate(most);
            counts
        };
        Muted {
            alerts: past.len(),
            begins: past.iter().map(|past| past.begins).sum(),
            notifications: self.notifications,
            pages: self.pages.len(),
            last_at: past.iter().map(|past| past.last_at).max(),
            names: by(ALERT_NAME),
            services: by("service"),
        }
    }
}
