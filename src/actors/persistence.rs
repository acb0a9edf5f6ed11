//! The only writer of the journal for the shards assigned to it.
//!
//! It takes everything queued, writes it in one statement, and answers the whole batch from what
//! that statement says. While one statement is under way, the next batch collects; nothing ever
//! lingers. A load waits behind whatever is still queued for its entity, so that an activation never
//! outruns its predecessor's appends.
//!
//! **Invariants**
//! - One statement under way per shard.
//! - Positions are assigned here, gapless, and published to the tail in order, after the commit.
//! - What is not *written* ends the shard's epoch here: nothing of that epoch is accepted again.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::oneshot;

use super::gate::Gates;
use super::supervise::{Address, Failure, Member};
use super::timer::TimerBoard;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Shard};
use crate::journal::{
    Append, Batch, Epoch, History, Journal, JournalFault, Position, Recorded, Sequence, TimerChange,
    WriteFault,
};
use crate::relay::Tails;

/// The most events in one statement.
pub const BATCH_ROWS: usize = 1_000;
/// The most payload bytes in one statement.
pub const BATCH_BYTES: usize = 1 << 20;
/// The most entities in one load.
const LOAD_BATCH: usize = 256;
/// How many events may be queued at one writer before entities say they are overloaded.
pub const QUEUE_LIMIT: usize = 20_000;

/// How an append ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is in the journal.
    Written {
        /// The position of the last event written for the entity in this batch, if there was one.
        position: Option<Position>,
    },
    /// Certainly not in the journal.
    NotWritten(String),
    /// Nobody knows.
    Unknown(String),
}

/// Who wants to know how appends ended, and what was loaded.
pub trait Listener: Send + Sync {
    /// Everything up to `ticket` ended so.
    fn settled(&self, ticket: u64, outcome: Settled);
    /// What to replay from.
    fn loaded(&self, history: Result<History, Arc<JournalFault>>);
}

/// What a persistence actor is asked.
pub enum PersistenceMessage {
    /// Accept appends of a shard under this epoch, after this head.
    Adopt {
        /// Which shard.
        shard: Shard,
        /// Under which epoch.
        epoch: Epoch,
        /// After which position.
        head: Position,
        /// Answered when it is so.
        reply: oneshot::Sender<()>,
    },
    /// Accept nothing of a shard any more.
    Disown(Shard),
    /// Write this.
    Append {
        /// What.
        append: Append,
        /// The listener's number for it, rising.
        ticket: u64,
        /// Who wants to know.
        listener: Arc<dyn Listener>,
    },
    /// Load an entity, behind everything queued for it.
    Load {
        /// Which.
        entity: EntityId,
        /// Who wants to know.
        listener: Arc<dyn Listener>,
    },
    /// A statement has ended.
    Ended(Box<Statement>, Result<Vec<Shard>, WriteFault>),
    /// A load has ended.
    Loaded(
        Vec<(EntityId, Arc<dyn Listener>)>,
        Result<Vec<History>, JournalFault>,
    ),
}

/// What one entity hears of a statement: its newest ticket, where its last event stands, and who listens.
type Told = (u64, Option<Position>, Arc<dyn Listener>);

/// A statement under way.
pub struct Statement {
    batch: Batch,
    /// For each append of the batch, in order.
    waiting: Vec<(u64, Arc<dyn Listener>)>,
}

/// What persistence actors share with those who use them.
#[derive(Debug, Default)]
pub struct Load {
    /// Events queued or under way.
    pub queued: AtomicUsize,
}

/// Starts persistence actors.
pub struct Persistence;

/// What a persistence actor works with.
#[derive(Clone)]
pub struct PersistenceArguments {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Where committed events go.
    pub tails: Tails,
    /// Where changed timers go.
    pub timers: TimerBoard,
    /// Where a disturbed shard is told.
    pub gates: Arc<Gates>,
    /// The shards assigned to this writer.
    pub shards: Arc<[Shard]>,
    /// How much is queued.
    pub load: Arc<Load>,
}

struct Held {
    epoch: Epoch,
    head: Position,
}

struct Queued {
    append: Append,
    ticket: u64,
    listener: Arc<dyn Listener>,
}

/// What a persistence actor keeps.
pub struct PersistenceState {
    with: PersistenceArguments,
    held: HashMap<Shard, Held>,
    queue: VecDeque<Queued>,
    /// Parts of a batch that failed as a whole, each to be tried by itself before anything newer.
    split: VecDeque<Statement>,
    writing: bool,
    /// How many appends of an entity are queued or under way: a load waits for none.
    busy: HashMap<EntityId, u32>,
    loads: VecDeque<(EntityId, Arc<dyn Listener>)>,
    loading: bool,
}

impl Member for Persistence {
    type Message = PersistenceMessage;
    type Arguments = PersistenceArguments;
    type State = PersistenceState;

    const LABELS: &'static [&'static str] = &["adopt", "disown", "append", "load", "ended", "loaded"];

    fn label(message: &PersistenceMessage) -> usize {
        match message {
            PersistenceMessage::Adopt { .. } => 0,
            PersistenceMessage::Disown(_) => 1,
            PersistenceMessage::Append { .. } => 2,
            PersistenceMessage::Load { .. } => 3,
            PersistenceMessage::Ended(..) => 4,
            PersistenceMessage::Loaded(..) => 5,
        }
    }

    async fn start(
        &self,
        _: &Address<PersistenceMessage>,
        with: PersistenceArguments,
    ) -> Result<PersistenceState, Failure> {
        with.load.queued.store(0, Relaxed);
        // If there was one before, what it had under way is unknown: its shards recover.
        for shard in with.shards.iter() {
            with.gates.disturb(*shard, None, "its writer was restarted");
        }
        Ok(PersistenceState {
            with,
            held: HashMap::new(),
            queue: VecDeque::new(),
            split: VecDeque::new(),
            writing: false,
            busy: HashMap::new(),
            loads: VecDeque::new(),
            loading: false,
        })
    }

    async fn handle(
        &self,
        me: &Address<PersistenceMessage>,
        message: PersistenceMessage,
        state: &mut PersistenceState,
    ) -> Result<(), Failure> {
        match message {
            PersistenceMessage::Adopt {
                shard,
                epoch,
                head,
                reply,
            } => {
                let head = if planted::is(Bug::HeadTooEarly) {
                    Position((head.0 - 1).max(0))
                } else {
                    head
                };
                state.with.tails.of(shard).start_at(head);
                state.held.insert(shard, Held { epoch, head });
                // The shard that asked may have ended meanwhile; its successor adopts anew.
                reply.send(()).ok();
            }
            PersistenceMessage::Disown(shard) => {
                state.held.remove(&shard);
                state.give_up(shard, &Settled::NotWritten("the shard was given up".to_owned()));
            }
            PersistenceMessage::Append {
                append,
                ticket,
                listener,
            } => state.accept(append, ticket, listener),
            PersistenceMessage::Load { entity, listener } => state.loads.push_back((entity, listener)),
            PersistenceMessage::Ended(statement, result) => state.ended(*statement, result),
            PersistenceMessage::Loaded(asked, result) => state.loaded(asked, result),
        }
        state.write_next(me);
        state.load_next(me);
        Ok(())
    }
}

impl PersistenceState {
    fn accept(&mut self, append: Append, ticket: u64, listener: Arc<dyn Listener>) {
        match self.held.get(&append.shard) {
            Some(held) if held.epoch == append.epoch => {
                self.with.load.queued.fetch_add(append.events.len(), Relaxed);
                *self.busy.entry(append.entity.clone()).or_insert(0) += 1;
                self.queue.push_back(Queued {
                    append,
                    ticket,
                    listener,
                });
            }
            _ => listener.settled(
                ticket,
                Settled::NotWritten("the shard is held under another epoch".to_owned()),
            ),
        }
    }

    /// Starts the next statement, if none is under way and there is something to write.
    fn write_next(&mut self, me: &Address<PersistenceMessage>) {
        if self.writing {
            return;
        }
        let Some(statement) = self.split.pop_front().or_else(|| self.collect()) else {
            return;
        };
        self.writing = true;
        let journal = Arc::clone(&self.with.journal);
        let me = me.clone();
        tokio::spawn(async move {
            let result = journal.write(&statement.batch).await;
            me.tell(PersistenceMessage::Ended(Box::new(statement), result));
        });
    }

    /// Takes everything queued, up to a batch, and assigns positions.
    fn collect(&mut self) -> Option<Statement> {
        let mut batch = Batch::default();
        let mut waiting = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut shards = HashSet::new();
        while let Some(next) = self.queue.front() {
            let size: usize = next.append.events.iter().map(|event| event.payload.len()).sum();
            if !waiting.is_empty()
                && (rows + next.append.events.len() > BATCH_ROWS || bytes + size > BATCH_BYTES)
            {
                break;
            }
            let Some(Queued {
                append,
                ticket,
                listener,
            }) = self.queue.pop_front()
            else {
                break;
            };
            let Some(held) = self.held.get_mut(&append.shard) else {
                // Given up between queueing and now; `give_up` has answered it.
                continue;
            };
            rows += append.events.len();
            bytes += size;
            let first = held.head.next();
            held.head = Position(held.head.0 + i64::try_from(append.events.len()).unwrap_or(0));
            if planted::is(Bug::PositionGap) && append.events.len() > 1 {
                held.head = held.head.next();
            }
            if shards.insert(append.shard) {
                batch.held.push((append.shard, held.epoch));
            }
            batch.appends.push((append, first));
            waiting.push((ticket, listener));
        }
        (!waiting.is_empty()).then_some(Statement { batch, waiting })
    }

    fn ended(&mut self, statement: Statement, result: Result<Vec<Shard>, WriteFault>) {
        self.writing = false;
        match result {
            Ok(fenced) => self.written(statement, &fenced),
            Err(WriteFault::NotWritten { reason, constraint }) => {
                let parts = by_shard(statement);
                if parts.len() > 1 {
                    tracing::warn!(%reason, constraint, shards = parts.len(), "a batch was refused; trying it shard by shard");
                    self.split.extend(parts);
                } else {
                    for part in parts {
                        tracing::error!(%reason, constraint, shard = %part.batch.held[0].0, "an append was refused");
                        self.failed(part, &Settled::NotWritten(reason.clone()), &reason);
                    }
                }
            }
            Err(WriteFault::Unknown { reason }) => {
                tracing::error!(%reason, "it is unknown whether a batch was written");
                for part in by_shard(statement) {
                    if planted::is(Bug::UnknownUnderTheSameEpoch) {
                        self.take_for_unwritten(part, &reason);
                    } else {
                        self.failed(part, &Settled::Unknown(reason.clone()), &reason);
                    }
                }
            }
        }
    }

    fn written(&mut self, statement: Statement, fenced: &[Shard]) {
        self.release(&statement);
        let mut fresh: BTreeMap<Shard, Vec<Arc<Recorded>>> = BTreeMap::new();
        let mut told: BTreeMap<EntityId, Told> = BTreeMap::new();
        let mut lost = Vec::new();
        for ((append, first), (ticket, listener)) in
            statement.batch.appends.into_iter().zip(statement.waiting)
        {
            if fenced.contains(&append.shard) {
                lost.push((append.shard, ticket, listener));
                continue;
            }
            self.with
                .timers
                .changed(append.shard, &append.entity, append.timer);
            let entity = append.entity.clone();
            let mut last = None;
            let events = fresh.entry(append.shard).or_default();
            for recorded in recorded(append, first) {
                last = Some(recorded.position);
                events.push(Arc::new(recorded));
            }
            let entry = told.entry(entity).or_insert((ticket, last, listener));
            entry.0 = ticket;
            entry.1 = last.or(entry.1);
        }
        for (shard, events) in fresh {
            self.with.tails.of(shard).publish(events);
        }
        for (ticket, position, listener) in told.into_values() {
            listener.settled(ticket, Settled::Written { position });
        }
        for shard in fenced {
            self.lose(
                *shard,
                &Settled::NotWritten("another node holds the shard".to_owned()),
                "fenced",
            );
        }
        for (_, ticket, listener) in lost {
            listener.settled(
                ticket,
                Settled::NotWritten("another node holds the shard".to_owned()),
            );
        }
    }

    fn failed(&mut self, part: Statement, outcome: &Settled, reason: &str) {
        self.release(&part);
        for (shard, _) in &part.batch.held {
            self.lose(*shard, outcome, reason);
        }
        for (ticket, listener) in part.waiting {
            listener.settled(ticket, outcome.clone());
        }
    }

    /// A bug put in on purpose: goes on under the same epoch as if nothing had been written.
    fn take_for_unwritten(&mut self, part: Statement, reason: &str) {
        self.release(&part);
        if let Some((append, first)) = part.batch.appends.first()
            && let Some(held) = self.held.get_mut(&append.shard)
        {
            held.head = Position(first.0 - 1);
        }
        for (ticket, listener) in part.waiting {
            listener.settled(ticket, Settled::Unknown(reason.to_owned()));
        }
    }

    /// Ends the shard's epoch here: nothing that is queued for it will be written.
    fn lose(&mut self, shard: Shard, outcome: &Settled, reason: &str) {
        if planted::is(Bug::AppliedAfterAFailure) {
            return;
        }
        if let Some(held) = self.held.remove(&shard) {
            self.with.gates.disturb(shard, Some(held.epoch), reason);
        }
        // What is queued was decided on state that may never be; it is certainly not written.
        let queued = match outcome {
            Settled::Written { .. } => return,
            Settled::NotWritten(reason) | Settled::Unknown(reason) => Settled::NotWritten(reason.clone()),
        };
        self.give_up(shard, &queued);
    }

    fn give_up(&mut self, shard: Shard, outcome: &Settled) {
        let (given, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|queued| queued.append.shard == shard);
        self.queue = kept;
        for Queued {
            append,
            ticket,
            listener,
        } in given
        {
            self.with.load.queued.fetch_sub(append.events.len(), Relaxed);
            self.free(&append.entity);
            listener.settled(ticket, outcome.clone());
        }
        let (given, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.split)
            .into_iter()
            .partition(|part| part.batch.held.iter().all(|(held, _)| *held == shard));
        self.split = kept;
        for part in given {
            self.release(&part);
            for (ticket, listener) in part.waiting {
                listener.settled(ticket, outcome.clone());
            }
        }
    }

    fn release(&mut self, statement: &Statement) {
        self.with.load.queued.fetch_sub(statement.batch.rows(), Relaxed);
        for (append, _) in &statement.batch.appends {
            self.free(&append.entity);
        }
    }

    fn free(&mut self, entity: &EntityId) {
        if let Some(count) = self.busy.get_mut(entity) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(entity);
            }
        }
    }

    /// Starts the next load of entities for which nothing is queued or under way.
    fn load_next(&mut self, me: &Address<PersistenceMessage>) {
        if self.loading || self.loads.is_empty() {
            return;
        }
        let mut now = Vec::new();
        let mut later = VecDeque::new();
        for (entity, listener) in std::mem::take(&mut self.loads) {
            let busy = self.busy.contains_key(&entity) && !planted::is(Bug::OutrunsTheQueue);
            if now.len() < LOAD_BATCH && !busy {
                now.push((entity, listener));
            } else {
                later.push_back((entity, listener));
            }
        }
        self.loads = later;
        if now.is_empty() {
            return;
        }
        self.loading = true;
        let journal = Arc::clone(&self.with.journal);
        let me = me.clone();
        tokio::spawn(async move {
            let entities: Vec<EntityId> = now.iter().map(|(entity, _)| entity.clone()).collect();
            let result = journal.load(&entities).await;
            me.tell(PersistenceMessage::Loaded(now, result));
        });
    }

    fn loaded(
        &mut self,
        asked: Vec<(EntityId, Arc<dyn Listener>)>,
        result: Result<Vec<History>, JournalFault>,
    ) {
        self.loading = false;
        match result {
            Ok(histories) => {
                for ((_, listener), history) in asked.into_iter().zip(histories) {
                    listener.loaded(Ok(history));
                }
            }
            Err(fault) => {
                let fault = Arc::new(fault);
                for (_, listener) in asked {
                    listener.loaded(Err(Arc::clone(&fault)));
                }
            }
        }
    }
}

/// The events of an append as they now stand in the journal.
fn recorded(append: Append, first: Position) -> impl Iterator<Item = Recorded> {
    let Append {
        entity,
        shard,
        epoch,
        after,
        operation,
        at,
        ..
    } = append;
    append
        .events
        .into_iter()
        .zip(0_i64..)
        .map(move |(event, n)| Recorded {
            shard,
            position: Position(first.0 + n),
            entity: entity.clone(),
            sequence: Sequence(after.0 + 1 + n),
            epoch,
            version: event.version,
            operation,
            recorded_at: at,
            payload: event.payload,
        })
}

/// Splits a statement so that each shard stands alone.
fn by_shard(statement: Statement) -> Vec<Statement> {
    let Statement { batch, waiting } = statement;
    let mut parts: Vec<Statement> = batch
        .held
        .into_iter()
        .map(|held| Statement {
            batch: Batch {
                held: vec![held],
                appends: vec![],
            },
            waiting: vec![],
        })
        .collect();
    for (append, listener) in batch.appends.into_iter().zip(waiting) {
        if let Some(part) = parts
            .iter_mut()
            .find(|part| part.batch.held[0].0 == append.0.shard)
        {
            part.batch.appends.push(append);
            part.waiting.push(listener);
        }
    }
    parts
}

/// What a changed timer means for the one who keeps it in memory.
impl TimerBoard {
    fn changed(&self, shard: Shard, entity: &EntityId, change: TimerChange) {
        match change {
            TimerChange::Keep => {}
            TimerChange::Set(due_at) => self.armed(shard, entity.clone(), Some(due_at)),
            TimerChange::Clear => self.armed(shard, entity.clone(), None),
        }
    }
}
