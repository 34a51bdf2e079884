//! Waiting for what users meet: a journey that fails, or one that succeeds again and again.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tocsin_core::run::lever::Awaited;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::time::{Span, Timestamp};

use super::{Issue, Means};
use crate::clock::Stopwatch;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// That nothing was seen is said this much before the time of the attempt is over.
const WORD: Duration = Duration::from_secs(1);

/// One attempt of a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub began: Timestamp,
    pub ok: bool,
}

/// Returns the attempts of a journey that began at an instant or later, in order; none: there is no such journey.
pub type Looks = Box<dyn Fn(&str, Timestamp) -> Option<Vec<Look>> + Send + Sync>;

/// Returns the answer, once the attempts hold what is waited for.
fn found(looks: &[Look], what: Awaited) -> Option<Json> {
    let answer =
        |at: &Look, first: &Look, attempts: usize| json!({ "at": at.began.0, "first": first.began.0, "attempts": attempts });
    match what {
        Awaited::Failed => {
            let index = looks.iter().position(|look| !look.ok)?;
            Some(answer(&looks[index], &looks[index], index + 1))
        }
        Awaited::Clean { count } => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).max(1);
            let start = looks.windows(count).position(|row| row.iter().all(|look| look.ok))?;
            Some(answer(&looks[start], &looks[start + count - 1], start + count))
        }
    }
}

/// Returns how long to wait, so that the word that nothing was seen comes before the attempt is given up.
pub(super) fn patience(timeout: Span) -> Duration {
    let timeout = timeout.to_std();
    timeout.saturating_sub(WORD.min(timeout / 10))
}

pub(super) async fn wait(means: &Means, issue: &Issue) -> Outcome {
    let Request::JourneyWait { journey, what, since } = &issue.request else {
        return Outcome::NotDone("this is no journey".to_owned());
    };
    let (watch, most) = (Stopwatch::start(), patience(issue.timeout));
    loop {
        let Some(looks) = (means.looks)(journey, *since) else {
            return Outcome::NotDone(format!("the configuration has no journey {journey:?}"));
        };
        if let Some(answer) = found(&looks, *what) {
            return Outcome::Answer(answer);
        }
        if watch.elapsed() >= most {
            return Outcome::Answer(json!({ "at": null, "first": null, "attempts": looks.len() }));
        }
        tokio::time::sleep(LOOK_EVERY.min(most.saturating_sub(watch.elapsed()))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(text: &str) -> Vec<Look> {
        text.bytes().enumerate().map(|(at, byte)| Look { began: Timestamp(at as i64 * 10), ok: byte == b'+' }).collect()
    }

    #[test]
    fn the_first_failure_and_the_first_clean_row_are_found() {
        let at = |text: &str, what| found(&looks(text), what).map(|answer| (answer["at"].as_i64(), answer["first"].as_i64()));
        assert_eq!(at("++-+-", Awaited::Failed), Some((Some(20), Some(20))));
        assert_eq!(at("+++", Awaited::Failed), None);
        assert_eq!(at("--++-+++", Awaited::Clean { count: 3 }), Some((Some(50), Some(70))));
        assert_eq!(at("++-++-", Awaited::Clean { count: 3 }), None);
        assert_eq!(at("", Awaited::Clean { count: 0 }), None);
    }
}
