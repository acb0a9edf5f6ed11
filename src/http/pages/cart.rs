//! `/cart`: what is in it, and the three things a form can do to it.

use axum::http::Method;
use axum::response::Response;
use serde_json::json;

use super::answer::{go, private};
use super::api::Call;
use super::link::encode;
use super::model::{CartLine, CartPage, Money};
use super::post::Post;
use super::session::Sender;
use super::visit::Visit;
use crate::domain;
use crate::domain::cart::{Cart, QUANTITY_LIMIT};
use crate::domain::id::Sku;
use crate::http::cart::{PricedLine, find, priced, subtotal};
use crate::http::problem::Problem;
use crate::views::Catalogue;

/// A cart at today's prices.
#[derive(Debug)]
pub(super) struct Basket {
    /// Its version.
    pub(super) version: u64,
    /// Its lines.
    pub(super) lines: Vec<CartLine>,
    /// Sum of the lines, minor units.
    pub(super) subtotal: i64,
    /// Whether something in it is no longer sold.
    pub(super) is_blocked: bool,
}

impl Basket {
    /// What a page shows of a cart; empty without one.
    pub(super) fn of(cart: Option<&Cart>, catalogue: &Catalogue) -> Self {
        let priced = cart.map(|cart| priced(cart, catalogue)).unwrap_or_default();
        Self {
            version: cart.map_or(0, |cart| cart.version),
            subtotal: subtotal(&priced),
            is_blocked: priced.iter().any(|line| !line.for_sale),
            lines: priced
                .into_iter()
                .map(|line| show_line(line, catalogue))
                .collect(),
        }
    }
}

fn show_line(line: PricedLine, catalogue: &Catalogue) -> CartLine {
    let card = catalogue.card(&line.sku);
    // The page has its own words for a price that has changed.
    let notice = PricedLine {
        quoted: line.unit_price,
        ..line.clone()
    }
    .notice();
    CartLine {
        product_id: card
            .as_ref()
            .map_or_else(String::new, |card| card.product.to_string()),
        slug: card
            .filter(|card| card.published)
            .map_or_else(String::new, |card| card.slug.to_string()),
        sku: line.sku.to_string(),
        name: line.name,
        quantity: line.quantity,
        previous_price: (line.quoted != line.unit_price).then(|| line.quoted.into()),
        unit_price: line.unit_price.into(),
        line_total: line.line_total.into(),
        availability: line.availability.into(),
        notice,
    }
}

/// Shows the cart.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let tariff = visit.edge().settings.tariff;
    if let Some(shopper) = visit.caller() {
        // Here an empty cart must mean that it is empty.
        if visit.cart().await.is_none() {
            find(visit.edge(), shopper.customer_id).await?;
        }
    }
    let basket = Basket::of(visit.cart().await, &visit.edge().views.catalogue);
    let money = |amount| Money::from(domain::Money::new(amount, tariff.currency));
    let missing = tariff.free_from - basket.subtotal;
    let page = CartPage {
        shell: visit.shell("Your cart").await,
        version: basket.version,
        lines: basket.lines,
        subtotal: money(basket.subtotal),
        to_free_shipping: (missing > 0).then(|| money(missing)),
        blocked: basket
            .is_blocked
            .then(|| "Remove what is no longer sold, then you can check out.".to_owned()),
    };
    private(&page)
}

/// Adds units of a SKU to those that are in the cart already.
pub(super) async fn add(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let wanted = quantity(fields.text("quantity"), 1)?;
    let sku: Sku = fields.text("sku").parse().map_err(|_| Problem::not_found())?;
    let sender = visit.sender().await?;
    let cart = find(visit.edge(), sender.caller.customer_id).await?;
    let had = cart.line(&sku).map_or(0, |line| line.quantity);
    let quantity = had.saturating_add(wanted).min(QUANTITY_LIMIT);
    set(&visit, &sender, &sku, quantity).await
}

/// Sets how many of a SKU are in the cart.
pub(super) async fn update(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let quantity = quantity(fields.text("quantity"), 0)?;
    let sku: Sku = fields.text("sku").parse().map_err(|_| Problem::not_found())?;
    let sender = visit.sender().await?;
    set(&visit, &sender, &sku, quantity).await
}

/// Takes a SKU out of the cart.
pub(super) async fn remove(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let Some(shopper) = visit.caller() else {
        return Ok(go("/cart"));
    };
    let path = format!("/v1/cart/lines/{}", encode(fields.text("sku")));
    visit.call(shopper, Call::new(Method::DELETE, path)).await?;
    Ok(go("/cart"))
}

async fn set(visit: &Visit, sender: &Sender, sku: &Sku, quantity: u32) -> Result<Response, Problem> {
    let path = format!("/v1/cart/lines/{}", encode(sku.as_str()));
    let call = Call::new(Method::PUT, path).body(json!({"quantity": quantity}));
    visit.call(&sender.caller, call).await?;
    Ok(sender.settle(visit, go("/cart")))
}

fn quantity(text: &str, least: u32) -> Result<u32, Problem> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=QUANTITY_LIMIT).contains(number))
        .ok_or_else(|| {
            Problem::invalid_at(
                "/quantity",
                format!("A quantity is a number from {least} to {QUANTITY_LIMIT}."),
            )
        })
}
