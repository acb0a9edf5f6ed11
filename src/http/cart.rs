//! The cart of the caller.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::Shopper;
use super::body::Json;
use super::idempotency::ask_problem;
use super::money::Money;
use super::position::{self, POSITION};
use super::problem::{Problem, kind};
use super::stock::sku;
use crate::cluster::{Answer, Ask};
use crate::domain;
use crate::domain::cart::{self, Cart, Command};
use crate::domain::id::{CartId, CustomerId, Sku};
use crate::domain::quote::{ShippingMethod, Totals};
use crate::views::{Availability, Catalogue};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(read, clear))
        .routes(routes!(set_line, remove_line))
        .routes(routes!(quote))
}

/// A cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Cart)]
pub struct CartBody {
    /// The id.
    #[schema(example = "0197f0a4-0000-7000-8000-000000000001")]
    cart_id: String,
    /// Rises with every change.
    #[schema(example = 4, minimum = 0)]
    version: u64,
    /// In the order in which they were first added.
    lines: Vec<CartLine>,
    /// Sum of the lines.
    subtotal: Money,
    /// The shop's currency.
    #[schema(example = "EUR")]
    currency: String,
}

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CartLine {
    /// What.
    #[schema(example = "TV-55-OLED")]
    sku: String,
    /// Its name.
    #[schema(example = "Sharp 55″ OLED")]
    name: String,
    /// How many.
    #[schema(example = 2, minimum = 1, maximum = 99)]
    quantity: u32,
    /// The price of one now.
    unit_price: Money,
    /// The price of all now.
    line_total: Money,
    /// `in_stock`, `low` or `out_of_stock`.
    #[schema(example = "in_stock")]
    availability: &'static str,
    /// What the shopper should know: that the price has changed, that it is sold out or no longer sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "The price has changed: it was 1999.00 EUR.")]
    notice: Option<String>,
}

/// A line of a cart with what the catalogue says of it now.
#[derive(Clone, Debug)]
pub struct PricedLine {
    /// What.
    pub sku: Sku,
    /// Its name now.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What one cost when the line was last set.
    pub quoted: domain::Money,
    /// What one costs now.
    pub unit_price: domain::Money,
    /// What all cost now.
    pub line_total: domain::Money,
    /// What the stock last said.
    pub availability: Availability,
    /// Whether it is still sold.
    pub for_sale: bool,
}

impl PricedLine {
    /// What the shopper should know.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let mut sentences = Vec::new();
        if !self.for_sale {
            sentences.push("This is no longer sold. Remove it to check out.".to_owned());
        } else if self.availability == Availability::OutOfStock {
            sentences.push("This is sold out at the moment.".to_owned());
        }
        if self.unit_price != self.quoted {
            sentences.push(format!("The price has changed: it was {}.", self.quoted));
        }
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

/// The lines of a cart at today's prices.
#[must_use]
pub fn priced(cart: &Cart, catalogue: &Catalogue) -> Vec<PricedLine> {
    let price = |line: &cart::Line| {
        let card = catalogue.card(&line.sku);
        let unit_price = card.as_ref().map_or(line.quoted, |card| card.price);
        PricedLine {
            sku: line.sku.clone(),
            name: card
                .as_ref()
                .map_or_else(|| line.sku.to_string(), |card| card.name.as_ref().to_owned()),
            quantity: line.quantity,
            quoted: line.quoted,
            unit_price,
            line_total: unit_price.times(line.quantity),
            availability: card
                .as_ref()
                .map_or(Availability::OutOfStock, |card| card.availability),
            for_sale: card.is_some_and(|card| card.published),
        }
    };
    cart.lines.iter().map(price).collect()
}

/// Sum of lines, minor units.
#[must_use]
pub fn subtotal(lines: &[PricedLine]) -> i64 {
    lines
        .iter()
        .map(|line| line.line_total.amount)
        .fold(0, i64::saturating_add)
}

/// A cart as JSON shows it, here and in the live channel.
#[must_use]
pub fn render(id: CartId, cart: &Cart, catalogue: &Catalogue, currency: domain::Currency) -> CartBody {
    let lines = priced(cart, catalogue);
    CartBody {
        cart_id: id.to_string(),
        version: cart.version,
        subtotal: domain::Money::new(subtotal(&lines), currency).into(),
        currency: currency.to_string(),
        lines: lines
            .into_iter()
            .map(|line| CartLine {
                notice: line.notice(),
                sku: line.sku.to_string(),
                name: line.name,
                quantity: line.quantity,
                unit_price: line.unit_price.into(),
                line_total: line.line_total.into(),
                availability: line.availability.as_str(),
            })
            .collect(),
    }
}

/// A write's answer: the cart, and where it is in the journal.
fn written(edge: &Edge, id: CartId, answer: &Answer<Cart>) -> Response {
    let body = render(
        id,
        &answer.view,
        &edge.views.catalogue,
        edge.settings.tariff.currency,
    );
    ([(POSITION, position::value(answer.token))], axum::Json(body)).into_response()
}

async fn ask(edge: &Edge, shopper: &Shopper, command: Command) -> Result<Response, Problem> {
    let id = CartId::of(shopper.customer_id);
    let answer = edge.region.ask::<Cart>(&id.entity(), Ask::new(command)).await;
    Ok(written(
        edge,
        id,
        &answer.map_err(|error| ask_problem(error, refused))?,
    ))
}

/// The cart of a customer as its entity has it.
///
/// # Errors
/// 503.
pub async fn find(edge: &Edge, customer: CustomerId) -> Result<Cart, Problem> {
    let answer = edge.region.read::<Cart>(&CartId::of(customer).entity()).await;
    Ok(answer.map_err(|error| ask_problem(error, refused))?.view)
}

/// Read the cart
#[utoipa::path(
    get, path = "/v1/cart", tag = "Cart",
    operation_id = "read_cart",
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses((status = 200, description = "The cart.", body = CartBody))
)]
async fn read(State(edge): State<Edge>, shopper: Shopper) -> Result<axum::Json<CartBody>, Problem> {
    let cart = find(&edge, shopper.customer_id).await?;
    let id = CartId::of(shopper.customer_id);
    Ok(axum::Json(render(
        id,
        &cart,
        &edge.views.catalogue,
        edge.settings.tariff.currency,
    )))
}

/// How many of a SKU.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// 0 removes the line.
    #[schema(example = 2, minimum = 0, maximum = 99)]
    quantity: u32,
}

/// Put a SKU into the cart, or change how many
///
/// Repeatable: it says how many there are to be. Never refused for stock; `availability` and
/// `notice` say how it stands.
#[utoipa::path(
    put, path = "/v1/cart/lines/{sku}", tag = "Cart", request_body = Quantity,
    params(("sku" = String, Path, description = "The SKU.", example = "TV-55-OLED")),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses(
        (status = 200, description = "The cart afterwards.", body = CartBody),
        (status = 409, description = "The cart takes at most 100 different products."),
    )
)]
async fn set_line(
    State(edge): State<Edge>,
    shopper: Shopper,
    Path(path): Path<String>,
    body: Json<Quantity>,
) -> Result<Response, Problem> {
    let sku = sku(&path)?;
    let quantity = body.value.quantity;
    let quoted = match edge.views.catalogue.card(&sku) {
        Some(card) if card.published => card.price,
        // What is no longer sold can be made less of, if it is in the cart.
        hidden => {
            let cart = find(&edge, shopper.customer_id).await?;
            let line = cart.line(&sku).filter(|line| quantity <= line.quantity);
            match (line, hidden) {
                (Some(line), _) => line.quoted,
                (None, Some(card)) if quantity == 0 => card.price,
                (None, _) => return Err(Problem::not_found().detail("No product has this SKU.")),
            }
        }
    };
    ask(
        &edge,
        &shopper,
        Command::SetLine {
            sku,
            quantity,
            quoted,
        },
    )
    .await
}

/// Take a SKU out of the cart
#[utoipa::path(
    delete, path = "/v1/cart/lines/{sku}", tag = "Cart",
    params(("sku" = String, Path, description = "The SKU.", example = "TV-55-OLED")),
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses((status = 200, description = "The cart afterwards.", body = CartBody))
)]
async fn remove_line(
    State(edge): State<Edge>,
    shopper: Shopper,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let sku = sku(&path)?;
    let known = edge.views.catalogue.card(&sku).map(|card| card.price);
    let quoted = match known {
        Some(price) => price,
        None => {
            let cart = find(&edge, shopper.customer_id).await?;
            cart.line(&sku)
                .ok_or_else(|| Problem::not_found().detail("No product has this SKU."))?
                .quoted
        }
    };
    ask(
        &edge,
        &shopper,
        Command::SetLine {
            sku,
            quantity: 0,
            quoted,
        },
    )
    .await
}

/// Empty the cart
#[utoipa::path(
    delete, path = "/v1/cart", tag = "Cart",
    operation_id = "clear_cart",
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses((status = 200, description = "The cart, empty.", body = CartBody))
)]
async fn clear(State(edge): State<Edge>, shopper: Shopper) -> Result<Response, Problem> {
    ask(&edge, &shopper, Command::Clear).await
}

/// Where the goods are to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE", pattern = "^[A-Z]{2}$")]
    #[expect(dead_code, reason = "the demo tariff is the same everywhere")]
    country: String,
    /// Postal code.
    #[schema(example = "10117", max_length = 20, pattern = r"^[^\x00-\x1f\x7f]*$")]
    #[expect(dead_code, reason = "the demo tariff is the same everywhere")]
    postal_code: Option<String>,
    /// How they travel; `standard` unless you say otherwise.
    shipping_method: Option<ShippingMethodBody>,
}

/// How the goods travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = ShippingMethod)]
#[serde(rename_all = "snake_case")]
pub enum ShippingMethodBody {
    /// Standard; free from a threshold.
    Standard,
    /// Express.
    Express,
}

impl From<ShippingMethodBody> for ShippingMethod {
    fn from(body: ShippingMethodBody) -> Self {
        match body {
            ShippingMethodBody::Standard => Self::Standard,
            ShippingMethodBody::Express => Self::Express,
        }
    }
}

/// What the cart would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quote {
    /// Sum of the lines.
    subtotal: Money,
    /// Shipping.
    shipping: Money,
    /// The tax within the total.
    tax: Money,
    /// Whether prices include the tax.
    #[schema(example = true)]
    tax_included: bool,
    /// What would be paid.
    total: Money,
}

impl From<Totals> for Quote {
    fn from(totals: Totals) -> Self {
        Self {
            subtotal: totals.subtotal.into(),
            shipping: totals.shipping.into(),
            tax: totals.tax.into(),
            tax_included: true,
            total: totals.total.into(),
        }
    }
}

/// Ask what the cart would cost
#[utoipa::path(
    post, path = "/v1/cart/quote", tag = "Cart", request_body = QuoteRequest,
    security(("bearer" = ["shopper"]), ("session" = ["shopper"])),
    responses((status = 200, description = "What it would cost now.", body = Quote))
)]
async fn quote(
    State(edge): State<Edge>,
    shopper: Shopper,
    body: Json<QuoteRequest>,
) -> Result<axum::Json<Quote>, Problem> {
    let cart = find(&edge, shopper.customer_id).await?;
    let lines = priced(&cart, &edge.views.catalogue);
    let method = body
        .value
        .shipping_method
        .map_or(ShippingMethod::default(), Into::into);
    Ok(axum::Json(
        edge.settings.tariff.totals(subtotal(&lines), method).into(),
    ))
}

/// What a caller is told when a cart says no.
pub(super) fn refused(refusal: cart::Refusal) -> Problem {
    match refusal {
        cart::Refusal::QuantityTooLarge => Problem::invalid_at("/quantity", "must be at most 99"),
        cart::Refusal::TooManyLines => Problem::new(&kind::CART_FULL),
        cart::Refusal::Empty => Problem::new(&kind::CART_EMPTY),
        cart::Refusal::Changed { version } => Problem::new(&kind::CART_CHANGED).member("version", version),
    }
}
