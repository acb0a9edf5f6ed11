//! The catalogue in memory: every card by SKU, by slug, and in a row for lists.
//!
//! Read without waiting; changed by one writer at a time, after the commit of what it shows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::watch;

use super::card::{Availability, Card, Wording};
use super::shelf::Shelf;
use super::vocabulary::Vocabulary;
use crate::domain::Money;
use crate::domain::id::Sku;

/// What is known of a SKU.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// Its card; `None` while only its stock is known.
    card: Option<Arc<Card>>,
    /// Where its product stands on the shelf; meaningless for variants.
    slot: Option<u32>,
    /// Units that can be held, as the stock last said.
    available: u32,
}

/// The catalogue in memory.
#[derive(Debug)]
pub(super) struct Memory {
    entries: DashMap<Sku, Entry>,
    slugs: DashMap<Arc<str>, Sku>,
    shelf: ArcSwap<Shelf>,
    vocabulary: RwLock<Vocabulary>,
    /// Raised after every change that somebody could see.
    revision: watch::Sender<u64>,
}

/// How much memory the catalogue takes, roughly, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Products on the shelf.
    pub products: usize,
    /// SKUs known, variants and bare stock included.
    pub skus: usize,
    /// Cards with what they alone refer to.
    pub cards: usize,
    /// The indexes by SKU and slug, and the shelf.
    pub indexes: usize,
    /// The words cards share.
    pub words: usize,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            entries: DashMap::new(),
            slugs: DashMap::new(),
            shelf: ArcSwap::default(),
            vocabulary: RwLock::default(),
            revision: watch::Sender::new(0),
        }
    }

    pub(super) fn card(&self, sku: &Sku) -> Option<Arc<Card>> {
        self.entries.get(sku)?.card.clone()
    }

    pub(super) fn available(&self, sku: &Sku) -> Option<u32> {
        Some(self.entries.get(sku)?.available)
    }

    pub(super) fn slug_owner(&self, slug: &str) -> Option<Sku> {
        self.slugs.get(slug).map(|sku| sku.clone())
    }

    pub(super) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.load_full()
    }

    /// The slot of a product.
    pub(super) fn slot(&self, sku: &Sku) -> Option<u32> {
        self.entries.get(sku)?.slot
    }

    pub(super) fn vocabulary(&self) -> RwLockReadGuard<'_, Vocabulary> {
        self.vocabulary.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Starts counting revisions from here: above every number an earlier run has given out.
    pub(super) fn start_revisions(&self, at: u64) {
        self.revision
            .send_modify(|revision| *revision = at.max(*revision));
    }

    /// Begins a change. Only one may be under way.
    pub(super) fn change(&self) -> Change<'_> {
        Change {
            memory: self,
            shelf: self.shelf().as_ref().clone(),
            shared: HashMap::new(),
            visible: false,
        }
    }

    pub(super) fn footprint(&self) -> Footprint {
        let shelf = self.shelf();
        let entry = size_of::<Sku>() + size_of::<Entry>() + 1;
        let slug = size_of::<Arc<str>>() + size_of::<Sku>() + 1;
        Footprint {
            products: shelf.len(),
            skus: self.entries.len(),
            cards: self
                .entries
                .iter()
                .filter_map(|entry| Some(entry.card.as_ref()?.bytes()))
                .sum(),
            indexes: self.entries.capacity() * entry
                + self.slugs.capacity() * slug
                + shelf.len() * size_of::<usize>(),
            words: self.vocabulary().bytes(),
        }
    }
}

/// A change of the memory: prepared aside, shown at once by [`Change::show`] for lists; single cards
/// show as soon as they are put.
pub(super) struct Change<'a> {
    memory: &'a Memory,
    shelf: Shelf,
    /// Brands and categories of this change, so that cards share them.
    shared: HashMap<Box<str>, Arc<str>>,
    visible: bool,
}

impl Change<'_> {
    /// Puts a product and its variants, unless a newer version is there.
    pub(super) fn put(&mut self, wording: &Wording<'_>) {
        let sku = &wording.details.sku;
        let (known, slot) = match self.memory.entries.get(sku) {
            Some(entry) => (entry.card.clone().filter(|card| card.is_product()), entry.slot),
            None => (None, None),
        };
        if known.as_ref().is_some_and(|card| card.version >= wording.version) {
            return;
        }
        let brand = self.share(&wording.details.brand, known.as_ref().map(|card| &card.brand));
        let category = self.share(
            &wording.details.category,
            known.as_ref().map(|card| &card.category),
        );
        let (mut card, variants) = {
            let mut words = self
                .memory
                .vocabulary
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            wording.cards(&mut words, brand, category)
        };
        if let Some(known) = &known {
            self.forget_variants(known, &card);
            if known.slug != card.slug {
                self.memory.slugs.remove_if(&known.slug, |_, owner| owner == sku);
            }
        }
        self.memory.slugs.insert(Arc::clone(&card.slug), card.sku.clone());
        let total = self.total(&card);
        for mut variant in variants {
            self.put_variant(&mut variant, total);
        }
        card.availability = Availability::of(self.available(sku));
        card.product_availability = total;
        let card = Arc::new(card);
        let slot = match slot {
            Some(slot) => {
                self.shelf.set(slot, Arc::clone(&card));
                slot
            }
            None => self.shelf.push(Arc::clone(&card)),
        };
        let mut entry = self.memory.entries.entry(sku.clone()).or_default();
        (entry.card, entry.slot) = (Some(card), Some(slot));
        self.visible = true;
    }

    /// Changes the price of a product without variants.
    pub(super) fn reprice(&mut self, known: &Arc<Card>, price: Money, version: u64) {
        if known.version >= version {
            return;
        }
        self.replace(Card {
            price,
            version,
            ..known.as_ref().clone()
        });
    }

    /// Notes how many units of a SKU can be held.
    pub(super) fn stock(&mut self, sku: &Sku, available: u64) {
        let available = u32::try_from(available).unwrap_or(u32::MAX);
        let card = {
            let mut entry = self.memory.entries.entry(sku.clone()).or_default();
            entry.available = available;
            entry.card.clone()
        };
        let Some(card) = card else { return };
        let product = match card.is_product() {
            true => Some(Arc::clone(&card)),
            false => self.memory.card(&card.product),
        };
        let Some(product) = product else { return };
        let total = self.total(&product);
        self.refresh(&card, total);
        if product.product_availability != total {
            self.refresh(&product, total);
            for variant in product.variants() {
                let variant = self
                    .memory
                    .card(variant)
                    .filter(|card| card.product == product.sku);
                if let Some(variant) = variant {
                    self.refresh(&variant, total);
                }
            }
        }
    }

    /// Lets lists see the change, and says so if there was anything to see.
    pub(super) fn show(self) {
        if self.visible {
            self.memory.shelf.store(Arc::new(self.shelf));
            self.memory.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Replaces a card whose availability has changed.
    fn refresh(&mut self, card: &Arc<Card>, total: Availability) {
        let own = Availability::of(self.available(&card.sku));
        if (card.availability, card.product_availability) == (own, total) {
            return;
        }
        self.replace(Card {
            availability: own,
            product_availability: total,
            ..card.as_ref().clone()
        });
    }

    /// Puts a card in the place of the one its SKU has.
    fn replace(&mut self, card: Card) {
        let card = Arc::new(card);
        if let Some(mut entry) = self.memory.entries.get_mut(&card.sku) {
            if let Some(slot) = entry.slot.filter(|_| card.is_product()) {
                self.shelf.set(slot, Arc::clone(&card));
            }
            entry.card = Some(card);
            self.visible = true;
        }
    }

    fn put_variant(&self, variant: &mut Card, total: Availability) {
        variant.availability = Availability::of(self.available(&variant.sku));
        variant.product_availability = total;
        let mut entry = self.memory.entries.entry(variant.sku.clone()).or_default();
        // A product of its own keeps its SKU, whoever claims it as a variant.
        if entry.slot.is_none() {
            entry.card = Some(Arc::new(variant.clone()));
        }
    }

    /// Takes away the cards of variants that the product has no more.
    fn forget_variants(&self, known: &Card, next: &Card) {
        for gone in known
            .variants()
            .iter()
            .filter(|sku| !next.variants().contains(sku))
        {
            if let Some(mut entry) = self.memory.entries.get_mut(gone)
                && entry.card.as_ref().is_some_and(|card| card.product == known.sku)
            {
                entry.card = None;
            }
        }
    }

    fn available(&self, sku: &Sku) -> u64 {
        self.memory
            .entries
            .get(sku)
            .map_or(0, |entry| u64::from(entry.available))
    }

    /// How much of a product can be bought over all its SKUs.
    fn total(&self, product: &Card) -> Availability {
        let variants = product.variants().iter().map(|sku| self.available(sku));
        Availability::of(variants.fold(self.available(&product.sku), u64::saturating_add))
    }

    /// One copy of a text for all cards of this change, or the one the product had.
    fn share(&mut self, text: &str, known: Option<&Arc<str>>) -> Arc<str> {
        if let Some(known) = known.filter(|known| known.as_ref() == text) {
            return Arc::clone(known);
        }
        if let Some(shared) = self.shared.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        self.shared.insert(text.into(), Arc::clone(&shared));
        shared
    }
}
