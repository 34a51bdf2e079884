//! Pages: alerts of our own, which routing turns into deliveries and pages as it does any other.

use std::collections::BTreeMap;

use serde_json::json;
use tocsin_core::model::LabelSet;
use tocsin_core::plane::{Event, Reply};
use tocsin_core::route::alert::{ALERT_NAME, IncomingAlert};
use tocsin_core::route::tree::{POLICY_LABEL, RUN_ALERT};
use tocsin_core::run::action::Urgency;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::time::{Span, Timestamp};

use super::{About, Begin, Issue, Means};
use crate::clock;

/// A page of which nobody takes note ends after this long; the run says on its own page how it stands.
const LIFE: Span = Span::from_mins(4 * 60);
/// As long as a run waits for a person it holds what it holds; whoever settles it ends its page.
const LIFE_OF_DOUBT: Span = Span::from_mins(30 * 24 * 60);
/// How the step of a page is called by which a run asks for a person.
const DOUBT: &str = "needs_human";
/// The source of our alerts.
const SOURCE: &str = "run";

fn labels(issue: &Issue, policy: Option<&str>, urgency: Urgency) -> LabelSet {
    let severity = match urgency {
        Urgency::Critical => "critical",
        Urgency::Warning => "warning",
        Urgency::Info => "info",
    };
    // The key makes one page of all attempts at one demand.
    LabelSet::from_pairs([
        (ALERT_NAME, RUN_ALERT),
        ("severity", severity),
        ("platform", &issue.about.platform),
        ("runbook", &issue.about.document),
        ("slug", &issue.about.slug),
        ("run", &issue.run_id),
        ("key", &issue.idem_key),
        (POLICY_LABEL, policy.unwrap_or_default()),
    ])
}

fn alert(
    means: &Means,
    issue: &Issue,
    labels: LabelSet,
    summary: &str,
    starts_at: Option<Timestamp>,
    ends_at: Timestamp,
) -> IncomingAlert {
    let link = format!("{}/runs/{}", means.external_url.trim_end_matches('/'), issue.run_id);
    IncomingAlert {
        labels,
        annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned()), ("link".to_owned(), link.clone())]),
        starts_at,
        ends_at: Some(ends_at),
        generator_url: link,
        source: SOURCE.to_owned(),
    }
}

/// Has people paged; the same key pages once.
pub(super) async fn send(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::Page { policy, summary, urgency } = &issue.request else {
        return Outcome::NotDone("this is no page".to_owned());
    };
    let labels = labels(issue, policy.as_deref(), *urgency);
    let fingerprint = labels.fingerprint();
    let redactor = means.redactor().await;
    let summary = redactor.text(summary, &issue.capture, usize::MAX, false);
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let now = clock::now();
    let life = if issue.key.step.starts_with(DOUBT) { LIFE_OF_DOUBT } else { LIFE };
    match means.watch.event(Event::Alerts(vec![alert(means, issue, labels, &summary, Some(now), now + life)])).await {
        Ok(Ok(Reply::Alerts { refused, .. })) => match refused.first() {
            Some((_, why)) => Outcome::NotDone(format!("the page is refused: {why}")),
            None => Outcome::Answer(json!({ "page": fingerprint.to_string() })),
        },
        Ok(Ok(_)) => Outcome::Unknown("the page was taken for something else".to_owned()),
        Ok(Err(refused)) => Outcome::NotDone(format!("the page is refused: {refused}")),
        Err(error) => Outcome::Unknown(format!("cannot page: {error}")),
    }
}

/// Tells people of a document beside what its runs tell; the same key tells once for as long as it is open.
///
/// Errors: nobody could be told.
pub async fn tell(means: &Means, about: &About, severity: &str, key: &str, text: &str) -> Result<(), String> {
    let labels = LabelSet::from_pairs([
        (ALERT_NAME, RUN_ALERT),
        ("severity", severity),
        ("platform", &about.platform),
        ("runbook", &about.document),
        ("key", key),
    ]);
    let (link, now) = (format!("{}/runs", means.external_url.trim_end_matches('/')), clock::now());
    let alert = IncomingAlert {
        labels,
        annotations: BTreeMap::from([("summary".to_owned(), text.to_owned()), ("link".to_owned(), link.clone())]),
        starts_at: Some(now),
        ends_at: Some(now + LIFE),
        generator_url: link,
        source: SOURCE.to_owned(),
    };
    match means.watch.event(Event::Alerts(vec![alert])).await {
        Ok(Ok(Reply::Alerts { refused, .. })) => match refused.first() {
            Some((_, why)) => Err(why.to_string()),
            None => Ok(()),
        },
        Ok(Ok(_)) => Err("it was taken for something else".to_owned()),
        Ok(Err(refused)) => Err(refused.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Ends the pages of a run: somebody has seen to it.
///
/// Errors: the watch takes nothing; the pages end by themselves later.
pub async fn resolve(means: &Means, run_id: &str) -> Result<(), String> {
    let (run, now) = (run_id.to_owned(), clock::now());
    let is_ours = move |labels: &LabelSet| labels.get(ALERT_NAME) == RUN_ALERT && labels.get("run") == run;
    let open = means.watch.ask(move |state| {
        let ours = state.plane.firing(now).filter(|alert| alert.source == SOURCE && is_ours(&alert.labels));
        ours.cloned().collect::<Vec<_>>()
    });
    let ended = open.await.map_err(|error| error.to_string())?.into_iter().map(|alert| IncomingAlert {
        labels: alert.labels,
        annotations: alert.annotations.to_map(),
        starts_at: Some(alert.starts_at),
        ends_at: Some(now),
        generator_url: alert.generator_url,
        source: alert.source,
    });
    means
        .watch
        .event(Event::Alerts(ended.collect()))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|refused| refused.to_string())?;
    Ok(())
}
