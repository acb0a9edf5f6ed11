//! What the journal asks of the server before it trusts it, and what was settled at the first opening.

use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::PgConnection;
use tokio::time::timeout;

use super::readers::Readers;
use crate::domain::ShardCount;
use crate::journal::{JournalFault, OpenFault};

const CHECK_LIMIT: Duration = Duration::from_secs(5);
const CHECK: &str = "say how durable it is";

/// Refuses a server that acknowledges what it can still lose, or that takes no writes.
pub async fn refuse_unless_durable(connection: &mut PgConnection) -> Result<(), OpenFault> {
    let question = sqlx::query!(
        r#"select current_setting('fsync') as "fsync!",
                  current_setting('full_page_writes') as "full_page_writes!",
                  current_setting('synchronous_commit') as "synchronous_commit!",
                  pg_is_in_recovery() as "standby!""#
    )
    .fetch_one(connection);
    let server = timeout(CHECK_LIMIT, question)
        .await
        .map_err(|_| JournalFault::Late {
            action: CHECK,
            limit: CHECK_LIMIT,
        })?
        .map_err(|source| JournalFault::Database {
            action: CHECK,
            source,
        })?;
    if server.standby {
        return Err(OpenFault::Standby);
    }
    for (setting, value) in [
        ("fsync", server.fsync),
        ("full_page_writes", server.full_page_writes),
        ("synchronous_commit", server.synchronous_commit),
    ] {
        if value == "off" {
            return Err(OpenFault::Unsafe { setting, value });
        }
    }
    Ok(())
}

/// The number of shards this journal has: what it was first opened with, whatever is asked now.
pub async fn settle_shards(readers: &Readers, asked: ShardCount) -> Result<ShardCount, JournalFault> {
    const ACTION: &str = "say how many shards there are";
    let count = i16::try_from(asked.get()).unwrap_or(i16::MAX);
    readers
        .ask(ACTION, |connection| {
            sqlx::query!(
                "insert into journal_setting (shards) values ($1)
                 on conflict on constraint journal_setting_pk do nothing",
                count,
            )
            .execute(connection)
            .boxed()
        })
        .await?;
    let kept = readers
        .ask(ACTION, |connection| {
            sqlx::query_scalar!("select shards from journal_setting")
                .fetch_one(connection)
                .boxed()
        })
        .await?;
    let settled = u16::try_from(kept)
        .ok()
        .and_then(ShardCount::new)
        .ok_or_else(|| JournalFault::Unreadable {
            place: "the number of shards".to_owned(),
            reason: format!("{kept} is none"),
        })?;
    if settled != asked {
        tracing::warn!(
            asked = asked.get(),
            kept = settled.get(),
            "the journal keeps the number of shards it was first opened with"
        );
    }
    Ok(settled)
}
