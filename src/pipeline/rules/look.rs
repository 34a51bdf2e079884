//! Which alerting rules of a group are looked at between slots, once scrapes have landed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tocsin_core::model::Matcher;
use tocsin_core::model::matcher::all_match;
use tocsin_core::rule::{EarlyPlan, RuleGroup, early_plan};
use tocsin_core::store::Store;
use tocsin_core::time::Timestamp;

use super::super::scrapes::{Landed, TargetId, TargetLabels};

pub type Targets = Arc<BTreeMap<TargetId, TargetLabels>>;

/// The early looks of one group.
pub struct Looks {
    /// One for each rule; None where there is nothing to look at.
    looks: Vec<Option<Look>>,
    targets: Targets,
}

/// When one rule is looked at between slots.
struct Look {
    selectors: Vec<Vec<Matcher>>,
    waits_for_all: bool,
    /// Whether a target has series that the selectors touch; forgotten when the target brings new series, or is gone.
    touched: HashMap<TargetId, bool>,
    reported: BTreeSet<TargetId>,
}

impl Looks {
    /// `recorded` holds the names of all metrics that rules write.
    pub fn new(group: &RuleGroup, recorded: &BTreeSet<String>) -> Looks {
        let looks = group.rules.iter().map(|rule| {
            let (selectors, waits_for_all) = match early_plan(rule, group, recorded) {
                EarlyPlan::Never => return None,
                EarlyPlan::OnAnyTarget { selectors } => (selectors, false),
                EarlyPlan::WhenAllReported { selectors } => (selectors, true),
            };
            Some(Look { selectors, waits_for_all, touched: HashMap::new(), reported: BTreeSet::new() })
        });
        Looks { looks: looks.collect(), targets: Targets::default() }
    }

    /// Takes note that a rule has been evaluated.
    pub fn evaluated(&mut self, index: usize) {
        if let Some(look) = &mut self.looks[index] {
            look.reported.clear();
        }
    }

    /// Learns which targets there are now.
    pub fn know(&mut self, targets: &Targets) {
        if Arc::ptr_eq(&self.targets, targets) {
            return;
        }
        self.targets = targets.clone();
        for look in self.looks.iter_mut().flatten() {
            look.touched.retain(|id, _| targets.contains_key(id));
            look.reported.retain(|id| targets.contains_key(id));
        }
    }

    /// Returns whether `due` has to ask the store, which takes time.
    pub fn must_ask(&self, landed: &[Landed]) -> bool {
        self.looks.iter().flatten().any(|look| {
            let is_open = |scrape: &Landed| scrape.added > 0 || !look.touched.contains_key(&scrape.target);
            landed.iter().any(is_open) || look.waits_for_all && look.touched.len() < self.targets.len()
        })
    }

    /// Returns the rules whose look is due after some scrapes.
    pub fn due(&mut self, landed: &[Landed], store: &Store) -> Vec<usize> {
        let targets = &self.targets;
        let mut due = Vec::new();
        for (index, look) in self.looks.iter_mut().enumerate() {
            let Some(look) = look else { continue };
            let mut hit = false;
            for scrape in landed {
                if scrape.added > 0 {
                    look.touched.remove(&scrape.target);
                }
                if look.touches(scrape.target, targets, store) {
                    hit = true;
                    look.reported.insert(scrape.target);
                }
            }
            let waits = |look: &mut Look| {
                look.waits_for_all && targets.keys().any(|id| !look.reported.contains(id) && look.touches(*id, targets, store))
            };
            if hit && !waits(look) {
                due.push(index);
            }
        }
        due
    }
}

impl Look {
    /// Returns whether a target has a series that one of the selectors may touch.
    fn touches(&mut self, target: TargetId, targets: &Targets, store: &Store) -> bool {
        if let Some(known) = self.touched.get(&target) {
            return *known;
        }
        let Some(labels) = targets.get(&target) else { return false };
        let touches = self.selectors.iter().any(|selector| {
            let own: Vec<Matcher> = selector.iter().filter(|matcher| labels.has(&matcher.name)).cloned().collect();
            let mut asked = selector.clone();
            asked.extend(
                ["job", "instance"].iter().filter(|name| labels.has(name)).map(|name| Matcher::equal(*name, labels.get(name))),
            );
            all_match(&own, labels) && !store.series(&[asked], Timestamp::MIN, Timestamp::MAX, 1).items.is_empty()
        });
        self.touched.insert(target, touches);
        touches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_core::model::{Cell, LabelSet, Row, Value};
    use tocsin_core::rule::{Defaults, read};
    use tocsin_core::store::StoreOptions;

    #[test]
    fn what_is_known_of_targets_goes_with_them() {
        let text = "groups:\n- name: g\n  rules:\n  - alert: Sum\n    expr: sum(x) > 1\n";
        let group = read("rules.yml", text, &Defaults::default()).0.remove(0);
        let store = Store::new(StoreOptions::default());
        let labels = |id: &str| LabelSet::from_pairs([("instance", id), ("job", "node")]);
        let cells = ["a", "b"].map(|id| {
            let labels = labels(id).builder().set("__name__", "x").build();
            Cell { series: store.resolve(&labels).unwrap(), at: None, value: Value::Float(1.0) }
        });
        store.append(&Row { at: Timestamp(1), cells: cells.to_vec() }, &|_| Ok(())).unwrap();
        let both: Targets = Arc::new([(1, Arc::new(labels("a"))), (2, Arc::new(labels("b")))].into());
        let landed = |target| [Landed { target, added: 0 }];

        let mut looks = Looks::new(&group, &BTreeSet::new());
        looks.know(&both);
        assert!(looks.must_ask(&landed(1)));
        assert!(looks.due(&landed(1), &store).is_empty(), "the sum waits for the other target");
        assert_eq!(looks.due(&landed(2), &store), [0]);
        assert!(!looks.must_ask(&landed(1)), "both are known now");

        looks.evaluated(0);
        let one: Targets = Arc::new([(1, Arc::new(labels("a")))].into());
        looks.know(&one);
        assert_eq!(looks.looks[0].as_ref().unwrap().touched.len(), 1, "a target that is gone is forgotten");
        assert_eq!(looks.due(&landed(1), &store), [0], "nobody waits for a target that is gone");
    }
}
