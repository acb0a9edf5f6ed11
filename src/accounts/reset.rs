//! A new password: by a link in a mail, or in exchange for the old one.

use uuid::Uuid;

use super::Accounts;
use super::contact::Email;
use super::customer::delete_sessions;
use super::password::judge_password;
use super::refusal::{AccountError, InvalidField, Refusal};
use super::secret::{Purpose, Secret};
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// What to send, and to whom.
#[derive(Clone, Debug)]
pub struct ResetMail {
    /// The address of the account, as the customer wrote it.
    pub email: String,
    /// The name of the customer.
    pub name: String,
    /// What the link carries.
    pub token: Secret,
    /// Until when it is good.
    pub expires_at: Millis,
}

impl Accounts {
    /// Asks for a password reset. For an address nobody has there is no mail, and the call costs
    /// the same: answer 202 either way, and do not wait for the mail to be sent.
    ///
    /// # Errors
    /// A fault.
    pub async fn request_reset(&self, email: &str) -> Result<Option<ResetMail>, AccountError> {
        let now = self.clock.now();
        if self.resets.take(&email.trim().to_lowercase(), now).is_err() {
            // The mailbox has mail of this kind already. Nobody is told; it would be an answer.
            return Ok(None);
        }
        let key = Email::parse(email).map_or_else(|_| String::new(), |email| email.key().to_owned());
        let (token, hash) = Purpose::Reset.mint(&self.clock);
        let expires_at = now.plus_seconds(self.settings.reset_seconds);
        let found = self
            .stored("store a password reset", async {
                let found = sqlx::query!(
                    r#"with found as (
                           select customer_id, email, name from customer where email_key = $1
                       ), stored as (
                           insert into account_reset (token_hash, customer_id, expires_at_ms)
                           values ($2, (select customer_id from found), $3)
                       )
                       select email as "email!", name as "name!" from found"#,
                    key,
                    &hash[..],
                    expires_at.0
                )
                .fetch_optional(&self.pool)
                .await?;
                Ok(found)
            })
            .await?;
        Ok(found.map(|row| ResetMail {
            email: row.email,
            name: row.name,
            token,
            expires_at,
        }))
    }

    /// Sets a new password with the token of a reset mail. It works once, voids every other reset,
    /// and ends every session: whoever had got in is out.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::ResetToken`], or a fault.
    pub async fn reset_password(&self, token: &str, new: &Secret) -> Result<(), AccountError> {
        let token = Purpose::Reset.hash(token).ok_or(Refusal::ResetToken)?;
        let now = self.clock.now();
        // Looked up before anything is hashed, so that made-up tokens cost little.
        let account = self
            .stored("look for a password reset", async {
                let account = sqlx::query!(
                    r#"select c.email as "email!", c.name as "name!"
                       from account_reset r join customer c using (customer_id)
                       where r.token_hash = $1 and r.expires_at_ms > $2 and c.email_key is not null"#,
                    &token[..],
                    now.0
                )
                .fetch_optional(&self.pool)
                .await?;
                Ok(account.ok_or(Refusal::ResetToken)?)
            })
            .await?;
        judge_new(new, &account.email, &account.name, "/password")?;
        let hash = self.passwords.hash(new).await?;
        let customer_id = self
            .stored("reset a password", async {
                let mut tx = self.pool.begin().await?;
                let customer_id = sqlx::query_scalar!(
                    r#"delete from account_reset
                       where token_hash = $1 and expires_at_ms > $2 and customer_id is not null
                       returning customer_id as "customer_id!""#,
                    &token[..],
                    now.0
                )
                .fetch_optional(&mut *tx)
                .await?
                .map(CustomerId)
                .ok_or(Refusal::ResetToken)?;
                set_password(&mut tx, customer_id, &hash).await?;
                delete_sessions(&mut tx, customer_id).await?;
                tx.commit().await?;
                Ok(customer_id)
            })
            .await?;
        self.changed(customer_id);
        Ok(())
    }

    /// Changes a password in exchange for the current one. Every session but `keep` ends.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::WrongCredentials`], [`Refusal::TooManyGuesses`],
    /// [`Refusal::UnknownCustomer`] for a guest, or a fault.
    pub async fn change_password(
        &self,
        customer_id: CustomerId,
        current: &Secret,
        new: &Secret,
        keep: Option<Uuid>,
    ) -> Result<(), AccountError> {
        let account = self
            .stored("look for an account", async {
                let account = sqlx::query!(
                    r#"select email as "email!", email_key as "email_key!", name as "name!",
                              password_hash as "password_hash!"
                       from customer where customer_id = $1 and email_key is not null"#,
                    customer_id.0
                )
                .fetch_optional(&self.pool)
                .await?;
                Ok(account.ok_or(Refusal::UnknownCustomer)?)
            })
            .await?;
        judge_new(new, &account.email, &account.name, "/new_password")?;
        let guess = self.guesses.take(&account.email_key, self.clock.now())?;
        match self.passwords.verify(current, Some(&account.password_hash)).await {
            Ok(true) => guess.give_back(),
            Ok(false) => return Err(Refusal::WrongCredentials.into()),
            Err(fault) => {
                guess.give_back();
                return Err(fault.into());
            }
        }
        let hash = self.passwords.hash(new).await?;
        self.stored("change a password", async {
            let mut tx = self.pool.begin().await?;
            set_password(&mut tx, customer_id, &hash).await?;
            sqlx::query!(
                "delete from account_session
                 where customer_id = $1 and session_id is distinct from $2",
                customer_id.0,
                keep
            )
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await?;
        self.changed(customer_id);
        Ok(())
    }
}

fn judge_new(new: &Secret, email: &str, name: &str, pointer: &'static str) -> Result<(), Refusal> {
    let email = Email::parse(email).ok();
    judge_password(new, email.as_ref(), Some(name))
        .map_err(|detail| Refusal::Invalid(vec![InvalidField { pointer, detail }]))
}

/// Stores the hash of a new password, and voids the resets that were waiting to set another.
async fn set_password(
    tx: &mut sqlx::PgConnection,
    customer_id: CustomerId,
    hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update customer set password_hash = $2 where customer_id = $1",
        customer_id.0,
        hash
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from account_reset where customer_id = $1", customer_id.0)
        .execute(&mut *tx)
        .await?;
    Ok(())
}
