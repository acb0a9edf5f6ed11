//! GlobalShop: a live shop for teams that sell in bursts.
//!
//! The rooms, in reading order. `docs/ARCHITECTURE.md` has the picture.
//!
//! 1. [`domain`]: what carts, orders, stock and products decide. Pure.
//! 2. [`journal`]: the truth. Every acknowledged event is a row here first.
//! 3. [`actors`]: the supervised tree; [`actors::entity`] is the one loop.
//! 4. [`cluster`]: which node owns a shard, and how a command gets there.
//! 5. [`relay`]: what was committed, delivered in order, at least once.
//! 6. [`views`]: answers derived from the journal, rebuildable at any time.
//! 7. [`provider`]: payment providers behind one trait, the sandbox among them.
//! 8. [`workers`]: what reacts to committed events: payment, stock, e-mail.
//! 9. [`accounts`]: who you are. Ordinary rows; an actor buys nothing here.
//! 10. [`http`] and [`ws`]: the edge and the live feed.
//! 11. [`inspect`]: the tree and the invariants as data.
//! 12. [`simulate`]: the whole shop on a virtual clock, with an auditor.
//! 13. [`node`]: the one place where all of it is put together.

pub use globalshop_domain as domain;

pub mod accounts;
pub mod actors;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod embedded;
pub mod http;
pub mod import;
pub mod inspect;
pub mod journal;
pub mod load;
pub mod machine;
pub mod node;
pub mod provider;
pub mod relay;
pub mod simulate;
pub mod views;
pub mod workers;
pub mod ws;
