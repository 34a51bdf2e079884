//! Integration tests of the pure half, one binary.

mod corpora;
mod exposition;
mod relabel;
mod scrape;
