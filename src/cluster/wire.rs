//! What crosses the wire: one envelope from region to region, and its one answer.
//!
//! Versioned, so that nodes of two versions may talk while the shop is updated: a node that does not
//! know a version says so, and nothing was done. **Invariant:** whatever bytes arrive, reading them ends
//! in a value or in [`Unreadable`], never in a panic.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::placement::ShardAddress;
use crate::actors::Hosted;
use crate::actors::ask::{Answer, Ask, AskError, PositionToken};
use crate::domain::id::OperationId;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{Epoch, Position, Remember, RequestKey, Sequence};

/// The version this node writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// The longest wait an envelope may ask for.
const PATIENCE_LIMIT: Duration = Duration::from_secs(60);

/// These bytes are no envelope and no answer of a version that is known here.
#[derive(Debug, thiserror::Error)]
#[error("not understood: {0}")]
pub struct Unreadable(pub(super) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// A question on its way to the node that owns the entity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    version: u16,
    /// The shard, as the sender counts them: a receiver that counts otherwise refuses.
    pub shard: Shard,
    /// The epoch under which the receiver holds the shard, as far as the sender knows; 0 if it does not.
    /// Under another one the question is not looked at: it may have been under way for long.
    pub epoch: Epoch,
    /// Whom it is for.
    pub entity: EntityId,
    operation: Option<Uuid>,
    not_after: Option<Millis>,
    remember: Option<Kept>,
    /// The command; none for a read.
    command: Option<Box<RawValue>>,
    patience_ms: u64,
    /// After this it is not looked at, in microseconds of the receiver's boot clock; none if the sender
    /// does not know that clock yet.
    deadline_us: Option<u64>,
    /// Names this question, in all its messages and in the logs of both nodes.
    pub trace: Uuid,
    /// Which message of this question it is: an earlier one that comes after a later one is not looked at.
    pub attempt: u32,
}

/// What every message of a question says on top.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    /// The shard.
    pub shard: Shard,
    /// See [`Envelope::epoch`].
    pub epoch: Epoch,
    /// How long the sender waits for the answer to this message.
    pub patience: Duration,
    /// When the receiver's boot clock shows that this has passed, if the sender knows that clock.
    pub deadline: Option<Duration>,
    /// See [`Envelope::trace`].
    pub trace: Uuid,
    /// See [`Envelope::attempt`].
    pub attempt: u32,
}

/// [`Remember`], as it is written here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    key: [u8; 32],
    body: [u8; 32],
}

impl Envelope {
    /// A command.
    ///
    /// # Errors
    /// When the command cannot be written.
    pub fn command<E: Hosted>(
        heading: Heading,
        entity: &EntityId,
        ask: &Ask<E::Command>,
    ) -> Result<Self, Unreadable> {
        let command = to_raw_value(&ask.command)?;
        Ok(Self {
            operation: ask.operation.map(|operation| operation.0),
            not_after: ask.not_after,
            remember: ask
                .remember
                .map(|Remember { key, body }| Kept { key: key.0, body }),
            command: Some(command),
            ..Self::read(heading, entity)
        })
    }

    /// A read.
    #[must_use]
    pub fn read(heading: Heading, entity: &EntityId) -> Self {
        Self {
            version: VERSION,
            shard: heading.shard,
            epoch: heading.epoch,
            entity: entity.clone(),
            operation: None,
            not_after: None,
            remember: None,
            command: None,
            patience_ms: u64::try_from(heading.patience.as_millis()).unwrap_or(u64::MAX),
            deadline_us: heading.deadline.map(micros),
            trace: heading.trace,
            attempt: heading.attempt,
        }
    }

    /// Whether it is a command, and not a read.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        self.command.is_some()
    }

    /// When the receiver's boot clock shows that nobody waits for the answer any more.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline_us.map(Duration::from_micros)
    }

    /// How long the sender waits.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms).min(PATIENCE_LIMIT)
    }

    /// The command as its entity takes it, with so long to decide it; none for a read.
    ///
    /// # Errors
    /// When it is no command of this kind of entity.
    pub fn ask<E: Hosted>(&self, patience: Duration) -> Result<Option<Ask<E::Command>>, Unreadable> {
        let Some(command) = &self.command else {
            return Ok(None);
        };
        Ok(Some(Ask {
            command: serde_json::from_str(command.get())?,
            operation: self
                .operation
                .map(OperationId)
                .filter(|_| !planted::is(Bug::OperationLeftBehind)),
            not_after: self.not_after.filter(|_| !planted::is(Bug::DeadlineLeftBehind)),
            remember: self.remember.as_ref().map(|kept| Remember {
                key: RequestKey(kept.key),
                body: kept.body,
            }),
            patience,
        }))
    }

    /// As bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn encode(&self) -> Result<Bytes, Unreadable> {
        Ok(serde_json::to_vec(self)?.into())
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no envelope of [`VERSION`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        decode(bytes)
    }
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    version: u16,
    /// What the receiver's boot clock showed when it answered, in microseconds.
    at_us: u64,
    /// What became of the question.
    pub outcome: Outcome,
}

impl Returned {
    /// An outcome, answered when the boot clock shows `at`.
    #[must_use]
    pub fn new(outcome: Outcome, at: Duration) -> Self {
        Self {
            version: VERSION,
            at_us: micros(at),
            outcome,
        }
    }

    /// What the receiver's boot clock showed when it answered.
    #[must_use]
    pub const fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match serde_json::to_vec(self) {
            Ok(bytes) => bytes.into(),
            Err(error) => {
                // Strings and numbers can always be written; who reads nothing calls it unknown.
                tracing::error!(%error, "an answer could not be written");
                Bytes::new()
            }
        }
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no answer of [`VERSION`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        decode(bytes)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What became of a question that came over the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The entity answered.
    Answered {
        /// Its view.
        view: Box<RawValue>,
        /// Its version.
        sequence: Sequence,
        /// The position of the token; its shard is the envelope's.
        position: Position,
        /// The operation had been done before.
        repeated: bool,
    },
    /// The business says no.
    Refused(Box<RawValue>),
    /// It came after its deadline.
    Expired,
    /// Too much is waiting there.
    Overloaded(String),
    /// The shard is changing hands; nothing was done.
    Unavailable(String),
    /// Nobody knows whether it was done.
    Unknown(String),
    /// Nobody owns the shard under this address. Under that one somebody does, as far as the receiver
    /// knows. Nothing was done.
    Elsewhere(Option<ShardAddress>),
    /// The message came too late, or after a later one of its question: it was not looked at. Another
    /// one may have been.
    Outdated(String),
    /// The receiver could not read the question; nothing was done.
    Unreadable(String),
}

impl Outcome {
    /// What it is called in logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::Refused(_) => "refused",
            Self::Expired => "expired",
            Self::Overloaded(_) => "overloaded",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "unknown",
            Self::Elsewhere(_) => "elsewhere",
            Self::Outdated(_) => "outdated",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether the entity has looked at the question.
    #[must_use]
    pub const fn was_decided(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Refused(_) | Self::Expired)
    }

    /// What an entity said, as it crosses the wire.
    #[must_use]
    pub fn of<E: Hosted>(result: Result<Answer<E::View>, AskError<E::Refusal>>) -> Self {
        // What cannot be written was done all the same: asking again says the same.
        let unknown = |error: serde_json::Error| Self::Unknown(error.to_string());
        match result {
            Ok(answer) => to_raw_value(&answer.view).map_or_else(unknown, |view| Self::Answered {
                view,
                sequence: answer.sequence,
                position: answer.token.position,
                repeated: answer.repeated,
            }),
            Err(AskError::Refused(refusal)) => to_raw_value(&refusal).map_or_else(unknown, Self::Refused),
            Err(AskError::Expired) => Self::Expired,
            Err(AskError::Overloaded { place }) => Self::Overloaded(place.to_owned()),
            Err(AskError::Unavailable { reason, .. }) => Self::Unavailable(reason),
            Err(AskError::Unknown { reason }) => Self::Unknown(reason),
        }
    }

    /// What the entity said, as its asker takes it. [`Outcome::Elsewhere`] is for the region: here it
    /// means that nobody answered.
    ///
    /// # Errors
    /// What the entity, or the node that was asked, said instead of an answer;
    /// [`AskError::Unknown`] if that cannot be read.
    pub fn into_answer<E: Hosted>(self, shard: Shard) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let unavailable = |reason: String| AskError::Unavailable { shard, reason };
        let unknown = |error: serde_json::Error| AskError::Unknown {
            reason: format!("an answer that cannot be read: {error}"),
        };
        Err(match self {
            Self::Answered {
                view,
                sequence,
                position,
                repeated,
            } => {
                return Ok(Answer {
                    view: serde_json::from_str(view.get()).map_err(unknown)?,
                    sequence,
                    token: PositionToken { shard, position },
                    repeated,
                });
            }
            Self::Refused(refusal) => {
                AskError::Refused(serde_json::from_str(refusal.get()).map_err(unknown)?)
            }
            Self::Expired => AskError::Expired,
            Self::Overloaded(place) => AskError::Overloaded {
                place: known_place(&place),
            },
            Self::Unavailable(reason) => unavailable(reason),
            Self::Unknown(reason) | Self::Outdated(reason) => AskError::Unknown { reason },
            Self::Elsewhere(_) => unavailable("no node that was asked owns the shard".to_owned()),
            Self::Unreadable(reason) => {
                unavailable(format!("its node could not read the question: {reason}"))
            }
        })
    }
}

/// The places that can be overloaded have names of this program's own.
fn known_place(place: &str) -> &'static str {
    ["the entity", "the journal", "the shard"]
        .into_iter()
        .find(|known| *known == place)
        .unwrap_or("another node")
}

/// Reads the version before anything else, so that a later one is told from garbage.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u16,
    }
    let Versioned { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        return Err(Unreadable(format!(
            "version {version}, and this node speaks {VERSION}"
        )));
    }
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::stock::{self, Stock};

    fn heading(patience: Duration) -> Heading {
        Heading {
            shard: Shard(3),
            epoch: Epoch(6),
            patience,
            deadline: Some(Duration::from_secs(77)),
            trace: Uuid::from_u128(8),
            attempt: 2,
        }
    }

    fn command() -> Envelope {
        let ask = Ask {
            command: stock::Command::Adjust {
                delta: 7,
                reason: "delivery".to_owned(),
            },
            operation: Some(OperationId(Uuid::from_u128(5))),
            not_after: Some(Millis(9)),
            remember: Some(Remember {
                key: RequestKey([1; 32]),
                body: [2; 32],
            }),
            patience: Duration::from_millis(1_234),
        };
        let entity = "stock/SKU-1".parse().unwrap();
        Envelope::command::<Stock>(heading(Duration::from_millis(1_234)), &entity, &ask).unwrap()
    }

    #[test]
    fn a_command_arrives_as_it_was_sent() {
        let sent = command();
        let arrived = Envelope::decode(&sent.encode().unwrap()).unwrap();
        assert_eq!(format!("{arrived:?}"), format!("{sent:?}"));
        assert_eq!(arrived.deadline(), Some(Duration::from_secs(77)));
        let ask = arrived.ask::<Stock>(arrived.patience()).unwrap().unwrap();
        assert!(matches!(&ask.command, stock::Command::Adjust { delta: 7, .. }));
        assert_eq!(
            (ask.operation, ask.not_after, ask.patience),
            (
                Some(OperationId(Uuid::from_u128(5))),
                Some(Millis(9)),
                Duration::from_millis(1_234)
            )
        );
        assert_eq!(
            ask.remember.map(|kept| (kept.key.0, kept.body)),
            Some(([1; 32], [2; 32]))
        );
        let read = Envelope::read(heading(Duration::MAX), &sent.entity);
        let read = Envelope::decode(&read.encode().unwrap()).unwrap();
        assert!(read.ask::<Stock>(Duration::ZERO).unwrap().is_none());
        assert_eq!(read.patience(), PATIENCE_LIMIT);
    }

    #[test]
    fn every_outcome_arrives_as_it_was_sent() {
        let answer = Answer {
            view: stock::Levels {
                on_hand: 5,
                ..stock::Levels::default()
            },
            sequence: Sequence(4),
            token: PositionToken {
                shard: Shard(3),
                position: Position(11),
            },
            repeated: true,
        };
        let refused = AskError::Refused(stock::Refusal::OutOfStock { available: 2 });
        let errors = [
            refused,
            AskError::Expired,
            AskError::Overloaded { place: "the journal" },
            AskError::Unavailable {
                shard: Shard(3),
                reason: "later".to_owned(),
            },
            AskError::Unknown {
                reason: "lost".to_owned(),
            },
        ];
        for result in std::iter::once(Ok(answer)).chain(errors.into_iter().map(Err)) {
            let bytes =
                Returned::new(Outcome::of::<Stock>(result.clone()), Duration::from_micros(9)).encode();
            let returned = Returned::decode(&bytes).unwrap();
            assert_eq!(returned.at(), Duration::from_micros(9));
            let arrived = returned.outcome.into_answer::<Stock>(Shard(3));
            assert_eq!(format!("{arrived:?}"), format!("{result:?}"));
        }
    }

    #[test]
    fn another_version_is_told_from_garbage() {
        let bytes = command().encode().unwrap();
        let later = String::from_utf8(bytes.to_vec()).unwrap();
        let later = later.replace("\"version\":1", "\"version\":2");
        let error = Envelope::decode(later.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    proptest! {
        #[test]
        fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Envelope::decode(&bytes).is_err());
            prop_assert!(Returned::decode(&bytes).is_err());
        }

        #[test]
        fn a_damaged_envelope_is_never_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = command().encode().unwrap().to_vec();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(envelope) = Envelope::decode(&bytes) {
                drop(envelope.ask::<Stock>(Duration::ZERO));
            }
        }
    }
}
