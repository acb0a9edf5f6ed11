//! The auditor's book of orders: what came before what, and whose money it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::course::Entry;
use super::news::News;
use super::portrait::PAYMENT_DEADLINE;
use super::stock::StockBook;
use super::{Checked, Violation, broken};
use crate::domain::cart;
use crate::domain::id::OrderId;
use crate::domain::order::{Draft, Event, Order};
use crate::domain::payment::RefundId;
use crate::domain::stock::HoldKey;
use crate::domain::{EntityId, Millis};
use crate::journal::{Recorded, stored};

#[derive(Default)]
pub(super) struct OrderBook(BTreeMap<OrderId, Entry>);

impl OrderBook {
    pub fn ids(&self) -> Vec<OrderId> {
        let placed = self.0.iter().filter(|(_, entry)| entry.placed.is_some());
        placed.map(|(id, _)| *id).collect()
    }

    fn has(&self, order: OrderId, what: impl Fn(&Entry) -> bool) -> bool {
        self.0.get(&order).is_some_and(what)
    }

    pub fn is_cancelled(&self, order: OrderId) -> bool {
        self.has(order, |entry| entry.cancelled)
    }

    pub fn is_confirmed(&self, order: OrderId) -> bool {
        self.has(order, |entry| entry.confirmed)
    }

    pub fn is_shipped(&self, order: OrderId) -> bool {
        self.has(order, |entry| entry.shipped)
    }

    /// How many units a line of a placed order has of this stock.
    pub fn ordered(&self, key: HoldKey, stock: &EntityId) -> Option<u32> {
        let draft = self.0.get(&key.order)?.placed.as_ref()?;
        let line = draft.lines.get(usize::from(key.line))?;
        (line.sku.stock() == *stock).then_some(line.quantity)
    }

    /// What was captured and what went back, minor units.
    pub fn taken(&self, order: OrderId) -> (i64, i64) {
        self.0.get(&order).map_or((0, 0), |entry| {
            (
                entry.captured.unwrap_or(0),
                entry.refunded(|done| done == Some(true)),
            )
        })
    }

    /// Each refund that is done (`true`) or failed.
    pub fn refunds(&self, order: OrderId) -> Vec<(RefundId, bool)> {
        let refunds = self.0.get(&order).into_iter().flat_map(|entry| &entry.refunds);
        refunds
            .filter_map(|(id, (_, done))| done.map(|done| (*id, done)))
            .collect()
    }

    /// One for each piece of news: received, confirmed, cancelled, shipped, delivered, each refund.
    pub fn mails_due(&self, order: OrderId) -> usize {
        self.0.get(&order).map_or(0, |entry| entry.news.len())
    }

    /// What is to be mailed about an order.
    pub fn news(&self, order: OrderId) -> Vec<News> {
        self.0
            .get(&order)
            .map(|entry| entry.news.clone())
            .unwrap_or_default()
    }

    /// What was ordered.
    pub fn draft(&self, order: OrderId) -> Option<Arc<Draft>> {
        self.0.get(&order)?.placed.clone()
    }

    /// What is owed to the tax office for an order, minor units.
    pub fn tax(&self, order: OrderId) -> i64 {
        self.0.get(&order).map_or(0, |entry| {
            let back = entry.refunds.iter().filter(|(_, (_, done))| *done == Some(true));
            let back = back.filter_map(|(id, _)| entry.refund_tax.get(id));
            entry.captured_tax - back.sum::<i64>()
        })
    }

    /// Whether the payment was said to be authorised, and declined.
    pub fn answers(&self, order: OrderId) -> (bool, bool) {
        let entry = self.0.get(&order);
        entry.map_or((false, false), |entry| (entry.authorised, entry.declined))
    }

    /// When an order wants to be woken.
    pub fn deadline(&self, order: &EntityId) -> Option<Millis> {
        let entry = self.0.get(&order_of(order)?)?;
        let waits = entry.placed.is_some() && !entry.capture_asked && !entry.cancelled;
        waits.then_some(Millis(entry.placed_at.0 + PAYMENT_DEADLINE))
    }

    /// When an order was placed.
    pub fn placed_at(&self, order: OrderId) -> Option<Millis> {
        let entry = self.0.get(&order)?;
        entry.placed.as_ref().map(|_| entry.placed_at)
    }

    /// An order as it was after these events.
    pub fn after(&self, order: &EntityId, events: &[Recorded]) -> Result<Entry, Violation> {
        let known = order_of(order).and_then(|order| self.0.get(&order));
        let mut entry = Entry {
            sealed: known.and_then(|entry| entry.sealed.clone()),
            ..Entry::default()
        };
        for recorded in events {
            let event = stored::decode::<Order>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
            entry
                .take(&event)
                .or_else(|what| broken("I9", format!("{order} {what}")))?;
        }
        Ok(entry)
    }

    /// A cart's event: what a checkout sealed.
    pub fn enter_cart(&mut self, event: &cart::Event) -> Checked {
        if let cart::Event::CheckedOut { draft } = event {
            let order = draft.order();
            let entry = self.0.entry(order).or_default();
            if entry.sealed.replace(Arc::clone(draft)).is_some() {
                return broken("I4", format!("order {order} was checked out twice"));
            }
        }
        Ok(())
    }

    /// Enters an event, and sees whether it may come now, and the order looks so.
    pub fn enter(&mut self, recorded: &Recorded, event: &Event, now: &Order) -> Checked {
        let Some(order) = order_of(&recorded.entity) else {
            return broken("I5", format!("{} is no order", recorded.entity));
        };
        let entry = self.0.entry(order).or_default();
        if entry.placed.is_none() != matches!(event, Event::Placed { .. }) {
            return broken(
                "I4",
                format!("order {order} was placed twice, or did something before"),
            );
        }
        if event.at() != recorded.recorded_at {
            return broken(
                "I5",
                format!("order {order} says another time than it was decided"),
            );
        }
        entry.take(event).or_else(|what| {
            let invariant = if what.contains("refund") || what.contains("captur") {
                "I2"
            } else {
                "I9"
            };
            broken(invariant, format!("order {order} {what}"))
        })?;
        match now {
            Order::Placed(placed) => entry
                .resembles(placed)
                .or_else(|what| broken("I5", format!("order {order} {what}"))),
            Order::Unplaced => broken("I5", format!("order {order} does not know that it was placed")),
        }
    }

    /// What has to be committed elsewhere before this can be.
    pub fn check(&self, recorded: &Recorded, stock: &StockBook) -> Checked {
        let event = stored::decode::<Order>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
        let Some(order) = order_of(&recorded.entity) else {
            return Ok(());
        };
        let taken = matches!(event, Event::CaptureAsked { .. });
        if !taken && !matches!(event, Event::Held { .. }) {
            return Ok(());
        }
        let Some(draft) = self.0.get(&order).and_then(|entry| entry.placed.as_ref()) else {
            return Ok(());
        };
        for (line, number) in draft.lines.iter().zip(0_u16..) {
            let key = HoldKey { order, line: number };
            if !stock.was_held(&line.sku.stock(), key) {
                return broken(
                    "I3",
                    format!("order {order} says that its line {number} is held, and it is not"),
                );
            }
            if taken && !stock.was_committed(&line.sku.stock(), key) {
                return broken(
                    "I9",
                    format!("order {order} asks for money before its line {number} is committed"),
                );
            }
        }
        Ok(())
    }

    /// Once nothing moves, every order is over, or waits for its shopper.
    pub fn settled(&self, over: bool) -> Checked {
        for (order, entry) in &self.0 {
            entry.settled(over).or_else(|what| {
                broken(
                    if what.contains("paid") { "I9" } else { "I7" },
                    format!("order {order} {what}"),
                )
            })?;
        }
        Ok(())
    }
}

fn order_of(entity: &EntityId) -> Option<OrderId> {
    entity.key().parse().ok()
}
