//! Stories of steps: each kind of request carried out against the real thing.

mod exec;
mod http;
mod postgres;
mod restore;
mod signals;
mod stage;
mod watched;
