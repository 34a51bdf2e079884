//! The demo: a small but real platform, started as child processes of this very program, with load on it and switches for faults.
//!
//! `shop-api` answers orders and asks `shop-db` for each; orders that were taken become jobs in the queue of `shop-worker`;
//! `shop-load` plays the customers. Where PostgreSQL is installed, `shop-db` keeps its orders in a real pair of its servers. A child ends when its standard input closes, so none outlives its parent, however that ended.

mod configuration;
mod kind;
mod orders;
pub mod platform;
pub mod postgres;
mod service;
mod services;

pub use configuration::write as write_configuration;
pub use kind::Kind;
pub use platform::{Choices, Fault, Platform, Service};
pub use service::run_service;
