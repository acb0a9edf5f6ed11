//! What has happened to an order, and what of it the public sees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Draft, Phase, Placed, Shipment, Status};
use crate::payment::{self, Payment, Refund, RefundId, RefundStage};
use crate::{Millis, Money};

/// What has happened to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was placed. Stock, payment and mail start at once.
    Placed {
        /// When.
        at: Millis,
        /// What was ordered.
        draft: Arc<Draft>,
    },
    /// Every line is held.
    Held {
        /// When.
        at: Millis,
    },
    /// The money is reserved.
    Authorised {
        /// When.
        at: Millis,
    },
    /// The provider said no.
    Declined {
        /// When.
        at: Millis,
        /// The provider's reason.
        code: String,
    },
    /// The shopper must confirm the payment.
    ActionRequired {
        /// When.
        at: Millis,
    },
    /// The shopper went through the confirm step; the provider is to be asked.
    ActionTaken {
        /// When.
        at: Millis,
        /// Whether it went well.
        succeed: bool,
    },
    /// The holds are to be committed.
    CommitAsked {
        /// When.
        at: Millis,
    },
    /// The holds are committed; the money is to be taken.
    CaptureAsked {
        /// When.
        at: Millis,
        /// How much.
        amount: Money,
    },
    /// The money is taken.
    Captured {
        /// When.
        at: Millis,
        /// How much.
        amount: Money,
        /// The tax within it.
        tax: Money,
    },
    /// The money was not taken, for good.
    CaptureFailed {
        /// When.
        at: Millis,
        /// The provider's reason.
        code: String,
    },
    /// It is paid and will be delivered.
    Confirmed {
        /// When.
        at: Millis,
    },
    /// It is to be cancelled as soon as the capture is resolved.
    CancelWanted {
        /// When.
        at: Millis,
        /// Why.
        reason: CancelReason,
    },
    /// It is over. Holds are to be released, a reservation given back.
    Cancelled {
        /// When.
        at: Millis,
        /// Why.
        reason: CancelReason,
    },
    /// The reservation is given back.
    Voided {
        /// When.
        at: Millis,
    },
    /// Money is to be given back.
    RefundAsked {
        /// When.
        at: Millis,
        /// Which refund.
        refund: RefundId,
        /// How much.
        amount: Money,
        /// The tax within it.
        tax: Money,
        /// Why.
        reason: String,
    },
    /// Money was given back.
    Refunded {
        /// When.
        at: Millis,
        /// Which refund.
        refund: RefundId,
        /// How much.
        amount: Money,
        /// The tax within it.
        tax: Money,
    },
    /// The provider refused to give money back.
    RefundFailed {
        /// When.
        at: Millis,
        /// Which refund.
        refund: RefundId,
    },
    /// The goods are in the box.
    Packed {
        /// When.
        at: Millis,
    },
    /// The box left the house.
    Shipped {
        /// When.
        at: Millis,
        /// Who carries it.
        carrier: String,
        /// Where to follow it.
        tracking_number: String,
    },
    /// The box arrived.
    Delivered {
        /// When.
        at: Millis,
    },
}

/// Why an order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A line could not be held.
    OutOfStock,
    /// The provider said no.
    PaymentDeclined,
    /// The shopper did not pay in time.
    PaymentExpired,
    /// The shopper changed their mind.
    ByShopper,
    /// The seller stopped it.
    BySeller {
        /// Why, in the seller's words.
        reason: String,
    },
}

impl CancelReason {
    /// The stable lower-case name the history shows.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentExpired => "payment_expired",
            Self::ByShopper => "by_shopper",
            Self::BySeller { .. } => "by_seller",
        }
    }
}

/// One entry of an order's public history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Millis,
    /// What the order is from here.
    pub status: Status,
    /// Why, or what is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Millis {
        match self {
            Self::Placed { at, .. }
            | Self::Held { at }
            | Self::Authorised { at }
            | Self::Declined { at, .. }
            | Self::ActionRequired { at }
            | Self::ActionTaken { at, .. }
            | Self::CommitAsked { at }
            | Self::CaptureAsked { at, .. }
            | Self::Captured { at, .. }
            | Self::CaptureFailed { at, .. }
            | Self::Confirmed { at }
            | Self::CancelWanted { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Voided { at }
            | Self::RefundAsked { at, .. }
            | Self::Refunded { at, .. }
            | Self::RefundFailed { at, .. }
            | Self::Packed { at }
            | Self::Shipped { at, .. }
            | Self::Delivered { at } => *at,
        }
    }
}

impl Placed {
    pub(super) fn new(at: Millis, draft: Arc<Draft>) -> Self {
        let currency = draft.totals.total.currency;
        let mut placed = Self {
            version: 1,
            phase: Phase::Pending,
            held: false,
            payment: Payment {
                captured: Money::new(0, currency),
                captured_tax: Money::new(0, currency),
                ..Payment::default()
            },
            cancel_wanted: None,
            history: vec![],
            shipments: vec![],
            draft,
        };
        placed.tell(at, Status::Pending, None);
        placed
    }

    fn tell(&mut self, at: Millis, status: Status, detail: Option<&str>) {
        self.history.push(Transition {
            at,
            status,
            detail: detail.map(str::to_owned),
        });
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.version += 1;
        let payment = &mut self.payment;
        match event {
            Event::Placed { .. } => {}
            Event::Held { .. } => self.held = true,
            Event::Authorised { .. } => payment.status = payment::Status::Authorised,
            Event::Declined { code, .. } => {
                payment.status = payment::Status::Declined;
                payment.decline_code = Some(code.clone());
            }
            Event::ActionRequired { at } => {
                payment.status = payment::Status::RequiresAction;
                self.tell(*at, Status::Pending, Some("requires_action"));
            }
            Event::ActionTaken { .. } => payment.status = payment::Status::Pending,
            Event::CommitAsked { .. } => self.phase = Phase::Committing,
            Event::CaptureAsked { .. } => {
                self.phase = Phase::Capturing;
                payment.capturing = true;
            }
            Event::Captured { amount, tax, .. } => {
                payment.capturing = false;
                payment.status = payment::Status::Captured;
                (payment.captured, payment.captured_tax) = (*amount, *tax);
            }
            Event::CaptureFailed { code, .. } => {
                payment.capturing = false;
                payment.status = payment::Status::Declined;
                payment.decline_code = Some(code.clone());
            }
            Event::Confirmed { at } => {
                self.phase = Phase::Confirmed;
                self.tell(*at, Status::Confirmed, None);
            }
            Event::CancelWanted { reason, .. } => self.cancel_wanted = Some(reason.clone()),
            Event::Cancelled { at, reason } => {
                self.phase = Phase::Cancelled;
                self.cancel_wanted = None;
                self.tell(*at, Status::Cancelled, Some(reason.as_str()));
            }
            Event::Voided { .. } => payment.status = payment::Status::Voided,
            Event::RefundAsked {
                refund,
                amount,
                tax,
                reason,
                ..
            } => payment.refunds.push(Refund {
                id: *refund,
                amount: *amount,
                tax: *tax,
                reason: reason.clone(),
                stage: RefundStage::Asked,
            }),
            Event::Refunded { at, refund, .. } => {
                payment.settle_refund(*refund, RefundStage::Done);
                if self.status() == Status::Refunded {
                    self.tell(*at, Status::Refunded, None);
                }
            }
            Event::RefundFailed { refund, .. } => payment.settle_refund(*refund, RefundStage::Failed),
            Event::Packed { at } => {
                self.phase = Phase::Packed;
                self.tell(*at, Status::Packed, None);
            }
            Event::Shipped {
                at,
                carrier,
                tracking_number,
            } => {
                self.phase = Phase::Shipped;
                self.shipments.push(Shipment {
                    at: *at,
                    carrier: carrier.clone(),
                    tracking_number: tracking_number.clone(),
                });
                let detail = format!("{carrier} {tracking_number}");
                self.tell(*at, Status::Shipped, Some(&detail));
            }
            Event::Delivered { at } => {
                self.phase = Phase::Delivered;
                self.tell(*at, Status::Delivered, None);
            }
        }
    }
}
