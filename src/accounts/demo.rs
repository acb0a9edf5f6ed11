//! The accounts of the demo shop, one for each role.
//!
//! Their passwords are derived from the signing key: the same at every start of this shop, and
//! different in every other, so that a demo left open on a network is not open to everybody.

use ring::hmac;

use super::Accounts;
use super::customer::Registration;
use super::refusal::{AccountError, Refusal};
use super::role::Role;
use super::secret::Secret;

/// An account to print.
#[derive(Clone, Debug)]
pub struct DemoAccount {
    /// The role it is for.
    pub role: Role,
    /// The e-mail to sign in with.
    pub email: &'static str,
    /// The password; none if somebody has changed it.
    pub password: Option<Secret>,
}

const DEMO: [(Role, &str, &str); 3] = [
    (Role::Shopper, "shopper@example.com", "Sam Shopper"),
    (Role::Seller, "seller@example.com", "Sally Seller"),
    (Role::Operator, "operator@example.com", "Olga Operator"),
];

impl Accounts {
    /// Makes the demo accounts where they are missing.
    ///
    /// # Errors
    /// A fault.
    pub async fn ensure_demo_accounts(&self) -> Result<Vec<DemoAccount>, AccountError> {
        let mut accounts = Vec::with_capacity(DEMO.len());
        for (role, email, name) in DEMO {
            let password = self.demo_password(email);
            let registration = Registration {
                email: email.to_owned(),
                password: password.clone(),
                name: name.to_owned(),
            };
            let password = match self.register(registration, None).await {
                Ok(_) => {
                    self.grant(email, role).await?;
                    Some(password)
                }
                Err(AccountError::Refused(Refusal::EmailTaken)) => {
                    match self.sign_in(email, &password, None).await {
                        Ok(_) => Some(password),
                        Err(AccountError::Refused(_)) => None,
                        Err(fault) => return Err(fault),
                    }
                }
                Err(error) => return Err(error),
            };
            accounts.push(DemoAccount {
                role,
                email,
                password,
            });
        }
        Ok(accounts)
    }

    /// Twelve characters that are easy to type: 60 bits.
    fn demo_password(&self, email: &str) -> Secret {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let tag = hmac::sign(&self.key.derive("globalshop/demo/1"), email.as_bytes());
        let characters = tag.as_ref().iter().take(12);
        Secret::new(
            characters
                .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
                .collect::<String>(),
        )
    }
}
