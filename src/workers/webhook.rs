//! What payment providers tell on their own becomes what the payment worker would have reported.
//!
//! The order decides what it still means: told twice, told late or told after the worker's own report
//! it means nothing. Declines are not taken from here; they come as answers.

use async_trait::async_trait;
use uuid::Uuid;

use crate::cluster::{Ask, AskError, Region};
use crate::domain::id::OperationId;
use crate::domain::order::{Authorisation, Capture, Command, Order, Refusal};
use crate::domain::payment::IntentId;
use crate::provider::webhook::NoticeKind;
use crate::provider::{Notice, WebhookFault, WebhookSink};

/// Takes notices to their orders.
#[derive(Clone, Debug)]
pub struct PaymentNotices {
    region: Region,
}

impl PaymentNotices {
    /// For the orders in `region`.
    #[must_use]
    pub const fn new(region: Region) -> Self {
        Self { region }
    }
}

#[async_trait]
impl WebhookSink for PaymentNotices {
    async fn take(&self, id: Uuid, notice: &Notice) -> Result<(), WebhookFault> {
        if notice.intent != IntentId::of(notice.order) {
            return Err(WebhookFault::Unreadable(
                "the intent is not that of the order".to_owned(),
            ));
        }
        let command = match (notice.kind, notice.refund) {
            (NoticeKind::Authorised, _) => Command::RecordAuthorisation(Authorisation::Authorised),
            (NoticeKind::Captured, _) => Command::RecordCapture(Capture::Captured),
            (NoticeKind::Refunded, Some(refund)) => Command::RecordRefund { refund, done: true },
            (NoticeKind::Refunded, None) => {
                return Err(WebhookFault::Unreadable("which refund?".to_owned()));
            }
        };
        let ask = Ask::new(command).operation(OperationId::derive(id, "notice"));
        match self.region.ask::<Order>(&notice.order.entity(), ask).await {
            Ok(_) => Ok(()),
            Err(AskError::Refused(Refusal::NotPlaced)) => {
                Err(WebhookFault::Unreadable("there is no such order".to_owned()))
            }
            Err(AskError::Refused(refusal)) => {
                tracing::info!(order = %notice.order, %refusal, "a notice means nothing to its order any more");
                Ok(())
            }
            Err(error) => Err(WebhookFault::Unavailable(error.to_string())),
        }
    }
}
