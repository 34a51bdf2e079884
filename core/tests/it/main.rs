//! Integration tests of the pure half, one binary.

mod corpora;
mod promql_parse;
