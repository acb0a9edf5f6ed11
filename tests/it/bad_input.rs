//! Whatever comes in: the right refusal, never a 5xx, never a panic, and the next request is fine.
//!
//! Data rows and one check for each kind of them. What readers do with arbitrary bytes is the fuzz
//! targets' business (`fuzz.rs`); here stands what has a known right answer.

mod business;
mod credential;
mod json;
mod live;
mod wire;
