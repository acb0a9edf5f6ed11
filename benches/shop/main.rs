//! The shop from outside: its binary, over HTTP, against a server that only says hello; and a large
//! catalogue into it.
//!
//! ```text
//! cargo bench --bench shop [-- [--quick] [cart] [import]]
//! ```
//!
//! Shop, PostgreSQL and generator share the machine. Lines that begin with `|` are rows of the table in
//! docs/PERFORMANCE.md; `--quick` says nothing about speed, only that everything still runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench says what it found and stops when it cannot go on"
)]

mod cart;
mod client;
mod hello;
mod import;
mod node;
#[path = "../rounds.rs"]
mod rounds;

use globalshop::clock::Clock;

/// As in the shop's binary, so that hello and the generator have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if asked(hello::ARGUMENT) {
        return hello::serve().await;
    }
    let quick = asked("--quick");
    let all = !asked("cart") && !asked("import");
    let clock = Clock::system();
    let mut rows = Vec::new();
    if all || asked("cart") {
        rows.extend(cart::run(&clock, quick).await);
    }
    if all || asked("import") {
        rows.extend(import::run(&clock, quick).await);
    }
    for row in rows {
        println!("{row}");
    }
}
