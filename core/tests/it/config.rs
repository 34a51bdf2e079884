//! Configurations: those of other projects load or are refused as their authors say, and ours say what is wrong.

mod corpus;
mod faults;
mod intervals;
mod journeys;
mod matchers;
mod sources;
mod values;
