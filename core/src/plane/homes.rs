//! Which groups each alert belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::Fingerprint;
use crate::route::dispatch::group::GroupId;

/// Follows from the groups. Alerts of one group share its name: of tens of thousands of alerts it would be most of what they take.
#[derive(Debug, Default)]
pub(super) struct Homes {
    /// In order of the groups.
    by_alert: BTreeMap<Fingerprint, Vec<Arc<GroupId>>>,
    names: BTreeSet<Arc<GroupId>>,
}

impl Homes {
    pub fn add(&mut self, alert: Fingerprint, group: &GroupId) {
        let homes = self.by_alert.entry(alert).or_default();
        let Err(place) = homes.binary_search_by(|home| home.as_ref().cmp(group)) else { return };
        let name = self.names.get(group).cloned();
        let name = name.unwrap_or_else(|| {
            let name = Arc::new(group.clone());
            self.names.insert(name.clone());
            name
        });
        homes.insert(place, name);
    }

    pub fn remove(&mut self, alert: Fingerprint, group: &GroupId) {
        let Some(homes) = self.by_alert.get_mut(&alert) else { return };
        homes.retain(|home| home.as_ref() != group);
        if homes.is_empty() {
            self.by_alert.remove(&alert);
        }
        if self.names.get(group).is_some_and(|name| Arc::strong_count(name) == 1) {
            self.names.remove(group);
        }
    }

    pub fn clear(&mut self) {
        *self = Homes::default();
    }

    pub fn has(&self, alert: Fingerprint) -> bool {
        self.by_alert.contains_key(&alert)
    }

    /// Returns the groups of an alert in their order.
    pub fn of(&self, alert: Fingerprint) -> impl Iterator<Item = &GroupId> {
        self.by_alert.get(&alert).into_iter().flatten().map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_as_long_as_it_has_alerts() {
        let group = |key: &str| GroupId { key: key.to_owned(), receiver: "team".to_owned() };
        let mut homes = Homes::default();
        for key in ["b", "a", "b"] {
            homes.add(Fingerprint(1), &group(key));
        }
        homes.add(Fingerprint(2), &group("b"));
        let keys = |homes: &Homes, alert: u64| homes.of(Fingerprint(alert)).map(|id| id.key.clone()).collect::<Vec<_>>();
        assert_eq!((keys(&homes, 1), keys(&homes, 2)), (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()]));
        homes.remove(Fingerprint(1), &group("a"));
        homes.remove(Fingerprint(1), &group("b"));
        assert_eq!((homes.has(Fingerprint(1)), homes.names.len()), (false, 1));
        homes.remove(Fingerprint(2), &group("b"));
        assert!(homes.names.is_empty());
    }
}
