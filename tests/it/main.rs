//! Integration tests of the whole product, one binary.

mod tidy;
