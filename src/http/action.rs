//! What operators do to the machine: once, with their reason, written down.
//!
//! An action answers what came of it, which no entity remembers. So the answer is kept with the row
//! that says who did what and why, and a repetition is given it again.

use std::future::Future;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{Operator, account_problem};
use super::exchange::Exchange;
use super::idempotency::{Once, REPLAYED, detached};
use super::money::moment;
use super::problem::{Problem, kind};
use super::query::Query;
use crate::accounts::{Action, BegunAction, NewAction};

/// How many actions a page shows unless asked.
const PAGE: u32 = 24;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An action that is asked for.
pub(super) struct Asked {
    /// What is to be done, such as `dead_letter.redrive`.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
}

/// What an action came to.
pub(super) struct Outcome {
    /// For the audit, in a word or a few.
    pub said: String,
    /// The body of the answer.
    pub body: String,
}

impl Outcome {
    /// An outcome that answers with `body`.
    ///
    /// # Errors
    /// 500 for what is not JSON.
    pub fn new(said: impl Into<String>, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(body).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Self {
            said: said.into(),
            body,
        })
    }
}

/// Does what an operator asks for and writes it down; or answers again.
///
/// # Errors
/// Those of the work; 409 while the same request is at work, 422 when it came with another body,
/// 503. After a 5xx the same request is worked on anew, so `work` must bear to be done twice.
pub(super) async fn act(
    edge: Edge,
    exchange: &Exchange,
    once: Once,
    asked: Asked,
    work: impl Future<Output = Result<Outcome, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let new = NewAction {
        id: once.id(),
        body: asked.digest,
        by: once.caller.customer_id,
        action: asked.action,
        target: asked.target,
        reason: asked.reason,
        trace_id: exchange.trace().id(),
    };
    // Boxed: it carries the work, and whoever calls would carry both.
    detached(Box::pin(async move {
        let _flight = once.hold(&edge)?;
        match edge.accounts.begin_action(&new).await.map_err(account_problem)? {
            BegunAction::First => {}
            BegunAction::Answered(answer) => return Ok(answered(answer, true)),
            BegunAction::Another => return Err(Problem::new(&kind::KEY_REUSED)),
        }
        let NewAction {
            action,
            target,
            reason,
            trace_id,
            ..
        } = &new;
        let result = work.await;
        let (said, answer) = match &result {
            Ok(outcome) => (outcome.said.as_str(), Some(outcome.body.as_str())),
            Err(problem) => (problem.kind().slug, None),
        };
        tracing::warn!(trace_id, customer.id = %new.by, action, target, reason, outcome = said, "an operator acted");
        let written = edge.accounts.end_action(new.id, said, answer).await;
        let outcome = result?;
        written.map_err(account_problem)?;
        Ok(answered(outcome.body, false))
    }))
    .await
}

fn answered(body: String, replayed: bool) -> Response {
    let mut answer = body.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    answer
}

/// What an operator did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorAction)]
pub struct ActionBody {
    /// When it began.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    at: String,
    /// When it ended; null while it is at work, or if the node did not live to end it.
    #[schema(required, example = "2026-11-27T09:00:00.120Z", format = "date-time")]
    ended_at: Option<String>,
    /// Who did it.
    #[schema(example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde30")]
    customer_id: String,
    /// What was done.
    #[schema(example = "dead_letter.redrive")]
    action: String,
    /// To what.
    #[schema(example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31")]
    target: String,
    /// Why, in the operator's words.
    #[schema(required, example = "the mail server is back")]
    reason: Option<String>,
    /// What it came to; the last part of a problem's type if it failed. Null while it is at work.
    #[schema(required, example = "done")]
    outcome: Option<String>,
    /// The trace of the request, for the log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: String,
}

/// One page of what operators did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorActionPage)]
pub struct ActionPage {
    /// The actions, newest first.
    items: Vec<ActionBody>,
    /// Where the next page starts; null at the end.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

/// Which page of the audit.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActionQuery {
    /// How many at most; 24 unless you say otherwise.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100, example = 24)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[schema(max_length = 512)]
    #[param(max_length = 512, example = "42")]
    cursor: Option<String>,
}

fn render(action: Action) -> ActionBody {
    ActionBody {
        at: moment(action.begun_at),
        ended_at: action.ended_at.map(moment),
        customer_id: action.by.to_string(),
        action: action.action,
        target: action.target,
        reason: action.reason,
        outcome: action.outcome,
        trace_id: action.trace_id,
    }
}

/// The audit
///
/// What operators did to the machine, and why: redrives, pauses. Newest first.
#[utoipa::path(
    get, path = "/ops/v1/audit", tag = "Operations",
    operation_id = "list_operator_actions",
    params(ActionQuery),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "One page, newest first.", body = ActionPage))
)]
async fn list(
    State(edge): State<Edge>,
    _: Operator,
    Query(query): Query<ActionQuery>,
) -> Result<Answer<ActionPage>, Problem> {
    let before = query
        .cursor
        .as_deref()
        .map(|cursor| {
            cursor
                .parse()
                .map_err(|_| Problem::invalid_at("/cursor", "is no cursor of this list"))
        })
        .transpose()?;
    let limit = query.limit.unwrap_or(PAGE);
    let mut actions = edge
        .accounts
        .actions(before, limit + 1)
        .await
        .map_err(account_problem)?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = actions.len() > size;
    actions.truncate(size);
    let next_cursor = actions
        .last()
        .filter(|_| more)
        .map(|action| action.number.to_string());
    Ok(Answer(ActionPage {
        items: actions.into_iter().map(render).collect(),
        next_cursor,
    }))
}
