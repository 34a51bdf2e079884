//! The doing half of Tocsin: I/O, tasks and the one clock.

pub mod clock;
pub mod db;
pub mod demo;
pub mod id;
