//! Where the hub gets what it shows. Three narrow doors, so that it can be tested without a node.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use crate::actors::Hosted;
use crate::cluster::{AskError, Region};
use crate::domain::cart::Cart;
use crate::domain::id::{CartId, OrderId, Sku};
use crate::domain::order::{Order, Placed, Transition};
use crate::domain::{Entity, EntityId, Money};
use crate::journal::Sequence;
use crate::views::{Availability, Catalogue};

/// An entity's own word: its state and the sequence it is the state at. All of it is committed.
#[derive(Clone, Debug)]
pub struct Held<E> {
    /// The state.
    pub state: E,
    /// The last event it includes.
    pub sequence: Sequence,
}

/// The owner did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// Who owns carts and orders.
#[async_trait]
pub trait Owners: Send + Sync + 'static {
    /// A cart now.
    async fn cart(&self, id: CartId) -> Result<Held<Cart>, Silent>;
    /// An order now.
    async fn order(&self, id: OrderId) -> Result<Held<Order>, Silent>;
}

#[async_trait]
impl Owners for Region {
    async fn cart(&self, id: CartId) -> Result<Held<Cart>, Silent> {
        read::<Cart>(self, &id.entity()).await
    }

    async fn order(&self, id: OrderId) -> Result<Held<Order>, Silent> {
        read::<Order>(self, &id.entity()).await
    }
}

async fn read<E: Hosted + Entity<View = E>>(region: &Region, entity: &EntityId) -> Result<Held<E>, Silent> {
    match region.read::<E>(entity).await {
        Ok(answer) => Ok(Held {
            state: answer.view,
            sequence: answer.sequence,
        }),
        Err(error) => {
            let error: AskError<E::Refusal> = error;
            tracing::debug!(%entity, %error, "an owner did not answer");
            Err(Silent)
        }
    }
}

/// What a product's channel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductFace {
    /// What it costs, tax included.
    pub price: Money,
    /// How much of it can be bought.
    pub availability: Availability,
    /// The product's version.
    pub version: u64,
}

/// What the shop's window shows: the catalogue, in memory.
pub trait Shelf: Send + Sync + 'static {
    /// A product that is for sale; `None` if there is none under this id.
    fn product(&self, sku: &Sku) -> Option<ProductFace>;
    /// What a cart shows of a SKU, also of one that is no longer sold.
    fn item(&self, sku: &Sku) -> Option<ProductFace>;
    /// Rises with every change.
    fn revisions(&self) -> watch::Receiver<u64>;
}

impl Shelf for Catalogue {
    fn product(&self, sku: &Sku) -> Option<ProductFace> {
        let card = self
            .card(sku)
            .filter(|card| card.is_product() && card.published)?;
        Some(ProductFace {
            price: card.price,
            availability: card.product_availability,
            version: card.version,
        })
    }

    fn item(&self, sku: &Sku) -> Option<ProductFace> {
        let card = self.card(sku)?;
        Some(ProductFace {
            price: card.price,
            availability: if card.published {
                card.availability
            } else {
                Availability::OutOfStock
            },
            version: card.version,
        })
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.watch()
    }
}

/// How the HTTP API writes things. The feed writes them the same; the node lends it the pen.
pub trait Faces: Send + Sync + 'static {
    /// A cart.
    fn cart(&self, id: CartId, cart: &Cart) -> Value;
    /// An order.
    fn order(&self, order: &Placed) -> Value;
    /// One entry of an order's history.
    fn transition(&self, entry: &Transition) -> Value;
}

/// Everything the hub shows comes from here. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    /// Carts and orders.
    pub owners: Arc<dyn Owners>,
    /// Products.
    pub shelf: Arc<dyn Shelf>,
    /// How they are written.
    pub faces: Arc<dyn Faces>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the owners, the shelf and the faces")
    }
}
