//! What a node does with a message from another: decides it here, or says where to go.
//!
//! **Invariant:** a command is looked at only while its sender waits for it, and never after a later
//! message of the same question. So when the sender has its answer, or has given up, nothing that is
//! still under way is done any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::Region;
use super::route::{MESSAGE_LIMIT, Routes};
use crate::actors::Hosted;
use crate::cluster::placement::ShardAddress;
use crate::cluster::wire::{Envelope, Outcome, Returned};
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::planted::{self, Bug};
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{Kind, Shard};

/// How many questions of others are remembered at once.
const SEEN_LIMIT: usize = 100_000;

impl Region {
    /// Takes a message from another node's region, and answers it: always, whatever the bytes are. It is
    /// never passed on; who asked here by mistake is told where to ask.
    pub async fn receive(&self, message: &[u8]) -> Bytes {
        let Some(routes) = &self.routes else {
            let outcome = Outcome::Unavailable("this node works alone".to_owned());
            return Returned::new(outcome, Duration::ZERO).encode();
        };
        let outcome = match Envelope::decode(message) {
            Ok(envelope) => self.decide(routes, &envelope).await,
            Err(error) => Outcome::Unreadable(error.to_string()),
        };
        Returned::new(outcome, routes.clock.boot()).encode()
    }

    async fn decide(&self, routes: &Routes, envelope: &Envelope) -> Outcome {
        let shard = self.shard(&envelope.entity);
        if shard != envelope.shard {
            return Outcome::Unreadable(format!(
                "{} is in shard {shard} here and in {} there: the nodes count shards differently",
                envelope.entity, envelope.shard
            ));
        }
        let Some(epoch) = self.epoch(shard) else {
            return not_here(routes, shard);
        };
        let meant = epoch == envelope.epoch || planted::is(Bug::EpochOfTheMessageIgnored);
        let knows_the_time = envelope.deadline().is_some() || !envelope.is_command();
        if !meant || !knows_the_time {
            return Outcome::Elsewhere(Some(ShardAddress {
                node: routes.placement().me().clone(),
                epoch,
            }));
        }
        let mut patience = envelope.patience();
        if let Some(deadline) = envelope.deadline().filter(|_| envelope.is_command()) {
            let left = if planted::is(Bug::LateMessageDecided) {
                envelope.patience()
            } else {
                deadline.saturating_sub(routes.clock.boot())
            };
            if left.is_zero() {
                return Outcome::Outdated("the message came too late".to_owned());
            }
            match routes
                .seen
                .enter(envelope.trace, envelope.attempt, routes.clock.boot())
            {
                Entered::First => {}
                Entered::Outdated if planted::is(Bug::EarlierMessageDecided) => {}
                Entered::Outdated => {
                    return Outcome::Outdated("it came after a later message of its question".to_owned());
                }
                Entered::Full => return Outcome::Overloaded("another node".to_owned()),
            }
            patience = patience.min(left);
        }
        match envelope.entity.kind() {
            Kind::Cart => self.put::<Cart>(envelope, patience).await,
            Kind::Order => self.put::<Order>(envelope, patience).await,
            Kind::Product => self.put::<Product>(envelope, patience).await,
            Kind::Stock => self.put::<Stock>(envelope, patience).await,
            Kind::Unknown => Outcome::Unreadable(format!("{} names nobody", envelope.entity)),
        }
    }

    async fn put<E: Hosted>(&self, envelope: &Envelope, patience: Duration) -> Outcome {
        match envelope.ask::<E>(patience) {
            Ok(Some(ask)) => Outcome::of::<E>(self.directories.ask::<E>(&envelope.entity, ask).await),
            Ok(None) => Outcome::of::<E>(self.directories.read::<E>(&envelope.entity, patience).await),
            Err(error) => Outcome::Unreadable(error.to_string()),
        }
    }
}

/// Where else to ask.
fn not_here(routes: &Routes, shard: Shard) -> Outcome {
    let placement = routes.placement();
    match placement.known(shard) {
        Some(known) if known.address.node == *placement.me() => {
            Outcome::Unavailable("the shard is not open there yet".to_owned())
        }
        elsewhere => Outcome::Elsewhere(elsewhere.map(|known| known.address)),
    }
}

/// Which message of each question of others came last, for as long as an earlier one may still come.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    attempts: HashMap<Uuid, u32>,
    /// In the order in which they came, with the boot time.
    came: VecDeque<(Duration, Uuid, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    First,
    Outdated,
    Full,
}

impl Seen {
    fn enter(&self, question: Uuid, attempt: u32, now: Duration) -> Entered {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Newest { attempts, came } = &mut *newest;
        // An earlier message was sent earlier, and is dead so much later at the latest.
        while let Some((at, question, attempt)) = came.front().copied()
            && at + 2 * MESSAGE_LIMIT < now
        {
            came.pop_front();
            if attempts.get(&question) == Some(&attempt) {
                attempts.remove(&question);
            }
        }
        if attempts.get(&question).is_some_and(|newest| *newest >= attempt) {
            return Entered::Outdated;
        }
        if came.len() >= SEEN_LIMIT {
            return Entered::Full;
        }
        attempts.insert(question, attempt);
        came.push_back((now, question, attempt));
        Entered::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_message_of_a_question_is_looked_at_and_is_forgotten_when_it_may_be() {
        let seen = Seen::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(seen.enter(one, 2, Duration::ZERO), Entered::First);
        assert_eq!(seen.enter(one, 2, Duration::ZERO), Entered::Outdated);
        assert_eq!(seen.enter(one, 1, MESSAGE_LIMIT), Entered::Outdated);
        assert_eq!(seen.enter(one, 3, MESSAGE_LIMIT), Entered::First);
        assert_eq!(seen.enter(other, 1, MESSAGE_LIMIT * 5 / 2), Entered::First);
        assert_eq!(seen.enter(one, 2, MESSAGE_LIMIT * 5 / 2), Entered::Outdated);
        assert_eq!(seen.enter(other, 2, MESSAGE_LIMIT * 10), Entered::First);
        let newest = seen.0.lock().unwrap();
        assert_eq!((newest.attempts.len(), newest.came.len()), (1, 1));
    }
}
