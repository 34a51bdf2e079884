//! The nouns that every room shares: labels, matchers, samples, and where they come from.

pub mod claim;
pub mod exemplar;
pub mod exposition;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod relabel;
pub mod sample;
pub mod source;
pub mod texts;
pub(crate) mod wire;

pub use claim::{Claim, Resolved};
pub use exemplar::Exemplar;
pub use histogram::Histogram;
pub use labels::{Fingerprint, LabelBuilder, LabelSet, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
pub use sample::{Cell, Row, STALE, Sample, Series, SeriesRef, Value, is_stale};
pub use source::{Select, Source, SourceError};
pub use texts::Texts;
