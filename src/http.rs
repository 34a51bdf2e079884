//! The HTTP front: one file per resource, thin handlers, and a guard before all of them.

pub mod access;
pub mod accounts;
pub mod assets;
pub mod problem;
pub mod session;
pub mod stream;
