//! Stock levels by SKU, as the stock entities last said.
//!
//! Part of the catalogue's view: availability and levels come from the same events. Levels that
//! cannot be (invariant I3) raise an alarm, are parked beside it, and the view goes on.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};

use super::course::row_shard;
use super::cursor::{Cursor, Scope};
use super::fault::{READ_LIMIT, ViewFault, within};
use super::product::Catalogue;
use super::search;
use crate::domain::id::Sku;
use crate::domain::stock::{Levels, Stock};
use crate::domain::{Millis, Shard};
use crate::journal::{Position, Recorded, stored};

/// The stock of a SKU and the event that said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockRow {
    /// The SKU.
    pub sku: Sku,
    /// The figures.
    pub levels: Levels,
    /// The shard of the event.
    pub shard: Shard,
    /// Its position.
    pub position: Position,
    /// When it happened.
    pub changed_at: Millis,
}

/// Levels that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAlarm {
    /// The SKU.
    pub sku: Sku,
    /// The shard of the event.
    pub shard: Shard,
    /// Its position.
    pub position: Position,
    /// What it said.
    pub levels: Levels,
    /// When it was recorded.
    pub raised_at: Millis,
}

/// What a batch of events says of stock: the last good levels of each SKU, and what cannot be.
#[derive(Debug, Default)]
pub(super) struct StockChanges {
    pub(super) rows: BTreeMap<Sku, (StockRow, i64)>,
    alarms: Vec<StockAlarm>,
}

impl StockChanges {
    /// About how many rows that writes.
    pub(super) fn count(&self) -> usize {
        self.rows.len() + self.alarms.len()
    }

    pub(super) fn read(&mut self, event: &Recorded) -> Result<(), ViewFault> {
        let sku: Sku = event
            .entity
            .key()
            .parse()
            .map_err(|error| ViewFault::unreadable(event, error))?;
        let change = stored::decode::<Stock>(event).map_err(|error| ViewFault::unreadable(event, error))?;
        let (shard, position, levels) = (event.shard, event.position, change.levels);
        if !is_sound(levels) {
            tracing::error!(sku = %sku, ?levels, shard = shard.0, position = position.0, "stock levels cannot be");
            metrics::counter!("views_stock_alarms_total").increment(1);
            let raised_at = event.recorded_at;
            self.alarms.push(StockAlarm {
                sku,
                shard,
                position,
                levels,
                raised_at,
            });
            return Ok(());
        }
        let row = StockRow {
            sku: sku.clone(),
            levels,
            shard,
            position,
            changed_at: change.at,
        };
        self.rows.insert(sku, (row, event.sequence.0));
        Ok(())
    }
}

/// Writes the levels and alarms of several batches. Each SKU is in one of them.
pub(super) async fn write(
    changes: &[&StockChanges],
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    write_levels(changes, connection).await?;
    for alarm in changes.iter().flat_map(|changes| &changes.alarms) {
        sqlx::query!(
            "insert into stock_alarm (shard, position, sku, levels, raised_at_ms)
             values ($1, $2, $3, $4, $5) on conflict (shard, position) do nothing",
            row_shard(alarm.shard),
            alarm.position.0,
            alarm.sku.as_str(),
            text_of(alarm.levels),
            alarm.raised_at.0,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_levels(changes: &[&StockChanges], connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let rows = || changes.iter().flat_map(|changes| changes.rows.values());
    if rows().next().is_none() {
        return Ok(());
    }
    let units = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
    sqlx::query!(
        "insert into stock_level as level
             (sku, on_hand, held, sold, shard, position, sequence, changed_at_ms)
         select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[],
                              $5::smallint[], $6::bigint[], $7::bigint[], $8::bigint[])
         on conflict (sku) do update
             set on_hand = excluded.on_hand, held = excluded.held, sold = excluded.sold,
                 position = excluded.position, sequence = excluded.sequence,
                 changed_at_ms = excluded.changed_at_ms
             where level.sequence < excluded.sequence",
        &rows()
            .map(|(row, _)| row.sku.as_str().to_owned())
            .collect::<Vec<_>>(),
        &rows()
            .map(|(row, _)| units(row.levels.on_hand))
            .collect::<Vec<_>>(),
        &rows().map(|(row, _)| units(row.levels.held)).collect::<Vec<_>>(),
        &rows().map(|(row, _)| units(row.levels.sold)).collect::<Vec<_>>(),
        &rows().map(|(row, _)| row_shard(row.shard)).collect::<Vec<_>>(),
        &rows().map(|(row, _)| row.position.0).collect::<Vec<_>>(),
        &rows().map(|(_, sequence)| *sequence).collect::<Vec<_>>(),
        &rows().map(|(row, _)| row.changed_at.0).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether `on_hand = available + held + sold` can hold with none below zero, and fits the columns.
fn is_sound(levels: Levels) -> bool {
    let taken = levels.held.checked_add(levels.sold);
    taken.is_some_and(|taken| taken <= levels.on_hand) && i64::try_from(levels.on_hand).is_ok()
}

fn text_of(levels: Levels) -> String {
    let Levels { on_hand, held, sold } = levels;
    format!("{on_hand} {held} {sold}")
}

fn read_levels(text: &str) -> Option<Levels> {
    let mut figures = text.split(' ').map(|figure| figure.parse().ok());
    Some(Levels {
        on_hand: figures.next()??,
        held: figures.next()??,
        sold: figures.next()??,
    })
}

/// Units that can be held of every SKU: what memory starts from.
pub(super) async fn available(pool: &PgPool) -> Result<Vec<(Sku, u64)>, ViewFault> {
    let rows = within("load stock levels", super::product::LOAD_LIMIT, async {
        sqlx::query!(r#"select sku, on_hand - held - sold as "available!" from stock_level"#)
            .fetch_all(pool)
            .await
    })
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|row| Some((row.sku.parse().ok()?, u64::try_from(row.available).unwrap_or(0))))
        .collect())
}

impl Catalogue {
    /// The levels of a SKU, as the view has them. The stock entity is the authority.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stock(&self, sku: &Sku) -> Result<Option<StockRow>, ViewFault> {
        let row = within("read stock levels", READ_LIMIT, async {
            sqlx::query_as!(
                LevelRow,
                "select sku, on_hand, held, sold, shard, position, changed_at_ms
                 from stock_level where sku = $1",
                sku.as_str(),
            )
            .fetch_optional(self.pool())
            .await
        })
        .await?;
        Ok(row.and_then(LevelRow::read))
    }

    /// One page of all levels, by SKU, those whose SKU starts with `prefix` only; and the cursor of
    /// the next page.
    ///
    /// # Errors
    /// [`ViewFault::BadCursor`], or when the database does not answer.
    pub async fn stocks(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<StockRow>, Option<String>), ViewFault> {
        let scope = Scope::of(&format!("stock {prefix}"));
        let after = cursor.map(|token| Cursor::decode(token, scope)).transpose()?;
        let limit = limit.clamp(1, 100);
        // A prefix that is no part of a SKU finds nothing; nor would it be safe in a row's text.
        if !prefix.is_empty() && prefix.parse::<Sku>().is_err() {
            return Ok((vec![], None));
        }
        let rows = within("list stock levels", READ_LIMIT, async {
            sqlx::query_as!(
                LevelRow,
                "select sku, on_hand, held, sold, shard, position, changed_at_ms
                 from stock_level where sku > $1 and starts_with(sku, $2) order by sku limit $3",
                after.map_or(String::new(), |after| search::printable(&after.id)),
                prefix,
                i64::try_from(limit + 1).unwrap_or(101),
            )
            .fetch_all(self.pool())
            .await
        })
        .await?;
        let mut rows: Vec<StockRow> = rows.into_iter().filter_map(LevelRow::read).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|row| {
            Cursor {
                key: 0,
                id: row.sku.to_string(),
            }
            .encode(scope)
        });
        Ok((rows, next))
    }

    /// The newest alarms.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stock_alarms(&self, limit: usize) -> Result<Vec<StockAlarm>, ViewFault> {
        let rows = within("read stock alarms", READ_LIMIT, async {
            sqlx::query!(
                "select shard, position, sku, levels, raised_at_ms from stock_alarm
                 order by raised_at_ms desc, shard, position limit $1",
                i64::try_from(limit.clamp(1, 1_000)).unwrap_or(1_000),
            )
            .fetch_all(self.pool())
            .await
        })
        .await?;
        let alarms = rows.into_iter().filter_map(|row| {
            Some(StockAlarm {
                sku: row.sku.parse().ok()?,
                shard: Shard(u16::try_from(row.shard).ok()?),
                position: Position(row.position),
                levels: read_levels(&row.levels)?,
                raised_at: Millis(row.raised_at_ms),
            })
        });
        Ok(alarms.collect())
    }
}

/// A row as it is stored.
struct LevelRow {
    sku: String,
    on_hand: i64,
    held: i64,
    sold: i64,
    shard: i16,
    position: i64,
    changed_at_ms: i64,
}

impl LevelRow {
    fn read(self) -> Option<StockRow> {
        let units = |units: i64| u64::try_from(units).ok();
        Some(StockRow {
            sku: self.sku.parse().ok()?,
            levels: Levels {
                on_hand: units(self.on_hand)?,
                held: units(self.held)?,
                sold: units(self.sold)?,
            },
            shard: Shard(u16::try_from(self.shard).ok()?),
            position: Position(self.position),
            changed_at: Millis(self.changed_at_ms),
        })
    }
}
