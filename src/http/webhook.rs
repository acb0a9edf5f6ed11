//! What payment providers tell us, signed as in Standard Webhooks (standardwebhooks.com, 1.0).
//!
//! A message is believed only with a good signature over its bytes and a timestamp within five
//! minutes. A repeat is answered 200 and does nothing: the ids of that window are remembered here,
//! and what is behind the [`WebhookSink`] is keyed by intent, so that older repeats are harmless too.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{chain, challenge};
use super::body;
use super::problem::{Problem, kind};
use crate::domain::Millis;

/// How far a message's clock may be from ours.
const WINDOW_SECONDS: i64 = 5 * 60;
/// How many ids are remembered: more than any provider sends in two windows.
const IDS_MAX: usize = 65_536;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// A message of a provider, believed.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookMessage {
    /// Who sent it.
    pub provider: String,
    /// The provider's id for it; a repeat has the same.
    pub id: String,
    /// What it says.
    pub body: Value,
}

/// Who acts on what providers tell. Must bear being told twice.
#[async_trait]
pub trait WebhookSink: Send + Sync + fmt::Debug + 'static {
    /// Acts on a message.
    ///
    /// # Errors
    /// When it could not; the provider will tell it again.
    async fn receive(&self, message: WebhookMessage) -> Result<(), WebhookFault>;
}

/// A message was not acted on.
#[derive(Debug, thiserror::Error)]
pub enum WebhookFault {
    /// It says nothing we understand.
    #[error("the message is not understood: {0}")]
    NotUnderstood(String),
    /// It could not be acted on now.
    #[error("the message could not be acted on")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The secret a provider signs with. Prints nothing.
#[derive(Clone)]
pub struct WebhookSecret(Arc<[u8]>);

impl WebhookSecret {
    /// Reads `whsec_` and base64, or takes raw bytes of base64 without the prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let bytes = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() >= 24)?;
        Some(Self(bytes.into()))
    }

    /// The signature of a message: `v1,` and base64.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = self
            .mac(id, &timestamp.to_string(), body)
            .map(|mac| mac.finalize().into_bytes());
        format!("v1,{}", tag.map(|tag| STANDARD.encode(tag)).unwrap_or_default())
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac)
    }

    /// Whether one of the signatures is good and the timestamp near `now`.
    fn believes(&self, head: &Head<'_>, body: &[u8], now: Millis) -> bool {
        let Ok(timestamp) = head.timestamp.parse::<i64>() else {
            return false;
        };
        let off = timestamp.saturating_sub(now.0.div_euclid(1_000)).saturating_abs();
        off <= WINDOW_SECONDS
            && head.signatures.split(' ').any(|signature| {
                let tag = signature
                    .strip_prefix("v1,")
                    .and_then(|tag| STANDARD.decode(tag).ok());
                let mac = self.mac(head.id, head.timestamp, body);
                // Compares in constant time.
                tag.zip(mac)
                    .is_some_and(|(tag, mac)| mac.verify_slice(&tag).is_ok())
            })
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What the headers say of a message.
struct Head<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: &'a str,
}

impl<'a> Head<'a> {
    fn read(headers: &'a HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Some(Self {
            id: text("webhook-id").filter(|id| (1..=256).contains(&id.len()))?,
            timestamp: text("webhook-timestamp").filter(|timestamp| timestamp.len() <= 20)?,
            signatures: text("webhook-signature").filter(|signatures| signatures.len() <= 2_048)?,
        })
    }
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
        example = json!({"type": "payment.captured", "data": {"intent": "0197f0a4-0000-7000-8000-000000000001"}})
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
    let secret = edge
        .settings
        .webhook_secrets
        .get(&provider)
        .ok_or_else(Problem::not_found)?;
    let (headers, bytes) = body::read(request, body::BODY_LIMIT).await?;
    let head = Head::read(&headers).filter(|head| secret.believes(head, &bytes, edge.clock.now()));
    let Some(head) = head else {
        return Err(challenge(Problem::new(&kind::BAD_SIGNATURE), "Webhook-Signature"));
    };
    let json = body::parse(&bytes)?;
    let key = format!("{provider} {}", head.id);
    if edge.webhooks_seen.has(&key) {
        return Ok(Answer(Received { repeated: true }));
    }
    let message = WebhookMessage {
        provider,
        id: head.id.to_owned(),
        body: json,
    };
    match edge.webhooks.receive(message).await {
        Ok(()) => {
            edge.webhooks_seen.add(key);
            Ok(Answer(Received { repeated: false }))
        }
        Err(fault @ WebhookFault::NotUnderstood(_)) => Err(Problem::invalid_at("", fault.to_string())),
        Err(fault @ WebhookFault::Unavailable(_)) => Err(Problem::new(&kind::UNAVAILABLE)
            .retry_after(Duration::from_secs(5))
            .cause(chain(&fault))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_790_000_000_000);

    fn believed(id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        secret.believes(
            &Head {
                id,
                timestamp,
                signatures,
            },
            body,
            NOW,
        )
    }

    #[test]
    fn only_what_was_signed_now_is_believed() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let good = secret.sign("msg_1", 1_790_000_000, b"{}");
        assert!(believed("msg_1", "1790000000", &good, b"{}"));
        assert!(believed(
            "msg_1",
            "1790000000",
            &format!("v1a,xx v1,AAAA {good}"),
            b"{}"
        ));
        assert!(!believed("msg_2", "1790000000", &good, b"{}"));
        assert!(!believed("msg_1", "1790000001", &good, b"{}"));
        assert!(!believed("msg_1", "1790000000", &good, b"{ }"));
        assert!(!believed("msg_1", "1790000000", "v1,", b"{}"));
        assert!(!believed("msg_1", "soon", &good, b"{}"));
        for off in [-301, 301] {
            let at = 1_790_000_000 + off;
            assert!(
                !believed("msg_1", &at.to_string(), &secret.sign("msg_1", at, b"{}"), b"{}"),
                "{off}"
            );
        }
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the specification's reference libraries.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_long_and_do_not_print() {
        assert!(WebhookSecret::parse("whsec_c2hvcnQ=").is_none());
        assert!(WebhookSecret::parse("not base64!").is_none());
        let secret = WebhookSecret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }
}
