//! One client of the feed, over whichever transport: who it is, and what it follows.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Live;
use super::channel::ChannelName;
use super::hub::Subscribe;
use super::hub::actor::HubMessage;
use super::outbox::Outbox;
use super::problem::{Problem, ProblemKind};
use super::protocol::{Close, CloseCode, Frame, From, SUBSCRIPTIONS_MAX, SubscribeItem, SubscriptionId};
use super::registry::Entry;
use super::viewer::{Credential, Turned, Viewer};
use crate::accounts::Role;
use crate::domain::Millis;

/// See the module. Dropping it ends every subscription.
#[derive(Debug)]
pub struct Session {
    live: Live,
    entry: Entry,
    credential: Option<Credential>,
    viewer: Option<Arc<Viewer>>,
    /// Asked for, and not begun yet: the connection takes on a few at a time.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: SubscriptionId,
    text: Arc<str>,
    name: ChannelName,
    from: From,
}

impl Session {
    /// A session of nobody we know.
    #[must_use]
    pub fn new(live: Live, entry: Entry) -> Self {
        Self {
            live,
            entry,
            credential: None,
            viewer: None,
            pending: VecDeque::new(),
        }
    }

    /// The feed it belongs to.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// Where its frames wait.
    #[must_use]
    pub const fn outbox(&self) -> &Arc<Outbox> {
        self.entry.outbox()
    }

    /// When its credential ends by itself.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        self.viewer.as_ref().map(|viewer| viewer.caller.expires_at)
    }

    /// Takes a credential in, in place of the one before. It must be the same customer's as long as
    /// anything is followed.
    ///
    /// # Errors
    /// How the connection is to end.
    pub async fn admit(&mut self, credential: Credential) -> Result<(), Close> {
        let viewer = self.live.doorkeeper().admit(&credential).await.map_err(close)?;
        let follows = self.outbox().subscriptions() > 0 || !self.pending.is_empty();
        if let Some(known) = &self.viewer
            && follows
            && known.caller.customer_id != viewer.caller.customer_id
        {
            return Err(Close::new(
                CloseCode::Forbidden,
                "the token is another customer's",
            ));
        }
        self.credential = Some(credential);
        self.is_now(viewer);
        Ok(())
    }

    fn is_now(&mut self, viewer: Viewer) {
        self.entry.is_of(Some(viewer.caller.customer_id));
        self.viewer = Some(Arc::new(viewer));
        if self.outbox().subscriptions() > 0 {
            self.live.door().tell(HubMessage::Review {
                outbox: Arc::clone(self.outbox()),
                viewer: self.viewer.clone(),
            });
        }
    }

    /// Looks again at who is there.
    ///
    /// # Errors
    /// How the connection is to end.
    pub async fn recheck(&mut self) -> Result<(), Close> {
        if let Some(credential) = &self.credential {
            let viewer = self.live.doorkeeper().admit(credential).await.map_err(close)?;
            self.is_now(viewer);
        }
        Ok(())
    }

    /// Begins to follow channels, as far as that is allowed; each item is answered for itself.
    ///
    /// # Errors
    /// How the connection is to end.
    pub async fn subscribe(&mut self, items: Vec<SubscribeItem>) -> Result<(), Close> {
        if let Some(credential) = &self.credential {
            // From memory, nearly always: a hash and two look-ups.
            let viewer = self.live.doorkeeper().admit(credential).await.map_err(close)?;
            if self
                .viewer
                .as_ref()
                .is_none_or(|known| known.caller != viewer.caller)
            {
                self.is_now(viewer);
            }
        }
        for item in items {
            let id = item.id.clone();
            match self.judge(item) {
                Ok(pending) => {
                    self.pending.retain(|other| other.text != pending.text);
                    self.pending.push_back(pending);
                }
                Err(problem) => {
                    self.live.figures().refused.increment(1);
                    self.outbox().say(Frame::refused(&id, &problem));
                }
            }
        }
        self.proceed();
        Ok(())
    }

    fn judge(&self, item: SubscribeItem) -> Result<Pending, Problem> {
        let problem = |kind| Problem::new(kind, self.outbox().trace());
        let SubscribeItem { id, channel, from } = item;
        let from = from.map_err(|detail| problem(ProblemKind::InvalidInput).at("/from", detail))?;
        let name = ChannelName::parse(&channel).ok_or_else(|| problem(ProblemKind::NotFound))?;
        match (&name, &self.viewer) {
            (ChannelName::Product(_), _) => {}
            (ChannelName::Cart | ChannelName::Order(_), None) => {
                return Err(problem(ProblemKind::Unauthenticated));
            }
            (ChannelName::Cart, Some(viewer)) if !viewer.has(Role::Shopper) => {
                return Err(problem(ProblemKind::Forbidden));
            }
            (ChannelName::Cart | ChannelName::Order(_), Some(_)) => {}
        }
        if self.outbox().subscriptions() + self.pending.len() >= SUBSCRIPTIONS_MAX {
            let detail = "A connection follows at most 128 channels.";
            return Err(problem(ProblemKind::TooMany).detail(detail));
        }
        Ok(Pending {
            id,
            text: channel.into(),
            name,
            from,
        })
    }

    /// Begins as many of the pending subscriptions as the connection can take on now.
    pub fn proceed(&mut self) {
        while !self.pending.is_empty() && self.outbox().is_calm() {
            let Some(Pending { id, text, name, from }) = self.pending.pop_front() else {
                return;
            };
            let customer = self.viewer.as_ref().map(|viewer| viewer.caller.customer_id);
            let Some(channel) = name.of(customer) else {
                continue;
            };
            self.unfollow(&text);
            let outbox = Arc::clone(self.outbox());
            let slot = outbox.open(id, text, channel.clone());
            let subscribe = Subscribe {
                outbox: Arc::clone(&outbox),
                slot,
                channel,
                from,
                viewer: self.viewer.clone(),
            };
            if !self.live.door().send(HubMessage::Subscribe(Box::new(subscribe))) {
                self.live.figures().refused.increment(1);
                let problem = Problem::new(ProblemKind::Overloaded, outbox.trace());
                outbox.refuse(slot, |id| Frame::refused(id, &problem));
            }
        }
    }

    /// Follows a channel no longer.
    pub fn unsubscribe(&mut self, channel: &str) {
        self.pending.retain(|pending| *pending.text != *channel);
        self.unfollow(channel);
        self.proceed();
    }

    fn unfollow(&self, channel: &str) {
        if let Some(followed) = self.outbox().close(channel) {
            self.live.door().tell(HubMessage::Unsubscribe {
                connection: self.outbox().number(),
                followed: vec![followed],
            });
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let followed = self.outbox().close_all();
        if !followed.is_empty() {
            self.live.door().tell(HubMessage::Unsubscribe {
                connection: self.outbox().number(),
                followed,
            });
        }
    }
}

fn close(turned: Turned) -> Close {
    match turned {
        Turned::Ended => Close::new(CloseCode::Expired, "the token or the session has ended"),
        Turned::Refused => Close::new(CloseCode::Forbidden, "the token is not accepted"),
        Turned::Unavailable => Close::new(CloseCode::Drain, "nobody can tell who you are for a moment")
            .after(std::time::Duration::from_secs(1)),
    }
}
