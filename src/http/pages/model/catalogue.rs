//! Home, products and the cards they are shown on.

use askama::Template;

use super::{Link, Money, Shell};
use crate::views;

/// What the stock entity last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// `in_stock`.
    InStock,
    /// `low`.
    Low,
    /// `out_of_stock`.
    OutOfStock,
}

impl Availability {
    /// The code of the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::InStock => "in_stock",
            Self::Low => "low",
            Self::OutOfStock => "out_of_stock",
        }
    }

    /// From the code of the API.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::InStock, Self::Low, Self::OutOfStock]
            .into_iter()
            .find(|known| known.code() == code)
    }

    /// In words; the same words as in `web/src/availability.ts`.
    pub fn label(self) -> &'static str {
        match self {
            Self::InStock => "In stock",
            Self::Low => "Only a few left",
            Self::OutOfStock => "Sold out",
        }
    }

    /// Whether it can be bought now.
    pub fn is_buyable(self) -> bool {
        self != Self::OutOfStock
    }
}

impl From<views::Availability> for Availability {
    fn from(availability: views::Availability) -> Self {
        match availability {
            views::Availability::InStock => Self::InStock,
            views::Availability::Low => Self::Low,
            views::Availability::OutOfStock => Self::OutOfStock,
        }
    }
}

/// A product in a grid or on a shelf. The picture is `/art/{id}.svg`.
#[derive(Debug, Clone)]
pub struct ProductCard {
    /// Product id, for the picture and the live channel.
    pub id: String,
    /// `/p/{slug}`.
    pub slug: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Brand; may be empty.
    pub brand: String,
    /// Regular price.
    pub price: Money,
    /// Lower price of the moment, if there is one.
    pub sale_price: Option<Money>,
    /// What the stock entity last said.
    pub availability: Availability,
}

impl From<&views::Card> for ProductCard {
    fn from(card: &views::Card) -> Self {
        Self {
            id: card.product.to_string(),
            slug: card.slug.to_string(),
            sku: card.sku.to_string(),
            name: card.name.to_string(),
            brand: card.brand.to_string(),
            price: card.price.into(),
            sale_price: None,
            availability: card.product_availability.into(),
        }
    }
}

/// A row of products under a heading.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Heading.
    pub title: String,
    /// Where the rest is.
    pub more: Option<Link>,
    /// Four to eight products.
    pub cards: Vec<ProductCard>,
}

/// A category on the home page.
#[derive(Debug, Clone)]
pub struct CategoryTile {
    /// `/c/{slug}`.
    pub slug: String,
    /// English name.
    pub name: String,
    /// Published products in it.
    pub count: u64,
    /// A product whose picture stands for the category.
    pub product_id: String,
}

/// `/`
#[derive(Debug, Clone, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// Around it.
    pub shell: Shell,
    /// Up to six products of the live board, whose price and stock move before the eyes.
    pub board: Vec<ProductCard>,
    /// Up to twelve categories.
    pub categories: Vec<CategoryTile>,
    /// Shelves, for example "New in" and "Under €50".
    pub shelves: Vec<Shelf>,
}

/// `/p/{slug}`
#[derive(Debug, Clone, Template)]
#[template(path = "product.html")]
pub struct ProductPage {
    /// Around it.
    pub shell: Shell,
    /// From home to the category; the product itself is not part of it.
    pub trail: Vec<Link>,
    /// Product id, for the picture and the live channel.
    pub id: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Brand and the search that lists it; `None` when unknown.
    pub brand: Option<Link>,
    /// English name of the category.
    pub category: String,
    /// Regular price.
    pub price: Money,
    /// Lower price of the moment, if there is one.
    pub sale_price: Option<Money>,
    /// What the stock entity last said.
    pub availability: Availability,
    /// What there is to choose from, this SKU first; empty if there is only this one.
    pub variants: Vec<VariantChoice>,
    /// Units of it already in the caller's cart.
    pub in_cart: u32,
    /// What shipping costs, in words.
    pub delivery: String,
    /// Anything the shopper should know first, for example that it is no longer sold.
    pub notice: Option<String>,
    /// Paragraphs of plain text.
    pub description: Vec<String>,
    /// Typed attributes, grouped; empty groups left out.
    pub attributes: Vec<AttributeGroup>,
    /// GTINs and the like, shown last; may be empty.
    pub identifiers: Vec<AttributeRow>,
    /// Other products of the category; may be empty.
    pub related: Vec<ProductCard>,
}

impl ProductPage {
    /// What one unit costs now.
    pub fn price_now(&self) -> &Money {
        self.sale_price.as_ref().unwrap_or(&self.price)
    }
}

/// One SKU of a product that has several.
#[derive(Debug, Clone)]
pub struct VariantChoice {
    /// Stock keeping unit.
    pub sku: String,
    /// What tells it from the others, what it costs, and whether it is sold out.
    pub label: String,
}

/// Attributes that belong together.
#[derive(Debug, Clone)]
pub struct AttributeGroup {
    /// Heading, for example "Display".
    pub title: String,
    /// In order.
    pub rows: Vec<AttributeRow>,
}

/// One attribute in words: `Display diagonal`, `32″`.
#[derive(Debug, Clone)]
pub struct AttributeRow {
    /// Name in words.
    pub label: String,
    /// Value in words; several values are separated by a comma, truth is `Yes` or `No`.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::Availability;

    /// Proves that the browser uses the same words as the server.
    #[test]
    fn the_browser_says_the_same() {
        let script = include_str!("../../../../web/src/availability.ts");
        for code in ["in_stock", "low", "out_of_stock"] {
            let known = Availability::from_code(code).expect("a code of the API");
            let line = format!("{code}: \"{}\"", known.label());
            assert!(script.contains(&line), "web/src/availability.ts lacks {line}");
        }
    }
}
