//! Lists of orders: the caller's own, and all of them for sellers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::order::Status;
use crate::http::Edge;
use crate::http::auth::{Seller, Shopper, account_problem};
use crate::http::money::{Money, moment};
use crate::http::openapi::PositionHeader;
use crate::http::position::Position;
use crate::http::problem::Problem;
use crate::http::product::view_problem;
use crate::http::query::Query;
use crate::views::{OrderPage, OrderSummary, PAGE_DEFAULT};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(own)).routes(routes!(all))
}

/// An order in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
pub struct OrderSummaryBody {
    /// The id.
    #[schema(example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    order_id: String,
    /// The number people read out.
    #[schema(example = "GS-7K3QX0M2TB")]
    number: String,
    /// How far it has come.
    #[schema(example = "confirmed")]
    status: &'static str,
    /// When it was placed.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    placed_at: String,
    /// When it last changed.
    #[schema(example = "2026-11-27T09:00:01.120Z", format = "date-time")]
    changed_at: String,
    /// What it costs.
    total: Money,
    /// The payment.
    payment: PaymentSummary,
    /// Units over all lines.
    #[schema(example = 2, minimum = 1)]
    item_count: u64,
    /// The names of its first lines.
    #[schema(example = json!(["Sharp 55″ OLED"]))]
    names: Vec<String>,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "out_of_stock")]
    cancel_reason: Option<String>,
    /// Where its mails go; in the sellers' list only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.org")]
    email: Option<String>,
}

/// The payment of an order in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentSummary {
    /// How far it has come.
    #[schema(example = "captured")]
    status: &'static str,
}

/// One page of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderPage)]
pub struct OrderPageBody {
    /// The orders, newest first.
    items: Vec<OrderSummaryBody>,
    /// Where the next page starts; null at the end.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

/// An order of a list as JSON shows it. `mail`: also where its mails go.
#[must_use]
pub fn render_summary(summary: &OrderSummary, mail: bool) -> OrderSummaryBody {
    OrderSummaryBody {
        order_id: summary.order.to_string(),
        number: summary.number.clone(),
        status: summary.status.as_str(),
        placed_at: moment(summary.placed_at),
        changed_at: moment(summary.changed_at),
        total: summary.total.into(),
        payment: PaymentSummary {
            status: summary.payment.as_str(),
        },
        item_count: summary.item_count,
        names: summary.names.clone(),
        cancel_reason: summary.cancel_reason.clone(),
        email: mail.then(|| summary.email.clone()),
    }
}

fn render_page(page: OrderPage, mail: bool) -> OrderPageBody {
    OrderPageBody {
        items: page
            .items
            .iter()
            .map(|summary| render_summary(summary, mail))
            .collect(),
        next_cursor: page.next_cursor,
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many at most; 24 unless you say otherwise.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100, example = 24)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[schema(max_length = 512)]
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// List the caller's orders
#[utoipa::path(
    get, path = "/v1/orders", tag = "Orders",
    operation_id = "list_orders",
    params(PageQuery, PositionHeader),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses((status = 200, description = "One page, newest first.", body = OrderPageBody))
)]
async fn own(
    State(edge): State<Edge>,
    shopper: Shopper,
    position: Position,
    Query(asked): Query<PageQuery>,
) -> Result<Response, Problem> {
    let customers = edge
        .accounts
        .identities(shopper.customer_id)
        .await
        .map_err(account_problem)?;
    let age = position.wait_for_orders(&edge).await;
    let page = edge
        .views
        .orders
        .orders_of(&customers, asked.cursor.as_deref(), page_size(asked.limit))
        .await;
    let body = render_page(page.map_err(view_problem)?, false);
    Ok(age.on(axum::Json(body).into_response()))
}

/// Which orders of a seller's list.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SellerOrdersQuery {
    /// Only those that are this.
    #[param(inline, example = "confirmed")]
    status: Option<StatusBody>,
    /// How many at most; 24 unless you say otherwise.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100, example = 24)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[schema(max_length = 512)]
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = OrderStatus)]
#[serde(rename_all = "snake_case")]
pub enum StatusBody {
    /// Placed, not paid.
    Pending,
    /// Paid.
    Confirmed,
    /// Packed.
    Packed,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Over, before it was packed.
    Cancelled,
    /// Fully refunded, after it was packed.
    Refunded,
}

impl From<StatusBody> for Status {
    fn from(body: StatusBody) -> Self {
        match body {
            StatusBody::Pending => Self::Pending,
            StatusBody::Confirmed => Self::Confirmed,
            StatusBody::Packed => Self::Packed,
            StatusBody::Shipped => Self::Shipped,
            StatusBody::Delivered => Self::Delivered,
            StatusBody::Cancelled => Self::Cancelled,
            StatusBody::Refunded => Self::Refunded,
        }
    }
}

/// List all orders
#[utoipa::path(
    get, path = "/v1/seller/orders", tag = "Orders",
    operation_id = "list_orders_as_seller",
    params(SellerOrdersQuery, PositionHeader),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses((status = 200, description = "One page, newest first.", body = OrderPageBody))
)]
async fn all(
    State(edge): State<Edge>,
    _: Seller,
    position: Position,
    Query(asked): Query<SellerOrdersQuery>,
) -> Result<Response, Problem> {
    let age = position.wait_for_orders(&edge).await;
    let status = asked.status.map(Status::from);
    let page = edge
        .views
        .orders
        .orders(status, asked.cursor.as_deref(), page_size(asked.limit))
        .await;
    let body = render_page(page.map_err(view_problem)?, true);
    Ok(age.on(axum::Json(body).into_response()))
}

fn page_size(limit: Option<u32>) -> usize {
    usize::try_from(limit.unwrap_or(PAGE_DEFAULT)).unwrap_or(usize::MAX)
}
