//! From a question to the node that owns its entity, and back with one answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::receive::Seen;
use crate::actors::Hosted;
use crate::actors::ask::{Answer, Ask, AskError};
use crate::actors::directory::Directories;
use crate::clock::Clock;
use crate::cluster::link::{LinkFault, RegionLink};
use crate::cluster::placement::{Heard, Known, Placement};
use crate::cluster::wire::{Envelope, Heading, Outcome, Returned, Unreadable};
use crate::domain::id::OperationId;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Shard};

/// How long one message may take there and back before it counts as lost.
pub(super) const MESSAGE_LIMIT: Duration = Duration::from_secs(1);
/// How often one question is tried at the most, whatever time is left.
const BUDGET: u32 = 24;
/// How many addresses are followed without a pause.
const HOPS: u32 = 3;
/// The pause before another try, and what the random part of it grows to.
const PAUSE: Duration = Duration::from_millis(15);
const PAUSE_LIMIT: Duration = Duration::from_millis(400);

/// The ways to other nodes.
#[derive(Debug)]
pub struct Routes {
    placement: Arc<Placement>,
    link: Arc<dyn RegionLink>,
    pub(super) clock: Clock,
    pub(super) seen: Seen,
}

type Answered<E> =
    Result<Answer<<E as crate::domain::Entity>::View>, AskError<<E as crate::domain::Entity>::Refusal>>;

/// A question on its way.
struct Asked<'a, E: Hosted> {
    local: &'a Directories,
    entity: &'a EntityId,
    shard: Shard,
    /// The command; none for a read.
    ask: Option<Ask<E::Command>>,
    /// An earlier try has done the command; what is left is to read what came of it.
    done: bool,
    deadline: Instant,
    trace: Uuid,
}

/// How one try ended.
enum Tried<E: Hosted> {
    /// With an answer, or an error.
    Ended(Answered<E>),
    /// With the advice to try there.
    Elsewhere(Known),
}

impl Routes {
    /// Ways by `link` to where `placement` says.
    #[must_use]
    pub fn new(placement: Arc<Placement>, link: Arc<dyn RegionLink>, clock: Clock) -> Self {
        Self {
            placement,
            link,
            clock,
            seen: Seen::default(),
        }
    }

    /// What this node knows of where each shard is.
    #[must_use]
    pub const fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    pub(super) async fn ask<E: Hosted>(
        &self,
        local: &Directories,
        entity: &EntityId,
        mut ask: Ask<E::Command>,
    ) -> Answered<E> {
        // The second try, or a message that arrives twice, must be known as the same command.
        ask.operation
            .get_or_insert_with(|| OperationId(self.clock.new_id()));
        let patience = ask.patience;
        self.put::<E>(local, entity, Some(ask), patience).await
    }

    pub(super) async fn read<E: Hosted>(
        &self,
        local: &Directories,
        entity: &EntityId,
        patience: Duration,
    ) -> Answered<E> {
        self.put::<E>(local, entity, None, patience).await
    }

    async fn put<E: Hosted>(
        &self,
        local: &Directories,
        entity: &EntityId,
        ask: Option<Ask<E::Command>>,
        patience: Duration,
    ) -> Answered<E> {
        let mut question = Asked::<E> {
            local,
            entity,
            shard: local.shard(entity),
            ask,
            done: false,
            deadline: self.clock.instant() + patience,
            trace: self.clock.new_id(),
        };
        // Why nobody knows whether an earlier try has done it.
        let mut doubt: Option<String> = None;
        let mut advised: Option<Known> = None;
        let mut hops = 0;
        let mut last = "no node is known that owns the shard".to_owned();
        for attempt in 1..=BUDGET {
            if doubt.is_some()
                && let Err(reason) = question.look_up().await
            {
                doubt = Some(reason);
            }
            let known = advised.take().or_else(|| self.placement.known(question.shard));
            match self.once(&question, known, attempt).await {
                Tried::Elsewhere(right) => {
                    "no node that was asked owns the shard".clone_into(&mut last);
                    hops += 1;
                    if hops <= HOPS {
                        advised = Some(right);
                        continue;
                    }
                    hops = 0;
                }
                Tried::Ended(Err(AskError::Unavailable { reason, .. })) => last = reason,
                Tried::Ended(Err(AskError::Unknown { reason })) if question.ask.is_some() => {
                    doubt = Some(reason);
                }
                Tried::Ended(Err(AskError::Unknown { reason })) => last = reason,
                Tried::Ended(Err(AskError::Overloaded { .. })) if doubt.is_some() => {}
                Tried::Ended(Ok(answer)) => {
                    return Ok(Answer {
                        repeated: answer.repeated || question.done,
                        ..answer
                    });
                }
                Tried::Ended(ended) => return ended,
            }
            let pause = PAUSE + self.clock.backoff(attempt, PAUSE, PAUSE_LIMIT);
            if self.clock.instant() + pause >= question.deadline {
                break;
            }
            self.clock.sleep(pause).await;
        }
        Err(match doubt.filter(|_| !planted::is(Bug::DoubtForgotten)) {
            Some(reason) => AskError::Unknown { reason },
            None => question.unavailable(last),
        })
    }

    /// Asks once: here, if the shard's gate is open, else at the address.
    async fn once<E: Hosted>(&self, asked: &Asked<'_, E>, known: Option<Known>, attempt: u32) -> Tried<E> {
        let left = asked.deadline.saturating_duration_since(self.clock.instant());
        if asked.local.gates().is_open(asked.shard) {
            return Tried::Ended(match &asked.ask {
                Some(ask) => {
                    let ask = Ask {
                        patience: left,
                        ..ask.clone()
                    };
                    asked.local.ask::<E>(asked.entity, ask).await
                }
                None => asked.local.read::<E>(asked.entity, left).await,
            });
        }
        match known {
            None => asked.ended("no node is known that owns the shard"),
            Some(known) if known.address.node == *self.placement.me() => {
                // Another node may have said that it is here when it was: then who should own it is asked next.
                self.placement.not_found(asked.shard, &known.address);
                asked.ended("the shard is not open here")
            }
            Some(known) => self.send(asked, known, left.min(MESSAGE_LIMIT), attempt).await,
        }
    }

    /// Asks another node.
    async fn send<E: Hosted>(
        &self,
        asked: &Asked<'_, E>,
        known: Known,
        limit: Duration,
        attempt: u32,
    ) -> Tried<E> {
        let Known { address, heard } = known;
        let there = heard.and_then(|heard| heard.there_at(self.clock.boot()));
        let heading = Heading {
            shard: asked.shard,
            epoch: address.epoch,
            patience: limit,
            deadline: there.map(|there| there + limit),
            trace: asked.trace,
            attempt,
        };
        let envelope = match &asked.ask {
            Some(ask) => Envelope::command::<E>(heading, asked.entity, ask),
            None => Ok(Envelope::read(heading, asked.entity)),
        };
        let message = match envelope.and_then(|envelope| envelope.encode()) {
            Ok(message) => message,
            Err(Unreadable(reason)) => return asked.ended(&reason),
        };
        let carried = timeout(limit, self.link.carry(&address.node, message)).await;
        let returned = match carried {
            Ok(Ok(bytes)) => Returned::decode(&bytes).map_err(|error| error.to_string()),
            Ok(Err(LinkFault::NotSent(reason))) => {
                self.placement.not_found(asked.shard, &address);
                return asked.ended(&reason);
            }
            Ok(Err(LinkFault::Lost(reason))) => Err(reason),
            Err(_) => Err(format!("{} did not answer within {limit:?}", address.node)),
        };
        let returned = match returned {
            Ok(returned) => returned,
            Err(reason) => {
                self.placement.not_found(asked.shard, &address);
                return Tried::Ended(Err(AskError::Unknown { reason }));
            }
        };
        let heard = Some(Heard {
            there: returned.at(),
            here: self.clock.boot(),
        });
        if let Outcome::Elsewhere(right) = returned.outcome {
            self.placement.not_found(asked.shard, &address);
            return match right.filter(|_| !planted::is(Bug::WrongAddressNotFollowed)) {
                Some(right) => {
                    let right = Known {
                        heard: heard.filter(|_| right.node == address.node),
                        address: right,
                    };
                    self.placement.found(asked.shard, &right);
                    Tried::Elsewhere(right)
                }
                None => asked.ended("the node that was asked does not own the shard"),
            };
        }
        self.placement.found(asked.shard, &Known { address, heard });
        Tried::Ended(returned.outcome.into_answer::<E>(asked.shard))
    }
}

impl<E: Hosted> Asked<'_, E> {
    /// Looks whether a doubtful command is done. An entity that was replayed since knows the operations of its
    /// events; what was only to be remembered, and changed nothing, only the journal knows.
    async fn look_up(&mut self) -> Result<(), String> {
        let Some(key) = self.ask.as_ref().and_then(|ask| ask.remember).map(|it| it.key) else {
            return Ok(());
        };
        let found = timeout_at(self.deadline, self.local.remembered(key));
        match found.await {
            Ok(Ok(Some(_))) => {
                self.ask = None;
                self.done = true;
                Ok(())
            }
            Ok(Ok(None)) => Ok(()),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("the journal did not say in time whether it remembers the command".to_owned()),
        }
    }

    fn unavailable(&self, reason: String) -> AskError<E::Refusal> {
        AskError::Unavailable {
            shard: self.shard,
            reason,
        }
    }

    /// A try that did nothing, for this reason.
    fn ended(&self, reason: &str) -> Tried<E> {
        Tried::Ended(Err(self.unavailable(reason.to_owned())))
    }
}
