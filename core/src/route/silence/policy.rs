//! What silences may do: the section `silences` of the configuration.

use crate::model::matcher::all_match;
use crate::model::{LabelSet, MatchOp, Matcher};
use crate::time::Span;

/// Clients reckon the end by their own clocks.
const GRACE: Span = Span::from_mins(1);

/// How far silences may reach; by default as far as people like, as in Alertmanager.
#[derive(Clone, Debug, Default)]
pub struct Silencing {
    /// How long a silence may last from its start, or from now.
    pub longest: Option<Span>,
    /// How long one may last that mutes at some times only.
    pub longest_recurring: Option<Span>,
    /// Each silence asks for one exact value of one of these labels at least; empty: of none.
    pub needs: Vec<String>,
    /// So many firing alerts a silence may mute when it is made.
    pub most: Option<usize>,
    /// Alerts that satisfy all matchers of one of these are muted by no silence.
    pub never: Vec<Vec<Matcher>>,
    /// Whoever is to hear of it is told that a silence ends this long before, if alerts fire under it; None: nobody is.
    pub remind: Option<Span>,
}

/// What is held against the policy.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    pub matchers: &'a [Matcher],
    /// From the start, or from now.
    pub lasts: Span,
    pub is_recurring: bool,
    /// Firing alerts that it would mute.
    pub muted: usize,
}

impl Silencing {
    /// Returns whether no silence mutes an alert with these labels.
    pub fn spares(&self, labels: &LabelSet) -> bool {
        self.never.iter().any(|matchers| all_match(matchers, labels))
    }

    /// Returns everything that speaks against a silence, for people.
    pub fn faults(&self, reach: Reach<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let (longest, key) = match reach.is_recurring {
            true => (self.longest_recurring, "longest_recurring"),
            false => (self.longest, "longest"),
        };
        if let Some(longest) = longest.filter(|longest| reach.lasts > *longest + GRACE) {
            let minute = Span::from_mins(1).0;
            let minutes = Span::from_mins((reach.lasts.0 + minute / 2) / minute);
            faults.push(format!("it lasts {minutes}, and silences.{key} allows {longest}: let it end earlier"));
        }
        let is_exact =
            |matcher: &Matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty() && self.needs.contains(&matcher.name);
        if !self.needs.is_empty() && !reach.matchers.iter().any(is_exact) {
            let labels = self.needs.join(" or ");
            faults.push(format!(
                "silences.needs asks for one exact value of {labels}: add a matcher such as {}=\"…\"",
                self.needs[0]
            ));
        }
        if let Some(most) = self.most.filter(|most| reach.muted > *most) {
            faults.push(format!("it mutes {} alerts that fire now, and silences.most allows {most}: add matchers", reach.muted));
        }
        faults
    }
}
