//! ANSWERS: read models derived from the journal, rebuildable from it at any time.
//!
//! Three views follow the journal: the [`Catalogue`] (products and availability; lists, facets and
//! search, from memory), the lists of [`Orders`], and the [`Ledger`]. Each keeps its position in the
//! transaction that writes its rows, so every event counts exactly once.
//!
//! **Must never** be asked to decide anything: what a view shows may be older than what an entity
//! knows. It says how old, and lets a reader wait for its own writes ([`Waited`]).

mod audit;
mod card;
mod category;
mod course;
mod cursor;
mod details;
mod facet;
mod fault;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod inventory;
mod ledger;
mod list;
mod memory;
mod order;
mod order_row;
mod product;
mod product_row;
mod query;
mod rows;
mod search;
mod shelf;
mod stock;
mod vocabulary;
mod wait;

use std::sync::Arc;

use sqlx::PgPool;

use crate::clock::Clock;
use crate::domain::ShardCount;
use crate::relay::View;

pub use audit::{AuditFigures, BookFigures, MoneyFigures, StockFigures};
pub use card::{Availability, Card, LOW_STOCK};
pub use category::{CategoryNode, Tree};
pub use details::ProductRow;
pub use facet::{AttributeFacet, COUNTED_LIMIT, CategoryCount, Facets, NumberRange, PriceRange, ValueCount};
pub use fault::ViewFault;
pub use inventory::InventoryPage;
pub use ledger::{Comparison, Ledger, LedgerRow};
pub use list::{Extras, ProductPage};
pub use memory::Footprint;
pub use order::{OrderPage, OrderSummary, Orders};
pub use product::{Catalogue, LoadProgress};
pub use query::{AttributeFilter, BadParameter, PAGE_DEFAULT, PAGE_LIMIT, ProductQuery, Sort};
pub use stock::{StockAlarm, StockRow};
pub use vocabulary::attribute_name;
pub use wait::{WAIT_LIMIT, Waited};

/// Every view of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Views {
    /// Products and availability.
    pub catalogue: Arc<Catalogue>,
    /// Lists of orders.
    pub orders: Arc<Orders>,
    /// The books.
    pub ledger: Arc<Ledger>,
    pool: PgPool,
}

impl Views {
    /// Opens the views on a migrated database and loads the catalogue into memory, telling `progress`
    /// how far that is. `tree` is the shop's categories (`import::category::tree`).
    ///
    /// # Errors
    /// When the database does not answer, or a row cannot be read.
    pub async fn open(
        pool: PgPool,
        clock: Clock,
        shards: ShardCount,
        tree: Tree,
        progress: impl Fn(LoadProgress),
    ) -> Result<Self, ViewFault> {
        let catalogue = Catalogue::open(pool.clone(), clock.clone(), shards, tree, progress).await?;
        let orders = Orders::open(pool.clone(), clock.clone(), shards).await?;
        let ledger = Ledger::open(pool.clone(), clock, shards).await?;
        Ok(Self {
            catalogue: Arc::new(catalogue),
            orders: Arc::new(orders),
            ledger: Arc::new(ledger),
            pool,
        })
    }

    /// Every view, for the runtime that lets them follow the journal.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn View>> {
        vec![
            Arc::clone(&self.catalogue) as _,
            Arc::clone(&self.orders) as _,
            Arc::clone(&self.ledger) as _,
        ]
    }

    /// The figures of the invariants that views can see, in one snapshot.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit(&self) -> Result<AuditFigures, ViewFault> {
        audit::figures(&self.pool).await
    }
}
