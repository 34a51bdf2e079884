//! Alerts of our own about ourselves: what people must know although no rule of theirs says so.

use std::collections::BTreeMap;
use std::time::Duration;

use tocsin_core::model::LabelSet;
use tocsin_core::plane::{Event, Reminder};
use tocsin_core::route::alert::{ALERT_NAME, IncomingAlert};
use tocsin_core::route::silence::SILENCE_LABEL;
use tocsin_core::store::Level;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::memory::Standing;
use super::watch::Watch;
use crate::clock;

/// An alert that stands is told again this often, …
const AGAIN_EVERY: Duration = Duration::from_secs(20);
/// … and ends by itself after this, should we die meanwhile.
const LIFE: Span = Span::from_mins(5);
const SOURCE: &str = "tocsin";
/// The alert by which people are reminded of the end of a silence.
const SILENCE_ENDS: &str = "TocsinSilenceEnds";

/// What may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    MemoryShort,
    SeriesLimit,
    SamplesUnsaved,
    SamplesDamaged,
    NotificationsMissing,
}

impl Kind {
    fn labels(self) -> LabelSet {
        let (name, severity) = match self {
            Kind::MemoryShort => ("TocsinMemoryShort", "critical"),
            Kind::SeriesLimit => ("TocsinSeriesLimit", "warning"),
            Kind::SamplesUnsaved => ("TocsinSamplesUnsaved", "critical"),
            Kind::SamplesDamaged => ("TocsinSamplesDamaged", "warning"),
            Kind::NotificationsMissing => ("TocsinNotificationsMissing", "critical"),
        };
        LabelSet::from_pairs([(ALERT_NAME, name), ("severity", severity), ("service", "tocsin")])
    }

    fn summary(self) -> &'static str {
        match self {
            Kind::MemoryShort => {
                "Memory is short: new series are refused, queries may be. Rules and alerts go on. See who grows, and limit or drop it."
            }
            Kind::SeriesLimit => {
                "The store holds as many series as it may: new ones are refused, known ones go on. See who grows, and limit or drop it."
            }
            Kind::SamplesUnsaved => {
                "Samples cannot be written to the disk and live in memory only; a stop would lose them. Scraping and alerting go on. \
                 Free the disk or see what it refuses in the log; writing resumes within a minute."
            }
            Kind::SamplesDamaged => {
                "Files of samples were damaged and are kept aside as *.damaged in the data folder; what they held may be missing. \
                 Look at the disk, restore a snapshot if need be, and move the files away: then this ends."
            }
            Kind::NotificationsMissing => {
                "Somebody has not heard of an alert that fires and that nothing holds back: it was refused, or never sent. The log names it; \
                 tocsin why tells how it came so. Look at the receiver, and tell people by other means."
            }
        }
    }
}

/// Returns what stands.
fn standing_kinds(standing: Standing, missing: usize) -> Vec<Kind> {
    let kinds = [
        (Kind::MemoryShort, standing.level >= Level::Close),
        (Kind::SeriesLimit, standing.is_full),
        (Kind::SamplesUnsaved, standing.is_unsaved),
        (Kind::SamplesDamaged, standing.is_damaged),
        (Kind::NotificationsMissing, missing > 0),
    ];
    kinds.into_iter().filter(|(_, stands)| *stands).map(|(kind, _)| kind).collect()
}

/// Tells people what they must know of us, as long as the process lives.
pub struct OwnAlerts {
    pub watch: Watch,
    pub standing: watch::Receiver<Standing>,
    /// How many notifications are missing.
    pub missing: watch::Receiver<usize>,
    pub external_url: String,
}

impl OwnAlerts {
    fn alert(&self, kind: Kind, since: Timestamp, ends_at: Timestamp) -> IncomingAlert {
        let page = match kind {
            Kind::MemoryShort | Kind::SeriesLimit => "/explore/series",
            Kind::SamplesUnsaved | Kind::SamplesDamaged => "/",
            Kind::NotificationsMissing => "/alerts/notifications",
        };
        let link = format!("{}{page}", self.external_url.trim_end_matches('/'));
        IncomingAlert {
            labels: kind.labels(),
            annotations: BTreeMap::from([("summary".to_owned(), kind.summary().to_owned()), ("link".to_owned(), link.clone())]),
            starts_at: Some(since),
            ends_at: Some(ends_at),
            generator_url: link,
            source: SOURCE.to_owned(),
        }
    }

    /// Returns the alert that a silence ends soon while others fire under it. It ends with the silence, unless that is put off.
    fn reminder(&self, reminder: &Reminder, now: Timestamp) -> IncomingAlert {
        let Reminder { silence, firing } = reminder;
        let link = format!("{}/alerts/silences", self.external_url.trim_end_matches('/'));
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        let owner = silence.owner.as_ref().unwrap_or(&silence.created_by);
        let labels = LabelSet::from_pairs([
            (ALERT_NAME, SILENCE_ENDS),
            ("severity", "info"),
            ("service", "tocsin"),
            (SILENCE_LABEL, silence.id.as_str()),
            ("owner", owner.as_str()),
        ]);
        let ends_at = silence.ends_at.rfc3339();
        let summary = format!("The silence of {owner} for {} ends at {ends_at}", matchers.join(", "));
        let alerts = if *firing == 1 { "One alert fires".to_owned() } else { format!("{firing} alerts fire") };
        let description = format!("{alerts} under it, and will be told then: {}", silence.comment);
        let annotations = [("summary", summary), ("description", description), ("link", link.clone())];
        IncomingAlert {
            labels,
            annotations: annotations.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
            // The same each time it is said.
            starts_at: Some(silence.starts_at.max(silence.updated_at).min(now)),
            ends_at: Some(silence.ends_at),
            generator_url: link,
            source: SOURCE.to_owned(),
        }
    }

    /// Returns what people are to be reminded of, and the ends of what they were reminded of before and is no more; None: nobody
    /// listens any more.
    async fn reminders(&self, told: &mut BTreeMap<String, IncomingAlert>, now: Timestamp) -> Option<Vec<IncomingAlert>> {
        let Ok(reminders) = self.watch.ask(move |state| state.plane.reminders(now)).await else {
            // One that is busy is asked again with the next turn.
            return (!self.watch.is_gone()).then(Vec::new);
        };
        let mut alerts: BTreeMap<String, IncomingAlert> = BTreeMap::new();
        for reminder in &reminders {
            alerts.insert(reminder.silence.id.clone(), self.reminder(reminder, now));
        }
        let over = told.extract_if(.., |id, _| !alerts.contains_key(id)).map(|(_, alert)| alert);
        let ended: Vec<IncomingAlert> =
            over.map(|alert| IncomingAlert { ends_at: Some(alert.ends_at.map_or(now, |end| end.min(now))), ..alert }).collect();
        told.extend(alerts.clone());
        Some(alerts.into_values().chain(ended).collect())
    }

    /// Returns what stands now.
    fn kinds(&mut self) -> Vec<Kind> {
        standing_kinds(*self.standing.borrow_and_update(), *self.missing.borrow_and_update())
    }

    /// Works until the one who looks is gone.
    pub async fn tell(mut self) {
        let mut told: BTreeMap<Kind, Timestamp> = BTreeMap::new();
        let mut reminded = BTreeMap::new();
        loop {
            let (kinds, now) = (self.kinds(), clock::now());
            let Some(mut alerts) = self.reminders(&mut reminded, now).await else { return };
            for kind in &kinds {
                let since = *told.entry(*kind).or_insert(now);
                alerts.push(self.alert(*kind, since, now + LIFE));
            }
            for (kind, since) in told.extract_if(.., |kind, _| !kinds.contains(kind)) {
                alerts.push(self.alert(kind, since, now));
            }
            // What routing refuses is offered again with the next turn; a watch that has gone tells nobody any more.
            if !alerts.is_empty() && self.watch.event(Event::Alerts(alerts)).await.is_err() {
                return;
            }
            let changed = async {
                loop {
                    let changed = tokio::select! {
                        changed = self.standing.changed() => changed,
                        changed = self.missing.changed() => changed,
                    };
                    if changed.is_err() || self.kinds() != kinds {
                        return changed.is_ok();
                    }
                }
            };
            if let Ok(false) = tokio::time::timeout(AGAIN_EVERY, changed).await {
                return;
            }
        }
    }
}
