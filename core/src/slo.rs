//! Objectives: what is counted, how much budget is left, and when to alert.
//!
//! A file of OpenSLO is read (`openslo`), its references are followed, and each objective becomes a `Definition`. A `Standing` is
//! a definition at work: it says which samples it wants, counts them into its `Ledger`, and judges its alerts. Nothing is
//! extrapolated: counts are those of samples that were there.

mod alerts;
mod budget;
mod count;
mod counter;
mod definition;
mod fetch;
mod ledger;
pub mod openslo;
mod plot;
mod points;
mod query;
mod series;
mod slices;
pub mod sloth;
mod standing;
mod window;

use crate::promql::evaluate::EvalError;
use crate::time::Timestamp;

pub use alerts::{AlertRule, Condition, Judged, Pair, PairStatus, Verdict};
pub use budget::{Budget, Burn};
pub use count::{Count, Tally};
pub use definition::{Counting, Definition, Guard, Newcomers, definitions};
pub use fetch::{Samples, Want};
pub use ledger::{Counted, Ledger, Row, Tier, tiers};
pub use plot::BurnDown;
pub use query::{Meaning, Reading, Stream};
pub use slices::{SliceRule, Slices};
pub use standing::{FORGET, Pace, READ_MAX, Standing, Status, Tick};
pub use window::{Bounds, Shorthand, Unit, Window};

/// Why an objective cannot be counted now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SloError {
    #[error("cannot read what the objective {id} counts")]
    Read {
        id: String,
        #[source]
        cause: EvalError,
    },
    #[error("cannot go on from the stored rows of the objective {id}: {reason}")]
    Rows { id: String, reason: &'static str },
    #[error("cannot take samples of the objective {id} until {got}: it wants those until {wanted}")]
    OutOfTurn { id: String, got: Timestamp, wanted: Timestamp },
}
