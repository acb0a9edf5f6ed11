//! The shape every entity has: a state, what may be asked of it, what has happened to it, and how
//! it says no.
//!
//! An entity is event sourced: its state is the fold of its events, and nothing else. The one loop
//! in the product's `actors::entity` loads it, lets it decide, and has the journal keep the events.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Kind, Millis};

/// A consistency boundary with one writer.
///
/// The implementing type is the state; `Default` is the state before the first event.
pub trait Entity:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Which kind of entity this is: the first half of its id.
    const KIND: Kind;

    /// What may be asked.
    type Command: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What has happened, in the past tense, with absolute values.
    type Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What an answer shows of the state: small enough to copy into every reply.
    type View: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Why the business says no.
    type Refusal: Clone
        + Debug
        + PartialEq
        + std::error::Error
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;

    /// What an answer shows of this state.
    fn view(&self) -> Self::View;

    /// The events a command leads to now. None means: already so, said twice.
    ///
    /// # Errors
    /// The refusal, when the business says no. A refusal changes nothing.
    fn decide(&self, command: &Self::Command, now: Millis) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Folds one event into the state. Decides nothing and cannot fail.
    fn apply(&mut self, event: &Self::Event);

    /// When the entity next wants [`Entity::wake`], if ever. Kept durable with the events.
    fn deadline(&self) -> Option<Millis> {
        None
    }

    /// The command that says a deadline has come, for entities that have deadlines.
    #[must_use]
    fn wake() -> Option<Self::Command> {
        None
    }

    /// The version of the shape in which [`Entity::Event`] is stored; raised when an old reader
    /// could not read a new event. Every version ever shipped keeps a golden file.
    const EVENT_VERSION: u16 = 1;
}

/// Folds `events` into a fresh state: the definition of truth.
#[must_use]
pub fn replay<'a, E: Entity>(events: impl IntoIterator<Item = &'a E::Event>) -> E {
    let mut state = E::default();
    for event in events {
        state.apply(event);
    }
    state
}
