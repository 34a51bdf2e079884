//! The store against a plain map, under random operations and under threads.

mod blocks;
mod cold;
mod dice;
mod limits;
mod model;
mod random;
mod visibility;
