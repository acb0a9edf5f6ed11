//! The auditor's book of stocks: a table of holds a SKU, and a sum.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::order::OrderBook;
use super::{Checked, broken};
use crate::domain::id::OrderId;
use crate::domain::stock::{Change, Event, HoldKey, Stage, Stock};
use crate::domain::{Entity as _, EntityId, Millis};
use crate::journal::{Recorded, Sequence, stored};
use crate::simulate::catalogue::REASON;

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
    /// When the order is asked about it, while it is held and not committed.
    lapses_at: Millis,
}

/// How long units are held before the order is asked, and before it is asked again, in milliseconds.
const HOLD: i64 = 1_200_000;
const AGAIN: i64 = 300_000;
/// How much later than that a timer may be set, in milliseconds.
const GRAIN: i64 = 30_000;

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

pub(super) fn read(recorded: &Recorded) -> Result<Event, super::Violation> {
    stored::decode::<Stock>(recorded).or_else(|fault| broken("I5", fault.to_string()))
}

impl StockBook {
    /// Enters an event, and sees whether the sums still stand.
    pub fn enter(&mut self, recorded: &Recorded, event: &Event, now: &Stock) -> Checked {
        let stock = &recorded.entity;
        if event.at != recorded.recorded_at {
            return broken("I5", format!("{stock} says another time than it was decided"));
        }
        match &event.change {
            Change::Adjusted { reason, .. } if reason == REASON && recorded.sequence > Sequence(1) => {
                return broken(
                    "I3",
                    format!("{stock} was not new, and a catalogue gave it units"),
                );
            }
            Change::Adjusted { delta, .. } => {
                *self.on_hand.entry(stock.clone()).or_default() += i128::from(*delta);
            }
            Change::Held {
                key,
                quantity,
                lapses_at,
            } => {
                let entry = Entry {
                    units: u64::from(*quantity),
                    place: Where::Held,
                    was_committed: false,
                    lapses_at: *lapses_at,
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
                    lapses_at: Millis(0),
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
            Change::Lapsed { key, again_at } => match self.holds.get_mut(&(stock.clone(), *key)) {
                Some(entry)
                    if entry.place == Where::Held
                        && entry.lapses_at <= event.at
                        && again_at.0 == event.at.0 + AGAIN =>
                {
                    entry.lapses_at = *again_at;
                }
                _ => {
                    return broken(
                        "I3",
                        format!("{stock} asks {} about a hold whose time is not up", key.order),
                    );
                }
            },
        }
        let sum = |places: &[Where]| -> i128 {
            let of = self.of(stock);
            of.filter(|(_, entry)| places.contains(&entry.place))
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
        self.resembles(stock, &event.change, now)
    }

    /// Whether a stock looks as it must: the hold that has just changed, the levels, and when it wakes.
    fn resembles(&self, stock: &EntityId, change: &Change, now: &Stock) -> Checked {
        let key = match change {
            Change::Held { key, .. }
            | Change::Committed { key }
            | Change::Sold { key }
            | Change::Released { key, .. }
            | Change::Shipped { key, .. }
            | Change::Lapsed { key, .. } => Some(*key),
            Change::Adjusted { .. } => None,
        };
        let shown = key.and_then(|key| now.hold(key)).map(|hold| {
            let place = match hold.stage {
                Stage::Held { .. } => Where::Held,
                Stage::Committed => Where::Committed,
                Stage::Sold => Where::Sold,
            };
            (place, u64::from(hold.quantity))
        });
        let entry = key.and_then(|key| self.holds.get(&(stock.clone(), key)));
        let over = [Where::Released, Where::Shipped];
        let known = entry
            .filter(|entry| !over.contains(&entry.place))
            .map(|entry| (entry.place, entry.units));
        if shown != known {
            return broken(
                "I5",
                format!("{stock} shows a hold as {shown:?}, and it is {known:?}"),
            );
        }
        let (due, wakes) = (self.deadline(stock), now.deadline());
        if self.is_timer_right(stock, wakes) {
            Ok(())
        } else {
            broken(
                "I5",
                format!("{stock} wakes at {wakes:?}, and a hold is due at {due:?}"),
            )
        }
    }

    fn of(&self, stock: &EntityId) -> impl Iterator<Item = (&HoldKey, &Entry)> {
        let all = self.holds.range((stock.clone(), FIRST)..);
        all.take_while(move |((other, _), _)| other == stock)
            .map(|((_, key), entry)| (key, entry))
    }

    /// When the first order is to be asked about a hold; a timer may come a little later.
    pub fn deadline(&self, stock: &EntityId) -> Option<Millis> {
        let held = self.of(stock).filter(|(_, entry)| entry.place == Where::Held);
        held.map(|(_, entry)| entry.lapses_at).min()
    }

    /// Whether a timer at this time is one that a stock needs, or none if it needs none.
    pub fn is_timer_right(&self, stock: &EntityId, timer: Option<Millis>) -> bool {
        match (self.deadline(stock), timer) {
            (Some(due), Some(timer)) => (due.0..due.0 + GRAIN).contains(&timer.0),
            (due, timer) => due == timer,
        }
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
            Change::Held { key, lapses_at, .. }
                if orders.placed_at(key.order).map(|at| at.0 + HOLD) != Some(lapses_at.0) =>
            {
                return broken("I3", format!("{stock} holds for {} for another time", key.order));
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

    /// Whether the line's units were ever held for it.
    pub fn was_held(&self, stock: &EntityId, key: HoldKey) -> bool {
        self.holds
            .get(&(stock.clone(), key))
            .is_some_and(|entry| entry.units > 0)
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
