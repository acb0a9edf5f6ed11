//! How a shard changes hands.

use futures_util::FutureExt as _;

use super::member::interval;
use super::readers::{LOCK_LIMIT, Readers};
use super::{history, writers};
use crate::domain::Shard;
use crate::journal::{Epoch, JournalFault, Lease, TAKEOVER_MARGIN, Takeover};

/// How often a taker waits [`LOCK_LIMIT`] for an append in flight. Together longer than any append
/// of a live owner takes.
const ATTEMPTS: u32 = 12;
const ACTION: &str = "take the lease of a shard";
/// `lock_not_available`: the row stayed locked for [`LOCK_LIMIT`].
pub const LOCKED: &str = "55P03";

/// Takes a shard for `owner` at the next epoch.
///
/// Raising the epoch waits for the append that holds the row, and from then on every append of an
/// older epoch writes nothing. The head is read in a later statement: one that waited would still
/// see what was there before it waited.
pub async fn claim(
    readers: &Readers,
    shard: Shard,
    owner: &str,
    takeover: Takeover,
) -> Result<Lease, JournalFault> {
    let number = i16::try_from(shard.0).unwrap_or(i16::MAX);
    for _ in 0..ATTEMPTS {
        let raised = match takeover {
            Takeover::AtOnce => raise(readers, number, owner).await,
            Takeover::AfterExpiry => raise_if_free(readers, shard, number, owner).await,
        };
        match raised {
            Ok(epoch) => {
                let head = history::head(readers, shard).await?;
                return Ok(Lease { shard, epoch, head });
            }
            Err(fault) if code(&fault).as_deref() == Some(LOCKED) => {
                end_other_owner(readers, number, owner, takeover).await?;
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(JournalFault::Late {
        action: ACTION,
        limit: LOCK_LIMIT * ATTEMPTS,
    })
}

/// The server's code of an error, if it is the server's.
pub fn code(fault: &JournalFault) -> Option<String> {
    match fault {
        JournalFault::Database {
            source: sqlx::Error::Database(error),
            ..
        } => error.code().map(Into::into),
        _ => None,
    }
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

/// Raises the epoch if the shard is this owner's, nobody's, or its owner is no member any more.
///
/// Three statements, each of which sees what the one before left. The first says who owns the shard
/// at which epoch. The second removes that owner's heartbeat if it has run out: it waits for a renewal
/// in flight and then looks again, and an owner whose row is gone never renews it. The third raises
/// that very epoch: an owner that has joined and claimed again meanwhile has moved it.
async fn raise_if_free(
    readers: &Readers,
    shard: Shard,
    number: i16,
    owner: &str,
) -> Result<Epoch, JournalFault> {
    let (holder, epoch) = holder(readers, number).await?;
    if let Some(holder) = holder.clone().filter(|holder| holder != owner) {
        expire(readers, holder).await?;
    }
    let me = owner.to_owned();
    let raised = readers
        .ask(ACTION, move |connection| {
            sqlx::query_scalar!(
                "insert into shard_lease (shard, owner, epoch) values ($1, $2, 1)
                 on conflict on constraint shard_lease_pk do update
                 set owner = excluded.owner, epoch = shard_lease.epoch + 1
                 where shard_lease.epoch = $3
                   and (shard_lease.owner is null
                        or shard_lease.owner = excluded.owner
                        or not exists (select from member where member.owner = shard_lease.owner))
                 returning epoch",
                number,
                me,
                epoch,
            )
            .fetch_optional(connection)
            .boxed()
        })
        .await?;
    raised.map(Epoch).ok_or(JournalFault::Held {
        shard,
        owner: holder.unwrap_or_else(|| "somebody who was quicker".to_owned()),
    })
}

/// Who owns a shard, if anyone does, and its epoch; 0 if it was never taken.
async fn holder(readers: &Readers, shard: i16) -> Result<(Option<String>, i64), JournalFault> {
    let row = readers
        .ask(ACTION, move |connection| {
            sqlx::query!("select owner, epoch from shard_lease where shard = $1", shard)
                .fetch_optional(connection)
                .boxed()
        })
        .await?;
    Ok(row.map_or((None, 0), |row| (row.owner, row.epoch)))
}

/// Removes an owner's heartbeat if it has run out.
async fn expire(readers: &Readers, owner: String) -> Result<(), JournalFault> {
    readers
        .ask(ACTION, move |connection| {
            sqlx::query!(
                "delete from member where owner = $1 and expires_at + $2 < clock_timestamp()",
                owner,
                interval(TAKEOVER_MARGIN),
            )
            .execute(connection)
            .boxed()
        })
        .await?;
    Ok(())
}

/// Gives a lease back, if it is still the one that was taken at `epoch`.
pub async fn release(readers: &Readers, shard: Shard, owner: &str, epoch: Epoch) -> Result<(), JournalFault> {
    let number = i16::try_from(shard.0).unwrap_or(i16::MAX);
    let owner = owner.to_owned();
    readers
        .ask("give back the lease of a shard", move |connection| {
            sqlx::query!(
                "update shard_lease set owner = null where shard = $1 and owner = $2 and epoch = $3",
                number,
                owner,
                epoch.0,
            )
            .execute(connection)
            .boxed()
        })
        .await?;
    Ok(())
}

/// Ends the writers of the owner whose append stands in the way: it may have been stopped in the
/// middle and would hold the row for as long as it is. An owner who claims again ends nothing; its
/// own append is under way. An owner who is in nobody's way is left alone: the epoch fences it. And
/// so is one who is still a member, unless that is to be ignored.
async fn end_other_owner(
    readers: &Readers,
    shard: i16,
    owner: &str,
    takeover: Takeover,
) -> Result<(), JournalFault> {
    const ACTION: &str = "end the writers of the owner before";
    let (before, _) = holder(readers, shard).await?;
    let Some(before) = before.filter(|before| before != owner) else {
        return Ok(());
    };
    let name = writers::application_name(&before);
    let (holder, ignored) = (before.clone(), takeover == Takeover::AtOnce);
    let ended = readers
        .ask(ACTION, move |connection| {
            sqlx::query_scalar!(
                r#"select count(pg_terminate_backend(pid)) as "ended!"
                   from pg_stat_activity
                   where application_name = $1
                     and datname = current_database()
                     and pid <> pg_backend_pid()
                     and ($2 or not exists (select from member where owner = $3))"#,
                name,
                ignored,
                holder,
            )
            .fetch_one(connection)
            .boxed()
        })
        .await?;
    tracing::warn!(shard, %before, ended, "ended the writers of a shard's owner before");
    Ok(())
}
