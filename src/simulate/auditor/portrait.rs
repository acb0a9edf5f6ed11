//! What an order must look like, drawn from what has happened to it, and what may be answered to whom.

use super::order::Entry;
use crate::domain::order::{Command, Phase, Placed};
use crate::domain::payment::{self, RefundId};

/// How long a shopper has to pay, in milliseconds.
pub(super) const PAYMENT_DEADLINE: i64 = 900_000;

type Fits = Result<(), &'static str>;

fn must(holds: bool, what: &'static str) -> Fits {
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
        must(
            order.cancel_wanted.is_some() == (self.cancel_wanted && !self.cancelled),
            "does not know whether a cancellation waits",
        )?;
        let told = order.history.iter().map(|entry| (entry.at, entry.status));
        must(
            told.eq(self.story.iter().copied()),
            "tells another story than it had",
        )?;
        must(order.version == self.events, "counts its events differently")?;
        must(
            order.shipments.len() == usize::from(self.shipped),
            "shows another number of shipments than left",
        )
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
            Command::Ship { .. } => !self.packed || self.delivered,
            Command::Deliver => !self.shipped,
            Command::Cancel(_) => self.packed,
            Command::ConfirmPayment { .. } => !self.waits_for_shopper || self.cancelled,
            Command::Refund { amount, .. } => amount.amount > self.refundable() || amount.amount <= 0,
            _ => false,
        }
    }

    /// Whether a command may change nothing of an order that has come so far, because it is so already.
    pub(super) fn may_ignore(&self, command: &Command) -> bool {
        match command {
            Command::Place(_) => self.placed.is_some(),
            Command::Pack => self.packed,
            Command::Ship { .. } => self.shipped,
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
