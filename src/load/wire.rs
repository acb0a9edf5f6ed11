//! The contract as a client reads it: the fields the checks rely on, and no others.
//!
//! Written from `API.md` alone and never shared with the server, so that a change on one side shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"amount": 1999, "currency": "EUR"}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Money {
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// The items, in the order asked for.
    pub items: Vec<T>,
    /// Where the next page starts; must be there, `null` on the last.
    #[serde(deserialize_with = "Option::deserialize")]
    pub next_cursor: Option<String>,
    /// Only on product lists.
    #[serde(default)]
    pub facets: Value,
}

/// A product as lists show it.
#[derive(Clone, Debug, Deserialize)]
pub struct Product {
    /// Opaque id.
    pub id: String,
    /// Its address in pages.
    pub slug: String,
    /// What is put into carts.
    pub sku: String,
    /// For people.
    pub name: String,
    /// The slug of its category.
    pub category: String,
    /// What it costs.
    pub price: Money,
    /// What it costs now, if less.
    #[serde(default)]
    pub sale_price: Option<Money>,
    /// `in_stock`, `low` or `out_of_stock`.
    pub availability: String,
}

impl Product {
    /// What a shopper would pay for one.
    #[must_use]
    pub fn payable(&self) -> i64 {
        self.sale_price
            .as_ref()
            .map_or(self.price.amount, |sale| sale.amount)
    }

    /// Whether the shop says it can be had.
    #[must_use]
    pub fn available(&self) -> bool {
        self.availability != "out_of_stock"
    }
}

/// A product alone.
#[derive(Clone, Debug, Deserialize)]
pub struct ProductDetail {
    /// What lists show.
    #[serde(flatten)]
    pub product: Product,
    /// Free-form, typed by category.
    pub attributes: serde_json::Map<String, Value>,
    /// Other SKUs of the same product.
    pub variants: Vec<Variant>,
    /// Rises with every change.
    pub version: u64,
}

/// Another SKU of a product.
#[derive(Clone, Debug, Deserialize)]
pub struct Variant {
    /// What tells it from the others. Facets count it like an attribute.
    pub options: serde_json::Map<String, Value>,
}

/// The cart of the caller.
#[derive(Clone, Debug, Deserialize)]
pub struct Cart {
    /// Never changes for one caller.
    pub cart_id: String,
    /// Rises with every change.
    pub version: u64,
    /// One per SKU.
    pub lines: Vec<CartLine>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// Of every amount in it.
    pub currency: String,
}

/// A line of a cart or of an order.
#[derive(Clone, Debug, Deserialize)]
pub struct CartLine {
    /// Which.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub unit_price: Money,
    /// What they cost together.
    pub line_total: Money,
    /// In carts: what the shop could send now.
    #[serde(default)]
    pub availability: Option<String>,
}

/// What the cart would cost, sent to an address.
#[derive(Clone, Debug, Deserialize)]
pub struct Quote {
    /// The sum of the lines.
    pub subtotal: Money,
    /// What sending costs.
    pub shipping: Money,
    /// The tax in it or on it.
    pub tax: Money,
    /// Whether the other amounts hold the tax already.
    pub tax_included: bool,
    /// What is to be paid.
    pub total: Money,
    /// The shipping method it was asked for; the shopper keeps it here, the shop does not say it.
    #[serde(skip)]
    pub method: String,
}

/// The 202 of checkout.
#[derive(Clone, Debug, Deserialize)]
pub struct Accepted {
    /// The order that was placed.
    pub order_id: String,
    /// For people.
    pub number: String,
    /// `pending`.
    pub status: String,
    /// What is to be paid.
    pub total: Money,
    /// Where its state can be read.
    pub status_url: String,
    /// Where it is told live.
    pub channel: String,
}

/// An order as its owner sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// Opaque id.
    pub order_id: String,
    /// `pending`, `confirmed`, `cancelled`, …
    pub status: String,
    /// What was bought.
    pub lines: Vec<CartLine>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// What sending costs.
    pub shipping: Money,
    /// The tax.
    pub tax: Money,
    /// What is paid.
    pub total: Money,
    /// How the payment stands.
    pub payment: Payment,
    /// What happened, oldest first.
    pub history: Vec<Transition>,
}

/// An order in the list of its owner.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedOrder {
    /// Which.
    pub order_id: String,
}

/// The payment of an order.
#[derive(Clone, Debug, Deserialize)]
pub struct Payment {
    /// `pending`, `captured`, `declined`, …
    pub status: String,
}

/// One line of an order's history; also what its channel tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Transition {
    /// The status it moved to.
    pub status: String,
    /// On a cancelled order: why.
    #[serde(default)]
    pub detail: Option<String>,
}

/// What a seller reads of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Stock {
    /// `available + held + sold`.
    pub on_hand: i64,
    /// Promised to orders in flight.
    pub held: i64,
    /// Sold and not yet shipped.
    pub sold: i64,
    /// What can still be sold.
    pub available: i64,
}

/// The answer to a guest, a customer or a session.
#[derive(Clone, Debug, Deserialize)]
pub struct Credentials {
    /// Who one is now.
    pub customer_id: String,
    /// For 15 minutes.
    pub access_token: String,
    /// Seconds the access token lives.
    pub expires_in: u64,
    /// For 30 days, once.
    pub refresh_token: String,
}

/// A problem (RFC 9457) as the contract demands it.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// `/problems/…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub title: String,
    /// The same as the answer's.
    pub status: u16,
    /// Leads to the log.
    pub trace_id: String,
    /// For input faults.
    #[serde(default)]
    pub errors: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_must_say_whether_another_follows() {
        let last: Page<String> = serde_json::from_str(r#"{"items": ["a"], "next_cursor": null}"#).unwrap();
        assert_eq!((last.items.len(), last.next_cursor), (1, None));
        let silent = serde_json::from_str::<Page<String>>(r#"{"items": []}"#);
        assert!(silent.unwrap_err().to_string().contains("next_cursor"));
    }
}
