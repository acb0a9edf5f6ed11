//! The relay's book in PostgreSQL.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::book::{Book, BookFault, Move, Moved, Standing};
use super::dead_letter::{DeadLetter, LetterCount, LetterFilter, LetterState, NewLetter};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{Position, Sequence};

/// How long the database may take for one call.
const LIMIT: Duration = Duration::from_secs(10);

/// The book that PostgreSQL keeps.
#[derive(Clone, Debug)]
pub struct PostgresBook {
    pool: PgPool,
}

impl PostgresBook {
    /// The book of a migrated database.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

async fn within<T>(
    action: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, BookFault> {
    match timeout(LIMIT, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(BookFault::Database { action, source }),
        Err(_) => Err(BookFault::Late { action, limit: LIMIT }),
    }
}

/// A row of `dead_letter`.
struct Row {
    id: Uuid,
    position: i64,
    sequence: i64,
    buried_at_ms: i64,
    changed_at_ms: i64,
    attempts: i32,
    redrives: i32,
    shard: i16,
    waits: bool,
    state: String,
    consumer: String,
    entity: String,
    reason: String,
}

impl TryFrom<Row> for DeadLetter {
    type Error = BookFault;

    fn try_from(row: Row) -> Result<Self, BookFault> {
        let bad = |what: &str| BookFault::Unreadable(format!("dead letter {}: {what}", row.id));
        Ok(Self {
            id: row.id,
            shard: shard(row.shard).ok_or_else(|| bad("its shard"))?,
            position: Position(row.position),
            entity: EntityId::stored(&row.entity),
            sequence: Sequence(row.sequence),
            attempts: u32::try_from(row.attempts).map_err(|_| bad("its attempts"))?,
            redrives: u32::try_from(row.redrives).map_err(|_| bad("its redrives"))?,
            state: LetterState::from_name(&row.state).ok_or_else(|| bad("its state"))?,
            waits: row.waits,
            buried_at: Millis(row.buried_at_ms),
            changed_at: Millis(row.changed_at_ms),
            consumer: row.consumer,
            reason: row.reason,
        })
    }
}

fn shard(column: i16) -> Option<Shard> {
    u16::try_from(column).ok().map(Shard)
}

fn column(shard: Shard) -> i16 {
    i16::try_from(shard.0).unwrap_or(i16::MAX)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[async_trait]
impl Book for PostgresBook {
    async fn standing(&self) -> Result<Standing, BookFault> {
        let (positions, blocked) = within("read positions", async {
            let positions = sqlx::query!("select consumer, shard, position from consumer_position")
                .fetch_all(&self.pool)
                .await?;
            let blocked = sqlx::query!(
                "select distinct consumer, shard, entity from dead_letter where state <> 'done' and waits"
            )
            .fetch_all(&self.pool)
            .await?;
            Ok((positions, blocked))
        })
        .await?;
        let mut standing = Standing::default();
        for row in positions {
            let shard = shard(row.shard).ok_or_else(|| {
                BookFault::Unreadable(format!("position of {} in {}", row.consumer, row.shard))
            })?;
            standing
                .positions
                .insert((row.consumer, shard), Position(row.position));
        }
        for row in blocked {
            let (Some(shard), entity) = (shard(row.shard), EntityId::stored(&row.entity)) else {
                return Err(BookFault::Unreadable(format!(
                    "a dead letter of {}",
                    row.consumer
                )));
            };
            standing
                .blocked
                .entry((row.consumer, shard))
                .or_default()
                .push(entity);
        }
        Ok(standing)
    }

    async fn save(&self, moves: &[Move]) -> Result<Vec<Moved>, BookFault> {
        let consumers: Vec<String> = moves.iter().map(|moved| moved.consumer.to_owned()).collect();
        let shards: Vec<i16> = moves.iter().map(|moved| column(moved.shard)).collect();
        let epochs: Vec<i64> = moves.iter().map(|moved| moved.epoch.0).collect();
        let positions: Vec<i64> = moves.iter().map(|moved| moved.to.0).collect();
        let fenced = within("save positions", async {
            sqlx::query!(
                "with move as (
                     select * from unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[])
                         as move(consumer, shard, epoch, position)
                 ), kept as (
                     insert into consumer_position as at (consumer, shard, epoch, position)
                     select consumer, shard, epoch, position from move order by consumer, shard
                     on conflict (consumer, shard) do update
                         set epoch = excluded.epoch, position = greatest(at.position, excluded.position)
                         where at.epoch <= excluded.epoch
                     returning at.consumer, at.shard
                 )
                 select move.consumer as \"consumer!\", move.shard as \"shard!\" from move
                 where not exists (
                     select from kept where kept.consumer = move.consumer and kept.shard = move.shard
                 )",
                &consumers,
                &shards,
                &epochs,
                &positions,
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        Ok(moves
            .iter()
            .map(|moved| {
                let stopped = fenced
                    .iter()
                    .any(|row| row.consumer == moved.consumer && row.shard == column(moved.shard));
                if stopped { Moved::Fenced } else { Moved::Kept }
            })
            .collect())
    }

    async fn bury(&self, letter: &NewLetter) -> Result<(), BookFault> {
        within("keep a dead letter", async {
            sqlx::query!(
                "insert into dead_letter as letter (id, consumer, shard, position, entity, sequence, reason,
                                                    attempts, waits, buried_at_ms, changed_at_ms)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
                 on conflict (consumer, shard, position) do update
                     set reason = excluded.reason, attempts = letter.attempts + excluded.attempts,
                         changed_at_ms = excluded.changed_at_ms",
                letter.id,
                letter.consumer,
                column(letter.shard),
                letter.position.0,
                letter.entity.as_str(),
                letter.sequence.0,
                letter.reason.replace('\0', ""),
                count(letter.attempts),
                letter.blocks,
                letter.at.0,
            )
            .execute(&self.pool)
            .await
        })
        .await?;
        Ok(())
    }

    async fn is_blocked(&self, consumer: &str, entity: &EntityId) -> Result<bool, BookFault> {
        within("look for dead letters", async {
            sqlx::query_scalar!(
                r#"select exists (
                       select from dead_letter where consumer = $1 and entity = $2 and state <> 'done' and waits
                   ) as "blocked!""#,
                consumer,
                entity.as_str(),
            )
            .fetch_one(&self.pool)
            .await
        })
        .await
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, BookFault> {
        let rows = within("list dead letters", async {
            sqlx::query_as!(
                Row,
                "select id, position, sequence, buried_at_ms, changed_at_ms, attempts, redrives, shard, waits,
                        state, consumer, entity, reason
                 from dead_letter
                 where ($1::text is null or consumer = $1) and ($2::text is null or entity = $2)
                   and ($3::text is null or state = $3) and ($4::uuid is null or id > $4)
                 order by id limit $5",
                filter.consumer.as_deref(),
                filter.entity.as_ref().map(EntityId::as_str),
                filter.state.map(LetterState::as_str),
                after,
                i64::from(limit),
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        rows.into_iter().map(DeadLetter::try_from).collect()
    }

    async fn letter(&self, id: Uuid) -> Result<Option<DeadLetter>, BookFault> {
        let row = within("read a dead letter", async {
            sqlx::query_as!(
                Row,
                "select id, position, sequence, buried_at_ms, changed_at_ms, attempts, redrives, shard, waits,
                        state, consumer, entity, reason
                 from dead_letter where id = $1",
                id,
            )
            .fetch_optional(&self.pool)
            .await
        })
        .await?;
        row.map(DeadLetter::try_from).transpose()
    }

    async fn take(&self, id: Uuid, now: Millis, until: Millis) -> Result<Option<DeadLetter>, BookFault> {
        let row = within("take a dead letter", async {
            sqlx::query_as!(
                Row,
                "update dead_letter set taken_until_ms = $3, redrives = redrives + 1
                 where id = $1 and state <> 'done' and taken_until_ms <= $2
                 returning id, position, sequence, buried_at_ms, changed_at_ms, attempts, redrives, shard,
                           waits, state, consumer, entity, reason",
                id,
                now.0,
                until.0,
            )
            .fetch_optional(&self.pool)
            .await
        })
        .await?;
        row.map(DeadLetter::try_from).transpose()
    }

    async fn put_back(
        &self,
        id: Uuid,
        state: LetterState,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<(), BookFault> {
        within("put a dead letter back", async {
            sqlx::query!(
                "update dead_letter set state = $2, reason = coalesce($3, reason), changed_at_ms = $4,
                                        taken_until_ms = 0
                 where id = $1",
                id,
                state.as_str(),
                reason.map(|reason| reason.replace('\0', "")),
                now.0,
            )
            .execute(&self.pool)
            .await
        })
        .await?;
        Ok(())
    }

    async fn count(&self) -> Result<Vec<LetterCount>, BookFault> {
        let rows = within("count dead letters", async {
            sqlx::query!(
                r#"select consumer, count(*) filter (where state = 'waiting') as "waiting!",
                          count(*) filter (where state = 'parked') as "parked!"
                   from dead_letter where state <> 'done' group by consumer order by consumer"#
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| LetterCount {
                consumer: row.consumer,
                waiting: row.waiting.unsigned_abs(),
                parked: row.parked.unsigned_abs(),
            })
            .collect())
    }
}
