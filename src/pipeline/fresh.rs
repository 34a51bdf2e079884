//! Deliveries that were decided a moment ago, handed on in memory: the outbox need not read back what is on its way to the database.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tocsin_core::plane::Delivery;

use crate::db::deliveries::OutboxRow;

/// Deliveries that tell of so many alerts in total are kept; the outbox reads the others.
const ALERTS_MAX: usize = 50_000;

/// Both ends share it.
#[derive(Debug, Default)]
pub struct Fresh(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    by_id: BTreeMap<i64, (OutboxRow, Delivery)>,
    alerts: usize,
}

impl Held {
    fn let_go(&mut self, id: i64) -> Option<(OutboxRow, Delivery)> {
        let held = self.by_id.remove(&id)?;
        self.alerts -= held.1.data.alerts.len();
        Some(held)
    }
}

impl Fresh {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Keeps a delivery with its row as it is recorded. Where there are too many the oldest go: some of them may never be asked for.
    pub fn put(&self, row: OutboxRow, delivery: Delivery) {
        let mut held = self.held();
        held.alerts += delivery.data.alerts.len();
        held.by_id.insert(row.id, (row, delivery));
        while held.alerts > ALERTS_MAX
            && let Some(oldest) = held.by_id.keys().next().copied()
        {
            held.let_go(oldest);
        }
    }

    /// Returns a delivery that is still kept, and keeps it no more.
    pub fn take(&self, id: i64) -> Option<(OutboxRow, Delivery)> {
        self.held().let_go(id)
    }
}
