//! The journal behind the tap: each event of each append is a step.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use globalshop::domain::{EntityId, Kind, Millis, Shard, ShardCount};
use globalshop::journal::{
    Append, Batch, Cause, Epoch, History, Journal, JournalFault, Lease, Members, Orphans, Position, Recorded,
    Remembered, RequestKey, Sequence, Snapshot, Survey, Takeover, Timer, WriteFault,
};

use super::tap::{How, Place, Step, Tap, event_name};

/// A journal behind the tap.
#[derive(Debug)]
pub struct TappedJournal {
    pub inner: Arc<dyn Journal>,
    pub tap: Tap,
}

/// What an append is made of; the stocks of a saga are told apart, its cart and its order are one each.
fn steps(append: &Append) -> impl Iterator<Item = Step> {
    let whose = match append.entity.kind() {
        Kind::Stock => append.entity.to_string(),
        kind => kind.as_str().to_owned(),
    };
    let events = append.events.iter();
    events.map(move |event| Step::new(Place::Journal, format!("{whose} {}", event_name(&event.payload))))
}

#[async_trait]
impl Journal for TappedJournal {
    async fn write(&self, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
        let appends = batch.appends.iter();
        let passed: Vec<_> = appends
            .flat_map(|(append, _)| steps(append))
            .map(|step| (self.tap.pass(&step), step))
            .collect();
        let fails = passed
            .into_iter()
            .find_map(|(passed, step)| passed.err().map(|how| (how, step)));
        let Some((how, step)) = fails else {
            return self.inner.write(batch).await;
        };
        let reason = format!("{step}: put in on purpose");
        match how {
            How::NotDone | How::Refused => Err(WriteFault::NotWritten {
                reason,
                cause: Cause::Circumstance,
            }),
            How::Lost => Err(WriteFault::Unknown { reason }),
            How::Unheard => {
                self.inner.write(batch).await?;
                Err(WriteFault::Unknown { reason })
            }
            How::DiesBefore => self.tap.die().await,
            How::DiesAfter => {
                self.inner.write(batch).await?;
                self.tap.die().await
            }
        }
    }

    fn shards(&self) -> ShardCount {
        self.inner.shards()
    }

    async fn join(&self, owner: &str, ttl: Duration, takeover: Takeover) -> Result<Members, JournalFault> {
        self.inner.join(owner, ttl, takeover).await
    }

    async fn beat(&self, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
        self.inner.beat(owner, ttl).await
    }

    async fn leave(&self, owner: &str) -> Result<(), JournalFault> {
        self.inner.leave(owner).await
    }

    async fn claim(&self, shard: Shard, owner: &str, takeover: Takeover) -> Result<Lease, JournalFault> {
        self.inner.claim(shard, owner, takeover).await
    }

    async fn release(&self, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault> {
        self.inner.release(shard, owner, epoch).await
    }

    async fn load(&self, entities: &[EntityId]) -> Result<Vec<History>, JournalFault> {
        self.inner.load(entities).await
    }

    async fn events(&self, entity: &EntityId, until: Sequence) -> Result<Vec<Recorded>, JournalFault> {
        self.inner.events(entity, until).await
    }

    async fn read(&self, shard: Shard, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalFault> {
        self.inner.read(shard, after, limit).await
    }

    async fn head(&self, shard: Shard) -> Result<Position, JournalFault> {
        self.inner.head(shard).await
    }

    async fn timers(&self, shard: Shard) -> Result<Vec<Timer>, JournalFault> {
        self.inner.timers(shard).await
    }

    async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalFault> {
        self.inner.keep_snapshot(snapshot).await
    }

    async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
        self.inner.remembered(key).await
    }

    async fn forget(&self, before: Millis, limit: u32) -> Result<u64, JournalFault> {
        self.inner.forget(before, limit).await
    }

    async fn survey(&self, from: &[(Shard, Position)]) -> Result<Survey, JournalFault> {
        self.inner.survey(from).await
    }

    async fn orphans(&self) -> Result<Orphans, JournalFault> {
        self.inner.orphans().await
    }
}
