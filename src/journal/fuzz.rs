//! What may lie in the journal, and what must hold whatever lies there.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::stored::{self, Resting};
use super::{Epoch, Position, Recorded, Sequence, Snapshot};
use crate::domain::cart::Cart;
use crate::domain::entity::replay;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{Entity, EntityId, Millis, Shard};

/// The history of an entity: a first byte that says which kind and which version, then the stored
/// events as a JSON list. Each is decoded or refused as unreadable; what is decoded is the same after
/// it is stored again; a history replays to a state, and its snapshot is that state.
///
/// # Panics
/// When that does not hold.
pub fn stored_event(bytes: &[u8]) {
    let Some((&head, rest)) = bytes.split_first() else {
        return;
    };
    let version = u16::from(head >> 4 & 0b11);
    match head & 0b11 {
        0 => history::<Cart>(version, rest),
        1 => history::<Order>(version, rest),
        2 => history::<Product>(version, rest),
        _ => history::<Stock>(version, rest),
    }
}

fn history<E: Entity>(version: u16, bytes: &[u8]) {
    // A list of payloads, or the bytes as one payload: what is stored need not even be JSON.
    let payloads: Vec<Bytes> = match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Ok(values) => values
            .iter()
            .map(|value| Bytes::copy_from_slice(value.get().as_bytes()))
            .collect(),
        Err(_) => vec![Bytes::copy_from_slice(bytes)],
    };
    let mut events = Vec::new();
    for payload in payloads {
        let Ok(event) = stored::decode::<E>(&recorded::<E>(version, payload)) else {
            continue;
        };
        assert!(version <= E::EVENT_VERSION, "a newer version is not guessed at");
        match stored::encode::<E>(&event) {
            Ok(again) => {
                let read = stored::decode::<E>(&recorded::<E>(again.version, again.payload));
                assert_eq!(read.ok().as_ref(), Some(&event), "an event means what it meant");
            }
            Err(error) => panic!("{error}: what was stored can be stored again: {event:?}"),
        }
        events.push(event);
    }
    let state: E = replay(&events);
    let _ = (state.view(), state.deadline());
    let resting = Resting {
        state,
        operations: vec![],
    };
    match stored::encode_snapshot(&resting) {
        Ok(state) => {
            let read = stored::decode_snapshot::<E>(&snapshot::<E>(state));
            assert_eq!(read.ok(), Some(resting), "a snapshot is the state");
        }
        Err(error) => panic!("{error}: a state can be stored: {resting:?}"),
    }
    let _ = stored::decode_snapshot::<E>(&snapshot::<E>(Bytes::copy_from_slice(bytes)));
}

fn recorded<E: Entity>(version: u16, payload: Bytes) -> Recorded {
    Recorded {
        shard: Shard(0),
        position: Position(1),
        entity: EntityId::new(E::KIND, "fuzz"),
        sequence: Sequence(1),
        epoch: Epoch(1),
        version,
        operation: None,
        recorded_at: Millis(0),
        payload,
    }
}

fn snapshot<E: Entity>(state: Bytes) -> Snapshot {
    Snapshot {
        entity: EntityId::new(E::KIND, "fuzz"),
        sequence: Sequence(1),
        position: Position(1),
        epoch: Epoch(1),
        state,
    }
}
