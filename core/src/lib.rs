//! The thinking half of Tocsin. Nothing here opens a socket or a file, reads a clock or throws dice.

pub mod access;
pub mod alert;
pub mod client;
pub mod config;
pub mod model;
pub mod page;
pub mod plane;
pub mod problem;
pub mod promql;
pub mod route;
pub mod rule;
pub mod scrape;
pub mod store;
pub mod template;
pub mod time;
pub mod yaml;
