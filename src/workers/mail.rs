//! Mail about orders: received, confirmed, cancelled, shipped, delivered, refunded.
//!
//! At least once, under a Message-ID that is the same for the same event, so that a mailbox can tell
//! a repetition. The wording is in [`wording`]; [`post`] takes mail out of the house through
//! [`smtp`], or keeps it in the local [`mailbox`].

pub mod mailbox;
pub mod post;
pub mod reset;
pub mod smtp;
pub mod wording;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use mailbox::{Mailbox, StoredMail};
pub use post::{Mail, Post, PostFault};
pub use reset::ResetMails;
pub use smtp::SmtpPost;
pub use wording::Letterhead;

use super::errand::{Errands, is_any, read};
use crate::cluster::Region;
use crate::domain::Kind;
use crate::domain::order::{CancelReason, Event, Order};
use crate::journal::Recorded;
use crate::relay::{Consumer, Policy, ReadFault};
use wording::News;

/// The worker.
#[derive(Debug)]
pub struct MailWorker {
    errands: Errands,
    letterhead: Arc<Letterhead>,
    post: Arc<dyn Post>,
}

impl MailWorker {
    /// A worker that writes under `letterhead` and sends through `post`.
    #[must_use]
    pub fn new(region: Region, letterhead: Arc<Letterhead>, post: Arc<dyn Post>) -> Self {
        Self {
            errands: Errands::new(region, "mail"),
            letterhead,
            post,
        }
    }
}

/// What an event means to the shopper, if anything.
fn news(event: &Event) -> Option<News> {
    Some(match event {
        Event::Placed { .. } => News::Received,
        Event::Confirmed { .. } => News::Confirmed,
        Event::Cancelled { reason, .. } => News::Cancelled {
            why: match reason {
                CancelReason::OutOfStock => "something you ordered is sold out".to_owned(),
                CancelReason::PaymentDeclined => "your payment was declined".to_owned(),
                CancelReason::PaymentExpired => "we did not receive your payment in time".to_owned(),
                CancelReason::ByShopper => "you asked us to".to_owned(),
                CancelReason::BySeller { reason } => format!("the shop had to stop it ({reason})"),
            },
        },
        Event::Shipped {
            carrier,
            tracking_number,
            ..
        } => News::Shipped {
            carrier: carrier.clone(),
            tracking_number: tracking_number.clone(),
        },
        Event::Delivered { .. } => News::Delivered,
        Event::Refunded { amount, .. } => News::Refunded { amount: *amount },
        _ => return None,
    })
}

#[async_trait]
impl Consumer for MailWorker {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Order
    }

    fn concerns(&self, event: &Recorded) -> bool {
        is_any(
            event,
            &[
                "placed",
                "confirmed",
                "cancelled",
                "shipped",
                "delivered",
                "refunded",
            ],
        )
    }

    /// Mail can wait longer than an order can: thirty tries, about six minutes.
    fn policy(&self) -> Policy {
        Policy {
            tries: 30,
            deadline: Duration::from_secs(60),
            ..Policy::default()
        }
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        let happened = read::<Order>(event)?;
        let Some(news) = news(&happened) else {
            return Ok(());
        };
        let draft = match &happened {
            Event::Placed { draft, .. } => Arc::clone(draft),
            _ => self.errands.order(&event.entity).await?.draft,
        };
        let mail = self
            .letterhead
            .about_order(&draft, &news, event.sequence.0, happened.at())
            .map_err(|error| ReadFault::lasting("a mail could not be written", error))?;
        self.post.send(&mail).await.map_err(|fault| match fault {
            PostFault::Refused(_) => ReadFault::lasting("a mail was refused", fault),
            PostFault::Failed(_) => ReadFault::temporary("a mail could not be sent", fault),
        })
    }
}
