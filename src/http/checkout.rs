//! Checking out: the one step that turns a cart into an order.
//!
//! The cart's `CheckedOut` event is the point of no return; the order's id follows from it, so
//! anyone can place the order and it happens once. The answer waits for that too, so its status URL
//! is never 404; but for no provider, no stock and no mail. If the order cannot be placed now the
//! answer is 503, and the same key finishes it (as does a worker, without anybody asking).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::Shopper;
use super::body::Json;
use super::cart::{ShippingMethodBody, find, priced, refused, subtotal};
use super::idempotency::{Begun, Once, Past, Reply, Ticket, ask_problem, detached};
use super::money::Money;
use super::openapi::KeyHeader;
use super::order::{AddressBody, unreadable};
use super::problem::{Problem, kind};
use crate::cluster::{Ask, AskError};
use crate::domain::cart::{self, Cart};
use crate::domain::id::{CartId, CustomerId};
use crate::domain::order::{self, Draft, Order};
use crate::domain::payment::Method;

/// How often a cart that changes under the checkout is looked at again.
const ATTEMPTS: u32 = 4;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(check_out))
}

/// Everything an order needs besides the cart.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckoutRequest {
    /// Where mail goes.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// Where the goods go.
    shipping_address: AddressBody,
    /// How they travel; `standard` unless you say otherwise.
    shipping_method: Option<ShippingMethodBody>,
    /// How it is paid.
    payment: PaymentMethod,
    /// What the shopper was shown; another total is refused.
    expected_total: Option<Money>,
    /// The admission to a flash sale.
    #[schema(max_length = 1000, example = "adm_1")]
    #[expect(
        dead_code,
        reason = "flash sales come later; nothing can be bought with one yet"
    )]
    sale_admission: Option<String>,
}

/// How an order is paid.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentMethod {
    /// Who takes the money.
    provider: Provider,
    /// The provider's token. In the sandbox it chooses the outcome.
    token: SandboxToken,
}

/// Who takes the money.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The built-in sandbox.
    Sandbox,
}

/// The tokens of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub enum SandboxToken {
    /// Approves.
    #[serde(rename = "tok_approve")]
    Approve,
    /// Approves after five seconds.
    #[serde(rename = "tok_slow_5s")]
    Slow,
    /// Approves after two failures.
    #[serde(rename = "tok_error_twice")]
    ErrorTwice,
    /// Approves and tells us twice.
    #[serde(rename = "tok_duplicate_webhook")]
    DuplicateWebhook,
    /// Captures, but the answer is lost.
    #[serde(rename = "tok_timeout_charged")]
    TimeoutCharged,
    /// The capture is lost on the way.
    #[serde(rename = "tok_timeout_not_charged")]
    TimeoutNotCharged,
    /// Declines.
    #[serde(rename = "tok_decline")]
    Decline,
    /// Declines for lack of money.
    #[serde(rename = "tok_insufficient_funds")]
    InsufficientFunds,
    /// Wants a confirm step.
    #[serde(rename = "tok_3ds")]
    ThreeDs,
}

impl SandboxToken {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "tok_approve",
            Self::Slow => "tok_slow_5s",
            Self::ErrorTwice => "tok_error_twice",
            Self::DuplicateWebhook => "tok_duplicate_webhook",
            Self::TimeoutCharged => "tok_timeout_charged",
            Self::TimeoutNotCharged => "tok_timeout_not_charged",
            Self::Decline => "tok_decline",
            Self::InsufficientFunds => "tok_insufficient_funds",
            Self::ThreeDs => "tok_3ds",
        }
    }
}

/// An order that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckedOut {
    /// The order.
    #[schema(example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    order_id: String,
    /// The number people read out.
    #[schema(example = "GS-7K3QX0M2TB")]
    number: String,
    /// `pending`: stock and payment are under way.
    #[schema(example = "pending")]
    status: &'static str,
    /// What it costs.
    total: Money,
    /// Where it can be read.
    #[schema(example = "/v1/orders/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    status_url: String,
    /// Where it can be watched live.
    #[schema(example = "order:6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    channel: String,
}

/// Check out
///
/// Seals the cart into an order and empties it. Sold out is not refused here: the order ends
/// `cancelled`, `out_of_stock`. No payment provider is waited for.
#[utoipa::path(
    post, path = "/v1/cart/checkout", tag = "Cart", request_body = CheckoutRequest,
    params(KeyHeader),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses(
        (status = 202, description = "The order is placed.", body = CheckedOut),
        (status = 409, description = "The cart is empty or has changed, a product is no longer sold, or the total is another than expected."),
    )
)]
async fn check_out(
    State(edge): State<Edge>,
    shopper: Shopper,
    once: Once,
    body: Json<CheckoutRequest>,
) -> Result<Response, Problem> {
    place(edge, shopper.customer_id, once, body.digest, body.value).await
}

/// Turns the cart of `customer` into an order, once for each key; the pages do the same.
///
/// # Errors
/// 409 when the cart cannot be checked out, 422, 503.
pub async fn place(
    edge: Edge,
    customer: CustomerId,
    once: Once,
    digest: [u8; 32],
    request: CheckoutRequest,
) -> Result<Response, Problem> {
    detached(async move {
        match once.begin(&edge, digest).await? {
            Begun::First(ticket) => match seal(&edge, customer, &ticket, &request).await? {
                Some(draft) => finish(&edge, Arc::new(draft), false).await,
                // An earlier attempt was done although nobody heard of it.
                None => again(&edge, &once, digest).await,
            },
            Begun::Again(_) => again(&edge, &once, digest).await,
        }
    })
    .await
}

/// Seals the cart; nothing if this very request had sealed it before.
async fn seal(
    edge: &Edge,
    customer: CustomerId,
    ticket: &Ticket,
    request: &CheckoutRequest,
) -> Result<Option<Draft>, Problem> {
    let cart_id = CartId::of(customer);
    for _ in 0..ATTEMPTS {
        let cart = find(edge, customer).await?;
        if cart.lines.is_empty() {
            return Err(Problem::new(&kind::CART_EMPTY));
        }
        let mut draft = draft(edge, customer, &cart, request)?;
        let command = cart::Command::CheckOut {
            version: cart.version,
            draft: Box::new(draft.clone()),
        };
        let ask = Ask::new(command)
            .operation(ticket.operation)
            .remember(Some(ticket.remember));
        match edge.region.ask::<Cart>(&cart_id.entity(), ask).await {
            Ok(answer) if answer.repeated => return Ok(None),
            Ok(answer) => {
                let sealed = answer
                    .view
                    .last_checkout
                    .ok_or_else(|| Problem::internal("a cart was checked out and does not know it"))?;
                // What the cart filled in: with it this is the draft its event holds.
                draft.checkout = sealed.number;
                draft.placed_at = sealed.placed_at;
                return Ok(Some(draft));
            }
            Err(AskError::Refused(cart::Refusal::Changed { .. })) => {}
            Err(error) => return Err(ask_problem(error, refused)),
        }
    }
    Err(Problem::new(&kind::CART_CHANGED))
}

/// The order a cart makes at today's prices, if it can be made as expected.
fn draft(
    edge: &Edge,
    customer: CustomerId,
    cart: &Cart,
    request: &CheckoutRequest,
) -> Result<Draft, Problem> {
    let lines = priced(cart, &edge.views.catalogue);
    let gone: Vec<_> = lines
        .iter()
        .filter(|line| !line.for_sale)
        .map(|line| line.sku.to_string())
        .collect();
    if !gone.is_empty() {
        return Err(Problem::new(&kind::NOT_FOR_SALE).member("skus", gone));
    }
    let shipping_method = request.shipping_method.map(Into::into).unwrap_or_default();
    let totals = edge.settings.tariff.totals(subtotal(&lines), shipping_method);
    let total = Money::from(totals.total);
    if request
        .expected_total
        .as_ref()
        .is_some_and(|expected| *expected != total)
    {
        let total = serde_json::to_value(&total).unwrap_or_default();
        return Err(Problem::new(&kind::TOTAL_CHANGED)
            .detail(format!("The order would cost {}.", totals.total))
            .member("total", total));
    }
    let Provider::Sandbox = request.payment.provider;
    Ok(Draft {
        customer,
        cart: CartId::of(customer),
        checkout: 0,
        placed_at: crate::domain::Millis::default(),
        email: request.email.trim().to_owned(),
        shipping_address: request.shipping_address.clone().into(),
        shipping_method,
        lines: lines
            .into_iter()
            .map(|line| order::Line {
                sku: line.sku,
                name: line.name,
                quantity: line.quantity,
                unit_price: line.unit_price,
                line_total: line.line_total,
            })
            .collect(),
        totals,
        payment: Method {
            provider: "sandbox".to_owned(),
            token: request.payment.token.as_str().to_owned(),
        },
    })
}

/// Answers again from the cart's event, and places the order should that not have happened.
async fn again(edge: &Edge, once: &Once, digest: [u8; 32]) -> Result<Response, Problem> {
    let past = Past::<Cart>::recall(edge, &once.remembered(edge, digest).await?).await?;
    let Some(cart::Event::CheckedOut { draft }) = past.last else {
        return Err(Problem::internal(
            "a checkout was remembered at an event that is none",
        ));
    };
    finish(edge, draft, true).await
}

/// Places the order and says where it is.
async fn finish(edge: &Edge, draft: Arc<Draft>, replayed: bool) -> Result<Response, Problem> {
    let id = draft.order();
    let place = Ask::new(order::Command::Place(Arc::clone(&draft)));
    let placed = edge.region.ask::<Order>(&id.entity(), place).await;
    // The order's position, not the cart's: with it the caller finds the order in its list.
    let token = placed.map_err(|error| ask_problem(error, unreadable))?.token;
    let body = CheckedOut {
        order_id: id.to_string(),
        number: id.number(),
        status: order::Status::Pending.as_str(),
        total: draft.totals.total.into(),
        status_url: format!("/v1/orders/{id}"),
        channel: format!("order:{id}"),
    };
    let location = HeaderValue::from_str(&body.status_url).unwrap_or(HeaderValue::from_static("/v1/orders"));
    let reply = Reply::json(StatusCode::ACCEPTED, &body)?.header(header::LOCATION, location);
    Ok(reply.into_answer(token, replayed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn tokens_are_written_as_the_provider_reads_them() {
        let schema = serde_json::to_value(SandboxToken::schema()).unwrap();
        let words = schema["enum"].as_array().unwrap();
        assert_eq!(words.len(), 9);
        for word in words {
            let token: SandboxToken = serde_json::from_value(word.clone()).unwrap();
            assert_eq!(json!(token.as_str()), *word);
        }
    }
}
