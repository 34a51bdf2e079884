//! Integration tests of the whole product, one binary.

mod access;
mod browser;
mod clients;
mod crash;
mod db;
mod endurance;
mod harness;
mod ledger;
mod mail;
mod operation;
mod paging;
mod postgres;
mod reloading;
mod scraping;
mod tidy;
