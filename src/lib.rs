//! The doing half of Tocsin: I/O, tasks and the one clock.

pub mod disk;
