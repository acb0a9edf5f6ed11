//! The seller's steps of an order: pack, ship, deliver, refund, cancel.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Nothing, OrderBody, refused, stepped};
use crate::domain::id::OrderId;
use crate::domain::order::{Canceller, Command, Order};
use crate::domain::payment::RefundId;
use crate::http::Edge;
use crate::http::auth::Seller;
use crate::http::body::{Json, MaybeJson};
use crate::http::idempotency::{Once, decide};
use crate::http::money::Money;
use crate::http::openapi::KeyHeader;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(pack))
        .routes(routes!(ship))
        .routes(routes!(deliver))
        .routes(routes!(refund))
        .routes(routes!(cancel))
}

/// A seller's step: asked of the order, answered with the order after it.
async fn step(
    edge: Edge,
    once: Once,
    id: &str,
    digest: [u8; 32],
    command: Command,
) -> Result<Response, Problem> {
    let id: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    decide::<Order>(
        edge,
        once,
        digest,
        id.entity(),
        command,
        refused,
        stepped(StatusCode::OK),
    )
    .await
}

/// Pack an order
#[utoipa::path(
    post, path = "/v1/seller/orders/{id}/pack", tag = "Orders", request_body = Option<Nothing>,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The order after it.", body = OrderBody),
        (status = 409, description = "It is not confirmed, or fully refunded."),
    )
)]
async fn pack(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(id): Path<String>,
    body: MaybeJson<Nothing>,
) -> Result<Response, Problem> {
    step(edge, once, &id, body.digest, Command::Pack).await
}

/// Where a parcel can be followed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Who carries it.
    #[schema(
        example = "DHL",
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    carrier: String,
    /// The carrier's number.
    #[schema(
        example = "00340434161094042557",
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    tracking_number: String,
}

/// Ship an order
#[utoipa::path(
    post, path = "/v1/seller/orders/{id}/ship", tag = "Orders", request_body = Dispatch,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The order after it.", body = OrderBody),
        (status = 409, description = "It is not packed."),
    )
)]
async fn ship(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(id): Path<String>,
    body: Json<Dispatch>,
) -> Result<Response, Problem> {
    let Dispatch {
        carrier,
        tracking_number,
    } = body.value;
    step(
        edge,
        once,
        &id,
        body.digest,
        Command::Ship {
            carrier,
            tracking_number,
        },
    )
    .await
}

/// Say that an order has arrived
#[utoipa::path(
    post, path = "/v1/seller/orders/{id}/deliver", tag = "Orders", request_body = Option<Nothing>,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The order after it.", body = OrderBody),
        (status = 409, description = "It is not shipped."),
    )
)]
async fn deliver(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(id): Path<String>,
    body: MaybeJson<Nothing>,
) -> Result<Response, Problem> {
    step(edge, once, &id, body.digest, Command::Deliver).await
}

/// Money to give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// How much: above 0, in the order's currency.
    amount: Money,
    /// Why, in words.
    #[schema(example = "arrived scratched", min_length = 1, max_length = 200)]
    reason: String,
}

/// Refund an order, wholly or in part
///
/// A refund alone returns no units.
#[utoipa::path(
    post, path = "/v1/seller/orders/{id}/refunds", tag = "Orders", request_body = RefundRequest,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The order after it.", body = OrderBody),
        (status = 409, description = "More than was captured and not refunded."),
    )
)]
async fn refund(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(id): Path<String>,
    body: Json<RefundRequest>,
) -> Result<Response, Problem> {
    let command = Command::Refund {
        refund: RefundId(once.id()),
        amount: body.value.amount.to_domain(),
        reason: body.value.reason,
    };
    step(edge, once, &id, body.digest, command).await
}

/// Why a seller cancels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SellerCancellation {
    /// Why, in words.
    #[schema(example = "damaged in the warehouse", min_length = 1, max_length = 200)]
    reason: String,
}

/// Cancel an order as its seller
///
/// Possible until it is packed. What was captured is refunded and the units return.
#[utoipa::path(
    post, path = "/v1/seller/orders/{id}/cancel", tag = "Orders", request_body = SellerCancellation,
    operation_id = "cancel_as_seller",
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The order after it.", body = OrderBody),
        (status = 409, description = "It is packed already."),
    )
)]
async fn cancel(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(id): Path<String>,
    body: Json<SellerCancellation>,
) -> Result<Response, Problem> {
    let command = Command::Cancel(Canceller::Seller {
        reason: body.value.reason,
    });
    step(edge, once, &id, body.digest, command).await
}
