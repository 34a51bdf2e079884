//! Integration tests of the whole product, one binary.

mod access;
mod atlas;
mod browser;
mod clients;
mod cloudwatch;
mod content;
mod crash;
mod db;
mod demo_postgres;
mod endurance;
mod harness;
mod journeys;
mod ledger;
mod mail;
mod operation;
mod paging;
mod postgres;
mod reloading;
mod scraping;
mod tidy;
