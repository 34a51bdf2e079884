//! An alert as routing knows it, and how news of it is folded into what is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Fingerprint, LabelSet, Texts};
use crate::time::{Span, Timestamp};

/// The label that holds an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// An alert of our own rules ends when they say so, not by silence; it carries the last instant that RFC 3339 can write.
pub const NEVER: Timestamp = Timestamp(253_402_300_799_000);

/// Alerts of our own rules carry a source that begins so; the file and the group of the rule follow.
pub const RULE_SOURCE: &str = "rule/";

/// An alert: a label set under which something is, or was, wrong.
///
/// It fires until `ends_at`, which its sender keeps pushing ahead while the trouble lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub fingerprint: Fingerprint,
    pub labels: LabelSet,
    #[serde(default)]
    pub annotations: Texts,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// When we last heard of it.
    pub updated_at: Timestamp,
    /// Whether `ends_at` is our guess, because the sender named no end.
    #[serde(default)]
    pub timeout_derived: bool,
    #[serde(default)]
    pub generator_url: String,
    /// Who told us: `rule/<file>/<group>` for our own rules, `api` for what came from outside.
    #[serde(default)]
    pub source: String,
    /// When it last joined a group, whose own record may be older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Timestamp>,
}

/// News of one alert, as a sender words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncomingAlert {
    /// Labels with empty values do not exist; `LabelSet` drops them.
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
    pub generator_url: String,
    pub source: String,
}

/// Why news of an alert is refused. The texts of the first four are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAlert {
    #[error("at least one label pair required")]
    NoLabels,
    #[error("invalid label set: invalid name \"\"")]
    EmptyLabelName,
    #[error("invalid annotations: invalid name \"\"")]
    EmptyAnnotationName,
    #[error("start time must be before end time")]
    EndsBeforeStart,
    #[error("labels take {bytes} bytes; at most {LABELS_BYTES_MAX} are accepted")]
    LabelsTooLong { bytes: usize },
    #[error("annotations take {bytes} bytes; at most {ANNOTATIONS_BYTES_MAX} are accepted")]
    AnnotationsTooLong { bytes: usize },
    #[error("cannot take the alert {labels}: {limit} alerts are held already, which is the limit")]
    TooManyAlerts { labels: LabelSet, limit: usize },
    #[error("cannot group the alert {labels}: there are {limit} groups already, which is the limit; it is held but not told")]
    TooManyGroups { labels: LabelSet, limit: usize },
}

/// Labels above this many bytes are refused: they are copied into every notification.
const LABELS_BYTES_MAX: usize = 32 << 10;
const ANNOTATIONS_BYTES_MAX: usize = 128 << 10;
const CUT: &str = "…";

impl IncomingAlert {
    /// Returns the news with annotations short enough to be accepted: where they are not, each keeps its share, and the cut is shown.
    pub fn shortened(mut self) -> IncomingAlert {
        let names: usize = self.annotations.keys().map(String::len).sum();
        let texts: usize = self.annotations.values().map(String::len).sum();
        if names + texts > ANNOTATIONS_BYTES_MAX {
            let share = ANNOTATIONS_BYTES_MAX.saturating_sub(names) / self.annotations.len();
            for text in self.annotations.values_mut().filter(|text| text.len() > share) {
                text.truncate(text.floor_char_boundary(share.saturating_sub(CUT.len())));
                text.push_str(CUT);
            }
        }
        self
    }

    /// Returns the alert that this news alone describes, with missing times filled in.
    ///
    /// A missing start is now, or the end where one is given; a missing end is `resolve_timeout` from now.
    /// Source: Alertmanager's API v2.
    pub fn receive(self, now: Timestamp, resolve_timeout: Span) -> Result<Alert, BadAlert> {
        let starts_at = self.starts_at.or(self.ends_at).unwrap_or(now);
        let ends_at = self.ends_at.unwrap_or(now + resolve_timeout);
        let annotations_bytes = self.annotations.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
        if self.labels.is_empty() {
            return Err(BadAlert::NoLabels);
        }
        if self.labels.has("") {
            return Err(BadAlert::EmptyLabelName);
        }
        if self.annotations.contains_key("") {
            return Err(BadAlert::EmptyAnnotationName);
        }
        if self.labels.packed().len() > LABELS_BYTES_MAX {
            return Err(BadAlert::LabelsTooLong { bytes: self.labels.packed().len() });
        }
        if annotations_bytes > ANNOTATIONS_BYTES_MAX {
            return Err(BadAlert::AnnotationsTooLong { bytes: annotations_bytes });
        }
        if ends_at < starts_at {
            return Err(BadAlert::EndsBeforeStart);
        }
        Ok(Alert {
            fingerprint: self.labels.fingerprint(),
            labels: self.labels,
            annotations: Texts::from(&self.annotations),
            starts_at,
            ends_at,
            updated_at: now,
            timeout_derived: self.ends_at.is_none(),
            generator_url: self.generator_url,
            source: self.source,
            joined_at: None,
        })
    }
}

impl Alert {
    /// Returns whether the alert has not ended at an instant.
    pub fn is_firing(&self, at: Timestamp) -> bool {
        self.ends_at > at
    }

    pub fn name(&self) -> &str {
        self.labels.get(ALERT_NAME)
    }

    /// Returns whether the last word on it came from a rule of ours.
    pub fn is_of_rule(&self) -> bool {
        self.source.starts_with(RULE_SOURCE)
    }

    /// Returns what is known once `news` of the same labels arrives.
    ///
    /// News of a span that does not overlap the known one is a new occurrence and replaces it.
    /// Source: Alertmanager `provider/mem`.
    pub fn follow(known: &Alert, news: Alert, now: Timestamp) -> Alert {
        let within = |at: Timestamp| known.starts_at < at && at < known.ends_at;
        if within(news.ends_at) || within(news.starts_at) { Alert::merge(known, news, now) } else { news }
    }

    /// Folds a younger word on an alert into an older one: the younger rules, save that the earliest start is kept, that an end
    /// named outright outlasts a younger one that still fires, and that of two ends in the past the later one counts. Our own rules
    /// say no end that they do not mean, so theirs always counts while it lies ahead.
    ///
    /// Source: Alertmanager `Alert.Merge`.
    fn merge(older: &Alert, younger: Alert, now: Timestamp) -> Alert {
        let keep_end =
            if younger.is_firing(now) { !older.timeout_derived && !younger.is_of_rule() } else { !older.is_firing(now) };
        Alert {
            starts_at: older.starts_at.min(younger.starts_at),
            ends_at: if keep_end { older.ends_at.max(younger.ends_at) } else { younger.ends_at },
            timeout_derived: younger.timeout_derived && !(keep_end && older.ends_at > younger.ends_at),
            ..younger
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Span = Span::from_mins(5);

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn news(starts: Option<i64>, ends: Option<i64>) -> IncomingAlert {
        IncomingAlert {
            labels: LabelSet::from_pairs([(ALERT_NAME, "Slow"), ("empty", "")]),
            starts_at: starts.map(at),
            ends_at: ends.map(at),
            ..IncomingAlert::default()
        }
    }

    fn receive(starts: Option<i64>, ends: Option<i64>, now: i64) -> Alert {
        news(starts, ends).receive(at(now), TIMEOUT).unwrap()
    }

    #[test]
    fn missing_times_are_filled_in() {
        let alert = receive(None, None, 10);
        assert_eq!((alert.starts_at, alert.ends_at, alert.timeout_derived), (at(10), at(310), true));
        let alert = receive(None, Some(7), 10);
        assert_eq!((alert.starts_at, alert.ends_at, alert.timeout_derived), (at(7), at(7), false));
        assert_eq!(alert.labels.to_string(), r#"{alertname="Slow"}"#);
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(news(Some(5), Some(4)).receive(at(9), TIMEOUT), Err(BadAlert::EndsBeforeStart));
        assert_eq!(IncomingAlert::default().receive(at(9), TIMEOUT), Err(BadAlert::NoLabels));
        let nameless = IncomingAlert { labels: LabelSet::from_pairs([("", "x")]), ..IncomingAlert::default() };
        assert_eq!(nameless.receive(at(9), TIMEOUT), Err(BadAlert::EmptyLabelName));
    }

    #[test]
    fn overlapping_news_keeps_the_earliest_start_and_the_right_end() {
        // (known start, known end or timeout), (news start, news end), heard at, (start, end) known after
        let cases = [
            // Sent again while firing: the timeout moves on.
            ((Some(1), None, 1), (None, None, 60), (1, 360)),
            // A second sender saw it earlier.
            ((Some(5), None, 5), (Some(2), None, 6), (2, 306)),
            // Resolved by name before the guess ran out.
            ((Some(1), None, 1), (Some(1), Some(20), 20), (1, 20)),
            // An end named outright in the future outlasts news that fires for less.
            ((Some(1), Some(900), 1), (Some(2), None, 30), (1, 900)),
            // Two ends in the past: the later counts, whichever came first.
            ((Some(1), Some(20), 21), (Some(3), Some(15), 22), (1, 20)),
            ((Some(1), Some(20), 21), (Some(3), Some(25), 26), (1, 25)),
            // A new occurrence after the end.
            ((Some(1), Some(20), 21), (None, None, 30), (30, 330)),
        ];
        for ((known_start, known_end, heard), (start, end, now), expected) in cases {
            let known = receive(known_start, known_end, heard);
            let merged = Alert::follow(&known, receive(start, end, now), at(now));
            assert_eq!((merged.starts_at, merged.ends_at), (at(expected.0), at(expected.1)), "{known:?}");
        }
    }
}
