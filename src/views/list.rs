//! Lists of products: found, filtered, sorted and counted once per question and revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::card::Card;
use super::cursor::{Cursor, Scope};
use super::facet::{self, Facets, Narrowing};
use super::fault::ViewFault;
use super::filter::{Filter, Fit};
use super::product::Catalogue;
use super::query::{ProductQuery, Sort};
use super::search;
use super::shelf::Shelf;

/// One page of a list.
#[derive(Clone, Debug)]
pub struct ProductPage {
    /// The products.
    pub items: Vec<Arc<Card>>,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
    /// What the whole list can be narrowed by; `None` if that was left out.
    pub facets: Option<Arc<Facets>>,
    /// How many products the whole list has.
    pub total: usize,
    /// Some word that was searched for is nowhere; these have one that is spelled alike.
    pub similar: bool,
    /// Some word that was searched for may be nowhere, and nobody looked for one that is spelled alike.
    pub unlike: bool,
    /// The catalogue's revision this page is of at least.
    pub revision: u64,
}

/// What of a list costs more than the list, and may be left out when there is too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extras {
    /// Counting what the list can be narrowed by.
    pub facets: bool,
    /// Looking for words spelled alike when a word is nowhere.
    pub spelling: bool,
}

impl Extras {
    /// Everything.
    pub const ALL: Self = Self {
        facets: true,
        spelling: true,
    };
}

/// Sort key, the start of the SKU for ties, and the slot.
type HitRow = (i64, u64, u32);

/// A list in its order.
#[derive(Debug, Default)]
struct Hits {
    rows: Vec<HitRow>,
    facets: Option<Arc<Facets>>,
    similar: bool,
    unlike: bool,
}

/// Lists that were asked for lately. A list is right as long as the catalogue's revision stands; time
/// does not come into it.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    lists: HashMap<(Scope, Extras), Arc<OnceCell<Hits>>>,
    rows: usize,
}

/// How many lists are kept, and how many rows (24 bytes each) in all of them.
const LIST_LIMIT: usize = 512;
const ROW_LIMIT: usize = 1 << 20;

impl Lists {
    /// The place of a list, to be filled by whoever comes first. A list that is there with everything
    /// is as good as one without.
    fn place(&self, scope: Scope, extras: Extras, revision: u64) -> Arc<OnceCell<Hits>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.revision < revision || kept.lists.len() >= LIST_LIMIT || kept.rows >= ROW_LIMIT {
            *kept = Kept {
                revision: kept.revision.max(revision),
                ..Kept::default()
            };
        }
        if kept.revision > revision {
            // A reader that was overtaken by a change; its list is its own.
            return Arc::default();
        }
        let whole = kept.lists.get(&(scope, Extras::ALL));
        if let Some(whole) = whole.filter(|whole| whole.initialized()) {
            return Arc::clone(whole);
        }
        Arc::clone(kept.lists.entry((scope, extras)).or_default())
    }

    fn note(&self, revision: u64, rows: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.revision == revision {
            kept.rows += rows;
        }
    }
}

impl Catalogue {
    /// One page of the published products that a query asks for, with the facets of all of them.
    ///
    /// # Errors
    /// [`ViewFault::BadCursor`] when the cursor is not of this list; a fault when a search fails.
    pub async fn list(self: &Arc<Self>, query: &ProductQuery) -> Result<ProductPage, ViewFault> {
        self.list_with(query, Extras::ALL).await
    }

    /// The same with these extras; with more if they are at hand.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn list_with(
        self: &Arc<Self>,
        query: &ProductQuery,
        extras: Extras,
    ) -> Result<ProductPage, ViewFault> {
        let scope = query.scope();
        let after = query
            .cursor
            .as_deref()
            .map(|token| Cursor::decode(token, scope))
            .transpose()?;
        let revision = self.revision();
        let place = self.lists.place(scope, extras, revision);
        let hits = place
            .get_or_try_init(|| async {
                let hits = self.find(query.clone(), extras).await?;
                self.lists.note(revision, hits.rows.len());
                Ok::<_, ViewFault>(hits)
            })
            .await?;
        let shelf = self.memory.shelf();
        let start = after.map_or(0, |after| {
            hits.rows.partition_point(|row| {
                let sku = shelf.get(row.2).map_or("", |card| card.sku.as_str());
                (row.0, sku) <= (after.key, after.id.as_str())
            })
        });
        let end = hits.rows.len().min(start + query.page_size());
        let page = hits.rows.get(start..end).unwrap_or_default();
        let card = |row: &HitRow| shelf.get(row.2).cloned();
        let next_cursor = page.last().filter(|_| end < hits.rows.len()).and_then(|last| {
            let id = card(last)?.sku.as_str().to_owned();
            Some(Cursor { key: last.0, id }.encode(scope))
        });
        Ok(ProductPage {
            items: page
                .iter()
                .filter_map(card)
                .filter(|card| card.published)
                .collect(),
            next_cursor,
            facets: hits.facets.clone(),
            total: hits.rows.len(),
            similar: hits.similar,
            unlike: hits.unlike,
            revision,
        })
    }

    async fn find(self: &Arc<Self>, query: ProductQuery, extras: Extras) -> Result<Hits, ViewFault> {
        let found = match query.q.as_deref() {
            Some(q) => Some(search::find(self.pool(), q, extras.spelling).await?),
            None => None,
        };
        let catalogue = Arc::clone(self);
        // A scan of everything takes milliseconds that other tasks of this thread must not wait for.
        let scanned = tokio::task::spawn_blocking(move || catalogue.scan(&query, found, extras.facets)).await;
        scanned.map_err(|source| ViewFault::Unreadable {
            place: "the shelf of products".to_owned(),
            source: Box::new(source),
        })
    }

    fn scan(&self, query: &ProductQuery, found: Option<search::Found>, facets: bool) -> Hits {
        let shelf = self.memory.shelf();
        let vocabulary = self.memory.vocabulary();
        let filter = Filter::new(query, &vocabulary, &self.tree);
        let choices = filter.choices().into_iter();
        let mut narrowings: Vec<Narrowing> = choices
            .map(|choice| Narrowing {
                choice,
                others: vec![],
            })
            .collect();
        let mut rows: Vec<HitRow> = vec![];
        let mut look = |slot: u32, card: &Arc<Card>, score: i64| match filter.fit(card, &vocabulary) {
            Fit::All => rows.push((key(query, card, score), start_of(card), slot)),
            Fit::AllBut(choice) if facets => {
                let narrowing = narrowings.get_mut(choice);
                if let Some(narrowing) = narrowing.filter(|it| it.others.len() < facet::COUNTED_LIMIT) {
                    narrowing.others.push(Arc::clone(card));
                }
            }
            Fit::AllBut(_) | Fit::No => {}
        };
        let (mut similar, mut unlike) = (false, false);
        match found {
            None => shelf.iter().for_each(|(slot, card)| look(slot, card, 0)),
            Some(found) => {
                (similar, unlike) = (found.similar, found.unlike);
                for (sku, score) in &found.products {
                    let slot = self.memory.slot(sku);
                    if let Some((slot, card)) = slot.and_then(|slot| Some((slot, shelf.get(slot)?))) {
                        look(slot, card, *score);
                    }
                }
            }
        }
        sort(&mut rows, &shelf);
        let facets = facets.then(|| {
            let first = rows.iter().take(facet::COUNTED_LIMIT);
            let cards: Vec<Arc<Card>> = first.filter_map(|row| shelf.get(row.2).cloned()).collect();
            let facets = facet::count(&cards, rows.len(), &narrowings, &vocabulary, &self.tree);
            Arc::new(facets)
        });
        Hits {
            rows,
            facets,
            similar,
            unlike,
        }
    }
}

/// What a list is sorted by, smallest first.
fn key(query: &ProductQuery, card: &Card, score: i64) -> i64 {
    match query.sort {
        Sort::Relevance if query.q.is_some() => -score,
        Sort::Relevance | Sort::Newest => -card.created_at.0,
        Sort::Price => card.price.amount,
        Sort::PriceDown => -card.price.amount,
    }
}

/// By key, then by SKU; the SKU itself is looked at only where its first eight bytes are equal too.
fn sort(rows: &mut [HitRow], shelf: &Shelf) {
    rows.sort_unstable_by(|one, other| {
        (one.0, one.1).cmp(&(other.0, other.1)).then_with(|| {
            let sku = |slot| shelf.get(slot).map(|card| &card.sku);
            sku(one.2).cmp(&sku(other.2))
        })
    });
}

/// The first eight bytes of a SKU as a number that sorts like them.
fn start_of(card: &Card) -> u64 {
    let mut start = [0; 8];
    for (place, byte) in start.iter_mut().zip(card.sku.as_str().bytes()) {
        *place = byte;
    }
    u64::from_be_bytes(start)
}
