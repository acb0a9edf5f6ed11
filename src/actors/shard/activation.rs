//! The activations of a shard: started when somebody asks, one for each entity, and never while a
//! bulk append has reserved it.
//!
//! Nothing here decides whether the shard is owned: an activation is of one epoch and ends with it.

use std::sync::Arc;

use ractor::ActorCell;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Reserved, ShardMessage, ShardState};
use crate::actors::Hosted;
use crate::actors::directory::Directories;
use crate::actors::entity::{EntityActor, EntityArguments, EntityMessage};
use crate::actors::supervise::{Address, RestartPolicy};
use crate::actors::tenure::Tenure;
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{EntityId, Kind};
use crate::journal::Epoch;

/// How many callers may wait for one activation that is stopping.
const WAITING_LIMIT: usize = 4_096;

/// An activation, as its shard knows it.
pub(super) struct Child {
    pub(super) entity: EntityId,
    pub(super) cell: ActorCell,
    /// Lets it rest if it has been idle long enough.
    pub(super) rest: Box<dyn Fn(Instant) + Send>,
}

impl ShardState {
    /// Has an activation of an entity in the directory, and answers when it is there.
    pub(super) async fn activate(
        &mut self,
        me: &Address<ShardMessage>,
        entity: EntityId,
        reply: oneshot::Sender<Result<(), String>>,
    ) {
        let Some((epoch, tenure)) = self.hold.trusted() else {
            return tell(reply, Err("the shard is being taken over".to_owned()));
        };
        if is_listed(&self.with.directories, &entity) {
            return tell(reply, Ok(()));
        }
        if self.by_entity.contains_key(&entity) || self.reserved.contains(&entity) {
            // It is resting, or a bulk append has it; the activation starts when that is over.
            let waiting = self.waiting.entry(entity).or_default();
            if waiting.len() < WAITING_LIMIT {
                waiting.push(reply);
            } else {
                tell(reply, Err("too many wait for this entity".to_owned()));
            }
            return;
        }
        let now = self.with.spawner.clock().instant();
        let quarantined = self
            .trouble
            .get(&entity)
            .and_then(|trouble| trouble.quarantined_until(&RestartPolicy::ENTITY));
        match quarantined {
            Some(until) if until > now => tell(
                reply,
                Err("the entity keeps failing and rests for a moment".to_owned()),
            ),
            _ => tell(reply, self.spawn(me, entity, epoch, tenure).await),
        }
    }

    async fn spawn(
        &mut self,
        me: &Address<ShardMessage>,
        entity: EntityId,
        epoch: Epoch,
        tenure: Tenure,
    ) -> Result<(), String> {
        match entity.kind() {
            Kind::Cart => self.spawn_one::<Cart>(me, entity, epoch, tenure).await,
            Kind::Order => self.spawn_one::<Order>(me, entity, epoch, tenure).await,
            Kind::Product => self.spawn_one::<Product>(me, entity, epoch, tenure).await,
            Kind::Stock => self.spawn_one::<Stock>(me, entity, epoch, tenure).await,
            Kind::Unknown => Err(format!("{entity} names nobody")),
        }
    }

    async fn spawn_one<E: Hosted>(
        &mut self,
        me: &Address<ShardMessage>,
        entity: EntityId,
        epoch: Epoch,
        tenure: Tenure,
    ) -> Result<(), String> {
        let Some(writer) = self.with.writer.load_full() else {
            return Err("the writer of its shard is restarting".to_owned());
        };
        let arguments = EntityArguments {
            entity: entity.clone(),
            shard: self.with.shard,
            epoch,
            tenure,
            writer: writer.as_ref().clone(),
            load: Arc::clone(&self.with.load),
            journal: Arc::clone(&self.with.journal),
            directories: Arc::clone(&self.with.directories),
            clock: self.with.spawner.clock().clone(),
        };
        let place = self.with.place.child(E::KIND.as_str(), entity.key());
        let actor = EntityActor::<E>::default();
        let address = self
            .with
            .spawner
            .spawn(place, E::MAILBOX_LIMIT, actor, arguments, Some(&me.cell()))
            .await
            .map_err(|error| error.to_string())?;
        self.by_entity.insert(entity.clone(), address.id());
        let resting = address.clone();
        self.children.insert(
            address.id(),
            Child {
                entity: entity.clone(),
                cell: address.cell(),
                rest: Box::new(move |now| {
                    if resting.stats().idle(now) >= E::IDLE {
                        // A full mailbox is no idle one; the next sweep looks again.
                        drop(resting.send(EntityMessage::Rest));
                    }
                }),
            },
        );
        E::directory(&self.with.directories).enter(entity, address);
        Ok(())
    }

    /// Keeps the entities that are not active from being activated.
    pub(super) fn reserve(
        &mut self,
        entities: Vec<EntityId>,
        reply: oneshot::Sender<Result<Reserved, String>>,
    ) {
        let Some((epoch, _)) = self.hold.trusted() else {
            reply.send(Err("the shard is being taken over".to_owned())).ok();
            return;
        };
        let free =
            |entity: &EntityId| !self.by_entity.contains_key(entity) && !self.reserved.contains(entity);
        let entities: Vec<EntityId> = entities.into_iter().filter(free).collect();
        self.reserved.extend(entities.iter().cloned());
        if let Err(Ok(unheard)) = reply.send(Ok(Reserved { epoch, entities })) {
            for entity in unheard.entities {
                self.reserved.remove(&entity);
            }
        }
    }

    /// Ends a reservation; who waited for one of the entities gets it.
    pub(super) async fn unreserve(&mut self, me: &Address<ShardMessage>, entities: Vec<EntityId>) {
        for entity in entities {
            if self.reserved.remove(&entity) {
                self.activate_for_waiting(me, entity).await;
            }
        }
    }

    /// Activates an entity if anybody has waited for it.
    pub(super) async fn activate_for_waiting(&mut self, me: &Address<ShardMessage>, entity: EntityId) {
        let Some(waiting) = self.waiting.remove(&entity) else {
            return;
        };
        let result = match self.hold.trusted() {
            Some((epoch, tenure)) => self.spawn(me, entity, epoch, tenure).await,
            None => Err("the shard is being taken over".to_owned()),
        };
        for reply in waiting {
            tell(reply, result.clone());
        }
    }
}

fn is_listed(directories: &Directories, entity: &EntityId) -> bool {
    match entity.kind() {
        Kind::Cart => directories.carts.has(entity),
        Kind::Order => directories.orders.has(entity),
        Kind::Product => directories.products.has(entity),
        Kind::Stock => directories.stocks.has(entity),
        Kind::Unknown => false,
    }
}

/// Takes an entity out of the directory.
pub(super) fn forget(directories: &Directories, entity: &EntityId) {
    match entity.kind() {
        Kind::Cart => directories.carts.forget(entity),
        Kind::Order => directories.orders.forget(entity),
        Kind::Product => directories.products.forget(entity),
        Kind::Stock => directories.stocks.forget(entity),
        Kind::Unknown => {}
    }
}

/// Answers someone who may have stopped waiting; then nobody needs to know.
pub(super) fn tell(reply: oneshot::Sender<Result<(), String>>, result: Result<(), String>) {
    drop(reply.send(result));
}
