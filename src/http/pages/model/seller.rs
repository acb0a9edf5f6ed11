//! What sellers work with: orders, products, stock.

use askama::Template;

use super::{
    Address, FieldErrors, HistoryEntry, Money, OrderLine, OrderStatus, PaymentStatus, PaymentSummary, Shell,
    Shipment, Totals, When,
};

/// How many orders stand somewhere.
#[derive(Debug, Clone)]
pub struct StatusCount {
    /// Where.
    pub status: OrderStatus,
    /// How many.
    pub count: u64,
    /// Whether the list shows these.
    pub selected: bool,
}

/// An order in the sellers' list.
#[derive(Debug, Clone)]
pub struct SellerOrderRow {
    /// `/seller/orders/{id}`.
    pub id: String,
    /// Number for people.
    pub number: String,
    /// When it was placed.
    pub placed_at: When,
    /// Where it stands.
    pub status: OrderStatus,
    /// Where its payment stands.
    pub payment: PaymentStatus,
    /// Name on the address.
    pub customer: String,
    /// `Hamburg, DE`.
    pub destination: String,
    /// Units in it.
    pub units: u32,
    /// What it costs.
    pub total: Money,
}

/// `/seller/orders?status=`
#[derive(Debug, Clone, Template)]
#[template(path = "seller/orders.html")]
pub struct SellerOrdersPage {
    /// Around it.
    pub shell: Shell,
    /// One per status, in the order of an order's life.
    pub counts: Vec<StatusCount>,
    /// Whether the list shows every status.
    pub all_selected: bool,
    /// Newest first.
    pub orders: Vec<SellerOrderRow>,
    /// The next page, while there is one.
    pub next_href: Option<String>,
}

/// `/seller/orders/{id}`
///
/// Posts below `/seller/orders/{id}`, each with `idempotency_key`: `/pack`; `/ship` (`carrier`,
/// `tracking_number`); `/deliver`; `/cancel` (`reason`); `/refunds` (`amount` in major units,
/// `reason`).
#[derive(Debug, Clone, Template)]
#[template(path = "seller/order.html")]
pub struct SellerOrderPage {
    /// Around it.
    pub shell: Shell,
    /// Order id, for the live channel.
    pub id: String,
    /// Number for people.
    pub number: String,
    /// When it was placed.
    pub placed_at: When,
    /// Where it stands.
    pub status: OrderStatus,
    /// Oldest first.
    pub history: Vec<HistoryEntry>,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub totals: Totals,
    /// How it is paid.
    pub payment: PaymentSummary,
    /// Parcels so far.
    pub shipments: Vec<Shipment>,
    /// Where it goes.
    pub address: Address,
    /// Where its mails go.
    pub email: String,
    /// Made for this visit; each form posts to a path of its own, so one is enough.
    pub idempotency_key: String,
    /// What can still be given back; zero hides the form.
    pub refundable: Money,
    /// What was wrong with the last form.
    pub errors: FieldErrors,
}

impl SellerOrderPage {
    /// Whether the seller may still cancel.
    pub fn can_cancel(&self) -> bool {
        matches!(self.status, OrderStatus::Pending | OrderStatus::Confirmed)
    }
}

/// `/seller/orders/{id}/slip`, made for paper.
#[derive(Debug, Clone, Template)]
#[template(path = "seller/slip.html")]
pub struct PackingSlipPage {
    /// Only for assets and the title.
    pub shell: Shell,
    /// Order id, for the way back.
    pub id: String,
    /// Number for people.
    pub number: String,
    /// When it was placed.
    pub placed_at: When,
    /// What goes into the parcel.
    pub lines: Vec<OrderLine>,
    /// Where it goes.
    pub address: Address,
    /// In words, for example "Standard".
    pub shipping_method: String,
}

impl PackingSlipPage {
    /// Units in all lines.
    pub fn units(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }
}

/// A product in the sellers' list.
#[derive(Debug, Clone)]
pub struct SellerProductRow {
    /// `/seller/products/{id}`.
    pub id: String,
    /// `/p/{slug}`.
    pub slug: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Brand; may be empty.
    pub brand: String,
    /// Price.
    pub price: Money,
    /// Whether shoppers see it.
    pub published: bool,
    /// Version its form asserts.
    pub version: u64,
    /// Units that can be sold now, if known.
    pub available: Option<u64>,
}

/// `/seller/products?q=`
///
/// Each row posts `published` (`true` or `false`) and `version` to
/// `/seller/products/{id}/published`.
#[derive(Debug, Clone, Template)]
#[template(path = "seller/products.html")]
pub struct SellerProductsPage {
    /// Around it.
    pub shell: Shell,
    /// What was searched for.
    pub filter: String,
    /// One page.
    pub products: Vec<SellerProductRow>,
    /// The next page, while there is one.
    pub next_href: Option<String>,
}

/// `/seller/products/new` and `/seller/products/{id}`
///
/// A new product posts to `/seller/products` (`idempotency_key`, `sku`, `name`, `brand`,
/// `category`, `price`, `currency`, `description`, `attributes`, `published`). An existing one
/// posts the details and `version` to `/seller/products/{id}`, `price` and `version` to
/// `/seller/products/{id}/price`, and `published` and `version` to
/// `/seller/products/{id}/published`. `attributes` is one `name: value` a line.
#[derive(Debug, Clone, Template)]
#[template(path = "seller/product-form.html")]
pub struct ProductFormPage {
    /// Around it.
    pub shell: Shell,
    /// The product; `None` while it is being made.
    pub id: Option<String>,
    /// `/p/{slug}` of an existing product.
    pub slug: String,
    /// Version the forms assert.
    pub version: u64,
    /// What the fields hold.
    pub values: ProductValues,
    /// Slug and name of every category.
    pub categories: Vec<(String, String)>,
    /// What was wrong.
    pub errors: FieldErrors,
    /// Made for this visit.
    pub idempotency_key: String,
}

/// What the fields of the product form hold.
#[derive(Debug, Clone, Default)]
pub struct ProductValues {
    /// `sku`
    pub sku: String,
    /// `name`
    pub name: String,
    /// `brand`
    pub brand: String,
    /// `category`: a slug.
    pub category: String,
    /// `price` in major units.
    pub price: String,
    /// `currency`
    pub currency: String,
    /// `description`
    pub description: String,
    /// `attributes`: one `name: value` a line.
    pub attributes: String,
    /// `published`
    pub published: bool,
}

/// `/seller/stock?sku=`
///
/// Posts `sku`, `delta`, `reason` and `idempotency_key` to `/seller/stock`.
#[derive(Debug, Clone, Template)]
#[template(path = "seller/stock.html")]
pub struct SellerStockPage {
    /// Around it.
    pub shell: Shell,
    /// What was looked up; may be empty.
    pub sku: String,
    /// What was found.
    pub figures: Option<StockFigures>,
    /// What the adjustment form holds.
    pub delta: String,
    /// See `delta`.
    pub reason: String,
    /// What was wrong, or that there is no such SKU (field `sku`).
    pub errors: FieldErrors,
    /// Made for this visit.
    pub idempotency_key: String,
}

/// The figures of one SKU: `on_hand = available + held + sold`.
#[derive(Debug, Clone)]
pub struct StockFigures {
    /// Stock keeping unit.
    pub sku: String,
    /// Name of the product, if there is one.
    pub name: String,
    /// In the house.
    pub on_hand: u64,
    /// Set aside for orders that are being paid.
    pub held: u64,
    /// Sold and not yet shipped.
    pub sold: u64,
    /// Can be sold now.
    pub available: u64,
}
