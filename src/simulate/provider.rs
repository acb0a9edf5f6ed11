//! The payment provider on bad days: the sandbox behind a line that loses, doubles and delays, and
//! that sometimes answers with what it knew before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::trace::Trace;
use crate::clock::Clock;
use crate::domain::Money;
use crate::domain::id::OrderId;
use crate::domain::payment::{IntentId, RefundId};
use crate::provider::webhook::NoticeKind;
use crate::provider::{
    AuthoriseRequest, IntentState, Notice, PaymentProvider, Reply, Sandbox, Stage, Unknown, WebhookSink,
    sandbox,
};

/// How the provider feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// It answers.
    Good,
    /// It loses, doubles, delays and contradicts.
    Rough,
    /// It answers nothing.
    Down,
}

/// The provider's mood and what it refuses for good, shared by every line to it.
#[derive(Clone, Debug, Default)]
pub struct Moods {
    mood: Arc<AtomicU8>,
    /// Whether it refuses some captures and refunds for good.
    strict: bool,
    /// What it has refused so: intents and refunds.
    refused: Arc<Mutex<BTreeSet<Uuid>>>,
}

impl Moods {
    /// A provider that is in a good mood; a `strict` one refuses one capture in six (an authorisation that
    /// has lapsed) and one refund in three (an account that is closed), the same ones whenever it is asked.
    #[must_use]
    pub fn new(strict: bool) -> Self {
        Self {
            strict,
            ..Self::default()
        }
    }

    /// Changes the mood.
    pub fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Relaxed);
    }

    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Relaxed) == mood as u8
    }

    fn refuses(&self, id: Uuid, one_in: u128) -> bool {
        let refuses = self.strict && id.as_u128().is_multiple_of(one_in);
        if refuses {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.insert(id);
        }
        refuses
    }

    /// Whether a capture of this intent, or this refund, was refused for good.
    #[must_use]
    pub fn has_refused(&self, id: Uuid) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&id)
    }
}

/// One node's line to the sandbox.
pub struct MoodyProvider {
    /// The sandbox at its end.
    pub sandbox: Arc<Sandbox>,
    /// Its mood.
    pub moods: Moods,
    /// Where it tells things on its own, besides its signed webhooks.
    pub notices: Arc<dyn WebhookSink>,
    /// The clock.
    pub clock: Clock,
    /// The trace.
    pub trace: Trace,
}

impl std::fmt::Debug for MoodyProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MoodyProvider")
    }
}

fn unknown(reason: &str) -> Unknown {
    Unknown {
        reason: format!("simulated: {reason}"),
    }
}

fn refused(code: &str) -> Reply {
    Reply::Declined {
        code: code.to_owned(),
    }
}

impl MoodyProvider {
    async fn ask<F: Future<Output = Result<Reply, Unknown>> + Send>(
        &self,
        what: &str,
        intent: IntentId,
        call: impl Fn() -> F + Send,
    ) -> Result<Reply, Unknown> {
        let wait = Duration::from_micros(200 + self.clock.random_below(20_000));
        self.clock.sleep(wait).await;
        let down = || {
            self.moods
                .is(Mood::Down)
                .then(|| unknown("nobody answers"))
                .map_or(Ok(()), Err)
        };
        down()?;
        let fate = if self.moods.is(Mood::Rough) {
            self.clock.random_below(8)
        } else {
            7
        };
        let reply = match fate {
            0 => Err(unknown("the request was lost")),
            1 | 2 => {
                drop(call().await);
                Err(unknown("the answer was lost"))
            }
            3 => {
                drop(call().await);
                call().await
            }
            4 => {
                let reply = call().await;
                self.clock
                    .sleep(Duration::from_millis(self.clock.random_below(20_000)))
                    .await;
                reply
            }
            _ => call().await,
        };
        self.trace.note(format_args!(
            "the provider is asked to {what} {intent}: {reply:?}"
        ));
        down()?;
        reply
    }

    /// Whose an intent is, when there is something to tell of it.
    async fn order_of(&self, intent: IntentId) -> Option<OrderId> {
        if !self.moods.is(Mood::Rough) {
            return None;
        }
        let known = self.sandbox.intents(&[intent]).await.ok()?;
        known.first()?.order
    }

    /// Tells what it knows, once more and late, as webhooks come.
    fn tell(
        &self,
        intent: IntentId,
        order: OrderId,
        amount: Money,
        kind: NoticeKind,
        refund: Option<RefundId>,
    ) {
        if !self.moods.is(Mood::Rough) {
            return;
        }
        let (notices, clock) = (Arc::clone(&self.notices), self.clock.clone());
        let notice = Notice {
            kind,
            intent,
            order,
            amount,
            refund,
        };
        tokio::spawn(async move {
            for _ in 0..=clock.random_below(2) {
                clock
                    .sleep(Duration::from_millis(clock.random_below(4_000)))
                    .await;
                let id = Uuid::new_v5(&intent.0, format!("{kind:?}{refund:?}").as_bytes());
                // Refused or unheard: it comes again, or not at all, as webhooks do.
                drop(notices.take(id, &notice).await);
            }
        });
    }
}

#[async_trait]
impl PaymentProvider for MoodyProvider {
    fn name(&self) -> &'static str {
        sandbox::NAME
    }

    fn knows(&self, token: &str) -> bool {
        self.sandbox.knows(token)
    }

    async fn authorise(&self, request: &AuthoriseRequest) -> Result<Reply, Unknown> {
        let reply = self
            .ask("authorise", request.intent, || self.sandbox.authorise(request))
            .await;
        if let Ok(Some(state)) = self.sandbox.query(request.intent).await
            && state.stage == Stage::Authorised
        {
            self.tell(
                request.intent,
                request.order,
                request.amount,
                NoticeKind::Authorised,
                None,
            );
        }
        if self.clock.random_below(4) == 0 {
            // Somebody else's: it names an intent that is not this order's.
            let other = IntentId(Uuid::new_v5(&request.intent.0, b"another"));
            self.tell(other, request.order, request.amount, NoticeKind::Authorised, None);
        }
        reply
    }

    async fn confirm(&self, intent: IntentId, succeed: bool) -> Result<Reply, Unknown> {
        self.ask("confirm", intent, || self.sandbox.confirm(intent, succeed))
            .await
    }

    async fn capture(&self, intent: IntentId, amount: Money) -> Result<Reply, Unknown> {
        let capture = || async {
            if self.moods.refuses(intent.0, 6) {
                return Ok(refused("authorisation_lapsed"));
            }
            self.sandbox.capture(intent, amount).await
        };
        let reply = self.ask("capture", intent, capture).await;
        if let Some(order) = self.order_of(intent).await
            && let Ok(Some(state)) = self.sandbox.query(intent).await
            && state.stage == Stage::Captured
        {
            self.tell(intent, order, amount, NoticeKind::Captured, None);
        }
        reply
    }

    async fn void(&self, intent: IntentId) -> Result<Reply, Unknown> {
        self.ask("void", intent, || self.sandbox.void(intent)).await
    }

    async fn refund(&self, intent: IntentId, refund: RefundId, amount: Money) -> Result<Reply, Unknown> {
        let give_back = || async {
            if self.moods.refuses(refund.0, 3) {
                return Ok(refused("account_closed"));
            }
            self.sandbox.refund(intent, refund, amount).await
        };
        let reply = self.ask("refund", intent, give_back).await;
        if let Some(order) = self.order_of(intent).await
            && let Ok(Some(state)) = self.sandbox.query(intent).await
            && state.refunds.iter().any(|(known, _)| *known == refund)
        {
            self.tell(intent, order, amount, NoticeKind::Refunded, Some(refund));
        }
        reply
    }

    async fn query(&self, intent: IntentId) -> Result<Option<IntentState>, Unknown> {
        self.clock
            .sleep(Duration::from_micros(self.clock.random_below(5_000)))
            .await;
        if self.moods.is(Mood::Down) {
            return Err(unknown("nobody answers"));
        }
        let state = self.sandbox.query(intent).await?;
        // Its own books lag behind sometimes: it says it knows nothing of what it has just done.
        if self.moods.is(Mood::Rough) && self.clock.random_below(4) == 0 {
            return Ok(None);
        }
        Ok(state)
    }
}
