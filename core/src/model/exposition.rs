//! The text that a target serves, read into samples.
