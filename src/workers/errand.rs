//! An errand: what a worker sends because of one event.

use std::fmt::Display;

use serde::Deserialize;
use uuid::Uuid;

use crate::actors::Hosted;
use crate::cluster::{Answer, Ask, AskError, Region};
use crate::domain::id::OperationId;
use crate::domain::order::{self, Order, Placed};
use crate::domain::{Entity, EntityId, Millis};
use crate::journal::{Recorded, stored};
use crate::relay::ReadFault;

/// Sends the commands of one worker.
#[derive(Clone, Debug)]
pub(super) struct Errands {
    region: Region,
    worker: &'static str,
}

impl Errands {
    pub(super) const fn new(region: Region, worker: &'static str) -> Self {
        Self { region, worker }
    }

    /// Sends a command because of `cause`: the `n`-th of them, the same on every repetition.
    pub(super) async fn send<E: Hosted>(
        &self,
        cause: &Recorded,
        n: impl Display,
        entity: &EntityId,
        command: E::Command,
        not_after: Option<Millis>,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let what = format!("{}/{}/{}/{n}", self.worker, cause.shard, cause.position);
        let mut ask = Ask::new(command).operation(OperationId::derive(Uuid::NAMESPACE_OID, &what));
        ask.not_after = not_after;
        self.region.ask::<E>(entity, ask).await
    }

    /// Reports an outcome to the order the event is about. Reports are never refused: the order
    /// decides what they still mean.
    pub(super) async fn report(
        &self,
        cause: &Recorded,
        order: &EntityId,
        command: order::Command,
    ) -> Result<(), ReadFault> {
        self.send::<Order>(cause, "report", order, command, None)
            .await
            .map_err(|error| fault("the outcome could not be told to the order", error))?;
        Ok(())
    }

    /// Reads an order that must be there.
    pub(super) async fn order(&self, order: &EntityId) -> Result<Placed, ReadFault> {
        let answer = self
            .region
            .read::<Order>(order)
            .await
            .map_err(|error| fault("the order could not be read", error))?;
        match answer.view {
            Order::Placed(placed) => Ok(*placed),
            Order::Unplaced => Err(ReadFault::Lasting {
                what: format!("{order} has events and was never placed"),
                source: None,
            }),
        }
    }

    /// Reads an order that need not be there.
    pub(super) async fn find_order(&self, order: &EntityId) -> Result<Order, ReadFault> {
        let answer = self.region.read::<Order>(order).await;
        Ok(answer
            .map_err(|error| fault("the order could not be read", error))?
            .view)
    }
}

/// A command that was not answered as it must be: again if that can help, else to the dead letters.
pub(super) fn fault<R: std::error::Error + Send + Sync + 'static>(
    what: &str,
    error: AskError<R>,
) -> ReadFault {
    if error.is_temporary() {
        ReadFault::temporary(what, error)
    } else {
        ReadFault::lasting(what, error)
    }
}

/// Reads an event.
pub(super) fn read<E: Entity>(event: &Recorded) -> Result<E::Event, ReadFault> {
    stored::decode::<E>(event).map_err(|fault| ReadFault::lasting("an event cannot be read", fault))
}

/// Whether an event is one of these, by the name it is stored under. A name that cannot be read
/// counts, so that it is looked at and complained about.
pub(super) fn is_any(event: &Recorded, names: &[&str]) -> bool {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        event: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Named<'_>>(&event.payload).map_or(true, |named| names.contains(&&*named.event))
}
