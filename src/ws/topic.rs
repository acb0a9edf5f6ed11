//! What a channel shows, kept up to date event by event. One file per noun: [`super::product`],
//! [`super::cart`], [`super::order`].

use serde_json::Value;

use super::cart::CartTopic;
use super::channel::Channel;
use super::order::OrderTopic;
use super::product::ProductTopic;
use super::protocol::Publication;
use super::source::{Held, Sources};
use super::viewer::Viewer;
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::{Entity, EntityId, Millis};
use crate::journal::{Recorded, stored};

/// The owner's word on a channel.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A cart.
    Cart(Held<Cart>),
    /// An order.
    Order(Held<Order>),
}

/// An event that does not follow the one before, or cannot be read: only the owner can tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole;

/// What a topic is written with.
#[derive(Clone, Copy)]
pub(super) struct Pen<'a> {
    pub(super) sources: &'a Sources,
    pub(super) now: Millis,
}

/// What one channel shows.
#[derive(Debug)]
pub(super) enum Topic {
    Product(ProductTopic),
    Cart(CartTopic),
    Order(OrderTopic),
}

impl Topic {
    pub(super) fn new(channel: &Channel) -> Self {
        match channel {
            Channel::Product(sku) => Self::Product(ProductTopic::new(sku.clone())),
            Channel::Cart(id) => Self::Cart(CartTopic::new(*id)),
            Channel::Order(id) => Self::Order(OrderTopic::new(*id)),
        }
    }

    /// The entity whose events move it; a product's face comes from the shelf instead.
    pub(super) fn entity(&self) -> Option<EntityId> {
        match self {
            Self::Product(_) => None,
            Self::Cart(topic) => Some(topic.id().entity()),
            Self::Order(topic) => Some(topic.id().entity()),
        }
    }

    /// Whether there is something to show.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Product(topic) => topic.is_there(),
            Self::Cart(topic) => topic.is_there(),
            Self::Order(topic) => topic.placed().is_some(),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Product(topic) => topic.offset(),
            Self::Cart(topic) => topic.offset(),
            Self::Order(topic) => topic.offset(),
        }
    }

    /// Changes only when positions of before mean nothing any more.
    pub(super) fn epoch(&self) -> &str {
        match self {
            Self::Product(_) | Self::Cart(_) => "state",
            Self::Order(topic) => topic.epoch(),
        }
    }

    pub(super) fn may_be_seen_by(&self, viewer: Option<&Viewer>) -> bool {
        match self {
            Self::Product(_) => true,
            Self::Cart(topic) => viewer.is_some_and(|viewer| topic.is_of(viewer)),
            Self::Order(topic) => viewer.is_some_and(|viewer| topic.is_for(viewer)),
        }
    }

    pub(super) fn snapshot(&self, pen: Pen<'_>) -> Value {
        match self {
            Self::Product(topic) => topic.snapshot(),
            Self::Cart(topic) => topic.snapshot(pen),
            Self::Order(topic) => topic.snapshot(pen),
        }
    }

    /// The events of a stream after an offset; states have none to repeat.
    pub(super) fn after(&self, offset: u64, pen: Pen<'_>) -> Vec<Publication> {
        match self {
            Self::Product(_) | Self::Cart(_) => vec![],
            Self::Order(topic) => topic.after(offset, pen),
        }
    }

    /// Takes the owner's word in: what it adds to what was shown.
    pub(super) fn take(&mut self, answer: Answer, pen: Pen<'_>) -> Vec<Publication> {
        match (self, answer) {
            (Self::Cart(topic), Answer::Cart(held)) => topic.take(held, pen),
            (Self::Order(topic), Answer::Order(held)) => topic.take(held, pen),
            _ => vec![],
        }
    }

    /// Takes a committed event in.
    pub(super) fn follow(&mut self, event: &Recorded, pen: Pen<'_>) -> Result<Vec<Publication>, Hole> {
        match self {
            Self::Product(_) => Ok(vec![]),
            Self::Cart(topic) => topic.follow(event, pen),
            Self::Order(topic) => topic.follow(event, pen),
        }
    }

    /// Looks at the shelf again.
    pub(super) fn look(&mut self, pen: Pen<'_>) -> Option<Publication> {
        match self {
            Self::Product(topic) => topic.look(pen),
            Self::Cart(topic) => topic.look(pen),
            Self::Order(_) => None,
        }
    }
}

impl<E: Entity> Held<E> {
    /// Folds a committed event into the state. `false` if it is already in there.
    pub(super) fn fold(&mut self, recorded: &Recorded) -> Result<bool, Hole> {
        if recorded.sequence <= self.sequence {
            return Ok(false);
        }
        if recorded.sequence != self.sequence.next() {
            return Err(Hole);
        }
        let event = stored::decode::<E>(recorded).map_err(|fault| {
            tracing::error!(%fault, "an event cannot be shown");
            Hole
        })?;
        self.state.apply(&event);
        self.sequence = recorded.sequence;
        Ok(true)
    }
}

/// The offset of a state: the moment of its value in milliseconds, but always above the one before.
/// So it also rises across reconnects and restarts, although nobody keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RisingOffset(pub(super) u64);

impl RisingOffset {
    pub(super) fn rise(&mut self, now: Millis) {
        self.0 = u64::try_from(now.0).unwrap_or(0).max(self.0 + 1);
    }

    pub(super) const fn get(self) -> u64 {
        self.0
    }
}
