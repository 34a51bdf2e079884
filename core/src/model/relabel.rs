//! Relabelling: rules that rewrite, keep or drop label sets.

use regex::Regex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// One entry of `relabel_configs`.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    pub source_labels: Vec<String>,
    pub separator: String,
    /// Anchored at both ends; its source text stands in `pattern`.
    pub regex: Regex,
    pub pattern: String,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: Action,
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &RelabelRule) -> bool {
        (&self.source_labels, &self.separator, &self.pattern, self.modulus, &self.target_label, &self.replacement, self.action)
            == (
                &other.source_labels,
                &other.separator,
                &other.pattern,
                other.modulus,
                &other.target_label,
                &other.replacement,
                other.action,
            )
    }
}
