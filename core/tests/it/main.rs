//! Integration tests of the pure half, one binary.

mod store;
