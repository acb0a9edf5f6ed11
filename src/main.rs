//! The command line.

use std::process::ExitCode;

/// Many small actors come and go: this allocator gives memory back and costs less under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    globalshop::command::main()
}
