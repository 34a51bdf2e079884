//! Whether an integration is told of a group at a flush, and why.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::Fingerprint;

use super::log::LogEntry;

/// Why a notification is sent; the texts are those of Alertmanager's webhook field `notification_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    #[serde(rename = "first notification")]
    First,
    #[serde(rename = "new alerts added")]
    NewAlerts,
    #[serde(rename = "some alerts resolved")]
    SomeResolved,
    #[serde(rename = "all alerts resolved")]
    AllResolved,
    #[serde(rename = "repeat interval elapsed")]
    Repeat,
    /// A person took the page; only channels that can pass that on hear of it.
    #[serde(rename = "acknowledged")]
    Acknowledged,
}

impl Reason {
    /// Returns the text that records and webhooks carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::First => "first notification",
            Reason::NewAlerts => "new alerts added",
            Reason::SomeResolved => "some alerts resolved",
            Reason::AllResolved => "all alerts resolved",
            Reason::Repeat => "repeat interval elapsed",
            Reason::Acknowledged => "acknowledged",
        }
    }
}

/// What there is to tell one integration at a flush.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Firing alerts that nothing mutes.
    pub visible: &'a BTreeSet<Fingerprint>,
    /// Alerts that it was told of and that have ended, muted or not.
    pub ended: &'a BTreeSet<Fingerprint>,
    /// Whether an alert that it was told of, and that is routed elsewhere by now, still fires.
    pub departed_fires: bool,
    pub send_resolved: bool,
    /// Whether the repeat interval is over and nobody has taken the page.
    pub repeat_due: bool,
}

/// Returns why to notify; None: there is no news.
///
/// All alerts resolved is a reason even where ends are not sent, so that the log forgets them. The end of an alert that was never
/// told is no news. Source: Alertmanager `DedupStage`, with the set of told alerts kept across silences.
pub fn decide(entry: Option<&LogEntry>, sight: Sight<'_>) -> Option<Reason> {
    let Some(entry) = entry else {
        return (!sight.visible.is_empty()).then_some(Reason::First);
    };
    if !sight.visible.is_subset(&entry.firing) {
        return Some(if entry.firing.is_empty() { Reason::First } else { Reason::NewAlerts });
    }
    if sight.visible.is_empty() {
        return (!sight.ended.is_empty() && !sight.departed_fires).then_some(Reason::AllResolved);
    }
    if sight.send_resolved && !sight.ended.is_empty() {
        return Some(Reason::SomeResolved);
    }
    sight.repeat_due.then_some(Reason::Repeat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn set(list: &[u64]) -> BTreeSet<Fingerprint> {
        list.iter().map(|number| Fingerprint(*number)).collect()
    }

    #[test]
    fn news_is_what_the_integration_has_not_heard() {
        use Reason::{AllResolved, First, NewAlerts, Repeat, SomeResolved};
        // told firing (None: nothing yet), visible, ended, departed fires, send_resolved, repeat due
        type Case<'a> = (Option<&'a [u64]>, &'a [u64], &'a [u64], bool, bool, bool, Option<Reason>);
        let cases: [Case; 14] = [
            (None, &[1], &[], false, true, false, Some(First)),
            (None, &[], &[], false, true, true, None),
            (Some(&[]), &[1], &[], false, true, false, Some(First)),
            (Some(&[1]), &[1, 2], &[], false, true, false, Some(NewAlerts)),
            (Some(&[1]), &[2], &[1], false, true, false, Some(NewAlerts)),
            (Some(&[1]), &[1], &[], false, true, false, None),
            (Some(&[1]), &[1], &[], false, true, true, Some(Repeat)),
            (Some(&[1, 2]), &[1], &[2], false, true, false, Some(SomeResolved)),
            (Some(&[1, 2]), &[1], &[2], false, false, false, None),
            (Some(&[1, 2]), &[1], &[2], false, false, true, Some(Repeat)),
            (Some(&[1, 2]), &[], &[1], false, true, false, Some(AllResolved)),
            (Some(&[1, 2]), &[], &[1], false, false, false, Some(AllResolved)),
            (Some(&[1, 2]), &[], &[1], true, true, true, None),
            (Some(&[1]), &[], &[], false, true, true, None),
        ];
        for (index, (firing, visible, ended, departed_fires, send_resolved, repeat_due, expected)) in
            cases.into_iter().enumerate()
        {
            let entry = firing.map(|firing| {
                let mut entry = LogEntry::silent(Timestamp(0), 0);
                (entry.firing, entry.owed) = (set(firing), set(firing));
                entry
            });
            let (visible, ended) = (set(visible), set(ended));
            let sight = Sight { visible: &visible, ended: &ended, departed_fires, send_resolved, repeat_due };
            assert_eq!(decide(entry.as_ref(), sight), expected, "case {index}");
        }
    }
}
