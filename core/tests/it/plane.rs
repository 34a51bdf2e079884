//! The plane under a clock of our own: stories, and a random simulation.

mod duty;
mod flapping;
mod joining;
mod lost;
mod promises;
mod script;
mod silencing;
mod simulation;
mod stories;
mod trace;
mod views;
mod world;
