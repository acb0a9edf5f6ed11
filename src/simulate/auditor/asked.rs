//! What was asked, by operation: what an operation committed must be just that, and in time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, broken};
use crate::actors::Hosted;
use crate::cluster::Ask;
use crate::domain::cart::{self, Cart};
use crate::domain::id::OperationId;
use crate::domain::order::{self, CancelReason, Canceller, Draft, Order};
use crate::domain::product::{self, Product};
use crate::domain::stock::{self, Change, Stock};
use crate::domain::{Kind, Millis};
use crate::journal::{JournalFault, Recorded, stored};

enum Request {
    Cart(cart::Command),
    Order(order::Command),
    Product(product::Command),
    Stock(stock::Command),
}

#[derive(Default)]
pub(super) struct AskedBook {
    requests: BTreeMap<OperationId, (Request, Option<Millis>)>,
    /// Those that were asked under an idempotency key.
    keyed: BTreeSet<OperationId>,
}

impl AskedBook {
    /// Somebody is about to ask this.
    pub fn enter<E: Hosted>(&mut self, operation: OperationId, ask: &Ask<E::Command>) {
        if ask.remember.is_some() {
            self.keyed.insert(operation);
        }
        let command: &dyn Any = &ask.command;
        let request = match E::KIND {
            Kind::Cart => command.downcast_ref().cloned().map(Request::Cart),
            Kind::Order => command.downcast_ref().cloned().map(Request::Order),
            Kind::Product => command.downcast_ref().cloned().map(Request::Product),
            Kind::Stock => command.downcast_ref().cloned().map(Request::Stock),
            Kind::Unknown => None,
        };
        if let Some(request) = request {
            self.requests.insert(operation, (request, ask.not_after));
        }
    }

    /// Whether an operation was asked under an idempotency key.
    pub fn is_keyed(&self, operation: OperationId) -> bool {
        self.keyed.contains(&operation)
    }

    /// Whether an event is what its operation asked for. Of operations that nobody told of, nothing is known.
    pub fn check(&self, recorded: &Recorded) -> Checked {
        let asked = recorded
            .operation
            .and_then(|operation| self.requests.get(&operation));
        let Some((request, not_after)) = asked else {
            return Ok(());
        };
        if not_after.is_some_and(|limit| recorded.recorded_at > limit) {
            return broken(
                "I4",
                format!("{} did what was not to be done so late", recorded.entity),
            );
        }
        match fits(request, recorded) {
            Ok(true) => Ok(()),
            Ok(false) => broken(
                "I4",
                format!("{} did something else than it was asked", recorded.entity),
            ),
            Err(fault) => broken("I5", fault.to_string()),
        }
    }
}

fn fits(request: &Request, recorded: &Recorded) -> Result<bool, JournalFault> {
    Ok(match request {
        Request::Cart(asked) => fits_cart(asked, &stored::decode::<Cart>(recorded)?),
        Request::Order(asked) => fits_order(asked, &stored::decode::<Order>(recorded)?),
        Request::Product(asked) => fits_product(asked, &stored::decode::<Product>(recorded)?),
        Request::Stock(asked) => match (asked, &stored::decode::<Stock>(recorded)?.change) {
            (
                stock::Command::Adjust { delta, reason },
                Change::Adjusted {
                    delta: done,
                    reason: why,
                },
            ) => delta == done && reason == why,
            _ => false,
        },
    })
}

fn fits_cart(asked: &cart::Command, done: &cart::Event) -> bool {
    use cart::{Command, Event};
    match (asked, done) {
        (
            Command::SetLine {
                sku,
                quantity,
                quoted,
            },
            Event::LineSet {
                sku: what,
                quantity: many,
                quoted: price,
            },
        ) => (sku, quantity, quoted) == (what, many, price),
        (Command::Clear | Command::GiveUp { .. }, Event::Cleared) => true,
        (
            Command::Absorb { from, version, .. },
            Event::Absorbed {
                from: whose,
                version: at,
                ..
            },
        ) => (from, version) == (whose, at),
        (Command::CheckOut { draft, .. }, Event::CheckedOut { draft: sealed }) => {
            let filled_in = Draft {
                checkout: sealed.checkout,
                placed_at: sealed.placed_at,
                ..draft.as_ref().clone()
            };
            filled_in == **sealed
        }
        _ => false,
    }
}

fn fits_order(asked: &order::Command, done: &order::Event) -> bool {
    use order::{Command, Event};
    let by = |who: &Canceller, reason: &CancelReason| match (who, reason) {
        (Canceller::Shopper, CancelReason::ByShopper) => true,
        (Canceller::Seller { reason }, CancelReason::BySeller { reason: told }) => reason == told,
        _ => false,
    };
    match (asked, done) {
        (Command::Place(draft), Event::Placed { draft: placed, .. }) => draft == placed,
        (Command::ConfirmPayment { succeed }, Event::ActionTaken { succeed: took, .. }) => succeed == took,
        (Command::Cancel(who), Event::Cancelled { reason, .. } | Event::CancelWanted { reason, .. }) => {
            by(who, reason)
        }
        (Command::Cancel(who), Event::RefundAsked { reason, .. }) => {
            reason
                == match who {
                    Canceller::Shopper => "by_shopper",
                    Canceller::Seller { .. } => "by_seller",
                }
        }
        (Command::Pack, Event::Packed { .. }) | (Command::Deliver, Event::Delivered { .. }) => true,
        (
            Command::Ship {
                carrier,
                tracking_number,
            },
            Event::Shipped {
                carrier: by,
                tracking_number: number,
                ..
            },
        ) => (carrier, tracking_number) == (by, number),
        (
            Command::Refund {
                refund,
                amount,
                reason,
            },
            Event::RefundAsked {
                refund: which,
                amount: much,
                reason: why,
                ..
            },
        ) => (refund, amount, reason) == (which, much, why),
        _ => false,
    }
}

fn fits_product(asked: &product::Command, done: &product::Event) -> bool {
    use product::{Command, Event};
    match (asked, done) {
        (
            Command::Create { details, price } | Command::Import { details, price },
            Event::Created {
                details: made,
                price: at,
                ..
            },
        ) => (details, price) == (made, at),
        (
            Command::Edit {
                details,
                price,
                published,
                ..
            },
            Event::Edited {
                details: made,
                price: at,
                published: shown,
                ..
            },
        ) => (details, price, published) == (made, at, shown),
        (
            Command::Import { details, price },
            Event::Edited {
                details: made,
                price: at,
                ..
            },
        ) => {
            let mut said = details.as_ref().clone();
            said.slug.clone_from(&made.slug);
            said == **made && price == at
        }
        (Command::SetPrice { price, .. }, Event::Priced { price: at, .. }) => price == at,
        _ => false,
    }
}
