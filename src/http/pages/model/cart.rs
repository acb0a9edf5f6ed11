//! The cart.

use askama::Template;

use super::{Availability, Money, Shell};

/// One line of the cart.
#[derive(Debug, Clone)]
pub struct CartLine {
    /// Stock keeping unit; forms name the line by it.
    pub sku: String,
    /// Product id, for the picture; empty when the product is gone.
    pub product_id: String,
    /// `/p/{slug}`; empty when the product is gone.
    pub slug: String,
    /// Name.
    pub name: String,
    /// 1 to 99.
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Money,
    /// What one cost when it was put in, if that was something else.
    pub previous_price: Option<Money>,
    /// Price of all.
    pub line_total: Money,
    /// What the stock entity last said.
    pub availability: Availability,
    /// A sentence about this line, for example that it is no longer sold.
    pub notice: Option<String>,
}

/// `/cart`
#[derive(Debug, Clone, Template)]
#[template(path = "cart.html")]
pub struct CartPage {
    /// Around it.
    pub shell: Shell,
    /// Version of the cart; the page goes live from here.
    pub version: u64,
    /// In the order they were put in.
    pub lines: Vec<CartLine>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// What is missing to free standard shipping; `None` when it is free already.
    pub to_free_shipping: Option<Money>,
    /// Why checkout is not possible now (a sentence), if so.
    pub blocked: Option<String>,
}

impl CartPage {
    /// Units in all lines.
    pub fn units(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }
}
