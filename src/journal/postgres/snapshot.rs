//! Keeping snapshots. They are read with the events after them.

use futures_util::FutureExt as _;

use super::readers::Readers;
use crate::domain::Shard;
use crate::journal::{JournalFault, Snapshot};

/// Keeps a snapshot, unless a newer one is there or the epoch has moved. Locks the lease as the
/// append does, so that an owner of before cannot write one once the shard is taken.
pub async fn keep(readers: &Readers, shard: Shard, snapshot: &Snapshot) -> Result<(), JournalFault> {
    let shard = i16::try_from(shard.0).unwrap_or(i16::MAX);
    let snapshot = snapshot.clone();
    readers
        .ask("keep a snapshot", move |connection| {
            sqlx::query!(
                "with held as materialized (
                     select shard, epoch from shard_lease where shard = $1 and epoch = $2 for share
                 )
                 insert into snapshot (sequence, position, epoch, shard, entity, state)
                 select $3, $4, held.epoch, held.shard, $5, $6 from held
                 on conflict on constraint snapshot_pk do update
                 set sequence = excluded.sequence, position = excluded.position,
                     epoch = excluded.epoch, state = excluded.state
                 where snapshot.sequence < excluded.sequence",
                shard,
                snapshot.epoch.0,
                snapshot.sequence.0,
                snapshot.position.0,
                snapshot.entity.as_str(),
                &snapshot.state[..],
            )
            .execute(connection)
            .boxed()
        })
        .await?;
    Ok(())
}
