//! Scraping, the thinking half: which targets a job has, and what a body of text means for the store.

pub mod body;
pub mod job;
pub mod lists;
pub mod media;
pub mod target;
