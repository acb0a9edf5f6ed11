//! The heart on a virtual clock, from a seed, with faults on purpose.
//!
//! Real actors, the memory journal, tokio's paused clock: an hour of timers costs a millisecond. A
//! seed decides what is asked and what fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking, and runs once"
)]

mod bulk;
mod heart;
mod letters;
mod nodes;
mod refused;
mod relay;
mod resident;
mod saga;
mod sagas;
#[path = "../shop/mod.rs"]
mod shop;
mod simulate;
mod timer;
