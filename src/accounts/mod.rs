//! Who you are: customers, credentials, sessions and tokens. Ordinary rows; an actor buys nothing
//! here.
//!
//! Reading order: [`customer`] (registering and signing in), [`merge`] (guests that become part of
//! an account), [`session`] and [`browser`] (tokens and cookies: opened, refreshed, ended),
//! [`reset`], [`grant`], [`action`] (what operators did with their role); then what they stand on: [`token`] (the JWT), [`key`] (the one private
//! file), [`password`] (argon2id on a bounded pool), [`standing`] (the cache in front of it all).
//!
//! This room knows nothing of HTTP, of actors or of the journal. A cart belongs to whoever's
//! [`CustomerId`] it carries, so all this room has to do for carts and orders is to keep ids.
//!
//! **Invariants:**
//! - No password, token, cookie or key is stored or logged in a form that can be used: passwords
//!   are argon2id, tokens and cookies are SHA-256, the key is a file of its own.
//! - Whether an address has an account is told only to somebody who registers it.
//! - Ending a session ends its access tokens too, at once on this node.
//! - A refresh token works once. Used twice, its whole session ends.

mod action;
mod browser;
mod contact;
mod customer;
mod demo;
#[doc(hidden)]
pub mod fuzz;
mod grant;
mod guess;
mod key;
mod merge;
mod password;
mod provider;
mod recent;
mod refusal;
mod reset;
mod role;
mod secret;
mod session;
mod standing;
mod sweep;
mod token;

pub use action::{Action, BegunAction, NewAction};
pub use browser::BrowserGrant;
pub use contact::{Email, parse_name};
pub use customer::{Profile, Registration, SignedIn};
pub use demo::DemoAccount;
pub use key::{KeyError, OrderLinks, SigningKey};
pub use refusal::{AccountError, Fault, InvalidField, Refusal, TokenRefusal};
pub use reset::ResetMail;
pub use role::{Role, Roles, UnknownRole};
pub use secret::Secret;
pub use session::{TokenGrant, long_token};
pub use standing::Caller;
pub use sweep::Swept;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use ring::hmac;
use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio::time::timeout;

use self::guess::GuessLimit;
use self::merge::Identities;
use self::password::PasswordPool;
use self::recent::Recent;
use self::refusal::Stop;
use self::standing::Standing;
use self::token::AccessTokens;
use crate::clock::Clock;
use crate::domain::id::CustomerId;

/// What can be set. The defaults are the contract of the API.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// How long an access token is good.
    pub access_seconds: i64,
    /// How long a refresh token is good; each use gives a new one.
    pub refresh_seconds: i64,
    /// How long a browser may be away before it is signed out.
    pub browser_idle_seconds: i64,
    /// How long a browser stays signed in at most.
    pub browser_max_seconds: i64,
    /// How long a password reset can be used.
    pub reset_seconds: i64,
    /// How many passwords may be hashed at once.
    pub hash_parallel: usize,
    /// How many guesses at the password of one account are let through a minute.
    pub guesses_per_minute: u32,
    /// How many verified credentials are remembered (about 300 bytes each).
    pub remembered: usize,
    /// How long the database may take for one call.
    pub database_timeout: Duration,
}

impl Default for AccountSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            access_seconds: 15 * 60,
            refresh_seconds: 30 * 24 * 3_600,
            browser_idle_seconds: 14 * 24 * 3_600,
            browser_max_seconds: 90 * 24 * 3_600,
            reset_seconds: 30 * 60,
            hash_parallel: (cores / 2).max(1),
            guesses_per_minute: 5,
            remembered: 65_536,
            database_timeout: Duration::from_secs(5),
        }
    }
}

/// The accounts of the shop. One a node, shared by reference.
pub struct Accounts {
    pool: PgPool,
    clock: Clock,
    settings: AccountSettings,
    key: SigningKey,
    csrf: hmac::Key,
    tokens: AccessTokens,
    passwords: PasswordPool,
    guesses: GuessLimit,
    resets: GuessLimit,
    standing: Standing,
    identities: Mutex<Recent<CustomerId, Identities>>,
    changes: broadcast::Sender<CustomerId>,
}

impl Accounts {
    /// Opens the accounts on a migrated database.
    ///
    /// # Errors
    /// When no password can be hashed on this machine.
    pub async fn start(
        pool: PgPool,
        clock: Clock,
        key: SigningKey,
        settings: AccountSettings,
    ) -> Result<Self, Fault> {
        Ok(Self {
            passwords: PasswordPool::start(clock.clone(), settings.hash_parallel).await?,
            csrf: key.derive("globalshop/csrf/1"),
            tokens: AccessTokens::new(&key),
            guesses: GuessLimit::per_minute(settings.guesses_per_minute),
            resets: GuessLimit::per_minute(settings.guesses_per_minute),
            standing: Standing::new(settings.remembered),
            identities: Mutex::new(Recent::new(settings.remembered)),
            // A listener that lags is told so and looks at everybody again.
            changes: broadcast::channel(1_024).0,
            pool,
            clock,
            settings,
            key,
        })
    }

    /// The public keys, as served at `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.key.jwks()
    }

    /// The maker and checker of signed order links.
    #[must_use]
    pub fn order_links(&self) -> OrderLinks {
        self.key.order_links()
    }

    /// Customers whose sessions or roles have just changed. A long-lived connection of theirs
    /// should verify its credential again; after `Lagged`, every connection should.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<CustomerId> {
        self.changes.subscribe()
    }

    /// Forgets what is cached of `customer` and tells who listens. Called after each commit that
    /// ends a session or changes a role.
    fn changed(&self, customer: CustomerId) {
        self.standing.forget(customer);
        // An error only says that nobody listens.
        let _ = self.changes.send(customer);
    }

    /// Runs database steps within the time limit and names what they were for.
    fn stored<T>(
        &self,
        doing: &'static str,
        steps: impl Future<Output = Result<T, Stop>>,
    ) -> impl Future<Output = Result<T, AccountError>> {
        // Boxed: taking a connection may mean opening one, and every future around this one would carry
        // the room for that.
        let steps = Box::pin(steps);
        async move {
            match timeout(self.settings.database_timeout, steps).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(Stop::Refused(refusal))) => Err(refusal.into()),
                Ok(Err(Stop::Fault(fault))) => Err(fault.into()),
                Ok(Err(Stop::Database(sqlx::Error::PoolTimedOut))) => Err(Fault::Overloaded { doing }.into()),
                Ok(Err(Stop::Database(source))) => Err(Fault::Database { doing, source }.into()),
                Err(_) => Err(Fault::TimedOut { doing }.into()),
            }
        }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Reads the roles of a row.
fn stored_roles(names: &[String]) -> Result<Roles, Fault> {
    Roles::from_names(names).map_err(|_| Fault::Corrupt { what: "role" })
}
