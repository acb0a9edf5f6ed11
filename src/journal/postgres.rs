//! The journal in PostgreSQL.
//!
//! Reading order: [`append`] (the one statement that writes), [`outcome`] (what an error of it
//! means), [`lease`] (how a shard changes hands), [`member`] (who is here), [`history`] (how it is read);
//! then what they stand on: [`writers`] and [`readers`], the connections.
//!
//! **Invariants**
//! - An append is one statement that commits itself, so no client can stop in the middle of one.
//! - It locks the lease rows of its shards, so a taker either waits for it or makes it write nothing.
//! - A connection whose statement was not answered in full is closed, never used again.
//! - A server that acknowledges what it can lose is refused, on every new connection that writes.

mod append;
mod history;
mod lease;
mod member;
mod outcome;
mod readers;
mod remembered;
mod server;
mod snapshot;
mod survey;
mod timer;
mod writers;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;

use self::readers::Readers;
use self::writers::Writers;
use super::{
    Batch, Epoch, History, Journal, JournalFault, Lease, Members, OpenFault, Orphans, Position, Recorded,
    Remembered, RequestKey, Sequence, Snapshot, Survey, Takeover, Timer, WriteFault,
};
use crate::clock::Clock;
use crate::domain::{EntityId, Millis, Shard, ShardCount};

/// How a node opens the journal.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// This node and its incarnation, as it will claim shards: a taker finds the writers of an
    /// earlier owner by it.
    pub owner: String,
    /// How many shards a journal gets that is opened for the first time.
    pub shards: ShardCount,
    /// How many batches can be written at once.
    pub writers: u32,
    /// How many connections read.
    pub readers: u32,
}

impl PostgresSettings {
    /// Settings that suit a node on a small machine.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            shards: ShardCount::DEFAULT,
            writers: 2,
            readers: 4,
        }
    }
}

/// The journal that PostgreSQL keeps.
#[derive(Debug)]
pub struct PostgresJournal {
    shards: ShardCount,
    writers: Writers,
    readers: Readers,
    /// A connection of its own for the heartbeat: it must not queue behind anyone's questions.
    heartbeat: Readers,
    /// And one for the question whether the server is there at all.
    pulse: Readers,
}

impl PostgresJournal {
    /// Opens the journal of a database that has been [migrated](super::migrate::migrate).
    ///
    /// # Errors
    /// When the server cannot be reached or could lose what it acknowledges.
    pub async fn open(
        options: PgConnectOptions,
        settings: PostgresSettings,
        clock: Clock,
    ) -> Result<Self, OpenFault> {
        let writers = Writers::open(&options, &settings, clock).await?;
        let readers = Readers::open(&options, settings.readers);
        let heartbeat = Readers::open(&options, 1);
        let pulse = Readers::open(&options, 1);
        let shards = server::settle_shards(&readers, settings.shards).await?;
        Ok(Self {
            shards,
            writers,
            readers,
            heartbeat,
            pulse,
        })
    }
}

#[async_trait]
impl Journal for PostgresJournal {
    fn shards(&self) -> ShardCount {
        self.shards
    }

    async fn join(&self, owner: &str, ttl: Duration, takeover: Takeover) -> Result<Members, JournalFault> {
        member::join(&self.heartbeat, owner, ttl, takeover).await
    }

    async fn beat(&self, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
        member::beat(&self.heartbeat, owner, ttl).await
    }

    async fn leave(&self, owner: &str) -> Result<(), JournalFault> {
        member::leave(&self.heartbeat, owner).await
    }

    async fn claim(&self, shard: Shard, owner: &str, takeover: Takeover) -> Result<Lease, JournalFault> {
        lease::claim(&self.readers, shard, owner, takeover).await
    }

    async fn release(&self, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault> {
        lease::release(&self.readers, shard, owner, epoch).await
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
        append::write(&self.writers, batch).await
    }

    async fn load(&self, entities: &[EntityId]) -> Result<Vec<History>, JournalFault> {
        history::load(&self.readers, entities).await
    }

    async fn events(&self, entity: &EntityId, until: Sequence) -> Result<Vec<Recorded>, JournalFault> {
        history::events(&self.readers, entity, until).await
    }

    async fn read(&self, shard: Shard, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalFault> {
        history::read(&self.readers, shard, after, limit).await
    }

    async fn head(&self, shard: Shard) -> Result<Position, JournalFault> {
        history::head(&self.readers, shard).await
    }

    async fn timers(&self, shard: Shard) -> Result<Vec<Timer>, JournalFault> {
        timer::of_shard(&self.readers, shard).await
    }

    async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalFault> {
        snapshot::keep(&self.readers, snapshot.entity.shard(self.shards), snapshot).await
    }

    async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
        remembered::find(&self.readers, key).await
    }

    async fn forget(&self, before: Millis, limit: u32) -> Result<u64, JournalFault> {
        remembered::forget(&self.readers, before, limit).await
    }

    async fn ping(&self) -> Result<(), JournalFault> {
        self.pulse
            .ask("say that it is there", |connection| {
                sqlx::Connection::ping(connection).boxed()
            })
            .await
    }

    fn is_full(&self) -> bool {
        self.writers.are_out_of_room()
    }

    async fn survey(&self, from: &[(Shard, Position)]) -> Result<Survey, JournalFault> {
        survey::survey(&self.readers, from).await
    }

    async fn orphans(&self) -> Result<Orphans, JournalFault> {
        survey::orphans(&self.readers).await
    }
}
