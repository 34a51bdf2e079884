//! The one way into the store: a row is written to the log, then it is visible.

use std::sync::Arc;

use tocsin_core::model::{Cell, Claim, Exemplar, LabelSet, METRIC_NAME, Resolved, Row, STALE, SeriesRef, Value};
use tocsin_core::store::{AddedExemplars, AppendError, Lateness, Store};
use tocsin_core::time::Timestamp;

use super::remote::Remote;
use crate::client::answer::with_causes;
use crate::clock;
use crate::disk::{Disk, Written};
use crate::telemetry::Metrics;
use crate::telemetry::limits::Refusals;

pub struct Ingest {
    pub store: Arc<Store>,
    pub disk: Arc<Disk>,
    pub metrics: Arc<Metrics>,
    pub remote: Arc<Remote>,
}

impl Ingest {
    /// Returns the number of a series by which people are told, which is made when it is new; None when the store has no room for more.
    pub fn resolve(&self, labels: &LabelSet) -> Option<SeriesRef> {
        self.resolve_one(labels, Claim::Own)
    }

    /// Returns the number of a series, which is made when it is new and no limit stands against it.
    pub fn resolve_within_limits(&self, labels: &LabelSet) -> Option<SeriesRef> {
        self.resolve_one(labels, Claim::Common)
    }

    fn resolve_one(&self, labels: &LabelSet, claim: Claim) -> Option<SeriesRef> {
        let mut refusals = Refusals::default();
        let found = self.resolve_as(labels, claim, &mut refusals).ok();
        self.count_refused(labels.get("job"), refusals);
        found.map(|found| found.series)
    }

    /// Returns a series, which is made when it is new and the asker may have it; notes what is refused.
    ///
    /// Errors: why it is refused.
    pub fn resolve_as(&self, labels: &LabelSet, claim: Claim, refusals: &mut Refusals) -> Result<Resolved, String> {
        self.store.resolve_as(labels, claim).map_err(|refused| {
            refusals.add(labels.get(METRIC_NAME), refused.limit());
            refused.reason()
        })
    }

    /// Counts what was refused of a job.
    pub fn count_refused(&self, job: &str, refusals: Refusals) {
        let samples = refusals.samples();
        if samples > 0 {
            self.metrics.samples_refused.inc_by(samples);
            self.metrics.limits.refused(job, refusals, clock::now());
        }
    }

    /// Appends a row. When the log cannot be written (a full disk), the row lives in memory only: alerting goes on, and a metric says so.
    ///
    /// Returns false when the store has forgotten a series of the row, so that the caller must resolve its series anew.
    pub fn append(&self, row: &Row) -> bool {
        self.append_with(row, Vec::new())
    }

    /// Appends a row as `append` does, and adds the exemplars that came with it.
    pub fn append_with(&self, row: &Row, exemplars: Vec<(SeriesRef, Exemplar)>) -> bool {
        if row.cells.is_empty() {
            return true;
        }
        match self.disk.append(&self.store, row) {
            Ok(written) => {
                self.remote.offer(&self.store, row, &written.appended.left_out, &exemplars);
                self.add_exemplars(exemplars);
                if written.unlogged.is_some() {
                    self.metrics.wal_errors.inc();
                }
                let appended = written.appended;
                self.metrics.samples.inc_by(appended.samples as u64);
                self.metrics.samples_refused.inc_by((appended.out_of_order + appended.too_old + appended.duplicate) as u64);
                true
            }
            Err(AppendError::Dead { .. }) => false,
            Err(error) => {
                self.metrics.samples_refused.inc_by(row.cells.len() as u64);
                tracing::error!(error = with_causes(&error), "a row of samples was refused");
                true
            }
        }
    }

    /// Appends a row with another limit on how late its samples may be. `exemplars` came with it, and are only sent on.
    ///
    /// Errors: `Dead` and `TooLarge`, as the store says.
    pub fn append_late(
        &self,
        row: &Row,
        lateness: Lateness,
        exemplars: &[(SeriesRef, Exemplar)],
    ) -> Result<Written, AppendError> {
        let written = self.disk.append_late(&self.store, row, lateness)?;
        self.remote.offer(&self.store, row, &written.appended.left_out, exemplars);
        if written.unlogged.is_some() {
            self.metrics.wal_errors.inc();
        }
        self.metrics.samples.inc_by(written.appended.samples as u64);
        Ok(written)
    }

    /// Adds exemplars, once the row that they came with is in the store.
    pub fn add_exemplars(&self, exemplars: Vec<(SeriesRef, Exemplar)>) -> AddedExemplars {
        if exemplars.is_empty() {
            return AddedExemplars::default();
        }
        let done = self.store.add_exemplars(exemplars);
        self.metrics.exemplars.inc_by(done.added as u64);
        self.metrics.exemplars_refused.inc_by((done.out_of_order + done.too_long) as u64);
        done
    }

    /// Appends rows whose points may lie behind those that are there, as `append` does one. A point that is there already stays as it is.
    ///
    /// Returns how many points are new; None when the store has forgotten a series of the rows, so that the caller must resolve its
    /// series anew.
    pub fn append_bulk(&self, rows: &[Row]) -> Option<usize> {
        let mut new = 0;
        for row in rows {
            match self.append_late(row, Lateness::Any, &[]) {
                Ok(written) => {
                    new += written.appended.samples;
                    self.metrics.samples_refused.inc_by(written.appended.too_old as u64);
                }
                Err(AppendError::Dead { .. }) => return None,
                Err(error) => tracing::error!(error = with_causes(&error), "a row of samples was refused"),
            }
        }
        Some(new)
    }

    /// Appends staleness markers: these series have ended.
    pub fn end<'a>(&self, at: Timestamp, series: impl Iterator<Item = &'a LabelSet>) {
        // What the store does not know has no end.
        let known = series.filter_map(|labels| self.store.resolve_as(labels, Claim::Known).ok());
        let cells = known.map(|found| Cell { series: found.series, at: None, value: Value::Float(STALE) });
        self.append(&Row { at, cells: cells.collect() });
    }
}
