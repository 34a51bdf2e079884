//! What became of one alert at one instant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::LabelSet;
use crate::time::{Span, Timestamp};

use super::moment;

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStep {
    pub at: Timestamp,
    /// The labels that routing sees.
    pub labels: LabelSet,
    /// Those that its rule gave it, where relabelling made others of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<LabelSet>,
    /// Its rule, such as `checkout.yml/errors`, or who sent it.
    pub source: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The condition has begun to hold. `value`: what the expression brought, as text, since JSON has no infinities.
    Pending { value: String, hold: Span },
    /// It fires. `routed`: whether routing hears of it; relabelling may drop it.
    Fired { value: String, since: Timestamp, hold: Span, routed: bool },
    /// The condition held no longer before it fired.
    Cleared { since: Timestamp },
    /// The condition holds no longer; it fires on for as long as its rule asks.
    Kept { keep_firing: Span },
    /// It has ended; `fired_at`: since when it fired.
    Resolved { fired_at: Timestamp },
    /// Nobody can tell whether the condition holds, and it goes on as it was.
    Held { why: String },
    /// It can be told again.
    Seen,
    /// Its rule has more alerts than it may have, so all of them go.
    Lost,
    /// Its rule is gone.
    RuleGone,
    /// Somebody says that it fires; without further word until `ends_at`.
    Received { ends_at: Timestamp },
    /// Its sender says that it has ended.
    Ended,
    /// It has begun so often that it flaps: until it is quiet its ends are put off.
    Flaps { begins: usize, within: Span, quiet: Span },
    /// It has ended, but it flaps: it fires on until then, unless it begins again.
    PutOff { until: Timestamp },
    /// It flaps no more. `quiet`: it has neither begun nor ended for this long; None: nobody looks for it any more. `ended`: an end
    /// that was put off counts now.
    Calm { quiet: Option<Span>, ended: bool },
    /// Routing has no room for it.
    Refused { reason: String },
}

impl What {
    /// Returns whether the alert fires after it; None: it says nothing of that.
    pub fn fires(&self) -> Option<bool> {
        match self {
            What::Fired { .. } | What::Received { .. } | What::PutOff { .. } => Some(true),
            What::Pending { .. } | What::Cleared { .. } | What::Resolved { .. } | What::Lost | What::RuleGone | What::Ended => {
                Some(false)
            }
            What::Calm { ended, .. } => ended.then_some(false),
            What::Kept { .. } | What::Held { .. } | What::Seen | What::Flaps { .. } | What::Refused { .. } => None,
        }
    }
}

impl fmt::Display for AlertStep {
    /// Writes it as a sentence, such as `fires: the condition of checkout.yml/errors holds since 10:02:15, longer than 5m; value 0.034`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, moment) = (&self.source, |at: Timestamp| moment(at, self.at));
        match &self.what {
            What::Pending { value, hold } => {
                write!(f, "pending: the condition of {source} has begun to hold, value {value}; it fires after {hold}")
            }
            What::Fired { value, hold, routed, .. } if *hold == Span::ZERO => {
                write!(f, "fires: the condition of {source} holds, value {value}{}", dropped(*routed))
            }
            What::Fired { value, since, hold, routed } => {
                let (since, dropped) = (moment(*since), dropped(*routed));
                write!(
                    f,
                    "fires: the condition of {source} holds since {since}, its rule asks for {hold}; value {value}{dropped}"
                )
            }
            What::Cleared { since } => {
                write!(f, "no longer pending: the condition held from {} only, too short to fire", moment(*since))
            }
            What::Kept { keep_firing } => {
                write!(f, "the condition holds no longer; keep_firing_for lets it fire on for {keep_firing}")
            }
            What::Resolved { fired_at } => {
                write!(f, "resolved: the condition holds no longer; it fired from {}", moment(*fired_at))
            }
            What::Held { why } => write!(f, "nobody can tell whether it still holds ({why}); it goes on as it was"),
            What::Seen => f.write_str("it can be told again whether it holds"),
            What::Lost => f.write_str("its rule has more alerts than its limit, so all of them are gone"),
            What::RuleGone => f.write_str("ended: its rule is gone"),
            What::Received { ends_at } => {
                write!(f, "fires: {source} says so; without further word until {}", moment(*ends_at))
            }
            What::Ended => write!(f, "ended: {source} says so"),
            What::Flaps { begins, within, quiet } => {
                write!(f, "flaps: it has begun {begins} times within {within}; its end is told once it was quiet for {quiet}")
            }
            What::PutOff { until } => {
                let until = moment(*until);
                write!(f, "its end is held back, for it flaps: unless it begins again, it ends at {until}")
            }
            What::Calm { quiet, ended } => {
                let over = if *ended { "ended" } else { "flaps no more" };
                match (quiet, ended) {
                    (Some(quiet), true) => write!(f, "{over}: it was quiet for {quiet}"),
                    (Some(quiet), false) => write!(f, "{over}: it has lasted for {quiet}"),
                    (None, _) => write!(f, "{over}: the configuration does not ask for flapping any more"),
                }
            }
            What::Refused { reason } => write!(f, "routing has no place for it: {reason}"),
        }
    }
}

fn dropped(routed: bool) -> &'static str {
    if routed { "" } else { "; alert_relabel_configs drop it, so nobody hears of it" }
}
