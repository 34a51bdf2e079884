//! Integration tests of the whole product, one binary.

mod db;
mod postgres;
mod tidy;
