//! Runs: documents with faults, strangers' texts, guards, stories of instants, and a machine that dies all the time.

mod asking;
mod crash;
mod documents;
mod ending;
mod guards;
mod schedules;
mod stories;
mod taint;
mod verifying;
mod world;
