//! The region: command in, answer out, wherever the entity lives.

use std::sync::Arc;

use crate::actors::Hosted;
use crate::actors::ask::{Answer, Ask, AskError};
use crate::actors::directory::Directories;
use crate::domain::{Entity, EntityId, Shard};
use crate::journal::Sequence;

pub use crate::actors::ask::PositionToken;

/// The door to every entity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Region {
    directories: Arc<Directories>,
}

impl Region {
    /// A region over the entities of this node.
    #[must_use]
    pub const fn new(directories: Arc<Directories>) -> Self {
        Self { directories }
    }

    /// Asks the entity and waits for an answer that is committed.
    ///
    /// # Errors
    /// [`AskError`] says what happened, and whether anything did.
    pub async fn ask<E: Hosted>(
        &self,
        entity: &EntityId,
        ask: Ask<E::Command>,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        self.directories.ask::<E>(entity, ask).await
    }

    /// Reads the entity: what it shows of its committed state, at least as new as every answer given.
    ///
    /// # Errors
    /// As [`Region::ask`], but never a refusal.
    pub async fn read<E: Hosted>(&self, entity: &EntityId) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        self.directories.read::<E>(entity, Ask::<()>::PATIENCE).await
    }

    /// What the entity showed when it was at `sequence`: replayed from its events.
    ///
    /// # Errors
    /// [`AskError::Unavailable`] when the journal does not answer.
    pub async fn at<E: Hosted>(
        &self,
        entity: &EntityId,
        sequence: Sequence,
    ) -> Result<E, AskError<<E as Entity>::Refusal>> {
        self.directories.at::<E>(entity, sequence).await
    }

    /// The shard of an entity.
    #[must_use]
    pub fn shard(&self, entity: &EntityId) -> Shard {
        self.directories.shard(entity)
    }
}
