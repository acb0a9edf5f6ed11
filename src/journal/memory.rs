//! The journal in memory: what the simulation runs on.
//!
//! Clones share what is stored, as nodes share a database. It keeps every promise of the real one,
//! and it breaks on command: a [`Fault`] that was [injected](MemoryJournal::inject) befalls the next
//! call it fits, and a node that was [cut off](MemoryJournal::cut_off) is answered nothing. Nothing here
//! draws lots, and the one clock is a boot clock that wall clocks cannot move, so one plan of faults
//! gives one history.

mod store;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use self::store::Store;
use super::{
    Append, Batch, Cause, Epoch, History, Journal, JournalFault, Lease, Members, Orphans, Position, Recorded,
    Remembered, RequestKey, Sequence, Snapshot, Survey, Takeover, Timer, WriteFault,
};
use crate::clock::Clock;
use crate::domain::{EntityId, Millis, Shard, ShardCount};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write is refused for certain.
    WriteRefused,
    /// A row of a write is refused for certain: every write with this entity, until it stands alone.
    RowRefused,
    /// A write happens, and its answer is lost: the outcome is unknown.
    AnswerLost,
    /// A write is lost on its way, and nobody can tell: the outcome is unknown.
    RequestLost,
    /// A write's outcome is unknown at once, and the write arrives this much later; if the shard has
    /// been taken by then, it is fenced like any other.
    RequestLate(Duration),
    /// A write waits before it happens.
    WriteSlow(Duration),
    /// A write happens at once and its answer waits.
    AnswerSlow(Duration),
    /// A claim waits before it happens.
    ClaimSlow(Duration),
    /// A claim fails and changes nothing.
    ClaimFails,
    /// The epoch is raised, and the taker does not hear of it.
    ClaimLost,
    /// A join or a heartbeat fails and changes nothing.
    BeatFails,
    /// A join or a heartbeat counts, and the node does not hear of it.
    BeatLost,
    /// A join or a heartbeat waits before it happens.
    BeatSlow(Duration),
    /// A read of any kind fails.
    ReadFails,
    /// A read of any kind waits.
    ReadSlow(Duration),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Claim,
    Beat,
    Read,
}

impl Fault {
    const fn befalls(self) -> Call {
        match self {
            Self::WriteRefused
            | Self::RowRefused
            | Self::AnswerLost
            | Self::RequestLost
            | Self::RequestLate(_)
            | Self::WriteSlow(_)
            | Self::AnswerSlow(_) => Call::Write,
            Self::ClaimSlow(_) | Self::ClaimFails | Self::ClaimLost => Call::Claim,
            Self::BeatFails | Self::BeatLost | Self::BeatSlow(_) => Call::Beat,
            Self::ReadFails | Self::ReadSlow(_) => Call::Read,
        }
    }
}

/// The journal that memory keeps.
#[derive(Clone)]
pub struct MemoryJournal {
    shards: ShardCount,
    store: Arc<Mutex<Store>>,
    plan: Arc<Mutex<VecDeque<Fault>>>,
    /// The entity whose row is refused, until it stands alone.
    culprit: Arc<Mutex<Option<EntityId>>>,
    cut_off: Arc<AtomicBool>,
    clock: Clock,
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal")
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl MemoryJournal {
    /// An empty journal, whose members expire by the boot time of `clock`.
    #[must_use]
    pub fn new(shards: ShardCount, clock: Clock) -> Self {
        Self {
            shards,
            store: Arc::default(),
            plan: Arc::default(),
            culprit: Arc::default(),
            cut_off: Arc::default(),
            clock,
        }
    }

    /// The same journal as another node sees it: what is stored is shared, faults are its own.
    #[must_use]
    pub fn seen_by_another(&self) -> Self {
        Self {
            plan: Arc::default(),
            culprit: Arc::default(),
            cut_off: Arc::default(),
            ..self.clone()
        }
    }

    /// Cuts this node off from the journal, or connects it again. While it is cut off nothing it asks
    /// happens: writes are unknown, everything else fails.
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Relaxed);
    }

    /// Plans a fault for the next call it fits; faults of one kind of call happen in this order.
    pub fn inject(&self, fault: Fault) {
        locked(&self.plan).push_back(fault);
    }

    /// Forgets the faults that have not happened yet; says how many there were.
    pub fn heal(&self) -> usize {
        let mut plan = locked(&self.plan);
        let planned = plan.len();
        plan.clear();
        locked(&self.culprit).take();
        planned
    }

    /// Everything committed to a shard, in order: for whoever audits a simulation.
    #[must_use]
    pub fn committed(&self, shard: Shard) -> Vec<Recorded> {
        locked(&self.store).read(shard, Position(0), usize::MAX)
    }

    /// The epoch of a shard and what was committed to it after a position, at one moment.
    #[must_use]
    pub fn committed_after(&self, shard: Shard, after: Position) -> (Epoch, Vec<Recorded>) {
        let store = locked(&self.store);
        (store.epoch(shard), store.read(shard, after, usize::MAX))
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shard_count(&self) -> ShardCount {
        self.shards
    }

    fn next_fault(&self, call: Call) -> Option<Fault> {
        let mut plan = locked(&self.plan);
        let next = plan.iter().position(|fault| fault.befalls() == call)?;
        plan.remove(next)
    }

    /// Whether a row of the batch is one that is refused.
    fn has_refused_row(&self, batch: &Batch) -> bool {
        let mut culprit = locked(&self.culprit);
        let Some(refused) = culprit.clone() else {
            return false;
        };
        let is_of_it = |(append, _): &(Append, Position)| append.entity == refused;
        if batch.appends.iter().all(is_of_it) {
            culprit.take();
        }
        batch.appends.iter().any(is_of_it)
    }

    fn reachable(&self) -> Result<(), JournalFault> {
        if self.cut_off.load(Relaxed) {
            return Err(JournalFault::Injected("the node is cut off from the journal"));
        }
        Ok(())
    }

    /// A call about members, with the time it is made at.
    async fn beat_with<T>(
        &self,
        call: impl FnOnce(&mut Store, Duration) -> Result<T, JournalFault> + Send,
    ) -> Result<T, JournalFault> {
        self.reachable()?;
        match self.next_fault(Call::Beat) {
            Some(Fault::BeatFails) => return Err(JournalFault::Injected("a heartbeat failed")),
            Some(Fault::BeatSlow(wait)) => sleep(wait).await,
            Some(Fault::BeatLost) => {
                call(&mut locked(&self.store), self.clock.boot())?;
                return Err(JournalFault::Injected("a heartbeat's answer was lost"));
            }
            _ => {}
        }
        self.reachable()?;
        call(&mut locked(&self.store), self.clock.boot())
    }

    async fn read_with<T>(&self, read: impl FnOnce(&mut Store) -> T + Send) -> Result<T, JournalFault> {
        self.reachable()?;
        match self.next_fault(Call::Read) {
            Some(Fault::ReadSlow(wait)) => sleep(wait).await,
            Some(Fault::ReadFails) => return Err(JournalFault::Injected("a read failed")),
            _ => {}
        }
        Ok(read(&mut locked(&self.store)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(cause: Cause) -> WriteFault {
    WriteFault::NotWritten {
        reason: "injected: a write was refused".to_owned(),
        cause,
    }
}

fn unknown(reason: &str) -> WriteFault {
    WriteFault::Unknown {
        reason: format!("injected: {reason}"),
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn shards(&self) -> ShardCount {
        self.shards
    }

    async fn join(&self, owner: &str, ttl: Duration, takeover: Takeover) -> Result<Members, JournalFault> {
        self.beat_with(|store, now| store.join(now, owner, ttl, takeover))
            .await
    }

    async fn beat(&self, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
        self.beat_with(|store, now| store.beat(now, owner, ttl)).await
    }

    async fn leave(&self, owner: &str) -> Result<(), JournalFault> {
        self.reachable()?;
        locked(&self.store).leave(owner);
        Ok(())
    }

    async fn claim(&self, shard: Shard, owner: &str, takeover: Takeover) -> Result<Lease, JournalFault> {
        self.reachable()?;
        let claim = || locked(&self.store).claim(self.clock.boot(), shard, owner, takeover);
        match self.next_fault(Call::Claim) {
            Some(Fault::ClaimSlow(wait)) => sleep(wait).await,
            Some(Fault::ClaimFails) => return Err(JournalFault::Injected("a claim failed")),
            Some(Fault::ClaimLost) => {
                claim()?;
                return Err(JournalFault::Injected("a claim's answer was lost"));
            }
            _ => {}
        }
        self.reachable()?;
        claim()
    }

    async fn release(&self, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault> {
        self.reachable()?;
        locked(&self.store).release(shard, owner, epoch);
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
        if self.reachable().is_err() {
            return Err(unknown("the node is cut off from the journal"));
        }
        match self.next_fault(Call::Write) {
            Some(Fault::WriteRefused) => return Err(refused(Cause::Circumstance)),
            Some(Fault::RowRefused) => {
                let last = batch.appends.last().map(|(append, _)| append.entity.clone());
                *locked(&self.culprit) = last;
            }
            Some(Fault::RequestLost) => return Err(unknown("a write's request was lost")),
            Some(Fault::AnswerLost) => {
                // Written or refused: nobody hears.
                let _ = locked(&self.store).write(batch);
                return Err(unknown("a write's answer was lost"));
            }
            Some(Fault::RequestLate(wait)) => {
                let (store, batch) = (Arc::clone(&self.store), batch.clone());
                tokio::spawn(async move {
                    sleep(wait).await;
                    let _ = locked(&store).write(&batch);
                });
                return Err(unknown("a write's request is late"));
            }
            Some(Fault::WriteSlow(wait)) => sleep(wait).await,
            Some(Fault::AnswerSlow(wait)) => {
                let answer = locked(&self.store).write(batch);
                sleep(wait).await;
                return answer;
            }
            _ => {}
        }
        if self.has_refused_row(batch) {
            return Err(refused(Cause::Value));
        }
        locked(&self.store).write(batch)
    }

    async fn load(&self, entities: &[EntityId]) -> Result<Vec<History>, JournalFault> {
        self.read_with(|store| entities.iter().map(|entity| store.load(entity)).collect())
            .await
    }

    async fn events(&self, entity: &EntityId, until: Sequence) -> Result<Vec<Recorded>, JournalFault> {
        self.read_with(|store| store.events(entity, Sequence(0), until))
            .await
    }

    async fn read(&self, shard: Shard, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalFault> {
        self.read_with(|store| store.read(shard, after, limit)).await
    }

    async fn head(&self, shard: Shard) -> Result<Position, JournalFault> {
        self.read_with(|store| store.head(shard)).await
    }

    async fn timers(&self, shard: Shard) -> Result<Vec<Timer>, JournalFault> {
        self.read_with(|store| store.timers(shard)).await
    }

    async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalFault> {
        let shard = snapshot.entity.shard(self.shards);
        self.read_with(|store| store.keep_snapshot(shard, snapshot)).await
    }

    async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
        self.read_with(|store| store.remembered(key)).await
    }

    async fn forget(&self, before: Millis, limit: u32) -> Result<u64, JournalFault> {
        self.read_with(|store| store.forget(before, limit)).await
    }

    async fn survey(&self, from: &[(Shard, Position)]) -> Result<Survey, JournalFault> {
        self.read_with(|store| store.survey(from)).await
    }

    async fn orphans(&self) -> Result<Orphans, JournalFault> {
        self.read_with(|store| store.orphans()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::contract;

    async fn journal() -> MemoryJournal {
        MemoryJournal::new(ShardCount::DEFAULT, Clock::system())
    }

    crate::journal_contract!(journal);

    #[tokio::test(start_paused = true)]
    async fn a_late_request_is_fenced_when_the_shard_has_been_taken() {
        let journal = journal().await;
        let (shard, entity) = contract::place(&journal, "late");
        let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
        let batch = contract::batch(lease, vec![contract::append(lease, &entity, 0, &["x"])]);

        journal.inject(Fault::RequestLate(Duration::from_secs(1)));
        assert!(!journal.write(&batch).await.unwrap_err().is_certain());
        let taken = journal.claim(shard, "two", Takeover::AtOnce).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(taken.head, Position(0));
        assert_eq!(journal.head(shard).await.unwrap(), Position(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_request_is_written_when_nobody_took_the_shard() {
        let journal = journal().await;
        let (shard, entity) = contract::place(&journal, "late");
        let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
        let batch = contract::batch(lease, vec![contract::append(lease, &entity, 0, &["x"])]);

        journal.inject(Fault::RequestLate(Duration::from_secs(1)));
        assert!(!journal.write(&batch).await.unwrap_err().is_certain());
        sleep(Duration::from_secs(2)).await;
        assert_eq!(journal.head(shard).await.unwrap(), Position(1));
    }

    #[tokio::test]
    async fn faults_befall_the_calls_they_fit_and_only_one_node() {
        let journal = journal().await;
        let other = journal.seen_by_another();
        let (shard, entity) = contract::place(&journal, "faulty");
        let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
        let batch = contract::batch(lease, vec![contract::append(lease, &entity, 0, &["x"])]);

        journal.inject(Fault::ReadFails);
        journal.inject(Fault::WriteRefused);
        journal.inject(Fault::RequestLost);
        journal.inject(Fault::AnswerLost);
        assert!(journal.write(&batch).await.unwrap_err().is_certain());
        assert!(!journal.write(&batch).await.unwrap_err().is_certain());
        assert_eq!(other.head(shard).await.unwrap(), Position(0));
        assert!(!journal.write(&batch).await.unwrap_err().is_certain());
        assert_eq!(other.head(shard).await.unwrap(), Position(1));
        assert!(journal.head(shard).await.is_err());
        assert_eq!(journal.head(shard).await.unwrap(), Position(1));
        assert_eq!(journal.heal(), 0);
    }

    #[tokio::test]
    async fn a_lost_claim_has_raised_the_epoch() {
        let journal = journal().await;
        let (shard, _) = contract::place(&journal, "lost");
        let first = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
        journal.inject(Fault::ClaimLost);
        assert!(journal.claim(shard, "two", Takeover::AtOnce).await.is_err());
        assert_eq!(
            journal
                .claim(shard, "one", Takeover::AtOnce)
                .await
                .unwrap()
                .epoch
                .0,
            first.epoch.0 + 2
        );
    }
}
