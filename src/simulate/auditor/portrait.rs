//! What an order must look like, drawn from what has happened to it, and what may be answered to whom.

use super::course::Entry;
use crate::domain::Money;
use crate::domain::order::{Command, Phase, Placed, Refusal, Status};
use crate::domain::payment::{self, Refund, RefundId, RefundStage};

/// How long a shopper has to pay, in milliseconds.
pub(super) const PAYMENT_DEADLINE: i64 = 900_000;

/// Whether something fits what happened, or what does not.
pub(super) type Fits = Result<(), &'static str>;

pub(super) fn must(holds: bool, what: &'static str) -> Fits {
    if holds { Ok(()) } else { Err(what) }
}

impl Entry {
    fn phase(&self) -> Phase {
        let course = [
            (self.cancelled, Phase::Cancelled),
            (self.delivered, Phase::Delivered),
            (self.shipped, Phase::Shipped),
            (self.packed, Phase::Packed),
            (self.confirmed, Phase::Confirmed),
            (self.capture_asked, Phase::Capturing),
            (self.commit_asked, Phase::Committing),
        ];
        let reached = course.into_iter().find(|(reached, _)| *reached);
        reached.map_or(Phase::Pending, |(_, phase)| phase)
    }

    fn payment(&self) -> payment::Status {
        let back = self.refunded(|done| done == Some(true));
        match self.captured {
            Some(captured) if back >= captured => payment::Status::Refunded,
            Some(_) if back > 0 => payment::Status::PartiallyRefunded,
            Some(_) => payment::Status::Captured,
            None if self.voided => payment::Status::Voided,
            None if self.declined || self.capture_failed => payment::Status::Declined,
            None if self.authorised => payment::Status::Authorised,
            None if self.waits_for_shopper => payment::Status::RequiresAction,
            None => payment::Status::Pending,
        }
    }

    /// What of the captured money can still be given back: less what is, or is under way.
    fn refundable(&self) -> i64 {
        self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false))
    }

    /// Whether an order looks as it must.
    pub(super) fn resembles(&self, order: &Placed) -> Fits {
        must(order.phase == self.phase(), "is in another phase than it came to")?;
        let paid = &order.payment;
        must(
            paid.status == self.payment(),
            "says something else of its payment than happened",
        )?;
        let captured = (self.captured.unwrap_or(0), self.captured_tax);
        must(
            (paid.captured.amount, paid.captured_tax.amount) == captured,
            "shows another amount than was captured",
        )?;
        must(
            paid.refundable() == self.refundable(),
            "would refund another amount than is left of its capture",
        )?;
        let unresolved = self.capture_asked && self.captured.is_none() && !self.capture_failed;
        must(
            paid.capturing == unresolved,
            "does not know whether a capture is under way",
        )?;
        must(
            order.held == self.held,
            "does not know whether its lines are held",
        )?;
        let waits = self.wanted_because.as_ref().filter(|_| !self.cancelled);
        must(
            order.cancel_wanted.as_ref() == waits,
            "does not know whether a cancellation waits, and why",
        )?;
        let told = order.history.iter();
        must(
            told.map(|entry| (entry.at, entry.status, entry.detail.as_deref()))
                .eq(self
                    .story
                    .iter()
                    .map(|(at, status, why)| (*at, *status, why.as_deref()))),
            "tells another story than it had",
        )?;
        must(order.version == self.events, "counts its events differently")?;
        must(
            Some(&order.draft) == self.placed.as_ref(),
            "shows other goods than were ordered",
        )?;
        self.details(order)
    }

    fn details(&self, order: &Placed) -> Fits {
        let left = order.shipments.iter();
        must(
            left.map(|box_| (box_.at, &box_.carrier, &box_.tracking_number))
                .eq(self.shipments.iter().map(|(at, by, number)| (*at, by, number))),
            "shows other shipments than left",
        )?;
        let paid = &order.payment;
        must(
            paid.decline_code == self.decline_code,
            "says another reason than its payment was declined for",
        )?;
        let currency = order.draft.totals.total.currency;
        must(
            [paid.captured.currency, paid.captured_tax.currency] == [currency; 2],
            "was captured in another currency than it costs",
        )?;
        let asked = self.refunds_asked.iter().map(|(id, amount, tax, why)| Refund {
            id: *id,
            amount: *amount,
            tax: *tax,
            reason: why.clone(),
            stage: match self.refunds.get(id).and_then(|(_, done)| *done) {
                None => RefundStage::Asked,
                Some(true) => RefundStage::Done,
                Some(false) => RefundStage::Failed,
            },
        });
        must(
            asked.eq(paid.refunds.iter().cloned()),
            "shows other refunds than were asked",
        )
    }

    /// Whether an order may stay so, now that nothing moves any more. `over`: every deadline has passed, too.
    pub(super) fn settled(&self, over: bool) -> Fits {
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

    /// Whether a command may be refused by an order that has come so far.
    pub(super) fn may_refuse(&self, command: &Command) -> bool {
        if self.placed.is_none() {
            return !matches!(command, Command::Place(_));
        }
        match command {
            Command::Pack => {
                !self.confirmed || self.cancelled || self.shipped || !self.packed && self.refundable() == 0
            }
            Command::Ship { .. } => !self.packed || self.delivered || self.shipped && !self.left_as(command),
            Command::Deliver => !self.shipped,
            Command::Cancel(_) => self.packed,
            Command::ConfirmPayment { .. } => !self.waits_for_shopper || self.cancelled,
            Command::Refund { amount, .. } => {
                let paid_in = self.placed.as_ref().map(|draft| draft.totals.total.currency);
                amount.amount > self.refundable() || amount.amount <= 0 || Some(amount.currency) != paid_in
            }
            _ => false,
        }
    }

    /// What the public is told that it is: the last of its story, but for one that was packed and is paid back whole.
    fn status(&self) -> Option<Status> {
        let paid_back = self.refunded(|done| done == Some(true));
        if self.packed && Some(paid_back) == self.captured {
            return Some(Status::Refunded);
        }
        self.story.last().map(|(_, status, _)| *status)
    }

    /// Whether a refusal says of the order what is so, and of the command what was asked.
    pub(super) fn is_told_right(&self, command: &Command, refusal: &Refusal) -> bool {
        let left = |amount: Money| amount.amount == self.refundable();
        match refusal {
            Refusal::WrongStatus { status, step } => {
                let asked = match command {
                    Command::Pack => "packed",
                    Command::Ship { .. } => "shipped",
                    Command::Deliver => "delivered",
                    Command::Cancel(_) => "cancelled",
                    _ => return false,
                };
                step == asked && self.status() == Some(*status)
            }
            Refusal::RefundTooLarge { refundable, asked } => {
                matches!(command, Command::Refund { amount, .. } if amount == asked) && left(*refundable)
            }
            Refusal::BadRefund { total } => {
                let paid = self.placed.as_ref().map(|draft| draft.totals.total);
                paid == Some(*total)
            }
            Refusal::FullyRefunded => self.refundable() == 0,
            _ => true,
        }
    }

    /// Whether what a command wants to send has left the house just so.
    fn left_as(&self, command: &Command) -> bool {
        let Command::Ship {
            carrier,
            tracking_number,
        } = command
        else {
            return false;
        };
        self.shipments
            .last()
            .is_some_and(|(_, by, number)| (by, number) == (carrier, tracking_number))
    }

    /// Whether a command may change nothing of an order that has come so far, because it is so already.
    pub(super) fn may_ignore(&self, command: &Command) -> bool {
        match command {
            Command::Place(_) => self.placed.is_some(),
            Command::Pack => self.packed,
            Command::Ship { .. } => self.left_as(command),
            Command::Deliver => self.delivered,
            Command::Cancel(_) => self.cancelled || self.cancel_wanted,
            Command::ConfirmPayment { .. } => false,
            Command::Refund { refund, .. } => self.refunds.contains_key(refund),
            _ => true,
        }
    }

    /// Whether a refund has its share of the tax that was still kept, rounded to the unit, half of one up: so
    /// all of it when all is given back. `left`: what may still be given back after it.
    pub(super) fn fair(&self, refund: RefundId, amount: i64, left: i64) -> Fits {
        let tax = self.refund_tax.get(&refund).copied().unwrap_or(0);
        let live = self.refunds.iter().filter(|(_, (_, done))| *done != Some(false));
        let all: i64 = live.filter_map(|(id, _)| self.refund_tax.get(id)).sum();
        let (kept, whole) = (self.captured_tax - (all - tax), amount + left);
        let share = (2 * kept * amount + whole) / (2 * whole).max(1);
        must(tax == share, "refunds another tax than its share")
    }
}
