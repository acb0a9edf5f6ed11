//! Sessions of programs, opened, verified and refreshed; and how any session ends.
//!
//! Two ways to hold one. Programs hold an access token (short, a JWT) and a refresh token (long,
//! opaque, good once): they are here. Browsers hold one opaque cookie: [`super::browser`]. Behind
//! both is a row of `account_session`; deleting it ends everything.

use std::sync::Arc;

use uuid::Uuid;

use super::customer::delete_sessions;
use super::key::SigningKey;
use super::refusal::{AccountError, Fault, Refusal, TokenRefusal};
use super::role::{Role, Roles};
use super::secret::{Purpose, Secret, sha256};
use super::standing::Caller;
use super::token::{AccessTokens, Claims, LONG_TOKEN_SECONDS, TOKEN_BYTES_MAX};
use super::{Accounts, stored_roles};
use crate::clock::Clock;
use crate::domain::id::CustomerId;

/// What a program is given.
#[derive(Clone, Debug)]
pub struct TokenGrant {
    /// Whose it is.
    pub customer_id: CustomerId,
    /// The session behind it.
    pub session_id: Uuid,
    /// The JWT.
    pub access_token: Secret,
    /// How long the JWT is good.
    pub expires_in_seconds: i64,
    /// Good for one refresh.
    pub refresh_token: Secret,
}

/// An access token of 12 hours that stands on the key alone, without a session: for the command
/// line, which has no database at hand. It cannot be ended.
///
/// # Errors
/// When the key cannot sign.
pub fn long_token(
    key: &SigningKey,
    clock: &Clock,
    role: Role,
    customer: Option<CustomerId>,
) -> Result<Secret, Fault> {
    let customer = customer.unwrap_or_else(|| CustomerId(clock.new_id()));
    let roles = Roles::default().with(role);
    let claims = Claims::new(clock, customer, roles, None, LONG_TOKEN_SECONDS);
    AccessTokens::new(key).sign(&claims)
}

impl Accounts {
    /// Makes a guest and opens a session of tokens for it.
    ///
    /// # Errors
    /// A fault.
    pub async fn open_guest(&self) -> Result<TokenGrant, AccountError> {
        let customer_id = CustomerId(self.clock.new_id());
        let session_id = self.clock.new_id();
        let (refresh_token, refresh_hash) = Purpose::Refresh.mint(&self.clock);
        let now = self.clock.now();
        let expires_at = now.plus_seconds(self.settings.refresh_seconds);
        let revision = self.standing.revision();
        self.stored("make a guest", async {
            sqlx::query!(
                "with guest as (
                     insert into customer (customer_id, roles, created_at_ms) values ($1, $2, $3)
                 ), opened as (
                     insert into account_session
                         (session_id, customer_id, created_at_ms, seen_at_ms, expires_at_ms)
                     values ($4, $1, $3, $3, $5)
                 )
                 insert into account_refresh (token_hash, session_id, expires_at_ms)
                 values ($6, $4, $5)",
                customer_id.0,
                &Roles::SHOPPER.names(),
                now.0,
                session_id,
                expires_at.0,
                &refresh_hash[..],
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        let claims = self.claims(customer_id, Roles::SHOPPER, session_id);
        let access_token = self.tokens.sign(&claims)?;
        // A shop under load makes many guests: their first request need not ask the database.
        self.standing.insert(
            revision,
            sha256(access_token.expose()),
            Arc::new(caller(&claims, Roles::SHOPPER, true)),
            now,
        );
        Ok(TokenGrant {
            customer_id,
            session_id,
            access_token,
            expires_in_seconds: self.settings.access_seconds,
            refresh_token,
        })
    }

    /// Opens a session of tokens for somebody who registered or signed in.
    ///
    /// # Errors
    /// [`Refusal::UnknownCustomer`], or a fault.
    pub async fn open_tokens(&self, customer_id: CustomerId) -> Result<TokenGrant, AccountError> {
        let session_id = self.clock.new_id();
        let (refresh_token, refresh_hash) = Purpose::Refresh.mint(&self.clock);
        let now = self.clock.now();
        let expires_at = now.plus_seconds(self.settings.refresh_seconds);
        let roles = self
            .stored("open a session", async {
                let roles = sqlx::query_scalar!(
                    "with owner as (
                         select customer_id, roles from customer where customer_id = $1
                     ), opened as (
                         insert into account_session
                             (session_id, customer_id, created_at_ms, seen_at_ms, expires_at_ms)
                         select $2, customer_id, $3, $3, $4 from owner
                     ), refreshable as (
                         insert into account_refresh (token_hash, session_id, expires_at_ms)
                         select $5, $2, $4 from owner
                     )
                     select roles from owner",
                    customer_id.0,
                    session_id,
                    now.0,
                    expires_at.0,
                    &refresh_hash[..],
                )
                .fetch_optional(&self.pool)
                .await?
                .ok_or(Refusal::UnknownCustomer)?;
                Ok(stored_roles(&roles)?)
            })
            .await?;
        self.grant_tokens(customer_id, roles, session_id, refresh_token)
    }

    /// Trades a refresh token for a new pair. It works once: presented again, by a thief or by the
    /// one who was robbed, it ends the session, for nobody can tell which of them is calling. Of
    /// two callers at the same moment one is the second.
    ///
    /// # Errors
    /// [`Refusal::RefreshToken`], or a fault.
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenGrant, AccountError> {
        let spent = Purpose::Refresh
            .hash(refresh_token)
            .ok_or(Refusal::RefreshToken)?;
        let (fresh_token, fresh_hash) = Purpose::Refresh.mint(&self.clock);
        let now = self.clock.now();
        let expires_at = now.plus_seconds(self.settings.refresh_seconds);
        let outcome = self
            .stored("refresh a session", async {
                let mut tx = self.pool.begin().await?;
                // Whoever updates first has it; the other waits for the row and finds it used.
                let session = sqlx::query_scalar!(
                    "update account_refresh set used_at_ms = $2
                     where token_hash = $1 and used_at_ms is null and expires_at_ms > $2
                     returning session_id",
                    &spent[..],
                    now.0
                )
                .fetch_optional(&mut *tx)
                .await?;
                let Some(session_id) = session else {
                    let reused = sqlx::query!(
                        "delete from account_session
                         where session_id = (select session_id from account_refresh
                                             where token_hash = $1 and used_at_ms is not null)
                         returning customer_id, session_id",
                        &spent[..]
                    )
                    .fetch_optional(&mut *tx)
                    .await?;
                    tx.commit().await?;
                    return Ok(Refreshed::No {
                        reused: reused.map(|row| (CustomerId(row.customer_id), row.session_id)),
                    });
                };
                let owner = sqlx::query!(
                    "update account_session s set seen_at_ms = $2, expires_at_ms = $3
                     from customer c
                     where s.session_id = $1 and c.customer_id = s.customer_id
                     returning s.customer_id, c.roles",
                    session_id,
                    now.0,
                    expires_at.0
                )
                .fetch_optional(&mut *tx)
                .await?
                .ok_or(Refusal::RefreshToken)?;
                sqlx::query!(
                    "insert into account_refresh (token_hash, session_id, expires_at_ms)
                     values ($1, $2, $3)",
                    &fresh_hash[..],
                    session_id,
                    expires_at.0
                )
                .execute(&mut *tx)
                .await?;
                let roles = stored_roles(&owner.roles)?;
                tx.commit().await?;
                Ok(Refreshed::Yes {
                    customer_id: CustomerId(owner.customer_id),
                    session_id,
                    roles,
                })
            })
            .await?;
        match outcome {
            Refreshed::Yes {
                customer_id,
                session_id,
                roles,
            } => self.grant_tokens(customer_id, roles, session_id, fresh_token),
            Refreshed::No { reused } => {
                if let Some((customer_id, session_id)) = reused {
                    self.changed(customer_id);
                    tracing::warn!(
                        customer.id = %customer_id, session.id = %session_id,
                        "a used refresh token was presented again; its session was ended"
                    );
                }
                Err(Refusal::RefreshToken.into())
            }
        }
    }

    /// Who an access token belongs to. The roles are those the customer has now, not those it had
    /// when the token was written.
    ///
    /// # Errors
    /// [`Refusal::Token`], or a fault.
    pub async fn verify_token(&self, token: &str) -> Result<Arc<Caller>, AccountError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefusal::NotOurs.into());
        }
        let credential = sha256(token);
        let now = self.clock.now();
        if let Some(caller) = self.standing.get(&credential, now) {
            return Ok(caller);
        }
        let claims = self.tokens.read(token, now)?;
        let revision = self.standing.revision();
        let (roles, guest) = match claims.sid {
            None => (claims.roles, false),
            Some(session_id) => self.session_of_token(session_id, claims.sub).await?,
        };
        let caller = Arc::new(caller(&claims, roles, guest));
        self.standing
            .insert(revision, credential, Arc::clone(&caller), now);
        Ok(caller)
    }

    async fn session_of_token(
        &self,
        session_id: Uuid,
        customer_id: CustomerId,
    ) -> Result<(Roles, bool), AccountError> {
        self.stored("look for a session", async {
            let row = sqlx::query!(
                r#"select c.roles, c.email_key is null as "guest!"
                   from account_session s join customer c using (customer_id)
                   where s.session_id = $1 and s.customer_id = $2 and s.cookie_hash is null"#,
                session_id,
                customer_id.0
            )
            .fetch_optional(&self.pool)
            .await?
            .ok_or(Refusal::Token(TokenRefusal::SessionEnded))?;
            Ok((stored_roles(&row.roles)?, row.guest))
        })
        .await
    }

    /// Ends one session. Ending one that has ended changes nothing.
    ///
    /// # Errors
    /// A fault.
    pub async fn end_session(&self, session_id: Uuid) -> Result<(), AccountError> {
        let customer = self
            .stored("end a session", async {
                let customer = sqlx::query_scalar!(
                    "delete from account_session where session_id = $1 returning customer_id",
                    session_id
                )
                .fetch_optional(&self.pool)
                .await?;
                Ok(customer)
            })
            .await?;
        if let Some(customer) = customer {
            self.changed(CustomerId(customer));
        }
        Ok(())
    }

    /// Ends every session of a customer.
    ///
    /// # Errors
    /// A fault.
    pub async fn end_all(&self, customer_id: CustomerId) -> Result<(), AccountError> {
        self.stored("end all sessions", async {
            let mut connection = self.pool.acquire().await?;
            Ok(delete_sessions(&mut connection, customer_id).await?)
        })
        .await?;
        self.changed(customer_id);
        Ok(())
    }

    fn claims(&self, customer_id: CustomerId, roles: Roles, session_id: Uuid) -> Claims {
        Claims::new(
            &self.clock,
            customer_id,
            roles,
            Some(session_id),
            self.settings.access_seconds,
        )
    }

    fn grant_tokens(
        &self,
        customer_id: CustomerId,
        roles: Roles,
        session_id: Uuid,
        refresh_token: Secret,
    ) -> Result<TokenGrant, AccountError> {
        let access_token = self.tokens.sign(&self.claims(customer_id, roles, session_id))?;
        Ok(TokenGrant {
            customer_id,
            session_id,
            access_token,
            expires_in_seconds: self.settings.access_seconds,
            refresh_token,
        })
    }
}

enum Refreshed {
    Yes {
        customer_id: CustomerId,
        session_id: Uuid,
        roles: Roles,
    },
    No {
        reused: Option<(CustomerId, Uuid)>,
    },
}

fn caller(claims: &Claims, roles: Roles, guest: bool) -> Caller {
    Caller {
        customer_id: claims.sub,
        session_id: claims.sid,
        roles,
        guest,
        expires_at: claims.expires_at(),
    }
}
