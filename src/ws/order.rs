//! `order:{id}`: an order's history as a stream. Its offset counts the entries from 1.
//!
//! The history is complete in the entity, so every position of an order can be resumed, for ever. Its
//! epoch is made of its id: a position of another order is told so.

use serde_json::Value;

use super::protocol::Publication;
use super::source::Held;
use super::topic::{Hole, Pen};
use super::viewer::Viewer;
use crate::domain::id::OrderId;
use crate::domain::order::{Order, Placed};
use crate::journal::Recorded;

/// What an order's channel shows.
#[derive(Debug)]
pub(super) struct OrderTopic {
    id: OrderId,
    epoch: String,
    held: Option<Held<Order>>,
}

impl OrderTopic {
    pub(super) fn new(id: OrderId) -> Self {
        Self {
            id,
            epoch: format!("{:08x}", id.0.as_u128() >> 96),
            held: None,
        }
    }

    pub(super) const fn id(&self) -> OrderId {
        self.id
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(super) fn placed(&self) -> Option<&Placed> {
        self.held.as_ref()?.state.placed()
    }

    pub(super) fn offset(&self) -> u64 {
        self.placed().map_or(0, |placed| placed.history.len() as u64)
    }

    pub(super) fn is_for(&self, viewer: &Viewer) -> bool {
        self.placed()
            .is_some_and(|placed| viewer.may_see_order_of(placed.draft.customer))
    }

    pub(super) fn snapshot(&self, pen: Pen<'_>) -> Value {
        self.placed()
            .map_or(Value::Null, |placed| pen.sources.faces.order(placed))
    }

    pub(super) fn after(&self, offset: u64, pen: Pen<'_>) -> Vec<Publication> {
        let history = self.placed().map_or(&[][..], |placed| &placed.history);
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        (1..)
            .zip(history)
            .skip(skip)
            .map(|(offset, entry)| Publication {
                offset,
                at: entry.at,
                event: entry.status.as_str(),
                data: pen.sources.faces.transition(entry),
            })
            .collect()
    }

    pub(super) fn take(&mut self, answer: Held<Order>, pen: Pen<'_>) -> Vec<Publication> {
        let shown = self.held.as_ref();
        if shown.is_some_and(|held| held.sequence >= answer.sequence) {
            return vec![];
        }
        let before = shown.is_some().then(|| self.offset());
        self.held = Some(answer);
        before.map_or(vec![], |before| self.after(before, pen))
    }

    pub(super) fn follow(&mut self, event: &Recorded, pen: Pen<'_>) -> Result<Vec<Publication>, Hole> {
        let before = self.offset();
        let held = self.held.as_mut().ok_or(Hole)?;
        held.fold(event)?;
        Ok(self.after(before, pen))
    }
}
