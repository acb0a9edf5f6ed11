//! How a view fails: the database, in one way or another. A view says no to nobody.

use std::future::Future;
use std::time::Duration;

use crate::journal::group::is_refusal;
use crate::journal::{JournalFault, Recorded};
use crate::relay::ReadFault;

/// A view could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewFault {
    /// The database failed.
    #[error("the views' database failed while it should {action}")]
    Database {
        /// What it was doing.
        action: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("the views' database did not {action} within {limit:?}")]
    Late {
        /// What it was doing.
        action: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A stored row or event cannot be read.
    #[error("{place} cannot be read")]
    Unreadable {
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The journal could not be read for a rebuild.
    #[error("the journal could not be read")]
    Journal(#[source] JournalFault),
    /// Somebody else moved this view, or the database lost its last commits: ask for the view's
    /// position again and follow from there.
    #[error("view {view} is not where it was in shard {shard}")]
    Moved {
        /// Which view.
        view: &'static str,
        /// Which shard.
        shard: u16,
    },
    /// The transaction this was part of was given up by whoever wrote it. Perhaps it was committed.
    #[error("the transaction that should {action} was given up")]
    Abandoned {
        /// What it was doing.
        action: &'static str,
    },
    /// The page token is not one this list has given.
    #[error("the cursor is not one that this list has given")]
    BadCursor,
}

impl ViewFault {
    /// A stored event cannot be read.
    pub(super) fn unreadable(
        event: &Recorded,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreadable {
            place: format!(
                "{} at position {} of shard {}",
                event.entity, event.position, event.shard
            ),
            source: source.into(),
        }
    }

    /// Whether the same events will fail the same way again. A key that is taken is no such case: two
    /// writers may have met, and the next try sees what the other wrote.
    fn is_lasting(&self) -> bool {
        let Self::Database {
            source: sqlx::Error::Database(refusal),
            ..
        } = self
        else {
            return matches!(self, Self::Unreadable { .. });
        };
        let code = refusal.code().unwrap_or_default();
        // Class 22: a value that cannot be. Class 23: a constraint, but for "unique" (23505).
        code.starts_with("22") || (code.starts_with("23") && code != "23505")
    }

    /// Whether it is one of the rows, or where one of the shards is.
    pub(super) fn is_in_the_rows(&self) -> bool {
        matches!(self, Self::Database { source, .. } if is_refusal(source))
    }
}

impl From<ViewFault> for ReadFault {
    fn from(fault: ViewFault) -> Self {
        match fault.is_lasting() {
            true => Self::lasting("a view cannot take an event", fault),
            false => Self::temporary("a view cannot follow", fault),
        }
    }
}

/// Runs one piece of database work under a deadline.
pub(super) fn within<T>(
    action: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> impl Future<Output = Result<T, ViewFault>> {
    // Boxed: taking a connection may mean opening one, and every future around this one would carry
    // the room for that.
    let work = Box::pin(work);
    async move {
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(ViewFault::Database { action, source }),
            Err(_) => Err(ViewFault::Late { action, limit }),
        }
    }
}

/// How long a read for a caller who waits may take.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(3);
/// How long writing one batch of events may take.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(30);
