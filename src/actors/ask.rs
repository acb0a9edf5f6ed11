//! What is asked of an entity, and what comes back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::id::OperationId;
use crate::domain::{Millis, Shard};
use crate::journal::{Position, Remember, Sequence};

/// A question to an entity: a command and how it is to be treated.
#[derive(Clone, Debug)]
pub struct Ask<C> {
    /// What is asked.
    pub command: C,
    /// The operation's id: a repetition carries the same one and has no second effect.
    pub operation: Option<OperationId>,
    /// After this the command is refused as expired, even if it was never seen.
    pub not_after: Option<Millis>,
    /// An answer to remember under an idempotency key, in the statement that writes the events.
    pub remember: Option<Remember>,
    /// How long the caller waits. What happens after that is unknown to it.
    pub patience: Duration,
}

impl<C> Ask<C> {
    /// How long a caller waits unless it says otherwise.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// Asks `command` with nothing else said.
    pub const fn new(command: C) -> Self {
        Self {
            command,
            operation: None,
            not_after: None,
            remember: None,
            patience: Self::PATIENCE,
        }
    }

    /// With an operation id.
    #[must_use]
    pub fn operation(mut self, operation: OperationId) -> Self {
        self.operation = Some(operation);
        self
    }

    /// With a deadline after which it is refused.
    #[must_use]
    pub fn not_after(mut self, at: Millis) -> Self {
        self.not_after = Some(at);
        self
    }

    /// With an answer to remember.
    #[must_use]
    pub fn remember(mut self, remember: Option<Remember>) -> Self {
        self.remember = remember;
        self
    }
}

/// An entity's answer. Everything it shows is committed.
#[derive(Clone, Debug)]
pub struct Answer<V> {
    /// What the entity shows of its state.
    pub view: V,
    /// The entity's sequence: its version.
    pub sequence: Sequence,
    /// The token that a read can wait for.
    pub token: PositionToken,
    /// The operation had been done before.
    pub repeated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError<R: std::error::Error + 'static> {
    /// The business says no.
    #[error("refused")]
    Refused(#[source] R),
    /// The command came after its deadline; it was not done.
    #[error("the command came after its deadline")]
    Expired,
    /// Too much is waiting; nothing was done. Come back after a moment.
    #[error("{place} is overloaded")]
    Overloaded {
        /// What is full.
        place: &'static str,
    },
    /// The shard is changing hands or recovering; nothing was done.
    #[error("shard {shard} is not available: {reason}")]
    Unavailable {
        /// Which shard.
        shard: Shard,
        /// Why.
        reason: String,
    },
    /// Nobody knows whether it was done. Asking again with the same operation settles it.
    #[error("it is unknown whether the command was done: {reason}")]
    Unknown {
        /// What was seen.
        reason: String,
    },
}

impl<R: std::error::Error + 'static> AskError<R> {
    /// The refusal, if the business said no.
    pub fn refusal(self) -> Result<R, Self> {
        match self {
            Self::Refused(refusal) => Ok(refusal),
            other => Err(other),
        }
    }

    /// Whether asking the same again can help.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. } | Self::Unavailable { .. } | Self::Unknown { .. }
        )
    }
}

/// Where a write ended up, as `shard-position`: a read that carries it sees the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionToken {
    /// The shard.
    pub shard: Shard,
    /// The position in it.
    pub position: Position,
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.position)
    }
}

impl FromStr for PositionToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, position) = text.split_once('-').ok_or(BadToken)?;
        let position: i64 = position.parse().map_err(|_| BadToken)?;
        if position < 0 {
            return Err(BadToken);
        }
        Ok(Self {
            shard: Shard(shard.parse().map_err(|_| BadToken)?),
            position: Position(position),
        })
    }
}

/// A text that is no position token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is a token from an earlier answer, such as 12-345")]
pub struct BadToken;
