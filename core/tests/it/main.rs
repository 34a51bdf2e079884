//! Integration tests of the pure half, one binary.

#![expect(clippy::disallowed_methods, reason = "tests read the corpora, which core itself never does")]

mod backtest;
mod config;
mod corpora;
#[path = "../../../tests/it/harness/protobuf.rs"]
mod encoder;
mod exposition;
mod inhibiting;
mod ledger;
mod messages;
mod notification_template;
mod page_testing;
mod plane;
mod promql_evaluate;
mod promql_mutation;
mod promql_notation;
mod promql_parse;
mod promql_roundtrip;
mod promqltest;
mod relabel;
mod rule_files;
mod rule_lints;
mod rule_margin;
mod rule_template;
mod rule_testing;
mod run;
mod scrape;
mod slo;
mod store;
mod time_interval;
mod yaml;
