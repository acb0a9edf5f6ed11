//! The auditor's book of orders: what came before what, and whose money it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::stock::StockBook;
use super::{Checked, broken};
use crate::domain::EntityId;
use crate::domain::cart::{self, Cart};
use crate::domain::id::OrderId;
use crate::domain::order::{Draft, Event, Order};
use crate::domain::payment::RefundId;
use crate::domain::stock::HoldKey;
use crate::journal::{Recorded, stored};

#[derive(Default)]
struct Entry {
    sealed: Option<Arc<Draft>>,
    placed: Option<Arc<Draft>>,
    held: bool,
    authorised: bool,
    declined: bool,
    waits_for_shopper: bool,
    capture_asked: bool,
    captured: Option<i64>,
    capture_failed: bool,
    confirmed: bool,
    packed: bool,
    shipped: bool,
    delivered: bool,
    cancelled: bool,
    voided: bool,
    /// Each refund: how much, and whether it is done (`Some(true)`), failed, or open.
    refunds: BTreeMap<RefundId, (i64, Option<bool>)>,
}

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
        self.0.get(&order).map_or(0, |entry| {
            let news = [
                entry.placed.is_some(),
                entry.confirmed,
                entry.cancelled,
                entry.shipped,
                entry.delivered,
            ];
            let refunds = entry.refunds.values().filter(|(_, done)| *done == Some(true));
            news.into_iter().filter(|news| *news).count() + refunds.count()
        })
    }

    /// A cart's event: what a checkout sealed.
    pub fn enter_cart(&mut self, recorded: &Recorded) -> Checked {
        let event = stored::decode::<Cart>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
        if let cart::Event::CheckedOut { draft } = event {
            let order = draft.order();
            let entry = self.0.entry(order).or_default();
            if entry.sealed.replace(draft).is_some() {
                return broken("I4", format!("order {order} was checked out twice"));
            }
        }
        Ok(())
    }

    pub fn enter(&mut self, recorded: &Recorded) -> Checked {
        let event = stored::decode::<Order>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
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
        entry.take(&event).or_else(|what| {
            let invariant = if what.contains("refund") || what.contains("captur") {
                "I2"
            } else {
                "I9"
            };
            broken(invariant, format!("order {order} {what}"))
        })
    }

    /// What has to be committed elsewhere before this can be.
    pub fn check(&self, recorded: &Recorded, stock: &StockBook) -> Checked {
        let event = stored::decode::<Order>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
        let (Some(order), Event::CaptureAsked { .. }) = (order_of(&recorded.entity), event) else {
            return Ok(());
        };
        let Some(draft) = self.0.get(&order).and_then(|entry| entry.placed.as_ref()) else {
            return Ok(());
        };
        for (line, number) in draft.lines.iter().zip(0_u16..) {
            let key = HoldKey { order, line: number };
            if !stock.was_committed(&line.sku.stock(), key) {
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

impl Entry {
    fn refunded(&self, counts: impl Fn(Option<bool>) -> bool) -> i64 {
        let counted = self.refunds.values().filter(|(_, done)| counts(*done));
        counted.map(|(amount, _)| amount).sum()
    }

    fn take(&mut self, event: &Event) -> Result<(), &'static str> {
        let once = |flag: &mut bool, what: &'static str| {
            if std::mem::replace(flag, true) {
                Err(what)
            } else {
                Ok(())
            }
        };
        let must = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        match event {
            Event::Placed { draft, .. } => {
                must(
                    self.sealed.as_ref().is_some_and(|sealed| **sealed == **draft),
                    "is not what its cart sealed",
                )?;
                self.placed = Some(Arc::clone(draft));
                Ok(())
            }
            Event::Held { .. } => {
                must(!self.cancelled, "was held after it was cancelled")?;
                once(&mut self.held, "was held twice")
            }
            Event::Authorised { .. } => {
                self.waits_for_shopper = false;
                must(!self.declined, "was authorised after it was declined")?;
                once(&mut self.authorised, "was authorised twice")
            }
            Event::Declined { .. } => {
                self.waits_for_shopper = false;
                must(!self.authorised, "was declined after it was authorised")?;
                once(&mut self.declined, "was declined twice")
            }
            Event::ActionRequired { .. } => {
                self.waits_for_shopper = true;
                Ok(())
            }
            Event::ActionTaken { .. } => Ok(()),
            Event::CommitAsked { .. } => must(
                self.held && self.authorised,
                "commits its holds before it is held and authorised",
            ),
            Event::CaptureAsked { .. } => {
                must(
                    self.held && self.authorised,
                    "asks for money before it is held and authorised",
                )?;
                must(!self.cancelled, "asks for money after it was cancelled")?;
                once(&mut self.capture_asked, "asks for its capture twice")
            }
            Event::Captured { amount, .. } => {
                must(self.capture_asked, "was captured unasked")?;
                must(self.captured.is_none(), "was captured twice")?;
                let total = self.placed.as_ref().map(|draft| draft.totals.total.amount);
                must(
                    total == Some(amount.amount),
                    "was captured with another amount than it costs",
                )?;
                self.captured = Some(amount.amount);
                Ok(())
            }
            Event::CaptureFailed { .. } => once(&mut self.capture_failed, "failed its capture twice"),
            Event::Confirmed { .. } => {
                must(self.captured.is_some(), "was confirmed unpaid")?;
                must(!self.cancelled, "was confirmed after it was cancelled")?;
                once(&mut self.confirmed, "was confirmed twice")
            }
            Event::CancelWanted { .. } => Ok(()),
            Event::Cancelled { .. } => {
                must(!self.packed, "was cancelled after it was packed")?;
                once(&mut self.cancelled, "was cancelled twice")
            }
            Event::Voided { .. } => {
                must(self.captured.is_none(), "was voided after it was captured")?;
                must(self.cancelled, "was voided and not cancelled")?;
                once(&mut self.voided, "was voided twice")
            }
            Event::RefundAsked { refund, amount, .. } => {
                must(
                    self.refunds.insert(*refund, (amount.amount, None)).is_none(),
                    "asked for the same refund twice",
                )?;
                let left = self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false));
                must(left >= 0, "refunds more than was captured")
            }
            Event::Refunded { refund, amount, .. } => match self.refunds.get_mut(refund) {
                Some((asked, done @ None)) if *asked == amount.amount => {
                    *done = Some(true);
                    Ok(())
                }
                _ => Err("has a refund that was not asked like that"),
            },
            Event::RefundFailed { refund, .. } => match self.refunds.get_mut(refund) {
                Some((_, done @ None)) => {
                    *done = Some(false);
                    Ok(())
                }
                _ => Err("has a failed refund that was not asked"),
            },
            Event::Packed { .. } => {
                must(
                    self.confirmed && !self.cancelled,
                    "was packed unpaid or cancelled",
                )?;
                once(&mut self.packed, "was packed twice")
            }
            Event::Shipped { .. } => {
                must(self.packed, "was shipped unpacked")?;
                once(&mut self.shipped, "was shipped twice")
            }
            Event::Delivered { .. } => {
                must(self.shipped, "was delivered unshipped")?;
                once(&mut self.delivered, "was delivered twice")
            }
        }
    }

    fn settled(&self, over: bool) -> Result<(), &'static str> {
        let must = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        must(
            self.sealed.is_none() || self.placed.is_some(),
            "was checked out and never placed",
        )?;
        must(
            self.refunds.values().all(|(_, done)| done.is_some()),
            "waits for a refund for ever",
        )?;
        if self.cancelled {
            let net = self.captured.unwrap_or(0) - self.refunded(|done| done == Some(true));
            // What the provider refuses to give back stays, and the order says so.
            let refused = self.refunded(|done| done == Some(false));
            must((0..=refused).contains(&net), "is cancelled and paid for")?;
            must(
                self.captured.is_some() || self.voided || self.declined || self.capture_failed,
                "is cancelled and its reservation was never given back",
            )
        } else if self.confirmed {
            Ok(())
        } else if over {
            Err("never ended")
        } else {
            must(self.waits_for_shopper, "stands still and waits for nobody")?;
            must(self.captured.is_none(), "is paid and forgotten")
        }
    }
}
