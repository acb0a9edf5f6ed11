//! Answers remembered under idempotency keys: finding and forgetting. They are written by the append.

use futures_util::FutureExt as _;

use super::history;
use super::readers::Readers;
use crate::domain::Millis;
use crate::journal::{JournalFault, Remembered, RequestKey, Sequence};

/// The answer remembered under a key.
pub async fn find(readers: &Readers, key: RequestKey) -> Result<Option<Remembered>, JournalFault> {
    let row = readers
        .ask("find a remembered answer", move |connection| {
            sqlx::query!(
                "select body, entity, sequence, at from remembered where key = $1",
                &key.0[..]
            )
            .fetch_optional(connection)
            .boxed()
        })
        .await?;
    row.map(|row| {
        let body = <[u8; 32]>::try_from(row.body).map_err(|body| JournalFault::Unreadable {
            place: format!("the body hash of a remembered answer of {}", row.entity),
            reason: format!("it has {} bytes", body.len()),
        })?;
        Ok(Remembered {
            body,
            entity: history::entity(row.entity)?,
            sequence: Sequence(row.sequence),
            at: Millis(row.at),
        })
    })
    .transpose()
}

/// Forgets at most `limit` answers remembered before `before`, the oldest first. Those that another
/// node is forgetting at the same moment are left to it.
pub async fn forget(readers: &Readers, before: Millis, limit: u32) -> Result<u64, JournalFault> {
    let done = readers
        .ask("forget remembered answers", move |connection| {
            sqlx::query!(
                "delete from remembered
                 where key = any (array(
                     select key from remembered
                     where at < $1
                     order by at
                     limit $2
                     for update skip locked
                 ))",
                before.0,
                i64::from(limit),
            )
            .execute(connection)
            .boxed()
        })
        .await?;
    Ok(done.rows_affected())
}
