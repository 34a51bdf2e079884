//! Runs of other runbooks, which the desk begins and waits for.

use serde_json::json;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::value::Values;
use tokio::sync::oneshot;

use super::{Begin, Issue, Means};

/// Asks for a run of a runbook. The same reference asks for the same run, however often.
pub struct CallAsk {
    pub runbook: String,
    pub params: Values,
    pub parent_run: String,
    /// The key of the attempt that calls.
    pub reference: String,
    /// Called once the run has ended. Dropped: the caller learns nothing, and asks again.
    pub answer: oneshot::Sender<Called>,
}

/// How a called run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// The word of its last state.
    Ended { run: String, state: String },
    /// There is no run, for this reason.
    Refused(String),
}

pub(super) async fn call(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::Call { runbook, params } = &issue.request else { return Outcome::NotDone("this is no call".to_owned()) };
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let (answer, called) = oneshot::channel();
    let ask = CallAsk {
        runbook: runbook.clone(),
        params: params.clone(),
        parent_run: issue.run_id.clone(),
        reference: issue.idem_key.clone(),
        answer,
    };
    if means.calls.send(ask).await.is_err() {
        return Outcome::NotDone("the service is stopping".to_owned());
    }
    match called.await {
        Ok(Called::Ended { run, state }) => Outcome::Answer(json!({ "state": state, "run": run })),
        Ok(Called::Refused(why)) => Outcome::NotDone(why),
        Err(_) => Outcome::Unknown(format!("nobody said how the run of {runbook} ended")),
    }
}
