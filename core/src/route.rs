//! Routing: which receiver hears of which alerts, grouped how, when, and what mutes them.

pub mod alert;
pub mod dispatch;
pub mod inhibition;
pub mod matchers;
pub mod message;
pub mod notification;
pub mod receiver;
pub mod retry;
pub mod silence;
pub mod templates;
pub mod time_interval;
pub mod tree;
pub mod turn;
