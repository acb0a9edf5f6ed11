//! `cart`: the caller's cart as a state.
//!
//! It moves with the cart's own events at once; prices and availability of what is in it are looked at
//! again when the shelf has changed, at most once a second.

use serde_json::Value;

use super::protocol::Publication;
use super::source::{Held, ProductFace};
use super::topic::{Hole, Pen, RisingOffset};
use super::viewer::Viewer;
use crate::accounts::Role;
use crate::domain::Millis;
use crate::domain::cart::Cart;
use crate::domain::id::CartId;
use crate::journal::Recorded;

/// What a cart's channel shows.
#[derive(Debug)]
pub(super) struct CartTopic {
    id: CartId,
    held: Option<Held<Cart>>,
    offset: RisingOffset,
    /// What was last shown of each line's product.
    items: Vec<Option<ProductFace>>,
}

impl CartTopic {
    pub(super) const fn new(id: CartId) -> Self {
        Self {
            id,
            held: None,
            offset: RisingOffset(0),
            items: Vec::new(),
        }
    }

    pub(super) const fn id(&self) -> CartId {
        self.id
    }

    pub(super) const fn is_there(&self) -> bool {
        self.held.is_some()
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset.get()
    }

    pub(super) fn is_of(&self, viewer: &Viewer) -> bool {
        viewer.has(Role::Shopper) && CartId::of(viewer.caller.customer_id) == self.id
    }

    pub(super) fn snapshot(&self, pen: Pen<'_>) -> Value {
        self.held
            .as_ref()
            .map_or(Value::Null, |held| pen.sources.faces.cart(self.id, &held.state))
    }

    pub(super) fn take(&mut self, answer: Held<Cart>, pen: Pen<'_>) -> Vec<Publication> {
        let is_first = self.held.is_none();
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.sequence >= answer.sequence)
        {
            return vec![];
        }
        self.held = Some(answer);
        let shown = self.show("changed", pen.now, pen);
        if is_first { vec![] } else { vec![shown] }
    }

    pub(super) fn follow(&mut self, event: &Recorded, pen: Pen<'_>) -> Result<Vec<Publication>, Hole> {
        let held = self.held.as_mut().ok_or(Hole)?;
        let is_new = held.fold(event)?;
        Ok(if is_new {
            vec![self.show("changed", event.recorded_at, pen)]
        } else {
            vec![]
        })
    }

    pub(super) fn look(&mut self, pen: Pen<'_>) -> Option<Publication> {
        let is_same = self.items == self.on_shelf(pen);
        (self.is_there() && !is_same).then(|| self.show("repriced", pen.now, pen))
    }

    fn show(&mut self, event: &'static str, at: Millis, pen: Pen<'_>) -> Publication {
        self.offset.rise(pen.now);
        self.items = self.on_shelf(pen);
        Publication {
            offset: self.offset.get(),
            at,
            event,
            data: self.snapshot(pen),
        }
    }

    fn on_shelf(&self, pen: Pen<'_>) -> Vec<Option<ProductFace>> {
        let lines = self.held.as_ref().map_or(&[][..], |held| &held.state.lines);
        lines
            .iter()
            .map(|line| pen.sources.shelf.item(&line.sku))
            .collect()
    }
}
