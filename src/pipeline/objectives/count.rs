//! Counting on a thread: a stretch of bounded length, and nothing of the task's own in it.

use std::sync::Arc;
use std::time::Duration;

use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::slo::{Definition, Judged, Pace, Row, SloError, Standing};
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};

use super::Shared;
use crate::client::answer::with_causes;
use crate::clock::Stopwatch;

/// Reading what is wanted next may take this long; then it fails.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// What a stretch of counting brought.
#[derive(Default)]
pub struct Stretch {
    pub rows: Vec<Row>,
    pub judged: Vec<Judged>,
    pub refused: u64,
    /// Nothing is left to read.
    pub is_current: bool,
    pub error: Option<String>,
    pub seconds: f64,
}

/// Stops a reading when nobody waits for it any more.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Does some work on a thread of its own; a panic in it goes on here.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Counts until nothing is left to read, or until `most` has passed; at least once.
pub async fn count(store: &Arc<Store>, options: &Options, standing: &Shared, now: Timestamp, most: Duration) -> Stretch {
    let cancel = CancelOnDrop(Cancel::new());
    let (store, options, standing, switch) = (store.clone(), options.clone(), standing.clone(), cancel.0.clone());
    let mut work = std::pin::pin!(on_thread(move || stretch(&store, &options, &standing, now, most, &switch)));
    tokio::select! {
        stretch = &mut work => stretch,
        () = tokio::time::sleep(most + READ_TIME_MAX) => {
            cancel.0.cancel();
            // What was counted before the reading that takes so long is not lost.
            let stretch = work.await;
            Stretch { error: Some(format!("reading took longer than {READ_TIME_MAX:?}")), ..stretch }
        }
    }
}

fn stretch(store: &Store, options: &Options, standing: &Shared, now: Timestamp, most: Duration, cancel: &Cancel) -> Stretch {
    let watch = Stopwatch::start();
    let mut stretch = Stretch::default();
    loop {
        // The lock is not held while the store is read.
        let want = standing.lock().expect("counts after a fault are read anew").wants(now);
        let Some(want) = want else {
            stretch.is_current = true;
            break;
        };
        let samples = want.fetch(&store.snapshot(), options, cancel);
        let tick = samples.and_then(|samples| standing.lock().expect("counts after a fault are read anew").tick(now, &samples));
        match tick {
            Ok(tick) => {
                stretch.rows.extend(tick.rows);
                stretch.judged = tick.judged;
                stretch.refused += tick.refused;
                stretch.is_current = tick.is_current;
            }
            Err(error) => stretch.error = Some(with_causes(&error)),
        }
        if stretch.is_current || stretch.error.is_some() || watch.elapsed() >= most {
            break;
        }
    }
    stretch.seconds = watch.seconds();
    stretch
}

/// Returns the counts that go on from stored rows, and rows to store beside them.
pub async fn resume(definition: Arc<Definition>, pace: Pace, rows: Vec<Row>) -> Result<(Standing, Vec<Row>), SloError> {
    on_thread(move || Standing::resume(definition, pace, rows)).await
}

/// Returns counts that begin as far back as there are samples, and as the definition looks.
pub async fn begin(store: &Arc<Store>, definition: Arc<Definition>, pace: Pace, now: Timestamp) -> Standing {
    let store = store.clone();
    on_thread(move || {
        let longest = definition.tiers().last().map_or(Span::ZERO, |tier| tier.keep);
        // What lies at the very beginning is left out, so it begins before the first sample.
        let oldest = store.oldest().map_or(now, |oldest| oldest - Span(1));
        Standing::new(definition, pace, oldest.max(now - longest)).0
    })
    .await
}
