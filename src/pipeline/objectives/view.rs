//! One objective as people see it.

use std::sync::Arc;

use tocsin_core::slo::{Burn, Definition, Status, Verdict};
use tocsin_core::time::Span;

use super::Shown;

#[derive(Clone, Debug)]
pub struct View {
    /// What the counts stand for; while they are counted anew, the definition before.
    pub definition: Arc<Definition>,
    /// None: nothing was read yet.
    pub status: Option<Status>,
    /// Look-backs in order of their length.
    pub burns: Vec<(Span, Burn)>,
    pub catching_up: bool,
    pub error: Option<String>,
    /// Values and series that could not be counted since the start.
    pub refused: u64,
}

impl View {
    pub(super) fn new(shown: &Shown) -> View {
        let mut view = View {
            definition: shown.definition.clone(),
            status: None,
            burns: Vec::new(),
            catching_up: shown.catching_up,
            error: shown.error.clone(),
            refused: shown.refused,
        };
        if let Some(standing) = shown.counts.as_ref().and_then(|counts| counts.lock().ok()) {
            view.definition = standing.definition().clone();
            view.status = Some(standing.status());
            view.burns = view.definition.lookbacks().into_iter().map(|span| (span, standing.burn(span))).collect();
        }
        view
    }

    /// Returns whether some alert is not judged, because there are too few events.
    pub fn has_low_traffic(&self) -> bool {
        self.verdicts().any(|verdict| matches!(verdict, Verdict::TooFew { .. }))
    }

    /// Returns whether the budget burns faster than some pair of windows allows.
    pub fn is_burning(&self) -> bool {
        self.verdicts().any(|verdict| verdict == Verdict::Burning)
    }

    /// Returns whether the budget is spent to the last.
    pub fn is_exhausted(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.budget.is_exhausted(&self.definition))
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.status.iter().flat_map(|status| &status.pairs).map(|pair| pair.verdict)
    }
}
