//! THE TRUTH. What is not in the journal has not happened.
//!
//! One table of events, ordered twice: by `(shard, position)`, gapless, which is what readers
//! follow; and by `(entity, sequence)`, gapless, which is what an entity is replayed from. Only the
//! holder of a shard's lease at its current epoch can append to it; the database checks that in the
//! statement that appends. Timers and remembered answers are written in that same statement.
//!
//! **Invariants**
//! - A position is never skipped and never reused; a committed event never changes.
//! - An append is *written*, *not written* or *unknown*. Nobody guesses which: whoever cannot tell
//!   takes the lease again at the next epoch and reads.
//! - The journal knows nothing of money, stock or carts: payloads are bytes.

pub mod batch;
#[doc(hidden)]
pub mod contract;
pub mod fault;
#[doc(hidden)]
pub mod fuzz;
pub mod group;
pub mod member;
pub mod memory;
pub mod migrate;
pub mod postgres;
pub mod stored;
pub mod survey;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::id::OperationId;
use crate::domain::{EntityId, Millis, Shard, ShardCount};

pub use batch::{Append, Batch, NewEvent, Remember, TimerChange};
pub use fault::{Cause, JournalFault, OpenFault, WriteFault};
pub use member::{Members, TAKEOVER_MARGIN, Takeover};
pub use memory::MemoryJournal;
pub use migrate::migrate;
pub use postgres::{PostgresJournal, PostgresSettings};
pub use survey::{Orphans, Survey};

/// The place of an event in its shard: 1 for the first, no gaps. 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// The place of an event in its entity: 1 for the first, no gaps. 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub i64);

/// How often a shard has changed hands. A writer with an older epoch writes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Position {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Sequence {
    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A committed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its shard.
    pub shard: Shard,
    /// Its place in the shard.
    pub position: Position,
    /// Whose it is.
    pub entity: EntityId,
    /// Its place in the entity.
    pub sequence: Sequence,
    /// The epoch it was written under.
    pub epoch: Epoch,
    /// The version of the stored shape.
    pub version: u16,
    /// The operation that caused it.
    pub operation: Option<OperationId>,
    /// When it was decided.
    pub recorded_at: Millis,
    /// The event, encoded by [`stored`].
    pub payload: Bytes,
}

/// What a lease says once it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which shard.
    pub shard: Shard,
    /// The epoch to write under.
    pub epoch: Epoch,
    /// The last position written by anyone before.
    pub head: Position,
}

/// A snapshot of an entity: an optimisation, never the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub entity: EntityId,
    /// The last event it includes.
    pub sequence: Sequence,
    /// The position of that event in the shard.
    pub position: Position,
    /// The epoch under which it was taken.
    pub epoch: Epoch,
    /// State and remembered operations, encoded by [`stored`].
    pub state: Bytes,
}

/// Everything an activation starts from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct History {
    /// The newest snapshot, if there is one.
    pub snapshot: Option<Snapshot>,
    /// The events after it, in order.
    pub events: Vec<Recorded>,
}

/// A durable timer of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Whose.
    pub entity: EntityId,
    /// When it is due.
    pub due_at: Millis,
}

/// An answer that was remembered under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// SHA-256 of the parsed body it answered.
    pub body: [u8; 32],
    /// The entity whose state at `sequence` is the answer.
    pub entity: EntityId,
    /// The entity's sequence when the answer was given.
    pub sequence: Sequence,
    /// When.
    pub at: Millis,
}

/// SHA-256 of caller, method, path and idempotency key: the name of a remembered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub [u8; 32]);

/// The journal. PostgreSQL keeps the real one; memory keeps the simulated one. Both pass
/// [`contract`].
///
/// Every method has a deadline of its own and ends in a [`JournalFault`] when that passes.
#[async_trait]
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// How many shards there are; fixed when the journal was first opened.
    fn shards(&self) -> ShardCount;

    /// Makes `owner` a member for `ttl` from now, by the journal's clock, and gives back every lease
    /// under its name. Only for a node that has nothing in memory of any shard: every gate closed,
    /// every activation ended. Refused while another incarnation of the same node is a member, unless
    /// this node is known to be the only one.
    async fn join(&self, owner: &str, ttl: Duration, takeover: Takeover) -> Result<Members, JournalFault>;

    /// The heartbeat: `owner` stays a member for `ttl` from now. Fails with
    /// [`JournalFault::NotMember`] once its time has run out, for it may have lost its shards. Answers
    /// with everyone who is a member.
    async fn beat(&self, owner: &str, ttl: Duration) -> Result<Members, JournalFault>;

    /// Ends the membership of `owner` and gives back every lease under its name; only once every
    /// activation has ended.
    async fn leave(&self, owner: &str) -> Result<(), JournalFault>;

    /// Takes the lease of `shard` for `owner` at the next epoch. Waits for an append in flight under
    /// the old epoch to end, then reads the head in a later statement. Fails with
    /// [`JournalFault::Held`] if another member owns it and `takeover` says to respect that.
    async fn claim(&self, shard: Shard, owner: &str, takeover: Takeover) -> Result<Lease, JournalFault>;

    /// Gives back the lease that `owner` took at `epoch`, so that a taker need not wait; changes
    /// nothing if the shard has changed hands since. Only once every activation of it has ended.
    async fn release(&self, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault>;

    /// Writes a batch in one statement. `Ok` names the shards whose epoch had moved: nothing of
    /// theirs is written, everything else is.
    async fn write(&self, batch: &Batch) -> Result<Vec<Shard>, WriteFault>;

    /// What each of these entities is replayed from, in the order asked.
    async fn load(&self, entities: &[EntityId]) -> Result<Vec<History>, JournalFault>;

    /// Every event of one entity up to `until`, from the beginning: time travel.
    async fn events(&self, entity: &EntityId, until: Sequence) -> Result<Vec<Recorded>, JournalFault>;

    /// Up to `limit` committed events of a shard after a position, in order.
    async fn read(&self, shard: Shard, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalFault>;

    /// The last committed position of a shard.
    async fn head(&self, shard: Shard) -> Result<Position, JournalFault>;

    /// Every timer of a shard.
    async fn timers(&self, shard: Shard) -> Result<Vec<Timer>, JournalFault>;

    /// Keeps a snapshot, unless a newer one is there or the epoch has moved.
    async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalFault>;

    /// The answer remembered under a key.
    async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault>;

    /// Forgets answers remembered before `before`, at most `limit`; says how many.
    async fn forget(&self, before: Millis, limit: u32) -> Result<u64, JournalFault>;

    /// Whether the journal answers at all, within a second or so: a node that cannot ask it is not ready.
    async fn ping(&self) -> Result<(), JournalFault> {
        self.head(Shard(0)).await.map(drop)
    }

    /// Whether the newest append failed because there was no room for it.
    fn is_full(&self) -> bool {
        false
    }

    /// Looks for gaps in the positions after `from`, up to the heads, in one snapshot.
    async fn survey(&self, from: &[(Shard, Position)]) -> Result<Survey, JournalFault>;

    /// Looks for remembered answers whose event is not in the journal.
    async fn orphans(&self) -> Result<Orphans, JournalFault>;
}
