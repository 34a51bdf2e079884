//! Whether the right person was paged: what became of a page, from what was stored of it.

use std::time::Duration;

use serde_json::json;
use tocsin_core::page::Page;
use tocsin_core::route::alert::ALERT_NAME;
use tocsin_core::route::tree::RUN_ALERT;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::time::{Span, Timestamp};

use super::journey::patience;
use super::{Issue, Means};
use crate::clock::{self, Stopwatch};
use crate::db::DbError;
use crate::db::deliveries::{DeliveryFilter, DeliveryState};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pages that are looked through, newest first.
const PAGES_MAX: i64 = 2_000;
const DELIVERIES_MAX: i64 = 500;

/// What is expected of a page.
struct Wanted<'r> {
    platform: &'r str,
    since: Timestamp,
    person: Option<&'r str>,
    receiver: Option<&'r str>,
    delivered_within: Span,
    /// Zero: nobody needs to take it.
    acked_within: Span,
}

/// A page, and when it first reached somebody.
struct Seen {
    page: Page,
    delivered_at: Option<Timestamp>,
}

/// What is to be said of a page.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Good,
    /// It may still become good.
    Wait(String),
    Bad(String),
}

impl Wanted<'_> {
    fn is_about(&self, page: &Page) -> bool {
        // Pages of runs are about the run.
        let of_platform = page
            .alerts
            .values()
            .any(|alert| alert.labels.get("platform") == self.platform && alert.labels.get(ALERT_NAME) != RUN_ALERT);
        page.opened_at >= self.since && of_platform && self.receiver.is_none_or(|receiver| page.group.receiver == receiver)
    }

    fn judge(&self, seen: &Seen, now: Timestamp) -> Word {
        let page = &seen.page;
        let late = |limit: Span, what: &str| match page.opened_at + limit < now {
            true => Word::Bad(format!("the page was not {what} within {limit}")),
            false => Word::Wait(format!("the page is not {what} yet")),
        };
        if let Some(person) = self.person
            && !page.users.iter().any(|user| user == person)
        {
            return Word::Bad(format!("the page asks {}, not {person}", list(&page.users)));
        }
        match seen.delivered_at {
            None => return late(self.delivered_within, "delivered"),
            Some(at) if at > page.opened_at + self.delivered_within => {
                return Word::Bad(format!(
                    "the page was delivered after {}, not within {}",
                    at.since(page.opened_at),
                    self.delivered_within
                ));
            }
            Some(_) => {}
        }
        if self.acked_within <= Span::ZERO {
            return Word::Good;
        }
        match (page.acknowledged_at, &page.acknowledged_by) {
            (Some(at), _) if at > page.opened_at + self.acked_within => Word::Bad(format!(
                "the page was acknowledged after {}, not within {}",
                at.since(page.opened_at),
                self.acked_within
            )),
            (Some(_), Some(by)) if self.person.is_some_and(|person| person != by) => {
                Word::Bad(format!("{by} acknowledged the page"))
            }
            (Some(_), _) => Word::Good,
            (None, _) => late(self.acked_within, "acknowledged"),
        }
    }
}

fn list(users: &[String]) -> String {
    if users.is_empty() { "nobody".to_owned() } else { users.join(", ") }
}

/// Returns the pages that are meant, oldest first.
async fn look(means: &Means, wanted: &Wanted<'_>) -> Result<Vec<Seen>, DbError> {
    let mut pages: Vec<Page> = means.db.pages(false, PAGES_MAX).await?;
    pages.retain(|page| wanted.is_about(page));
    pages.sort_by_key(|page| page.opened_at);
    let mut seen = Vec::with_capacity(pages.len());
    for page in pages {
        let filter = DeliveryFilter {
            state: Some(DeliveryState::Delivered),
            page_id: Some(page.id.clone()),
            limit: DELIVERIES_MAX,
            ..DeliveryFilter::default()
        };
        let delivered = means.db.deliveries(&filter).await?;
        let delivered_at = delivered.iter().filter_map(|delivery| delivery.finished_at).min();
        seen.push(Seen { page, delivered_at });
    }
    Ok(seen)
}

pub(super) async fn check(means: &Means, issue: &Issue) -> Outcome {
    let Request::PageCheck { platform, since, person, receiver, delivered_within, acked_within } = &issue.request else {
        return Outcome::NotDone("this is no page".to_owned());
    };
    let wanted = Wanted {
        platform,
        since: *since,
        person: person.as_deref(),
        receiver: receiver.as_deref(),
        delivered_within: *delivered_within,
        acked_within: *acked_within,
    };
    let (watch, most) = (Stopwatch::start(), patience(issue.timeout));
    loop {
        let over = watch.elapsed() >= most;
        let seen = match look(means, &wanted).await {
            Ok(seen) => seen,
            Err(error) if over => return Outcome::NotDone(format!("cannot look for pages: {error}")),
            Err(_) => Vec::new(),
        };
        let judged: Vec<(&Seen, Word)> = seen.iter().map(|one| (one, wanted.judge(one, clock::now()))).collect();
        // One good page is enough; otherwise the oldest one is told of.
        let best = judged.iter().find(|(_, word)| *word == Word::Good).or(judged.first());
        let waits = judged.is_empty() || judged.iter().any(|(_, word)| matches!(word, Word::Wait(_)));
        match best {
            Some((one, word)) if *word == Word::Good || over || !waits => return Outcome::Answer(told(one, word)),
            None if over => {
                return Outcome::Answer(json!({ "page": null, "ok": false, "why": format!("nobody was paged for {platform}") }));
            }
            Some(_) | None => tokio::time::sleep(LOOK_EVERY.min(most.saturating_sub(watch.elapsed()))).await,
        }
    }
}

fn told(seen: &Seen, word: &Word) -> serde_json::Value {
    let page = &seen.page;
    let why = match word {
        Word::Good => "",
        Word::Wait(why) | Word::Bad(why) => why,
    };
    json!({
        "page": page.id,
        "person": page.acknowledged_by.clone().or_else(|| page.users.first().cloned()),
        "receiver": page.group.receiver,
        "sent_at": page.opened_at.0,
        "delivered_at": seen.delivered_at.map(|at| at.0),
        "acked_at": page.acknowledged_at.map(|at| at.0),
        "ok": *word == Word::Good,
        "why": why,
    })
}
