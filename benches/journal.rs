//! The journal's group commit against plain multi-row inserts: the same rows, into tables of the same
//! columns and indexes, on the same server, with as many connections, round about.
//!
//! ```text
//! cargo bench --bench journal [-- [--quick] [rows a batch]]
//! ```
//!
//! It starts a private PostgreSQL as an embedded node does, with every commit on the disk.
//! `GLOBALSHOP_BENCH_DATABASE` names another server, and a role that may create databases there; the
//! bench makes one of its own and drops it. Only the ratio says something about the journal; the
//! absolute figures are the machine's. The last line is a row of the table in docs/PERFORMANCE.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench says what it found and stops when it cannot go on"
)]

mod rounds;

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use globalshop::clock::Clock;
use globalshop::domain::id::OperationId;
use globalshop::domain::{EntityId, Kind, Millis, ShardCount};
use globalshop::embedded::{Embedded, refuse_unsafe_settings};
use globalshop::journal::{
    Append, Batch, Journal, Lease, NewEvent, Position, PostgresJournal, PostgresSettings, Sequence,
    TimerChange, migrate,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// Writers at once.
const CONNECTIONS: usize = 2;
/// Entities each writer appends to in turn.
const ENTITIES: usize = 20_000;
/// As long as a line added to a cart is.
const PAYLOAD: &[u8] = br#"{"LineAdded":{"sku":"TV-55-OLED","quantity":1,"quote":{"amount":129900,"currency":"EUR"},"seen_at":1800000000000}}"#;

const DATABASE: &str = "globalshop_bench_journal";

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rows = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next_back()
        .unwrap_or(1_000);
    let (server, embedded) = server().await;
    let mut admin = server.connect().await.unwrap();
    refuse_unsafe_settings(&mut admin).await.unwrap();
    admin
        .execute(AssertSqlSafe(format!("drop database if exists {DATABASE}")))
        .await
        .unwrap();
    admin
        .execute(AssertSqlSafe(format!("create database {DATABASE}")))
        .await
        .unwrap();
    let options = server.clone().database(DATABASE);
    migrate(&options).await.unwrap();

    let clock = Clock::system();
    let length = Duration::from_millis(if quick { 100 } else { 3_000 });
    let mut floors = floors(&options).await;
    let mut journals = journals(&options, &clock).await;
    println!("journal events, {rows} a batch, {CONNECTIONS} connections");
    let verdict = rounds::compare(
        quick,
        async || turn(&clock, length, &mut floors, rows).await,
        async || turn(&clock, length, &mut journals, rows).await,
    )
    .await;
    let what = format!("journal events, {rows} a group commit, {CONNECTIONS} connections");
    let against = format!("PostgreSQL rows, {rows} an insert, {CONNECTIONS} connections");
    println!("{}", verdict.row(&what, &against, "0.90"));

    drop((floors, journals));
    admin
        .execute(AssertSqlSafe(format!("drop database {DATABASE} with (force)")))
        .await
        .unwrap();
    admin.close().await.unwrap();
    if let Some((embedded, folder)) = embedded {
        embedded.stop().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// The server that is named, or one of our own: in /var/tmp, which is a disk where /tmp may be memory.
async fn server() -> (PgConnectOptions, Option<(Embedded, PathBuf)>) {
    if let Ok(url) = std::env::var("GLOBALSHOP_BENCH_DATABASE") {
        return (
            PgConnectOptions::from_str(&url)
                .unwrap()
                .disable_statement_logging(),
            None,
        );
    }
    let folder = PathBuf::from(format!(
        "/var/tmp/globalshop-bench-journal-{}",
        std::process::id()
    ));
    let embedded = Embedded::start(&folder).await.unwrap();
    let options = embedded.connect_options().disable_statement_logging();
    (options, Some((embedded, folder)))
}

/// One turn of one side; answers with its rows a second.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
async fn turn<W: Writer>(clock: &Clock, length: Duration, writers: &mut [W], rows: usize) -> f64 {
    let began = clock.instant();
    let turns = writers.iter_mut().map(|writer| async move {
        let mut written = 0;
        while clock.instant().duration_since(began) < length {
            writer.write(rows).await;
            written += rows;
        }
        written
    });
    let written: usize = futures_util::future::join_all(turns).await.into_iter().sum();
    written as f64 / clock.instant().duration_since(began).as_secs_f64()
}

trait Writer {
    async fn write(&mut self, rows: usize);
}

/// What both sides write: events of many carts in turn, in the shards of one writer.
struct Source {
    shards: Vec<Lease>,
    carts: Vec<(EntityId, usize, i64)>,
    next: usize,
}

impl Source {
    /// The carts of one of [`CONNECTIONS`] writers; the others' are elsewhere.
    fn new(writer: usize, side: u128, leases: Vec<Lease>) -> Self {
        let count = ShardCount::DEFAULT;
        let carts = (0_u128..)
            .map(|n| {
                let key = Uuid::new_v5(&Uuid::from_u128(side), &n.to_le_bytes());
                EntityId::new(Kind::Cart, key)
            })
            .filter_map(|cart| {
                let shard = cart.shard(count);
                let place = leases.iter().position(|lease| lease.shard == shard)?;
                Some((cart, place, 0))
            })
            .skip(writer)
            .take(ENTITIES)
            .collect();
        Self {
            shards: leases,
            carts,
            next: 0,
        }
    }

    fn batch(&mut self, rows: usize) -> Batch {
        let mut batch = Batch {
            held: self
                .shards
                .iter()
                .map(|lease| (lease.shard, lease.epoch))
                .collect(),
            appends: Vec::with_capacity(rows),
        };
        for _ in 0..rows {
            let (entity, place, sequence) = &mut self.carts[self.next];
            let lease = &mut self.shards[*place];
            lease.head = lease.head.next();
            let append = Append {
                entity: entity.clone(),
                shard: lease.shard,
                epoch: lease.epoch,
                after: Sequence(*sequence),
                events: vec![NewEvent {
                    version: 1,
                    payload: Bytes::from_static(PAYLOAD),
                }],
                operation: Some(OperationId(Uuid::from_u128(u128::from(
                    lease.head.0.unsigned_abs(),
                )))),
                at: Millis(1_800_000_000_000),
                timer: TimerChange::Keep,
                remember: None,
            };
            batch.appends.push((append, lease.head));
            *sequence += 1;
            self.next = (self.next + 1) % self.carts.len();
        }
        batch
    }
}

struct Journalled {
    journal: Arc<PostgresJournal>,
    source: Source,
}

async fn journals(options: &PgConnectOptions, clock: &Clock) -> Vec<Journalled> {
    let settings = PostgresSettings::new("bench");
    let journal = PostgresJournal::open(options.clone(), settings, clock.clone())
        .await
        .unwrap();
    let journal = Arc::new(journal);
    let mut writers = Vec::new();
    for writer in 0..CONNECTIONS {
        let mut leases = Vec::new();
        for shard in journal
            .shards()
            .all()
            .filter(|shard| usize::from(shard.0) % CONNECTIONS == writer)
        {
            leases.push(journal.claim(shard, "bench").await.unwrap());
        }
        let source = Source::new(writer, 1, leases);
        writers.push(Journalled {
            journal: Arc::clone(&journal),
            source,
        });
    }
    writers
}

impl Writer for Journalled {
    async fn write(&mut self, rows: usize) {
        let batch = self.source.batch(rows);
        assert_eq!(self.journal.write(&batch).await.unwrap(), []);
    }
}

struct Plain {
    connection: PgConnection,
    source: Source,
}

async fn floors(options: &PgConnectOptions) -> Vec<Plain> {
    let mut connection = options.connect().await.unwrap();
    connection
        .execute("create table floor (like journal including all)")
        .await
        .unwrap();
    let mut writers = Vec::new();
    for writer in 0..CONNECTIONS {
        let leases = ShardCount::DEFAULT
            .all()
            .filter(|shard| usize::from(shard.0) % CONNECTIONS == writer)
            .map(|shard| Lease {
                shard,
                epoch: globalshop::journal::Epoch(1),
                head: Position(0),
            })
            .collect();
        writers.push(Plain {
            connection: options.connect().await.unwrap(),
            source: Source::new(writer, 1, leases),
        });
    }
    writers
}

impl Writer for Plain {
    async fn write(&mut self, rows: usize) {
        let batch = self.source.batch(rows);
        let appends = || batch.appends.iter();
        let each = |value: fn(&Append) -> i64| appends().map(|(append, _)| value(append)).collect::<Vec<_>>();
        let shards: Vec<i16> = appends()
            .map(|(append, _)| i16::try_from(append.shard.0).unwrap())
            .collect();
        sqlx::query(
            "insert into floor
                 (position, sequence, epoch, recorded_at, operation, shard, version, entity, payload)
             select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[],
                 $6::smallint[], $7::smallint[], $8::text[], $9::bytea[])",
        )
        .bind(appends().map(|(_, position)| position.0).collect::<Vec<_>>())
        .bind(each(|append| append.through().0))
        .bind(each(|append| append.epoch.0))
        .bind(each(|append| append.at.0))
        .bind(
            appends()
                .map(|(append, _)| append.operation.map(|id| id.0))
                .collect::<Vec<Option<Uuid>>>(),
        )
        .bind(shards)
        .bind(vec![1_i16; rows])
        .bind(
            appends()
                .map(|(append, _)| append.entity.as_str())
                .collect::<Vec<&str>>(),
        )
        .bind(
            appends()
                .map(|(append, _)| &append.events[0].payload[..])
                .collect::<Vec<&[u8]>>(),
        )
        .execute(&mut self.connection)
        .await
        .unwrap();
    }
}
