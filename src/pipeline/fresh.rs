//! Deliveries that were decided a moment ago, handed on in memory: the outbox need not read back what is on its way to the database.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tocsin_core::plane::Delivery;

/// Deliveries that tell of so many alerts in total are kept; the outbox reads the others.
const ALERTS_MAX: usize = 10_000;

/// Both ends share it.
#[derive(Debug, Default)]
pub struct Fresh(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    by_key: HashMap<String, Delivery>,
    alerts: usize,
}

impl Fresh {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Keeps a delivery. Where there are too many, those before go: some of them may never be asked for.
    pub fn put(&self, delivery: Delivery) {
        let (mut held, alerts) = (self.held(), delivery.data.alerts.len());
        if held.alerts + alerts > ALERTS_MAX {
            *held = Held::default();
        }
        held.alerts += alerts;
        if let Some(before) = held.by_key.insert(delivery.key.clone(), delivery) {
            held.alerts -= before.data.alerts.len();
        }
    }

    /// Returns a delivery that is still kept, and keeps it no more.
    pub fn take(&self, key: &str) -> Option<Delivery> {
        let mut held = self.held();
        let delivery = held.by_key.remove(key)?;
        held.alerts -= delivery.data.alerts.len();
        Some(delivery)
    }
}
