//! What the guards of a run want to know, and whether an alert has really ended: looked up, never guessed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tocsin_core::model::{Fingerprint, LabelSet};
use tocsin_core::page::Page;
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::route::alert::{ALERT_NAME, Alert};
use tocsin_core::route::tree::RUN_ALERT;
use tocsin_core::rule::Rule;
use tocsin_core::rule::grounds::Ground;
use tocsin_core::run::guard::{self, Freeze};
use tocsin_core::run::history::passed_in_staging;
use tocsin_core::run::machine::Seen;
use tocsin_core::run::record::{Observe, RunRow, SeenAlert, Wanted};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::time::{Span, Timestamp};

use super::step::{Means, value};
use super::triggers::OUTSIDE;
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::Db;
use crate::db::runs::{RunClass, RunFilter};
use crate::pipeline::objectives::Handle;
use crate::pipeline::rules::Rules;
use crate::pipeline::watch::Watch;

/// Ended runs of a document that count.
const HISTORY: i64 = 100;
/// The longest that a guard looks back for runs. An entry that is older holds nobody up.
const RATES_BACK: Span = Span::from_mins(366 * 24 * 60);

/// Where facts are looked up.
pub struct Facts {
    pub db: Db,
    pub watch: Watch,
    pub rules: Arc<Rules>,
    pub means: Arc<Means>,
    pub objectives: Handle,
    /// While a file is here, nothing runs: a kill switch that needs no database.
    pub kill_file: PathBuf,
}

impl Facts {
    /// Returns why nothing may run, by the file alone; none: it may.
    pub async fn kill_file(&self) -> Option<String> {
        match tokio::fs::try_exists(&self.kill_file).await {
            Ok(false) => None,
            Ok(true) => Some(format!("the file {} is there", self.kill_file.display())),
            Err(error) => Some(format!("cannot look for {}: {error}", self.kill_file.display())),
        }
    }

    /// Returns why nothing of a platform may run; none: it may.
    pub async fn kill(&self, platform: &str) -> Result<Option<String>, String> {
        if let Some(why) = self.kill_file().await {
            return Ok(Some(why));
        }
        let switches = self.db.kill_switches().await.map_err(|error| with_causes(&error))?;
        let on = switches.into_iter().find(|switch| switch.is_on && (switch.scope.is_empty() || switch.scope == platform));
        Ok(on.map(|switch| format!("{} pulled it: {}", switch.who, switch.why)))
    }

    /// Collects what the guards of a run want to know.
    ///
    /// Errors: what cannot be looked up; then nothing is judged.
    pub async fn gather(&self, runbook: &Runbook, row: &RunRow, wanted: &Wanted) -> Result<guard::Facts, String> {
        let now = clock::now();
        let told = |error: crate::db::DbError| with_causes(&error);
        let freezes = self.db.freezes(now).await.map_err(told)?;
        let frozen = freezes
            .into_iter()
            .filter(|freeze| freeze.starts_at <= now && (freeze.scope == "*" || freeze.scope == row.platform))
            .max_by_key(|freeze| freeze.ends_at);
        let mut values = BTreeMap::new();
        for text in &wanted.queries {
            match value(&self.means, text).await {
                Ok(Some(found)) => drop(values.insert(text.clone(), found)),
                // An expression without a value stands for no data, and the guard says what that means.
                Ok(None) => {}
                // What cannot be told is not the same as no data, which a guard may allow: no comparison holds for it.
                Err(why) => {
                    tracing::warn!(run = row.id, why, "cannot look at what a guard asks for");
                    values.insert(text.clone(), f64::NAN);
                }
            }
        }
        let inventory = self.means.settings.borrow().inventory();
        Ok(guard::Facts {
            kill: self.kill(&row.platform).await?,
            freeze: frozen.map(|freeze| Freeze { reason: freeze.reason, until: Some(freeze.ends_at) }),
            staging_passed_at: self.staging_passed_at(runbook).await.map_err(told)?,
            open_pages: self.open_pages(&row.platform).await,
            budget_remaining: wanted.slo.as_deref().and_then(|slo| self.objectives.remaining(slo)),
            budget_outage: wanted.slo.as_deref().and_then(|slo| self.objectives.outage(slo)),
            inventory,
            values,
            history: self.db.history(&row.doc_id, HISTORY).await.map_err(told)?,
            ..guard::Facts::default()
        })
    }

    /// Adds what other runs that begin now would change: who holds the lock, and how many began.
    ///
    /// Errors: what cannot be looked up; then nothing is judged.
    pub async fn count(&self, facts: &mut guard::Facts, wanted: &Wanted) -> Result<(), String> {
        let (now, told) = (clock::now(), |error: crate::db::DbError| with_causes(&error));
        if let Some(name) = &wanted.lock {
            facts.lock_holder = self.db.lock_holder(name, now).await.map_err(told)?.map(|lock| lock.run_id);
        }
        facts.rates = self.db.rates(&wanted.rate_keys, now - RATES_BACK).await.map_err(told)?;
        facts.rate_keys = wanted.rate_keys.clone();
        Ok(())
    }

    /// Returns when this version of a document last succeeded in staging.
    async fn staging_passed_at(&self, runbook: &Runbook) -> Result<Option<Timestamp>, crate::db::DbError> {
        if runbook.guards.staging_passed_within.is_none() {
            return Ok(None);
        }
        let doc = Some(runbook.metadata.id.clone());
        let filter = RunFilter { class: Some(RunClass::Ended), doc, limit: HISTORY, ..RunFilter::default() };
        let hash = runbook.hash();
        let rows = self.db.runs(&filter).await?;
        Ok(rows.iter().filter(|row| row.doc_hash == hash).filter_map(passed_in_staging).max())
    }

    /// Returns how many pages of a platform are open; none: nobody says.
    async fn open_pages(&self, platform: &str) -> Option<u32> {
        let platform = platform.to_owned();
        let counted = self.watch.ask(move |state| {
            let of_platform = |labels: &LabelSet| labels.get("platform") == platform;
            let open = state.plane.pages().into_iter().filter(|page| page.resolved_at.is_none());
            // What runs ask people for is no incident.
            let real = |labels: &LabelSet| labels.get(ALERT_NAME) != RUN_ALERT;
            let meant = |page: &&Page| {
                let mut alerts = page.alerts.values().filter(|alert| alert.resolved_at.is_none() && real(&alert.labels));
                alerts.any(|alert| of_platform(&alert.labels) || of_platform(&page.group_labels))
            };
            open.filter(meant).count()
        });
        counted.await.ok().and_then(|count| u32::try_from(count).ok())
    }

    /// Returns whether the alert of a run's trigger fires.
    ///
    /// Shape: it does not fire only when somebody could tell: its rule is evaluated without a fault, and the series are there by which
    /// it would fire. An alert of ours whose rule is gone tells nothing. One from outside has ended when its sender said so, or when
    /// nothing is known of it any more.
    /// Errors: the watch says nothing.
    pub async fn alert(&self, row: &RunRow, reference: &str) -> Result<Seen, String> {
        let fingerprint = reference.split('@').next().and_then(Fingerprint::parse).ok_or("the reference names no alert")?;
        let now = clock::now();
        let alert = self.watch.ask(move |state| state.plane.alert(fingerprint, now).map(|view| view.alert)).await;
        let alert = alert.map_err(|error| error.to_string())?;
        if alert.as_ref().is_some_and(|alert| alert.is_firing(now)) {
            return Ok(Seen::Firing);
        }
        let name = row.trigger_labels.get(ALERT_NAME).map(String::as_str).unwrap_or_default();
        let mut known = false;
        for group in self.rules.status() {
            for (rule, status) in group.group.rules.iter().zip(&group.rules) {
                if !rule.is_alert() || rule.name() != name || !may_bring(rule, &row.trigger_labels) {
                    continue;
                }
                known = true;
                if status.error.is_some() || status.last_evaluation.is_none() || !self.has_grounds(rule, row).await? {
                    return Ok(Seen::NoData);
                }
            }
        }
        let is_outside = reference.ends_with(OUTSIDE);
        let silent = !known && (!is_outside || alert.is_some_and(|alert| alert.timeout_derived));
        Ok(if silent { Seen::NoData } else { Seen::NotFiring })
    }

    /// Looks at what a condition is about.
    ///
    /// Errors: it cannot be seen.
    pub async fn observe(&self, row: &RunRow, what: Observe) -> Result<Seen, String> {
        let seen = |value: Option<f64>| value.map_or(Seen::NoData, Seen::Value);
        match what {
            Observe::Query(text) => value(&self.means, &text).await.map(seen),
            Observe::Alert { reference } => self.alert(row, &reference).await,
            Observe::BurnRate { slo, window } => Ok(seen(self.objectives.burn(&slo, window))),
            Observe::AlertsSince { since, labels } => self.alerts_since(since, labels).await,
        }
    }

    /// Returns the alerts with some labels that fire now and have begun since an instant. Pages of runs are none.
    async fn alerts_since(&self, since: Timestamp, labels: BTreeMap<String, String>) -> Result<Seen, String> {
        let now = clock::now();
        let is_meant = move |alert: &Alert| {
            let has = |(name, value): (&String, &String)| alert.labels.get(name) == value;
            alert.starts_at >= since && alert.name() != RUN_ALERT && labels.iter().all(has)
        };
        let found =
            self.watch.ask(move |state| state.plane.alerts_that(is_meant, now)).await.map_err(|error| error.to_string())?;
        let seen = found.into_iter().map(|view| SeenAlert {
            name: view.alert.name().to_owned(),
            at: view.alert.starts_at,
            page: !view.pages.is_empty(),
        });
        Ok(Seen::Alerts(seen.collect()))
    }

    async fn has_grounds(&self, rule: &Rule, row: &RunRow) -> Result<bool, String> {
        let own = rule.label_texts();
        let labels =
            row.trigger_labels.iter().filter(|(name, _)| name.as_str() != ALERT_NAME && !own.contains_key(name.as_str()));
        let labels = LabelSet::from_pairs(labels);
        let (expr, store) = (rule.expr.clone(), self.means.store.clone());
        let look = tokio::task::spawn_blocking(move || {
            let snapshot = store.snapshot();
            let (options, cancel) = (Options::default(), Cancel::new());
            Ground::new(clock::now(), &snapshot, &options, &cancel).bears(&expr, &labels)
        });
        let looked = look.await.map_err(|_| "a look at the series of a rule ended in a fault of the program".to_owned())?;
        looked.map_err(|error| error.to_string())
    }
}

/// Returns whether a rule could bring an alert with these labels, by the labels that it always sets.
fn may_bring(rule: &Rule, labels: &BTreeMap<String, String>) -> bool {
    rule.label_texts().iter().all(|(name, value)| value.contains("{{") || labels.get(name) == Some(value))
}
