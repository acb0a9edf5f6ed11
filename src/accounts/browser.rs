//! Browser sessions: one opaque cookie, looked up on this side.
//!
//! A session ends when it idles too long, when it is too old, and when it is replaced: at sign-in
//! the browser gets a new one, so that a cookie planted before is worth nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use uuid::Uuid;

use super::refusal::{AccountError, Refusal};
use super::role::Roles;
use super::secret::{Purpose, Secret};
use super::standing::Caller;
use super::{Accounts, stored_roles};
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// What a browser is given.
#[derive(Clone, Debug)]
pub struct BrowserGrant {
    /// Whose it is.
    pub customer_id: CustomerId,
    /// The session behind it.
    pub session_id: Uuid,
    /// The value of the cookie.
    pub cookie: Secret,
    /// How long the browser should keep the cookie.
    pub max_age_seconds: i64,
    /// What the forms of this session carry.
    pub csrf_token: String,
}

impl Accounts {
    /// Makes a guest and opens a browser session for it: what a visitor gets with the first line in
    /// its cart, and not before, for most visitors only look.
    ///
    /// # Errors
    /// A fault.
    pub async fn open_guest_browser(&self) -> Result<BrowserGrant, AccountError> {
        let customer_id = CustomerId(self.clock.new_id());
        self.stored("make a guest", async {
            sqlx::query!(
                "insert into customer (customer_id, roles, created_at_ms) values ($1, $2, $3)",
                customer_id.0,
                &Roles::SHOPPER.names(),
                self.clock.now().0
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.open_browser(customer_id, None).await
    }

    /// Opens a browser session for somebody who registered or signed in. `replaces` is the session
    /// the browser had until now; it ends, so that a cookie planted before is worth nothing.
    ///
    /// # Errors
    /// [`Refusal::UnknownCustomer`], or a fault.
    pub async fn open_browser(
        &self,
        customer_id: CustomerId,
        replaces: Option<Uuid>,
    ) -> Result<BrowserGrant, AccountError> {
        let session_id = self.clock.new_id();
        let (cookie, cookie_hash) = Purpose::Cookie.mint(&self.clock);
        let now = self.clock.now();
        self.stored("open a browser session", async {
            let opened = sqlx::query!(
                "insert into account_session
                     (session_id, customer_id, cookie_hash, created_at_ms, seen_at_ms, expires_at_ms)
                 select $2, customer_id, $3, $4, $4, $5 from customer where customer_id = $1",
                customer_id.0,
                session_id,
                &cookie_hash[..],
                now.0,
                now.plus_seconds(self.settings.browser_max_seconds).0
            )
            .execute(&self.pool)
            .await?;
            if opened.rows_affected() == 1 {
                Ok(())
            } else {
                Err(Refusal::UnknownCustomer.into())
            }
        })
        .await?;
        if let Some(replaced) = replaces {
            self.end_session(replaced).await?;
        }
        let csrf_token = self.csrf_token(cookie.expose());
        Ok(BrowserGrant {
            customer_id,
            session_id,
            cookie,
            max_age_seconds: self.settings.browser_max_seconds,
            csrf_token,
        })
    }

    /// Who a cookie belongs to; nobody, if its session ended, was away too long, or never was.
    ///
    /// # Errors
    /// A fault.
    pub async fn find_browser(&self, cookie: &str) -> Result<Option<Arc<Caller>>, AccountError> {
        let Some(credential) = Purpose::Cookie.hash(cookie) else {
            return Ok(None);
        };
        let now = self.clock.now();
        if let Some(caller) = self.standing.get(&credential, now) {
            return Ok(Some(caller));
        }
        let revision = self.standing.revision();
        let last_seen = now.plus_seconds(-self.settings.browser_idle_seconds);
        let found = self
            .stored("look for a browser session", async {
                let row = sqlx::query!(
                    r#"update account_session s set seen_at_ms = $2
                       from customer c
                       where s.cookie_hash = $1 and c.customer_id = s.customer_id
                         and s.expires_at_ms > $2 and s.seen_at_ms > $3
                       returning s.session_id, s.customer_id, s.expires_at_ms,
                                 c.roles, c.email_key is null as "guest!""#,
                    &credential[..],
                    now.0,
                    last_seen.0
                )
                .fetch_optional(&self.pool)
                .await?;
                row.map(|row| {
                    Ok(Caller {
                        customer_id: CustomerId(row.customer_id),
                        session_id: Some(row.session_id),
                        roles: stored_roles(&row.roles)?,
                        guest: row.guest,
                        expires_at: Millis(row.expires_at_ms),
                    })
                })
                .transpose()
            })
            .await?;
        Ok(found.map(|caller| {
            let caller = Arc::new(caller);
            self.standing
                .insert(revision, credential, Arc::clone(&caller), now);
            caller
        }))
    }

    /// What the forms and the unsafe calls of the session behind `cookie` carry. Derived, not
    /// stored: it says nothing about the cookie, and ends with it.
    #[must_use]
    pub fn csrf_token(&self, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.csrf, cookie.as_bytes()))
    }

    /// Whether `presented` is the CSRF token of `cookie`; takes the same time whatever is wrong.
    #[must_use]
    pub fn csrf_matches(&self, cookie: &str, presented: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(presented)
            .is_ok_and(|tag| hmac::verify(&self.csrf, cookie.as_bytes(), &tag).is_ok())
    }
}
