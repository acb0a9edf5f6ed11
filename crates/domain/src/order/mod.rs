//! The order: the checkout saga and everything after it.
//!
//! ```text
//! Pending -> (Held + Authorised) -> Committing -> Capturing -> Confirmed -> Packed -> Shipped -> Delivered
//!    |  refused, declined, expired, cancelled
//!    +-> Cancelled -> release, void or refund
//! ```
//!
//! Workers do what the events ask for and report back with the `Record…` commands. Each report may
//! come late, twice, or after the order has moved on; the order decides what it still means:
//!
//! - Money is asked for only when every line is held, the payment is authorised and the holds are
//!   committed.
//! - While a capture is unresolved a cancellation is only recorded; a capture that lands on a
//!   cancelled order is refunded.
//! - A refund reserves its amount before the provider is asked.

mod command;
mod decide;
mod event;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use command::{Authorisation, Canceller, Capture, Command, Refusal};
pub use event::{CancelReason, Event, Transition};

use crate::address::Address;
use crate::id::{CartId, CustomerId, OrderId, Sku};
use crate::payment::{Method, Payment};
use crate::quote::{ShippingMethod, Totals};
use crate::{Entity, Kind, Millis, Money};

/// How long a shopper has to pay.
pub const PAYMENT_DEADLINE_SECONDS: i64 = 15 * 60;
/// How long units are held before the stock asks the order about them.
pub const HOLD_SECONDS: i64 = 20 * 60;

/// Everything an order needs, sealed at checkout. Its amounts never change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Who orders.
    pub customer: CustomerId,
    /// The cart it was.
    pub cart: CartId,
    /// The number of the checkout within the cart; filled in by the cart.
    pub checkout: u64,
    /// When the cart was checked out; filled in by the cart.
    pub placed_at: Millis,
    /// Where mail goes.
    pub email: String,
    /// Where the goods go.
    pub shipping_address: Address,
    /// How they travel.
    pub shipping_method: ShippingMethod,
    /// What is bought.
    pub lines: Vec<Line>,
    /// What it costs.
    pub totals: Totals,
    /// How it is paid.
    pub payment: Method,
}

impl Draft {
    /// The id of the order this draft makes.
    #[must_use]
    pub fn order(&self) -> OrderId {
        OrderId::derive(self.cart, self.checkout)
    }
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// Its name at checkout.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
    /// The price of all.
    pub line_total: Money,
}

/// An order, or nothing yet under this id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Not placed.
    #[default]
    Unplaced,
    /// Placed.
    Placed(Box<Placed>),
}

/// An order that was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Counts the events.
    pub version: u64,
    /// What was ordered.
    pub draft: Arc<Draft>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether every line is held.
    pub held: bool,
    /// The payment.
    pub payment: Payment,
    /// A cancellation that waits for a capture to be resolved.
    pub cancel_wanted: Option<CancelReason>,
    /// The public story: what `order:{id}` streams, numbered from 1.
    pub history: Vec<Transition>,
    /// What has left the house.
    pub shipments: Vec<Shipment>,
}

/// What has left the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// When.
    pub at: Millis,
    /// Who carries it.
    pub carrier: String,
    /// Where to follow it.
    pub tracking_number: String,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Holding stock and authorising the payment.
    Pending,
    /// Held and authorised; the holds are being committed.
    Committing,
    /// The capture was asked for and is not resolved.
    Capturing,
    /// Paid.
    Confirmed,
    /// Packed.
    Packed,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Over, before it was packed.
    Cancelled,
}

/// What the outside calls the state of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Placed, not paid.
    Pending,
    /// Paid.
    Confirmed,
    /// Packed.
    Packed,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Over, before it was packed.
    Cancelled,
    /// Fully refunded, after it was packed.
    Refunded,
}

impl Status {
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

    /// What the outside calls an order in this phase with its payment in that state.
    #[must_use]
    pub const fn of(phase: Phase, payment: crate::payment::Status) -> Self {
        let refunded = matches!(payment, crate::payment::Status::Refunded);
        match phase {
            Phase::Pending | Phase::Committing | Phase::Capturing => Self::Pending,
            Phase::Confirmed => Self::Confirmed,
            Phase::Packed | Phase::Shipped | Phase::Delivered if refunded => Self::Refunded,
            Phase::Packed => Self::Packed,
            Phase::Shipped => Self::Shipped,
            Phase::Delivered => Self::Delivered,
            Phase::Cancelled => Self::Cancelled,
        }
    }

    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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
}

impl Placed {
    /// What the outside calls this state.
    #[must_use]
    pub const fn status(&self) -> Status {
        Status::of(self.phase, self.payment.status)
    }

    /// Whether the order is still before its capture, so that it can expire.
    #[must_use]
    pub const fn awaits_payment(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Committing)
    }

    /// Whether the order still wants the units it holds.
    #[must_use]
    pub const fn wants_holds(&self) -> bool {
        !matches!(self.phase, Phase::Cancelled)
    }

    /// Why the order was cancelled.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<&str> {
        let cancelled = |entry: &&Transition| entry.status == Status::Cancelled;
        self.history.iter().find(cancelled)?.detail.as_deref()
    }
}

impl Order {
    /// The order, if it was placed.
    #[must_use]
    pub fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Unplaced => None,
            Self::Placed(placed) => Some(placed),
        }
    }
}

impl Entity for Order {
    const KIND: Kind = Kind::Order;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;
    type View = Self;

    fn view(&self) -> Self {
        self.clone()
    }

    fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, Refusal> {
        match (self, command) {
            (Self::Unplaced, Command::Place(draft)) => Ok(vec![Event::Placed {
                at: now,
                draft: Arc::clone(draft),
            }]),
            (Self::Placed(_), Command::Place(_)) => Ok(vec![]),
            (Self::Unplaced, Command::Wake) => Ok(vec![]),
            (Self::Unplaced, _) => Err(Refusal::NotPlaced),
            (Self::Placed(placed), _) => placed.decide(command, now),
        }
    }

    fn apply(&mut self, event: &Event) {
        match (self, event) {
            (this @ Self::Unplaced, Event::Placed { at, draft }) => {
                *this = Self::Placed(Box::new(Placed::new(*at, Arc::clone(draft))));
            }
            (Self::Placed(placed), event) => placed.apply(event),
            // No other event can come first: `decide` refuses it.
            (Self::Unplaced, _) => {}
        }
    }

    fn deadline(&self) -> Option<Millis> {
        let placed = self.placed().filter(|placed| placed.awaits_payment())?;
        let first = placed.history.first()?;
        Some(first.at.plus_seconds(PAYMENT_DEADLINE_SECONDS))
    }

    fn wake() -> Option<Command> {
        Some(Command::Wake)
    }
}
