//! Reading timers. They are written by the append.

use futures_util::FutureExt as _;

use super::history;
use super::readers::Readers;
use crate::domain::{Millis, Shard};
use crate::journal::{JournalFault, Timer};

/// Every timer of a shard, the first due first. One under a name that is none wakes nobody, and keeps
/// nobody else's from being read.
pub async fn of_shard(readers: &Readers, shard: Shard) -> Result<Vec<Timer>, JournalFault> {
    let shard = i16::try_from(shard.0).unwrap_or(i16::MAX);
    let rows = readers
        .ask("read a shard's timers", move |connection| {
            sqlx::query!(
                "select entity, due_at from timer where shard = $1 order by due_at, entity",
                shard
            )
            .fetch_all(connection)
            .boxed()
        })
        .await?;
    let mut timers = Vec::with_capacity(rows.len());
    for row in rows {
        match history::entity(row.entity) {
            Ok(entity) => timers.push(Timer {
                entity,
                due_at: Millis(row.due_at),
            }),
            Err(fault) => tracing::error!(shard, %fault, "ALARM: a timer is nobody's and is left out"),
        }
    }
    Ok(timers)
}
