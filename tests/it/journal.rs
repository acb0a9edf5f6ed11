//! The journal on a real PostgreSQL: the contract that memory passes too, and what only a database
//! with other people's connections can show.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use globalshop::clock::Clock;
use globalshop::domain::{Shard, ShardCount};
use globalshop::journal::contract::{append, batch, place};
use globalshop::journal::{
    Journal, JournalFault, OpenFault, Position, PostgresJournal, PostgresSettings, Takeover, migrate,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::database;
use crate::eventually::eventually;

async fn open() -> PostgresJournal {
    open_as("one", &database::fresh_options().await).await
}

async fn open_as(owner: &str, options: &PgConnectOptions) -> PostgresJournal {
    PostgresJournal::open(options.clone(), PostgresSettings::new(owner), Clock::system())
        .await
        .unwrap()
}

globalshop::journal_contract!(open);

/// A connection of somebody's own, under the application name of `owner`'s writers, and without the
/// limits that the journal gives its own.
async fn intruder(options: &PgConnectOptions, owner: &str) -> PgConnection {
    let name = format!("globalshop writer {owner}");
    options.clone().application_name(&name).connect().await.unwrap()
}

/// Waits until somebody waits for a lock in this database; says which backend.
async fn blocked_backend(connection: &mut PgConnection) -> i32 {
    eventually("a backend waits for a lock", async || {
        sqlx::query_scalar::<_, i32>(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_optional(&mut *connection)
        .await
        .unwrap()
        .ok_or("nobody waits")
    })
    .await
}

/// Begins a transaction that appends one event as the append would, and leaves it open.
async fn append_and_stop(connection: &mut PgConnection, shard: Shard, entity: &str) {
    let shard = i16::try_from(shard.0).unwrap();
    connection.execute("begin").await.unwrap();
    sqlx::query("select from shard_lease where shard = $1 and epoch = 1 for share")
        .bind(shard)
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(
        "insert into journal (position, sequence, epoch, recorded_at, shard, version, entity, payload)
         values (1, 1, 1, 0, $1, 1, $2, 'x')",
    )
    .bind(shard)
    .bind(entity)
    .execute(&mut *connection)
    .await
    .unwrap();
}

/// Begins a transaction that holds a shard's lease as a taker does, and leaves it open.
async fn hold_lease(connection: &mut PgConnection, shard: Shard) {
    connection.execute("begin").await.unwrap();
    sqlx::query("update shard_lease set owner = owner where shard = $1")
        .bind(i16::try_from(shard.0).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_takeover_waits_for_an_append_in_flight_and_then_sees_it() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("one", &options).await);
    let (shard, entity) = place(&*journal, "in-flight");
    journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let mut writer = intruder(&options, "somebody else").await;
    append_and_stop(&mut writer, shard, entity.as_str()).await;

    let taker = Arc::clone(&journal);
    let claim = tokio::spawn(async move { taker.claim(shard, "two", Takeover::AtOnce).await });
    blocked_backend(&mut options.connect().await.unwrap()).await;
    writer.execute("commit").await.unwrap();

    let lease = claim.await.unwrap().unwrap();
    assert_eq!(lease.head, Position(1));
    assert_eq!(lease.epoch.0, 2);
}

#[tokio::test]
async fn a_taker_ends_the_writer_that_was_stopped_in_the_middle() {
    let options = database::fresh_options().await;
    let journal = open_as("two", &options).await;
    let (shard, entity) = place(&journal, "stopped");
    journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let mut stopped = intruder(&options, "one").await;
    append_and_stop(&mut stopped, shard, entity.as_str()).await;

    let lease = journal.claim(shard, "two", Takeover::AtOnce).await.unwrap();
    assert_eq!((lease.epoch.0, lease.head), (2, Position(0)));
    assert!(stopped.execute("commit").await.is_err());
    assert_eq!(journal.head(shard).await.unwrap(), Position(0));
}

/// A renewal that the server has made and not committed: a slow disk, seen from the side.
async fn renew_and_stop(connection: &mut PgConnection, owner: &str, ttl_ms: i32) {
    connection.execute("begin").await.unwrap();
    let renewed = sqlx::query(
        "update member set expires_at = clock_timestamp() + $2 * interval '1 ms'
         where owner = $1 and expires_at > clock_timestamp()",
    )
    .bind(owner)
    .bind(ttl_ms)
    .execute(&mut *connection)
    .await
    .unwrap();
    assert_eq!(renewed.rows_affected(), 1, "it renews a live row");
}

/// Waits until the row of `owner` is out of date for a taker.
async fn wait_until_expired(connection: &mut PgConnection, owner: &str) {
    eventually("the heartbeat has run out", async || {
        sqlx::query_scalar::<_, bool>(
            "select expires_at + interval '250 ms' < clock_timestamp() from member where owner = $1",
        )
        .bind(owner)
        .fetch_one(&mut *connection)
        .await
        .unwrap()
        .then_some(())
        .ok_or("not yet")
    })
    .await;
}

#[tokio::test]
async fn a_renewal_in_flight_and_a_takeover_never_both_win() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("b/1", &options).await);
    let (shard, _) = place(&*journal, "renewal");
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(600));
    journal.join("b/1", long, Takeover::AfterExpiry).await.unwrap();
    journal.join("a/1", short, Takeover::AfterExpiry).await.unwrap();
    journal.claim(shard, "a/1", Takeover::AfterExpiry).await.unwrap();
    let mut watch = options.connect().await.unwrap();

    // The renewal comes first and is slow: the taker waits for it, and then sees it.
    let mut slow = options.connect().await.unwrap();
    renew_and_stop(&mut slow, "a/1", 600_000).await;
    wait_until_expired(&mut watch, "a/1").await;
    let taker = Arc::clone(&journal);
    let claim = tokio::spawn(async move { taker.claim(shard, "b/1", Takeover::AfterExpiry).await });
    blocked_backend(&mut watch).await;
    slow.execute("commit").await.unwrap();
    let refused = claim.await.unwrap();
    assert!(
        matches!(refused, Err(JournalFault::Held { .. })),
        "the renewal won: {refused:?}"
    );
    journal.beat("a/1", short).await.unwrap();

    // The taker comes first: the renewal finds nothing to renew.
    wait_until_expired(&mut watch, "a/1").await;
    let taken = journal.claim(shard, "b/1", Takeover::AfterExpiry).await.unwrap();
    assert_eq!(taken.epoch.0, 2);
    let late = journal.beat("a/1", long).await;
    assert!(matches!(late, Err(JournalFault::NotMember { .. })), "{late:?}");
}

#[tokio::test]
async fn an_append_whose_connection_ends_is_unknown_and_the_next_one_has_a_new_connection() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("one", &options).await);
    let (shard, entity) = place(&*journal, "severed");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let mut holder = options.connect().await.unwrap();
    hold_lease(&mut holder, shard).await;

    let event = batch(lease, vec![append(lease, &entity, 0, &["a"])]);
    let (writer, severed) = (Arc::clone(&journal), event.clone());
    let write = tokio::spawn(async move { writer.write(&severed).await });
    let backend = blocked_backend(&mut holder).await;
    sqlx::query("select pg_terminate_backend($1)")
        .bind(backend)
        .execute(&mut holder)
        .await
        .unwrap();
    let fault = write.await.unwrap().unwrap_err();
    assert!(!fault.is_certain(), "{fault}");

    holder.execute("rollback").await.unwrap();
    assert_eq!(journal.write(&event).await.unwrap(), []);
}

#[tokio::test]
async fn an_append_that_is_cancelled_is_certainly_not_written() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("one", &options).await);
    let (shard, entity) = place(&*journal, "cancelled");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let mut holder = options.connect().await.unwrap();
    hold_lease(&mut holder, shard).await;

    let event = batch(lease, vec![append(lease, &entity, 0, &["a"])]);
    let (writer, cancelled) = (Arc::clone(&journal), event.clone());
    let write = tokio::spawn(async move { writer.write(&cancelled).await });
    let backend = blocked_backend(&mut holder).await;
    sqlx::query("select pg_cancel_backend($1)")
        .bind(backend)
        .execute(&mut holder)
        .await
        .unwrap();
    let fault = write.await.unwrap().unwrap_err();
    assert!(fault.is_certain(), "{fault}");

    holder.execute("rollback").await.unwrap();
    assert_eq!(journal.head(shard).await.unwrap(), Position(0));
    assert_eq!(journal.write(&event).await.unwrap(), []);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_leaves_no_answer_behind_for_another() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("one", &options).await);
    let (shard, entity) = place(&*journal, "dropped");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let mut holder = options.connect().await.unwrap();
    hold_lease(&mut holder, shard).await;

    let (writer, dropped) = (
        Arc::clone(&journal),
        batch(lease, vec![append(lease, &entity, 0, &["a"])]),
    );
    let write = tokio::spawn(async move { writer.write(&dropped).await });
    blocked_backend(&mut holder).await;
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    holder.execute("rollback").await.unwrap();

    // Whether it was written is unknown; the next epoch can tell.
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await.unwrap();
    let next = batch(lease, vec![append(lease, &entity, lease.head.0, &["b"])]);
    assert_eq!(journal.write(&next).await.unwrap(), []);
    assert_eq!(journal.head(shard).await.unwrap(), lease.head.next());
}

#[tokio::test]
async fn writers_of_many_shards_do_not_stand_in_each_others_way() {
    let options = database::fresh_options().await;
    let journal = Arc::new(open_as("one", &options).await);
    let mut leases = Vec::new();
    for shard in journal.shards().all() {
        leases.push(journal.claim(shard, "one", Takeover::AtOnce).await.unwrap());
    }
    let (even, odd): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| lease.shard.0 % 2 == 0);
    let writers: Vec<_> = [even, odd]
        .into_iter()
        .map(|leases| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let (_, entity) = place(&*journal, "any");
                for round in 0..20 {
                    let parts = leases
                        .iter()
                        .map(|lease| {
                            let held = globalshop::journal::Lease {
                                head: Position(round),
                                ..*lease
                            };
                            let name = format!("{}-of-{}", entity.key(), lease.shard);
                            (
                                held,
                                vec![append(held, &place(&*journal, &name).1, round, &["x"])],
                            )
                        })
                        .collect();
                    let moved = journal
                        .write(&globalshop::journal::contract::join(parts))
                        .await
                        .unwrap();
                    assert_eq!(moved, []);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for shard in journal.shards().all() {
        assert_eq!(journal.head(shard).await.unwrap(), Position(20));
    }
}

#[tokio::test]
async fn a_server_that_can_lose_what_it_acknowledged_is_refused() {
    let options = database::fresh_options()
        .await
        .options([("synchronous_commit", "off")]);
    let refused = PostgresJournal::open(options, PostgresSettings::new("one"), Clock::system()).await;
    assert!(
        matches!(
            refused,
            Err(OpenFault::Unsafe {
                setting: "synchronous_commit",
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_owner_that_a_taker_could_not_find_is_refused() {
    let options = database::fresh_options().await;
    let settings = PostgresSettings::new("o".repeat(64));
    let refused = PostgresJournal::open(options, settings, Clock::system()).await;
    assert!(matches!(refused, Err(OpenFault::LongOwner { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_number_of_shards_is_settled_by_the_first_opening() {
    let options = database::fresh_options().await;
    let settings = |shards| PostgresSettings {
        shards: ShardCount::new(shards).unwrap(),
        ..PostgresSettings::new("one")
    };
    let first = PostgresJournal::open(options.clone(), settings(8), Clock::system())
        .await
        .unwrap();
    let later = PostgresJournal::open(options, settings(16), Clock::system())
        .await
        .unwrap();
    assert_eq!((first.shards().get(), later.shards().get()), (8, 8));
}

#[tokio::test]
async fn the_journal_is_append_only_whoever_asks() {
    let options = database::fresh_options().await;
    let mut connection = options.connect().await.unwrap();
    for change in [
        "update journal set epoch = 2",
        "delete from journal",
        "truncate journal",
    ] {
        let refused = connection.execute(change).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn migrations_apply_once_however_many_nodes_start() {
    let options = database::fresh_options().await;
    let (one, two) = tokio::join!(migrate(&options), migrate(&options));
    assert_eq!(one.unwrap(), two.unwrap());
    let mut connection = options.connect().await.unwrap();
    let versions: Vec<i64> = sqlx::query_scalar("select version from _sqlx_migrations")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let distinct: BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len());
    connection.close().await.unwrap();
}
