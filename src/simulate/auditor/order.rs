//! The auditor's book of orders: what came before what, and whose money it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::portrait::PAYMENT_DEADLINE;
use super::stock::StockBook;
use super::{Checked, Violation, broken};
use crate::domain::cart;
use crate::domain::id::OrderId;
use crate::domain::order::{CancelReason, Draft, Event, Order, Status};
use crate::domain::payment::RefundId;
use crate::domain::stock::HoldKey;
use crate::domain::{EntityId, Millis};
use crate::journal::{Recorded, stored};

#[derive(Default)]
pub(super) struct Entry {
    pub(super) sealed: Option<Arc<Draft>>,
    pub(super) placed: Option<Arc<Draft>>,
    placed_at: Millis,
    pub(super) events: u64,
    pub(super) held: bool,
    pub(super) authorised: bool,
    pub(super) declined: bool,
    pub(super) waits_for_shopper: bool,
    /// How its shopper went through the confirm step.
    confirmed_by_shopper: Option<bool>,
    pub(super) commit_asked: bool,
    pub(super) capture_asked: bool,
    pub(super) captured: Option<i64>,
    pub(super) captured_tax: i64,
    pub(super) capture_failed: bool,
    pub(super) confirmed: bool,
    pub(super) packed: bool,
    pub(super) shipped: bool,
    pub(super) delivered: bool,
    pub(super) cancel_wanted: bool,
    wanted_because: Option<CancelReason>,
    pub(super) cancelled: bool,
    pub(super) voided: bool,
    /// Each refund: how much, and whether it is done (`Some(true)`), failed, or open.
    pub(super) refunds: BTreeMap<RefundId, (i64, Option<bool>)>,
    pub(super) refund_tax: BTreeMap<RefundId, i64>,
    /// What the public was told, and when.
    pub(super) story: Vec<(Millis, Status)>,
    /// What was mailed about it: a part of the subject, and a part of the text.
    news: Vec<(&'static str, String)>,
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
        self.0.get(&order).map_or(0, |entry| entry.news.len())
    }

    /// What is to be mailed about an order, and to whom: a part of each subject, and of each text.
    pub fn news(&self, order: OrderId) -> (String, Vec<(&'static str, String)>) {
        let entry = self.0.get(&order);
        let to = entry.and_then(|entry| entry.placed.as_ref());
        (
            to.map(|draft| draft.email.clone()).unwrap_or_default(),
            entry.map(|entry| entry.news.clone()).unwrap_or_default(),
        )
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

impl Entry {
    pub(super) fn refunded(&self, counts: impl Fn(Option<bool>) -> bool) -> i64 {
        let counted = self.refunds.values().filter(|(_, done)| counts(*done));
        counted.map(|(amount, _)| amount).sum()
    }

    fn tell(&mut self, at: Millis, status: Status) {
        self.story.push((at, status));
    }

    fn take(&mut self, event: &Event) -> Result<(), &'static str> {
        self.events += 1;
        let once = |flag: &mut bool, what: &'static str| {
            if std::mem::replace(flag, true) {
                Err(what)
            } else {
                Ok(())
            }
        };
        let must = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        match event {
            Event::Placed { at, draft } => {
                must(
                    self.sealed.as_ref().is_some_and(|sealed| **sealed == **draft),
                    "is not what its cart sealed",
                )?;
                self.placed = Some(Arc::clone(draft));
                self.placed_at = *at;
                self.tell(*at, Status::Pending);
                self.news.push(("received your order", "thank you".to_owned()));
                Ok(())
            }
            Event::Held { .. } => {
                must(!self.cancelled, "was held after it was cancelled")?;
                once(&mut self.held, "was held twice")
            }
            Event::Authorised { .. } => {
                self.waits_for_shopper = false;
                must(
                    self.confirmed_by_shopper != Some(false),
                    "was authorised although its shopper did not confirm it",
                )?;
                must(!self.declined, "was authorised after it was declined")?;
                once(&mut self.authorised, "was authorised twice")
            }
            Event::Declined { code, .. } => {
                self.waits_for_shopper = false;
                let failed = code == "authentication_failed";
                must(
                    !failed || self.confirmed_by_shopper == Some(false),
                    "was declined because its shopper had not confirmed it, who had",
                )?;
                must(!self.authorised, "was declined after it was authorised")?;
                once(&mut self.declined, "was declined twice")
            }
            Event::ActionRequired { at } => {
                self.waits_for_shopper = true;
                self.tell(*at, Status::Pending);
                must(!self.authorised && !self.declined, "was answered before it asked")
            }
            Event::ActionTaken { succeed, .. } => {
                self.confirmed_by_shopper = Some(*succeed);
                must(self.waits_for_shopper, "was confirmed by its shopper unasked")?;
                self.waits_for_shopper = false;
                Ok(())
            }
            Event::CommitAsked { .. } => {
                must(
                    self.held && self.authorised,
                    "commits its holds before it is held and authorised",
                )?;
                once(&mut self.commit_asked, "commits its holds twice")
            }
            Event::CaptureAsked { .. } => {
                must(
                    self.held && self.authorised,
                    "asks for money before it is held and authorised",
                )?;
                must(!self.cancelled, "asks for money after it was cancelled")?;
                once(&mut self.capture_asked, "asks for its capture twice")
            }
            Event::Captured { amount, tax, .. } => {
                must(self.capture_asked, "was captured unasked")?;
                must(self.captured.is_none(), "was captured twice")?;
                let totals = self.placed.as_ref().map(|draft| draft.totals);
                must(
                    totals.is_some_and(|totals| totals.total == *amount && totals.tax == *tax),
                    "was captured with another amount than it costs",
                )?;
                self.captured = Some(amount.amount);
                self.captured_tax = tax.amount;
                Ok(())
            }
            Event::CaptureFailed { .. } => once(&mut self.capture_failed, "failed its capture twice"),
            Event::Confirmed { at } => {
                self.tell(*at, Status::Confirmed);
                let paid = self.placed.as_ref().map(|draft| draft.totals.total.to_string());
                self.news.push(("is confirmed", paid.unwrap_or_default()));
                must(
                    !self.cancel_wanted,
                    "was confirmed although it was to be cancelled",
                )?;
                must(self.captured.is_some(), "was confirmed unpaid")?;
                must(!self.cancelled, "was confirmed after it was cancelled")?;
                once(&mut self.confirmed, "was confirmed twice")
            }
            Event::CancelWanted { reason, .. } => {
                self.wanted_because = Some(reason.clone());
                must(
                    self.capture_asked && self.captured.is_none() && !self.cancelled,
                    "keeps a cancellation for later and has no reason to",
                )?;
                once(&mut self.cancel_wanted, "is to be cancelled twice")
            }
            Event::Cancelled { at, reason } => {
                self.tell(*at, Status::Cancelled);
                let (holds, why) = match reason {
                    CancelReason::OutOfStock => (!self.capture_asked, "is sold out"),
                    CancelReason::PaymentDeclined => {
                        (self.declined || self.capture_failed, "payment was declined")
                    }
                    CancelReason::PaymentExpired => (
                        !self.capture_asked && at.0 - self.placed_at.0 >= PAYMENT_DEADLINE,
                        "did not receive your payment in time",
                    ),
                    CancelReason::ByShopper => (true, "you asked us to"),
                    CancelReason::BySeller { .. } => (true, "the shop had to stop it"),
                };
                self.news.push(("is cancelled", why.to_owned()));
                let wanted = self.wanted_because.as_ref();
                must(
                    wanted.map_or(holds, |wanted| wanted == reason),
                    "was cancelled for a reason that it had not",
                )?;
                let resolved = self.captured.is_some() || self.capture_failed;
                must(
                    !self.capture_asked || resolved,
                    "was cancelled while its capture was unresolved",
                )?;
                must(!self.packed, "was cancelled after it was packed")?;
                once(&mut self.cancelled, "was cancelled twice")
            }
            Event::Voided { .. } => {
                must(self.captured.is_none(), "was voided after it was captured")?;
                must(self.cancelled, "was voided and not cancelled")?;
                once(&mut self.voided, "was voided twice")
            }
            Event::RefundAsked {
                refund, amount, tax, ..
            } => {
                self.refund_tax.insert(*refund, tax.amount);
                must(
                    self.refunds.insert(*refund, (amount.amount, None)).is_none(),
                    "asked for the same refund twice",
                )?;
                let left = self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false));
                must(left >= 0, "refunds more than was captured")?;
                self.fair(*refund, amount.amount, left)
            }
            Event::Refunded {
                at,
                refund,
                amount,
                tax,
            } => {
                let asked = self.refund_tax.get(refund).copied();
                match self.refunds.get_mut(refund) {
                    Some((asked_for, done @ None))
                        if *asked_for == amount.amount && asked == Some(tax.amount) =>
                    {
                        *done = Some(true);
                    }
                    _ => return Err("has a refund that was not asked like that"),
                }
                self.news.push(("A refund for your order", amount.to_string()));
                let back = self.refunded(|done| done == Some(true));
                if self.packed && Some(back) == self.captured {
                    self.tell(*at, Status::Refunded);
                }
                Ok(())
            }
            Event::RefundFailed { refund, .. } => match self.refunds.get_mut(refund) {
                Some((_, done @ None)) => {
                    *done = Some(false);
                    Ok(())
                }
                _ => Err("has a failed refund that was not asked"),
            },
            Event::Packed { at } => {
                self.tell(*at, Status::Packed);
                let left = self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false));
                must(left > 0, "was packed although all of it was refunded")?;
                must(
                    self.confirmed && !self.cancelled,
                    "was packed unpaid or cancelled",
                )?;
                once(&mut self.packed, "was packed twice")
            }
            Event::Shipped {
                at, tracking_number, ..
            } => {
                self.tell(*at, Status::Shipped);
                self.news.push(("is on its way", tracking_number.clone()));
                must(self.packed, "was shipped unpacked")?;
                once(&mut self.shipped, "was shipped twice")
            }
            Event::Delivered { at } => {
                self.tell(*at, Status::Delivered);
                self.news.push(("has arrived", "delivered".to_owned()));
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
