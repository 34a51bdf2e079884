//! Attempts at deliveries: those that end at the same time are recorded together.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::deliveries::{Attempt, DeliveryState, Verdict, note_lost};
use super::{Db, DbError, Write};

/// Attempts that wait to be recorded. In a storm each commit would be one attempt's, and it costs more than the rows.
#[derive(Debug, Default)]
pub struct Waiting {
    queue: Mutex<Vec<Waiter>>,
    /// Whoever has it records what waits.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiter {
    writes: Vec<Write>,
    /// Dropped without a word: whoever waits records for itself.
    recorded: oneshot::Sender<()>,
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

impl Db {
    /// Records an attempt and what it means for its delivery, in one step. A delivery that has ended already stays ended; one that ends
    /// without arriving is noted as lost.
    pub async fn record_attempt(&self, attempt: &Attempt, verdict: &Verdict) -> Result<(), DbError> {
        let own = writes(attempt, verdict);
        let (recorded, mut heard) = oneshot::channel();
        let (Db::Lite { attempts, .. } | Db::Pg { attempts, .. }) = self;
        attempts.queue().push(Waiter { writes: own.clone(), recorded });
        let turn = attempts.turn.lock().await;
        match heard.try_recv() {
            Ok(()) => return Ok(()),
            Err(TryRecvError::Closed) => {}
            Err(TryRecvError::Empty) => {
                let waiters = std::mem::take(&mut *attempts.queue());
                let all: Vec<Write> = waiters.iter().flat_map(|waiter| waiter.writes.clone()).collect();
                let recorded = self.apply(&all).await.map(drop);
                if recorded.is_ok() || waiters.len() == 1 {
                    // Whoever has gone need not know.
                    waiters.into_iter().for_each(|waiter| _ = waiter.recorded.send(()));
                    return recorded;
                }
            }
        }
        // It may be another one that cannot be recorded.
        drop(turn);
        self.apply(&own).await.map(drop)
    }
}

fn writes(attempt: &Attempt, verdict: &Verdict) -> Vec<Write> {
    let (state, next_at, finished_at) = match verdict {
        Verdict::Finished(state) => (*state, attempt.at, Some(attempt.at)),
        Verdict::Partly => (DeliveryState::Rejected, attempt.at, Some(attempt.at)),
        Verdict::RetryAt(at) => (DeliveryState::Pending, *at, None),
    };
    let is_lost = matches!(verdict, Verdict::Finished(DeliveryState::Rejected | DeliveryState::Expired));
    let lost = is_lost.then(|| note_lost(attempt.delivery_id));
    let own = [
        Write::new(
            "INSERT INTO attempt (delivery_id, number, at_ms, outcome, detail, duration_ms) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (delivery_id, number) DO NOTHING",
            [
                attempt.delivery_id.into(),
                attempt.number.into(),
                attempt.at.into(),
                attempt.outcome.as_str().into(),
                attempt.detail.as_str().into(),
                attempt.duration_ms.into(),
            ],
        ),
        Write::new(
            "UPDATE delivery SET state = $2, next_attempt_at_ms = $3, finished_at_ms = $4, attempts = $5 WHERE id = $1 AND state = 'pending'",
            [attempt.delivery_id.into(), state.word().into(), next_at.into(), finished_at.into(), attempt.number.into()],
        ),
    ];
    lost.into_iter().chain(own).collect()
}
