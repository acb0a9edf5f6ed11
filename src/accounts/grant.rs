//! Roles, given and taken. Both take effect with the next request of any open session.

use super::Accounts;
use super::contact::Email;
use super::refusal::{AccountError, Refusal};
use super::role::{Role, Roles};
use super::stored_roles;
use crate::domain::id::CustomerId;

impl Accounts {
    /// Gives the account of `email` a role, and says which it has now.
    ///
    /// # Errors
    /// [`Refusal::UnknownCustomer`], or a fault.
    pub async fn grant(&self, email: &str, role: Role) -> Result<Roles, AccountError> {
        let key = known_key(email)?;
        let (customer_id, roles) = self
            .stored("grant a role", async {
                let row = sqlx::query!(
                    "update customer set roles = array_append(array_remove(roles, $2), $2)
                     where email_key = $1 returning customer_id, roles",
                    key,
                    role.name()
                )
                .fetch_optional(&self.pool)
                .await?
                .ok_or(Refusal::UnknownCustomer)?;
                Ok((CustomerId(row.customer_id), stored_roles(&row.roles)?))
            })
            .await?;
        self.changed(customer_id);
        tracing::info!(customer.id = %customer_id, %role, "a role was granted");
        Ok(roles)
    }

    /// Takes a role from the account of `email`, and says which it has left.
    ///
    /// # Errors
    /// [`Refusal::UnknownCustomer`], or a fault.
    pub async fn revoke_role(&self, email: &str, role: Role) -> Result<Roles, AccountError> {
        let key = known_key(email)?;
        let (customer_id, roles) = self
            .stored("revoke a role", async {
                let row = sqlx::query!(
                    "update customer set roles = array_remove(roles, $2)
                     where email_key = $1 returning customer_id, roles",
                    key,
                    role.name()
                )
                .fetch_optional(&self.pool)
                .await?
                .ok_or(Refusal::UnknownCustomer)?;
                Ok((CustomerId(row.customer_id), stored_roles(&row.roles)?))
            })
            .await?;
        self.changed(customer_id);
        tracing::info!(customer.id = %customer_id, %role, "a role was revoked");
        Ok(roles)
    }
}

fn known_key(email: &str) -> Result<String, Refusal> {
    match Email::parse(email) {
        Ok(email) => Ok(email.key().to_owned()),
        Err(_) => Err(Refusal::UnknownCustomer),
    }
}
