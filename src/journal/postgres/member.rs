//! The heartbeat: who is here, by the database's clock.
//!
//! Every change of a row locks it, so a renewal and a taker that removes the row come one after the
//! other, and the later one sees what the earlier one left. Renewals are committed as durably as
//! events: one that a crash of the server took back would shorten a lease its owner still trusts.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::types::PgInterval;

use super::lease::{LOCKED, code};
use super::readers::Readers;
use crate::journal::member::node_of;
use crate::journal::{JournalFault, Members, TAKEOVER_MARGIN, Takeover};

const JOIN: &str = "let the node join";
const LEAVE: &str = "let the node leave";
/// How often the leases of a node that joins or leaves are tried to be given back, while its own last
/// appends still hold them.
const ATTEMPTS: u32 = 12;

/// A duration as the database counts it.
pub fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

/// Makes `owner` a member, after giving back what an earlier time of it left.
pub async fn join(
    readers: &Readers,
    owner: &str,
    ttl: Duration,
    takeover: Takeover,
) -> Result<Members, JournalFault> {
    give_back(readers, JOIN, owner).await?;
    let (node, me) = (node_of(owner).to_owned(), owner.to_owned());
    let joined = readers
        .ask(JOIN, move |connection| {
            sqlx::query_scalar!(
                "insert into member (node, owner, expires_at)
                 values ($1, $2, clock_timestamp() + $3)
                 on conflict on constraint member_pk do update
                 set owner = excluded.owner, expires_at = clock_timestamp() + $3
                 where member.owner = excluded.owner
                    or member.expires_at + $4 < clock_timestamp()
                    or $5
                 returning owner",
                node,
                me,
                interval(ttl),
                interval(TAKEOVER_MARGIN),
                takeover == Takeover::AtOnce,
            )
            .fetch_optional(connection)
            .boxed()
        })
        .await?;
    if joined.is_none() {
        return Err(name_taken(readers, owner).await?);
    }
    beat(readers, owner, ttl).await
}

async fn name_taken(readers: &Readers, owner: &str) -> Result<JournalFault, JournalFault> {
    let node = node_of(owner).to_owned();
    let named = node.clone();
    let other = readers
        .ask(JOIN, move |connection| {
            sqlx::query_scalar!("select owner from member where node = $1", named)
                .fetch_optional(connection)
                .boxed()
        })
        .await?;
    Ok(JournalFault::NameTaken {
        node,
        owner: other.unwrap_or_else(|| "one that has just left".to_owned()),
    })
}

/// Renews the row of `owner`, if its time is not up.
pub async fn beat(readers: &Readers, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
    let (node, me) = (node_of(owner).to_owned(), owner.to_owned());
    let rows = readers
        .ask("renew the node's heartbeat", move |connection| {
            sqlx::query!(
                r#"with renewed as (
                       update member set expires_at = clock_timestamp() + $3
                       where node = $1 and owner = $2 and expires_at > clock_timestamp()
                       returning node
                   )
                   select owner, exists (select from renewed) as "renewed!"
                   from member where expires_at > clock_timestamp() or owner = $2"#,
                node,
                me,
                interval(ttl),
            )
            .fetch_all(connection)
            .boxed()
        })
        .await?;
    if !rows.iter().any(|row| row.renewed) {
        return Err(JournalFault::NotMember {
            owner: owner.to_owned(),
        });
    }
    let members: BTreeSet<String> = rows.into_iter().map(|row| row.owner).collect();
    Ok(Members(members))
}

/// Ends the membership of `owner`, its leases first.
pub async fn leave(readers: &Readers, owner: &str) -> Result<(), JournalFault> {
    give_back(readers, LEAVE, owner).await?;
    let me = owner.to_owned();
    readers
        .ask(LEAVE, move |connection| {
            sqlx::query!("delete from member where owner = $1", me)
                .execute(connection)
                .boxed()
        })
        .await?;
    Ok(())
}

/// Gives back every lease of `owner`. Waits for its own last appends to end; whoever takes a shard
/// next waits for them again.
async fn give_back(readers: &Readers, action: &'static str, owner: &str) -> Result<(), JournalFault> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let me = owner.to_owned();
        let given = readers
            .ask(action, move |connection| {
                sqlx::query!("update shard_lease set owner = null where owner = $1", me)
                    .execute(connection)
                    .boxed()
            })
            .await;
        match given {
            Ok(_) => return Ok(()),
            Err(fault) if attempt < ATTEMPTS && code(&fault).as_deref() == Some(LOCKED) => {}
            Err(fault) => return Err(fault),
        }
    }
}
