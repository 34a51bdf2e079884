//! Alerts of our own about ourselves: what people must know although no rule of theirs says so.

use std::collections::BTreeMap;
use std::time::Duration;

use tocsin_core::model::LabelSet;
use tocsin_core::plane::Event;
use tocsin_core::route::alert::{ALERT_NAME, IncomingAlert};
use tocsin_core::store::Level;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::memory::Standing;
use super::watch::Watch;
use crate::clock;

/// An alert that stands is told again this often, …
const AGAIN_EVERY: Duration = Duration::from_secs(60);
/// … and ends by itself after this, should we die meanwhile.
const LIFE: Span = Span::from_mins(5);
const SOURCE: &str = "tocsin";

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

    /// Returns what stands now.
    fn kinds(&mut self) -> Vec<Kind> {
        standing_kinds(*self.standing.borrow_and_update(), *self.missing.borrow_and_update())
    }

    /// Works until the one who looks is gone.
    pub async fn tell(mut self) {
        let mut told: BTreeMap<Kind, Timestamp> = BTreeMap::new();
        loop {
            let (kinds, now) = (self.kinds(), clock::now());
            let mut alerts = Vec::new();
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
