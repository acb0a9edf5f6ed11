//! The one loop of every entity. It knows no business.
//!
//! Load; decide against the *optimistic* state, which includes events that are not on disk yet;
//! apply; hand the events to the persistence actor; go on with the next message at once. The actor
//! never waits for the disk: answers do. Refusals and reads wait too, until everything they were
//! based on is committed, so nobody ever sees state that could be taken back.
//!
//! Anything but *written* ends the activation: it answers nothing false, stops, and the shard
//! replays it from the journal. So does the end of its node's [tenure](super::tenure): what it
//! remembers may be old by then, and nothing it writes would tell it.

mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use self::snapshot::Snapshotting;
use super::Hosted;
use super::ask::{Answer, AskError, PositionToken};
use super::directory::Directories;
use super::persistence::{Listener, Load, PersistenceMessage, QUEUE_LIMIT, Settled};
use super::stats::Life;
use super::supervise::{Address, Failure, Member};
use super::tenure::Tenure;
use crate::clock::Clock;
use crate::domain::id::OperationId;
use crate::domain::planted::{self, Bug};
use crate::domain::{Entity, EntityId, Millis, Shard};
use crate::journal::stored::{self, Resting};
use crate::journal::{
    Append, Epoch, History, Journal, JournalFault, Position, Remember, Sequence, TimerChange,
};

/// How many recent operations an entity remembers. An older repetition is caught by the domain's own
/// keys or by the command's deadline.
pub const OPERATION_MEMORY: usize = 128;
/// How many answers may wait for the disk at one entity.
const WAITING_LIMIT: usize = 10_000;
/// How many questions may wait while the entity loads.
const STASH_LIMIT: usize = 10_000;

/// What an entity is sent.
pub enum EntityMessage<E: Hosted> {
    /// A question and where the answer goes.
    Ask(Box<Question<E>>, oneshot::Sender<Reply<E>>),
    /// What to replay from.
    Loaded(Result<History, Arc<JournalFault>>),
    /// How its appends up to a ticket ended.
    Settled(u64, Settled),
    /// Stop if there is nothing to do.
    Rest,
}

/// A question: a command, or none for a read.
pub struct Question<E: Hosted> {
    /// What is asked; `None` to read.
    pub command: Option<E::Command>,
    /// The operation's id.
    pub operation: Option<OperationId>,
    /// After this it is refused.
    pub not_after: Option<Millis>,
    /// The answer to remember.
    pub remember: Option<Remember>,
    /// Whether it is to be done only by an entity that has no event yet; any other changes nothing.
    pub only_new: bool,
}

/// What comes back.
pub enum Reply<E: Hosted> {
    /// The answer.
    Answer(Answer<E::View>),
    /// No answer, and why.
    Refused(AskError<E::Refusal>),
    /// The activation is about to stop and has not looked at the question: ask the next one.
    Resting(Box<Question<E>>),
}

/// Starts entities.
pub struct EntityActor<E>(std::marker::PhantomData<fn() -> E>);

impl<E> Default for EntityActor<E> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// What every entity of a shard works with.
#[derive(Clone)]
pub struct EntityArguments {
    /// Which entity.
    pub entity: EntityId,
    /// Its shard.
    pub shard: Shard,
    /// The epoch its shard is held under.
    pub epoch: Epoch,
    /// How long what it remembers may be told.
    pub tenure: Tenure,
    /// The writer of its shard.
    pub writer: Address<PersistenceMessage>,
    /// How much is queued there.
    pub load: Arc<Load>,
    /// The journal, for snapshots.
    pub journal: Arc<dyn Journal>,
    /// Where it is found.
    pub directories: Arc<Directories>,
    /// The clock.
    pub clock: Clock,
}

type Asked<E> = (Box<Question<E>>, oneshot::Sender<Reply<E>>);

/// What an entity actor keeps.
pub struct EntityState<E: Hosted> {
    with: EntityArguments,
    /// Questions that came before the history did; `None` once it is there.
    stash: Option<Vec<Asked<E>>>,
    closing: bool,
    state: E,
    /// The optimistic sequence.
    sequence: Sequence,
    /// The position of the last event known to be committed.
    position: Position,
    deadline: Option<Millis>,
    operations: VecDeque<(OperationId, Sequence)>,
    /// Appends handed to the writer, and those that have ended.
    ticket: u64,
    settled: u64,
    /// Answers in order, each with the ticket it waits for.
    waiting: VecDeque<(u64, Outgoing<E>)>,
    snapshot: Snapshotting,
}

/// An answer that waits for the disk.
struct Outgoing<E: Hosted> {
    reply: oneshot::Sender<Reply<E>>,
    result: Result<(E::View, Sequence, bool), AskError<E::Refusal>>,
    /// Whether its own append is what it waits for: once that is written, it is true whatever comes.
    appends: bool,
}

/// Turns the writer's answers into messages.
struct Ear<E: Hosted>(Address<EntityMessage<E>>);

impl<E: Hosted> Listener for Ear<E> {
    fn settled(&self, ticket: u64, outcome: Settled) {
        self.0.tell(EntityMessage::Settled(ticket, outcome));
    }

    fn sends_more(&self) -> bool {
        true
    }

    fn loaded(&self, history: Result<History, Arc<JournalFault>>) {
        self.0.tell(EntityMessage::Loaded(history));
    }
}

impl<E: Hosted> Member for EntityActor<E> {
    type Message = EntityMessage<E>;
    type Arguments = EntityArguments;
    type State = EntityState<E>;

    const LABELS: &'static [&'static str] = &["ask", "read", "loaded", "settled", "rest"];

    fn label(message: &EntityMessage<E>) -> usize {
        match message {
            EntityMessage::Ask(question, _) if question.command.is_some() => 0,
            EntityMessage::Ask(..) => 1,
            EntityMessage::Loaded(_) => 2,
            EntityMessage::Settled(..) => 3,
            EntityMessage::Rest => 4,
        }
    }

    async fn start(
        &self,
        me: &Address<EntityMessage<E>>,
        with: EntityArguments,
    ) -> Result<EntityState<E>, Failure> {
        let listener = Arc::new(Ear(me.clone()));
        with.writer.tell(PersistenceMessage::Load {
            entity: with.entity.clone(),
            listener,
        });
        Ok(EntityState {
            with,
            stash: Some(vec![]),
            closing: false,
            state: E::default(),
            sequence: Sequence(0),
            position: Position(0),
            deadline: None,
            operations: VecDeque::new(),
            ticket: 0,
            settled: 0,
            waiting: VecDeque::new(),
            snapshot: Snapshotting::default(),
        })
    }

    async fn handle(
        &self,
        me: &Address<EntityMessage<E>>,
        message: EntityMessage<E>,
        state: &mut EntityState<E>,
    ) -> Result<(), Failure> {
        match message {
            EntityMessage::Ask(question, reply) => match &mut state.stash {
                _ if state.closing => answer(reply, Reply::Resting(question)),
                Some(stash) if stash.len() < STASH_LIMIT => stash.push((question, reply)),
                Some(_) => answer(
                    reply,
                    Reply::Refused(AskError::Overloaded { place: "the entity" }),
                ),
                None => state.ask(me, *question, reply)?,
            },
            EntityMessage::Loaded(history) => {
                if let Err(fault) = history
                    .map_err(Failure::from)
                    .and_then(|history| Ok(state.load(history)?))
                {
                    // Nothing was done with these questions.
                    let (shard, reason) = (state.with.shard, fault.to_string());
                    for (_, reply) in state.stash.take().into_iter().flatten() {
                        let error = AskError::Unavailable {
                            shard,
                            reason: reason.clone(),
                        };
                        answer(reply, Reply::Refused(error));
                    }
                    return Err(fault);
                }
                for (question, reply) in state.stash.take().into_iter().flatten() {
                    state.ask(me, *question, reply)?;
                }
            }
            EntityMessage::Settled(ticket, outcome) => state.settle(ticket, outcome)?,
            EntityMessage::Rest => state.rest(me),
        }
        Ok(())
    }
}

/// Sends a reply. Whoever asked may have stopped waiting; then nobody is told, and nothing is lost:
/// the answer can be asked for again by operation.
fn answer<E: Hosted>(to: oneshot::Sender<Reply<E>>, reply: Reply<E>) {
    drop(to.send(reply));
}

impl<E: Hosted> EntityState<E> {
    fn load(&mut self, history: History) -> Result<(), JournalFault> {
        if let Some(snapshot) = &history.snapshot {
            let Resting { state, operations } = stored::decode_snapshot::<E>(snapshot)?;
            self.state = state;
            self.operations = operations.into();
            self.sequence = snapshot.sequence;
            self.position = snapshot.position;
            self.snapshot.begin_after(snapshot);
        }
        for recorded in &history.events {
            self.snapshot.grow(recorded.payload.len());
            if recorded.sequence != self.sequence.next() {
                return Err(JournalFault::Unreadable {
                    place: self.with.entity.to_string(),
                    reason: format!("sequence {} follows {}", recorded.sequence, self.sequence),
                });
            }
            Entity::apply(&mut self.state, &stored::decode::<E>(recorded)?);
            self.sequence = recorded.sequence;
            self.position = recorded.position;
            if let Some(operation) = recorded.operation {
                self.remember_operation(operation);
            }
        }
        self.deadline = self
            .state
            .deadline()
            .filter(|_| !planted::is(Bug::DeadlineForgotten));
        Ok(())
    }

    fn ask(
        &mut self,
        me: &Address<EntityMessage<E>>,
        question: Question<E>,
        reply: oneshot::Sender<Reply<E>>,
    ) -> Result<(), Failure> {
        if self.waiting.len() >= WAITING_LIMIT {
            answer(
                reply,
                Reply::Refused(AskError::Overloaded { place: "the entity" }),
            );
            return Ok(());
        }
        // Whoever asked has given up, and may have asked again elsewhere: it must not be done later.
        if question.command.is_some() && reply.is_closed() {
            return Ok(());
        }
        let now = self.with.clock.now();
        let known = |operation| self.operations.iter().any(|(known, _)| *known == operation);
        let before = self.ticket;
        let result = match question.command {
            None => Ok(self.shown(false)),
            Some(_) if question.operation.is_some_and(known) && !planted::is(Bug::OperationForgotten) => {
                Ok(self.shown(true))
            }
            Some(_) if question.only_new && self.sequence > Sequence(0) => Ok(self.shown(false)),
            Some(_) if question.not_after.is_some_and(|limit| now > limit) => Err(AskError::Expired),
            Some(command) => match self.state.decide(&command, now) {
                Err(refusal) => Err(AskError::Refused(refusal)),
                Ok(events) if events.is_empty() && question.remember.is_none() => Ok(self.shown(false)),
                Ok(_) if self.with.load.queued.load(Relaxed) >= QUEUE_LIMIT => {
                    answer(
                        reply,
                        Reply::Refused(AskError::Overloaded { place: "the journal" }),
                    );
                    return Ok(());
                }
                Ok(events) => {
                    self.append(me, &events, question.operation, question.remember, now)?;
                    Ok(self.shown(false))
                }
            },
        };
        let outgoing = Outgoing {
            reply,
            result,
            appends: self.ticket > before,
        };
        if self.settled == self.ticket || planted::is(Bug::ReplyBeforeCommit) {
            return self.release(outgoing);
        }
        self.waiting.push_back((self.ticket, outgoing));
        Ok(())
    }

    fn shown(&self, repeated: bool) -> (E::View, Sequence, bool) {
        (self.state.view(), self.sequence, repeated)
    }

    /// Applies the events ahead of the disk and hands them to the writer.
    fn append(
        &mut self,
        me: &Address<EntityMessage<E>>,
        events: &[E::Event],
        operation: Option<OperationId>,
        remember: Option<Remember>,
        at: Millis,
    ) -> Result<(), Failure> {
        let after = self.sequence;
        let mut encoded = Vec::with_capacity(events.len());
        for event in events {
            let event = stored::encode::<E>(event)?;
            self.snapshot.grow(event.payload.len());
            encoded.push(event);
        }
        for event in events {
            Entity::apply(&mut self.state, event);
            self.sequence = self.sequence.next();
        }
        let deadline = self.state.deadline();
        let timer = match deadline {
            same if same == self.deadline => TimerChange::Keep,
            Some(due_at) => TimerChange::Set(due_at),
            None => TimerChange::Clear,
        };
        self.deadline = deadline;
        // Also what changes nothing and is to be remembered: it must not be remembered twice.
        if let Some(operation) = operation.filter(|_| !events.is_empty() || remember.is_some()) {
            self.remember_operation(operation);
        }
        self.ticket += 1;
        let append = Append {
            entity: self.with.entity.clone(),
            shard: self.with.shard,
            epoch: self.with.epoch,
            after,
            events: encoded,
            operation,
            at,
            timer,
            remember,
        };
        let listener = Arc::new(Ear(me.clone()));
        let sent = self.with.writer.tell(PersistenceMessage::Append {
            append,
            ticket: self.ticket,
            listener,
        });
        if !sent {
            return Err("the writer of its shard is gone".into());
        }
        Ok(self.snapshot_if_due()?)
    }

    fn remember_operation(&mut self, operation: OperationId) {
        if self.operations.back().is_some_and(|(last, _)| *last == operation) {
            return;
        }
        if self.operations.len() == OPERATION_MEMORY {
            self.operations.pop_front();
        }
        self.operations.push_back((operation, self.sequence));
    }

    fn settle(&mut self, ticket: u64, outcome: Settled) -> Result<(), Failure> {
        let position = match outcome {
            Settled::Written { position } => position,
            Settled::NotWritten(reason) => {
                // Nothing from here on is written: what was applied ahead of the disk is not true.
                let shard = self.with.shard;
                return Err(self.abandon(&reason, || AskError::Unavailable {
                    shard,
                    reason: reason.clone(),
                }));
            }
            Settled::Unknown(reason) => {
                return Err(self.abandon(&reason, || AskError::Unknown {
                    reason: reason.clone(),
                }));
            }
        };
        self.settled = self.settled.max(ticket);
        self.position = position.unwrap_or(self.position);
        while self
            .waiting
            .front()
            .is_some_and(|(needed, _)| *needed <= self.settled)
        {
            if let Some((_, outgoing)) = self.waiting.pop_front() {
                self.release(outgoing)?;
            }
        }
        self.keep_what_settled();
        Ok(())
    }

    /// Answers everyone who waits with what is certain, and gives up the activation.
    fn abandon(&mut self, reason: &str, error: impl Fn() -> AskError<E::Refusal>) -> Failure {
        for (_, outgoing) in self.waiting.drain(..) {
            answer(outgoing.reply, Reply::Refused(error()));
        }
        format!("its memory is ahead of the journal: {reason}").into()
    }

    /// Answers. What needed no append is only as true as the memory it came from.
    fn release(&mut self, outgoing: Outgoing<E>) -> Result<(), Failure> {
        let told = self.with.tenure.holds() || planted::is(Bug::ZombieReads);
        if !outgoing.appends && !told {
            return Err(self.outlive(outgoing));
        }
        let reply = match outgoing.result {
            Ok((view, sequence, repeated)) => Reply::Answer(Answer {
                view,
                sequence,
                token: PositionToken {
                    shard: self.with.shard,
                    position: self.position,
                },
                repeated,
            }),
            Err(error) => Reply::Refused(error),
        };
        answer(outgoing.reply, reply);
        Ok(())
    }

    /// Gives up an activation whose node's tenure is over: this answer and those behind it are not
    /// told. What they appended may still be written.
    fn outlive(&mut self, first: Outgoing<E>) -> Failure {
        const REASON: &str = "the node's time as an owner has run out";
        let shard = self.with.shard;
        let behind = self.waiting.drain(..).map(|(_, outgoing)| outgoing);
        for outgoing in std::iter::once(first).chain(behind) {
            let reason = REASON.to_owned();
            let error = if outgoing.appends {
                AskError::Unknown { reason }
            } else {
                AskError::Unavailable { shard, reason }
            };
            answer(outgoing.reply, Reply::Refused(error));
        }
        REASON.into()
    }

    fn rest(&mut self, me: &Address<EntityMessage<E>>) {
        let busy = self.stash.is_some() || self.settled != self.ticket || me.stats().mailbox() > 1;
        if busy || self.closing {
            return;
        }
        self.closing = true;
        me.stats().set_life(Life::Stopping);
        E::directory(&self.with.directories).leave(&self.with.entity, me);
        me.drain();
    }
}
