//! What payment providers tell us, signed as in Standard Webhooks (standardwebhooks.com, 1.0).
//!
//! The provider room believes or refuses a message and acts on it; a repeat is answered 200 and does
//! nothing: the ids of the window are remembered here, and what is behind is keyed by intent, so that
//! older repeats are harmless too.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{chain, challenge};
use super::body;
use super::problem::{Problem, kind};
use crate::provider::{WebhookFault, WebhookHeaders};

/// How many ids are remembered: more than any provider sends in two windows.
const IDS_MAX: usize = 65_536;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// What the headers say of a message; `None` if they cannot be those of one.
fn head(headers: &HeaderMap) -> Option<WebhookHeaders> {
    let text = |name, limit| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=limit).contains(&value.len()).then(|| value.to_owned())
    };
    Some(WebhookHeaders {
        id: text("webhook-id", 256)?,
        timestamp: text("webhook-timestamp", 20)?,
        signature: text("webhook-signature", 2_048)?,
    })
}

/// The ids of messages that were acted on lately.
#[derive(Debug, Default)]
pub struct Seen(Mutex<(HashSet<String>, VecDeque<String>)>);

impl Seen {
    fn has(&self, key: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .contains(key)
    }

    fn add(&self, key: String) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *seen;
        if known.insert(key.clone()) {
            order.push_back(key);
        }
        while order.len() > IDS_MAX {
            if let Some(oldest) = order.pop_front() {
                known.remove(&oldest);
            }
        }
    }
}

/// What a provider is told.
#[derive(Debug, Serialize, ToSchema)]
pub struct Received {
    /// Whether this message had come before.
    #[schema(example = false)]
    repeated: bool,
}

/// Be told something by a payment provider
///
/// Signed as in Standard Webhooks: HMAC-SHA256 over id, timestamp and the bytes of the body. A
/// repeat is answered 200 and does nothing.
#[utoipa::path(
    post, path = "/v1/webhooks/{provider}", tag = "Webhooks",
    request_body(
        content = serde_json::Value,
        example = json!({"type": "payment_intent.captured", "intent": "0197f0a4-0000-5000-8000-000000000001",
            "order": "0197f0a4-0000-5000-8000-000000000002", "amount": {"amount": 1999, "currency": "EUR"}})
    ),
    params(
        ("provider" = String, Path, description = "Who sends it.", example = "sandbox"),
        ("webhook-id" = String, Header, description = "The message's id.", example = "msg_1"),
        ("webhook-timestamp" = String, Header, description = "Seconds since the epoch.", example = "1790000000"),
        ("webhook-signature" = String, Header, description = "`v1,` and base64; several separated by blanks.", example = "v1,c2lnbmF0dXJl"),
    ),
    responses(
        (status = 200, description = "Taken in.", body = Received),
        (status = 401, description = "The signature is not accepted."),
    )
)]
async fn receive(
    State(edge): State<Edge>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Answer<Received>, Problem> {
    if !edge.webhooks.knows(&provider) {
        return Err(Problem::not_found());
    }
    let (headers, bytes) = body::read(request, body::BODY_LIMIT).await?;
    let refused = || challenge(Problem::new(&kind::BAD_SIGNATURE), "Webhook-Signature");
    let head = head(&headers).ok_or_else(refused)?;
    if !edge.webhooks.believes(&provider, &head, &bytes) {
        return Err(refused());
    }
    let key = format!("{provider} {}", head.id);
    if edge.webhooks_seen.has(&key) {
        return Ok(Answer(Received { repeated: true }));
    }
    match edge.webhooks.receive(&provider, &head, &bytes).await {
        Ok(()) => {
            edge.webhooks_seen.add(key);
            Ok(Answer(Received { repeated: false }))
        }
        Err(WebhookFault::UnknownProvider) => Err(Problem::not_found()),
        Err(WebhookFault::BadSignature) => Err(refused()),
        Err(fault @ WebhookFault::Unreadable(_)) => Err(Problem::invalid_at("", fault.to_string())),
        Err(fault @ WebhookFault::Unavailable(_)) => Err(Problem::new(&kind::UNAVAILABLE)
            .retry_after(Duration::from_secs(5))
            .cause(chain(&fault))),
    }
}
