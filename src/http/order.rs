//! Orders: what their owners, sellers and operators see, and each step after the checkout.

mod list;
mod seller;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{Caller, Shopper, account_problem};
use super::body::{Json, MaybeJson};
use super::idempotency::{Once, Reply, ask_problem, decide};
use super::money::{Money, moment};
use super::openapi::KeyHeader;
use super::problem::{Problem, kind};
use crate::accounts::{self, Role};
use crate::domain::address::Address;
use crate::domain::id::OrderId;
use crate::domain::order::{self, Command, Order, Placed};
use crate::journal::Sequence;

pub use list::{OrderSummaryBody, render_summary};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(cancel))
        .routes(routes!(confirm_payment))
        .merge(list::routes())
        .merge(seller::routes())
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderBody {
    /// The id.
    #[schema(example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    order_id: String,
    /// The number people read out.
    #[schema(example = "GS-7K3QX0M2TB")]
    number: String,
    /// `pending`, `confirmed`, `packed`, `shipped`, `delivered`, `cancelled` or `refunded` (fully,
    /// after packing).
    #[schema(example = "confirmed")]
    status: &'static str,
    /// When it was placed.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    placed_at: String,
    /// What was bought.
    lines: Vec<OrderLine>,
    /// Sum of the lines.
    subtotal: Money,
    /// Shipping.
    shipping: Money,
    /// The tax within the total.
    tax: Money,
    /// What is paid.
    total: Money,
    /// How the goods travel.
    #[schema(example = "standard")]
    shipping_method: &'static str,
    /// Where the goods go.
    shipping_address: AddressBody,
    /// The payment.
    payment: PaymentBody,
    /// What the order has been, oldest first: what its live channel streams.
    history: Vec<TransitionBody>,
    /// What has left the house.
    shipments: Vec<ShipmentBody>,
    /// The offset in the channel `order:{id}` this is the state of.
    #[schema(example = 2, minimum = 1)]
    position: u64,
    /// Rises with every change.
    #[schema(example = 9, minimum = 1)]
    version: u64,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderLine {
    /// What.
    #[schema(example = "TV-55-OLED")]
    sku: String,
    /// Its name at checkout.
    #[schema(example = "Sharp 55″ OLED")]
    name: String,
    /// How many.
    #[schema(example = 2, minimum = 1)]
    quantity: u32,
    /// The price of one.
    unit_price: Money,
    /// The price of all.
    line_total: Money,
}

/// A postal address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Address)]
#[serde(deny_unknown_fields)]
pub struct AddressBody {
    /// Who receives it.
    #[schema(
        example = "Ada Lovelace",
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    pub name: String,
    /// Street and number.
    #[schema(
        example = "Unter den Linden 1",
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    pub line1: String,
    /// Floor, company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "3rd floor", max_length = 200, pattern = r"^[^\x00-\x1f\x7f]*$")]
    pub line2: Option<String>,
    /// Town.
    #[schema(
        example = "Berlin",
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    pub city: String,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "BE", max_length = 100, pattern = r"^[^\x00-\x1f\x7f]*$")]
    pub region: Option<String>,
    /// Postal code.
    #[schema(
        example = "10117",
        max_length = 20,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE", pattern = "^[A-Z]{2}$")]
    pub country: String,
}

impl From<AddressBody> for Address {
    fn from(body: AddressBody) -> Self {
        let AddressBody {
            name,
            line1,
            line2,
            city,
            region,
            postal_code,
            country,
        } = body;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Self {
            name,
            line1,
            line2: filled(line2),
            city,
            region: filled(region),
            postal_code,
            country,
        }
    }
}

impl From<&Address> for AddressBody {
    fn from(address: &Address) -> Self {
        let Address {
            name,
            line1,
            line2,
            city,
            region,
            postal_code,
            country,
        } = address.clone();
        Self {
            name,
            line1,
            line2,
            city,
            region,
            postal_code,
            country,
        }
    }
}

/// The payment of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentBody {
    /// `pending`, `requires_action`, `authorised`, `captured`, `declined`, `voided`, `refunded` or
    /// `partially_refunded`.
    #[schema(example = "captured")]
    status: &'static str,
    /// Who takes the money.
    #[schema(example = "sandbox")]
    provider: String,
    /// How much is to be paid.
    amount: Money,
    /// How much was given back.
    refunded: Money,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Transition)]
pub struct TransitionBody {
    /// When.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    at: String,
    /// What the order was from then on.
    #[schema(example = "pending")]
    status: &'static str,
    /// Why, or what is awaited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "requires_action")]
    detail: Option<String>,
}

/// A parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub struct ShipmentBody {
    /// When it left.
    #[schema(example = "2026-11-28T16:30:00.000Z", format = "date-time")]
    at: String,
    /// Who carries it.
    #[schema(example = "DHL")]
    carrier: String,
    /// Where to follow it.
    #[schema(example = "00340434161094042557")]
    tracking_number: String,
}

/// An order as JSON shows it.
#[must_use]
pub fn render(placed: &Placed) -> OrderBody {
    let draft = &placed.draft;
    let id = draft.order();
    let total = draft.totals.total;
    OrderBody {
        order_id: id.to_string(),
        number: id.number(),
        status: placed.status().as_str(),
        placed_at: moment(draft.placed_at),
        lines: draft
            .lines
            .iter()
            .map(|line| OrderLine {
                sku: line.sku.to_string(),
                name: line.name.clone(),
                quantity: line.quantity,
                unit_price: line.unit_price.into(),
                line_total: line.line_total.into(),
            })
            .collect(),
        subtotal: draft.totals.subtotal.into(),
        shipping: draft.totals.shipping.into(),
        tax: draft.totals.tax.into(),
        total: total.into(),
        shipping_method: draft.shipping_method.as_str(),
        shipping_address: AddressBody::from(&draft.shipping_address),
        payment: PaymentBody {
            status: placed.payment.status.as_str(),
            provider: draft.payment.provider.clone(),
            amount: total.into(),
            refunded: total.with_amount(placed.payment.refunded()).into(),
        },
        history: placed.history.iter().map(render_transition).collect(),
        shipments: placed
            .shipments
            .iter()
            .map(|shipment| ShipmentBody {
                at: moment(shipment.at),
                carrier: shipment.carrier.clone(),
                tracking_number: shipment.tracking_number.clone(),
            })
            .collect(),
        position: placed.history.len() as u64,
        version: placed.version,
    }
}

/// One entry of the history as JSON shows it.
#[must_use]
pub fn render_transition(entry: &order::Transition) -> TransitionBody {
    TransitionBody {
        at: moment(entry.at),
        status: entry.status.as_str(),
        detail: entry.detail.clone(),
    }
}

/// The answer to a step: the order after it.
fn stepped(status: StatusCode) -> impl Fn(&Order, Sequence) -> Result<Reply, Problem> + Send + 'static {
    move |order, _| {
        let placed = order
            .placed()
            .ok_or_else(|| Problem::internal("a step of an order that was not placed"))?;
        Reply::json(status, &render(placed))
    }
}

/// Why an order cannot be read.
pub(super) fn unreadable(refusal: order::Refusal) -> Problem {
    Problem::internal(refusal.to_string())
}

/// The order of a path, if it was placed and `caller` may see it. Everything else is nobody's.
///
/// # Errors
/// 404, 503.
pub async fn find(
    edge: &Edge,
    id: &str,
    caller: &accounts::Caller,
) -> Result<(OrderId, Box<Placed>), Problem> {
    let id: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    let answer = edge.region.read::<Order>(&id.entity()).await;
    let Order::Placed(placed) = answer.map_err(|error| ask_problem(error, unreadable))?.view else {
        return Err(Problem::not_found());
    };
    if caller.has(Role::Seller) || caller.has(Role::Operator) || owns(edge, caller, &placed).await? {
        Ok((id, placed))
    } else {
        Err(Problem::not_found())
    }
}

/// Whether the order is the caller's, or that of a guest the caller was.
pub(super) async fn owns(edge: &Edge, caller: &accounts::Caller, placed: &Placed) -> Result<bool, Problem> {
    let owner = placed.draft.customer;
    if !caller.has(Role::Shopper) {
        return Ok(false);
    }
    if owner == caller.customer_id {
        return Ok(true);
    }
    let identities = edge
        .accounts
        .identities(caller.customer_id)
        .await
        .map_err(account_problem)?;
    Ok(identities.contains(&owner))
}

/// The order of a path, if it is the caller's own.
async fn find_own(edge: &Edge, id: &str, caller: &accounts::Caller) -> Result<OrderId, Problem> {
    let (id, placed) = find(edge, id, caller).await?;
    if owns(edge, caller, &placed).await? {
        Ok(id)
    } else {
        Err(Problem::not_found())
    }
}

/// Read an order
///
/// Its owner, sellers and operators may.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "Orders",
    operation_id = "read_order",
    params(("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")),
    security(("bearer" = []), ("session" = [])),
    responses((status = 200, description = "The order.", body = OrderBody))
)]
async fn read(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<OrderBody>, Problem> {
    let (_, placed) = find(&edge, &id, &caller).await?;
    Ok(Answer(render(&placed)))
}

/// A body without fields; may be left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Cancel an order
///
/// Possible until it is packed. What was captured is refunded and the units return.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "Orders", request_body = Option<Nothing>,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses(
        (status = 202, description = "The order after it.", body = OrderBody),
        (status = 409, description = "It is packed already."),
    )
)]
async fn cancel(
    State(edge): State<Edge>,
    shopper: Shopper,
    once: Once,
    Path(id): Path<String>,
    body: MaybeJson<Nothing>,
) -> Result<Response, Problem> {
    let id = find_own(&edge, &id, &shopper).await?;
    let command = Command::Cancel(order::Canceller::Shopper);
    decide::<Order>(
        edge,
        once,
        body.digest,
        id.entity(),
        command,
        refused,
        stepped(StatusCode::ACCEPTED),
    )
    .await
}

/// What the shopper does in the sandbox's confirm step.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// How the step ends.
    outcome: Outcome,
}

/// How the confirm step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Confirmed.
    Succeed,
    /// Not confirmed.
    Fail,
}

/// Go through the 3-D-Secure step of the sandbox
#[utoipa::path(
    post, path = "/v1/orders/{id}/confirm-payment", tag = "Orders", request_body = Confirmation,
    params(
        ("id" = String, Path, description = "The order.", example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10"),
        KeyHeader
    ),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses(
        (status = 202, description = "The order after it.", body = OrderBody),
        (status = 409, description = "The payment does not wait for a confirmation."),
    )
)]
async fn confirm_payment(
    State(edge): State<Edge>,
    shopper: Shopper,
    once: Once,
    Path(id): Path<String>,
    body: Json<Confirmation>,
) -> Result<Response, Problem> {
    let id = find_own(&edge, &id, &shopper).await?;
    let command = Command::ConfirmPayment {
        succeed: body.value.outcome == Outcome::Succeed,
    };
    decide::<Order>(
        edge,
        once,
        body.digest,
        id.entity(),
        command,
        refused,
        stepped(StatusCode::ACCEPTED),
    )
    .await
}

/// What a caller is told when an order says no.
fn refused(refusal: order::Refusal) -> Problem {
    let sentence = format!("{refusal}.");
    match refusal {
        order::Refusal::NotPlaced => Problem::not_found(),
        order::Refusal::WrongStatus { status, .. } => Problem::new(&kind::WRONG_STATUS)
            .detail(sentence)
            .member("order_status", status.as_str()),
        order::Refusal::FullyRefunded => Problem::new(&kind::WRONG_STATUS).detail(sentence),
        order::Refusal::NothingToConfirm => Problem::new(&kind::NOTHING_TO_CONFIRM),
        order::Refusal::RefundTooLarge { refundable, .. } => Problem::new(&kind::REFUND_TOO_LARGE)
            .detail(sentence)
            .member("refundable", serde_json::to_value(refundable).unwrap_or_default()),
        order::Refusal::BadRefund { total } => {
            Problem::invalid_at("/amount", format!("must be above 0 and in {}", total.currency))
        }
    }
}
