//! Asks the payment provider what the order asks for, and reports what it said.
//!
//! | The order says | asked of the provider | reported |
//! |---|---|---|
//! | placed | authorise | authorised, declined, action required |
//! | action taken | confirm | authorised, declined |
//! | capture asked | capture | captured, failed |
//! | cancelled, nothing captured | void | voided |
//! | refund asked | refund | done, failed |
//!
//! An answer that is lost is looked for by asking what the provider knows; if it knows nothing, the
//! same is asked again under the same intent. Events of one order come one after the other, so an
//! authorisation has ended before its void begins; should it not have, the void leaves a tombstone.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::errand::{Errands, is_any, read};
use crate::clock::Clock;
use crate::cluster::Region;
use crate::domain::order::{Authorisation, Capture, Command, Event, Order, Placed};
use crate::domain::payment::{IntentId, RefundId};
use crate::domain::planted::{self, Bug};
use crate::domain::{Kind, Money};
use crate::journal::Recorded;
use crate::provider::{AuthoriseRequest, IntentState, PaymentProvider, Providers, Reply, Stage, Unknown};
use crate::relay::{Consumer, Policy, ReadFault};

/// How long the provider may take for one call.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// How often the same is asked before the lane's own patience begins.
const ROUNDS: u32 = 3;
/// Between the rounds.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between the rounds.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// The worker.
#[derive(Debug)]
pub struct PaymentWorker {
    errands: Errands,
    providers: Providers,
    clock: Clock,
}

/// One thing asked of a provider.
#[derive(Debug)]
enum Step {
    Authorise(AuthoriseRequest),
    Confirm { succeed: bool },
    Capture { amount: Money },
    Void,
    Refund { refund: RefundId, amount: Money },
}

impl Step {
    async fn ask(&self, provider: &dyn PaymentProvider, intent: IntentId) -> Result<Reply, Unknown> {
        match self {
            Self::Authorise(request) => provider.authorise(request).await,
            Self::Confirm { succeed } => provider.confirm(intent, *succeed).await,
            Self::Capture { amount } => provider.capture(intent, *amount).await,
            Self::Void => provider.void(intent).await,
            Self::Refund { refund, amount } => provider.refund(intent, *refund, *amount).await,
        }
    }

    /// What the provider would have answered, by what it knows now; `None` if it has not done it.
    fn answered(&self, state: &IntentState) -> Option<Reply> {
        let declined = || Reply::Declined {
            code: state
                .decline_code
                .clone()
                .unwrap_or_else(|| "declined".to_owned()),
        };
        match (self, state.stage) {
            (Self::Authorise(_), Stage::RequiresAction) => Some(Reply::ActionRequired),
            (Self::Authorise(_) | Self::Confirm { .. }, Stage::Authorised | Stage::Captured) => {
                Some(Reply::Done)
            }
            (Self::Capture { .. }, Stage::Captured) => Some(Reply::Done),
            (
                Self::Authorise(_) | Self::Confirm { .. } | Self::Capture { .. },
                Stage::Declined | Stage::Voided,
            ) => Some(declined()),
            (Self::Void, Stage::Voided | Stage::Declined) => Some(Reply::Done),
            (Self::Refund { refund, .. }, _) => state
                .refunds
                .iter()
                .any(|(known, _)| known == refund)
                .then_some(Reply::Done),
            _ => None,
        }
    }
}

impl PaymentWorker {
    /// A worker between the orders in `region` and these providers.
    #[must_use]
    pub const fn new(region: Region, providers: Providers, clock: Clock) -> Self {
        Self {
            errands: Errands::new(region, "payment"),
            providers,
            clock,
        }
    }

    /// Asks until the provider has answered, or nobody knows: then the lane tries again later.
    async fn settle(&self, provider: &str, intent: IntentId, step: &Step) -> Result<Reply, ReadFault> {
        let Some(provider) = self.providers.find(provider) else {
            return Err(ReadFault::Lasting {
                what: format!("there is no payment provider called {provider:?}"),
                source: None,
            });
        };
        let mut round = 0;
        loop {
            let unknown = match timeout(CALL_LIMIT, step.ask(provider.as_ref(), intent)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(unknown)) => unknown,
                Err(_) => Unknown {
                    reason: format!("no answer within {CALL_LIMIT:?}"),
                },
            };
            metrics::counter!("globalshop_payment_unknown_total", "provider" => provider.name()).increment(1);
            tracing::info!(%intent, ?step, reason = unknown.reason, "a provider's answer is unknown; asking what it knows");
            if let Ok(Ok(Some(state))) = timeout(CALL_LIMIT, provider.query(intent)).await
                && let Some(reply) = step.answered(&state)
            {
                return Ok(reply);
            }
            round += 1;
            if round == ROUNDS {
                return Err(ReadFault::temporary(
                    "the payment provider did not answer",
                    unknown,
                ));
            }
            self.clock
                .sleep(self.clock.backoff(round, PAUSE, PAUSE_LIMIT))
                .await;
        }
    }

    /// A bug put in on purpose: what a provider's client that retries by attempt does.
    async fn capture_under_another_key(&self, placed: &Placed, intent: IntentId, amount: Money) {
        let Some(provider) = self.providers.find(&placed.draft.payment.provider) else {
            return;
        };
        if provider.capture(intent, amount).await.is_err() {
            let request = AuthoriseRequest {
                intent: IntentId(uuid::Uuid::new_v5(&intent.0, b"again")),
                order: placed.draft.order(),
                amount,
                token: placed.draft.payment.token.clone(),
            };
            drop(provider.authorise(&request).await);
            drop(provider.capture(request.intent, amount).await);
        }
    }

    /// A bug put in on purpose: the same for a refund.
    async fn refund_under_another_key(&self, placed: &Placed, refund: RefundId, amount: Money) {
        let Some(provider) = self.providers.find(&placed.draft.payment.provider) else {
            return;
        };
        let intent = IntentId::of(placed.draft.order());
        if provider.refund(intent, refund, amount).await.is_err() {
            let again = RefundId(uuid::Uuid::new_v5(&refund.0, b"again"));
            drop(provider.refund(intent, again, amount).await);
        }
    }

    async fn of_order(&self, event: &Recorded) -> Result<(Placed, IntentId), ReadFault> {
        let placed = self.errands.order(&event.entity).await?;
        let intent = IntentId::of(placed.draft.order());
        Ok((placed, intent))
    }

    async fn report(&self, event: &Recorded, command: Command) -> Result<(), ReadFault> {
        self.errands.report(event, &event.entity, command).await
    }

    async fn void(&self, event: &Recorded) -> Result<(), ReadFault> {
        let (placed, intent) = self.of_order(event).await?;
        // What was taken goes back as a refund, which the order asks for itself.
        if placed.payment.captured.amount > 0 {
            return Ok(());
        }
        match self
            .settle(&placed.draft.payment.provider, intent, &Step::Void)
            .await?
        {
            Reply::Done => self.report(event, Command::RecordVoid).await,
            Reply::Declined { code } => Err(ReadFault::Lasting {
                what: format!("the provider does not void the intent {intent}: {code}"),
                source: None,
            }),
            Reply::ActionRequired => Err(odd(intent)),
        }
    }
}

fn odd(intent: IntentId) -> ReadFault {
    ReadFault::Lasting {
        what: format!("the provider wants an action where there is none (intent {intent})"),
        source: None,
    }
}

#[async_trait]
impl Consumer for PaymentWorker {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Order
    }

    fn concerns(&self, event: &Recorded) -> bool {
        is_any(
            event,
            &[
                "placed",
                "action_taken",
                "capture_asked",
                "cancelled",
                "refund_asked",
            ],
        )
    }

    /// Providers are away for minutes now and then, and are slow more often than that.
    fn policy(&self) -> Policy {
        Policy {
            window: 512,
            tries: 24,
            deadline: Duration::from_secs(100),
            ..Policy::default()
        }
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        match read::<Order>(event)? {
            Event::Placed { draft, .. } => {
                let intent = IntentId::of(draft.order());
                let step = Step::Authorise(AuthoriseRequest {
                    intent,
                    order: draft.order(),
                    amount: draft.totals.total,
                    token: draft.payment.token.clone(),
                });
                let answer = match self.settle(&draft.payment.provider, intent, &step).await? {
                    Reply::Done => Authorisation::Authorised,
                    Reply::ActionRequired => Authorisation::ActionRequired,
                    Reply::Declined { code } => Authorisation::Declined { code },
                };
                self.report(event, Command::RecordAuthorisation(answer)).await
            }
            Event::ActionTaken { succeed, .. } => {
                let (placed, intent) = self.of_order(event).await?;
                let step = Step::Confirm { succeed };
                let provider = &placed.draft.payment.provider;
                let answer = match self.settle(provider, intent, &step).await? {
                    Reply::Done => Authorisation::Authorised,
                    Reply::Declined { code } => Authorisation::Declined { code },
                    Reply::ActionRequired => Authorisation::ActionRequired,
                };
                self.report(event, Command::RecordAuthorisation(answer)).await
            }
            Event::CaptureAsked { amount, .. } => {
                let (placed, intent) = self.of_order(event).await?;
                let step = Step::Capture { amount };
                let provider = &placed.draft.payment.provider;
                if planted::is(Bug::DoubleCapture) {
                    self.capture_under_another_key(&placed, intent, amount).await;
                }
                let answer = match self.settle(provider, intent, &step).await? {
                    Reply::Done => Capture::Captured,
                    Reply::Declined { code } => Capture::Failed { code },
                    Reply::ActionRequired => return Err(odd(intent)),
                };
                self.report(event, Command::RecordCapture(answer)).await
            }
            Event::Cancelled { .. } => self.void(event).await,
            Event::RefundAsked { refund, amount, .. } => {
                let (placed, intent) = self.of_order(event).await?;
                if planted::is(Bug::RefundTwice) {
                    self.refund_under_another_key(&placed, refund, amount).await;
                }
                let step = Step::Refund { refund, amount };
                let provider = &placed.draft.payment.provider;
                let done = match self.settle(provider, intent, &step).await? {
                    Reply::Done => true,
                    Reply::Declined { code } => {
                        tracing::error!(%intent, code, "the provider refuses a refund; the order says so");
                        false
                    }
                    Reply::ActionRequired => return Err(odd(intent)),
                };
                self.report(event, Command::RecordRefund { refund, done }).await
            }
            _ => Ok(()),
        }
    }
}
