//! How events and snapshots are stored: JSON, with a version beside each.
//!
//! Stored shapes only grow. A field that is added has a default; a shape that cannot grow gets a new
//! version and an upcaster here. Every version ever shipped keeps a golden file that must still
//! decode (`crates/domain/tests/golden`).

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{JournalFault, NewEvent, Recorded, Sequence, Snapshot};
use crate::domain::Entity;
use crate::domain::id::OperationId;

/// Encodes an event in the newest version.
///
/// # Errors
/// When the event holds a value JSON cannot, such as a float that is not finite.
pub fn encode<E: Entity>(event: &E::Event) -> Result<NewEvent, serde_json::Error> {
    Ok(NewEvent {
        version: E::EVENT_VERSION,
        payload: Bytes::from(serde_json::to_vec(event)?),
    })
}

/// Decodes a stored event of any version ever shipped.
///
/// # Errors
/// [`JournalFault::Unreadable`], naming the row.
pub fn decode<E: Entity>(recorded: &Recorded) -> Result<E::Event, JournalFault> {
    let place = || {
        let Recorded {
            shard,
            position,
            entity,
            ..
        } = recorded;
        format!("{entity} at position {position} of shard {shard}")
    };
    if recorded.version > E::EVENT_VERSION {
        return Err(JournalFault::Unreadable {
            place: place(),
            reason: format!(
                "its version {} is newer than this build, which knows {}",
                recorded.version,
                E::EVENT_VERSION
            ),
        });
    }
    parse(&recorded.payload, place)
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resting<E> {
    /// The state.
    pub state: E,
    /// The operations it remembers, oldest first, with the sequence each led to.
    pub operations: Vec<(OperationId, Sequence)>,
}

/// Encodes a snapshot's content.
///
/// # Errors
/// When the state holds a value JSON cannot.
pub fn encode_snapshot<E: Entity>(resting: &Resting<E>) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(resting).map(Bytes::from)
}

/// Decodes a snapshot's content.
///
/// # Errors
/// [`JournalFault::Unreadable`]. A snapshot is an optimisation: the caller replays from the start.
pub fn decode_snapshot<E: Entity>(snapshot: &Snapshot) -> Result<Resting<E>, JournalFault> {
    parse(&snapshot.state, || format!("the snapshot of {}", snapshot.entity))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], place: impl FnOnce() -> String) -> Result<T, JournalFault> {
    serde_json::from_slice(bytes).map_err(|error| JournalFault::Unreadable {
        place: place(),
        reason: error.to_string(),
    })
}
