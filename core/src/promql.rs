//! PromQL: text → tree → checked tree → values.

pub mod ast;
pub mod functions;
pub mod evaluate;
pub mod notation;
pub mod script;
pub mod value;
