//! The journal as one node sees it: over a wire that takes its time, that can be cut, and that the
//! auditor listens to.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::auditor::{Auditor, Violation};
use super::provider::{Mood, Moods};
use super::trace::Trace;
use super::ways::Ways;
use crate::clock::Clock;
use crate::domain::{EntityId, Millis, Shard, ShardCount};
use crate::journal::{
    Batch, Cause, Epoch, History, Journal, JournalFault, Lease, Members, MemoryJournal, Orphans, Position,
    Recorded, Remembered, RequestKey, Sequence, Snapshot, Survey, Takeover, Timer, WriteFault,
};

/// The longest a call is under way, each way, on a good day.
const PACE: u64 = 1_500;
/// After how long a call over a cut wire is given up.
const GIVEN_UP: Duration = Duration::from_millis(300);

/// The longest the answer to a heartbeat is late, now and then, in milliseconds.
const SLOW_BEAT: u64 = 900;

/// How long a node that has joined late goes on, and for how long it hears nothing then.
const JOINED: Duration = Duration::from_millis(400);
const CUT: Duration = Duration::from_secs(5);

/// One node's wire to the journal.
#[derive(Clone, Debug)]
pub struct SeenJournal {
    inner: MemoryJournal,
    node: usize,
    clock: Clock,
    auditor: Auditor,
    trace: Trace,
    ways: Ways,
    cut: Arc<AtomicBool>,
    moods: Moods,
    glitch: Arc<Mutex<Glitch>>,
    late_join: Arc<Mutex<Option<LateJoin>>>,
}

/// What happens as soon as a node has written something.
#[derive(Debug, Default)]
struct Glitch {
    /// What it waits for, what happens then, and for how long.
    armed: Option<(&'static str, Jolt, Duration)>,
    /// By how much the clock is wrong because of it.
    off: i64,
}

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jolt {
    /// The node's clock jumps by so many milliseconds.
    Clock(i64),
    /// The provider has this mood.
    Provider(Mood),
}

/// What befalls a node when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LateJoin {
    /// The answer is so late, and little else is heard after it.
    Armed(Duration),
    /// The answer was heard; the wire is about to be cut.
    Heard,
}

impl SeenJournal {
    /// The wire of node `node` to `journal`.
    #[must_use]
    pub fn new(journal: MemoryJournal, node: usize, clock: Clock, auditor: &Auditor, trace: &Trace) -> Self {
        Self {
            inner: journal,
            node,
            clock,
            auditor: auditor.clone(),
            trace: trace.clone(),
            ways: Ways::default(),
            moods: Moods::default(),
            cut: Arc::default(),
            glitch: Arc::default(),
            late_join: Arc::default(),
        }
    }

    /// Knowing of the other nodes, for no shard is taken while one of them may still answer for it, and of the
    /// provider.
    pub(super) fn beside(mut self, ways: &Ways, moods: &Moods) -> Self {
        self.ways = ways.clone();
        self.moods = moods.clone();
        self
    }

    /// Cuts the wire, or mends it.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Relaxed);
    }

    /// Has something happen as soon as the next event of this name is written, and end after a while.
    pub(super) fn glitch(&self, event: &'static str, jolt: Jolt, long: Duration) {
        self.glitches().armed = Some((event, jolt, long));
    }

    /// No clock jumps any more, and none jumps back.
    pub fn steady(&self) {
        *self.glitches() = Glitch::default();
        *self.late_joins() = None;
    }

    /// The next time the node joins, that counts at once and its answer is so late; soon after it the wire is
    /// cut for a while.
    pub fn delay_join(&self, late: Duration) {
        *self.late_joins() = Some(LateJoin::Armed(late));
    }

    fn late_joins(&self) -> MutexGuard<'_, Option<LateJoin>> {
        self.late_join.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node has joined: it hears of it late, and of little else, if that was to be.
    async fn linger(&self) {
        let late = match *self.late_joins() {
            Some(LateJoin::Armed(late)) => late,
            _ => return,
        };
        self.clock.sleep(late).await;
        if self.late_joins().replace(LateJoin::Heard).is_none() {
            // Everything has healed meanwhile.
            *self.late_joins() = None;
            return;
        }
        let wire = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(JOINED).await;
            let cut = wire.late_joins().take() == Some(LateJoin::Heard);
            if cut {
                wire.cut(true);
                tokio::time::sleep(CUT).await;
                wire.cut(false);
            }
        });
    }

    fn glitches(&self) -> MutexGuard<'_, Glitch> {
        self.glitch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch was written: what was waiting for that happens.
    fn jolt(&self, batch: &Batch) {
        let mut glitch = self.glitches();
        let Some((event, jolt, long)) = glitch.armed else {
            return;
        };
        let name = format!("\"event\":\"{event}\"");
        let mut written = batch.appends.iter().flat_map(|(append, _)| &append.events);
        if !written.any(|event| String::from_utf8_lossy(&event.payload).contains(&name)) {
            return;
        }
        glitch.armed = None;
        self.trace.note(format_args!("n{}: {jolt:?}", self.node));
        match jolt {
            Jolt::Clock(by_ms) => {
                glitch.off += by_ms;
                self.clock.jump(by_ms);
            }
            Jolt::Provider(mood) => self.moods.set(mood),
        }
        drop(glitch);
        let wire = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(long).await;
            match jolt {
                Jolt::Clock(_) => {
                    let back = std::mem::take(&mut wire.glitches().off);
                    wire.clock.jump(-back);
                }
                Jolt::Provider(_) => wire.moods.set(Mood::Good),
            }
        });
    }

    /// The journal at its end, for faults.
    #[must_use]
    pub const fn inner(&self) -> &MemoryJournal {
        &self.inner
    }

    async fn travel(&self) {
        let wait = Duration::from_micros(self.clock.random_below(PACE));
        self.clock.sleep(wait).await;
    }

    /// On its way there: fails if the wire is cut.
    async fn go(&self) -> Result<(), JournalFault> {
        self.travel().await;
        if self.cut.load(Relaxed) {
            self.clock.sleep(GIVEN_UP).await;
            return Err(JournalFault::Injected("the wire to the journal is cut"));
        }
        Ok(())
    }

    async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, JournalFault>> + Send,
    ) -> Result<T, JournalFault> {
        self.go().await?;
        let answer = answer.await;
        self.travel().await;
        if self.cut.load(Relaxed) {
            self.clock.sleep(GIVEN_UP).await;
            return Err(JournalFault::Injected("the wire to the journal was cut"));
        }
        answer
    }
}

#[async_trait]
impl Journal for SeenJournal {
    fn shards(&self) -> ShardCount {
        self.inner.shards()
    }

    async fn join(&self, owner: &str, ttl: Duration, takeover: Takeover) -> Result<Members, JournalFault> {
        let members = self.ask(self.inner.join(owner, ttl, takeover)).await;
        if members.is_ok() {
            self.linger().await;
        }
        members
    }

    async fn beat(&self, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
        let members = self.ask(self.inner.beat(owner, ttl)).await;
        // What it earns counts from when it was sent, however long its answer was under way.
        if self.clock.random_below(6) == 0 {
            let late = Duration::from_millis(self.clock.random_below(SLOW_BEAT));
            self.clock.sleep(late).await;
        }
        members
    }

    async fn leave(&self, owner: &str) -> Result<(), JournalFault> {
        self.ask(self.inner.leave(owner)).await
    }

    async fn release(&self, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault> {
        self.ask(self.inner.release(shard, owner, epoch)).await
    }

    async fn claim(&self, shard: Shard, owner: &str, takeover: Takeover) -> Result<Lease, JournalFault> {
        let lease = self
            .ask(async {
                let lease = self.inner.claim(shard, owner, takeover).await;
                self.auditor.observe();
                if let (Ok(lease), Some(other)) = (&lease, self.ways.who_may_tell(shard, self.node)) {
                    self.auditor.accuse(Violation {
                        invariant: "I8",
                        what: format!(
                            "n{} took shard {shard} at epoch {} while n{other} may still tell what it remembers",
                            self.node, lease.epoch
                        ),
                    });
                }
                lease
            })
            .await;
        match &lease {
            Ok(lease) => self.trace.note(format_args!(
                "n{} holds shard {shard} at epoch {}, head {}",
                self.node, lease.epoch, lease.head
            )),
            Err(fault) => self
                .trace
                .note(format_args!("n{} does not get shard {shard}: {fault}", self.node)),
        }
        lease
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
        let unknown = |reason: &str| WriteFault::Unknown {
            reason: reason.to_owned(),
        };
        if let Err(fault) = self.go().await {
            return Err(unknown(&fault.to_string()));
        }
        let written = self.inner.write(batch).await;
        self.auditor.observe();
        if written.is_ok() {
            self.jolt(batch);
        }
        for (append, first) in &batch.appends {
            self.trace.note(format_args!(
                "n{} writes {}/{} at {}+{}: {} {}",
                self.node,
                append.entity,
                append.after,
                append.shard,
                first,
                append.events.len(),
                match &written {
                    Ok(fenced) if fenced.contains(&append.shard) => "fenced",
                    Ok(_) => "written",
                    Err(WriteFault::NotWritten { .. }) => "not written",
                    Err(WriteFault::Unknown { .. }) => "unknown",
                }
            ));
        }
        if let Err(WriteFault::NotWritten {
            cause: Cause::Constraint(constraint),
            reason,
        }) = &written
            && constraint.starts_with("journal_")
        {
            // Under its own epoch a writer knows every event there is.
            self.auditor.accuse(Violation {
                invariant: "I5",
                what: format!("two writers in one epoch: {reason}"),
            });
        }
        self.travel().await;
        if self.cut.load(Relaxed) {
            self.clock.sleep(GIVEN_UP).await;
            return Err(unknown("the wire to the journal was cut"));
        }
        written
    }

    async fn load(&self, entities: &[EntityId]) -> Result<Vec<History>, JournalFault> {
        self.ask(self.inner.load(entities)).await
    }

    async fn events(&self, entity: &EntityId, until: Sequence) -> Result<Vec<Recorded>, JournalFault> {
        self.ask(self.inner.events(entity, until)).await
    }

    async fn read(&self, shard: Shard, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalFault> {
        self.ask(self.inner.read(shard, after, limit)).await
    }

    async fn head(&self, shard: Shard) -> Result<Position, JournalFault> {
        self.ask(self.inner.head(shard)).await
    }

    async fn timers(&self, shard: Shard) -> Result<Vec<Timer>, JournalFault> {
        self.ask(self.inner.timers(shard)).await
    }

    async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalFault> {
        self.auditor.snapshotted(snapshot);
        self.trace.note(format_args!(
            "n{} keeps a snapshot of {} at {}",
            self.node, snapshot.entity, snapshot.sequence
        ));
        self.ask(self.inner.keep_snapshot(snapshot)).await
    }

    async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
        self.ask(self.inner.remembered(key)).await
    }

    async fn forget(&self, before: Millis, limit: u32) -> Result<u64, JournalFault> {
        self.ask(self.inner.forget(before, limit)).await
    }

    async fn survey(&self, from: &[(Shard, Position)]) -> Result<Survey, JournalFault> {
        self.ask(self.inner.survey(from)).await
    }

    async fn orphans(&self) -> Result<Orphans, JournalFault> {
        self.ask(self.inner.orphans()).await
    }
}
