//! The memory budget: what gives way, and in which order, as memory gets short.

use crate::time::{Span, Timestamp};

/// What gives way. Each level holds for those below it too. Rules and alerts give way at none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Calm,
    /// Samples move to blocks early.
    Flush,
    /// New series are refused.
    Close,
    /// Queries of people are refused.
    Shed,
}

impl Level {
    pub const ALL: [Level; 4] = [Level::Calm, Level::Flush, Level::Close, Level::Shed];

    pub fn word(self) -> &'static str {
        match self {
            Level::Calm => "calm",
            Level::Flush => "flush",
            Level::Close => "close",
            Level::Shed => "shed",
        }
    }

    /// Returns the share of the budget, in percent, at which the level begins.
    pub fn begins_at(self) -> u64 {
        match self {
            Level::Calm => 0,
            Level::Flush => 80,
            Level::Close => 90,
            Level::Shed => 95,
        }
    }
}

/// A level ends when use has been this much of the budget below its beginning, in percent, …
const SLACK: u64 = 3;
/// … for this long; so nothing flickers.
const CALM_AFTER: Span = Span::from_secs(30);

/// Which level holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    level: Level,
    /// Since when use has been low enough for a lower level.
    low_since: Option<Timestamp>,
}

/// Returns the highest level that begins at or below a use. Without a budget there is none to keep.
fn level_at(used: u64, budget: u64) -> Level {
    let share = (u128::from(used) * 100).checked_div(u128::from(budget)).unwrap_or(0);
    Level::ALL.into_iter().rev().find(|level| u128::from(level.begins_at()) <= share).unwrap_or_default()
}

impl Budget {
    /// Returns the level that holds now.
    ///
    /// Unit: bytes. A level that use reaches holds at once. It ends one by one, each after half a minute below it.
    pub fn judge(&mut self, used: u64, budget: u64, now: Timestamp) -> Level {
        let reached = level_at(used, budget);
        if reached >= self.level {
            *self = Budget { level: reached, low_since: None };
            return self.level;
        }
        let slack = (u128::from(budget) * u128::from(SLACK) / 100) as u64;
        if level_at(used.saturating_add(slack), budget) >= self.level {
            self.low_since = None;
            return self.level;
        }
        let since = *self.low_since.get_or_insert(now);
        // Of a clock that was stepped back nothing can be said but that time begins anew.
        if now < since {
            self.low_since = Some(now);
        } else if now.since(since) >= CALM_AFTER {
            let below = Level::ALL.into_iter().rev().find(|level| *level < self.level).unwrap_or_default();
            *self = Budget { level: below.max(reached), low_since: Some(now) };
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells the level at each second for a story of uses in percent.
    fn story(uses: &[(i64, u64)]) -> Vec<&'static str> {
        let mut budget = Budget::default();
        uses.iter().map(|(second, used)| budget.judge(*used, 100, Timestamp(second * 1000)).word()).collect()
    }

    #[test]
    fn levels_rise_at_once_and_fall_slowly() {
        assert_eq!(story(&[(0, 79), (1, 80), (2, 90), (3, 95), (4, 200)]), ["calm", "flush", "close", "shed", "shed"]);
        let fall = story(&[(0, 97), (1, 60), (30, 60), (31, 60), (60, 60), (61, 60), (91, 60), (121, 60)]);
        assert_eq!(fall, ["shed", "shed", "shed", "close", "close", "flush", "calm", "calm"]);
    }

    #[test]
    fn use_about_a_mark_does_not_flicker() {
        assert_eq!(story(&[(0, 90), (10, 88), (60, 88), (70, 90), (130, 87)]), ["close"; 5]);
        assert_eq!(
            story(&[(0, 90), (10, 85), (39, 91), (41, 85), (70, 85), (71, 85)]),
            ["close", "close", "close", "close", "close", "flush"]
        );
        // A clock that steps back lengthens the wait, and never ends it.
        assert_eq!(story(&[(1000, 90), (1001, 50), (0, 50), (29, 50), (30, 50)]), ["close", "close", "close", "close", "flush"]);
    }

    #[test]
    fn without_a_budget_nothing_gives_way() {
        assert_eq!(Budget::default().judge(u64::MAX, 0, Timestamp(0)), Level::Calm);
        assert_eq!(Budget::default().judge(u64::MAX, u64::MAX, Timestamp(0)), Level::Shed);
    }
}
