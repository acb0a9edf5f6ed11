//! Who looks, and what they may see.

use std::sync::Arc;

use async_trait::async_trait;

use crate::accounts::{AccountError, Accounts, Caller, Refusal, Role, Secret, TokenRefusal};
use crate::domain::id::CustomerId;

/// What a connection shows for itself.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An access token.
    Token(Secret),
    /// The cookie of a browser session.
    Cookie(Secret),
}

/// Somebody known.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Who.
    pub caller: Arc<Caller>,
    /// Everybody they are: themselves and the guests they were.
    pub identities: Arc<[CustomerId]>,
}

impl Viewer {
    /// Whether they have a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.caller.has(role)
    }

    /// Whether an order of `owner` is for their eyes.
    #[must_use]
    pub fn may_see_order_of(&self, owner: CustomerId) -> bool {
        self.has(Role::Seller)
            || self.has(Role::Operator)
            || (self.has(Role::Shopper) && self.identities.contains(&owner))
    }
}

/// Why somebody is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The credential was good once.
    Ended,
    /// It never was.
    Refused,
    /// Nobody can tell now.
    Unavailable,
}

/// Who tells who is there. The accounts, or a test.
#[async_trait]
pub trait Doorkeeper: Send + Sync + 'static {
    /// Who shows this credential, as of now.
    async fn admit(&self, credential: &Credential) -> Result<Viewer, Turned>;
}

#[async_trait]
impl Doorkeeper for Accounts {
    async fn admit(&self, credential: &Credential) -> Result<Viewer, Turned> {
        let caller = match credential {
            Credential::Token(token) => self.verify_token(token.expose()).await.map_err(turned)?,
            Credential::Cookie(cookie) => self
                .find_browser(cookie.expose())
                .await
                .map_err(turned)?
                .ok_or(Turned::Ended)?,
        };
        let identities = self.identities(caller.customer_id).await.map_err(turned)?;
        Ok(Viewer { caller, identities })
    }
}

fn turned(error: AccountError) -> Turned {
    match error {
        AccountError::Refused(Refusal::Token(TokenRefusal::Expired | TokenRefusal::SessionEnded)) => {
            Turned::Ended
        }
        AccountError::Refused(_) => Turned::Refused,
        AccountError::Fault(fault) => {
            tracing::warn!(%fault, "the accounts did not say who is there");
            Turned::Unavailable
        }
    }
}
