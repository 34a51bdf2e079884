//! What becomes of a panic in a task that must go on: it is logged and counted, and the caller starts the work anew.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::ingest::Ingest;

/// After a fault the work rests this long, so that one that returns at once does not fill the log.
pub const REST: Duration = Duration::from_secs(1);

/// Returns what the work returns; None when it panicked.
///
/// A panic inside the store leaves it locked for ever. Then nothing here can go on, so the process ends: what was visible is in the
/// log of samples, and whoever watches over the process starts it anew.
pub async fn guarded<T>(ingest: &Ingest, what: &str, work: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(value) => Some(value),
        Err(panic) => {
            tracing::error!(what, fault = said(&*panic), "work ended in a fault of Tocsin; it is started anew");
            if ingest.store.is_broken() {
                tracing::error!("the store cannot be used after a fault in it; the process ends");
                std::process::abort();
            }
            None
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
