//! Integration tests of the pure half, one binary.

mod corpora;
mod plane;
mod time_interval;
