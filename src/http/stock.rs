//! The stock of a SKU: read and adjusted by sellers.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::Seller;
use super::body::Json;
use super::idempotency::{Once, Reply, ask_problem, decide};
use super::openapi::KeyHeader;
use super::position::settle_in_catalogue;
use super::problem::{Problem, kind};
use crate::domain::id::Sku;
use crate::domain::product::{self, Product};
use crate::domain::stock::{self, Levels, Stock};
use crate::journal::Sequence;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(adjust))
}

/// The figures of one SKU: `on_hand = available + held + sold`, none below 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Stock)]
pub struct StockBody {
    /// The SKU.
    #[schema(example = "TV-55-OLED")]
    sku: String,
    /// Units in the house.
    #[schema(example = 120, minimum = 0)]
    on_hand: u64,
    /// Units held for orders that are not paid.
    #[schema(example = 3, minimum = 0)]
    held: u64,
    /// Units sold and not yet shipped.
    #[schema(example = 7, minimum = 0)]
    sold: u64,
    /// Units that can still be held.
    #[schema(example = 110, minimum = 0)]
    available: u64,
    /// Rises with every movement.
    #[schema(example = 42, minimum = 0)]
    position: i64,
}

/// The figures as JSON shows them.
#[must_use]
pub fn render(sku: &Sku, levels: &Levels, sequence: Sequence) -> StockBody {
    StockBody {
        sku: sku.to_string(),
        on_hand: levels.on_hand,
        held: levels.held,
        sold: levels.sold,
        available: levels.available(),
        position: sequence.0,
    }
}

/// The SKU of a path. What cannot be one is nobody's.
pub(super) fn sku(text: &str) -> Result<Sku, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// Refuses a SKU that no product has and nobody ever counted.
async fn check_known(edge: &Edge, sku: &Sku) -> Result<(), Problem> {
    if edge.views.catalogue.card(sku).is_some() {
        return Ok(());
    }
    let problem = |error| {
        ask_problem(error, |refusal: product::Refusal| {
            Problem::internal(refusal.to_string())
        })
    };
    let product = edge
        .region
        .read::<Product>(&sku.product())
        .await
        .map_err(problem)?;
    if product.view.listing.is_some() {
        Ok(())
    } else {
        Err(Problem::not_found())
    }
}

/// Read the stock of a SKU
#[utoipa::path(
    get, path = "/v1/stock/{sku}", tag = "Stock",
    operation_id = "read_stock",
    params(("sku" = String, Path, description = "The SKU.", example = "TV-55-OLED")),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses((status = 200, description = "The figures.", body = StockBody))
)]
async fn read(
    State(edge): State<Edge>,
    _: Seller,
    Path(path): Path<String>,
) -> Result<Answer<StockBody>, Problem> {
    let sku = sku(&path)?;
    let problem = |error| ask_problem(error, refused);
    let stock = edge.region.read::<Stock>(&sku.stock()).await.map_err(problem)?;
    if stock.sequence == Sequence(0) {
        check_known(&edge, &sku).await?;
    }
    Ok(Answer(render(&sku, &stock.view, stock.sequence)))
}

/// Units that came or went.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// By how many; not 0.
    #[schema(schema_with = delta_schema)]
    delta: i64,
    /// Why, in words.
    #[schema(example = "delivery 4711", min_length = 1, max_length = 200)]
    reason: String,
}

fn delta_schema() -> Schema {
    let range = || ObjectBuilder::new().schema_type(Type::Integer);
    AnyOfBuilder::new()
        .item(range().minimum(Some(1)).maximum(Some(1_000_000_000)))
        .item(range().minimum(Some(-1_000_000_000)).maximum(Some(-1)))
        .description(Some("By how many; not 0."))
        .examples([json!(25)])
        .into()
}

/// Adjust the stock of a SKU
///
/// A delivery, a count, a loss. Never below what is held or sold.
#[utoipa::path(
    post, path = "/v1/stock/{sku}/adjustments", tag = "Stock", request_body = Adjustment,
    params(("sku" = String, Path, description = "The SKU.", example = "TV-55-OLED"), KeyHeader),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The figures afterwards.", body = StockBody),
        (status = 409, description = "That many units are held or sold."),
    )
)]
async fn adjust(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Path(path): Path<String>,
    body: Json<Adjustment>,
) -> Result<Response, Problem> {
    let sku = sku(&path)?;
    check_known(&edge, &sku).await?;
    let Adjustment { delta, reason } = body.value;
    let command = stock::Command::Adjust { delta, reason };
    let entity = sku.stock();
    let render =
        move |levels: &Levels, sequence| Reply::json(StatusCode::OK, &render(&sku, levels, sequence));
    let answer = decide::<Stock>(edge.clone(), once, body.digest, entity, command, refused, render).await?;
    Ok(settle_in_catalogue(&edge, answer).await)
}

fn refused(refusal: stock::Refusal) -> Problem {
    match refusal {
        stock::Refusal::NotThatMany { available, .. } => Problem::new(&kind::UNITS_TAKEN)
            .detail(format!("{refusal}."))
            .member("available", available),
        stock::Refusal::NothingToAdjust => Problem::invalid_at("/delta", "must not be 0"),
        other => Problem::internal(other.to_string()),
    }
}
