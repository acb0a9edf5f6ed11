//! The journal's group commit against plain multi-row inserts: the same rows, into tables of the same
//! columns and indexes, on the same server, with as many connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use globalshop::clock::Clock;
use globalshop::domain::id::OperationId;
use globalshop::domain::{EntityId, Kind, Millis, ShardCount};
use globalshop::journal::{
    Append, Batch, Journal, Lease, NewEvent, Position, PostgresJournal, PostgresSettings, Sequence, Takeover,
    TimerChange, migrate,
};
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use crate::client::{Worker, drive};
use crate::floor::Postgres;
use crate::rounds::compare;

/// Rows of a statement.
const ROWS: usize = 1_000;
/// Writers at once.
const CONNECTIONS: usize = 2;
/// Entities each writer appends to in turn.
const ENTITIES: usize = 20_000;
/// As long as a line added to a cart is.
const PAYLOAD: &[u8] = br#"{"LineAdded":{"sku":"TV-55-OLED","quantity":1,"quote":{"amount":129900,"currency":"EUR"},"seen_at":1800000000000}}"#;

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let turn = Duration::from_millis(if quick { 200 } else { 3_000 });
    let postgres = Postgres::open("journal").await;
    migrate(&postgres.options()).await.unwrap();
    let mut floor = PlainRows::open(&postgres).await;
    let mut ours = journals(&postgres, clock).await;
    println!("the journal, {ROWS} rows a statement, {CONNECTIONS} connections");
    let verdict = compare(
        quick,
        async || drive(clock, turn, &mut floor).await,
        async || drive(clock, turn, &mut ours).await,
    )
    .await;
    check(&postgres, &ours).await;
    drop((floor, ours));
    postgres.close().await;
    vec![verdict.row(
        &format!("journal events, group commit, {ROWS} a statement"),
        &format!("PostgreSQL, plain inserts of {ROWS} rows"),
        "0.90",
    )]
}

/// Every position of every shard is there, up to what was assigned, and nothing else.
async fn check(postgres: &Postgres, journals: &[Journalled]) {
    let assigned: i64 = journals
        .iter()
        .flat_map(|writer| &writer.source.shards)
        .map(|lease| lease.head.0)
        .sum();
    let mut connection = postgres.connect().await;
    let (rows, tops): (i64, i64) = sqlx::query_as(
        "select count(*), (select sum(top)::bigint from (select max(position) as top from journal group by shard) as tops)
         from journal",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((rows, tops), (assigned, assigned));
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

async fn journals(postgres: &Postgres, clock: &Clock) -> Vec<Journalled> {
    let settings = PostgresSettings::new("bench");
    let journal = PostgresJournal::open(postgres.options(), settings, clock.clone())
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
            leases.push(journal.claim(shard, "bench", Takeover::AtOnce).await.unwrap());
        }
        let source = Source::new(writer, 1, leases);
        writers.push(Journalled {
            journal: Arc::clone(&journal),
            source,
        });
    }
    writers
}

impl Worker for Journalled {
    async fn work(&mut self) -> usize {
        let batch = self.source.batch(ROWS);
        assert_eq!(self.journal.write(&batch).await.unwrap(), []);
        ROWS
    }
}

/// A client that inserts rows of the journal's shape into a table of the journal's columns and indexes.
pub struct PlainRows {
    connection: PgConnection,
    source: Source,
}

impl PlainRows {
    /// As many as the journal has writers; the database has the shop's schema.
    pub async fn open(postgres: &Postgres) -> Vec<Self> {
        let mut connection = postgres.connect().await;
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
            writers.push(Self {
                connection: postgres.connect().await,
                source: Source::new(writer, 1, leases),
            });
        }
        writers
    }
}

impl Worker for PlainRows {
    async fn work(&mut self) -> usize {
        let batch = self.source.batch(ROWS);
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
        .bind(vec![1_i16; ROWS])
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
        ROWS
    }
}
