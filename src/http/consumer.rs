//! The readers of the relay: how far they are, paused and let go on.

use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::action::{Asked, Outcome, act};
use super::auth::Operator;
use super::body::Json;
use super::dead_letter::book_problem;
use super::exchange::Exchange;
use super::idempotency::Once;
use super::openapi::KeyHeader;
use super::problem::Problem;
use crate::relay::runtime::{ReaderFigures, RelayFigures};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// How a reader of the relay is doing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consumer)]
pub struct ConsumerBody {
    /// Its name.
    #[schema(example = "mail")]
    name: &'static str,
    /// Whether it is a view, which is rebuilt and neither paused nor redriven.
    #[schema(example = false)]
    view: bool,
    /// Whether an operator has paused it.
    #[schema(example = false)]
    paused: bool,
    /// Committed events it has not settled.
    #[schema(example = 0)]
    lag: u64,
    /// Events at work, or waiting behind one that is.
    #[schema(example = 0)]
    in_flight: usize,
    /// Its dead letters that wait or are parked.
    #[schema(example = 0)]
    dead_letters: u64,
}

/// The readers of the relay.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsumerPage)]
pub struct ConsumerPage {
    /// Every one.
    items: Vec<ConsumerBody>,
    /// Always null: all of them fit one page.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

fn render(figures: &RelayFigures, reader: &ReaderFigures) -> ConsumerBody {
    ConsumerBody {
        name: reader.name,
        view: reader.view,
        paused: reader.paused,
        lag: reader.lag,
        in_flight: reader.in_flight,
        dead_letters: figures.dead(reader.name),
    }
}

/// The consumers
///
/// Who follows the journal on this node (workers and views), and how far behind it is.
#[utoipa::path(
    get, path = "/ops/v1/consumers", tag = "Operations",
    operation_id = "list_consumers",
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "All of them.", body = ConsumerPage))
)]
async fn list(State(edge): State<Edge>, _: Operator) -> Result<Answer<ConsumerPage>, Problem> {
    let figures = edge.relay.figures().await.map_err(|fault| book_problem(&fault))?;
    let items = figures.readers.iter().map(|reader| render(&figures, reader));
    Ok(Answer(ConsumerPage {
        items: items.collect(),
        next_cursor: None,
    }))
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, for the audit.
    #[schema(
        example = "the mail server is being replaced",
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    reason: String,
}

/// A consumer that was paused or let go on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsumerPaused)]
pub struct Paused {
    /// Its name.
    #[schema(example = "mail")]
    name: String,
    /// Whether it takes no new events now.
    #[schema(example = true)]
    paused: bool,
}

/// Pause a consumer
///
/// It takes no new events on this node until it is resumed or the node starts again; what it has
/// begun it ends. Nothing is lost: it goes on from where it was.
#[utoipa::path(
    post, path = "/ops/v1/consumers/{name}/pause", tag = "Operations", request_body = Reason,
    operation_id = "pause_consumer",
    params(("name" = String, Path, description = "The consumer.", example = "mail"), KeyHeader),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "It is paused.", body = Paused))
)]
async fn pause(
    State(edge): State<Edge>,
    _: Operator,
    once: Once,
    Path(name): Path<String>,
    Extension(exchange): Extension<Exchange>,
    body: Json<Reason>,
) -> Result<Response, Problem> {
    set(edge, once, exchange, name, body, true).await
}

/// Resume a consumer
#[utoipa::path(
    post, path = "/ops/v1/consumers/{name}/resume", tag = "Operations", request_body = Reason,
    operation_id = "resume_consumer",
    params(("name" = String, Path, description = "The consumer.", example = "mail"), KeyHeader),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "It goes on.", body = Paused))
)]
async fn resume(
    State(edge): State<Edge>,
    _: Operator,
    once: Once,
    Path(name): Path<String>,
    Extension(exchange): Extension<Exchange>,
    body: Json<Reason>,
) -> Result<Response, Problem> {
    set(edge, once, exchange, name, body, false).await
}

async fn set(
    edge: Edge,
    once: Once,
    exchange: Exchange,
    name: String,
    body: Json<Reason>,
    paused: bool,
) -> Result<Response, Problem> {
    let known = edge.relay.readers();
    if !known.iter().any(|reader| reader.name == name && !reader.view) {
        return Err(Problem::not_found().detail("There is no consumer of that name; views cannot be paused."));
    }
    let asked = Asked {
        action: if paused {
            "consumer.pause"
        } else {
            "consumer.resume"
        },
        target: name.clone(),
        reason: Some(body.value.reason),
        digest: body.digest,
    };
    let relay = edge.relay.clone();
    let work = async move {
        relay.pause(&name, paused);
        let said = if paused { "paused" } else { "resumed" };
        Outcome::new(said, &Paused { name, paused })
    };
    act(edge, &exchange, once, asked, work).await
}
