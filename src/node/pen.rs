//! How the live feed writes carts and orders: as the API does.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::Currency;
use crate::domain::cart::Cart;
use crate::domain::id::CartId;
use crate::domain::order::{Placed, Transition};
use crate::http;
use crate::views::Catalogue;
use crate::ws::Faces;

/// Writes with what the catalogue says.
pub(super) struct Pen {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) currency: Currency,
}

impl Pen {
    fn write(face: &impl serde::Serialize) -> Value {
        serde_json::to_value(face).unwrap_or_else(|error| {
            tracing::error!(%error, "a frame of the live feed could not be written");
            Value::Null
        })
    }
}

impl Faces for Pen {
    fn cart(&self, id: CartId, cart: &Cart) -> Value {
        Self::write(&http::cart::render(id, cart, &self.catalogue, self.currency))
    }

    fn order(&self, order: &Placed) -> Value {
        Self::write(&http::order::render(order))
    }

    fn transition(&self, entry: &Transition) -> Value {
        Self::write(&http::order::render_transition(entry))
    }
}
