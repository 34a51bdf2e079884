//! Integration tests of the pure half, one binary.

mod corpora;
mod promql_mutation;
mod promql_parse;
mod promql_roundtrip;
mod promqltest;
