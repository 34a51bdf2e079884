//! Routing: which receiver hears of which alerts, grouped how, when, and what mutes them.

pub mod matchers;
pub mod receiver;
pub mod time_interval;
pub mod tree;
