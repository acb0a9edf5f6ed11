//! `product:{id}`: price and availability of a product as a state.
//!
//! It shows what the catalogue in memory shows, so a page with many products costs no entity a wake-up.
//! Its snapshot and what follows come from the same place at the same moment: there is nothing between.

use serde_json::{Value, json};

use super::protocol::Publication;
use super::source::ProductFace;
use super::topic::{Pen, RisingOffset};
use crate::domain::id::Sku;
use crate::views::Availability;

/// What a product's channel shows.
#[derive(Debug)]
pub(super) struct ProductTopic {
    sku: Sku,
    face: Option<ProductFace>,
    offset: RisingOffset,
}

impl ProductTopic {
    pub(super) const fn new(sku: Sku) -> Self {
        Self {
            sku,
            face: None,
            offset: RisingOffset(0),
        }
    }

    pub(super) const fn is_there(&self) -> bool {
        self.face.is_some()
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset.get()
    }

    pub(super) fn snapshot(&self) -> Value {
        self.face.map_or(Value::Null, |face| {
            json!({
                "id": self.sku,
                "price": face.price,
                "availability": face.availability,
                "version": face.version,
            })
        })
    }

    pub(super) fn look(&mut self, pen: Pen<'_>) -> Option<Publication> {
        let before = self.face;
        // Who watches a product that is taken out of the lists sees that it cannot be bought.
        let now = pen.sources.shelf.product(&self.sku).or_else(|| {
            before.map(|face| ProductFace {
                availability: Availability::OutOfStock,
                ..face
            })
        })?;
        if before == Some(now) {
            return None;
        }
        self.face = Some(now);
        self.offset.rise(pen.now);
        let event = match before {
            Some(before) if before.price != now.price => "price",
            Some(before) if before.availability != now.availability => "availability",
            _ => "changed",
        };
        Some(Publication {
            offset: self.offset.get(),
            at: pen.now,
            event,
            data: self.snapshot(),
        })
    }
}
