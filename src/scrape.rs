//! Fetching: bodies of targets, and lists of targets.

pub mod discovery;
pub mod fetch;
mod plain;
