//! How the journal fails: certainly not written, or unknown.

use std::time::Duration;

use crate::domain::Shard;

/// The journal could not answer a question. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// The database said no.
    #[error("the journal's database failed while it should {action}")]
    Database {
        /// What it was doing.
        action: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("the journal's database did not {action} within {limit:?}")]
    Late {
        /// What it was doing.
        action: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A stored row cannot be read.
    #[error("{place} in the journal cannot be read: {reason}")]
    Unreadable {
        /// Which row.
        place: String,
        /// Why.
        reason: String,
    },
    /// Another member owns the shard. Nothing is wrong: ask it, or come back when it is gone.
    #[error("shard {shard} is owned by {owner}")]
    Held {
        /// Which shard.
        shard: Shard,
        /// Who owns it.
        owner: String,
    },
    /// The heartbeat came too late: the owner may have lost its shards and must join again.
    #[error("{owner} is no member any more")]
    NotMember {
        /// Who.
        owner: String,
    },
    /// Another incarnation of the node is a member: it is still running, or its time is not up yet.
    #[error("the node {node} is a member already, as {owner}")]
    NameTaken {
        /// The node's name.
        node: String,
        /// The incarnation that has it.
        owner: String,
    },
    /// A fault put in on purpose.
    #[error("injected: {0}")]
    Injected(&'static str),
}

/// The journal cannot be opened: the node must not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The server would acknowledge what it can still lose.
    #[error("the journal's database has {setting} = {value}: what it acknowledges could be lost")]
    Unsafe {
        /// Which of the server's settings.
        setting: &'static str,
        /// What it is set to.
        value: String,
    },
    /// The server follows another one and takes no writes.
    #[error("the journal's database is a standby")]
    Standby,
    /// The owner's name does not fit where a taker would look for it.
    #[error("the owner {owner:?} is longer than {limit} bytes")]
    LongOwner {
        /// The name.
        owner: String,
        /// How long it may be.
        limit: usize,
    },
    /// The database does not have the journal's tables.
    #[error("the journal's migrations failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database could not be asked.
    #[error(transparent)]
    Journal(#[from] JournalFault),
}

/// A batch was not answered with *written*.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// Certainly nothing of the batch is written. The batch may be split and tried again.
    #[error("nothing was written: {reason}")]
    NotWritten {
        /// What the database said.
        reason: String,
        /// Why that is.
        cause: Cause,
    },
    /// Nobody knows whether the batch is written. Only the next epoch can tell.
    #[error("it is unknown whether the batch was written: {reason}")]
    Unknown {
        /// What was seen.
        reason: String,
    },
}

/// Why nothing of a batch was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A row broke the constraint of this name.
    Constraint(String),
    /// A row has a value that the database cannot hold.
    Value,
    /// No row: the connection, the server's time or room, or the batch as a whole.
    Circumstance,
}

impl Cause {
    /// The constraint that is broken when another has written where this writer believes its head is.
    pub const POSITION: &str = "journal_position";

    /// Whether the batch might be written without some of its rows.
    #[must_use]
    pub fn is_in_the_rows(&self) -> bool {
        match self {
            Self::Constraint(name) => name != Self::POSITION,
            Self::Value => true,
            Self::Circumstance => false,
        }
    }
}

impl WriteFault {
    /// Whether nothing was written for certain.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        matches!(self, Self::NotWritten { .. })
    }
}
