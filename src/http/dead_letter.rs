//! The dead letters: listed, shown without personal data, redriven.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Edge;
use super::action::{Asked, Outcome, act};
use super::auth::{Operator, chain};
use super::body::MaybeJson;
use super::exchange::Exchange;
use super::idempotency::{Once, journal_problem};
use super::money::moment;
use super::openapi::KeyHeader;
use super::problem::{Problem, kind};
use super::query::Query;
use crate::domain::EntityId;
use crate::inspect::{masked, masked_words};
use crate::journal::Recorded;
use crate::relay::book::BookFault;
use crate::relay::dead_letter::{
    DeadLetter, DeadLetters, LetterFilter, LetterState, REDRIVE_BATCH, RedriveFault, RedriveOutcome, Redriven,
};

/// How many letters a page shows unless asked.
const PAGE: u32 = 24;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(redrive_one))
        .routes(routes!(redrive_many))
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = DeadLetterState)]
#[serde(rename_all = "snake_case")]
pub enum StateBody {
    /// Waits for a redrive.
    Waiting,
    /// Was handled in the end.
    Done,
    /// Redriven in vain too often; only naming it by its id tries it again.
    Parked,
}

impl From<StateBody> for LetterState {
    fn from(state: StateBody) -> Self {
        match state {
            StateBody::Waiting => Self::Waiting,
            StateBody::Done => Self::Done,
            StateBody::Parked => Self::Parked,
        }
    }
}

impl From<LetterState> for StateBody {
    fn from(state: LetterState) -> Self {
        match state {
            LetterState::Waiting => Self::Waiting,
            LetterState::Done => Self::Done,
            LetterState::Parked => Self::Parked,
        }
    }
}

/// An event that a consumer could not handle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct LetterBody {
    /// Its id.
    #[schema(example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31")]
    id: String,
    /// Who could not handle the event.
    #[schema(example = "mail")]
    consumer: String,
    /// Whose event it is.
    #[schema(example = "order/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    entity: String,
    /// The event's place in its entity.
    #[schema(example = 1)]
    sequence: i64,
    /// The event's shard.
    #[schema(example = 12)]
    shard: u16,
    /// The event's place in its shard.
    #[schema(example = 345)]
    position: i64,
    /// What went wrong last, with all its causes; what it quotes of somebody's data is masked.
    #[schema(example = "a mail was refused: permanent error (550): no such user")]
    reason: String,
    /// How often it was tried before it came here.
    #[schema(example = 1)]
    attempts: u32,
    /// How often it was redriven.
    #[schema(example = 0)]
    redrives: u32,
    /// What became of it.
    #[schema(inline)]
    state: StateBody,
    /// What helps: `redrive`; `rebuild` for a letter of a view, which is derived anew once the cause
    /// is mended; `no_consumer` if this build has nobody of that name; `nothing` if it is done.
    #[schema(example = "redrive")]
    remedy: &'static str,
    /// Whether later events of the entity wait for it.
    #[schema(example = false)]
    blocks: bool,
    /// The trace of everything the consumer ever did about the event; it stands on each of its log
    /// lines, those of redrives included.
    #[schema(example = "4bf92f3577b35da6a3ce929d0e0e4736")]
    trace_id: String,
    /// When it came here.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    buried_at: String,
    /// When it last changed.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    changed_at: String,
}

/// A dead letter and its event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterShown)]
pub struct ShownBody {
    /// The letter.
    #[serde(flatten)]
    letter: LetterBody,
    /// The event; null if the journal has none there.
    #[schema(required)]
    event: Option<EventBody>,
}

/// A stored event, without personal data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MaskedEvent)]
pub struct EventBody {
    /// When it was decided.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    recorded_at: String,
    /// The operation that caused it.
    #[schema(required, example = "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b11")]
    operation: Option<String>,
    /// The version of its stored shape.
    #[schema(example = 1)]
    version: u16,
    /// How large it is.
    #[schema(example = 512)]
    bytes: usize,
    /// What it says; every text that may tell of a person is `[masked]`. Null if it is not JSON.
    #[schema(required, value_type = Option<Object>, example = json!({"event": "placed", "draft": {"email": "[masked]"}}))]
    payload: Option<Value>,
}

/// One page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub struct LetterPage {
    /// The letters, in the order in which they came.
    items: Vec<LetterBody>,
    /// Where the next page starts; null at the end.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

fn render(letters: &DeadLetters, letter: &DeadLetter) -> LetterBody {
    LetterBody {
        id: letter.id.to_string(),
        consumer: letter.consumer.clone(),
        entity: letter.entity.to_string(),
        sequence: letter.sequence.0,
        shard: letter.shard.0,
        position: letter.position.0,
        reason: masked_words(&letter.reason),
        attempts: letter.attempts,
        redrives: letter.redrives,
        state: letter.state.into(),
        remedy: letters.remedy(letter).as_str(),
        blocks: letter.blocks(),
        trace_id: letter.trace_id(),
        buried_at: moment(letter.buried_at),
        changed_at: moment(letter.changed_at),
    }
}

fn render_event(event: &Recorded) -> EventBody {
    let payload = serde_json::from_slice::<Value>(&event.payload).ok();
    EventBody {
        recorded_at: moment(event.recorded_at),
        operation: event.operation.map(|operation| operation.to_string()),
        version: event.version,
        bytes: event.payload.len(),
        payload: payload.map(|payload| masked(event.entity.kind(), &payload)),
    }
}

/// Which letters.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LetterQuery {
    /// Only of this consumer.
    #[schema(max_length = 64)]
    #[param(max_length = 64, example = "mail")]
    consumer: Option<String>,
    /// Only of this entity: `kind/key`.
    #[schema(max_length = 200)]
    #[param(max_length = 200, example = "order/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10")]
    entity: Option<String>,
    /// Only those in this state.
    #[param(inline, example = "waiting")]
    state: Option<StateBody>,
    /// How many at most; 24 unless you say otherwise.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100, example = 24)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[schema(max_length = 512)]
    #[param(max_length = 512)]
    cursor: Option<String>,
}

fn filter(
    consumer: Option<String>,
    entity: Option<String>,
    state: Option<StateBody>,
) -> Result<LetterFilter, Problem> {
    let entity = entity
        .map(|entity| {
            entity
                .parse::<EntityId>()
                .map_err(|error| Problem::invalid_at("/entity", error.to_string()))
        })
        .transpose()?;
    Ok(LetterFilter {
        consumer,
        entity,
        state: state.map(LetterState::from),
    })
}

/// List dead letters
///
/// Events that a consumer could not handle within its budget, in the order in which they came.
#[utoipa::path(
    get, path = "/ops/v1/dead-letters", tag = "Operations",
    operation_id = "list_dead_letters",
    params(LetterQuery),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "One page, oldest first.", body = LetterPage))
)]
async fn list(
    State(edge): State<Edge>,
    _: Operator,
    Query(query): Query<LetterQuery>,
) -> Result<Answer<LetterPage>, Problem> {
    let filter = filter(query.consumer, query.entity, query.state)?;
    let after: Option<Uuid> = query
        .cursor
        .as_deref()
        .map(|cursor| {
            cursor
                .parse()
                .map_err(|_| Problem::invalid_at("/cursor", "is no cursor of this list"))
        })
        .transpose()?;
    let limit = query.limit.unwrap_or(PAGE);
    let letters = edge.relay.dead_letters();
    let mut found = letters
        .list(&filter, after, limit + 1)
        .await
        .map_err(|fault| book_problem(&fault))?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    Ok(Answer(LetterPage {
        next_cursor: found.last().filter(|_| more).map(|letter| letter.id.to_string()),
        items: found.iter().map(|letter| render(&letters, letter)).collect(),
    }))
}

/// Show a dead letter
///
/// With its event, in which everything that may tell of a person is masked.
#[utoipa::path(
    get, path = "/ops/v1/dead-letters/{id}", tag = "Operations",
    operation_id = "show_dead_letter",
    params(("id" = String, Path, description = "The letter.", example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31")),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "The letter and its event.", body = ShownBody))
)]
async fn show(
    State(edge): State<Edge>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Answer<ShownBody>, Problem> {
    let letters = edge.relay.dead_letters();
    let (letter, event) = letters.show(letter_id(&id)?).await.map_err(redrive_problem)?;
    Ok(Answer(ShownBody {
        letter: render(&letters, &letter),
        event: event.as_ref().map(render_event),
    }))
}

fn letter_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// How one letter is to be redriven.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedriveOne {
    /// Whether nothing is to be tried, only said what would be.
    #[schema(example = false)]
    dry_run: Option<bool>,
    /// Why, for the audit.
    #[schema(
        example = "the mail server is back",
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    reason: Option<String>,
}

/// Which letters are to be redriven, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedriveMany {
    /// Only of this consumer.
    #[schema(example = "mail", max_length = 64)]
    consumer: Option<String>,
    /// Only of this entity: `kind/key`.
    #[schema(example = "order/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10", max_length = 200)]
    entity: Option<String>,
    /// Whether nothing is to be tried, only said what would be.
    #[schema(example = true)]
    dry_run: Option<bool>,
    /// Why, for the audit.
    #[schema(
        example = "the mail server is back",
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    reason: Option<String>,
}

/// What became of one letter in a redrive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redriven)]
pub struct RedrivenBody {
    /// The letter.
    #[schema(example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31")]
    id: String,
    /// `done`; `failed`, and it waits; `parked`: failed once too often; `skipped`: not tried;
    /// `left`: the time of this redrive was up before its turn; `would_try`: a dry run.
    #[schema(example = "done")]
    outcome: &'static str,
    /// Why it failed or was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "an earlier letter of its entity comes first")]
    reason: Option<String>,
}

/// What became of many letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedrivenPage)]
pub struct RedrivenMany {
    /// Letter by letter, in the order of their events.
    items: Vec<RedrivenBody>,
    /// Whether there may be more that fit: more than one call takes, or more than its time allowed.
    #[schema(example = false)]
    more: bool,
}

fn render_redriven(redriven: Redriven) -> RedrivenBody {
    let (outcome, reason) = match redriven.outcome {
        RedriveOutcome::WouldTry => ("would_try", None),
        RedriveOutcome::Done => ("done", None),
        RedriveOutcome::Left => ("left", None),
        RedriveOutcome::Failed { reason } => ("failed", Some(reason)),
        RedriveOutcome::Parked { reason } => ("parked", Some(reason)),
        RedriveOutcome::Skipped { reason } => ("skipped", Some(reason)),
    };
    RedrivenBody {
        id: redriven.id.to_string(),
        outcome,
        reason: reason.as_deref().map(masked_words),
    }
}

/// Redrive a dead letter
///
/// Hands its event to its consumer once more, also if it is parked. Fails with 200 and `failed`: the
/// letter waits, and is parked after the fifth redrive in vain.
#[utoipa::path(
    post, path = "/ops/v1/dead-letters/{id}/redrive", tag = "Operations",
    operation_id = "redrive_dead_letter",
    request_body = Option<RedriveOne>,
    params(
        ("id" = String, Path, description = "The letter.", example = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31"),
        KeyHeader
    ),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "What became of it.", body = RedrivenBody))
)]
async fn redrive_one(
    State(edge): State<Edge>,
    _: Operator,
    once: Once,
    Path(id): Path<String>,
    Extension(exchange): Extension<Exchange>,
    body: MaybeJson<RedriveOne>,
) -> Result<Response, Problem> {
    let id = letter_id(&id)?;
    let letters = edge.relay.dead_letters();
    // A letter that is not there is not worth a line in the audit.
    letters.show(id).await.map_err(redrive_problem)?;
    let dry_run = body.value.dry_run.unwrap_or(false);
    let asked = Asked {
        action: if dry_run {
            "dead_letter.redrive.dry_run"
        } else {
            "dead_letter.redrive"
        },
        target: id.to_string(),
        reason: body.value.reason,
        digest: body.digest,
    };
    let work = async move {
        let redriven = letters.redrive(id, dry_run).await.map_err(redrive_problem)?;
        let body = render_redriven(redriven);
        Outcome::new(body.outcome, &body)
    };
    act(edge, &exchange, once, asked, work).await
}

/// Redrive many dead letters
///
/// Hands the event of every waiting letter that fits to its consumer once more, in the order of the
/// events: at most 500, and for 20 seconds. Parked letters are left alone.
#[utoipa::path(
    post, path = "/ops/v1/dead-letters/redrive", tag = "Operations",
    operation_id = "redrive_dead_letters",
    request_body = Option<RedriveMany>,
    params(KeyHeader),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "What became of each.", body = RedrivenMany))
)]
async fn redrive_many(
    State(edge): State<Edge>,
    _: Operator,
    once: Once,
    Extension(exchange): Extension<Exchange>,
    body: MaybeJson<RedriveMany>,
) -> Result<Response, Problem> {
    let RedriveMany {
        consumer,
        entity,
        dry_run,
        reason,
    } = body.value;
    let filter = filter(consumer, entity, None)?;
    let dry_run = dry_run.unwrap_or(false);
    let asked = Asked {
        action: if dry_run {
            "dead_letters.redrive.dry_run"
        } else {
            "dead_letters.redrive"
        },
        target: target_of(&filter),
        reason,
        digest: body.digest,
    };
    let letters = edge.relay.dead_letters();
    let work = async move {
        let redriven = letters
            .redrive_all(&filter, dry_run)
            .await
            .map_err(redrive_problem)?;
        let full = redriven.len() >= usize::try_from(REDRIVE_BATCH).unwrap_or(usize::MAX);
        let items: Vec<RedrivenBody> = redriven.into_iter().map(render_redriven).collect();
        let body = RedrivenMany {
            more: full || items.iter().any(|item| item.outcome == "left"),
            items,
        };
        Outcome::new(counts(&body.items), &body)
    };
    act(edge, &exchange, once, asked, work).await
}

/// What the audit calls the letters of a filter.
fn target_of(filter: &LetterFilter) -> String {
    let consumer = filter.consumer.as_ref().map(|name| format!("consumer={name}"));
    let entity = filter.entity.as_ref().map(|entity| format!("entity={entity}"));
    let parts: Vec<String> = consumer.into_iter().chain(entity).collect();
    if parts.is_empty() {
        "all waiting".to_owned()
    } else {
        parts.join(" ")
    }
}

/// What the audit says of many outcomes: how many of each.
fn counts(items: &[RedrivenBody]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *counts.entry(item.outcome).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What an operator is told when the relay's book did not answer.
pub(super) fn book_problem(fault: &BookFault) -> Problem {
    let cause = chain(fault);
    match fault {
        BookFault::Unreadable(_) => Problem::internal(cause),
        BookFault::Database { .. } | BookFault::Late { .. } => Problem::new(&kind::UNAVAILABLE)
            .retry_after(Duration::from_secs(1))
            .cause(cause),
    }
}

fn redrive_problem(fault: RedriveFault) -> Problem {
    match fault {
        RedriveFault::Unknown => Problem::not_found(),
        RedriveFault::Book(fault) => book_problem(&fault),
        RedriveFault::Journal(fault) => journal_problem(&fault),
    }
}
