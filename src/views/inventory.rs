//! The inventory: every product, published or not, as its sellers look through it.

use std::sync::Arc;

use super::card::Card;
use super::cursor::{Cursor, Scope};
use super::fault::ViewFault;
use super::product::Catalogue;
use super::query::{QUERY_BYTES, clip};
use super::search::fold;
use crate::domain::id::Sku;

/// One page of the inventory.
#[derive(Clone, Debug, Default)]
pub struct InventoryPage {
    /// The products, newest first.
    pub items: Vec<Arc<Card>>,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
}

impl Catalogue {
    /// One page of all products whose name, brand or SKU holds every word of `words`.
    ///
    /// # Errors
    /// [`ViewFault::BadCursor`] when the cursor is not of this list.
    pub async fn inventory(
        self: &Arc<Self>,
        words: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<InventoryPage, ViewFault> {
        let words = fold(clip(words, QUERY_BYTES));
        let scope = Scope::of(&format!("inventory {words}"));
        let after = cursor.map(|token| Cursor::decode(token, scope)).transpose()?;
        let catalogue = Arc::clone(self);
        // Looking at every name takes a while that other tasks of this thread must not wait for.
        let scanned =
            tokio::task::spawn_blocking(move || catalogue.look_through(&words, after.as_ref(), limit));
        let mut items = scanned.await.map_err(|source| ViewFault::Unreadable {
            place: "the shelf of products".to_owned(),
            source: Box::new(source),
        })?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next_cursor = last.map(|card| place(card).encode(scope));
        Ok(InventoryPage { items, next_cursor })
    }

    /// Units of a SKU that can be held, as the stock last said; nothing for a SKU nobody knows.
    #[must_use]
    pub fn available(&self, sku: &Sku) -> Option<u32> {
        self.memory.available(sku)
    }

    /// The products of one page and one more, if there is one.
    fn look_through(&self, words: &str, after: Option<&Cursor>, limit: usize) -> Vec<Arc<Card>> {
        let shelf = self.memory.shelf();
        let holds = |card: &Card| {
            let text = fold(&format!("{} {} {}", card.name, card.brand, card.sku));
            words.split(' ').all(|word| text.contains(word))
        };
        let mut found: Vec<&Arc<Card>> = shelf
            .iter()
            .map(|(_, card)| card)
            .filter(|card| after.is_none_or(|after| order(card) > (after.key, after.id.as_str())))
            .filter(|card| words.is_empty() || holds(card))
            .collect();
        found.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        found.into_iter().take(limit + 1).cloned().collect()
    }
}

/// Newest first, then by SKU.
fn order(card: &Card) -> (i64, &str) {
    (-card.created_at.0, card.sku.as_str())
}

fn place(card: &Card) -> Cursor {
    let (key, id) = order(card);
    Cursor {
        key,
        id: id.to_owned(),
    }
}
