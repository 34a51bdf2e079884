//! Integration tests of the whole product, one binary.

mod access;
mod act;
mod atlas;
mod browser;
mod clients;
mod cloudwatch;
mod content;
mod crash;
mod db;
mod demo_postgres;
mod drills;
mod endurance;
mod faults;
mod harness;
mod histograms;
mod journeys;
mod ledger;
mod mail;
mod objectives;
mod operation;
mod paging;
mod postgres;
mod reloading;
mod runs;
mod scraping;
mod tidy;
