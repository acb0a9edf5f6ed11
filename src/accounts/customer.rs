//! Customers: guests who register, and accounts that are signed in to.

use sqlx::PgConnection;

use super::contact::{Email, parse_name};
use super::merge::lock_guest;
use super::password::{is_outdated, judge_password};
use super::refusal::{AccountError, InvalidField, Refusal, Stop};
use super::role::Roles;
use super::secret::Secret;
use super::{Accounts, stored_roles};
use crate::domain::id::CustomerId;

/// What somebody writes to get an account.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The e-mail.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// The name.
    pub name: String,
}

/// Somebody whose password was right, or who has just chosen one. Not yet a session: open one with
/// [`Accounts::open_tokens`] or [`Accounts::open_browser`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The account.
    pub customer_id: CustomerId,
    /// Guests of this account whose carts wait to be merged into the account's: usually the one
    /// that has just signed in, and any whose merge was interrupted. After merging a cart, say so
    /// with [`Accounts::cart_merged`]. Their orders belong to the account already.
    pub carts_to_merge: Vec<CustomerId>,
}

/// What a customer sees of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The customer.
    pub customer_id: CustomerId,
    /// The e-mail; a guest has none.
    pub email: Option<String>,
    /// The name; a guest has none.
    pub name: Option<String>,
    /// The roles.
    pub roles: Roles,
}

struct ValidRegistration {
    email: Email,
    name: String,
    password: Secret,
}

impl Registration {
    fn validate(self) -> Result<ValidRegistration, Refusal> {
        let email = Email::parse(&self.email);
        let name = parse_name(&self.name);
        let password = judge_password(&self.password, email.as_ref().ok(), name.as_deref().ok());
        let mut invalid = Vec::new();
        let mut note = |pointer, detail| invalid.push(InvalidField { pointer, detail });
        if let Err(detail) = &email {
            note("/email", *detail);
        }
        if let Err(detail) = &name {
            note("/name", *detail);
        }
        if let Err(detail) = &password {
            note("/password", *detail);
        }
        match (email, name, password) {
            (Ok(email), Ok(name), Ok(())) => Ok(ValidRegistration {
                email,
                name,
                password: self.password,
            }),
            _ => Err(Refusal::Invalid(invalid)),
        }
    }
}

impl Accounts {
    /// Makes an account. A guest who registers keeps its id, and with it cart and orders; its old
    /// tokens end, so that nobody who knew them is inside the account.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::EmailTaken`], or a fault.
    pub async fn register(
        &self,
        registration: Registration,
        guest: Option<CustomerId>,
    ) -> Result<SignedIn, AccountError> {
        let valid = registration.validate()?;
        self.stored("look for an e-mail", async {
            let taken = sqlx::query_scalar!(
                r#"select exists(select from customer where email_key = $1) as "taken!""#,
                valid.email.key()
            )
            .fetch_one(&self.pool)
            .await?;
            if taken {
                Err(Refusal::EmailTaken.into())
            } else {
                Ok(())
            }
        })
        .await?;
        let hash = self.passwords.hash(&valid.password).await?;
        let customer_id = self
            .stored("register a customer", async {
                let mut tx = self.pool.begin().await?;
                let kept = match guest {
                    Some(guest) if lock_guest(&mut tx, guest).await? => Some(guest),
                    _ => None,
                };
                let customer_id = kept.unwrap_or_else(|| CustomerId(self.clock.new_id()));
                sqlx::query!(
                    "insert into customer
                         (customer_id, email, email_key, name, password_hash, roles, created_at_ms)
                     values ($1, $2, $3, $4, $5, $6, $7)
                     on conflict (customer_id) do update
                     set email = excluded.email, email_key = excluded.email_key,
                         name = excluded.name, password_hash = excluded.password_hash",
                    customer_id.0,
                    valid.email.as_str(),
                    valid.email.key(),
                    valid.name,
                    hash,
                    &Roles::SHOPPER.names(),
                    self.clock.now().0,
                )
                .execute(&mut *tx)
                .await
                .map_err(email_taken)?;
                delete_sessions(&mut tx, customer_id).await?;
                tx.commit().await?;
                Ok(customer_id)
            })
            .await?;
        self.changed(customer_id);
        Ok(SignedIn {
            customer_id,
            carts_to_merge: Vec::new(),
        })
    }

    /// Checks an e-mail and a password. Takes as long for an unknown e-mail as for a wrong
    /// password, and says the same. `guest` is who was calling until now, if it was a guest: its
    /// orders become the account's, and its tokens end.
    ///
    /// # Errors
    /// [`Refusal::WrongCredentials`], [`Refusal::TooManyGuesses`], or a fault.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &Secret,
        guest: Option<CustomerId>,
    ) -> Result<SignedIn, AccountError> {
        let guess = self
            .guesses
            .take(&email.trim().to_lowercase(), self.clock.now())?;
        // Whatever cannot be an e-mail is nobody's: it goes the same way as an unknown one.
        let key = Email::parse(email).map_or_else(|_| String::new(), |email| email.key().to_owned());
        let found = self
            .stored("look for an account", async {
                let found = sqlx::query!(
                    r#"select customer_id, password_hash as "password_hash!"
                       from customer where email_key = $1"#,
                    key
                )
                .fetch_optional(&self.pool)
                .await?;
                Ok(found)
            })
            .await?;
        let stored = found.as_ref().map(|row| row.password_hash.as_str());
        let right = match self.passwords.verify(password, stored).await {
            Ok(right) => right,
            Err(fault) => {
                guess.give_back();
                return Err(fault.into());
            }
        };
        let Some(row) = found.filter(|_| right) else {
            return Err(Refusal::WrongCredentials.into());
        };
        guess.give_back();
        let customer_id = CustomerId(row.customer_id);
        if is_outdated(&row.password_hash) {
            self.renew_hash(customer_id, password, &row.password_hash).await;
        }
        let carts_to_merge = self.merge(customer_id, guest).await?;
        Ok(SignedIn {
            customer_id,
            carts_to_merge,
        })
    }

    /// Stores the password with today's parameters. If that fails the old hash is still good, so
    /// the sign-in goes on.
    async fn renew_hash(&self, customer_id: CustomerId, password: &Secret, outdated: &str) {
        let renewed: Result<(), AccountError> = async {
            let hash = self.passwords.hash(password).await?;
            self.stored("renew a password hash", async {
                sqlx::query!(
                    "update customer set password_hash = $3
                     where customer_id = $1 and password_hash = $2",
                    customer_id.0,
                    outdated,
                    hash
                )
                .execute(&self.pool)
                .await?;
                Ok(())
            })
            .await
        }
        .await;
        if let Err(error) = renewed {
            tracing::warn!(%error, customer.id = %customer_id, "a password hash stays outdated");
        }
    }

    /// What a customer sees of itself.
    ///
    /// # Errors
    /// [`Refusal::UnknownCustomer`], or a fault.
    pub async fn me(&self, customer_id: CustomerId) -> Result<Profile, AccountError> {
        self.stored("read a customer", async {
            let row = sqlx::query!(
                "select email, name, roles from customer where customer_id = $1",
                customer_id.0
            )
            .fetch_optional(&self.pool)
            .await?
            .ok_or(Refusal::UnknownCustomer)?;
            Ok(Profile {
                customer_id,
                email: row.email,
                name: row.name,
                roles: stored_roles(&row.roles)?,
            })
        })
        .await
    }
}

/// Ends every session of a customer; their refresh tokens go with them.
pub(super) async fn delete_sessions(
    tx: &mut PgConnection,
    customer_id: CustomerId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from account_session where customer_id = $1",
        customer_id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn email_taken(error: sqlx::Error) -> Stop {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("customer_email_key_unique") {
        Refusal::EmailTaken.into()
    } else {
        error.into()
    }
}
