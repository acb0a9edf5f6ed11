//! What providers tell us on their own: signed as "Standard Webhooks" says (standardwebhooks.com).
//!
//! `webhook-signature` is a list of `v1,<base64 of HMAC-SHA256>` over `id.timestamp.body`. A message
//! older or newer than five minutes is refused, so that a recorded one cannot be played back. The
//! HTTP route and the sandbox, which lives in this process, come through the same
//! [`Webhooks::receive`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::id::OrderId;
use crate::domain::payment::{IntentId, RefundId};
use crate::domain::{Millis, Money};

/// How far a message's time may be from ours.
const WINDOW_SECONDS: i64 = 5 * 60;
/// How many signatures of one message are looked at: two keys while one is replaced.
const SIGNATURE_LIMIT: usize = 4;

/// The secret a provider signs with.
#[derive(Clone)]
pub struct WebhookKey(Vec<u8>);

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey")
    }
}

/// A secret that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and 24 to 64 bytes in base 64")]
pub struct BadWebhookKey;

/// The three headers of a signed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookHeaders {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`, seconds since the Unix epoch
    pub timestamp: String,
    /// `webhook-signature`
    pub signature: String,
}

impl WebhookKey {
    /// The key of `whsec_…`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(secret: &str) -> Result<Self, BadWebhookKey> {
        let encoded = secret.strip_prefix("whsec_").ok_or(BadWebhookKey)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadWebhookKey)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(BadWebhookKey)
        }
    }

    /// A fresh key, for a provider in this process.
    #[must_use]
    pub fn fresh(clock: &Clock) -> Self {
        let mut bytes = vec![0; 32];
        clock.fill_random(&mut bytes);
        Self(bytes)
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, id: &str, now: Millis, body: &[u8]) -> WebhookHeaders {
        let timestamp = now.0.div_euclid(1_000).to_string();
        let signature = self.mac(id, &timestamp, body).map(|mac| {
            let tag = STANDARD.encode(mac.finalize().into_bytes());
            format!("v1,{tag}")
        });
        WebhookHeaders {
            id: id.to_owned(),
            timestamp,
            signature: signature.unwrap_or_default(),
        }
    }

    /// Whether a message was signed with this key, just now. Takes the same time for every wrong
    /// signature.
    #[must_use]
    pub fn verify(&self, headers: &WebhookHeaders, now: Millis, body: &[u8]) -> bool {
        let Ok(seconds) = headers.timestamp.parse::<i64>() else {
            return false;
        };
        let age = now.0.div_euclid(1_000).saturating_sub(seconds);
        if age.abs() > WINDOW_SECONDS || headers.id.is_empty() {
            return false;
        }
        headers
            .signature
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .take(SIGNATURE_LIMIT)
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .any(|tag| {
                self.mac(&headers.id, &headers.timestamp, body)
                    .is_some_and(|mac| mac.verify_slice(&tag).is_ok())
            })
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        Some(mac)
    }
}

/// What a provider tells: the body of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What has happened.
    #[serde(rename = "type")]
    pub kind: NoticeKind,
    /// To which intent.
    pub intent: IntentId,
    /// Which is for this order.
    pub order: OrderId,
    /// How much it is about.
    pub amount: Money,
    /// Which refund, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<RefundId>,
}

/// What has happened at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeKind {
    /// The money is reserved.
    #[serde(rename = "payment_intent.authorised")]
    Authorised,
    /// The money is taken.
    #[serde(rename = "payment_intent.captured")]
    Captured,
    /// Money was given back.
    #[serde(rename = "refund.done")]
    Refunded,
}

/// Why a webhook was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    /// There is no such provider.
    #[error("there is no payment provider of that name")]
    UnknownProvider,
    /// The signature is missing, wrong or too old.
    #[error("the signature does not fit")]
    BadSignature,
    /// The body is not one we know.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
    /// It could not be dealt with now; the provider is to send it again.
    #[error("the webhook could not be dealt with now: {0}")]
    Unavailable(String),
}

/// Who deals with what providers tell.
#[async_trait]
pub trait WebhookSink: Send + Sync + 'static {
    /// Deals with a notice. The same again must do nothing. `id` is the message's own.
    async fn take(&self, id: Uuid, notice: &Notice) -> Result<(), WebhookFault>;
}

/// The door for webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    keys: Arc<[(&'static str, WebhookKey)]>,
    sink: Arc<dyn WebhookSink>,
    clock: Clock,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// A door for the providers with these keys.
    #[must_use]
    pub fn new(keys: Vec<(&'static str, WebhookKey)>, sink: Arc<dyn WebhookSink>, clock: Clock) -> Self {
        Self {
            keys: keys.into(),
            sink,
            clock,
        }
    }

    fn key(&self, provider: &str) -> Option<&WebhookKey> {
        self.keys
            .iter()
            .find(|(name, _)| *name == provider)
            .map(|(_, key)| key)
    }

    /// Whether there is a provider of this name.
    #[must_use]
    pub fn knows(&self, provider: &str) -> bool {
        self.key(provider).is_some()
    }

    /// Whether a message was signed by this provider, and now.
    #[must_use]
    pub fn believes(&self, provider: &str, headers: &WebhookHeaders, body: &[u8]) -> bool {
        self.key(provider)
            .is_some_and(|key| key.verify(headers, self.clock.now(), body))
    }

    /// Takes a message as it came in.
    ///
    /// # Errors
    /// [`WebhookFault`] says why it was not taken.
    pub async fn receive(
        &self,
        provider: &str,
        headers: &WebhookHeaders,
        body: &[u8],
    ) -> Result<(), WebhookFault> {
        if !self.knows(provider) {
            return Err(WebhookFault::UnknownProvider);
        }
        if !self.believes(provider, headers, body) {
            return Err(WebhookFault::BadSignature);
        }
        let notice =
            serde_json::from_slice(body).map_err(|error| WebhookFault::Unreadable(error.to_string()))?;
        // Providers choose their ids; ours is derived, so the same message has the same one.
        let id = Uuid::new_v5(
            &Uuid::NAMESPACE_URL,
            format!("webhook:{provider}:{}", headers.id).as_bytes(),
        );
        self.sink.take(id, &notice).await
    }

    /// Signs and delivers a message of a provider in this process.
    pub(super) async fn deliver(
        &self,
        provider: &str,
        id: &str,
        notice: &Notice,
    ) -> Result<(), WebhookFault> {
        let body = serde_json::to_vec(notice).map_err(|error| WebhookFault::Unreadable(error.to_string()))?;
        let key = self.key(provider).ok_or(WebhookFault::UnknownProvider)?;
        let headers = key.sign(id, self.clock.now(), &body);
        self.receive(provider, &headers, &body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let key = WebhookKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Millis(1_614_265_330_000),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            headers.signature,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn only_a_fresh_and_whole_message_of_the_right_key_passes() {
        let clock = Clock::simulated(1, Millis(1_700_000_000_000));
        let (key, other) = (WebhookKey::fresh(&clock), WebhookKey::fresh(&clock));
        let now = clock.now();
        let headers = key.sign("msg_1", now, b"body");
        assert!(key.verify(&headers, now, b"body"));
        assert!(key.verify(&headers, now.plus_seconds(300), b"body"));
        assert!(!key.verify(&headers, now.plus_seconds(301), b"body"));
        assert!(!key.verify(&headers, now.plus_seconds(-301), b"body"));
        assert!(!key.verify(&headers, now, b"bodY"));
        assert!(!other.verify(&headers, now, b"body"));
        let with = |change: &dyn Fn(&mut WebhookHeaders)| {
            let mut headers = headers.clone();
            change(&mut headers);
            headers
        };
        let both = with(&|h| h.signature = format!("v1,AAAA v2,xx {}", h.signature));
        assert!(key.verify(&both, now, b"body"), "any one of several may fit");
        for wrong in [
            with(&|h| h.id = "msg_2".to_owned()),
            with(&|h| h.timestamp = "now".to_owned()),
            with(&|h| h.signature = String::new()),
            with(&|h| h.signature = h.signature.replace("v1,", "v1a,")),
            with(&|h| h.signature = "v1,".to_owned()),
        ] {
            assert!(!key.verify(&wrong, now, b"body"), "{wrong:?}");
        }
    }
}
