//! A card: what a list shows of a product, and what a cart needs of a SKU.

use std::sync::Arc;

use super::vocabulary::{Fact, Vocabulary};
use crate::domain::id::Sku;
use crate::domain::product::{Details, Variant};
use crate::domain::{Millis, Money};

/// From how few units on the shop says that little is left.
pub const LOW_STOCK: u64 = 5;

/// How much of a SKU can be bought, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// More than [`LOW_STOCK`].
    InStock,
    /// At least one, at most [`LOW_STOCK`].
    Low,
    /// None.
    OutOfStock,
}

impl Availability {
    /// In words, from the number of units that can be held.
    #[must_use]
    pub const fn of(available: u64) -> Self {
        match available {
            0 => Self::OutOfStock,
            1..=LOW_STOCK => Self::Low,
            _ => Self::InStock,
        }
    }

    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InStock => "in_stock",
            Self::Low => "low",
            Self::OutOfStock => "out_of_stock",
        }
    }
}

/// A SKU in one piece. Never changes: when the product does, another card takes its place.
#[derive(Clone, Debug)]
pub struct Card {
    /// What is sold.
    pub sku: Sku,
    /// The product it belongs to: itself, unless it is a variant.
    pub product: Sku,
    /// The address of the product's page.
    pub slug: Arc<str>,
    /// The name people read; a variant's says which.
    pub name: Arc<str>,
    /// Who makes it; may be empty.
    pub brand: Arc<str>,
    /// The slug of its category.
    pub category: Arc<str>,
    /// The first picture.
    pub image: Option<Arc<str>>,
    /// What it costs, tax included.
    pub price: Money,
    /// When the product was created.
    pub created_at: Millis,
    /// The product's version.
    pub version: u64,
    /// Whether it is in the lists and can be bought.
    pub published: bool,
    /// How much of this SKU can be bought.
    pub availability: Availability,
    /// The same over all SKUs of the product: what a list shows.
    pub product_availability: Availability,
    pub(super) brand_id: u32,
    pub(super) category_id: u32,
    pub(super) facts: Arc<[Fact]>,
    pub(super) variants: Option<Arc<[Sku]>>,
}

impl Card {
    /// Whether this is a product and not one of its variants.
    #[must_use]
    pub fn is_product(&self) -> bool {
        self.sku == self.product
    }

    /// The other SKUs of this product.
    #[must_use]
    pub fn variants(&self) -> &[Sku] {
        self.variants.as_deref().unwrap_or_default()
    }

    /// What it says of one attribute.
    pub(super) fn facts_of(&self, name: u32) -> &[Fact] {
        let start = self.facts.partition_point(|fact| fact.name < name);
        let end = self.facts.partition_point(|fact| fact.name <= name);
        self.facts.get(start..end).unwrap_or_default()
    }

    /// Bytes this card takes, roughly, with what it alone refers to.
    pub(super) fn bytes(&self) -> usize {
        let shared = |text: &str| (text.len() + 16).next_multiple_of(16);
        size_of::<Self>()
            + 16
            + shared(&self.slug)
            + shared(&self.name)
            + shared(self.sku.as_str())
            + self.image.as_deref().map_or(0, shared)
            + 16
            + size_of_val::<[Fact]>(&self.facts)
            + 24 * self.variants().len()
    }
}

/// What a product is now, before it becomes cards.
pub(super) struct Wording<'a> {
    pub(super) details: &'a Details,
    pub(super) slug: Arc<str>,
    pub(super) price: Money,
    pub(super) created_at: Millis,
    pub(super) version: u64,
    pub(super) published: bool,
}

impl Wording<'_> {
    /// The card of the product and one for each variant. `brand` and `category` come interned.
    pub(super) fn cards(
        &self,
        vocabulary: &mut Vocabulary,
        brand: Arc<str>,
        category: Arc<str>,
    ) -> (Card, Vec<Card>) {
        let details = self.details;
        let variants: Vec<Sku> = details
            .variants
            .iter()
            .map(|variant| variant.sku.clone())
            .filter(|sku| *sku != details.sku)
            .collect();
        let card = Card {
            sku: details.sku.clone(),
            product: details.sku.clone(),
            slug: Arc::clone(&self.slug),
            name: details.name.as_str().into(),
            brand_id: vocabulary.brands.add(&brand),
            category_id: vocabulary.categories.add(&category),
            brand,
            category,
            image: details.images.first().map(|image| image.as_str().into()),
            price: self.price,
            created_at: self.created_at,
            version: self.version,
            published: self.published,
            availability: Availability::OutOfStock,
            product_availability: Availability::OutOfStock,
            facts: vocabulary.facts(details).into(),
            variants: (!variants.is_empty()).then(|| variants.into()),
        };
        let variants = details
            .variants
            .iter()
            .filter(|variant| variant.sku != details.sku)
            .map(|variant| Card {
                sku: variant.sku.clone(),
                name: variant_name(&details.name, variant),
                price: variant.price.unwrap_or(self.price),
                variants: None,
                ..card.clone()
            })
            .collect();
        (card, variants)
    }
}

/// `T-shirt (blue, L)`.
fn variant_name(name: &str, variant: &Variant) -> Arc<str> {
    let options: Vec<&str> = variant.options.values().map(String::as_str).collect();
    match options.as_slice() {
        [] => name.into(),
        options => format!("{name} ({})", options.join(", ")).into(),
    }
}
