//! The auditor's book of stocks: a table of holds a SKU, and a sum.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::order::OrderBook;
use super::{Checked, broken};
use crate::domain::EntityId;
use crate::domain::id::OrderId;
use crate::domain::stock::{Change, Event, HoldKey, Stock};
use crate::journal::{Recorded, stored};

/// Where the units of one hold are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Held,
    Committed,
    Sold,
    Released,
    Shipped,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    units: u64,
    place: Where,
    was_committed: bool,
}

/// The lowest key there can be.
const FIRST: HoldKey = HoldKey {
    order: OrderId(Uuid::nil()),
    line: 0,
};

#[derive(Default)]
pub(super) struct StockBook {
    on_hand: BTreeMap<EntityId, i128>,
    holds: BTreeMap<(EntityId, HoldKey), Entry>,
}

fn read(recorded: &Recorded) -> Result<Event, super::Violation> {
    stored::decode::<Stock>(recorded).or_else(|fault| broken("I5", fault.to_string()))
}

impl StockBook {
    /// Enters an event, and sees whether the sums still stand.
    pub fn enter(&mut self, recorded: &Recorded) -> Checked {
        let event = read(recorded)?;
        let stock = &recorded.entity;
        match &event.change {
            Change::Adjusted { delta, .. } => {
                *self.on_hand.entry(stock.clone()).or_default() += i128::from(*delta);
            }
            Change::Held { key, quantity, .. } => {
                let entry = Entry {
                    units: u64::from(*quantity),
                    place: Where::Held,
                    was_committed: false,
                };
                if self.holds.insert((stock.clone(), *key), entry).is_some() {
                    return broken(
                        "I3",
                        format!("{stock} held twice for {} line {}", key.order, key.line),
                    );
                }
            }
            Change::Committed { key } => {
                self.go(stock, *key, &[Where::Held], Where::Committed)?;
                if let Some(entry) = self.holds.get_mut(&(stock.clone(), *key)) {
                    entry.was_committed = true;
                }
            }
            Change::Sold { key } => self.go(stock, *key, &[Where::Committed], Where::Sold)?,
            Change::Shipped { key, .. } => {
                self.go(stock, *key, &[Where::Sold], Where::Shipped)?;
                let units = self
                    .holds
                    .get(&(stock.clone(), *key))
                    .map_or(0, |entry| entry.units);
                *self.on_hand.entry(stock.clone()).or_default() -= i128::from(units);
            }
            Change::Released { key, quantity: 0 } => {
                let entry = Entry {
                    units: 0,
                    place: Where::Released,
                    was_committed: false,
                };
                if self.holds.insert((stock.clone(), *key), entry).is_some() {
                    return broken(
                        "I3",
                        format!("{stock} released nothing of a hold for {}", key.order),
                    );
                }
            }
            Change::Released { key, quantity } => {
                self.go(
                    stock,
                    *key,
                    &[Where::Held, Where::Committed, Where::Sold],
                    Where::Released,
                )?;
                let units = self
                    .holds
                    .get(&(stock.clone(), *key))
                    .map_or(0, |entry| entry.units);
                if units != u64::from(*quantity) {
                    return broken("I3", format!("{stock} released {quantity} of a hold of {units}"));
                }
            }
            Change::Lapsed { .. } => {}
        }
        let sum = |places: &[Where]| -> i128 {
            let of = self.holds.range((stock.clone(), FIRST)..);
            of.take_while(|((other, _), _)| other == stock)
                .filter(|(_, entry)| places.contains(&entry.place))
                .map(|(_, entry)| i128::from(entry.units))
                .sum()
        };
        let (held, sold) = (sum(&[Where::Held, Where::Committed]), sum(&[Where::Sold]));
        let on_hand = self.on_hand.get(stock).copied().unwrap_or(0);
        if held + sold > on_hand {
            return broken(
                "I3",
                format!("{stock} is oversold: {held} held and {sold} sold of {on_hand}"),
            );
        }
        let levels = event.levels;
        let said = [levels.on_hand, levels.held, levels.sold].map(i128::from);
        if said != [on_hand, held, sold] {
            return broken(
                "I3",
                format!(
                    "{stock} says {said:?}, and counting gives {:?}",
                    [on_hand, held, sold]
                ),
            );
        }
        Ok(())
    }

    fn go(&mut self, stock: &EntityId, key: HoldKey, from: &[Where], to: Where) -> Checked {
        match self.holds.get_mut(&(stock.clone(), key)) {
            Some(entry) if from.contains(&entry.place) => {
                entry.place = to;
                Ok(())
            }
            Some(entry) => broken(
                "I3",
                format!(
                    "a hold of {stock} for {} went from {:?} to {to:?}",
                    key.order, entry.place
                ),
            ),
            None => broken(
                "I3",
                format!("{stock} has no hold for {} that could be {to:?}", key.order),
            ),
        }
    }

    /// Only the order ends a hold, and only for its own lines.
    pub fn check(&self, recorded: &Recorded, orders: &OrderBook) -> Checked {
        let stock = &recorded.entity;
        match read(recorded)?.change {
            Change::Held { key, quantity, .. } if orders.ordered(key, stock) != Some(quantity) => {
                return broken(
                    "I3",
                    format!(
                        "{stock} held {quantity} for a line of {} that is not so",
                        key.order
                    ),
                );
            }
            Change::Released { key, .. } if !orders.is_cancelled(key.order) => {
                return broken(
                    "I3",
                    format!("{stock} released a hold of {}, which is not cancelled", key.order),
                );
            }
            Change::Sold { key } if !orders.is_confirmed(key.order) => {
                return broken(
                    "I9",
                    format!("{stock} sold to {}, which is not confirmed", key.order),
                );
            }
            Change::Shipped { key, .. } if !orders.is_shipped(key.order) => {
                return broken(
                    "I3",
                    format!("{stock} shipped for {}, which is not shipped", key.order),
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the line's units were committed to it at some time.
    pub fn was_committed(&self, stock: &EntityId, key: HoldKey) -> bool {
        self.holds
            .get(&(stock.clone(), key))
            .is_some_and(|entry| entry.was_committed)
    }

    /// Once nothing moves, every hold is where its order says.
    pub fn settled(&self, over: bool, orders: &OrderBook) -> Checked {
        for ((stock, key), entry) in &self.holds {
            let expected: &[Where] = if orders.is_cancelled(key.order) {
                &[Where::Released]
            } else if orders.is_shipped(key.order) {
                &[Where::Shipped]
            } else if orders.is_confirmed(key.order) {
                &[Where::Sold]
            } else if over {
                return broken(
                    "I3",
                    format!("{stock} holds for {}, whose deadline has passed", key.order),
                );
            } else {
                &[Where::Held, Where::Committed]
            };
            if !expected.contains(&entry.place) {
                return broken(
                    "I3",
                    format!(
                        "{stock}: the units of {} line {} are {:?}",
                        key.order, key.line, entry.place
                    ),
                );
            }
        }
        Ok(())
    }
}
