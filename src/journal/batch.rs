//! What is written: the decisions of entities, gathered into one statement.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Cause, Epoch, Position, RequestKey, Sequence, WriteFault};
use crate::domain::id::OperationId;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Millis, Shard};

/// One decision of one entity: its events, and what is kept with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The entity.
    pub entity: EntityId,
    /// Its shard.
    pub shard: Shard,
    /// The epoch under which it was decided.
    pub epoch: Epoch,
    /// The sequence before the first of these events.
    pub after: Sequence,
    /// The events; none when only an answer is to be remembered.
    pub events: Vec<NewEvent>,
    /// The operation that caused them.
    pub operation: Option<OperationId>,
    /// When it was decided.
    pub at: Millis,
    /// What becomes of the entity's timer.
    pub timer: TimerChange,
    /// An answer to remember.
    pub remember: Option<Remember>,
}

impl Append {
    /// The entity's sequence once this is written.
    #[must_use]
    pub fn through(&self) -> Sequence {
        Sequence(self.after.0 + i64::try_from(self.events.len()).unwrap_or(i64::MAX))
    }
}

/// An event about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The version of the stored shape.
    pub version: u16,
    /// The encoded event.
    pub payload: Bytes,
}

/// What becomes of an entity's timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimerChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is due then.
    Set(Millis),
    /// There is none any more.
    Clear,
}

/// An answer to remember with an append: what was asked, under which key. The answer itself is the
/// entity's state at the append's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remember {
    /// Who asked what under which key, hashed.
    pub key: RequestKey,
    /// SHA-256 of the parsed body.
    pub body: [u8; 32],
}

/// Appends of shards that one writer owns, in order, with their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The shards and the epochs they are held under.
    pub held: Vec<(Shard, Epoch)>,
    /// Each append with the position of its first event.
    pub appends: Vec<(Append, Position)>,
}

impl Batch {
    /// The number of events.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.appends.iter().map(|(append, _)| append.events.len()).sum()
    }

    /// What a journal may rely on before it writes: each shard is held once, every append is of a
    /// held shard and its epoch, and a shard's positions follow one another. Says for every held
    /// shard, in the order of `held`, after which position its first event comes; none where there
    /// are no events.
    ///
    /// # Errors
    /// [`WriteFault::NotWritten`]: whoever made this batch made a mistake.
    pub fn check(&self) -> Result<Vec<Option<Position>>, WriteFault> {
        struct Part {
            epoch: Epoch,
            after: Option<Position>,
            head: Position,
        }
        let mut parts = BTreeMap::new();
        for &(shard, epoch) in &self.held {
            let part = Part {
                epoch,
                after: None,
                head: Position(0),
            };
            if parts.insert(shard, part).is_some() {
                return Err(malformed(format!("shard {shard} is held twice")));
            }
        }
        for (append, first) in &self.appends {
            let Append {
                shard, epoch, entity, ..
            } = append;
            let Some(part) = parts.get_mut(shard).filter(|part| part.epoch == *epoch) else {
                return Err(malformed(format!(
                    "{entity} appends to shard {shard} at epoch {epoch}, which is not held"
                )));
            };
            if append.events.is_empty() {
                continue;
            }
            if append.after.0 < 0 || first.0 < 1 {
                return Err(malformed(format!("{entity} appends before the beginning")));
            }
            if part.after.is_none() {
                part.after = Some(Position(first.0 - 1));
            } else if *first != part.head.next() && !planted::is(Bug::PositionGap) {
                return Err(malformed(format!(
                    "{entity} appends at position {first} of shard {shard}, which does not follow {}",
                    part.head
                )));
            }
            part.head = Position(first.0 - 1 + i64::try_from(append.events.len()).unwrap_or(i64::MAX));
        }
        Ok(self
            .held
            .iter()
            .map(|(shard, _)| parts.get(shard).and_then(|part| part.after))
            .collect())
    }
}

fn malformed(reason: String) -> WriteFault {
    WriteFault::NotWritten {
        reason,
        cause: Cause::Circumstance,
    }
}
