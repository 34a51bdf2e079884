//! Integration tests of the pure half, one binary.
<<<<<<< HEAD
// Tests read the corpora, which core itself never does.
#![allow(clippy::disallowed_methods)]

mod corpora;
mod yaml;
=======

mod corpora;
mod promql_parse;
>>>>>>> parse
