//! DELIVERY: what was committed, in order, at least once.
//!
//! One [`tail::Tail`] per shard, fed from memory by the persistence actor after each commit; the
//! journal is read only to catch up. Two kinds of reader follow it:
//!
//! - a [`View`] takes events in batches, in order, and keeps its position in the same transaction
//!   as its rows, so that each event counts exactly once;
//! - a [`Consumer`] has an effect per event (a command, a call, a mail), in parallel across entities
//!   and in order within one; its position is the low watermark of a bounded window. What it cannot
//!   do within its budget becomes a dead letter, and the watermark moves on.
//!
//! **Invariant I7:** every event is handled or in the dead letters, never neither.

pub mod tail;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{Kind, Shard};
use crate::journal::{Position, Recorded};

pub use tail::{Tail, Tails};

/// A read model that follows the journal.
#[async_trait]
pub trait View: Send + Sync + 'static {
    /// Its name: in the tree, in metrics, and beside its positions.
    fn name(&self) -> &'static str;

    /// Whether events of this kind concern it. Others only move its position.
    fn wants(&self, kind: Kind) -> bool;

    /// How far it has come in a shard; where following starts.
    async fn position(&self, shard: Shard) -> Result<Position, ReadFault>;

    /// Takes events of one shard, in order, all after its position and of a wanted kind, and moves
    /// its position to `through` (at or after the last of them), all or nothing.
    async fn follow(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ReadFault>;
}

/// A worker's side of the relay: one effect per event.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Its name: in the tree, in metrics, beside its positions and dead letters.
    fn name(&self) -> &'static str;

    /// Whether events of this kind concern it.
    fn wants(&self, kind: Kind) -> bool;

    /// Does what the event asks for. May be called again for the same event, also after it was done:
    /// effects are keyed by what they are about (order, line, intent) or by
    /// `OperationId` derived from consumer, shard and position.
    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault>;
}

/// A reader could not do its work with an event.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The world failed: worth trying again.
    #[error("{what}")]
    Temporary {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It will fail the same way again: to the dead letters.
    #[error("{what}")]
    Lasting {
        /// What is wrong.
        what: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl ReadFault {
    /// Worth trying again.
    pub fn temporary(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Temporary {
            what: what.into(),
            source: Some(source.into()),
        }
    }

    /// Not worth trying again.
    pub fn lasting(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Lasting {
            what: what.into(),
            source: Some(source.into()),
        }
    }
}
