//! What carries messages between nodes on bad days: it loses, doubles, delays and so reorders them, and
//! it can be cut between any two nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::auditor::{Auditor, Violation, message::Arrival};
use super::trace::Trace;
use super::ways::{Ways, sends};
use crate::clock::Clock;
use crate::cluster::wire::{Envelope, Returned};
use crate::cluster::{LinkFault, RegionLink};

/// The longest a message is under way on a good day, in microseconds.
const PACE: u64 = 1_500;
/// And on a bad one.
const BAD_PACE: u64 = 60_000;
/// The longest a message is late, in milliseconds; every other one is late by less than its sender waits
/// for an answer to one of its later messages.
const LATE: u64 = 30_000;
const A_LITTLE_LATE: u64 = 1_200;
/// After how long a sender that hears nothing gives up by itself.
const GIVEN_UP: Duration = Duration::from_millis(400);

/// The cables between all nodes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Cables(Arc<Mutex<Troubles>>);

#[derive(Debug, Default)]
struct Troubles {
    /// Until when two nodes, the lower first, cannot reach each other.
    parted: BTreeMap<(usize, usize), Instant>,
    rough_until: Option<Instant>,
}

impl Cables {
    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parts two nodes.
    pub fn part(&self, one: usize, other: usize, until: Instant) {
        let pair = (one.min(other), one.max(other));
        self.troubles().parted.insert(pair, until);
    }

    /// Makes all of them lose, double and delay.
    pub fn roughen(&self, until: Instant) {
        self.troubles().rough_until = Some(until);
    }

    /// Everything is carried again.
    pub fn heal(&self) {
        *self.troubles() = Troubles::default();
    }

    fn are_parted(&self, one: usize, other: usize, now: Instant) -> bool {
        let pair = (one.min(other), one.max(other));
        self.troubles()
            .parted
            .get(&pair)
            .is_some_and(|until| *until > now)
    }

    fn are_rough(&self, now: Instant) -> bool {
        self.troubles().rough_until.is_some_and(|until| until > now)
    }
}

/// One node's end of the cables.
#[derive(Clone)]
pub(super) struct SimLink {
    /// Which node's.
    pub from: usize,
    /// Its clock.
    pub clock: Clock,
    /// The chance of the cables.
    pub dice: Clock,
    pub cables: Cables,
    pub ways: Ways,
    pub auditor: Auditor,
    pub trace: Trace,
}

impl std::fmt::Debug for SimLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimLink of n{}", self.from)
    }
}

impl SimLink {
    /// Brings a message there after `delay`, has it answered, and brings the answer back.
    async fn deliver(
        self,
        to: usize,
        message: Bytes,
        sent: Instant,
        delay: Duration,
    ) -> Result<Bytes, LinkFault> {
        let now = || self.clock.instant();
        let cut = || self.cables.are_parted(self.from, to, now());
        if cut() {
            tokio::time::sleep(GIVEN_UP).await;
            return Err(LinkFault::NotSent("simulated: no route".to_owned()));
        }
        tokio::time::sleep(delay + self.pace()).await;
        let lost = |what: &str| Err(LinkFault::Lost(format!("simulated: {what}")));
        if cut() {
            return lost("the nodes were parted");
        }
        let Some(way) = self.ways.through(to) else {
            return Err(LinkFault::NotSent(format!("simulated: n{to} is down")));
        };
        way.clock.thawed().await;
        let envelope = Envelope::decode(&message);
        let arrival = envelope.as_ref().ok().map(|envelope| {
            let held = way.region.epoch(envelope.shard);
            self.auditor.arrived(to, envelope, sent, held, way.clock.boot())
        });
        let answer = way.region.receive(&message).await;
        if let Some(arrival) = &arrival {
            self.check(arrival, &answer);
        }
        way.clock.thawed().await;
        tokio::time::sleep(self.pace()).await;
        if cut() {
            return lost("the nodes were parted before the answer");
        }
        Ok(answer)
    }

    fn pace(&self) -> Duration {
        let most = if self.cables.are_rough(self.clock.instant()) {
            BAD_PACE
        } else {
            PACE
        };
        Duration::from_micros(self.dice.random_below(most))
    }

    /// The auditor hears what came of a message.
    fn check(&self, arrival: &Arrival<'_>, answer: &Bytes) {
        let Arrival { to, envelope, .. } = arrival;
        let Ok(outcome) = Returned::decode(answer).map(|returned| returned.outcome) else {
            return self.auditor.accuse(Violation {
                invariant: "I5",
                what: format!("n{to} answered n{} with what nobody can read", self.from),
            });
        };
        self.trace.note(format_args!(
            "n{} asks n{to} for {} at epoch {}: {}",
            self.from,
            envelope.entity,
            envelope.epoch,
            outcome.name()
        ));
        self.auditor.returned(arrival, &outcome);
    }

    /// Delivers in the background: whoever sent it may stop waiting, and it arrives all the same.
    fn send(
        &self,
        to: usize,
        message: &Bytes,
        sent: Instant,
        delay: Duration,
    ) -> tokio::task::JoinHandle<Result<Bytes, LinkFault>> {
        tokio::spawn(self.clone().deliver(to, message.clone(), sent, delay))
    }
}

#[async_trait]
impl RegionLink for SimLink {
    async fn carry(&self, to: &str, message: Bytes) -> Result<Bytes, LinkFault> {
        let unknown = || LinkFault::NotSent(format!("simulated: there is no node {to}"));
        let to = to
            .strip_prefix('n')
            .and_then(|n| n.parse().ok())
            .ok_or_else(unknown)?;
        let sent = self.clock.instant();
        if let Ok(envelope) = Envelope::decode(&message) {
            let before = sends(envelope.trace, envelope.attempt);
            let there = self.ways.through(to).map(|way| way.clock.boot());
            self.auditor.sent(&envelope, before, there);
        }
        self.clock.thawed().await;
        let fate = if self.cables.are_rough(self.clock.instant()) {
            self.dice.random_below(8)
        } else {
            7
        };
        let late = |most| Duration::from_millis(self.dice.random_below(most));
        let most = [LATE, A_LITTLE_LATE][usize::from(fate > 1 && fate < 4 && self.dice.random_below(2) == 0)];
        let answer = match fate {
            0 => None,
            1 => {
                self.send(to, &message, sent, Duration::ZERO);
                None
            }
            2 => {
                self.send(to, &message, sent, late(most));
                None
            }
            3 => {
                self.send(to, &message, sent, late(most));
                Some(self.send(to, &message, sent, Duration::ZERO))
            }
            4 => {
                self.send(to, &message, sent, late(30));
                Some(self.send(to, &message, sent, Duration::ZERO))
            }
            _ => Some(self.send(to, &message, sent, Duration::ZERO)),
        };
        let answer = match answer {
            Some(answer) => answer
                .await
                .unwrap_or_else(|error| Err(LinkFault::Lost(error.to_string()))),
            None => {
                tokio::time::sleep(GIVEN_UP).await;
                Err(LinkFault::Lost("simulated: it was lost".to_owned()))
            }
        };
        self.clock.thawed().await;
        answer
    }
}
