//! What may be asked of an order, and how it says no.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Draft, Status};
use crate::Money;
use crate::payment::RefundId;

/// What may be asked of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Place it. Anyone who has the draft can; it happens once.
    Place(Arc<Draft>),
    /// The stock worker tried to hold every line.
    RecordHolds {
        /// Whether every line is held; otherwise something was sold out.
        held: bool,
    },
    /// The provider answered the authorisation.
    RecordAuthorisation(Authorisation),
    /// The shopper went through the provider's confirm step.
    ConfirmPayment {
        /// Whether it went well.
        succeed: bool,
    },
    /// The stock worker tried to commit every hold.
    RecordCommit {
        /// Whether every hold is committed; otherwise one had ended.
        committed: bool,
    },
    /// The provider answered the capture.
    RecordCapture(Capture),
    /// The provider gave the reservation back.
    RecordVoid,
    /// Stop it.
    Cancel(Canceller),
    /// The goods are in the box.
    Pack,
    /// The box left the house.
    Ship {
        /// Who carries it.
        carrier: String,
        /// Where to follow it.
        tracking_number: String,
    },
    /// The box arrived.
    Deliver,
    /// Give money back.
    Refund {
        /// The refund's id: the same again is the same refund.
        refund: RefundId,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// The provider answered a refund.
    RecordRefund {
        /// Which.
        refund: RefundId,
        /// Whether the money went back.
        done: bool,
    },
    /// A deadline has come.
    Wake,
}

/// What the provider said to an authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authorisation {
    /// The money is reserved.
    Authorised,
    /// No.
    Declined {
        /// The provider's reason.
        code: String,
    },
    /// The shopper must confirm first.
    ActionRequired,
}

/// What the provider said to a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capture {
    /// The money is taken.
    Captured,
    /// No, for good.
    Failed {
        /// The provider's reason.
        code: String,
    },
}

/// Who cancels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canceller {
    /// The shopper.
    Shopper,
    /// The seller, who says why.
    Seller {
        /// Why.
        reason: String,
    },
}

/// Why an order says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is no such order.
    #[error("there is no such order")]
    NotPlaced,
    /// Not in this state.
    #[error("the order is {}, so it cannot be {step}", status.as_str())]
    WrongStatus {
        /// What it is.
        status: Status,
        /// What was asked, as a participle.
        step: String,
    },
    /// The payment does not wait for a confirmation.
    #[error("the payment does not wait for a confirmation")]
    NothingToConfirm,
    /// More than what can be given back.
    #[error("{refundable} can be refunded, not {asked}")]
    RefundTooLarge {
        /// What can be given back.
        refundable: Money,
        /// What was asked.
        asked: Money,
    },
    /// An amount that is not above zero, or in another currency.
    #[error("a refund is an amount above 0 in {currency}", currency = total.currency)]
    BadRefund {
        /// What the order cost.
        total: Money,
    },
    /// Everything was refunded; there is nothing to send.
    #[error("the order is fully refunded; cancel it instead")]
    FullyRefunded,
}
