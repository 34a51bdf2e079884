//! Remote write: what other servers send us, and what we send to them.

mod answers;
mod encoding;
mod import;
mod receiver;
mod receivers;
mod senders;
mod table;
