//! The region: command in, answer out, wherever the entity lives.
//!
//! A region that has [`Routes`] to other nodes asks the entity's shard where it is: here, if its gate is
//! open, else through the [link](RegionLink). A wrong address is answered with the right one, which is
//! asked next. A message without an answer leaves a doubt; the same operation, asked again, settles it,
//! or what the journal remembers under its idempotency key.
//!
//! **Invariant:** *nothing was done* is said only if no attempt may have been. What was asked over the
//! wire carries an operation id, so that a message that arrives twice is one command.

mod receive;
mod route;

use std::sync::Arc;

use crate::actors::Hosted;
use crate::actors::ask::{Answer, Ask, AskError};
use crate::actors::directory::Directories;
use crate::domain::{EntityId, Shard};
use crate::journal::Epoch;

pub use self::route::Routes;
pub use crate::actors::ask::PositionToken;

/// The door to every entity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Region {
    directories: Arc<Directories>,
    routes: Option<Arc<Routes>>,
}

impl Region {
    /// A region over the entities of this node, which owns every shard.
    #[must_use]
    pub const fn new(directories: Arc<Directories>) -> Self {
        Self {
            directories,
            routes: None,
        }
    }

    /// A region over the entities of this node and, by `routes`, of all others.
    #[must_use]
    pub fn linked(directories: Arc<Directories>, routes: Routes) -> Self {
        Self {
            directories,
            routes: Some(Arc::new(routes)),
        }
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
        match &self.routes {
            None => self.directories.ask::<E>(entity, ask).await,
            // Boxed: few callers should carry what routing needs, and it costs less than a message.
            Some(routes) => Box::pin(routes.ask::<E>(&self.directories, entity, ask)).await,
        }
    }

    /// Reads the entity: what it shows of its committed state, at least as new as every answer given.
    ///
    /// # Errors
    /// As [`Region::ask`], but never a refusal.
    pub async fn read<E: Hosted>(&self, entity: &EntityId) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        const PATIENCE: std::time::Duration = Ask::<()>::PATIENCE;
        match &self.routes {
            None => self.directories.read::<E>(entity, PATIENCE).await,
            Some(routes) => Box::pin(routes.read::<E>(&self.directories, entity, PATIENCE)).await,
        }
    }

    /// The shard of an entity.
    #[must_use]
    pub fn shard(&self, entity: &EntityId) -> Shard {
        self.directories.shard(entity)
    }

    /// The epoch under which a shard answers at this node, if it does.
    #[must_use]
    pub fn epoch(&self, shard: Shard) -> Option<Epoch> {
        self.directories.gates().epoch(shard)
    }

    /// Whether this node may tell what it remembers of a shard.
    #[must_use]
    pub fn may_tell(&self, shard: Shard) -> bool {
        self.directories.gates().may_tell(shard)
    }
}
