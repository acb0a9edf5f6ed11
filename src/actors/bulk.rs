//! The lane of bulk appends: many entities of one kind, decided and written in batches, without
//! waking an actor for each.
//!
//! The shard reserves the entities first, so none of them can be activated meanwhile; the others,
//! which are active, are asked the ordinary way; so are those of which an activation has left something
//! with the writer when it ended, for what the journal has of them is old. The lane yields: it waits while
//! the writer has a queue, and for each batch before the next.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;

use super::Hosted;
use super::ask::{Ask, AskError};
use super::directory::Directories;
use super::persistence::{Listener, Load, PersistenceMessage, Settled};
use super::shard::{Reserved, ShardMessage};
use super::supervise::Address;
use crate::clock::Clock;
use crate::domain::{Entity, EntityId, Shard};
use crate::journal::stored;
use crate::journal::{Append, Epoch, History, Journal, JournalFault, Sequence, TimerChange};

/// The most entities handled at once.
pub const BULK_LIMIT: usize = 1_000;
/// While more events than this are queued at a writer, the lane waits.
const YIELD_ABOVE: usize = 500;
/// How long the lane waits for a reservation, and for a batch to be written.
const STEP_LIMIT: Duration = Duration::from_secs(30);

type Writer = (Arc<ArcSwapOption<Address<PersistenceMessage>>>, Arc<Load>);

/// The door of bulk appends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bulk {
    directories: Arc<Directories>,
    journal: Arc<dyn Journal>,
    writers: Arc<[Writer]>,
    clock: Clock,
}

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The entity was new.
    Created,
    /// The entity changed.
    Changed,
    /// There was nothing to do.
    Same,
}

/// Why a command of a bulk was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BulkError<R: std::error::Error + 'static> {
    /// The business says no.
    #[error("{0}")]
    Refused(R),
    /// The world failed; trying the same again settles it.
    #[error("{0}")]
    Fault(String),
}

/// A command for one entity.
#[derive(Clone, Debug)]
pub struct BulkCommand<E: Hosted> {
    /// The entity.
    pub entity: EntityId,
    /// What is asked.
    pub command: E::Command,
    /// Only if the entity has no event yet; otherwise it counts as [`Done::Same`].
    pub only_new: bool,
}

type Outcome<E> = Result<Done, BulkError<<E as Entity>::Refusal>>;

impl Bulk {
    pub(super) fn new(
        directories: Arc<Directories>,
        journal: Arc<dyn Journal>,
        writers: Vec<Writer>,
        clock: Clock,
    ) -> Self {
        Self {
            directories,
            journal,
            writers: writers.into(),
            clock,
        }
    }

    /// Does each command once; the outcomes are in the order of the commands. An entity may be named
    /// once.
    pub async fn apply<E: Hosted>(&self, commands: Vec<BulkCommand<E>>) -> Vec<Outcome<E>> {
        let mut outcomes: Vec<Option<Outcome<E>>> = commands.iter().map(|_| None).collect();
        let mut by_shard: BTreeMap<Shard, Vec<(usize, BulkCommand<E>)>> = BTreeMap::new();
        for (index, command) in commands.into_iter().enumerate() {
            let shard = self.directories.shard(&command.entity);
            by_shard.entry(shard).or_default().push((index, command));
        }
        let shards = by_shard.into_iter().map(|(shard, commands)| async move {
            let indexes: Vec<usize> = commands.iter().map(|(index, _)| *index).collect();
            match self.apply_in::<E>(shard, commands).await {
                Ok(done) => done,
                Err(reason) => indexes
                    .into_iter()
                    .map(|index| (index, Err(BulkError::Fault(reason.clone()))))
                    .collect(),
            }
        });
        for (index, outcome) in futures_util::future::join_all(shards).await.into_iter().flatten() {
            outcomes[index] = Some(outcome);
        }
        let forgotten = || Err(BulkError::Fault("the shard did not answer for it".to_owned()));
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(forgotten))
            .collect()
    }

    async fn apply_in<E: Hosted>(
        &self,
        shard: Shard,
        commands: Vec<(usize, BulkCommand<E>)>,
    ) -> Result<Vec<(usize, Outcome<E>)>, String> {
        let entities = commands
            .iter()
            .map(|(_, command)| command.entity.clone())
            .collect();
        let reservation = self.reserve(shard, entities).await?;
        let mut free: HashSet<EntityId> = reservation.entities.iter().cloned().collect();
        for entity in self.busy(shard, reservation.entities.clone()).await? {
            free.remove(&entity);
        }
        let (free, active): (Vec<_>, Vec<_>) = commands
            .into_iter()
            .partition(|(_, command)| free.contains(&command.entity));
        let mut outcomes = self.write::<E>(shard, reservation.epoch, free).await;
        drop(reservation);
        for (index, command) in active {
            outcomes.push((index, self.ask::<E>(command).await));
        }
        Ok(outcomes)
    }

    async fn reserve(&self, shard: Shard, entities: Vec<EntityId>) -> Result<Reservation, String> {
        let actor = self
            .directories
            .gates()
            .actor(shard)
            .ok_or("the shard is restarting")?;
        let (reply, reserved) = tokio::sync::oneshot::channel();
        actor
            .send(ShardMessage::Reserve { entities, reply })
            .map_err(|_| "the shard is busy")?;
        let Reserved { epoch, entities } = tokio::time::timeout(STEP_LIMIT, reserved)
            .await
            .map_err(|_| "the shard did not answer in time")?
            .map_err(|_| "the shard is restarting")??;
        Ok(Reservation {
            actor,
            epoch,
            entities,
        })
    }

    /// Those of reserved entities of which something is still queued or under way.
    async fn busy(&self, shard: Shard, entities: Vec<EntityId>) -> Result<HashSet<EntityId>, String> {
        const RESTARTING: &str = "the writer is restarting";
        let (writer, _) = self.writer(shard);
        let (reply, busy) = tokio::sync::oneshot::channel();
        let told = writer
            .load_full()
            .is_some_and(|writer| writer.tell(PersistenceMessage::Busy { entities, reply }));
        if !told {
            return Err(RESTARTING.to_owned());
        }
        let busy = tokio::time::timeout(STEP_LIMIT, busy)
            .await
            .map_err(|_| "the writer did not answer in time")?;
        Ok(busy.map_err(|_| RESTARTING)?)
    }

    fn writer(&self, shard: Shard) -> &Writer {
        &self.writers[usize::from(shard.0) % self.writers.len()]
    }

    /// Loads, decides and writes reserved entities of one shard.
    async fn write<E: Hosted>(
        &self,
        shard: Shard,
        epoch: Epoch,
        commands: Vec<(usize, BulkCommand<E>)>,
    ) -> Vec<(usize, Outcome<E>)> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let entities: Vec<EntityId> = commands
            .iter()
            .map(|(_, command)| command.entity.clone())
            .collect();
        let histories = match self.journal.load(&entities).await {
            Ok(histories) => histories,
            Err(fault) => {
                let failed = |(index, _)| (index, Err(BulkError::Fault(fault.to_string())));
                return commands.into_iter().map(failed).collect();
            }
        };
        let (writer, load) = self.writer(shard);
        while load.queued.load(Relaxed) > YIELD_ABOVE {
            self.clock.sleep(Duration::from_millis(2)).await;
        }
        // One settlement for each append; the channel holds as many as are sent.
        let (settled, mut settlements) = mpsc::channel(commands.len().max(1));
        let mut expected: BTreeMap<u64, (usize, Done)> = BTreeMap::new();
        for ((index, command), history) in commands.into_iter().zip(histories) {
            let ticket = index as u64;
            match self.decide::<E>(shard, epoch, command, history) {
                Ok(Some((append, done))) => {
                    let listener = Arc::new(Settlement {
                        ticket,
                        settled: settled.clone(),
                    });
                    let sent = writer.load_full().is_some_and(|writer| {
                        writer.tell(PersistenceMessage::Append {
                            append,
                            ticket,
                            listener,
                        })
                    });
                    if sent {
                        expected.insert(ticket, (index, done));
                    } else {
                        outcomes.push((
                            index,
                            Err(BulkError::Fault("the writer is restarting".to_owned())),
                        ));
                    }
                }
                Ok(None) => outcomes.push((index, Ok(Done::Same))),
                Err(error) => outcomes.push((index, Err(error))),
            }
        }
        drop(settled);
        while let Ok(Some((ticket, outcome))) = tokio::time::timeout(STEP_LIMIT, settlements.recv()).await {
            if let Some((index, done)) = expected.remove(&ticket) {
                let outcome = match outcome {
                    Settled::Written { .. } => Ok(done),
                    Settled::NotWritten(reason) | Settled::Unknown(reason) => Err(BulkError::Fault(reason)),
                };
                outcomes.push((index, outcome));
            }
        }
        for (index, _) in expected.into_values() {
            outcomes.push((
                index,
                Err(BulkError::Fault("the writer did not answer in time".to_owned())),
            ));
        }
        outcomes
    }

    fn decide<E: Hosted>(
        &self,
        shard: Shard,
        epoch: Epoch,
        command: BulkCommand<E>,
        history: History,
    ) -> Result<Option<(Append, Done)>, BulkError<E::Refusal>> {
        let fault = |fault: JournalFault| BulkError::Fault(fault.to_string());
        let (mut state, mut after) = (E::default(), Sequence(0));
        if let Some(snapshot) = &history.snapshot {
            state = stored::decode_snapshot::<E>(snapshot).map_err(fault)?.state;
            after = snapshot.sequence;
        }
        for recorded in &history.events {
            Entity::apply(&mut state, &stored::decode::<E>(recorded).map_err(fault)?);
            after = recorded.sequence;
        }
        if command.only_new && after > Sequence(0) {
            return Ok(None);
        }
        let at = self.clock.now();
        let events = state.decide(&command.command, at).map_err(BulkError::Refused)?;
        if events.is_empty() {
            return Ok(None);
        }
        let encoded: Result<Vec<_>, _> = events.iter().map(stored::encode::<E>).collect();
        let encoded = encoded.map_err(|error| BulkError::Fault(error.to_string()))?;
        let deadline = state.deadline();
        for event in &events {
            Entity::apply(&mut state, event);
        }
        let timer = match state.deadline() {
            same if same == deadline => TimerChange::Keep,
            Some(due_at) => TimerChange::Set(due_at),
            None => TimerChange::Clear,
        };
        let done = if after == Sequence(0) {
            Done::Created
        } else {
            Done::Changed
        };
        let append = Append {
            entity: command.entity,
            shard,
            epoch,
            after,
            events: encoded,
            operation: None,
            at,
            timer,
            remember: None,
        };
        Ok(Some((append, done)))
    }

    /// Asks an entity that is active the ordinary way. What it did is told by how far it has come.
    async fn ask<E: Hosted>(&self, command: BulkCommand<E>) -> Outcome<E> {
        let BulkCommand {
            entity,
            command,
            only_new,
        } = command;
        let told = |error: AskError<E::Refusal>| match error {
            AskError::Refused(refusal) => BulkError::Refused(refusal),
            error => BulkError::Fault(error.to_string()),
        };
        let patience = Ask::<E::Command>::PATIENCE;
        let before = self
            .directories
            .read::<E>(&entity, patience)
            .await
            .map_err(told)?;
        let after = match before.sequence {
            Sequence(0) if only_new => self.directories.ask_new::<E>(&entity, command).await,
            _ if only_new => return Ok(Done::Same),
            _ => self.directories.ask::<E>(&entity, Ask::new(command)).await,
        };
        let after = after.map_err(told)?.sequence;
        Ok(match before.sequence {
            same if same == after => Done::Same,
            Sequence(0) => Done::Created,
            _ => Done::Changed,
        })
    }
}

/// Reserved entities; released when dropped.
struct Reservation {
    actor: Arc<Address<ShardMessage>>,
    epoch: Epoch,
    entities: Vec<EntityId>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.actor
            .tell(ShardMessage::Unreserve(std::mem::take(&mut self.entities)));
    }
}

struct Settlement {
    ticket: u64,
    settled: mpsc::Sender<(u64, Settled)>,
}

impl Listener for Settlement {
    fn settled(&self, _: u64, outcome: Settled) {
        // There is room for one settlement of each append; nobody listens any more only if the bulk
        // was given up, and then the journal has the outcome.
        drop(self.settled.try_send((self.ticket, outcome)));
    }

    fn sends_more(&self) -> bool {
        false
    }

    fn loaded(&self, _: Result<History, Arc<JournalFault>>) {}
}
