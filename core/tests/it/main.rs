//! Integration tests of the pure half, one binary.

// Tests read the corpora, which core itself never does.
#![allow(clippy::disallowed_methods)]

mod corpora;
mod plane;
mod time_interval;
