//! The command line: parse, do one thing, say what happened.
//!
//! Every command but `run`, `serve`, `load` and `token` is a client of a node's API. With a node
//! running it goes through that node; otherwise it starts a node without listeners on the data
//! folder and talks to its router directly. So there is one way to do each thing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks on standard output and standard error"
)]

mod account;
mod audit;
mod dead_letter;
mod door;
mod import;
mod load;
mod log;
mod run;
mod simulate;
mod tree;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use door::Reach;

/// A live shop for teams that sell in bursts.
#[derive(Debug, Parser)]
#[command(
    name = "globalshop",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node on the embedded default: its own PostgreSQL, a local mailbox, sandbox payments.
    Run(run::RunArgs),
    /// Run a node of a cluster against an external PostgreSQL.
    Serve(run::ServeArgs),
    /// Bring the database schema up to date.
    Migrate(Reach),
    /// Import a catalogue file: Icecat JSON (or a zip of it), Shopify product CSV, JSON lines.
    Import(import::ImportArgs),
    /// Print an access token, on the last line.
    Token(account::TokenArgs),
    /// Give a role to an account.
    Grant(account::GrantArgs),
    /// Check the invariants I1 to I9; exit 0 only if all hold.
    Audit(audit::AuditArgs),
    /// Send shoppers into a shop and check every answer.
    Load(Box<load::LoadCommand>),
    /// List, show and redrive dead letters: events a consumer could not handle within its budget.
    DeadLetters(dead_letter::DeadLetterArgs),
    /// Show the supervision tree.
    Tree(tree::TreeArgs),
    /// Run the whole shop on a virtual clock, with everything going wrong that can, from a seed.
    Simulate(simulate::SimulateArgs),
}

/// Why a command ended with 1: a sentence for people.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// With this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl<E: std::error::Error> From<E> for Failed {
    /// The whole chain of causes in one line.
    fn from(error: E) -> Self {
        let mut sentence = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !sentence.contains(&text) {
                sentence.push_str(": ");
                sentence.push_str(&text);
            }
            source = cause.source();
        }
        Self(sentence)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the command line. Exit codes: 0 done, 1 failed (a sentence says why), 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start(matches!(cli.command, Command::Run(_) | Command::Serve(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("globalshop: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Serve(args) => run::serve(args).await,
            Command::Migrate(reach) => run::migrate(reach).await,
            Command::Import(args) => import::import(args).await,
            Command::Token(args) => account::token(&args),
            Command::Grant(args) => account::grant(args).await,
            Command::Audit(args) => audit::audit(args).await,
            Command::Load(args) => load::load(*args).await,
            Command::DeadLetters(args) => dead_letter::dead_letters(args).await,
            Command::Tree(args) => tree::tree(args).await,
            Command::Simulate(args) => simulate::simulate(args).await,
        }
    });
    // Blocking threads (a password being hashed, a file being read) do not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(code) => code,
        Err(failed) => {
            eprintln!("globalshop: {failed}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
