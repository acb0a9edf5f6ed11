//! Where the activations of this node are, and how one is asked.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::Hosted;
use super::ask::{Answer, Ask, AskError};
use super::entity::{EntityMessage, Question, Reply};
use super::gate::Gates;
use super::shard::ShardMessage;
use super::supervise::{Address, Undelivered};
use crate::clock::Clock;
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{EntityId, Shard};
use crate::journal::{Journal, JournalFault, Remembered, RequestKey};

/// The activations of one kind.
pub struct Directory<E: Hosted>(DashMap<EntityId, Address<EntityMessage<E>>>);

impl<E: Hosted> Default for Directory<E> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

impl<E: Hosted> fmt::Debug for Directory<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} activations of {}", self.0.len(), E::KIND)
    }
}

impl<E: Hosted> Directory<E> {
    fn get(&self, entity: &EntityId) -> Option<Address<EntityMessage<E>>> {
        self.0.get(entity).map(|address| address.clone())
    }

    pub(super) fn enter(&self, entity: EntityId, address: Address<EntityMessage<E>>) {
        self.0.insert(entity, address);
    }

    pub(super) fn leave(&self, entity: &EntityId, address: &Address<EntityMessage<E>>) {
        self.0.remove_if(entity, |_, current| current.is_same(address));
    }

    pub(super) fn forget(&self, entity: &EntityId) {
        self.0.remove(entity);
    }

    /// Whether the entity is active here.
    #[must_use]
    pub fn has(&self, entity: &EntityId) -> bool {
        self.0.contains_key(entity)
    }
}

/// Every activation of this node, by kind, and how to get at one.
#[derive(Debug)]
pub struct Directories {
    /// Carts.
    pub carts: Directory<Cart>,
    /// Orders.
    pub orders: Directory<Order>,
    /// Products.
    pub products: Directory<Product>,
    /// Stocks.
    pub stocks: Directory<Stock>,
    gates: Arc<Gates>,
    journal: Arc<dyn Journal>,
    clock: Clock,
    snapshot_every: OnceLock<i64>,
}

impl Directories {
    /// Empty directories.
    #[must_use]
    pub fn new(gates: Arc<Gates>, journal: Arc<dyn Journal>, clock: Clock) -> Self {
        Self {
            carts: Directory::default(),
            orders: Directory::default(),
            products: Directory::default(),
            stocks: Directory::default(),
            gates,
            journal,
            clock,
            snapshot_every: OnceLock::new(),
        }
    }

    /// Has every entity snapshotted after so many events instead of what its kind says: a
    /// simulation has no time for hundreds. Only the first call counts, and only before the heart starts.
    pub fn hurry_snapshots(&self, every: i64) {
        // A second call changes nothing, as documented.
        let _ = self.snapshot_every.set(every);
    }

    /// Whether an entity of this kind is due for a snapshot: so many events after the last one, which was
    /// of `last` bytes, of `since` bytes together.
    ///
    /// A large state waits until its events have grown as large: writing ten thousand holds down after
    /// every five hundred more would cost a sale more than the holds themselves do, and an activation still
    /// reads at most twice what it must.
    pub(super) fn is_snapshot_due<E: Hosted>(&self, events: i64, since: usize, last: usize) -> bool {
        self.snapshot_every.get().map_or_else(
            || events >= E::SNAPSHOT_EVERY && since >= last,
            |every| events >= *every,
        )
    }

    /// The gates.
    #[must_use]
    pub const fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// The shard of an entity.
    #[must_use]
    pub fn shard(&self, entity: &EntityId) -> Shard {
        entity.shard(self.journal.shards())
    }

    /// See `Region::ask` of the cluster.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<E: Hosted>(
        &self,
        entity: &EntityId,
        ask: Ask<E::Command>,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let question = Question::<E> {
            command: Some(ask.command),
            operation: ask.operation,
            not_after: ask.not_after,
            remember: ask.remember,
            only_new: false,
        };
        self.put(entity, question, ask.patience).await
    }

    /// Asks an entity only if it has no event yet; any other changes nothing, and shows what it is.
    pub(super) async fn ask_new<E: Hosted>(
        &self,
        entity: &EntityId,
        command: E::Command,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let question = Question::<E> {
            command: Some(command),
            operation: None,
            not_after: None,
            remember: None,
            only_new: true,
        };
        self.put(entity, question, Ask::<E::Command>::PATIENCE).await
    }

    /// See `Region::read` of the cluster.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn read<E: Hosted>(
        &self,
        entity: &EntityId,
        patience: Duration,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let question = Question::<E> {
            command: None,
            operation: None,
            not_after: None,
            remember: None,
            only_new: false,
        };
        self.put(entity, question, patience).await
    }

    async fn put<E: Hosted>(
        &self,
        entity: &EntityId,
        mut question: Question<E>,
        patience: Duration,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let shard = self.shard(entity);
        let deadline = self.clock.instant() + patience;
        // Each turn of this loop needs an activation that rested between being found and being
        // asked; the deadline bounds it.
        loop {
            let Some(address) = E::directory(self).get(entity) else {
                self.activate::<E>(shard, entity, deadline).await?;
                continue;
            };
            let (reply, answer) = oneshot::channel();
            question = match address.send(EntityMessage::Ask(Box::new(question), reply)) {
                Ok(()) => match timeout_at(deadline, answer).await {
                    Ok(Ok(Reply::Answer(answer))) => return Ok(answer),
                    Ok(Ok(Reply::Refused(error))) => return Err(error),
                    Ok(Ok(Reply::Resting(question))) => *question,
                    Ok(Err(_)) => {
                        return Err(AskError::Unknown {
                            reason: "the entity stopped before it answered".to_owned(),
                        });
                    }
                    Err(_) => {
                        return Err(AskError::Unknown {
                            reason: format!("no answer within {patience:?}"),
                        });
                    }
                },
                Err(Undelivered::Full(_)) => return Err(AskError::Overloaded { place: "the entity" }),
                Err(Undelivered::Gone(EntityMessage::Ask(question, _))) => {
                    E::directory(self).leave(entity, &address);
                    *question
                }
                Err(Undelivered::Gone(_)) => {
                    return Err(AskError::Unavailable {
                        shard,
                        reason: "the entity is gone".to_owned(),
                    });
                }
            };
            if self.clock.instant() >= deadline {
                return Err(AskError::Unavailable {
                    shard,
                    reason: "the entity keeps resting".to_owned(),
                });
            }
        }
    }

    async fn activate<E: Hosted>(
        &self,
        shard: Shard,
        entity: &EntityId,
        deadline: tokio::time::Instant,
    ) -> Result<(), AskError<E::Refusal>> {
        let unavailable = |reason: &str| AskError::Unavailable {
            shard,
            reason: reason.to_owned(),
        };
        let Some(actor) = self.gates.actor(shard).filter(|_| self.gates.is_open(shard)) else {
            return Err(unavailable("the shard is not open here"));
        };
        let (reply, activated) = oneshot::channel();
        match actor.send(ShardMessage::Activate {
            entity: entity.clone(),
            reply,
        }) {
            Ok(()) => {}
            Err(Undelivered::Full(_)) => return Err(AskError::Overloaded { place: "the shard" }),
            Err(Undelivered::Gone(_)) => return Err(unavailable("the shard is restarting")),
        }
        match timeout_at(deadline, activated).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(reason))) => Err(unavailable(&reason)),
            Ok(Err(_)) => Err(unavailable("the shard is restarting")),
            Err(_) => Err(unavailable("the entity did not start in time")),
        }
    }

    /// What the journal remembers under a key.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn remembered(&self, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
        self.journal.remembered(key).await
    }
}
