//! Acting: the only room that changes other systems, and only as a run of core asks for it.

pub mod fault;
pub mod step;
