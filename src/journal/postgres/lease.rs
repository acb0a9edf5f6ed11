//! How a shard changes hands.

use futures_util::FutureExt as _;

use super::readers::{LOCK_LIMIT, Readers};
use super::{history, writers};
use crate::domain::Shard;
use crate::journal::{Epoch, JournalFault, Lease};

/// How often a taker waits [`LOCK_LIMIT`] for an append in flight. Together longer than any append
/// of a live owner takes.
const ATTEMPTS: u32 = 12;
const ACTION: &str = "take the lease of a shard";
/// `lock_not_available`: the row stayed locked for [`LOCK_LIMIT`].
const LOCKED: &str = "55P03";

/// Takes a shard for `owner` at the next epoch.
///
/// Raising the epoch waits for the append that holds the row, and from then on every append of an
/// older epoch writes nothing. The head is read in a later statement: one that waited would still
/// see what was there before it waited.
pub async fn claim(readers: &Readers, shard: Shard, owner: &str) -> Result<Lease, JournalFault> {
    let number = i16::try_from(shard.0).unwrap_or(i16::MAX);
    for _ in 0..ATTEMPTS {
        match raise(readers, number, owner).await {
            Ok(epoch) => {
                let head = history::head(readers, shard).await?;
                return Ok(Lease { shard, epoch, head });
            }
            Err(JournalFault::Database {
                source: sqlx::Error::Database(error),
                ..
            }) if error.code().as_deref() == Some(LOCKED) => {
                end_other_owner(readers, number, owner).await?;
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(JournalFault::Late {
        action: ACTION,
        limit: LOCK_LIMIT * ATTEMPTS,
    })
}

async fn raise(readers: &Readers, shard: i16, owner: &str) -> Result<Epoch, JournalFault> {
    let owner = owner.to_owned();
    readers
        .ask(ACTION, move |connection| {
            sqlx::query_scalar!(
                "insert into shard_lease (shard, owner, epoch) values ($1, $2, 1)
                 on conflict on constraint shard_lease_pk do update
                 set owner = excluded.owner, epoch = shard_lease.epoch + 1
                 returning epoch",
                shard,
                owner,
            )
            .fetch_one(connection)
            .boxed()
        })
        .await
        .map(Epoch)
}

/// Ends the writers of the owner whose append stands in the way: it may have been stopped in the
/// middle and would hold the row for as long as it is. An owner who claims again ends nothing; its
/// own append is under way. An owner who is in nobody's way is left alone: the epoch fences it.
async fn end_other_owner(readers: &Readers, shard: i16, owner: &str) -> Result<(), JournalFault> {
    const ACTION: &str = "end the writers of the owner before";
    let before = readers
        .ask(ACTION, move |connection| {
            sqlx::query_scalar!("select owner from shard_lease where shard = $1", shard)
                .fetch_optional(connection)
                .boxed()
        })
        .await?;
    let Some(before) = before.filter(|before| before != owner) else {
        return Ok(());
    };
    let name = writers::application_name(&before);
    let ended = readers
        .ask(ACTION, move |connection| {
            sqlx::query_scalar!(
                r#"select count(pg_terminate_backend(pid)) as "ended!"
                   from pg_stat_activity
                   where application_name = $1
                     and datname = current_database()
                     and pid <> pg_backend_pid()"#,
                name,
            )
            .fetch_one(connection)
            .boxed()
        })
        .await?;
    tracing::warn!(shard, %before, ended, "ended the writers of a shard's owner before");
    Ok(())
}
