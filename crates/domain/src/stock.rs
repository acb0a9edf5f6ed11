//! The stock of one SKU: the only authority on what can be sold.
//!
//! A hold is made for one line of one order, then committed, then sold and shipped, or released;
//! each step once, however often it is asked. Only the order ends a hold: when a hold's time is up
//! the stock says so and a worker asks the order.
//!
//! `on_hand = available + held + sold`, none of them ever below zero (invariant I3).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::OrderId;
use crate::planted::{self, Bug};
use crate::{Entity, Kind, Millis};

/// How long a hold that ended is remembered, so that a late repetition finds it. Longer than any
/// redelivery: commands older than this are refused by their deadline before they get here.
pub const MEMORY_MS: i64 = 48 * 3_600_000;
/// How long to wait before asking again about a hold whose time was up.
pub const LAPSE_RETRY_MS: i64 = 5 * 60_000;
/// Deadlines are rounded up to this, so that a busy SKU does not rewrite its timer at every hold.
const DEADLINE_GRAIN_MS: i64 = 30_000;

/// Which hold: one line of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldKey {
    /// The order.
    pub order: OrderId,
    /// Its line, from 0.
    pub line: u16,
}

/// A hold that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Units.
    pub quantity: u32,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Held until `lapses_at`; then the order is asked.
    Held {
        /// When the order is asked (again) whether it still wants the hold.
        lapses_at: Millis,
    },
    /// Money is about to be taken: does not lapse.
    Committed,
    /// Sold and not yet shipped.
    Sold,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The units went back, or were never held: a release that overtook its hold.
    Released,
    /// The units left the house.
    Shipped,
}

/// The stock of one SKU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    /// Units in the house.
    pub on_hand: u64,
    /// Units held or committed for orders.
    pub held: u64,
    /// Units sold and not yet shipped.
    pub sold: u64,
    #[serde(with = "pairs")]
    holds: BTreeMap<HoldKey, Hold>,
    #[serde(with = "pairs")]
    ended: BTreeMap<HoldKey, End>,
    ended_order: VecDeque<(Millis, HoldKey)>,
    lapses: BTreeSet<(Millis, HoldKey)>,
}

/// The figures of one SKU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Units in the house.
    pub on_hand: u64,
    /// Units held for orders.
    pub held: u64,
    /// Units sold and not yet shipped.
    pub sold: u64,
}

impl Levels {
    /// Units that can still be held.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.held).saturating_sub(self.sold)
    }
}

/// What may be asked of the stock of a SKU.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Hold units for a line of an order.
    Hold {
        /// Which hold.
        key: HoldKey,
        /// Units.
        quantity: u32,
        /// When the order is to be asked.
        lapses_at: Millis,
    },
    /// Money is about to be taken for this hold.
    Commit(HoldKey),
    /// The money is taken.
    Sell(HoldKey),
    /// The order does not want the units (any more); they go back.
    Release(HoldKey),
    /// The sold units leave the house.
    Ship(HoldKey),
    /// Units came or went: a delivery, a count, a loss.
    Adjust {
        /// By how many, not 0.
        delta: i64,
        /// Why, in words.
        reason: String,
    },
    /// A deadline has come.
    Wake,
}

/// What has happened to the stock of a SKU. Every event says the levels that follow, so that a
/// reader needs no history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// The levels after it.
    pub levels: Levels,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// Units are held.
    Held {
        /// Which hold.
        key: HoldKey,
        /// Units.
        quantity: u32,
        /// When the order is asked.
        lapses_at: Millis,
    },
    /// The hold does not lapse any more.
    Committed {
        /// Which hold.
        key: HoldKey,
    },
    /// The units are sold.
    Sold {
        /// Which hold.
        key: HoldKey,
    },
    /// The hold has ended and its units (0 if there was none) went back.
    Released {
        /// Which hold.
        key: HoldKey,
        /// Units that went back.
        quantity: u32,
    },
    /// The units left the house.
    Shipped {
        /// Which hold.
        key: HoldKey,
        /// Units.
        quantity: u32,
    },
    /// A hold's time is up; the order is to be asked.
    Lapsed {
        /// Which hold.
        key: HoldKey,
        /// When to ask again.
        again_at: Millis,
    },
    /// Units came or went.
    Adjusted {
        /// By how many.
        delta: i64,
        /// Why.
        reason: String,
    },
}

/// Why the stock says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Not enough units.
    #[error("only {available} left")]
    OutOfStock {
        /// Units that can be held.
        available: u64,
    },
    /// The hold has already ended.
    #[error("the hold has ended")]
    Ended,
    /// There is no such hold.
    #[error("there is no such hold")]
    UnknownHold,
    /// The hold is not as far as this step needs.
    #[error("the hold is {found}, not {needed}")]
    WrongStage {
        /// Where it is.
        found: String,
        /// Where it must be.
        needed: String,
    },
    /// A hold of no units.
    #[error("a hold needs at least one unit")]
    NothingToHold,
    /// The same hold with another quantity.
    #[error("the hold exists with {quantity} units")]
    OtherQuantity {
        /// The units it has.
        quantity: u32,
    },
    /// An adjustment by nothing.
    #[error("an adjustment needs a delta other than 0")]
    NothingToAdjust,
    /// An adjustment that would take units that are held or sold, or more than can be counted.
    #[error("{available} units are free; {delta} cannot be taken")]
    NotThatMany {
        /// Units neither held nor sold.
        available: u64,
        /// What was asked.
        delta: i64,
    },
}

/// More units of one SKU than any house has; keeps every sum far from overflow.
pub const ON_HAND_LIMIT: u64 = 1_000_000_000_000;

impl Stock {
    /// The figures.
    #[must_use]
    pub const fn levels(&self) -> Levels {
        Levels {
            on_hand: self.on_hand,
            held: self.held,
            sold: self.sold,
        }
    }

    /// The hold of a line, if it has not ended.
    #[must_use]
    pub fn hold(&self, key: HoldKey) -> Option<Hold> {
        self.holds.get(&key).copied()
    }

    /// How a hold ended, as long as that is remembered.
    #[must_use]
    pub fn end(&self, key: HoldKey) -> Option<End> {
        self.ended.get(&key).copied()
    }

    /// Every hold that has not ended.
    pub fn holds(&self) -> impl Iterator<Item = (HoldKey, Hold)> + '_ {
        self.holds.iter().map(|(key, hold)| (*key, *hold))
    }

    /// The hold that a step needs to find.
    fn running(&self, key: HoldKey) -> Result<Hold, Refusal> {
        match (self.holds.get(&key), self.ended.get(&key)) {
            (Some(hold), _) => Ok(*hold),
            (None, Some(_)) => Err(Refusal::Ended),
            (None, None) => Err(Refusal::UnknownHold),
        }
    }

    fn event(&self, at: Millis, change: Change) -> Event {
        let mut levels = self.levels();
        self.shift(&mut levels, &change);
        Event { at, change, levels }
    }

    /// How a change moves the levels: the one place that says so.
    fn shift(&self, levels: &mut Levels, change: &Change) {
        match change {
            Change::Held { quantity, .. } => levels.held += u64::from(*quantity),
            Change::Committed { .. } | Change::Lapsed { .. } => {}
            Change::Sold { key } => {
                let quantity = self.hold(*key).map_or(0, |hold| u64::from(hold.quantity));
                levels.held = levels.held.saturating_sub(quantity);
                levels.sold += quantity;
            }
            Change::Released { key, quantity } => {
                let quantity = u64::from(*quantity);
                match self.hold(*key).map(|hold| hold.stage) {
                    Some(Stage::Sold) => levels.sold = levels.sold.saturating_sub(quantity),
                    Some(_) => levels.held = levels.held.saturating_sub(quantity),
                    None => {}
                }
            }
            Change::Shipped { quantity, .. } => {
                let quantity = u64::from(*quantity);
                levels.sold = levels.sold.saturating_sub(quantity);
                levels.on_hand = levels.on_hand.saturating_sub(quantity);
            }
            Change::Adjusted { delta, .. } => {
                levels.on_hand = levels.on_hand.saturating_add_signed(*delta);
            }
        }
    }

    fn end_hold(&mut self, at: Millis, key: HoldKey, end: End) {
        if let Some(Hold {
            stage: Stage::Held { lapses_at },
            ..
        }) = self.holds.remove(&key)
        {
            self.lapses.remove(&(lapses_at, key));
        }
        if self.ended.insert(key, end).is_none() {
            self.ended_order.push_back((at, key));
        }
        while let Some(&(ended_at, old)) = self.ended_order.front() {
            if at.since(ended_at) <= MEMORY_MS {
                break;
            }
            self.ended_order.pop_front();
            self.ended.remove(&old);
        }
    }
}

impl Entity for Stock {
    const KIND: Kind = Kind::Stock;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;
    type View = Levels;

    fn view(&self) -> Levels {
        self.levels()
    }

    fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, Refusal> {
        let one = |change| Ok(vec![self.event(now, change)]);
        match command {
            Command::Hold { quantity: 0, .. } => Err(Refusal::NothingToHold),
            Command::Hold { key, .. } if self.ended.contains_key(key) => Err(Refusal::Ended),
            Command::Hold {
                key,
                quantity,
                lapses_at,
            } => match self.hold(*key) {
                Some(hold) if hold.quantity == *quantity => Ok(vec![]),
                Some(hold) => Err(Refusal::OtherQuantity {
                    quantity: hold.quantity,
                }),
                None => {
                    let available = self.levels().available();
                    let spare = u64::from(planted::is(Bug::OversoldByOne));
                    if u64::from(*quantity) > available + spare {
                        return Err(Refusal::OutOfStock { available });
                    }
                    one(Change::Held {
                        key: *key,
                        quantity: *quantity,
                        lapses_at: *lapses_at,
                    })
                }
            },
            Command::Commit(key) => match self.running(*key)?.stage {
                Stage::Held { .. } => one(Change::Committed { key: *key }),
                Stage::Committed | Stage::Sold => Ok(vec![]),
            },
            Command::Sell(key) => match self.running(*key)?.stage {
                Stage::Committed => one(Change::Sold { key: *key }),
                Stage::Sold => Ok(vec![]),
                Stage::Held { .. } => Err(wrong_stage("held", "committed")),
            },
            Command::Release(key) => match (self.hold(*key), self.end(*key)) {
                (Some(hold), _) => one(Change::Released {
                    key: *key,
                    quantity: hold.quantity,
                }),
                (None, Some(End::Released)) => Ok(vec![]),
                (None, Some(End::Shipped)) => Err(Refusal::Ended),
                (None, None) if planted::is(Bug::NoTombstone) => Ok(vec![]),
                // Nothing to release yet: the tombstone makes the hold that is still on its way fail.
                (None, None) => one(Change::Released {
                    key: *key,
                    quantity: 0,
                }),
            },
            Command::Ship(key) => match (self.hold(*key), self.end(*key)) {
                (
                    Some(Hold {
                        stage: Stage::Sold,
                        quantity,
                    }),
                    _,
                ) => one(Change::Shipped { key: *key, quantity }),
                (Some(hold), _) => Err(wrong_stage(hold.stage.as_str(), "sold")),
                (None, Some(End::Shipped)) => Ok(vec![]),
                (None, Some(End::Released)) => Err(Refusal::Ended),
                (None, None) => Err(Refusal::UnknownHold),
            },
            Command::Adjust { delta: 0, .. } => Err(Refusal::NothingToAdjust),
            Command::Adjust { delta, reason } => {
                let available = self.levels().available();
                let taken = if *delta < 0 { delta.unsigned_abs() } else { 0 };
                let given = if *delta > 0 { delta.unsigned_abs() } else { 0 };
                if taken > available || self.on_hand.saturating_add(given) > ON_HAND_LIMIT {
                    return Err(Refusal::NotThatMany {
                        available,
                        delta: *delta,
                    });
                }
                one(Change::Adjusted {
                    delta: *delta,
                    reason: reason.clone(),
                })
            }
            Command::Wake => Ok(self
                .lapses
                .iter()
                .take_while(|(lapses_at, _)| *lapses_at <= now)
                .take(1_000)
                .map(|(_, key)| {
                    self.event(
                        now,
                        Change::Lapsed {
                            key: *key,
                            again_at: Millis(now.0.saturating_add(LAPSE_RETRY_MS)),
                        },
                    )
                })
                .collect()),
        }
    }

    fn apply(&mut self, event: &Event) {
        let mut levels = self.levels();
        self.shift(&mut levels, &event.change);
        match &event.change {
            Change::Held {
                key,
                quantity,
                lapses_at,
            } => {
                self.lapses.insert((*lapses_at, *key));
                self.holds.insert(
                    *key,
                    Hold {
                        quantity: *quantity,
                        stage: Stage::Held {
                            lapses_at: *lapses_at,
                        },
                    },
                );
            }
            Change::Committed { key } => {
                if let Some(hold) = self.holds.get_mut(key) {
                    if let Stage::Held { lapses_at } = hold.stage
                        && !planted::is(Bug::HoldLapsesDuringCapture)
                    {
                        self.lapses.remove(&(lapses_at, *key));
                    }
                    hold.stage = Stage::Committed;
                }
            }
            Change::Sold { key } => {
                if let Some(hold) = self.holds.get_mut(key) {
                    hold.stage = Stage::Sold;
                }
            }
            Change::Released { key, .. } => self.end_hold(event.at, *key, End::Released),
            Change::Shipped { key, .. } => self.end_hold(event.at, *key, End::Shipped),
            Change::Lapsed { key, again_at } => {
                if let Some(Hold {
                    stage: Stage::Held { lapses_at },
                    ..
                }) = self.holds.get_mut(key)
                {
                    self.lapses.remove(&(*lapses_at, *key));
                    self.lapses.insert((*again_at, *key));
                    *lapses_at = *again_at;
                } else if planted::is(Bug::HoldLapsesDuringCapture) {
                    self.lapses.retain(|(_, other)| other != key);
                }
            }
            Change::Adjusted { .. } => {}
        }
        (self.on_hand, self.held, self.sold) = (levels.on_hand, levels.held, levels.sold);
    }

    fn deadline(&self) -> Option<Millis> {
        let (first, _) = self.lapses.first()?;
        let grains = first
            .0
            .saturating_add(DEADLINE_GRAIN_MS - 1)
            .div_euclid(DEADLINE_GRAIN_MS);
        Some(Millis(grains.saturating_mul(DEADLINE_GRAIN_MS)))
    }

    fn wake() -> Option<Command> {
        Some(Command::Wake)
    }
}

impl Stage {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Committed => "committed",
            Self::Sold => "sold",
        }
    }
}

fn wrong_stage(found: &str, needed: &str) -> Refusal {
    Refusal::WrongStage {
        found: found.to_owned(),
        needed: needed.to_owned(),
    }
}

/// Maps with structured keys, stored as lists of pairs because JSON objects have only text keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
