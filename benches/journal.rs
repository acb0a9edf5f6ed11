//! The journal's group commit against plain multi-row inserts: the same rows, into tables of the same
//! columns and indexes, on the same server, with as many connections, round about.
//!
//! ```text
//! GLOBALSHOP_BENCH_DATABASE=postgres://… cargo bench --bench journal [rows a batch]
//! ```
//!
//! The URL names a role that may create databases; the bench makes one of its own and drops it. Only
//! the ratio says something about the journal; the absolute figures are the machine's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench says what it found and stops when it cannot go on"
)]

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use globalshop::clock::Clock;
use globalshop::domain::id::OperationId;
use globalshop::domain::{EntityId, Kind, Millis, ShardCount};
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
/// How long one turn of one side lasts.
const TURN: Duration = Duration::from_secs(3);
const TURNS: usize = 5;
/// As long as a line added to a cart is.
const PAYLOAD: &[u8] = br#"{"LineAdded":{"sku":"TV-55-OLED","quantity":1,"quote":{"amount":129900,"currency":"EUR"},"seen_at":1800000000000}}"#;

const DATABASE: &str = "globalshop_bench_journal";

#[tokio::main]
async fn main() {
    let rows = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next_back()
        .unwrap_or(1_000);
    let url = std::env::var("GLOBALSHOP_BENCH_DATABASE").expect("GLOBALSHOP_BENCH_DATABASE names a server");
    let server = PgConnectOptions::from_str(&url)
        .unwrap()
        .disable_statement_logging();
    let mut admin = server.connect().await.unwrap();
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
    let mut floors = floors(&options).await;
    let mut journals = journals(&options, &clock).await;
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let floor = turn(&clock, &mut floors, rows).await;
        let journal = turn(&clock, &mut journals, rows).await;
        println!(
            "plain insert {floor:>9.0} rows/s   journal {journal:>9.0} rows/s   ratio {:.2}",
            journal / floor
        );
        ratios.push(journal / floor);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio at {rows} rows a batch, {CONNECTIONS} connections: {:.2}",
        ratios[TURNS / 2]
    );

    drop((floors, journals));
    admin
        .execute(AssertSqlSafe(format!("drop database {DATABASE} with (force)")))
        .await
        .unwrap();
    admin.close().await.unwrap();
}

/// One turn of one side; answers with its rows a second.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
async fn turn<W: Writer>(clock: &Clock, writers: &mut [W], rows: usize) -> f64 {
    let began = clock.instant();
    let turns = writers.iter_mut().map(|writer| async move {
        let mut written = 0;
        while clock.instant().duration_since(began) < TURN {
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
