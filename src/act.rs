//! Carries out what runs order: the only room that changes other systems.

pub mod fault;
pub mod step;
