//! Runs: documents with faults, strangers' texts, guards, stories of instants, and a machine that dies all the time.

mod asking;
mod crash;
mod documents;
mod drills;
mod ending;
mod experiments;
mod guards;
mod lab;
mod reports;
mod schedules;
mod stories;
mod studies;
mod taint;
mod verifying;
mod world;
