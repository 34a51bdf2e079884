//! The doing half of Tocsin: I/O, tasks and the one clock.

pub mod act;
pub mod atlas;
pub mod aws;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cloudwatch;
pub mod config;
pub mod db;
pub mod demo;
pub mod disk;
pub mod http;
pub mod id;
pub mod notify;
pub mod pipeline;
pub mod scrape;
pub mod serve;
pub mod telemetry;
