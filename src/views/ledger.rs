//! The double-entry ledger: every movement of money, derived once from the payment events.
//!
//! One row is one transfer, so the books balance by construction; the database refuses to change or
//! delete one. [`Ledger::rebuild`] derives all of it again from the journal and compares.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::course::{Answers, Course, row_shard};
use super::details::read_currency;
use super::fault::{READ_LIMIT, ViewFault, WRITE_LIMIT, within};
use super::order_row::read_order;
use super::rows::{Part, Parts, Rows};
use super::wait::{self, Missing, Waited};
use crate::clock::Clock;
use crate::domain::id::OrderId;
use crate::domain::ledger::{Account, Transfer, transfers};
use crate::domain::money::Currency;
use crate::domain::{Kind, Millis, Money, Shard, ShardCount};
use crate::journal::{Journal, Position, Recorded};

/// Events read at once when the ledger is rebuilt.
const REBUILD_BATCH: usize = 5_000;

/// One transfer, as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The shard of the payment event.
    pub shard: Shard,
    /// Its position.
    pub position: Position,
    /// Which of its transfers.
    pub leg: u16,
    /// Whose money.
    pub order: OrderId,
    /// The account that receives.
    pub debit: Account,
    /// The account that gives.
    pub credit: Account,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Millis,
}

/// How a rebuilt ledger compares with the one in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Transfers in both, equal.
    pub equal: u64,
    /// Transfers the journal says and the ledger lacks.
    pub missing: u64,
    /// Transfers the ledger has and the journal does not say.
    pub extra: u64,
    /// Transfers that say something else.
    pub different: u64,
}

impl Comparison {
    /// Whether the ledger is what the journal says.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0
    }
}

/// The ledger. One a node, shared by reference.
#[derive(Debug)]
pub struct Ledger {
    pool: PgPool,
    clock: Clock,
    shards: ShardCount,
    course: Course,
    parts: Parts<Vec<Leg>>,
    missing: Missing,
}

impl Ledger {
    /// Opens the ledger.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(pool: PgPool, clock: Clock, shards: ShardCount) -> Result<Self, ViewFault> {
        let course = Course::open("ledger", Answers::FromRows, pool.clone(), shards).await?;
        Ok(Self {
            pool,
            clock,
            shards,
            course,
            parts: Parts::default(),
            missing: Missing::new(),
        })
    }

    /// What each account holds, by currency: what it received less what it gave. Their sum is zero.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn balance(&self) -> Result<BTreeMap<(Account, Currency), i64>, ViewFault> {
        let rows = within("sum up the ledger", WRITE_LIMIT, async {
            sqlx::query!(
                r#"select account as "account!", currency as "currency!", sum(amount)::bigint as "balance!"
                   from (select debit as account, currency, amount from ledger_transfer
                         union all
                         select credit, currency, -amount from ledger_transfer) as leg
                   group by account, currency"#
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok((
                    (read_account(&row.account)?, read_currency(&row.currency)),
                    row.balance,
                ))
            })
            .collect()
    }

    /// The transfers of one order, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of_order(&self, order: OrderId) -> Result<Vec<LedgerRow>, ViewFault> {
        let rows = within("read the ledger of an order", READ_LIMIT, async {
            sqlx::query!(
                "select shard, position, leg, order_id, debit, credit, amount, currency, at_ms
                 from ledger_transfer where order_id = $1 order by shard, position, leg",
                order.0,
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(LedgerRow {
                    shard: Shard(u16::try_from(row.shard).unwrap_or(u16::MAX)),
                    position: Position(row.position),
                    leg: u16::try_from(row.leg).unwrap_or(u16::MAX),
                    order: OrderId(row.order_id),
                    debit: read_account(&row.debit)?,
                    credit: read_account(&row.credit)?,
                    amount: Money::new(row.amount, read_currency(&row.currency)),
                    at: Millis(row.at_ms),
                })
            })
            .collect()
    }

    /// Derives the ledger again from the journal, as far as the ledger has come, and compares. Changes
    /// nothing; one rebuild at a time.
    ///
    /// # Errors
    /// When the journal or the database does not answer.
    pub async fn rebuild(&self, journal: &dyn Journal) -> Result<Comparison, ViewFault> {
        let failed = |source| ViewFault::Database {
            action: "rebuild the ledger",
            source,
        };
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // Keeps the second of two rebuilds waiting until the first is done.
        sqlx::query!("truncate ledger_rebuilt")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut ends = Vec::new();
        for shard in self.shards.all() {
            let end = self.course.reached(shard);
            ends.push(end.0);
            let mut position = Position(0);
            while position < end {
                let events = journal
                    .read(shard, position, REBUILD_BATCH)
                    .await
                    .map_err(ViewFault::Journal)?;
                let Some(last) = events.last().map(|event| event.position) else {
                    break;
                };
                let told: Vec<&Recorded> = events
                    .iter()
                    .filter(|event| event.position <= end && <Self as Rows>::wants(event.entity.kind()))
                    .collect();
                let legs = legs(&told)?;
                let rows: Columns = legs.iter().collect();
                rows.write_rebuilt(&mut transaction).await.map_err(failed)?;
                position = last;
            }
        }
        let figures = sqlx::query!(
            r#"select count(*) filter (where kept.amount is null) as "missing!",
                      count(*) filter (where rebuilt.amount is null) as "extra!",
                      count(*) filter (where kept.amount is not null and rebuilt.amount is not null
                                       and kept is distinct from rebuilt) as "different!",
                      count(*) filter (where kept is not distinct from rebuilt) as "equal!"
               from (select shard, position, leg, order_id, debit, credit, amount, currency, at_ms
                     from ledger_transfer where position <= ($1::bigint[])[shard + 1]) as kept
               full join (select shard, position, leg, order_id, debit, credit, amount, currency, at_ms
                          from ledger_rebuilt) as rebuilt using (shard, position, leg)"#,
            &ends,
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.rollback().await.map_err(failed)?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(Comparison {
            equal: count(figures.equal),
            missing: count(figures.missing),
            extra: count(figures.extra),
            different: count(figures.different),
        })
    }

    /// Waits until the ledger includes a write, at most `limit`.
    pub async fn wait_for(&self, shard: Shard, position: Position, limit: Duration) -> Waited {
        wait::wait_for(&self.course, &self.missing, &self.clock, shard, position, limit).await
    }

    /// How far the ledger is in every shard.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.course.all_reached()
    }
}

fn read_account(name: &str) -> Result<Account, ViewFault> {
    let accounts = [Account::ProviderReceivable, Account::Revenue, Account::TaxPayable];
    accounts
        .into_iter()
        .find(|account| account.as_str() == name)
        .ok_or_else(|| ViewFault::Unreadable {
            place: "a row of the ledger".to_owned(),
            source: format!("there is no account {name:?}").into(),
        })
}

/// One row of the books.
#[derive(Debug)]
pub(super) struct Leg {
    shard: Shard,
    position: Position,
    leg: i16,
    order: OrderId,
    transfer: Transfer,
    at: Millis,
}

/// The rows that these events make.
fn legs(events: &[&Recorded]) -> Result<Vec<Leg>, ViewFault> {
    let mut legs = Vec::new();
    for event in events {
        let (order, said) = read_order(event)?;
        legs.extend((0..).zip(transfers(&said)).map(|(leg, transfer)| Leg {
            shard: event.shard,
            position: event.position,
            leg,
            order,
            transfer,
            at: said.at(),
        }));
    }
    Ok(legs)
}

/// Rows of the books, column by column.
#[derive(Debug, Default)]
struct Columns {
    shard: Vec<i16>,
    position: Vec<i64>,
    leg: Vec<i16>,
    order: Vec<Uuid>,
    debit: Vec<String>,
    credit: Vec<String>,
    amount: Vec<i64>,
    currency: Vec<String>,
    at: Vec<i64>,
}

impl<'a> FromIterator<&'a Leg> for Columns {
    fn from_iter<I: IntoIterator<Item = &'a Leg>>(legs: I) -> Self {
        let mut columns = Self::default();
        for leg in legs {
            columns.shard.push(row_shard(leg.shard));
            columns.position.push(leg.position.0);
            columns.leg.push(leg.leg);
            columns.order.push(leg.order.0);
            columns.debit.push(leg.transfer.debit.as_str().to_owned());
            columns.credit.push(leg.transfer.credit.as_str().to_owned());
            columns.amount.push(leg.transfer.amount.amount);
            columns.currency.push(leg.transfer.amount.currency.to_string());
            columns.at.push(leg.at.0);
        }
        columns
    }
}

impl Columns {
    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.leg.is_empty() {
            return Ok(());
        }
        // No "on conflict": a transfer that is there already is a bug, and must be loud.
        sqlx::query!(
            "insert into ledger_transfer
                 (shard, position, leg, order_id, debit, credit, amount, currency, at_ms)
             select * from unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::uuid[], $5::text[],
                                  $6::text[], $7::bigint[], $8::text[], $9::bigint[])",
            &self.shard,
            &self.position,
            &self.leg,
            &self.order,
            &self.debit,
            &self.credit,
            &self.amount,
            &self.currency,
            &self.at,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn write_rebuilt(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.leg.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into ledger_rebuilt
                 (shard, position, leg, order_id, debit, credit, amount, currency, at_ms)
             select * from unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::uuid[], $5::text[],
                                  $6::text[], $7::bigint[], $8::text[], $9::bigint[])",
            &self.shard,
            &self.position,
            &self.leg,
            &self.order,
            &self.debit,
            &self.credit,
            &self.amount,
            &self.currency,
            &self.at,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Rows for Ledger {
    type Changes = Vec<Leg>;
    const ACTION: &'static str = "follow payments";

    fn wants(kind: Kind) -> bool {
        kind == Kind::Order
    }

    fn course(&self) -> &Course {
        &self.course
    }

    fn parts(&self) -> &Parts<Vec<Leg>> {
        &self.parts
    }

    async fn read(&self, events: &[&Recorded]) -> Result<Vec<Leg>, ViewFault> {
        legs(events)
    }

    fn count(legs: &Vec<Leg>) -> usize {
        legs.len()
    }

    async fn write(parts: &[&Part<Vec<Leg>>], connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows: Columns = parts.iter().flat_map(|part| &part.changes).collect();
        rows.write(connection).await
    }
}
