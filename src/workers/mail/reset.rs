//! Mail with a link to a new password.
//!
//! The edge answers before it is sent, so that the time of an answer says nothing about an address.
//! Waiting mails live in a bounded queue in memory: what is lost with the process is asked for again
//! by whoever misses it, which is what the page says, and no token is ever stored in clear.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::post::{Post, PostFault};
use super::wording::Letterhead;
use crate::accounts::ResetMail;
use crate::clock::Clock;

/// How many mails may wait.
const QUEUE: usize = 256;
/// How many are sent at once.
const PARALLEL: usize = 8;
/// How often one is tried.
const TRIES: u32 = 6;
/// The first pause between tries.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between tries.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);

/// The way out for mails with reset links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ResetMails(mpsc::Sender<ResetMail>);

impl ResetMails {
    /// Opens the way. It closes when the last clone is gone.
    #[must_use]
    pub fn open(letterhead: Arc<Letterhead>, post: Arc<dyn Post>, clock: Clock) -> Self {
        let (sender, mut queue) = mpsc::channel::<ResetMail>(QUEUE);
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(PARALLEL));
            while let Some(reset) = queue.recv().await {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let (letterhead, post, clock) = (Arc::clone(&letterhead), Arc::clone(&post), clock.clone());
                tokio::spawn(async move {
                    send(&letterhead, post.as_ref(), &clock, &reset).await;
                    drop(place);
                });
            }
        });
        Self(sender)
    }

    /// Takes a mail without waiting; `false` if too many wait already.
    pub fn send(&self, reset: ResetMail) -> bool {
        let taken = self.0.try_send(reset).is_ok();
        if !taken {
            tracing::warn!("too many password resets wait for the mail server; one is dropped");
        }
        taken
    }
}

async fn send(letterhead: &Letterhead, post: &dyn Post, clock: &Clock, reset: &ResetMail) {
    let mail = match letterhead.about_reset(reset, clock.new_id(), clock.now()) {
        Ok(mail) => mail,
        Err(error) => {
            tracing::error!(%error, "a password reset could not be written");
            return;
        }
    };
    for attempt in 0..TRIES {
        match post.send(&mail).await {
            Ok(()) => return,
            Err(fault @ PostFault::Refused(_)) => {
                tracing::warn!(%fault, "a password reset could not be sent");
                return;
            }
            Err(fault) => {
                tracing::warn!(%fault, attempt, "a password reset could not be sent; trying again");
                clock.sleep(clock.backoff(attempt, PAUSE, PAUSE_LIMIT)).await;
            }
        }
        if clock.now() >= reset.expires_at {
            return;
        }
    }
}
