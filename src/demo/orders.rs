//! The orders of the shop, in whichever server of the pair takes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPool;
use tocsin_core::time::Timestamp;

use super::postgres::{Pair, Server};

/// One server has this long to take an order, the wait for a connection included.
const PATIENCE: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 8;
/// Older orders go.
const ORDERS_KEPT: i64 = 50_000;
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The table of orders; clones share it.
#[derive(Clone)]
pub struct Orders {
    pools: Arc<[PgPool; 2]>,
    /// The server that took the last order is asked first.
    first: Arc<AtomicUsize>,
}

impl Orders {
    /// Opens the orders of the pair in a folder. Nothing is connected before the first order.
    pub fn open(folder: &Path) -> anyhow::Result<Orders> {
        let pair = Pair::find(folder)?;
        let pool = |server| pair.pool(server, CONNECTIONS, PATIENCE);
        let pools = [pool(Server::Primary)?, pool(Server::Standby)?];
        Ok(Orders { pools: Arc::new(pools), first: Arc::default() })
    }

    /// Takes an order; returns its number. None when no server takes it: one is away, and the other one only follows.
    pub async fn take(&self, at: Timestamp) -> Option<i64> {
        let first = self.first.load(Ordering::Relaxed);
        for index in [first, 1 - first] {
            let insert = sqlx::query_scalar::<_, i64>("INSERT INTO shop_order (placed_at_ms) VALUES ($1) RETURNING number");
            let taken = tokio::time::timeout(PATIENCE, insert.bind(at.0).fetch_one(&self.pools[index])).await;
            if let Ok(Ok(number)) = taken {
                self.first.store(index, Ordering::Relaxed);
                return Some(number);
            }
        }
        None
    }

    /// Removes old orders now and then, for ever.
    pub async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let delete = sqlx::query("DELETE FROM shop_order WHERE number <= (SELECT max(number) FROM shop_order) - $1");
            let pool = &self.pools[self.first.load(Ordering::Relaxed)];
            // While no server takes orders there is nothing to remove; the next round will.
            let _ = delete.bind(ORDERS_KEPT).execute(pool).await;
        }
    }
}
