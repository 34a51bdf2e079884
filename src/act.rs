//! Acting: the only room that changes other systems, and only as a run of core asks for it.

pub mod desk;
pub mod facts;
pub mod fault;
mod log;
pub mod runner;
pub mod step;
pub mod triggers;

/// Who writes the lines of a run's log that no person caused.
pub const MACHINE: &str = "tocsin";
