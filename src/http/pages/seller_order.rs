//! `/seller/orders`: what there is to pack, and each step of an order.

use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::amount::minor_units;
use super::answer::{private, refused};
use super::api::Call;
use super::link::with_query;
use super::model::{
    FieldErrors, OrderStatus, PackingSlipPage, SellerOrderPage, SellerOrderRow, SellerOrdersPage, StatusCount,
};
use super::order::{address, all_placed, history, lines, payment, shipments, status_now, totals};
use super::post::{Fields, Post, field_error, field_errors};
use super::visit::Visit;
use crate::domain::id::OrderId;
use crate::domain::order::{Placed, Status};
use crate::domain::quote::ShippingMethod;
use crate::http::order::find;
use crate::http::problem::{Problem, kind};
use crate::http::product::view_problem;
use crate::views::{OrderSummary, ViewFault};

/// How many orders a page shows.
const ORDERS: usize = 24;

/// Shows the orders, newest first.
pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    visit.seller()?;
    let asked = visit.asked_for("status");
    let status = Status::ALL.into_iter().find(|status| status.as_str() == asked);
    let cursor = visit.asked_for("cursor");
    let cursor = (!cursor.is_empty()).then_some(cursor.as_str());
    visit.wait_for_orders().await;
    let orders = &visit.edge().views.orders;
    let found = match orders.orders(status, cursor, ORDERS).await {
        // A page that is no more is the first one.
        Err(ViewFault::BadCursor) => orders.orders(status, None, ORDERS).await,
        found => found,
    };
    let found = found.map_err(view_problem)?;
    let counts = orders.counts().await.map_err(view_problem)?;
    let placed = all_placed(&visit, &found.items).await;
    let rows = found.items.iter().zip(placed);
    let page = SellerOrdersPage {
        shell: visit.shell("Orders").await,
        counts: counts
            .into_iter()
            .map(|(counted, count)| StatusCount {
                status: counted.into(),
                count,
                selected: status == Some(counted),
            })
            .collect(),
        all_selected: status.is_none(),
        orders: rows.map(|(item, placed)| row(item, placed.as_deref())).collect(),
        next_href: found.next_cursor.as_deref().map(|cursor| {
            let status = status.map(|status| ("status", status.as_str()));
            with_query("/seller/orders", status.into_iter().chain([("cursor", cursor)]))
        }),
    };
    private(&page)
}

fn row(item: &OrderSummary, placed: Option<&Placed>) -> SellerOrderRow {
    let to = placed.map(|placed| &placed.draft.shipping_address);
    SellerOrderRow {
        id: item.order.to_string(),
        number: item.number.clone(),
        placed_at: item.placed_at.into(),
        status: status_now(item, placed),
        payment: placed.map_or(item.payment, |placed| placed.payment.status).into(),
        customer: to.map_or_else(|| item.email.clone(), |to| to.name.clone()),
        destination: to.map_or_else(String::new, |to| format!("{}, {}", to.city, to.country)),
        units: u32::try_from(item.item_count).unwrap_or(u32::MAX),
        total: item.total.into(),
    }
}

/// Shows an order.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    private(&page(&visit, &id, None, FieldErrors::default()).await?)
}

async fn page(
    visit: &Visit,
    id: &str,
    key: Option<&str>,
    errors: FieldErrors,
) -> Result<SellerOrderPage, Problem> {
    let (id, placed) = find(visit.edge(), id, visit.seller()?).await?;
    let total = placed.draft.totals.total;
    Ok(SellerOrderPage {
        shell: visit.shell(format!("Order {}", id.number())).await,
        id: id.to_string(),
        number: id.number(),
        placed_at: placed.draft.placed_at.into(),
        status: placed.status().into(),
        history: history(&placed),
        lines: lines(visit, &placed),
        totals: totals(&placed),
        payment: payment(&placed),
        shipments: shipments(&placed),
        address: address(&placed.draft.shipping_address),
        email: placed.draft.email.clone(),
        idempotency_key: key.map_or_else(|| visit.edge().clock.new_id().to_string(), str::to_owned),
        refundable: total.with_amount(refundable(&placed)).into(),
        errors,
    })
}

/// What a seller can give back by hand. An order that was cancelled is refunded by itself.
fn refundable(placed: &Placed) -> i64 {
    if OrderStatus::from(placed.status()) == OrderStatus::Cancelled {
        0
    } else {
        placed.payment.refundable()
    }
}

/// Shows what goes into the parcel, for paper.
pub(super) async fn slip(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    let (id, placed) = find(visit.edge(), &id, visit.seller()?).await?;
    let page = PackingSlipPage {
        shell: visit.shell(format!("Packing slip {}", id.number())).await,
        id: id.to_string(),
        number: id.number(),
        placed_at: placed.draft.placed_at.into(),
        lines: lines(&visit, &placed),
        address: address(&placed.draft.shipping_address),
        shipping_method: match placed.draft.shipping_method {
            ShippingMethod::Standard => "Standard".to_owned(),
            ShippingMethod::Express => "Express".to_owned(),
        },
    };
    private(&page)
}

/// Takes a step: `pack`, `ship`, `deliver`, `cancel` or `refunds`.
pub(super) async fn step(Path((id, step)): Path<(String, String)>, post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let id: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    let key = fields.text("idempotency_key");
    let body = match step.as_str() {
        "pack" | "deliver" => Ok(None),
        "ship" => dispatch(&fields).map(Some),
        "cancel" => reason(&fields).map(Some),
        "refunds" => refund(&visit, id, &fields).await?.map(Some),
        _ => return Err(Problem::not_found()),
    };
    let body = match body {
        Ok(body) => body,
        Err(errors) => return again(&visit, id, key, errors, StatusCode::UNPROCESSABLE_ENTITY).await,
    };
    let call = Call::new(Method::POST, format!("/v1/seller/orders/{id}/{step}")).key(key);
    let call = match body {
        Some(body) => call.body(body),
        None => call,
    };
    let problem = match visit.call(seller, call).await {
        Ok(said) => {
            let done = if step == "refunds" { "?done=refund" } else { "" };
            return Ok(visit.go_after(&said, &format!("/seller/orders/{id}{done}")));
        }
        Err(problem) => problem,
    };
    let slug = problem.kind().slug;
    let errors = if slug == kind::INVALID_INPUT.slug {
        field_errors(problem.errors(), field_of)
    } else if slug == kind::REFUND_TOO_LARGE.slug {
        FieldErrors(vec![field_error("amount", problem.sentence())])
    } else {
        return Err(problem);
    };
    again(&visit, id, key, errors, problem.status()).await
}

async fn again(
    visit: &Visit,
    id: OrderId,
    key: &str,
    errors: FieldErrors,
    status: StatusCode,
) -> Result<Response, Problem> {
    refused(status, &page(visit, &id.to_string(), Some(key), errors).await?)
}

/// The field of a form that a pointer of the API means.
fn field_of(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap_or_default()
}

fn dispatch(fields: &Fields) -> Result<Value, FieldErrors> {
    filled(fields, &["carrier", "tracking_number"])?;
    Ok(json!({
        "carrier": fields.text("carrier"),
        "tracking_number": fields.text("tracking_number"),
    }))
}

fn reason(fields: &Fields) -> Result<Value, FieldErrors> {
    filled(fields, &["reason"])?;
    Ok(json!({"reason": fields.text("reason")}))
}

/// The amount of a refund is typed in major units of the order's currency.
async fn refund(visit: &Visit, id: OrderId, fields: &Fields) -> Result<Result<Value, FieldErrors>, Problem> {
    let (_, placed) = find(visit.edge(), &id.to_string(), visit.seller()?).await?;
    let currency = placed.draft.totals.total.currency;
    if let Err(errors) = filled(fields, &["amount", "reason"]) {
        return Ok(Err(errors));
    }
    Ok(match minor_units(fields.text("amount"), currency) {
        Some(amount) => Ok(json!({
            "amount": {"amount": amount, "currency": currency.code()},
            "reason": fields.text("reason"),
        })),
        None => Err(FieldErrors(vec![field_error(
            "amount",
            "Write an amount such as 19.99.",
        )])),
    })
}

fn filled(fields: &Fields, names: &[&str]) -> Result<(), FieldErrors> {
    let errors = fields.check_filled(names);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
