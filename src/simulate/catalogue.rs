//! The seller's catalogue, appended in bulk beside everything else, as an import does.

use super::plan::SCARCE;
use super::shopper::Shopper;
use super::visit::{PRODUCT, details};
use super::ways::Way;
use crate::actors::Hosted;
use crate::actors::bulk::{BulkCommand, BulkError};
use crate::domain::Money;
use crate::domain::id::Sku;
use crate::domain::product::{self, Details, Product};
use crate::domain::stock::{self, Stock};

/// Why a stock has its first units when a catalogue has brought them.
pub(super) const REASON: &str = "catalogue import";
/// How many units a catalogue brings of what is new.
const UNITS: i64 = 5;
/// What is in it besides the product that is changed by hand, too.
const THINGS: [&str; 3] = ["THING-0", "THING-1", "THING-2"];
/// Prices of a catalogue are whole steps of this many minor units, so that often nothing has changed.
const STEP: i64 = 250;

impl Shopper {
    /// Has a catalogue appended by one node, and units of what is new in it. What the world fails stays as it is.
    pub async fn import(&mut self, price: i64) {
        let price = Money::eur(price - price % STEP);
        let way = self.ways.any(&self.world.clock).await;
        let skus = |also| {
            THINGS
                .into_iter()
                .chain([also])
                .filter_map(|sku: &str| sku.parse::<Sku>().ok())
        };
        let products = skus(PRODUCT).map(|sku| BulkCommand::<Product> {
            entity: sku.product(),
            command: product::Command::Import {
                details: Box::new(Details {
                    slug: sku.as_str().to_ascii_lowercase(),
                    name: format!("Thing of {}", price.amount / 4),
                    ..details(sku)
                }),
                price,
            },
            only_new: false,
        });
        self.append(&way, products.collect()).await;
        // There are some of the scarce one, so it is not given any.
        let stocks = skus(SCARCE).map(|sku| BulkCommand::<Stock> {
            entity: sku.stock(),
            command: stock::Command::Adjust {
                delta: UNITS,
                reason: REASON.to_owned(),
            },
            only_new: true,
        });
        self.append(&way, stocks.collect()).await;
    }

    /// Looks at what a catalogue may bring, as who opens a page does: it may not be there yet.
    pub async fn look_at_things(&mut self) {
        for sku in THINGS.into_iter().filter_map(|sku| sku.parse::<Sku>().ok()) {
            self.read::<Product>(&sku.product()).await;
            self.read::<Stock>(&sku.stock()).await;
        }
    }

    async fn append<E: Hosted>(&self, way: &Way, commands: Vec<BulkCommand<E>>) {
        let auditor = &self.world.auditor;
        let floors = commands.iter().map(|asked| auditor.floor(&asked.entity));
        let floors: Vec<_> = floors.collect();
        let outcomes = way.append::<E>(commands.clone()).await;
        for ((asked, floor), outcome) in commands.iter().zip(floors).zip(outcomes) {
            let entity = &asked.entity;
            match outcome {
                Ok(done) => auditor.appended::<E>(floor, asked, done),
                Err(BulkError::Refused(refusal)) => {
                    self.accuse("I8", format!("{entity} was refused in a bulk: {refusal}"));
                }
                // A node appends to the shards that are its own.
                Err(BulkError::Fault(reason)) if self.world.plan.nodes == 1 && self.world.is_untroubled() => {
                    self.accuse(
                        "I7",
                        format!("nothing has gone wrong, and a bulk does not append to {entity}: {reason}"),
                    );
                }
                Err(BulkError::Fault(_)) => {}
            }
        }
    }
}
