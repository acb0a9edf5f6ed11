//! What a placed order decides: each pair of command and phase is a line here.

use super::{Authorisation, CancelReason, Canceller, Capture, Command, Event, Phase, Placed, Refusal};
use crate::payment::{RefundId, RefundStage, Status};
use crate::planted::{self, Bug};
use crate::{Millis, Money};

type Decision = Result<Vec<Event>, Refusal>;

impl Placed {
    pub(super) fn decide(&self, command: &Command, at: Millis) -> Decision {
        match command {
            Command::Place(_) => Ok(vec![]),
            Command::RecordHolds { held } => Ok(self.holds_recorded(*held, at)),
            Command::RecordAuthorisation(answer) => Ok(self.authorisation_recorded(answer, at)),
            Command::ConfirmPayment { succeed } => self.confirm_payment(*succeed, at),
            Command::RecordCommit { committed } => Ok(self.commit_recorded(*committed, at)),
            Command::RecordCapture(answer) => Ok(self.capture_recorded(answer, at)),
            Command::RecordVoid => Ok(self.void_recorded(at)),
            Command::Cancel(who) => self.cancel(who, at),
            Command::Pack => self.pack(at),
            Command::Ship {
                carrier,
                tracking_number,
            } => self.ship(carrier, tracking_number, at),
            Command::Deliver => match self.phase {
                Phase::Shipped => Ok(vec![Event::Delivered { at }]),
                Phase::Delivered => Ok(vec![]),
                _ => Err(self.wrong_status("delivered")),
            },
            Command::Refund {
                refund,
                amount,
                reason,
            } => self.refund(*refund, *amount, reason, at),
            Command::RecordRefund { refund, done } => Ok(self.refund_recorded(*refund, *done, at)),
            Command::Wake => Ok(self.wake(at)),
        }
    }

    fn holds_recorded(&self, held: bool, at: Millis) -> Vec<Event> {
        match (self.phase, held) {
            (Phase::Pending, true) if !self.held => {
                let mut events = vec![Event::Held { at }];
                if self.payment.status == Status::Authorised {
                    events.push(Event::CommitAsked { at });
                }
                events
            }
            (Phase::Pending, false) if !self.held => self.cancelled(CancelReason::OutOfStock, at),
            // Said before, or the order has moved on; a cancelled order's holds are released by
            // the worker that made them, which sees the cancellation after the hold.
            _ => vec![],
        }
    }

    fn authorisation_recorded(&self, answer: &Authorisation, at: Millis) -> Vec<Event> {
        let open = matches!(self.payment.status, Status::Pending | Status::RequiresAction);
        match (self.phase, answer) {
            (Phase::Pending, Authorisation::Authorised) if open => {
                let mut events = vec![Event::Authorised { at }];
                if self.held {
                    events.push(Event::CommitAsked { at });
                    if planted::is(Bug::CaptureBeforeCommit) {
                        let amount = self.draft.totals.total;
                        events.push(Event::CaptureAsked { at, amount });
                    }
                }
                events
            }
            (Phase::Pending, Authorisation::Declined { code }) if open => {
                let mut events = vec![Event::Declined {
                    at,
                    code: code.clone(),
                }];
                events.extend(self.cancelled(CancelReason::PaymentDeclined, at));
                events
            }
            (Phase::Pending, Authorisation::ActionRequired) if self.payment.status == Status::Pending => {
                vec![Event::ActionRequired { at }]
            }
            // Too late to matter, but true: the reservation exists until the void that follows the
            // cancellation gives it back.
            (Phase::Cancelled, Authorisation::Authorised) if open => vec![Event::Authorised { at }],
            (Phase::Cancelled, Authorisation::Declined { code }) if open => {
                vec![Event::Declined {
                    at,
                    code: code.clone(),
                }]
            }
            _ => vec![],
        }
    }

    fn confirm_payment(&self, succeed: bool, at: Millis) -> Decision {
        match (self.phase, self.payment.status) {
            (Phase::Pending, Status::RequiresAction) => Ok(vec![Event::ActionTaken { at, succeed }]),
            _ => Err(Refusal::NothingToConfirm),
        }
    }

    fn commit_recorded(&self, committed: bool, at: Millis) -> Vec<Event> {
        match (self.phase, committed) {
            (Phase::Committing, true) => vec![Event::CaptureAsked {
                at,
                amount: self.draft.totals.total,
            }],
            (Phase::Committing, false) if planted::is(Bug::CommitRefusalUnheard) => vec![],
            (Phase::Committing, false) => self.cancelled(CancelReason::OutOfStock, at),
            _ => vec![],
        }
    }

    fn capture_recorded(&self, answer: &Capture, at: Millis) -> Vec<Event> {
        if self.phase != Phase::Capturing {
            return vec![];
        }
        match answer {
            Capture::Captured => {
                let amount = self.draft.totals.total;
                let tax = self.draft.totals.tax;
                let mut events = vec![Event::Captured { at, amount, tax }];
                match &self.cancel_wanted {
                    None => events.push(Event::Confirmed { at }),
                    Some(reason) => {
                        events.extend(self.cancelled(reason.clone(), at));
                        events.extend(self.refund_of_cancelled(amount, tax, reason, at));
                    }
                }
                events
            }
            Capture::Failed { code } => {
                let reason = self
                    .cancel_wanted
                    .clone()
                    .unwrap_or(CancelReason::PaymentDeclined);
                let mut events = vec![Event::CaptureFailed {
                    at,
                    code: code.clone(),
                }];
                events.extend(self.cancelled(reason, at));
                events
            }
        }
    }

    fn void_recorded(&self, at: Millis) -> Vec<Event> {
        match self.payment.status {
            Status::Pending | Status::RequiresAction | Status::Authorised
                if self.phase == Phase::Cancelled =>
            {
                vec![Event::Voided { at }]
            }
            _ => vec![],
        }
    }

    fn cancel(&self, who: &Canceller, at: Millis) -> Decision {
        let reason = match who {
            Canceller::Shopper => CancelReason::ByShopper,
            Canceller::Seller { reason } => CancelReason::BySeller {
                reason: reason.clone(),
            },
        };
        match self.phase {
            Phase::Pending | Phase::Committing => Ok(self.cancelled(reason, at)),
            Phase::Capturing if self.cancel_wanted.is_some() => Ok(vec![]),
            Phase::Capturing => Ok(vec![Event::CancelWanted { at, reason }]),
            Phase::Confirmed => {
                let mut events = self.cancelled(reason.clone(), at);
                let amount = self.payment.refundable();
                if amount > 0 && !planted::is(Bug::CancelledAndKept) {
                    let tax = self.payment.refund_tax(amount);
                    let total = self.draft.totals.total;
                    events.extend(self.refund_of_cancelled(
                        total.with_amount(amount),
                        total.with_amount(tax),
                        &reason,
                        at,
                    ));
                }
                Ok(events)
            }
            Phase::Cancelled => Ok(vec![]),
            Phase::Packed | Phase::Shipped | Phase::Delivered => Err(self.wrong_status("cancelled")),
        }
    }

    fn pack(&self, at: Millis) -> Decision {
        match self.phase {
            Phase::Confirmed if self.payment.refundable() == 0 && self.payment.captured.amount > 0 => {
                Err(Refusal::FullyRefunded)
            }
            Phase::Confirmed => Ok(vec![Event::Packed { at }]),
            Phase::Packed => Ok(vec![]),
            _ => Err(self.wrong_status("packed")),
        }
    }

    fn ship(&self, carrier: &str, tracking_number: &str, at: Millis) -> Decision {
        let same =
            |last: &super::Shipment| last.carrier == carrier && last.tracking_number == tracking_number;
        match self.phase {
            Phase::Packed => Ok(vec![Event::Shipped {
                at,
                carrier: carrier.to_owned(),
                tracking_number: tracking_number.to_owned(),
            }]),
            Phase::Shipped if self.shipments.last().is_some_and(same) => Ok(vec![]),
            _ => Err(self.wrong_status("shipped")),
        }
    }

    fn refund(&self, refund: RefundId, amount: Money, reason: &str, at: Millis) -> Decision {
        if self.payment.refund(refund).is_some() {
            return Ok(vec![]);
        }
        let total = self.draft.totals.total;
        if amount.amount <= 0 || amount.currency != total.currency {
            return Err(Refusal::BadRefund { total });
        }
        let refundable = self.payment.refundable();
        if amount.amount > refundable {
            return Err(Refusal::RefundTooLarge {
                refundable: total.with_amount(refundable),
                asked: amount,
            });
        }
        Ok(vec![Event::RefundAsked {
            at,
            refund,
            amount,
            tax: total.with_amount(self.payment.refund_tax(amount.amount)),
            reason: reason.to_owned(),
        }])
    }

    fn refund_recorded(&self, id: RefundId, done: bool, at: Millis) -> Vec<Event> {
        match self.payment.refund(id) {
            Some(refund)
                if refund.stage == RefundStage::Asked && (done || planted::is(Bug::RefusedRefundDone)) =>
            {
                vec![Event::Refunded {
                    at,
                    refund: id,
                    amount: refund.amount,
                    tax: refund.tax,
                }]
            }
            Some(refund) if refund.stage == RefundStage::Asked => {
                vec![Event::RefundFailed { at, refund: id }]
            }
            _ => vec![],
        }
    }

    fn wake(&self, at: Millis) -> Vec<Event> {
        let due = self
            .history
            .first()
            .is_some_and(|first| first.at.plus_seconds(super::PAYMENT_DEADLINE_SECONDS) <= at);
        if due && self.awaits_payment() {
            self.cancelled(CancelReason::PaymentExpired, at)
        } else {
            vec![]
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what happens to this order")]
    fn cancelled(&self, reason: CancelReason, at: Millis) -> Vec<Event> {
        vec![Event::Cancelled { at, reason }]
    }

    /// The refund that follows a cancellation after the capture. Its id is derived, so that it is
    /// asked for once.
    fn refund_of_cancelled(
        &self,
        amount: Money,
        tax: Money,
        reason: &CancelReason,
        at: Millis,
    ) -> Option<Event> {
        (amount.amount > 0).then(|| Event::RefundAsked {
            at,
            refund: RefundId(uuid::Uuid::new_v5(
                &self.draft.order().0,
                b"refund-of-cancellation",
            )),
            amount,
            tax,
            reason: reason.as_str().to_owned(),
        })
    }

    fn wrong_status(&self, step: &str) -> Refusal {
        Refusal::WrongStatus {
            status: self.status(),
            step: step.to_owned(),
        }
    }
}
