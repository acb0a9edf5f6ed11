//! What the relay hands to its consumers: as it was committed, one event of an entity at a time, and none
//! before the earlier ones of its entity are settled.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Auditor, Checked, broken};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{Position, Recorded, Sequence};
use crate::relay::Consumer;
use crate::relay::dead_letter::NewLetter;

/// Somebody who redrives a letter begins long before it may be taken again: the look for its event lies
/// between the two, and a node may stand still meanwhile.
const TAKEN_MS: i64 = 100_000;

/// Who hands out an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hand {
    /// A lane of this node, in this life of it.
    Lane(usize, u64),
    /// An operator who redrives letters: this redrive.
    Operator(u64),
}

/// What was handed out.
#[derive(Default)]
pub(super) struct DeliveryBook {
    /// What each consumer has settled of each entity.
    settled: BTreeMap<(&'static str, EntityId), Settled>,
    /// What lanes have handed out and not heard of yet: one of an entity at the most.
    at_work: BTreeMap<(Hand, &'static str, EntityId), Sequence>,
    /// What operators have handed out and not heard of yet: by whom, and since when by their node's clock.
    redriven: BTreeMap<(&'static str, Shard, Position), (Hand, Millis)>,
    /// How far each redrive has come.
    reached: BTreeMap<(Hand, Shard), Position>,
    redrives: u64,
}

/// What one consumer has settled of one entity.
#[derive(Default)]
struct Settled {
    /// So many of the first events are settled, or do not concern it.
    first: usize,
    /// And these, by sequence.
    others: BTreeSet<Sequence>,
}

impl DeliveryBook {
    /// None may be handed out before every earlier one of its entity is settled. `history`: all events of
    /// the entity.
    fn in_turn(&mut self, consumer: &dyn Consumer, event: &Recorded, history: &[Recorded]) -> Checked {
        let known = self
            .settled
            .entry((consumer.name(), event.entity.clone()))
            .or_default();
        for earlier in history.iter().skip(known.first) {
            if earlier.sequence >= event.sequence {
                break;
            }
            let concerns = consumer.wants(earlier.entity.kind()) && consumer.concerns(earlier);
            if concerns && !known.others.remove(&earlier.sequence) {
                return broken(
                    "I7",
                    format!(
                        "{} was given {}/{} before {} was settled",
                        consumer.name(),
                        event.entity,
                        event.sequence,
                        earlier.sequence
                    ),
                );
            }
            known.first += 1;
        }
        Ok(())
    }

    fn begin(&mut self, hand: Hand, consumer: &'static str, now: Millis, event: &Recorded) -> Checked {
        let (entity, sequence) = (&event.entity, event.sequence);
        if let Hand::Lane(..) = hand {
            let at_work = self.at_work.insert((hand, consumer, entity.clone()), sequence);
            return match at_work {
                Some(other) => broken(
                    "I7",
                    format!("{consumer} was given {entity}/{sequence} while it was at {other}"),
                ),
                None => Ok(()),
            };
        }
        let reached = self.reached.insert((hand, event.shard), event.position);
        if reached.is_some_and(|reached| reached > event.position) {
            return broken(
                "I7",
                format!("{consumer}: a redrive went back to {entity}/{sequence}"),
            );
        }
        match self.redriven.entry((consumer, event.shard, event.position)) {
            Entry::Vacant(free) => {
                free.insert((hand, now));
            }
            // By a clock that is wrong a letter may be free again.
            Entry::Occupied(taken) if now.since(taken.get().1) >= TAKEN_MS => {}
            Entry::Occupied(_) => {
                return broken(
                    "I7",
                    format!("{consumer}: two operators redrive {entity}/{sequence} at once"),
                );
            }
        }
        Ok(())
    }

    fn settle(&mut self, consumer: &'static str, entity: &EntityId, sequence: Sequence) {
        let known = self.settled.entry((consumer, entity.clone())).or_default();
        if usize::try_from(sequence.0).is_ok_and(|number| number > known.first) {
            known.others.insert(sequence);
        }
    }
}

impl Auditor {
    /// An operator begins to redrive letters.
    #[must_use]
    pub fn operator(&self) -> Hand {
        let mut deliveries = self.deliveries();
        deliveries.redrives += 1;
        Hand::Operator(deliveries.redrives)
    }

    /// A consumer is given an event. `now`: what the clock of its node shows.
    pub fn handed_out(&self, hand: Hand, consumer: &dyn Consumer, now: Millis, event: &Recorded) {
        let mut books = self.books();
        let checked = books.observe().and_then(|()| {
            let history = books.histories.get(&event.entity).map_or(&[][..], Vec::as_slice);
            let number = usize::try_from(event.sequence.0 - 1).ok();
            if number.and_then(|number| history.get(number)) != Some(event) {
                return broken(
                    "I7",
                    format!(
                        "{} was given {}/{}, and that is not what was committed",
                        consumer.name(),
                        event.entity,
                        event.sequence
                    ),
                );
            }
            let mut deliveries = self.deliveries();
            deliveries.in_turn(consumer, event, history)?;
            deliveries.begin(hand, consumer.name(), now, event)
        });
        drop(books);
        self.judge(checked);
    }

    /// A consumer has come to an end with an event, or was stopped. `done`: whether it says that it is done.
    pub fn given_back(&self, hand: Hand, consumer: &'static str, event: &Recorded, done: bool) {
        let mut deliveries = self.deliveries();
        let letter = (consumer, event.shard, event.position);
        deliveries.at_work.remove(&(hand, consumer, event.entity.clone()));
        if deliveries
            .redriven
            .get(&letter)
            .is_some_and(|(by, _)| *by == hand)
        {
            deliveries.redriven.remove(&letter);
        }
        if done {
            deliveries.settle(consumer, &event.entity, event.sequence);
        }
    }

    /// An event is among the dead letters.
    pub fn buried(&self, letter: &NewLetter) {
        self.deliveries()
            .settle(letter.consumer, &letter.entity, letter.sequence);
    }
}
