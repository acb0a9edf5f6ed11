//! `/orders/{id}`: an order as its shopper sees it, and what a shopper can still do to it.
//!
//! The key of the link in a mail opens that one order, and acts for whoever placed it.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::answer::private;
use super::api::Call;
use super::country;
use super::link::with_query;
use super::model::{
    self, HistoryEntry, OrderLine, OrderPage, OrderStatus, OrderSummary, PaymentSummary, Shipment, Totals,
    When,
};
use super::post::{Fields, Post};
use super::visit::Visit;
use crate::accounts::{Caller, Roles};
use crate::domain::address::Address;
use crate::domain::id::{OrderId, Sku};
use crate::domain::order::{Order, Placed, Status};
use crate::http::idempotency::ask_problem;
use crate::http::order::{find, owns};
use crate::http::problem::Problem;
use crate::views;

/// How many pictures of an order a list shows.
const PICTURES: usize = 4;
/// How long a link's key speaks for the order's owner: for one request.
const KEY_STANDS_SECONDS: i64 = 60;

/// Who may see an order, and as whom.
struct Opened {
    id: OrderId,
    placed: Box<Placed>,
    /// Who can act as its shopper, if the visitor can.
    owner: Option<Arc<Caller>>,
    /// Whether the visitor may follow its live channel.
    live: bool,
}

/// Opens an order with the session, or with the key of a mail's link.
async fn open(visit: &Visit, id: &str, key: &str) -> Result<Opened, Problem> {
    let edge = visit.edge();
    let parsed: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    let has_key = !key.is_empty() && edge.accounts.order_links().verify(parsed, key);
    if let Some(caller) = visit.caller() {
        match find(edge, id, caller).await {
            Ok((id, placed)) => {
                let is_own = owns(edge, caller, &placed).await?;
                let owner = is_own.then(|| Arc::clone(caller));
                return Ok(Opened {
                    id,
                    owner: owner.or_else(|| has_key.then(|| speaker(visit, &placed))),
                    placed,
                    live: true,
                });
            }
            Err(problem) if !has_key => return Err(problem),
            Err(_) => {}
        }
    }
    if !has_key {
        visit.known()?;
        return Err(Problem::not_found());
    }
    let placed = read(visit, parsed).await?.ok_or_else(Problem::not_found)?;
    Ok(Opened {
        id: parsed,
        owner: Some(speaker(visit, &placed)),
        placed,
        live: false,
    })
}

async fn read(visit: &Visit, id: OrderId) -> Result<Option<Box<Placed>>, Problem> {
    let answer = visit.edge().region.read::<Order>(&id.entity()).await;
    let problem = |error| ask_problem(error, |refusal| Problem::internal(format!("{refusal}")));
    Ok(match answer.map_err(problem)?.view {
        Order::Placed(placed) => Some(placed),
        Order::Unplaced => None,
    })
}

/// Whoever placed the order, as far as this request goes.
fn speaker(visit: &Visit, placed: &Placed) -> Arc<Caller> {
    Arc::new(Caller {
        customer_id: placed.draft.customer,
        session_id: None,
        roles: Roles::SHOPPER,
        guest: true,
        expires_at: visit.edge().clock.now().plus_seconds(KEY_STANDS_SECONDS),
    })
}

/// Shows an order.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    let key = visit.asked_for("key");
    let opened = open(&visit, &id, &key).await?;
    let placed = &opened.placed;
    let is_open = matches!(placed.status(), Status::Pending | Status::Confirmed);
    let page = OrderPage {
        shell: visit.shell(format!("Order {}", opened.id.number())).await,
        id: opened.id.to_string(),
        key: if opened.live { String::new() } else { key },
        number: opened.id.number(),
        placed_at: placed.draft.placed_at.into(),
        status: placed.status().into(),
        history: history(placed),
        lines: lines(&visit, placed),
        totals: totals(placed),
        payment: payment(placed),
        shipments: shipments(placed),
        address: address(&placed.draft.shipping_address),
        email: placed.draft.email.clone(),
        can_cancel: is_open && placed.cancel_wanted.is_none() && opened.owner.is_some(),
        idempotency_key: visit.edge().clock.new_id().to_string(),
        live: opened.live,
        just_placed: !visit.asked_for("placed").is_empty(),
    };
    private(&page)
}

/// Cancels an order.
pub(super) async fn cancel(Path(id): Path<String>, post: Post) -> Result<Response, Problem> {
    act(post, &id, "cancel", |_| None).await
}

/// Goes through the confirm step of the payment.
pub(super) async fn confirm_payment(Path(id): Path<String>, post: Post) -> Result<Response, Problem> {
    let outcome = |fields: &Fields| Some(json!({"outcome": fields.text("outcome")}));
    act(post, &id, "confirm-payment", outcome).await
}

async fn act(
    post: Post,
    id: &str,
    step: &str,
    body: impl Fn(&Fields) -> Option<Value>,
) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let key = fields.text("key");
    let opened = open(&visit, id, key).await?;
    // A seller sees the order, but is not the one who bought.
    let owner = opened.owner.ok_or_else(Problem::not_found)?;
    let call = Call::new(Method::POST, format!("/v1/orders/{}/{step}", opened.id));
    let call = match body(&fields) {
        Some(body) => call.body(body),
        None => call,
    };
    let said = visit
        .call(&owner, call.key(fields.text("idempotency_key")))
        .await?;
    let path = format!("/orders/{}", opened.id);
    let keys = (!key.is_empty()).then_some(("key", key));
    Ok(visit.go_after(&said, &with_query(&path, keys)))
}

/// The orders of a list as shoppers see them, with the pictures of what was bought.
pub(super) async fn summaries(visit: &Visit, items: &[views::OrderSummary]) -> Vec<OrderSummary> {
    let placed = all_placed(visit, items).await;
    let shown = items.iter().zip(placed).map(|(item, placed)| {
        let lines = placed.as_ref().map_or(&[][..], |placed| &placed.draft.lines);
        let pictures = lines.iter().map(|line| product_of(visit, &line.sku).0);
        OrderSummary {
            id: item.order.to_string(),
            number: item.number.clone(),
            placed_at: item.placed_at.into(),
            status: status_now(item, placed.as_deref()),
            units: u32::try_from(item.item_count).unwrap_or(u32::MAX),
            first_line: item.names.first().cloned().unwrap_or_default(),
            product_ids: pictures.take(PICTURES).collect(),
            total: item.total.into(),
        }
    });
    shown.collect()
}

/// The orders of a list as their entities have them; a list does without those that do not answer.
pub(super) async fn all_placed(visit: &Visit, items: &[views::OrderSummary]) -> Vec<Option<Box<Placed>>> {
    join_all(
        items
            .iter()
            .map(async |item| read(visit, item.order).await.ok().flatten()),
    )
    .await
}

/// Where an order stands: the entity knows it before the list does.
pub(super) fn status_now(item: &views::OrderSummary, placed: Option<&Placed>) -> OrderStatus {
    placed.map_or(item.status, Placed::status).into()
}

/// The product of a SKU, and the address of its page if it has one.
fn product_of(visit: &Visit, sku: &Sku) -> (String, String) {
    match visit.edge().views.catalogue.card(sku) {
        Some(card) if card.published => (card.product.to_string(), card.slug.to_string()),
        Some(card) => (card.product.to_string(), String::new()),
        None => (sku.to_string(), String::new()),
    }
}

/// What was ordered.
pub(super) fn lines(visit: &Visit, placed: &Placed) -> Vec<OrderLine> {
    let line = |line: &crate::domain::order::Line| {
        let (product_id, slug) = product_of(visit, &line.sku);
        OrderLine {
            sku: line.sku.to_string(),
            product_id,
            slug,
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price.into(),
            line_total: line.line_total.into(),
        }
    };
    placed.draft.lines.iter().map(line).collect()
}

/// What happened so far.
pub(super) fn history(placed: &Placed) -> Vec<HistoryEntry> {
    let entries = placed.history.iter();
    entries
        .map(|entry| HistoryEntry {
            at: entry.at.into(),
            status: entry.status.into(),
            detail: entry.detail.clone(),
        })
        .collect()
}

/// What it costs.
pub(super) fn totals(placed: &Placed) -> Totals {
    let totals = placed.draft.totals;
    Totals {
        subtotal: totals.subtotal.into(),
        shipping: totals.shipping.into(),
        tax: totals.tax.into(),
        total: totals.total.into(),
    }
}

/// How it is paid.
pub(super) fn payment(placed: &Placed) -> PaymentSummary {
    let total = placed.draft.totals.total;
    PaymentSummary {
        status: placed.payment.status.into(),
        provider: placed.draft.payment.provider.clone(),
        amount: total.into(),
        refunded: total.with_amount(placed.payment.refunded()).into(),
    }
}

/// What has left the house.
pub(super) fn shipments(placed: &Placed) -> Vec<Shipment> {
    let delivered = placed
        .history
        .iter()
        .find(|entry| entry.status == Status::Delivered);
    let delivered_at = delivered.map(|entry| When::from(entry.at));
    let shipments = placed.shipments.iter();
    shipments
        .map(|shipment| Shipment {
            carrier: shipment.carrier.clone(),
            tracking_number: shipment.tracking_number.clone(),
            shipped_at: Some(shipment.at.into()),
            delivered_at: delivered_at.clone(),
        })
        .collect()
}

/// Where it goes.
pub(super) fn address(address: &Address) -> model::Address {
    let region = address.region.as_ref().map(|region| format!(", {region}"));
    model::Address {
        name: address.name.clone(),
        street: std::iter::once(address.line1.clone())
            .chain(address.line2.clone())
            .collect(),
        town: format!(
            "{} {}{}",
            address.postal_code,
            address.city,
            region.unwrap_or_default()
        ),
        country: country::name(&address.country).to_owned(),
    }
}
