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
//! - What is *unknown* ends the shard's epoch here, and so does what is refused for no row's sake: nothing of
//!   that epoch is accepted again.
//! - What is refused for a row's sake is that entity's trouble alone. What its activation still sends is
//!   refused too.

mod loads;
mod statement;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::oneshot;

pub use self::loads::Loading;
use self::loads::Loads;
pub use self::statement::Statement;
use self::statement::{Waiting, recorded};
use super::gate::Gates;
use super::supervise::{Address, Failure, Member};
use super::timer::TimerBoard;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Shard};
use crate::journal::{
    Append, Cause, Epoch, History, Journal, JournalFault, Position, Recorded, TimerChange, WriteFault,
};
use crate::relay::Tails;

/// The most events in one statement.
pub const BATCH_ROWS: usize = 1_000;
/// The most payload bytes in one statement.
pub const BATCH_BYTES: usize = 1 << 20;
/// How many events may be queued at one writer before entities say they are overloaded.
pub const QUEUE_LIMIT: usize = 20_000;

const UNDER_ANOTHER_EPOCH: &str = "the shard is held under another epoch";

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
    /// Whether it may send appends that follow those it is told of.
    fn sends_more(&self) -> bool;
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
    /// Which of these entities have something queued or under way: what the journal has of them is old.
    Busy {
        /// Which are asked about.
        entities: Vec<EntityId>,
        /// Answered with those that are busy.
        reply: oneshot::Sender<HashSet<EntityId>>,
    },
    /// A statement has ended.
    Ended(Box<Statement>, Result<Vec<Shard>, WriteFault>),
    /// A load has ended.
    Loaded(Vec<Loading>, Result<Vec<History>, JournalFault>),
}

/// What one entity hears of a statement: its newest ticket, where its last event stands, and who listens.
type Told = (u64, Option<Position>, Arc<dyn Listener>);

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

/// What a persistence actor keeps.
pub struct PersistenceState {
    with: PersistenceArguments,
    held: HashMap<Shard, Held>,
    queue: VecDeque<(Append, Waiting)>,
    /// Parts of a batch that was refused as a whole, each to be tried by itself before anything newer.
    split: VecDeque<Statement>,
    /// Entities whose rows were refused: what their activations still send was decided on what is not
    /// there. The next activation, which loads, is believed again.
    refused: HashSet<(Shard, EntityId)>,
    writing: bool,
    loads: Loads,
}

impl Member for Persistence {
    type Message = PersistenceMessage;
    type Arguments = PersistenceArguments;
    type State = PersistenceState;

    const LABELS: &'static [&'static str] = &["adopt", "disown", "append", "load", "busy", "ended", "loaded"];

    fn label(message: &PersistenceMessage) -> usize {
        match message {
            PersistenceMessage::Adopt { .. } => 0,
            PersistenceMessage::Disown(_) => 1,
            PersistenceMessage::Append { .. } => 2,
            PersistenceMessage::Load { .. } => 3,
            PersistenceMessage::Busy { .. } => 4,
            PersistenceMessage::Ended(..) => 5,
            PersistenceMessage::Loaded(..) => 6,
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
            refused: HashSet::new(),
            writing: false,
            loads: Loads::default(),
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
                state.believe_all(shard);
                state.held.insert(shard, Held { epoch, head });
                // The shard that asked may have ended meanwhile; its successor adopts anew.
                reply.send(()).ok();
            }
            PersistenceMessage::Disown(shard) => {
                state.held.remove(&shard);
                state.believe_all(shard);
                state.give_up(shard, &Settled::NotWritten("the shard was given up".to_owned()));
            }
            PersistenceMessage::Append {
                append,
                ticket,
                listener,
            } => state.accept(append, ticket, listener),
            PersistenceMessage::Load { entity, listener } => {
                // Its predecessor has ended, and all that it sent came before this.
                state.refused.retain(|(_, refused)| *refused != entity);
                state.loads.push(entity, listener);
            }
            PersistenceMessage::Busy { mut entities, reply } => {
                entities.retain(|entity| state.loads.is_busy(entity));
                // A bulk that does not wait any more reserves anew.
                reply.send(entities.into_iter().collect()).ok();
            }
            PersistenceMessage::Ended(statement, result) => state.ended(*statement, result),
            PersistenceMessage::Loaded(asked, result) => state.loads.ended(asked, result),
        }
        state.write_next(me);
        state.loads.next(me, &state.with.journal);
        Ok(())
    }
}

impl PersistenceState {
    fn accept(&mut self, append: Append, ticket: u64, listener: Arc<dyn Listener>) {
        let why = if !self.holds(append.shard, append.epoch) {
            UNDER_ANOTHER_EPOCH
        } else if !self.refused.is_empty() && self.refused.contains(&(append.shard, append.entity.clone())) {
            "it follows what was refused"
        } else {
            self.with.load.queued.fetch_add(append.events.len(), Relaxed);
            self.loads.wait_for(&append.entity);
            self.queue.push_back((append, (ticket, listener)));
            return;
        };
        listener.settled(ticket, Settled::NotWritten(why.to_owned()));
    }

    /// Starts the next statement, if none is under way and there is something to write.
    fn write_next(&mut self, me: &Address<PersistenceMessage>) {
        if self.writing {
            return;
        }
        let Some(mut statement) = self.next_part().or_else(|| self.collect()) else {
            return;
        };
        let heads = statement.place(|shard| {
            self.held
                .get(&shard)
                .map_or_else(Position::default, |held| held.head)
        });
        for (shard, head) in heads {
            if let Some(held) = self.held.get_mut(&shard) {
                held.head = head;
            }
        }
        self.writing = true;
        let journal = Arc::clone(&self.with.journal);
        let me = me.clone();
        tokio::spawn(async move {
            let result = journal.write(&statement.batch).await;
            me.tell(PersistenceMessage::Ended(Box::new(statement), result));
        });
    }

    /// The next part of what was refused that may still be written.
    fn next_part(&mut self) -> Option<Statement> {
        while let Some(part) = self.split.pop_front() {
            if self.holds_all_of(&part) {
                return Some(part);
            }
            self.settle(part, &Settled::NotWritten(UNDER_ANOTHER_EPOCH.to_owned()));
        }
        None
    }

    /// Takes everything queued, up to a batch.
    fn collect(&mut self) -> Option<Statement> {
        let mut statement = Statement::of(vec![]);
        let (mut rows, mut bytes) = (0, 0);
        let mut shards = HashSet::new();
        while let Some((next, _)) = self.queue.front() {
            let size: usize = next.events.iter().map(|event| event.payload.len()).sum();
            if !statement.waiting.is_empty()
                && (rows + next.events.len() > BATCH_ROWS || bytes + size > BATCH_BYTES)
            {
                break;
            }
            let Some((append, waiting)) = self.queue.pop_front() else {
                break;
            };
            rows += append.events.len();
            bytes += size;
            if shards.insert(append.shard) {
                // What is queued is of the epoch that is held: it is given up with it.
                statement.batch.held.push((append.shard, append.epoch));
            }
            statement.push(append, waiting);
        }
        (!statement.waiting.is_empty()).then_some(statement)
    }

    fn ended(&mut self, statement: Statement, result: Result<Vec<Shard>, WriteFault>) {
        self.writing = false;
        match result {
            Ok(fenced) => self.written(statement, &fenced),
            Err(WriteFault::NotWritten { reason, cause }) => self.not_written(statement, &reason, &cause),
            Err(WriteFault::Unknown { reason }) => {
                tracing::error!(%reason, "it is unknown whether a batch was written");
                if planted::is(Bug::UnknownUnderTheSameEpoch) {
                    self.take_for_unwritten(statement, &reason);
                } else {
                    self.failed(statement, &Settled::Unknown(reason.clone()), &reason);
                }
            }
        }
    }

    /// Takes a refused statement apart until what it was refused for stands alone: a shard that cannot
    /// be written ends its epoch; an entity whose row cannot be written hears so, and nobody else.
    fn not_written(&mut self, statement: Statement, reason: &str, cause: &Cause) {
        let shards = statement.batch.held.len();
        if shards == 1 && !cause.is_in_the_rows() {
            tracing::error!(%reason, ?cause, shards, "an append was refused");
            return self.failed(statement, &Settled::NotWritten(reason.to_owned()), reason);
        }
        self.take_back(&statement);
        match statement.parts() {
            Ok(parts) => {
                tracing::warn!(%reason, ?cause, shards, "a batch was refused; trying its parts");
                for part in parts.into_iter().rev() {
                    self.split.push_front(part);
                }
            }
            Err(statement) => self.refuse(statement, reason, cause),
        }
    }

    /// Whether every shard of the statement is still held under the epoch it was made for.
    fn holds_all_of(&self, statement: &Statement) -> bool {
        let mut of = statement.batch.held.iter();
        of.all(|(shard, epoch)| self.holds(*shard, *epoch))
    }

    fn holds(&self, shard: Shard, epoch: Epoch) -> bool {
        self.held.get(&shard).is_some_and(|held| held.epoch == epoch)
    }

    /// The positions of a statement that is not written are free again.
    fn take_back(&mut self, statement: &Statement) {
        for (shard, epoch) in &statement.batch.held {
            let held = self.held.get_mut(shard).filter(|held| held.epoch == *epoch);
            if let (Some(held), Some(base)) = (held, statement.base(*shard)) {
                held.head = base;
            }
        }
    }

    /// Tells one entity that it cannot be written as it is. Its activation ends; the shard goes on.
    fn refuse(&mut self, statement: Statement, reason: &str, cause: &Cause) {
        let outcome = Settled::NotWritten(reason.to_owned());
        if let Some((append, _)) = statement.batch.appends.first() {
            let (shard, entity) = (append.shard, append.entity.clone());
            tracing::error!(%reason, ?cause, %shard, %entity, "an entity was refused");
            metrics::counter!("globalshop_refused_entities_total").increment(1);
            self.give_up_queued(&outcome, |append| append.entity == entity);
            if statement.sends_more() {
                self.refused.insert((shard, entity));
            }
        }
        self.settle(statement, &outcome);
    }

    /// Another epoch begins, or none: what was refused under the last one is forgotten.
    fn believe_all(&mut self, shard: Shard) {
        self.refused.retain(|(of, _)| *of != shard);
    }

    fn written(&mut self, statement: Statement, fenced: &[Shard]) {
        self.release(&statement);
        let mut fresh: BTreeMap<Shard, Vec<Arc<Recorded>>> = BTreeMap::new();
        let mut told: BTreeMap<EntityId, Told> = BTreeMap::new();
        let fenced_off = Settled::NotWritten("another node holds the shard".to_owned());
        let mut lost = Vec::new();
        for ((append, first), (ticket, listener)) in
            statement.batch.appends.into_iter().zip(statement.waiting)
        {
            if fenced.contains(&append.shard) {
                lost.push((ticket, listener));
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
        for held in statement.batch.held {
            if fenced.contains(&held.0) {
                self.lose(held, &fenced_off, "fenced");
            }
        }
        for (ticket, listener) in lost {
            listener.settled(ticket, fenced_off.clone());
        }
    }

    /// Ends the epochs of a statement here, and answers who waits for it.
    fn failed(&mut self, statement: Statement, outcome: &Settled, reason: &str) {
        for held in &statement.batch.held {
            self.lose(*held, outcome, reason);
        }
        self.settle(statement, outcome);
    }

    /// Answers who waits for a statement that is over.
    fn settle(&mut self, statement: Statement, outcome: &Settled) {
        self.release(&statement);
        for (ticket, listener) in statement.waiting {
            listener.settled(ticket, outcome.clone());
        }
    }

    /// A bug put in on purpose: goes on under the same epoch as if nothing had been written.
    fn take_for_unwritten(&mut self, statement: Statement, reason: &str) {
        self.take_back(&statement);
        self.settle(statement, &Settled::Unknown(reason.to_owned()));
    }

    /// Ends an epoch of a shard here, unless it is over already: nothing that is queued under it will be
    /// written.
    fn lose(&mut self, (shard, epoch): (Shard, Epoch), outcome: &Settled, reason: &str) {
        if planted::is(Bug::AppliedAfterAFailure) || !self.holds(shard, epoch) {
            return;
        }
        self.held.remove(&shard);
        self.with.gates.disturb(shard, Some(epoch), reason);
        // What is queued was decided on state that may never be; it is certainly not written.
        let queued = match outcome {
            Settled::Written { .. } => return,
            Settled::NotWritten(reason) | Settled::Unknown(reason) => Settled::NotWritten(reason.clone()),
        };
        self.give_up(shard, &queued);
    }

    /// Answers what is queued and fits.
    fn give_up_queued(&mut self, outcome: &Settled, fits: impl Fn(&Append) -> bool) {
        let (given, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(append, _)| fits(append));
        self.queue = kept;
        for (append, (ticket, listener)) in given {
            self.with.load.queued.fetch_sub(append.events.len(), Relaxed);
            self.loads.free(&append.entity);
            listener.settled(ticket, outcome.clone());
        }
    }

    fn give_up(&mut self, shard: Shard, outcome: &Settled) {
        self.give_up_queued(outcome, |append| append.shard == shard);
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
            self.loads.free(&append.entity);
        }
    }
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
