//! Payment providers: whoever holds the shoppers' money until we ask for it.
//!
//! One trait with PaymentIntent semantics. Every call is keyed by the intent (and a refund by its own
//! id), never by the attempt, so a call made twice is one. What a provider did not answer is
//! *unknown*: whoever asked finds out by [`PaymentProvider::query`] and by asking the same again,
//! never by guessing.
//!
//! Built in is the [`sandbox`], whose tokens choose the outcome. It stands in for an outside system,
//! so it keeps books of its own (`docs/adr/0002`) and tells us things through signed
//! [`webhook`]s like anybody else. This room knows nothing of orders but their ids.

pub mod books;
#[doc(hidden)]
pub mod fuzz;
pub mod intent;
mod postgres;
pub mod sandbox;
pub mod token;
pub mod webhook;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::Money;
use crate::domain::id::OrderId;
use crate::domain::payment::{IntentId, RefundId};

pub use books::{BooksFault, MemoryBooks, SandboxBooks, SandboxFigures};
pub use postgres::PostgresBooks;
pub use sandbox::Sandbox;
pub use webhook::{Notice, WebhookFault, WebhookHeaders, WebhookKey, WebhookSink, Webhooks};

/// What is to be authorised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoriseRequest {
    /// The key of everything that follows.
    pub intent: IntentId,
    /// What it is for: comes back in webhooks.
    pub order: OrderId,
    /// How much.
    pub amount: Money,
    /// The provider's token for the means of payment.
    pub token: String,
}

/// What a provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, now or before.
    Done,
    /// The shopper has to confirm first.
    ActionRequired,
    /// No, for good.
    Declined {
        /// The provider's reason.
        code: String,
    },
}

/// Nobody knows what the provider did: it was late, it failed, or its answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider's answer is unknown: {reason}")]
pub struct Unknown {
    /// What was seen.
    pub reason: String,
}

/// How far an intent has come at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits for the shopper.
    RequiresAction,
    /// The money is reserved.
    Authorised,
    /// The money is taken.
    Captured,
    /// No.
    Declined,
    /// Given back, or never to be taken.
    Voided,
}

/// What a provider knows of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentState {
    /// How far it has come.
    pub stage: Stage,
    /// What was taken.
    pub captured: Money,
    /// What was given back.
    pub refunds: Vec<(RefundId, Money)>,
    /// Why it was declined.
    pub decline_code: Option<String>,
}

/// A payment provider.
#[async_trait]
pub trait PaymentProvider: Send + Sync + Debug + 'static {
    /// Its name, as in `payment.provider` and `/v1/webhooks/{provider}`.
    fn name(&self) -> &'static str;

    /// Whether a token can be one of this provider's: unknown ones are refused at the edge.
    fn knows(&self, token: &str) -> bool;

    /// Reserves the money.
    async fn authorise(&self, request: &AuthoriseRequest) -> Result<Reply, Unknown>;

    /// Goes on after the shopper's confirm step.
    async fn confirm(&self, intent: IntentId, succeed: bool) -> Result<Reply, Unknown>;

    /// Takes the reserved money.
    async fn capture(&self, intent: IntentId, amount: Money) -> Result<Reply, Unknown>;

    /// Gives the reservation back. An intent the provider has never heard of is void from then on.
    async fn void(&self, intent: IntentId) -> Result<Reply, Unknown>;

    /// Gives taken money back.
    async fn refund(&self, intent: IntentId, refund: RefundId, amount: Money) -> Result<Reply, Unknown>;

    /// What the provider knows of an intent; `None` if it decided nothing about it.
    async fn query(&self, intent: IntentId) -> Result<Option<IntentState>, Unknown>;
}

/// The providers of this shop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers(Arc<[Arc<dyn PaymentProvider>]>);

impl Providers {
    /// These providers.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn PaymentProvider>>) -> Self {
        Self(providers.into())
    }

    /// The provider of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<dyn PaymentProvider>> {
        self.0.iter().find(|provider| provider.name() == name)
    }
}
