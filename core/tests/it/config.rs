//! Configurations of other projects load or are refused as their authors say.

mod corpus;
mod matchers;
