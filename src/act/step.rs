//! Carrying out one request of a run against the world: a program, a request over HTTP, a statement, a signal, a page.
//!
//! A request is refused here once more, by what the configuration says at this moment, whatever the document was checked against.
//! What a request brings back is cut, and shows no secrets, before anybody sees it.

mod account;
pub mod call;
pub mod canary;
mod exec;
mod http;
pub mod journey;
mod lever;
mod order;
pub mod page;
mod people;
mod postgres;
mod proc;
mod query;
mod redact;
mod restore;
mod signal;
pub mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tocsin_core::run::machine::Outcome;
use tocsin_core::run::plan::Capture;
use tocsin_core::run::record::AttemptKey;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::Settings;
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{mpsc, watch as channel};

use super::fault::Faults;
use crate::client;
use crate::clock;
use crate::db::Db;
use crate::pipeline::watch::Watch;
use call::CallAsk;
use canary::Canaries;
use journey::Looks;
use redact::Redactor;

pub use exec::{forget, sweep};
pub use query::value;

/// A program's watcher says how it ended within this much of the end of its time.
const WORD_MAX: Duration = Duration::from_secs(20);
/// A reason is at most this long.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// What requests are carried out with.
pub struct Means {
    /// As the configuration says now.
    pub settings: channel::Receiver<Arc<Settings>>,
    /// Where programs work and leave their answers. Nobody else may enter it.
    pub folder: PathBuf,
    /// Our own program, which watches over others.
    pub program: PathBuf,
    pub store: Arc<Store>,
    pub watch: Watch,
    /// What became of pages and deliveries.
    pub db: Db,
    pub faults: Arc<Faults>,
    pub canaries: Canaries,
    /// What the journeys have seen.
    pub looks: Looks,
    /// The desk, which begins runs that other runs call.
    pub calls: mpsc::Sender<CallAsk>,
    /// Where people find our pages.
    pub external_url: String,
    /// Set once the service stops: programs go on then, and the next process of ours adopts them.
    pub leaving: AtomicBool,
}

/// What a run is about, for those who are paged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub platform: String,
    /// The id of the document.
    pub document: String,
    pub slug: String,
}

/// A request of an attempt.
pub struct Issue {
    pub run_id: String,
    pub about: About,
    pub key: AttemptKey,
    /// What the other side recognises a repeat by.
    pub idem_key: String,
    pub request: Request,
    pub timeout: Span,
    /// It must not leave later.
    pub before: Timestamp,
    pub capture: Capture,
    /// Set when the work at the run begins anew: programs go on then, and are adopted.
    pub goes_on: Arc<AtomicBool>,
}

impl Means {
    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    async fn redactor(&self) -> Redactor {
        let settings = self.settings.borrow().clone();
        let named = settings.secrets.values().chain(settings.databases.iter().filter_map(|database| database.password.as_ref()));
        let mut values = Vec::new();
        for secret in named {
            // One that cannot be read is in no output.
            values.extend(client::reveal(secret).await.ok());
        }
        Redactor::new(values)
    }
}

/// The step over the line: until then nothing has happened, from then on something may have.
struct Begin<'b, F> {
    issued: F,
    before: Timestamp,
    begun: &'b AtomicBool,
}

impl<F: AsyncFnOnce(Option<String>)> Begin<'_, F> {
    /// Has the handle recorded; only when this returns well may anything happen.
    async fn now(self, handle: Option<String>) -> Result<(), Outcome> {
        let late = || Outcome::NotDone("the time by which it had to leave has passed".to_owned());
        if clock::now() > self.before {
            return Err(late());
        }
        (self.issued)(handle).await;
        // Recording takes time, too.
        if clock::now() > self.before {
            return Err(late());
        }
        self.begun.store(true, Ordering::Release);
        Ok(())
    }
}

/// Carries a request out, and returns how it ended.
///
/// `issued` is called and awaited when the effect is about to begin; it must record the handle that finds the request again.
/// Dropping the future stops what can be stopped. What reads only is begun without a word.
pub async fn carry_out(means: &Means, issue: &Issue, issued: impl AsyncFnOnce(Option<String>)) -> Outcome {
    let begun = AtomicBool::new(false);
    let begin = Begin { issued, before: issue.before, begun: &begun };
    let most = match issue.request {
        // Its watcher ends it in time, and tells.
        Request::Exec { .. } => issue.timeout.to_std() + WORD_MAX,
        _ => issue.timeout.to_std(),
    };
    let outcome = match tokio::time::timeout(most, dispatch(means, issue, begin)).await {
        Ok(outcome) => outcome,
        Err(_) if begun.load(Ordering::Acquire) || only_looks(&issue.request) => {
            Outcome::Unknown(format!("no answer within {}", issue.timeout))
        }
        Err(_) => Outcome::NotDone(format!("it could not begin within {}", issue.timeout)),
    };
    let redactor = means.redactor().await;
    let said = |why: String| redactor.text(&why, &issue.capture, MESSAGE_BYTES_MAX, false);
    match outcome {
        Outcome::Answer(answer) => Outcome::Answer(answer),
        Outcome::NotDone(why) => Outcome::NotDone(said(why)),
        Outcome::Unknown(why) => Outcome::Unknown(said(why)),
    }
}

/// Returns whether a request is begun without a word, since it changes nothing.
fn only_looks(request: &Request) -> bool {
    match request {
        Request::Query { .. }
        | Request::Sql { .. }
        | Request::ProcProof { .. }
        | Request::ProxyProof { .. }
        | Request::JourneyWait { .. }
        | Request::CanaryStop(_)
        | Request::CanaryRead(_)
        | Request::PageCheck { .. }
        | Request::OneWriter { .. } => true,
        Request::Exec { .. }
        | Request::Http { .. }
        | Request::PgPromote { .. }
        | Request::PgRestoreCheck { .. }
        | Request::ProcSignal { .. }
        | Request::Page { .. }
        | Request::Call { .. }
        | Request::Proxy { .. }
        | Request::ProxyHeal { .. }
        | Request::CanaryStart(_)
        | Request::CanaryDrop(_) => false,
    }
}

async fn dispatch(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    match &issue.request {
        Request::Exec { .. } => exec::run(means, issue, begin).await,
        Request::Http { .. } => http::send(means, issue, begin).await,
        Request::Query { .. } => query::ask(means, issue).await,
        Request::Sql { .. } => postgres::query(means, issue).await,
        Request::PgPromote { .. } => postgres::promote(means, issue, begin).await,
        Request::PgRestoreCheck { .. } => restore::check(means, issue, begin).await,
        Request::ProcSignal { .. } => signal::send(means, issue, begin).await,
        Request::ProcProof { .. } => signal::prove(means, issue).await,
        Request::Proxy { .. } | Request::ProxyHeal { .. } | Request::ProxyProof { .. } => lever::pull(means, issue, begin).await,
        Request::JourneyWait { .. } => journey::wait(means, issue).await,
        Request::CanaryStart(_) | Request::CanaryStop(_) | Request::CanaryRead(_) | Request::CanaryDrop(_) => {
            canary::carry_out(means, issue, begin).await
        }
        Request::PageCheck { .. } => people::check(means, issue).await,
        Request::OneWriter { .. } => postgres::one_writer(means, issue).await,
        Request::Page { .. } => page::send(means, issue, begin).await,
        Request::Call { .. } => call::call(means, issue, begin).await,
    }
}

/// Waits for what an earlier process of ours has begun, and returns how it ended; none: nobody knows.
///
/// Only programs live on without us. Dropping the future stops them.
pub async fn adopt(means: &Means, issue: &Issue, handle: &str) -> Option<Outcome> {
    match issue.request {
        Request::Exec { .. } => exec::adopt(means, issue, handle).await,
        _ => None,
    }
}
