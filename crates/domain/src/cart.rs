//! The cart: what a shopper means to buy.
//!
//! It is never refused for stock; it only remembers. Checking out seals its lines into one
//! `CheckedOut` event with everything the order needs, and that commit is the point of no return.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{CartId, OrderId, Sku};
use crate::order::Draft;
use crate::planted::{self, Bug};
use crate::{Entity, Kind, Millis, Money};

/// The most units of one SKU a cart takes.
pub const QUANTITY_LIMIT: u32 = 99;
/// The most different SKUs a cart takes.
pub const LINE_LIMIT: usize = 100;

/// A shopper's cart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cart {
    /// Counts the events of this cart; what a checkout asserts it saw.
    pub version: u64,
    /// What is in it, in the order in which it was first added.
    pub lines: Vec<Line>,
    /// How often this cart was checked out; the last checkout's number.
    pub checkouts: u64,
    /// The last checkout.
    pub last_checkout: Option<Checkout>,
    /// The last cart that was merged into this one, and its version then.
    absorbed: Vec<(CartId, u64)>,
}

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many, 1 to [`QUANTITY_LIMIT`].
    pub quantity: u32,
    /// The price the shopper saw when the line was last set.
    pub quoted: Money,
}

/// What is remembered of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Its number within the cart, from 1.
    pub number: u64,
    /// The order it makes.
    pub order: OrderId,
    /// When it was sealed: with this anyone who has the rest of the draft has all of it.
    #[serde(default)]
    pub placed_at: Millis,
    /// What the order costs.
    pub total: Money,
}

/// What may be asked of a cart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Have `quantity` of `sku`, whatever was there before; 0 removes the line.
    SetLine {
        /// What.
        sku: Sku,
        /// How many.
        quantity: u32,
        /// The price shown to the shopper.
        quoted: Money,
    },
    /// Remove all lines.
    Clear,
    /// Take over the lines of another cart, adding quantities up to the limit.
    Absorb {
        /// The other cart.
        from: CartId,
        /// Its version when it was read; the same version is absorbed once.
        version: u64,
        /// Its lines.
        lines: Vec<Line>,
    },
    /// Remove all lines if nothing has changed since `version`.
    GiveUp {
        /// The version that was absorbed elsewhere.
        version: u64,
    },
    /// Seal the lines into an order.
    CheckOut {
        /// The version the totals were computed from.
        version: u64,
        /// Everything the order needs; its `checkout` is filled in here.
        draft: Box<Draft>,
    },
}

/// What has happened to a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A line now has this quantity; 0 means it is gone.
    LineSet {
        /// What.
        sku: Sku,
        /// How many.
        quantity: u32,
        /// The price shown to the shopper.
        quoted: Money,
    },
    /// All lines are gone.
    Cleared,
    /// Another cart's lines came in; `lines` are all lines afterwards.
    Absorbed {
        /// The other cart.
        from: CartId,
        /// Its version.
        version: u64,
        /// All lines of this cart now.
        lines: Vec<Line>,
    },
    /// The lines became an order and the cart is empty again.
    CheckedOut {
        /// Everything the order needs.
        draft: Arc<Draft>,
    },
}

/// Why a cart says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// More than [`QUANTITY_LIMIT`] of one SKU.
    #[error("a cart takes at most {QUANTITY_LIMIT} of one product")]
    QuantityTooLarge,
    /// More than [`LINE_LIMIT`] SKUs.
    #[error("a cart takes at most {LINE_LIMIT} different products")]
    TooManyLines,
    /// There is nothing to check out.
    #[error("the cart is empty")]
    Empty,
    /// The cart is not what the caller saw.
    #[error("the cart has changed: it is at version {version}")]
    Changed {
        /// The version it is at.
        version: u64,
    },
}

impl Cart {
    /// The line of a SKU.
    #[must_use]
    pub fn line(&self, sku: &Sku) -> Option<&Line> {
        self.lines.iter().find(|line| line.sku == *sku)
    }

    fn merged(&self, others: &[Line]) -> Vec<Line> {
        let mut lines = self.lines.clone();
        for other in others {
            if let Some(line) = lines.iter_mut().find(|line| line.sku == other.sku) {
                line.quantity = line.quantity.saturating_add(other.quantity).min(QUANTITY_LIMIT);
            } else if lines.len() < LINE_LIMIT {
                lines.push(Line {
                    quantity: other.quantity.min(QUANTITY_LIMIT),
                    ..other.clone()
                });
            }
        }
        lines
    }
}

impl Entity for Cart {
    const KIND: Kind = Kind::Cart;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;
    type View = Self;

    fn view(&self) -> Self {
        self.clone()
    }

    fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::SetLine { quantity, .. } if *quantity > QUANTITY_LIMIT => Err(Refusal::QuantityTooLarge),
            Command::SetLine {
                sku,
                quantity,
                quoted,
            } => match self.line(sku) {
                None if *quantity == 0 => Ok(vec![]),
                None if self.lines.len() >= LINE_LIMIT => Err(Refusal::TooManyLines),
                Some(line) if line.quantity == *quantity && line.quoted == *quoted => Ok(vec![]),
                _ => Ok(vec![Event::LineSet {
                    sku: sku.clone(),
                    quantity: *quantity,
                    quoted: *quoted,
                }]),
            },
            Command::Clear if self.lines.is_empty() => Ok(vec![]),
            Command::Clear => Ok(vec![Event::Cleared]),
            Command::Absorb { from, version, .. }
                if self.absorbed.contains(&(*from, *version)) && !planted::is(Bug::AbsorbedTwice) =>
            {
                Ok(vec![])
            }
            Command::Absorb { lines, .. } if lines.is_empty() => Ok(vec![]),
            Command::Absorb { from, version, lines } => Ok(vec![Event::Absorbed {
                from: *from,
                version: *version,
                lines: self.merged(lines),
            }]),
            Command::GiveUp { version } if *version == self.version && !self.lines.is_empty() => {
                Ok(vec![Event::Cleared])
            }
            Command::GiveUp { .. } => Ok(vec![]),
            Command::CheckOut { .. } if self.lines.is_empty() => Err(Refusal::Empty),
            Command::CheckOut { version, .. } if *version != self.version => Err(Refusal::Changed {
                version: self.version,
            }),
            Command::CheckOut { draft, .. } => {
                let mut draft = draft.as_ref().clone();
                draft.checkout = self.checkouts + 1;
                draft.placed_at = now;
                Ok(vec![Event::CheckedOut {
                    draft: Arc::new(draft),
                }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        self.version += 1;
        match event {
            Event::LineSet { sku, quantity: 0, .. } => self.lines.retain(|line| line.sku != *sku),
            Event::LineSet {
                sku,
                quantity,
                quoted,
            } => match self.lines.iter_mut().find(|line| line.sku == *sku) {
                Some(line) => (line.quantity, line.quoted) = (*quantity, *quoted),
                None => self.lines.push(Line {
                    sku: sku.clone(),
                    quantity: *quantity,
                    quoted: *quoted,
                }),
            },
            Event::Cleared => self.lines.clear(),
            Event::Absorbed { from, version, lines } => {
                self.lines.clone_from(lines);
                // Sixteen merges are more than any retry of one sign-in can need.
                if self.absorbed.len() == 16 {
                    self.absorbed.remove(0);
                }
                self.absorbed.push((*from, *version));
            }
            Event::CheckedOut { draft } => {
                self.lines.clear();
                self.checkouts = draft.checkout;
                self.last_checkout = Some(Checkout {
                    number: draft.checkout,
                    order: draft.order(),
                    placed_at: draft.placed_at,
                    total: draft.totals.total,
                });
            }
        }
    }
}
