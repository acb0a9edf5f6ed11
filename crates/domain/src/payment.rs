//! The payment of an order: its intent, what was captured, what was refunded.
//!
//! A sub-state of the order, not an entity: one authority, one commit, no hand-off. It knows amounts
//! and outcomes; the order decides when to ask.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Money;
use crate::id::OrderId;
use crate::money::allocate;
use crate::planted::{self, Bug};

/// How the shopper pays: which provider, and its token for the means of payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// The provider's name: `sandbox`.
    pub provider: String,
    /// The provider's token. Card data never reaches us.
    pub token: String,
}

/// The provider's key for this payment: every call carries it, so that a call made twice is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub Uuid);

impl IntentId {
    /// The one intent of an order.
    #[must_use]
    pub fn of(order: OrderId) -> Self {
        Self(Uuid::new_v5(&order.0, b"payment-intent"))
    }
}

impl std::fmt::Display for IntentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// One refund, keyed by the operation that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefundId(pub Uuid);

/// How far the payment has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The provider has not answered.
    #[default]
    Pending,
    /// The shopper has to confirm (3-D Secure).
    RequiresAction,
    /// The money is reserved.
    Authorised,
    /// The money is taken.
    Captured,
    /// The provider said no.
    Declined,
    /// The reservation is given back; nothing was taken.
    Voided,
    /// Everything taken was given back.
    Refunded,
    /// Some of what was taken was given back.
    PartiallyRefunded,
}

impl Status {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::Authorised => "authorised",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
            Self::PartiallyRefunded => "partially_refunded",
        }
    }
}

/// A refund that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// How much. Reserved from the moment it is asked, so that refunds at once cannot exceed the capture.
    pub amount: Money,
    /// The tax within it.
    pub tax: Money,
    /// Why.
    pub reason: String,
    /// How far it has come.
    pub stage: RefundStage,
}

/// How far a refund has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStage {
    /// Asked; the provider has not answered.
    Asked,
    /// Given back.
    Done,
    /// The provider said no for good; the amount can be refunded otherwise.
    Failed,
}

/// The payment of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// How far it has come.
    pub status: Status,
    /// What was taken: 0 or the order's total.
    pub captured: Money,
    /// The tax within what was taken.
    pub captured_tax: Money,
    /// A capture was asked for and the provider has not answered.
    pub capturing: bool,
    /// Why the provider said no.
    pub decline_code: Option<String>,
    /// The refunds, in the order in which they were asked.
    pub refunds: Vec<Refund>,
}

impl Payment {
    /// What was given back, minor units.
    #[must_use]
    pub fn refunded(&self) -> i64 {
        self.refund_sum(|stage| stage == RefundStage::Done)
    }

    /// What can still be given back, minor units: captured, less every refund that is done or under way.
    #[must_use]
    pub fn refundable(&self) -> i64 {
        let pending = !planted::is(Bug::RefundBeyondCapture);
        self.captured.amount
            - self.refund_sum(|stage| stage == RefundStage::Done || (stage == RefundStage::Asked && pending))
    }

    /// The tax within a refund of `amount`: its share of the tax captured, such that all shares add
    /// up to that tax when everything is refunded.
    #[must_use]
    pub fn refund_tax(&self, amount: i64) -> i64 {
        let live = |refund: &&Refund| refund.stage != RefundStage::Failed;
        let before: i64 = self
            .refunds
            .iter()
            .filter(live)
            .map(|refund| refund.tax.amount)
            .sum();
        let tax_left = self.captured_tax.amount - before;
        let left = self.refundable() - amount;
        allocate(tax_left, &[amount, left]).first().copied().unwrap_or(0)
    }

    /// The refund with this id.
    #[must_use]
    pub fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.id == id)
    }

    fn refund_sum(&self, counts: impl Fn(RefundStage) -> bool) -> i64 {
        self.refunds
            .iter()
            .filter(|refund| counts(refund.stage))
            .map(|refund| refund.amount.amount)
            .sum()
    }

    pub(crate) fn settle_refund(&mut self, id: RefundId, stage: RefundStage) {
        if let Some(refund) = self.refunds.iter_mut().find(|refund| refund.id == id) {
            refund.stage = stage;
        }
        let back = self.refunded();
        if back > 0 {
            self.status = if back >= self.captured.amount {
                Status::Refunded
            } else {
                Status::PartiallyRefunded
            };
        }
    }
}
