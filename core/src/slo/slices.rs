//! Budgets of time: the window is cut into slices, and each is judged as a whole.

use std::collections::BTreeMap;

use crate::time::{Span, Timestamp};

use super::count::{Count, MILLION, Tally};
use super::openslo::Target;

/// How time is cut, and what makes a slice good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    pub length: Span,
    pub rule: SliceRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceRule {
    /// A slice is good when at least this share of its events is.
    AtLeast(Target),
    /// A slice is as good as its share of good events.
    Ratio,
}

impl Slices {
    /// Returns the number of the slice in which an instant lies; a slice leaves its start out and holds its end.
    fn number(&self, at: i64) -> i64 {
        (at - 1).div_euclid(self.length.0)
    }

    /// Returns when the slice begins in which an instant lies.
    pub fn start_of(&self, at: Timestamp) -> Timestamp {
        Timestamp(self.number(at.0) * self.length.0)
    }

    /// Returns when the slice ends in which an instant lies.
    pub fn end_of(&self, at: Timestamp) -> Timestamp {
        self.start_of(at) + self.length
    }

    fn judge(&self, events: Tally) -> Tally {
        // In a slice in which nothing happened, nobody was let down.
        let good = match self.rule {
            _ if events.total <= Count::ZERO => Count::ONE,
            SliceRule::AtLeast(target) => {
                let reached = events.good.0.saturating_mul(i128::from(Target::WHOLE));
                let asked = events.total.0.saturating_mul(i128::from(target.0));
                if reached >= asked { Count::ONE } else { Count::ZERO }
            }
            SliceRule::Ratio => {
                let good = events.good.0.clamp(0, events.total.0);
                Count((good.saturating_mul(MILLION) + events.total.0 / 2) / events.total.0)
            }
        };
        Tally { good, total: Count::ONE }
    }
}

/// The slices that have begun and not ended. A slice of which no sample came is not measured and not counted.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenSlices {
    slices: BTreeMap<i64, Tally>,
}

impl OpenSlices {
    /// Counts events at an instant; none of them still says that the slice was measured.
    pub fn add(&mut self, slices: &Slices, at: i64, events: Tally) {
        *self.slices.entry(slices.number(at)).or_default() += events;
    }

    /// Closes the slices that have ended by an instant; returns how many of those that began at or after `since` were good, of how
    /// many.
    pub fn close(&mut self, slices: &Slices, until: Timestamp, since: Timestamp) -> Tally {
        let mut closed = Tally::ZERO;
        while let Some(first) = self.slices.first_entry()
            && (first.key() + 1) * slices.length.0 <= until.0
        {
            let begins = first.key() * slices.length.0;
            let events = first.remove();
            if begins >= since.0 {
                closed += slices.judge(events);
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_judged_at_their_end() {
        let slices = Slices { length: Span::from_mins(1), rule: SliceRule::AtLeast(Target(950_000_000)) };
        let events = |good, total| Tally { good: Count::whole(good), total: Count::whole(total) };
        let mut open = OpenSlices::default();
        open.add(&slices, 1, events(90, 95));
        // The end of a slice belongs to it: with these it is at its target exactly.
        open.add(&slices, 60_000, events(5, 5));
        open.add(&slices, 60_001, events(94, 100));
        open.add(&slices, 180_001, events(0, 0));
        assert_eq!(open.close(&slices, Timestamp(59_999), Timestamp(0)), Tally::ZERO);
        assert_eq!(open.close(&slices, Timestamp(120_000), Timestamp(0)), events(1, 2));
        // The third minute was not measured; in the fourth nothing happened.
        assert_eq!(open.close(&slices, Timestamp(300_000), Timestamp(0)), events(1, 1));
        open.add(&slices, 310_000, events(1, 1));
        assert_eq!(open.close(&slices, Timestamp(360_000), Timestamp(310_000)), Tally::ZERO);
        let ratio = Slices { rule: SliceRule::Ratio, ..slices };
        assert_eq!(ratio.judge(events(1, 3)).good, Count(333_333));
    }
}
