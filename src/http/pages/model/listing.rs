//! Lists of products with facets: category and search share one shape.

use askama::Template;

use super::{Link, ProductCard, Shell};

/// The order of a list; the codes are those of the API's `sort=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// `relevance`.
    Relevance,
    /// `price`.
    PriceUp,
    /// `-price`.
    PriceDown,
    /// `newest`.
    Newest,
}

impl Sort {
    /// All of them, in the order of the menu.
    pub const ALL: [Self; 4] = [Self::Relevance, Self::Newest, Self::PriceUp, Self::PriceDown];

    /// The code of the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::PriceUp => "price",
            Self::PriceDown => "-price",
            Self::Newest => "newest",
        }
    }

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Relevance => "Best match",
            Self::PriceUp => "Price, low to high",
            Self::PriceDown => "Price, high to low",
            Self::Newest => "Newest first",
        }
    }
}

/// One page of a list and everything that narrows it.
///
/// The filter form is a GET to `action` and sends: `q`, `sort`, `price_from` and `price_to` (major
/// units, for example `19.99`), `attr.NAME=VALUE` for each ticked value of a facet (repeated), and
/// `attr.NAME.from` / `attr.NAME.to` for a facet with a range. Empty fields mean nothing.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Path of this list without a query.
    pub action: String,
    /// One page of products.
    pub cards: Vec<ProductCard>,
    /// The order in force.
    pub sort: Sort,
    /// What the price fields hold, in major units; empty when open.
    pub price_from: String,
    /// See `price_from`.
    pub price_to: String,
    /// Facets, most useful first (about 8).
    pub facets: Vec<Facet>,
    /// Filters in force, each with the link that takes it off.
    pub chips: Vec<FilterChip>,
    /// The list without filters.
    pub clear_href: String,
    /// The next page, while there is one.
    pub next_href: Option<String>,
    /// The first page, when this is not it.
    pub first_href: Option<String>,
}

impl Listing {
    /// Orders to choose from.
    pub fn sorts(&self) -> [Sort; 4] {
        Sort::ALL
    }
}

/// One attribute to narrow by.
#[derive(Debug, Clone)]
pub struct Facet {
    /// Name of the attribute; the field is `attr.{name}` (`brand` too travels as `attr.brand`).
    pub name: String,
    /// In words.
    pub label: String,
    /// Values with counts (about 10); empty for a range.
    pub values: Vec<FacetValue>,
    /// Bounds of a number.
    pub range: Option<FacetRange>,
}

impl Facet {
    /// Whether anything of it is in force, so that it starts unfolded.
    pub fn is_active(&self) -> bool {
        self.values.iter().any(|value| value.selected)
            || self
                .range
                .as_ref()
                .is_some_and(|range| !range.from.is_empty() || !range.to.is_empty())
    }
}

/// One value of a facet.
#[derive(Debug, Clone)]
pub struct FacetValue {
    /// As sent.
    pub value: String,
    /// In words.
    pub label: String,
    /// Products that have it.
    pub count: u64,
    /// Whether it is ticked.
    pub selected: bool,
}

/// Bounds of a number.
#[derive(Debug, Clone)]
pub struct FacetRange {
    /// Smallest value there is.
    pub min: String,
    /// Largest value there is.
    pub max: String,
    /// What the lower field holds.
    pub from: String,
    /// What the upper field holds.
    pub to: String,
}

/// A filter in force.
#[derive(Debug, Clone)]
pub struct FilterChip {
    /// `Colour: Black`.
    pub text: String,
    /// The list without it.
    pub remove_href: String,
}

/// `/c/{slug}`
#[derive(Debug, Clone, Template)]
#[template(path = "category.html")]
pub struct CategoryPage {
    /// Around it.
    pub shell: Shell,
    /// From home to the parent category.
    pub trail: Vec<Link>,
    /// Name of the category.
    pub name: String,
    /// Products in it before filters.
    pub count: u64,
    /// Categories below it, with `/c/{slug}`.
    pub children: Vec<Link>,
    /// The products.
    pub listing: Listing,
}

/// `/search?q=`
#[derive(Debug, Clone, Template)]
#[template(path = "search.html")]
pub struct SearchPage {
    /// Around it; `shell.query` is what was searched.
    pub shell: Shell,
    /// The products.
    pub listing: Listing,
    /// What to try when nothing was found.
    pub suggestions: Vec<Link>,
}
