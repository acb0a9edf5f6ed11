//! The shop against what stands below it, as `docs/PERFORMANCE.md` explains.
//!
//! ```text
//! cargo bench --bench shop [-- [--quick] [journal] [cart] [reserve] [checkout] [journey] [live] [idle] [tax] [recovery] [overload] [import]]
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
mod checkout;
mod client;
mod effort;
mod floor;
mod hello;
mod import;
mod journal;
mod live;
mod node;
mod overload;
mod recovery;
mod reserve;
#[path = "../rounds.rs"]
mod rounds;
mod tax;
mod within;

use std::path::Path;
use std::pin::Pin;

use globalshop::clock::Clock;

/// As in the shop's binary, so that hello and the generator have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured: its name, and how.
macro_rules! benches {
    ($($name:literal $run:path;)*) => {
        [$(($name, |clock, quick| Box::pin($run(clock, quick)))),*]
    };
}

type Run = for<'a> fn(&'a Clock, bool) -> Pin<Box<dyn Future<Output = Vec<String>> + 'a>>;

const BENCHES: &[(&str, Run)] = &benches! {
    "journal" journal::run;
    "cart" cart::run;
    "reserve" reserve::run;
    "checkout" checkout::run;
    "journey" checkout::journey;
    "live" live::run;
    "idle" live::idle;
    "tax" tax::run;
    "recovery" recovery::run;
    "overload" overload::run;
    "import" import::run;
};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    match arguments.as_slice() {
        [what, ..] if what == hello::ARGUMENT => return hello::serve().await,
        [what, folder, keeping] if what == within::ARGUMENT => {
            return within::serve_it(Path::new(folder), keeping).await;
        }
        _ => {}
    }
    let quick = asked("--quick");
    let all = !BENCHES.iter().any(|(name, _)| asked(name));
    let clock = Clock::system();
    let mut rows = Vec::new();
    for (name, run) in BENCHES {
        if all || asked(name) {
            rows.extend(run(&clock, quick).await);
        }
    }
    for row in rows {
        println!("{row}");
    }
}
