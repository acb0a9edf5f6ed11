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
//! Reading order: [`runtime`] (the relay of a node), [`lane`] and its pure [`window`], [`attempt`]
//! (one event, tried until it is settled), [`follower`] (the lane of a view), [`book`] (what outlives
//! a process) with [`postgres`], [`dead_letter`].
//!
//! **Invariant I7:** every event is handled or in the dead letters, never neither.

mod attempt;
pub mod book;
mod course;
pub mod dead_letter;
mod follower;
mod lane;
pub mod postgres;
pub mod runtime;
mod saver;
pub mod tail;
pub mod window;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{Kind, Shard};
use crate::journal::{Position, Recorded};

pub use runtime::{Relay, RelayArguments};
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
    ///
    /// Without events it only says that nothing through there is for this view, so that readers
    /// waiting for a position need not wait longer; a view had better not write for that each time.
    ///
    /// A temporary fault is tried again for ever, from where [`View::position`] says; a lasting one
    /// makes the event a dead letter, with an alarm, and the view goes on without it.
    async fn follow(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ReadFault>;

    /// Shards in which it is further back than it was: its database took commits back that nobody had
    /// been promised. Asked now and then, because nothing else tells of it in a shard where nothing
    /// happens any more. Following resumes there from what [`View::position`] says.
    async fn fallen(&self) -> Result<Vec<Shard>, ReadFault> {
        Ok(vec![])
    }
}

/// A worker's side of the relay: one effect per event.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Its name: in the tree, in metrics, beside its positions and dead letters.
    fn name(&self) -> &'static str;

    /// Whether events of this kind concern it.
    fn wants(&self, kind: Kind) -> bool;

    /// Whether this event of a wanted kind concerns it: a quick look that saves a task for events
    /// that mean nothing here.
    fn concerns(&self, event: &Recorded) -> bool {
        let _ = event;
        true
    }

    /// How much at once, how often again, and what then.
    fn policy(&self) -> Policy {
        Policy::default()
    }

    /// Does what the event asks for. May be called again for the same event, also after it was done:
    /// effects are keyed by what they are about (order, line, intent) or by
    /// `OperationId` derived from consumer, shard and position.
    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault>;
}

/// How a consumer's lanes treat its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many events of one shard may be at work or waiting.
    pub window: usize,
    /// How often an event is tried at least before it becomes a dead letter, …
    pub tries: u32,
    /// … and for how long at least: what is away for no longer than this costs no letter, however the
    /// pauses are drawn.
    pub patience: Duration,
    /// The first pause between tries is up to this long, each next one up to twice as long …
    pub pause: Duration,
    /// … and never longer than this.
    pub pause_limit: Duration,
    /// How long one try may take.
    pub deadline: Duration,
    /// What a dead letter means for the later events of its entity.
    pub afterwards: AfterDeadLetter,
}

impl Default for Policy {
    /// 256 at once, eight tries in a minute or more, and the entity goes on.
    fn default() -> Self {
        Self {
            window: 256,
            tries: 8,
            patience: Duration::from_secs(60),
            pause: Duration::from_millis(500),
            pause_limit: Duration::from_secs(30),
            deadline: Duration::from_secs(30),
            afterwards: AfterDeadLetter::GoOn,
        }
    }
}

/// What a dead letter means for the later events of its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterDeadLetter {
    /// They are handled: the consumer's effects do not need the one before.
    GoOn,
    /// They become dead letters too, until the first one is redriven.
    Wait,
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

    /// What went wrong, with all its causes.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = self.to_string();
        let mut cause = Error::source(self);
        while let Some(error) = cause {
            story.push_str(": ");
            story.push_str(&error.to_string());
            cause = error.source();
        }
        story
    }
}
