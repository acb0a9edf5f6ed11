//! The hub: the one place that follows every shard and tells who watches.
//!
//! A plain state machine without tasks, clocks or locks, so that any interleaving can be tried;
//! [`actor`] runs it. For each channel that somebody follows it keeps what the channel shows, and the
//! queues of those who follow it.
//!
//! **Snapshot and subscribe, without a hole.** From the moment the hub asks an owner it buffers the
//! channel's events; the owner answers at its committed sequence; what the answer already holds is
//! dropped, the rest is applied, and only then do followers get their snapshot. Whatever goes wrong
//! later (the tail ran ahead, an event cannot be read) has the same cure: ask the owner again. An
//! order's history is complete, so its followers miss nothing by that.
//!
//! **Invariant (I6):** every follower of a stream sees each event once and in order, or a gap. An
//! event is decoded only if somebody follows its channel, and a frame is encoded once, for all.

pub(super) mod actor;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::channel::Channel;
use super::figures::Figures;
use super::outbox::{Followed, Outbox, Pushed};
use super::problem::{Problem, ProblemKind};
use super::protocol::{Frame, From, Publication, SubscriptionId};
use super::source::{Silent, Sources};
use super::topic::{Answer, Pen, Topic};
use super::viewer::Viewer;
use crate::domain::{EntityId, Millis, Shard, ShardCount};
use crate::journal::{Position, Recorded};
use crate::relay::Tails;

/// Events read from a tail at once.
const READ_LIMIT: usize = 512;
/// Events of one channel that may wait for its owner's answer; more, and the owner is asked again.
const BUFFER_LIMIT: usize = 1_024;
/// Times an owner is asked before those who wait are refused.
const ATTEMPTS: u32 = 4;

/// Somebody who wants to follow a channel.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
    /// The subscription on that connection.
    pub slot: u32,
    /// The channel.
    pub channel: Channel,
    /// Where to begin.
    pub from: From,
    /// Who asks.
    pub viewer: Option<Arc<Viewer>>,
}

/// What the hub wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the owner of a channel and hand its answer to [`Hub::answered`] with the same turn, after
    /// a pause.
    Ask {
        /// Which channel.
        channel: Channel,
        /// Which question.
        turn: u64,
        /// How long to wait before.
        pause: Duration,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Hub {
    sources: Sources,
    tails: Tails,
    shards: ShardCount,
    figures: Figures,
    channels: HashMap<Channel, Watched>,
    /// Which channel an entity's events move.
    entities: HashMap<EntityId, Channel>,
    places: Vec<Place>,
    turns: u64,
    effects: Vec<Effect>,
}

/// How far a shard has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    position: Position,
    /// Channels that events of this shard move. Nobody watches: nothing is read.
    watched: usize,
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    topic: Topic,
    shard: Option<Shard>,
    head: Arc<AtomicU64>,
    /// The snapshot frame, until something changes.
    snap: Option<Frame>,
    /// By connection and slot.
    followers: HashMap<(u64, u32), Arc<Outbox>>,
    waiting: Vec<Subscribe>,
    asking: Option<Asking>,
}

/// A question to an owner that is under way.
#[derive(Debug)]
struct Asking {
    turn: u64,
    attempt: u32,
    buffered: Vec<Arc<Recorded>>,
    overflown: bool,
}

impl Hub {
    /// A hub that nobody follows yet.
    #[must_use]
    pub fn new(sources: Sources, tails: Tails, shards: ShardCount, figures: Figures) -> Self {
        Self {
            sources,
            tails,
            shards,
            figures,
            channels: HashMap::new(),
            entities: HashMap::new(),
            places: vec![Place::default(); usize::from(shards.get())],
            turns: 0,
            effects: Vec::new(),
        }
    }

    /// What is to be done now.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// How many channels somebody follows.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Somebody wants to follow a channel.
    pub fn subscribe(&mut self, subscribe: Subscribe, now: Millis) {
        let channel = subscribe.channel.clone();
        if !self.channels.contains_key(&channel) {
            self.watch(&channel, now);
        } else if let Some(shard) = self.channels[&channel].shard {
            // Who has just written sees the write.
            self.moved(shard, now);
        }
        // Reading on may have ended the channel.
        if !self.channels.contains_key(&channel) {
            self.watch(&channel, now);
        }
        let Some(watched) = self.channels.get_mut(&channel) else {
            return;
        };
        watched.waiting.push(subscribe);
        if watched.asking.is_none() {
            self.settle(&channel, now);
        }
    }

    /// Somebody follows a channel no longer.
    pub fn unsubscribe(&mut self, connection: u64, followed: &Followed) {
        if let Some(watched) = self.channels.get_mut(&followed.channel) {
            watched.followers.remove(&(connection, followed.slot));
            watched
                .waiting
                .retain(|waiter| (waiter.outbox.number(), waiter.slot) != (connection, followed.slot));
            self.tidy(&followed.channel);
        }
    }

    /// What somebody may see has changed: ends the subscription if that is nothing any more.
    pub fn review(&mut self, outbox: &Outbox, followed: &Followed, viewer: Option<&Arc<Viewer>>) {
        let Some(watched) = self.channels.get_mut(&followed.channel) else {
            return;
        };
        let key = (outbox.number(), followed.slot);
        for waiter in &mut watched.waiting {
            if (waiter.outbox.number(), waiter.slot) == key {
                waiter.viewer = viewer.cloned();
            }
        }
        let may_see = watched.topic.may_be_seen_by(viewer.map(|viewer| &**viewer));
        if watched.followers.contains_key(&key) && !may_see {
            watched.followers.remove(&key);
            refuse(outbox, followed.slot, ProblemKind::NotFound, &self.figures);
            self.tidy(&followed.channel);
        }
    }

    /// A shard has new events.
    pub fn moved(&mut self, shard: Shard, now: Millis) {
        let Some(place) = self.places.get(usize::from(shard.0)).copied() else {
            return;
        };
        let tails = self.tails.clone();
        let tail = tails.of(shard);
        let mut position = place.position;
        while self.places[usize::from(shard.0)].watched > 0 {
            match tail.recent(position, READ_LIMIT) {
                Some(events) if events.is_empty() => break,
                Some(events) => {
                    for event in &events {
                        position = event.position;
                        self.places[usize::from(shard.0)].position = position;
                        self.event(event, now);
                    }
                }
                None => {
                    position = tail.head();
                    self.places[usize::from(shard.0)].position = position;
                    self.lost(shard);
                }
            }
        }
    }

    /// The shelf has changed.
    pub fn shelf_changed(&mut self, now: Millis) {
        self.look(now, |channel| matches!(channel, Channel::Product(_)));
    }

    /// The shelf has changed a while ago; carts show it less promptly.
    pub fn carts_due(&mut self, now: Millis) {
        self.look(now, |channel| matches!(channel, Channel::Cart(_)));
    }

    fn look(&mut self, now: Millis, wanted: impl Fn(&Channel) -> bool) {
        let pen = Pen {
            sources: &self.sources,
            now,
        };
        let mut left = Vec::new();
        for (channel, watched) in self.channels.iter_mut().filter(|(channel, _)| wanted(channel)) {
            if watched.asking.is_none()
                && let Some(publication) = watched.topic.look(pen)
            {
                watched.publish(&[publication], &self.figures);
                if watched.is_left() {
                    left.push(channel.clone());
                }
            }
        }
        for channel in left {
            self.tidy(&channel);
        }
    }

    /// An owner answered, or did not.
    pub fn answered(&mut self, channel: &Channel, turn: u64, answer: Result<Answer, Silent>, now: Millis) {
        let Some(watched) = self.channels.get_mut(channel) else {
            return;
        };
        let Some(asking) = watched.asking.take_if(|asking| asking.turn == turn) else {
            return;
        };
        let Ok(answer) = answer else {
            return self.unanswered(channel, asking);
        };
        let pen = Pen {
            sources: &self.sources,
            now,
        };
        let mut publications = watched.topic.take(answer, pen);
        let mut is_whole = !asking.overflown;
        for event in &asking.buffered {
            match watched.topic.follow(event, pen) {
                Ok(more) => publications.extend(more),
                Err(_) => {
                    is_whole = false;
                    break;
                }
            }
        }
        watched.publish(&publications, &self.figures);
        if is_whole {
            self.settle(channel, now);
        } else {
            self.ask(channel, asking.attempt + 1);
        }
    }

    fn unanswered(&mut self, channel: &Channel, asking: Asking) {
        let Some(watched) = self.channels.get_mut(channel) else {
            return;
        };
        if asking.attempt >= ATTEMPTS {
            for waiter in watched.waiting.drain(..) {
                refuse(
                    &waiter.outbox,
                    waiter.slot,
                    ProblemKind::Unavailable,
                    &self.figures,
                );
            }
        }
        if watched.is_left() {
            return self.tidy(channel);
        }
        // Who follows already waits on; the events keep being buffered.
        let attempt = asking.attempt + 1;
        self.turns += 1;
        self.effects.push(Effect::Ask {
            channel: channel.clone(),
            turn: self.turns,
            pause: pause(attempt),
        });
        watched.asking = Some(Asking {
            turn: self.turns,
            attempt,
            ..asking
        });
    }

    /// Begins to watch a channel.
    fn watch(&mut self, channel: &Channel, now: Millis) {
        let mut topic = Topic::new(channel);
        let entity = topic.entity();
        let shard = entity.as_ref().map(|entity| entity.shard(self.shards));
        if let (Some(entity), Some(shard)) = (entity, shard) {
            let place = &mut self.places[usize::from(shard.0)];
            if place.watched == 0 {
                // What came before is in the owner's answer.
                place.position = self.tails.of(shard).head();
            }
            place.watched += 1;
            self.entities.insert(entity, channel.clone());
        } else {
            let pen = Pen {
                sources: &self.sources,
                now,
            };
            topic.look(pen);
        }
        let head = Arc::new(AtomicU64::new(topic.offset()));
        self.channels.insert(
            channel.clone(),
            Watched {
                name: channel.to_string().into(),
                topic,
                shard,
                head,
                snap: None,
                followers: HashMap::new(),
                waiting: Vec::new(),
                asking: None,
            },
        );
        self.figures.channels.set(self.channels.len() as f64);
        if shard.is_some() {
            self.ask(channel, 0);
        }
    }

    fn ask(&mut self, channel: &Channel, attempt: u32) {
        let Some(watched) = self.channels.get_mut(channel) else {
            return;
        };
        self.turns += 1;
        self.figures.asked.increment(1);
        watched.asking = Some(Asking {
            turn: self.turns,
            attempt,
            buffered: Vec::new(),
            overflown: false,
        });
        self.effects.push(Effect::Ask {
            channel: channel.clone(),
            turn: self.turns,
            pause: pause(attempt),
        });
    }

    /// A committed event of a shard that is watched.
    fn event(&mut self, event: &Arc<Recorded>, now: Millis) {
        let Some(channel) = self.entities.get(&event.entity) else {
            return;
        };
        let Some(watched) = self.channels.get_mut(channel) else {
            return;
        };
        if let Some(asking) = &mut watched.asking {
            if asking.buffered.len() < BUFFER_LIMIT {
                asking.buffered.push(Arc::clone(event));
            } else {
                asking.overflown = true;
            }
            return;
        }
        let pen = Pen {
            sources: &self.sources,
            now,
        };
        let channel = channel.clone();
        match watched.topic.follow(event, pen) {
            Ok(publications) => {
                watched.publish(&publications, &self.figures);
                self.tidy(&channel);
            }
            Err(_) => self.ask(&channel, 0),
        }
    }

    /// The tail of a shard ran ahead of us: its channels can only be asked for.
    fn lost(&mut self, shard: Shard) {
        let channels: Vec<Channel> = self
            .channels
            .iter()
            .filter(|(_, watched)| watched.shard == Some(shard))
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in channels {
            let attempt = self.channels[&channel]
                .asking
                .as_ref()
                .map_or(0, |asking| asking.attempt);
            self.ask(&channel, attempt);
        }
    }

    /// Gives those who wait what they asked for.
    fn settle(&mut self, channel: &Channel, now: Millis) {
        let Some(watched) = self.channels.get_mut(channel) else {
            return;
        };
        let pen = Pen {
            sources: &self.sources,
            now,
        };
        watched.head.store(watched.topic.offset(), Relaxed);
        for waiter in std::mem::take(&mut watched.waiting) {
            let is_shown = watched.topic.is_there() && watched.topic.may_be_seen_by(waiter.viewer.as_deref());
            if !is_shown {
                refuse(&waiter.outbox, waiter.slot, ProblemKind::NotFound, &self.figures);
                continue;
            }
            let head = Arc::clone(&watched.head);
            let settled = waiter
                .outbox
                .settle(waiter.slot, &head, |id| watched.beginning(id, &waiter.from, pen));
            if settled == Pushed::Waits {
                let key = (waiter.outbox.number(), waiter.slot);
                watched.followers.insert(key, waiter.outbox);
            }
        }
        self.tidy(channel);
    }

    /// Forgets a channel that nobody follows.
    fn tidy(&mut self, channel: &Channel) {
        if !self.channels.get(channel).is_some_and(Watched::is_left) {
            return;
        }
        if let Some(watched) = self.channels.remove(channel)
            && let (Some(shard), Some(entity)) = (watched.shard, watched.topic.entity())
        {
            self.entities.remove(&entity);
            self.places[usize::from(shard.0)].watched -= 1;
        }
        self.figures.channels.set(self.channels.len() as f64);
    }
}

impl Watched {
    fn is_left(&self) -> bool {
        self.followers.is_empty() && self.waiting.is_empty()
    }

    /// Tells every follower. What is over is forgotten on the way.
    fn publish(&mut self, publications: &[Publication], figures: &Figures) {
        let Some(newest) = publications.last() else {
            return;
        };
        self.snap = None;
        if self.followers.is_empty() {
            return;
        }
        figures.encoded.increment(1);
        if matches!(self.topic, Topic::Order(_)) {
            let frame = Frame::publish(&self.name, publications);
            self.followers
                .retain(|(_, slot), outbox| outbox.deliver(*slot, frame.clone()) == Pushed::Waits);
        } else {
            let frame = Frame::publish(&self.name, [newest]);
            self.followers
                .retain(|(_, slot), outbox| outbox.deliver_newest(*slot, frame.clone()) == Pushed::Waits);
        }
        self.head.store(newest.offset, Relaxed);
    }

    /// The first frames of a subscription.
    fn beginning(&mut self, id: &SubscriptionId, from: &From, pen: Pen<'_>) -> Vec<Frame> {
        let offset = self.topic.offset();
        let is_stream = matches!(self.topic, Topic::Order(_));
        let mut frames = Vec::with_capacity(3);
        let mut recovered = false;
        match from {
            From::Live if is_stream => {}
            From::Position { epoch, offset: seen } if is_stream => {
                if epoch != self.topic.epoch() {
                    frames.push(Frame::gap(&self.name, "epoch"));
                    frames.push(self.snap(pen));
                } else if *seen > offset {
                    frames.push(Frame::gap(&self.name, "unknown_position"));
                    frames.push(self.snap(pen));
                } else {
                    recovered = true;
                    let missed = self.topic.after(*seen, pen);
                    if !missed.is_empty() {
                        frames.push(Frame::publish(&self.name, &missed));
                    }
                }
            }
            From::Snapshot | From::Live | From::Position { .. } => frames.push(self.snap(pen)),
        }
        frames.push(Frame::live(id, &self.name, self.topic.epoch(), offset, recovered));
        frames
    }

    fn snap(&mut self, pen: Pen<'_>) -> Frame {
        let Self {
            snap, name, topic, ..
        } = self;
        snap.get_or_insert_with(|| Frame::snap(name, topic.epoch(), topic.offset(), &topic.snapshot(pen)))
            .clone()
    }
}

fn refuse(outbox: &Outbox, slot: u32, kind: ProblemKind, figures: &Figures) {
    figures.refused.increment(1);
    let problem = Problem::new(kind, outbox.trace());
    outbox.refuse(slot, |id| Frame::refused(id, &problem));
}

/// The pause before asking an owner again.
fn pause(attempt: u32) -> Duration {
    match attempt {
        0 => Duration::ZERO,
        attempt => Duration::from_millis(50 << attempt.min(6)),
    }
}
