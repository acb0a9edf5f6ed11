//! Order events to rows of the order lists.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::row_shard;
use super::details::read_currency;
use super::fault::ViewFault;
use super::order::OrderSummary;
use super::rows::Part;
use super::search::printable;
use crate::domain::id::{CustomerId, OrderId};
use crate::domain::order::{Draft, Event, Order, Phase, Status};
use crate::domain::payment::RefundId;
use crate::domain::{Millis, Money, Shard, payment};
use crate::journal::{Position, Recorded, Sequence, stored};

/// How many line names a list shows.
const NAMES: usize = 3;

/// An order as its row holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) order_id: Uuid,
    pub(super) shard: i16,
    pub(super) number: String,
    pub(super) customer_id: Uuid,
    pub(super) email: String,
    pub(super) phase: String,
    pub(super) status: String,
    pub(super) payment: String,
    pub(super) placed_at_ms: i64,
    pub(super) changed_at_ms: i64,
    pub(super) total: i64,
    pub(super) currency: String,
    pub(super) item_count: i64,
    pub(super) names: Vec<String>,
    pub(super) cancel_reason: Option<String>,
    pub(super) captures: i32,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) refunds: Vec<Uuid>,
    pub(super) refunding: Vec<i64>,
    pub(super) money_position: i64,
    pub(super) sequence: i64,
}

impl Row {
    fn placed(order: OrderId, shard: Shard, at: Millis, draft: &Draft) -> Self {
        let (phase, payment) = (Phase::Pending, payment::Status::Pending);
        Self {
            order_id: order.0,
            shard: row_shard(shard),
            number: order.number(),
            customer_id: draft.customer.0,
            email: printable(&draft.email),
            phase: name(phase),
            status: Status::of(phase, payment).as_str().to_owned(),
            payment: payment.as_str().to_owned(),
            placed_at_ms: at.0,
            changed_at_ms: at.0,
            total: draft.totals.total.amount,
            currency: draft.totals.total.currency.to_string(),
            item_count: draft.lines.iter().map(|line| i64::from(line.quantity)).sum(),
            names: draft
                .lines
                .iter()
                .take(NAMES)
                .map(|line| printable(&line.name))
                .collect(),
            cancel_reason: None,
            captures: 0,
            captured: 0,
            refunded: 0,
            refunds: vec![],
            refunding: vec![],
            money_position: 0,
            sequence: 1,
        }
    }

    /// What the row shows after an event. Follows the order entity, as far as a list goes; a test
    /// holds the two side by side.
    fn apply(&mut self, event: &Event, position: Position, sequence: Sequence) {
        let (phase, payment) = match event {
            Event::Placed { .. } | Event::Held { .. } | Event::CancelWanted { .. } => (None, None),
            Event::Authorised { .. } => (None, Some(payment::Status::Authorised)),
            Event::Declined { .. } | Event::CaptureFailed { .. } => (None, Some(payment::Status::Declined)),
            Event::ActionRequired { .. } => (None, Some(payment::Status::RequiresAction)),
            Event::ActionTaken { .. } => (None, Some(payment::Status::Pending)),
            Event::CommitAsked { .. } => (Some(Phase::Committing), None),
            Event::CaptureAsked { .. } => (Some(Phase::Capturing), None),
            Event::Captured { amount, .. } => {
                self.captures += 1;
                self.captured += amount.amount;
                self.money_position = position.0;
                (None, Some(payment::Status::Captured))
            }
            Event::Confirmed { .. } => (Some(Phase::Confirmed), None),
            Event::Cancelled { reason, .. } => {
                self.cancel_reason = Some(reason.as_str().to_owned());
                (Some(Phase::Cancelled), None)
            }
            Event::Voided { .. } => (None, Some(payment::Status::Voided)),
            Event::RefundAsked { refund, amount, .. } => {
                self.refunds.push(refund.0);
                self.refunding.push(amount.amount);
                (None, None)
            }
            Event::Refunded { refund, amount, .. } => {
                self.settle(*refund);
                self.refunded += amount.amount;
                self.money_position = position.0;
                match self.refunded >= self.captured {
                    true => (None, Some(payment::Status::Refunded)),
                    false => (None, Some(payment::Status::PartiallyRefunded)),
                }
            }
            Event::RefundFailed { refund, .. } => {
                self.settle(*refund);
                (None, None)
            }
            Event::Packed { .. } => (Some(Phase::Packed), None),
            Event::Shipped { .. } => (Some(Phase::Shipped), None),
            Event::Delivered { .. } => (Some(Phase::Delivered), None),
        };
        if let Some(phase) = phase {
            self.phase = name(phase);
        }
        if let Some(payment) = payment {
            payment.as_str().clone_into(&mut self.payment);
        }
        if let (Some(phase), Some(payment)) = (parse(&self.phase), parse(&self.payment)) {
            Status::of(phase, payment).as_str().clone_into(&mut self.status);
        }
        self.changed_at_ms = event.at().0;
        self.sequence = sequence.0;
    }

    fn settle(&mut self, refund: RefundId) {
        if let Some(at) = self.refunds.iter().position(|known| *known == refund.0) {
            self.refunds.remove(at);
            self.refunding.remove(at);
        }
    }

    pub(super) fn summary(&self) -> Result<OrderSummary, ViewFault> {
        let order = OrderId(self.order_id);
        let unreadable = || ViewFault::Unreadable {
            place: format!("the row of order {order}"),
            source: format!("status {:?}, payment {:?}", self.status, self.payment).into(),
        };
        Ok(OrderSummary {
            order,
            number: self.number.clone(),
            customer: CustomerId(self.customer_id),
            email: self.email.clone(),
            status: parse(&self.status).ok_or_else(unreadable)?,
            payment: parse(&self.payment).ok_or_else(unreadable)?,
            placed_at: Millis(self.placed_at_ms),
            changed_at: Millis(self.changed_at_ms),
            total: Money::new(self.total, read_currency(&self.currency)),
            item_count: u64::try_from(self.item_count).unwrap_or(0),
            names: self.names.clone(),
            cancel_reason: self.cancel_reason.clone(),
        })
    }
}

/// The stored name of a phase or status: the one its serialisation gives it.
fn name(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn parse<T: DeserializeOwned>(name: &str) -> Option<T> {
    T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(
        name,
    ))
    .ok()
}

/// What a batch of events says of orders, in order.
#[derive(Debug, Default)]
pub(super) struct OrderChanges(BTreeMap<Uuid, Vec<(Position, Sequence, Event)>>);

/// Which order an event is about, and what it says of it.
pub(super) fn read_order(event: &Recorded) -> Result<(OrderId, Event), ViewFault> {
    let order = event
        .entity
        .key()
        .parse()
        .map_err(|error| ViewFault::unreadable(event, error))?;
    let said = stored::decode::<Order>(event).map_err(|error| ViewFault::unreadable(event, error))?;
    Ok((order, said))
}

impl OrderChanges {
    pub(super) fn read(events: &[&Recorded]) -> Result<Self, ViewFault> {
        let mut changes = Self::default();
        for event in events {
            let (order, said) = read_order(event)?;
            let events = changes.0.entry(order.0).or_default();
            events.push((event.position, event.sequence, said));
        }
        Ok(changes)
    }

    /// About how many rows that writes.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn is_new(events: &[(Position, Sequence, Event)]) -> bool {
        let first = events.first();
        first.is_some_and(|(_, _, event)| matches!(event, Event::Placed { .. }))
    }
}

/// Writes the rows as they are after these events, and how many orders are in each status.
pub(super) async fn write(
    parts: &[&Part<OrderChanges>],
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let mut rows = known(parts, connection).await?;
    let mut counts: BTreeMap<(i16, String), i64> = BTreeMap::new();
    for row in rows.values() {
        *counts.entry((row.shard, row.status.clone())).or_default() -= 1;
    }
    for part in parts {
        for (order, events) in &part.changes.0 {
            for (position, sequence, event) in events {
                if let Event::Placed { at, draft } = event {
                    rows.entry(*order)
                        .or_insert_with(|| Row::placed(OrderId(*order), part.shard, *at, draft));
                } else if let Some(row) = rows.get_mut(order) {
                    row.apply(event, *position, *sequence);
                }
            }
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    for row in rows.values() {
        *counts.entry((row.shard, row.status.clone())).or_default() += 1;
    }
    write_rows(connection, rows.values()).await?;
    write_counts(connection, counts).await
}

/// The rows of orders that were placed before these batches.
async fn known(
    parts: &[&Part<OrderChanges>],
    connection: &mut PgConnection,
) -> Result<BTreeMap<Uuid, Row>, sqlx::Error> {
    let orders = parts.iter().flat_map(|part| &part.changes.0);
    let old = orders.filter(|(_, events)| !OrderChanges::is_new(events));
    let old: Vec<Uuid> = old.map(|(order, _)| *order).collect();
    if old.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query_as!(
        Row,
        r#"select order_id, shard, number, customer_id, email, phase, status, payment, placed_at_ms,
                      changed_at_ms, total, currency, item_count, names, cancel_reason, captures,
                      captured, refunded, refunds, refunding, money_position, sequence
               from order_summary where order_id = any($1)"#,
        &old,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id, row)).collect())
}

async fn write_counts(
    connection: &mut PgConnection,
    counts: BTreeMap<(i16, String), i64>,
) -> Result<(), sqlx::Error> {
    let (mut shards, mut statuses, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for ((shard, status), change) in counts.into_iter().filter(|(_, change)| *change != 0) {
        shards.push(shard);
        statuses.push(status);
        changes.push(change);
    }
    if shards.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into order_count as known (shard, status, orders)
         select * from unnest($1::smallint[], $2::text[], $3::bigint[])
         on conflict (shard, status) do update set orders = known.orders + excluded.orders",
        &shards,
        &statuses,
        &changes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_rows(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &Row>,
) -> Result<(), sqlx::Error> {
    // Arrays of arrays do not unnest; a recordset does, and takes its types from the table.
    let rows: Vec<&Row> = rows.collect();
    let rows = serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "insert into order_summary select * from json_populate_recordset(null::order_summary, $1::json)
         on conflict (order_id) do update
             set phase = excluded.phase, status = excluded.status, payment = excluded.payment,
                 changed_at_ms = excluded.changed_at_ms, cancel_reason = excluded.cancel_reason,
                 captures = excluded.captures, captured = excluded.captured,
                 refunded = excluded.refunded, refunds = excluded.refunds,
                 refunding = excluded.refunding, money_position = excluded.money_position,
                 sequence = excluded.sequence",
        rows,
    )
    .execute(connection)
    .await?;
    Ok(())
}
