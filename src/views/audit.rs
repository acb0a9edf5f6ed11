//! The figures of the invariants that views can see: I2, I3 and I9.
//!
//! Computed in one snapshot of the views' tables. The order lists and the ledger follow the journal
//! each at its own pace, so an order is judged only where both have come; what only one of them has
//! seen is counted as in flight.

use sqlx::PgPool;

use super::fault::{ViewFault, WRITE_LIMIT, within};

/// I2: at most one capture per order; captures − refunds = ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MoneyFigures {
    /// Orders whose money was compared.
    pub orders: u64,
    /// Orders that were captured more than once.
    pub captured_twice: u64,
    /// Orders with more given back than taken.
    pub refunded_too_much: u64,
    /// Orders whose captures less refunds are not what the ledger says.
    pub drifting: u64,
    /// Ledger orders that no list knows.
    pub unknown: u64,
    /// Orders of which only one of list and ledger has seen the last movement.
    pub in_flight: u64,
    /// Captured less refunded over all orders compared, minor units.
    pub net: i64,
    /// What the ledger says of the same orders.
    pub ledger_net: i64,
}

impl MoneyFigures {
    /// Whether I2 holds, as far as the views see.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.captured_twice == 0 && self.refunded_too_much == 0 && self.drifting == 0 && self.unknown == 0
    }
}

/// I3: held + sold <= on hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StockFigures {
    /// SKUs with stock.
    pub skus: u64,
    /// Units in the house.
    pub on_hand: u64,
    /// Units held for orders.
    pub held: u64,
    /// Units sold and not yet shipped.
    pub sold: u64,
    /// SKUs whose levels cannot be. The database refuses such rows, so this is a check of the check.
    pub unsound: u64,
    /// Events whose levels could not be, parked.
    pub alarms: u64,
}

impl StockFigures {
    /// Whether I3 holds, as far as the views see.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.unsound == 0 && self.alarms == 0
    }
}

/// I9: the sum of every ledger transaction is zero; no order is confirmed unpaid, none is paid and
/// forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct BookFigures {
    /// Transfers in the ledger.
    pub transfers: u64,
    /// Sum of all accounts over all currencies: zero.
    pub sum: i64,
    /// Transfers that are not from one account to another, or not of more than nothing.
    pub unbalanced: u64,
    /// Orders confirmed or later.
    pub confirmed: u64,
    /// Those of them for which less than the total was captured.
    pub unpaid: u64,
    /// Cancelled orders that keep money nobody is giving back.
    pub forgotten: u64,
    /// Orders that are paid and not yet confirmed, or cancelled with a refund on its way.
    pub in_flight: u64,
}

impl BookFigures {
    /// Whether I9 holds, as far as the views see.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.sum == 0 && self.unbalanced == 0 && self.unpaid == 0 && self.forgotten == 0
    }
}

/// The figures of all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AuditFigures {
    /// I2.
    pub money: MoneyFigures,
    /// I3.
    pub stock: StockFigures,
    /// I9.
    pub books: BookFigures,
}

/// Asks the database for the figures, all in one snapshot.
pub(super) async fn figures(pool: &PgPool) -> Result<AuditFigures, ViewFault> {
    within("audit the views", WRITE_LIMIT, async {
        let mut snapshot = pool
            .begin_with("begin isolation level repeatable read, read only")
            .await?;
        let money = sqlx::query!(
            r#"with place as (
                   select list.shard, list.position as listed, books.position as booked
                   from view_position as list
                   join view_position as books on books.shard = list.shard and books.view = 'ledger'
                   where list.view = 'orders'
               ), booked as (
                   select order_id, shard, max(position) as position,
                          sum(case when debit = 'provider_receivable' then amount else -amount end)::bigint
                              as net
                   from ledger_transfer group by order_id, shard
               ), pair as (
                   select orders.order_id as listed_id, orders.captures,
                          coalesce(orders.captured, 0) as captured,
                          coalesce(orders.refunded, 0) as refunded,
                          coalesce(booked.net, 0) as ledger_net,
                          coalesce(orders.money_position, 0) > place.booked
                              or coalesce(booked.position, 0) > place.listed as in_flight
                   from (select * from order_summary where money_position > 0) as orders
                   full join booked on booked.order_id = orders.order_id
                   join place on place.shard = coalesce(orders.shard, booked.shard)
               )
               select count(*) filter (where not in_flight) as "orders!",
                      count(*) filter (where captures > 1) as "captured_twice!",
                      count(*) filter (where refunded > captured) as "refunded_too_much!",
                      count(*) filter (where not in_flight and captured - refunded <> ledger_net)
                          as "drifting!",
                      count(*) filter (where not in_flight and listed_id is null) as "unknown!",
                      count(*) filter (where in_flight) as "in_flight!",
                      coalesce(sum(captured - refunded) filter (where not in_flight), 0)::bigint as "net!",
                      coalesce(sum(ledger_net) filter (where not in_flight), 0)::bigint as "ledger_net!"
               from pair"#
        )
        .fetch_one(&mut *snapshot)
        .await?;
        let stock = sqlx::query!(
            r#"select count(*) as "skus!", coalesce(sum(on_hand), 0)::bigint as "on_hand!",
                      coalesce(sum(held), 0)::bigint as "held!", coalesce(sum(sold), 0)::bigint as "sold!",
                      count(*) filter (where held + sold > on_hand or held < 0 or sold < 0) as "unsound!",
                      (select count(*) from stock_alarm) as "alarms!"
               from stock_level"#
        )
        .fetch_one(&mut *snapshot)
        .await?;
        let books = sqlx::query!(
            r#"select (select count(*) from ledger_transfer) as "transfers!",
                      (select coalesce(sum(leg.amount), 0)::bigint
                       from (select amount from ledger_transfer
                             union all select -amount from ledger_transfer) as leg) as "sum!",
                      (select count(*) from ledger_transfer where debit = credit or amount <= 0)
                          as "unbalanced!",
                      count(*) filter (where confirmed) as "confirmed!",
                      count(*) filter (where confirmed and captured < total) as "unpaid!",
                      count(*) filter (where phase = 'cancelled' and kept > 0) as "forgotten!",
                      count(*) filter (where (not confirmed and phase <> 'cancelled' and captured > 0)
                                          or (phase = 'cancelled' and kept <= 0 and on_its_way > 0))
                          as "in_flight!"
               from (select phase, captured, total,
                            phase in ('confirmed', 'packed', 'shipped', 'delivered') as confirmed,
                            (select coalesce(sum(amount), 0) from unnest(refunding) as amount) as on_its_way,
                            captured - refunded
                                - (select coalesce(sum(amount), 0) from unnest(refunding) as amount) as kept
                     from order_summary) as orders"#
        )
        .fetch_one(&mut *snapshot)
        .await?;
        snapshot.rollback().await?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(AuditFigures {
            money: MoneyFigures {
                orders: count(money.orders),
                captured_twice: count(money.captured_twice),
                refunded_too_much: count(money.refunded_too_much),
                drifting: count(money.drifting),
                unknown: count(money.unknown),
                in_flight: count(money.in_flight),
                net: money.net,
                ledger_net: money.ledger_net,
            },
            stock: StockFigures {
                skus: count(stock.skus),
                on_hand: count(stock.on_hand),
                held: count(stock.held),
                sold: count(stock.sold),
                unsound: count(stock.unsound),
                alarms: count(stock.alarms),
            },
            books: BookFigures {
                transfers: count(books.transfers),
                sum: books.sum,
                unbalanced: count(books.unbalanced),
                confirmed: count(books.confirmed),
                unpaid: count(books.unpaid),
                forgotten: count(books.forgotten),
                in_flight: count(books.in_flight),
            },
        })
    })
    .await
}
