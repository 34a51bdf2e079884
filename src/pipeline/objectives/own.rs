//! What the task keeps of one objective.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_core::ledger::{RuleKey, RuleTerms};
use tocsin_core::model::LabelSet;
use tocsin_core::rule::Holding;
use tocsin_core::slo::{Definition, Row};
use tocsin_core::template::escape_query;
use tocsin_core::time::{Span, Timestamp};

use super::{Shared, Shown};

/// After something went wrong it is not tried again for this many times as long as it took.
const REST: f64 = 9.0;

/// Counts that catch up. Nothing of them is stored before they have.
pub struct Coming {
    pub counts: Shared,
    /// Rows up to here are stored already.
    pub stored_until: Option<Timestamp>,
    /// Rows to store beside those that follow.
    pub added: Vec<Row>,
}

pub struct Own {
    /// As the files have it.
    pub definition: Arc<Definition>,
    /// The alert rules that the files have.
    pub rules: Vec<(RuleKey, Arc<RuleTerms>)>,
    /// Counts that are stored and judged; those of an earlier definition while its successor catches up.
    pub counts: Option<Shared>,
    pub coming: Option<Coming>,
    /// What is stored has been looked at since the definition came.
    pub is_loaded: bool,
    /// The counts that are judged have more to read than one stretch.
    pub is_behind: bool,
    /// Rows to store with those of the next step.
    pub added: Vec<Row>,
    pub not_before: Timestamp,
    pub error: Option<String>,
    pub refused: u64,
    pub was_tried: bool,
    /// The series that were written last; those that are not written again have ended.
    pub written: BTreeSet<LabelSet>,
}

impl Own {
    pub fn new(definition: Arc<Definition>, external_url: &str, step: Span) -> Own {
        Own {
            rules: rules(&definition, external_url, step),
            definition,
            counts: None,
            coming: None,
            is_loaded: false,
            is_behind: false,
            added: Vec::new(),
            not_before: Timestamp::MIN,
            error: None,
            refused: 0,
            was_tried: false,
            written: BTreeSet::new(),
        }
    }

    /// Puts another definition in place of the present one. Counts that are of use to it stay; others go on until theirs have caught
    /// up.
    pub fn redefine(&mut self, definition: Arc<Definition>, external_url: &str, step: Span) {
        self.rules = rules(&definition, external_url, step);
        self.definition = definition.clone();
        self.not_before = Timestamp::MIN;
        if let Some(added) = redefine(self.counts.as_ref(), &definition) {
            self.added.extend(added);
            (self.coming, self.is_loaded) = (None, true);
            return;
        }
        match redefine(self.coming.as_ref().map(|coming| &coming.counts), &definition) {
            Some(added) => self.coming.iter_mut().for_each(|coming| coming.added.extend(added.iter().cloned())),
            None => (self.coming, self.is_loaded) = (None, false),
        }
    }

    /// Takes note of how a try went: with what error, and how long it took.
    pub fn tried(&mut self, error: Option<String>, seconds: f64, now: Timestamp) {
        if error.is_some() && error != self.error {
            tracing::warn!(objective = self.definition.id, error, "an objective cannot be counted");
        }
        if error.is_none() && self.error.is_some() {
            tracing::info!(objective = self.definition.id, "the objective is counted again");
        }
        if error.is_some() {
            self.was_tried = true;
            self.not_before = now + Span((seconds * 1000.0 * REST) as i64);
        }
        self.error = error;
    }

    /// Lets go of everything that was counted, after a fault in it; what is stored is read anew.
    pub fn forget(&mut self) {
        (self.counts, self.coming, self.is_loaded, self.is_behind) = (None, None, false, false);
        self.added.clear();
    }

    /// Returns whether there is something to do between the steps.
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.not_before <= now && (!self.is_loaded || self.coming.is_some() || self.is_behind)
    }

    pub fn shown(&self) -> Shown {
        let coming = self.coming.as_ref().map(|coming| &coming.counts);
        Shown {
            definition: self.definition.clone(),
            counts: self.counts.as_ref().or(coming).cloned(),
            catching_up: !self.is_loaded || self.coming.is_some() || self.is_behind,
            was_tried: self.was_tried,
            error: self.error.clone(),
            refused: self.refused,
        }
    }
}

fn redefine(counts: Option<&Shared>, definition: &Arc<Definition>) -> Option<Vec<Row>> {
    counts?.lock().ok()?.redefine(definition.clone())
}

fn rules(definition: &Definition, external_url: &str, step: Span) -> Vec<(RuleKey, Arc<RuleTerms>)> {
    let rules = definition.rule_ids().into_iter().zip(&definition.alerts).map(|(id, rule)| {
        let terms = RuleTerms {
            file: id.file.clone(),
            group: id.group.clone(),
            name: id.name.clone(),
            expr: definition.expr(rule),
            hold: rule.hold,
            keep_firing: Span::ZERO,
            holding: Holding::all(false),
            limit: 0,
            interval: step,
            generator_url: format!("{external_url}/objectives/{}", escape_query(&definition.id)),
        };
        (Arc::new(id), Arc::new(terms))
    });
    rules.collect()
}
