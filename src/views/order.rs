//! Lists of orders: the caller's and the seller's, newest first, and how many are in each status.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::course::{Answers, Course};
use super::cursor::{Cursor, Scope};
use super::fault::{READ_LIMIT, ViewFault, within};
use super::order_row::{self, OrderChanges, Row};
use super::rows::{Part, Parts, Rows};
use super::wait::{self, Missing, Waited};
use crate::clock::Clock;
use crate::domain::id::{CustomerId, OrderId};
use crate::domain::order::Status;
use crate::domain::{Kind, Millis, Money, Shard, ShardCount, payment};
use crate::journal::{Position, Recorded};

/// What a list shows of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSummary {
    /// Its id.
    pub order: OrderId,
    /// The number people read out.
    pub number: String,
    /// Whose it is.
    pub customer: CustomerId,
    /// Where its mails go. Personal: for its owner and for sellers, never for logs.
    pub email: String,
    /// How far it has come.
    pub status: Status,
    /// How far its payment has come.
    pub payment: payment::Status,
    /// When it was placed.
    pub placed_at: Millis,
    /// When it last changed.
    pub changed_at: Millis,
    /// What it costs.
    pub total: Money,
    /// Units over all lines.
    pub item_count: u64,
    /// The names of its first lines.
    pub names: Vec<String>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
}

/// One page of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPage {
    /// The orders, newest first.
    pub items: Vec<OrderSummary>,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
}

/// The order lists. One a node, shared by reference.
#[derive(Debug)]
pub struct Orders {
    pool: PgPool,
    clock: Clock,
    course: Course,
    parts: Parts<OrderChanges>,
    missing: Missing,
}

impl Orders {
    /// Opens the order lists.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(pool: PgPool, clock: Clock, shards: ShardCount) -> Result<Self, ViewFault> {
        let course = Course::open("orders", Answers::FromRows, pool.clone(), shards).await?;
        Ok(Self {
            pool,
            clock,
            course,
            parts: Parts::default(),
            missing: Missing::new(),
        })
    }

    /// One page of the orders of these customers: an account, and the guests merged into it.
    ///
    /// # Errors
    /// [`ViewFault::BadCursor`], or when the database does not answer.
    pub async fn orders_of(
        &self,
        customers: &[CustomerId],
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<OrderPage, ViewFault> {
        // Bound to the account, which comes first; guests may be merged between two pages.
        let scope = Scope::of(&format!("orders of {:?}", customers.first()));
        let (placed_at, order) = after(cursor, scope)?;
        let customers: Vec<Uuid> = customers.iter().map(|customer| customer.0).collect();
        let limit = limit.clamp(1, 100);
        let rows = within("list the orders of a customer", READ_LIMIT, async {
            sqlx::query_as!(
                Row,
                // A page of each, and the newest of those: a plan for all at once reads other people's orders.
                r#"select order_id, shard, number, customer_id, email, phase, status, payment, placed_at_ms,
                          changed_at_ms, total, currency, item_count, names, cancel_reason, captures,
                          captured, refunded, refunds, refunding, money_position, sequence
                   from unnest($1::uuid[]) as whose (id) cross join lateral (
                       select * from order_summary
                       where customer_id = whose.id and (placed_at_ms, order_id) < ($2, $3)
                       order by placed_at_ms desc, order_id desc limit $4) as theirs
                   order by placed_at_ms desc, order_id desc limit $4"#,
                &customers,
                placed_at,
                order,
                one_more(limit),
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        page(rows, limit, scope)
    }

    /// One page of all orders, or of those in one status.
    ///
    /// # Errors
    /// [`ViewFault::BadCursor`], or when the database does not answer.
    pub async fn orders(
        &self,
        status: Option<Status>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<OrderPage, ViewFault> {
        let scope = Scope::of(&format!("orders in {:?}", status.map(Status::as_str)));
        let (placed_at, order) = after(cursor, scope)?;
        let limit = limit.clamp(1, 100);
        let rows = within("list orders", READ_LIMIT, async {
            match status {
                // Two statements: one plan for both would use neither index.
                None => {
                    sqlx::query_as!(
                        Row,
                        r#"select order_id, shard, number, customer_id, email, phase, status, payment,
                                  placed_at_ms, changed_at_ms, total, currency, item_count, names,
                                  cancel_reason, captures, captured, refunded, refunds, refunding,
                                  money_position, sequence
                           from order_summary where (placed_at_ms, order_id) < ($1, $2)
                           order by placed_at_ms desc, order_id desc limit $3"#,
                        placed_at,
                        order,
                        one_more(limit),
                    )
                    .fetch_all(&self.pool)
                    .await
                }
                Some(status) => {
                    sqlx::query_as!(
                        Row,
                        r#"select order_id, shard, number, customer_id, email, phase, status, payment,
                                  placed_at_ms, changed_at_ms, total, currency, item_count, names,
                                  cancel_reason, captures, captured, refunded, refunds, refunding,
                                  money_position, sequence
                           from order_summary
                           where status = $1 and (placed_at_ms, order_id) < ($2, $3)
                           order by placed_at_ms desc, order_id desc limit $4"#,
                        status.as_str(),
                        placed_at,
                        order,
                        one_more(limit),
                    )
                    .fetch_all(&self.pool)
                    .await
                }
            }
        })
        .await?;
        page(rows, limit, scope)
    }

    /// How many orders are in each status; every status is there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn counts(&self) -> Result<BTreeMap<Status, u64>, ViewFault> {
        let rows = within("count orders", READ_LIMIT, async {
            sqlx::query!(
                r#"select status, sum(orders)::bigint as "orders!" from order_count group by status"#
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        let counted: HashMap<String, i64> = rows.into_iter().map(|row| (row.status, row.orders)).collect();
        let count = |status: &Status| counted.get(status.as_str()).copied().unwrap_or(0);
        Ok(Status::ALL
            .into_iter()
            .map(|status| (status, u64::try_from(count(&status)).unwrap_or(0)))
            .collect())
    }

    /// Waits until the lists include a write, at most `limit`.
    pub async fn wait_for(&self, shard: Shard, position: Position, limit: Duration) -> Waited {
        wait::wait_for(&self.course, &self.missing, &self.clock, shard, position, limit).await
    }

    /// How far the lists are in every shard.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.course.all_reached()
    }
}

/// Where a page starts: after everything, unless a cursor says otherwise.
fn after(cursor: Option<&str>, scope: Scope) -> Result<(i64, Uuid), ViewFault> {
    let Some(token) = cursor else {
        return Ok((i64::MAX, Uuid::max()));
    };
    let cursor = Cursor::decode(token, scope)?;
    let order: OrderId = cursor.id.parse().map_err(|_| ViewFault::BadCursor)?;
    Ok((cursor.key, order.0))
}

/// One row more than the page has tells whether another page follows.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

fn page(rows: Vec<Row>, limit: usize, scope: Scope) -> Result<OrderPage, ViewFault> {
    let more = rows.len() > limit;
    let items = rows
        .iter()
        .take(limit)
        .map(Row::summary)
        .collect::<Result<Vec<_>, _>>()?;
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|last| {
        Cursor {
            key: last.placed_at.0,
            id: last.order.to_string(),
        }
        .encode(scope)
    });
    Ok(OrderPage { items, next_cursor })
}

impl Rows for Orders {
    type Changes = OrderChanges;
    const ACTION: &'static str = "follow orders";

    fn wants(kind: Kind) -> bool {
        kind == Kind::Order
    }

    fn course(&self) -> &Course {
        &self.course
    }

    fn parts(&self) -> &Parts<OrderChanges> {
        &self.parts
    }

    async fn read(&self, events: &[&Recorded]) -> Result<OrderChanges, ViewFault> {
        OrderChanges::read(events)
    }

    fn count(changes: &OrderChanges) -> usize {
        changes.count()
    }

    async fn write(parts: &[&Part<OrderChanges>], connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        order_row::write(parts, connection).await
    }
}
