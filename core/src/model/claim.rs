//! Asking a store for a series: what the asker may have, and what it gets.

use super::sample::SeriesRef;

/// What an asker may have of a store that counts its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A new series within every limit.
    Common,
    /// A new series also where others get none any more, up to a reserve: people are told by these, such as `up` and `ALERTS`.
    Own,
    /// Only a series that is there already.
    Known,
}

/// The series of some labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub series: SeriesRef,
    /// It was made by this question.
    pub is_new: bool,
}
