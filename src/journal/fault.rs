//! How the journal fails: certainly not written, or unknown.

use std::time::Duration;

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
    /// A fault put in on purpose.
    #[error("injected: {0}")]
    Injected(&'static str),
}

/// A batch was not answered with *written*.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// Certainly nothing of the batch is written. The batch may be split and tried again.
    #[error("nothing was written: {reason}")]
    NotWritten {
        /// What the database said.
        reason: String,
        /// The constraint that one of the rows broke, if that is why.
        constraint: Option<String>,
    },
    /// Nobody knows whether the batch is written. Only the next epoch can tell.
    #[error("it is unknown whether the batch was written: {reason}")]
    Unknown {
        /// What was seen.
        reason: String,
    },
}

impl WriteFault {
    /// Whether nothing was written for certain.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        matches!(self, Self::NotWritten { .. })
    }
}
