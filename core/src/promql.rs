//! PromQL: text → tree → checked tree → values.

pub mod ast;
pub mod check;
pub mod evaluate;
mod fault;
pub mod functions;
pub mod lex;
pub mod notation;
pub mod parse;
pub mod pretty;
pub mod print;
pub mod script;
pub mod signature;
pub mod value;
pub mod walk;
