//! What rules and objectives name: the series that they read and write.

use crate::model::{METRIC_NAME, Matcher};
use crate::promql::walk::selectors;

use super::{Kind, RuleGroup};

/// Returns selectors of all series that rules read or record, each once.
pub fn named(groups: &[RuleGroup]) -> Vec<Vec<Matcher>> {
    let mut all: Vec<Vec<Matcher>> = Vec::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        all.extend(selectors(&rule.expr).into_iter().map(<[Matcher]>::to_vec));
        if let Kind::Record { name, .. } = &rule.kind {
            all.push(vec![Matcher::equal(METRIC_NAME, name)]);
        }
    }
    all.sort_by_cached_key(|selector| spelled(selector));
    all.dedup_by_key(|selector| spelled(selector));
    all
}

fn spelled(selector: &[Matcher]) -> Vec<String> {
    selector.iter().map(Matcher::to_string).collect()
}
