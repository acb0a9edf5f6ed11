//! Real faults on one node: the real binary with its own PostgreSQL, shoppers who check every answer,
//! and something that goes wrong on purpose. docs/FAULTS.md is the matrix.
//!
//! Reading order: [`node`] (a shop in a process of its own), [`shoppers`] (the load, the witness and
//! what it may have seen), [`tools`] (what an injector needs, and what is said where it is missing);
//! then the faults by what they hit: [`killed`], [`database`], [`disk`], [`outside`], [`sockets`],
//! [`clock`].
//!
//! Every test ends with [`node::Node::audit`]: the invariants hold, what was acknowledged is there,
//! every order has ended.

#![allow(
    clippy::print_stdout,
    reason = "what was measured, and what does not run here, is told"
)]

mod clock;
mod database;
mod disk;
mod killed;
mod node;
mod outside;
mod shoppers;
mod sockets;
mod tools;
