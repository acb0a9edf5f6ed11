//! The texts of products, fetched from their rows and kept while they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::{READ_LIMIT, ViewFault, within};
use super::product::Catalogue;
use crate::domain::id::Sku;
use crate::domain::money::Currency;
use crate::domain::product::{Details, Listing};
use crate::domain::{Millis, Money};

/// Texts kept at most, twice: those asked for lately and those before. About 4 KB each.
const KEPT: usize = 1_024;

/// A product in full, as its row last said.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductRow {
    /// Its version.
    pub version: u64,
    /// The address of its page, which may differ from the one its details ask for.
    pub slug: String,
    /// Everything about it.
    pub listing: Listing,
}

/// Products in full that were asked for lately, in two generations: what is asked for moves to the
/// young one, and when that is full the old one goes.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<[HashMap<Sku, Arc<ProductRow>>; 2]>);

impl Kept {
    fn get(&self, sku: &Sku, version: u64) -> Option<Arc<ProductRow>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        let row = match young.get(sku) {
            Some(row) => Arc::clone(row),
            None => old.remove(sku)?,
        };
        if row.version < version {
            return None;
        }
        drop(generations);
        self.keep(sku, &row);
        Some(row)
    }

    fn keep(&self, sku: &Sku, row: &Arc<ProductRow>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations[0].len() >= KEPT {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(sku.clone(), Arc::clone(row));
    }
}

impl Catalogue {
    /// A product in full, published or not; never older than its card.
    ///
    /// # Errors
    /// When its row cannot be had.
    pub async fn row(&self, sku: &Sku) -> Result<Option<Arc<ProductRow>>, ViewFault> {
        let Some(card) = self.card(sku).filter(|card| card.is_product()) else {
            return Ok(None);
        };
        if let Some(row) = self.kept.get(sku, card.version) {
            return Ok(Some(row));
        }
        let row = within("read a product", READ_LIMIT, async {
            sqlx::query!(
                r#"select slug, version, price, currency, published, created_at_ms, changed_at_ms,
                          details::text as "details!"
                   from catalogue_product where sku = $1"#,
                sku.as_str(),
            )
            .fetch_optional(self.pool())
            .await
        })
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let details: Details = read_details(sku.as_str(), &row.details)?;
        let row = Arc::new(ProductRow {
            version: u64::try_from(row.version).unwrap_or(0),
            slug: row.slug,
            listing: Listing {
                details,
                price: Money::new(row.price, read_currency(&row.currency)),
                published: row.published,
                created_at: Millis(row.created_at_ms),
                changed_at: Millis(row.changed_at_ms),
            },
        });
        self.kept.keep(sku, &row);
        Ok(Some(row))
    }
}

pub(super) fn read_details(sku: &str, json: &str) -> Result<Details, ViewFault> {
    serde_json::from_str(json).map_err(|error| ViewFault::Unreadable {
        place: format!("the row of product {sku}"),
        source: Box::new(error),
    })
}

/// Only codes that were parsed are written.
pub(super) fn read_currency(code: &str) -> Currency {
    code.trim_end().parse().unwrap_or_default()
}
