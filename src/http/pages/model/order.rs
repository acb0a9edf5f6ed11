//! An order as its shopper and its seller see it.

use askama::Template;

use super::{Money, Shell, When};
use crate::domain::{order, payment};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// `pending`.
    Pending,
    /// `confirmed`.
    Confirmed,
    /// `packed`.
    Packed,
    /// `shipped`.
    Shipped,
    /// `delivered`.
    Delivered,
    /// `cancelled`.
    Cancelled,
    /// `refunded`.
    Refunded,
}

impl OrderStatus {
    /// All of them, in the order of an order's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Confirmed,
        Self::Packed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The code of the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Packed => "packed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// From the code of the API.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// In words; the same words as in `web/src/order.ts`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "Being checked",
            Self::Confirmed => "Confirmed",
            Self::Packed => "Packed",
            Self::Shipped => "On its way",
            Self::Delivered => "Delivered",
            Self::Cancelled => "Cancelled",
            Self::Refunded => "Refunded",
        }
    }

    /// One sentence to the shopper; the same as in `web/src/order.ts`.
    pub fn headline(self) -> &'static str {
        match self {
            Self::Pending => "We are setting your items aside and checking the payment.",
            Self::Confirmed => "Your order is confirmed and paid. We will pack it next.",
            Self::Packed => "Your order is packed and waits for the carrier.",
            Self::Shipped => "Your order is on its way to you.",
            Self::Delivered => "Your order has arrived. Enjoy it.",
            Self::Cancelled => "This order was cancelled.",
            Self::Refunded => "This order was refunded in full.",
        }
    }

    /// The track shown for an order that stands here: five steps, or the short way to an end.
    pub fn track(self) -> Vec<Step> {
        let way: &[Self] = match self {
            Self::Cancelled => &[Self::Pending, Self::Cancelled],
            Self::Refunded => &[Self::Confirmed, Self::Packed, Self::Refunded],
            _ => &[
                Self::Pending,
                Self::Confirmed,
                Self::Packed,
                Self::Shipped,
                Self::Delivered,
            ],
        };
        let here = way.iter().position(|step| *step == self).unwrap_or_default();
        way.iter()
            .enumerate()
            .map(|(place, step)| Step {
                status: *step,
                state: match place.cmp(&here) {
                    std::cmp::Ordering::Less => StepState::Done,
                    std::cmp::Ordering::Equal => StepState::Now,
                    std::cmp::Ordering::Greater => StepState::Ahead,
                },
            })
            .collect()
    }
}

impl From<order::Status> for OrderStatus {
    fn from(status: order::Status) -> Self {
        match status {
            order::Status::Pending => Self::Pending,
            order::Status::Confirmed => Self::Confirmed,
            order::Status::Packed => Self::Packed,
            order::Status::Shipped => Self::Shipped,
            order::Status::Delivered => Self::Delivered,
            order::Status::Cancelled => Self::Cancelled,
            order::Status::Refunded => Self::Refunded,
        }
    }
}

/// One step of the track.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which.
    pub status: OrderStatus,
    /// Reached or not.
    pub state: StepState,
}

/// Whether a step is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Behind us.
    Done,
    /// Here.
    Now,
    /// To come.
    Ahead,
}

impl StepState {
    /// The suffix of the style class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Ahead => "ahead",
        }
    }
}

/// Where the payment of an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentStatus {
    /// `pending`.
    Pending,
    /// `requires_action`.
    RequiresAction,
    /// `authorised`.
    Authorised,
    /// `captured`.
    Captured,
    /// `declined`.
    Declined,
    /// `voided`.
    Voided,
    /// `refunded`.
    Refunded,
    /// `partially_refunded`.
    PartiallyRefunded,
}

impl PaymentStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::RequiresAction,
        Self::Authorised,
        Self::Captured,
        Self::Declined,
        Self::Voided,
        Self::Refunded,
        Self::PartiallyRefunded,
    ];

    /// The code of the API.
    pub fn code(self) -> &'static str {
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

    /// From the code of the API.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "Being checked",
            Self::RequiresAction => "Waits for your confirmation",
            Self::Authorised => "Approved, not charged yet",
            Self::Captured => "Paid",
            Self::Declined => "Declined, nothing charged",
            Self::Voided => "Released, nothing charged",
            Self::Refunded => "Refunded",
            Self::PartiallyRefunded => "Partly refunded",
        }
    }
}

impl From<payment::Status> for PaymentStatus {
    fn from(status: payment::Status) -> Self {
        match status {
            payment::Status::Pending => Self::Pending,
            payment::Status::RequiresAction => Self::RequiresAction,
            payment::Status::Authorised => Self::Authorised,
            payment::Status::Captured => Self::Captured,
            payment::Status::Declined => Self::Declined,
            payment::Status::Voided => Self::Voided,
            payment::Status::Refunded => Self::Refunded,
            payment::Status::PartiallyRefunded => Self::PartiallyRefunded,
        }
    }
}

/// One transition, as in `history` of the API.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// When.
    pub at: When,
    /// To what.
    pub status: OrderStatus,
    /// Why or how, in the code of the API (`out_of_stock`) or in words (carrier and number).
    pub detail: Option<String>,
}

impl HistoryEntry {
    /// The detail in words; the same words as in `web/src/order.ts`.
    pub fn detail_text(&self) -> &str {
        match self.detail.as_deref() {
            Some("out_of_stock") => "An item sold out before we could set it aside.",
            Some("payment_declined") => "The payment was declined.",
            Some("payment_expired") => "The payment was not confirmed in time.",
            Some("by_shopper") => "Cancelled at the shopper’s wish.",
            Some("by_seller") => "Cancelled by the shop.",
            Some("requires_action") => "The payment waits for your confirmation.",
            Some(words) => words,
            None => "",
        }
    }
}

/// One line of an order; its figures never change.
#[derive(Debug, Clone)]
pub struct OrderLine {
    /// Stock keeping unit.
    pub sku: String,
    /// Product id, for the picture.
    pub product_id: String,
    /// `/p/{slug}`; empty when the product is gone.
    pub slug: String,
    /// Name at the time of the order.
    pub name: String,
    /// Units.
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Money,
    /// Price of all.
    pub line_total: Money,
}

/// The figures below the lines.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Sum of the lines.
    pub subtotal: Money,
    /// Shipping.
    pub shipping: Money,
    /// Tax inside the total.
    pub tax: Money,
    /// What is paid.
    pub total: Money,
}

/// The payment in brief.
#[derive(Debug, Clone)]
pub struct PaymentSummary {
    /// Where it stands.
    pub status: PaymentStatus,
    /// `sandbox`.
    pub provider: String,
    /// Authorised or captured.
    pub amount: Money,
    /// Given back so far.
    pub refunded: Money,
}

/// A parcel.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// Who carries it.
    pub carrier: String,
    /// Their number for it.
    pub tracking_number: String,
    /// When it left.
    pub shipped_at: Option<When>,
    /// When it arrived.
    pub delivered_at: Option<When>,
}

/// A postal address.
#[derive(Debug, Clone, Default)]
pub struct Address {
    /// Who.
    pub name: String,
    /// Street and number, then what else there is.
    pub street: Vec<String>,
    /// `20095 Hamburg`.
    pub town: String,
    /// Country in words.
    pub country: String,
}

/// `/orders/{id}`
///
/// Posts to `/orders/{id}/cancel` (`idempotency_key`, `key`) and
/// `/orders/{id}/confirm-payment` (`outcome` = `succeed` or `fail`, `idempotency_key`, `key`).
#[derive(Debug, Clone, Template)]
#[template(path = "order.html")]
pub struct OrderPage {
    /// Around it.
    pub shell: Shell,
    /// Order id, for the live channel.
    pub id: String,
    /// The signed key of the link in a mail, when the page was opened with it; else empty.
    pub key: String,
    /// Number for people.
    pub number: String,
    /// When it was placed.
    pub placed_at: When,
    /// Where it stands.
    pub status: OrderStatus,
    /// Oldest first.
    pub history: Vec<HistoryEntry>,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub totals: Totals,
    /// How it is paid.
    pub payment: PaymentSummary,
    /// Parcels so far.
    pub shipments: Vec<Shipment>,
    /// Where it goes.
    pub address: Address,
    /// Where its mails go.
    pub email: String,
    /// Whether the shopper may still cancel.
    pub can_cancel: bool,
    /// Made for this visit.
    pub idempotency_key: String,
    /// Whether this caller may follow the live channel (not with a `key` alone).
    pub live: bool,
    /// Whether this is the first visit right after ordering.
    pub just_placed: bool,
}

impl OrderPage {
    /// Whether the 3-D-Secure step waits for the shopper.
    pub fn needs_confirmation(&self) -> bool {
        self.payment.status == PaymentStatus::RequiresAction && self.status == OrderStatus::Pending
    }

    /// The last detail in words, for the headline of a cancelled order.
    pub fn reason(&self) -> &str {
        self.history.last().map_or("", HistoryEntry::detail_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the browser uses the same words as the server.
    #[test]
    fn the_browser_says_the_same() {
        let script = include_str!("../../../../web/src/order.ts");
        for status in OrderStatus::ALL {
            let line = format!("{}: \"{}\"", status.code(), status.label());
            assert!(script.contains(&line), "web/src/order.ts lacks {line}");
            assert_eq!(OrderStatus::from_code(status.code()), Some(status));
        }
        for code in [
            "out_of_stock",
            "payment_declined",
            "payment_expired",
            "by_shopper",
            "by_seller",
            "requires_action",
        ] {
            let entry = HistoryEntry {
                at: When {
                    iso: String::new(),
                    text: String::new(),
                },
                status: OrderStatus::Cancelled,
                detail: Some(code.to_owned()),
            };
            let line = format!("{code}: \"{}\"", entry.detail_text());
            assert!(script.contains(&line), "web/src/order.ts lacks {line}");
        }
    }

    /// Proves that exactly one step of a track is the one where the order stands.
    #[test]
    fn a_track_leads_to_where_the_order_stands() {
        for status in OrderStatus::ALL {
            let track = status.track();
            let now: Vec<_> = track.iter().filter(|step| step.state == StepState::Now).collect();
            assert_eq!(now.len(), 1, "{status:?}");
            assert_eq!(now[0].status, status);
        }
    }
}
