//! The supervised tree.
//!
//! [`supervise`] is the one way to start an actor; [`entity`] is the one loop; [`persistence`] is
//! the only writer of the journal; [`shard`] owns the entities of a shard and recovers it; [`tenure`]
//! says how long what it remembers may be told.
//!
//! ```text
//! node
//! ├── persistence/0, persistence/1          the only writers of the journal
//! └── shard/0 … shard/63                    lease, activations, recovery
//!     ├── timer                             durable deadlines
//!     ├── stock, payment, …                 consumers and views of this shard
//!     └── cart/…, order/…, product/…, stock/…
//! ```
//!
//! **Invariants**
//! - Nothing is acknowledged before it is committed.
//! - A refusal is a reply; an `Err` from an actor means its memory can no longer be trusted.
//! - An actor asks nothing of its parent while it starts, and flushes nothing when it stops.

pub mod ask;
pub mod bulk;
pub mod cart;
pub mod directory;
pub mod entity;
pub mod gate;
pub mod heart;
pub mod order;
pub mod persistence;
pub mod product;
pub mod shard;
pub mod stats;
pub mod stock;
pub mod supervise;
pub mod tenure;
pub mod timer;

use std::time::Duration;

use crate::domain::Entity;
use directory::{Directories, Directory};

/// An entity that runs as an actor. Its file in this room says how it rests.
pub trait Hosted: Entity {
    /// How long an activation may idle before it rests.
    const IDLE: Duration;
    /// How many events between snapshots.
    const SNAPSHOT_EVERY: i64;
    /// How many messages may wait for one entity.
    const MAILBOX_LIMIT: u32;

    /// Where the activations of this kind are found.
    fn directory(directories: &Directories) -> &Directory<Self>;
}
