//! PromQL: text → tree → checked tree → values.

pub mod ast;
pub mod functions;
