//! Stories of faults: real connections through real proxies, and real processes that are stopped.

mod crash;
mod peers;
pub mod signals;
pub mod standing;
mod stream;
mod toxics;
