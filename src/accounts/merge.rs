//! Guests that merge into accounts.
//!
//! A guest who signs in has orders and a cart already. The orders stay where they are and belong to
//! the account from then on: whoever asks for the account's orders asks for all its identities. The
//! cart is merged by the edge, in the journal; this room remembers which carts still wait, so that
//! an interrupted merge is finished at the next sign-in.

use std::sync::{Arc, MutexGuard, PoisonError};

use sqlx::PgConnection;

use super::Accounts;
use super::customer::delete_sessions;
use super::recent::Recent;
use super::refusal::AccountError;
use super::standing::FRESH_MS;
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// Everybody a customer is, as read lately.
#[derive(Debug)]
pub(super) struct Identities {
    all: Arc<[CustomerId]>,
    good_until: Millis,
}

impl Accounts {
    /// Gives a guest's orders to an account, and says whose carts are still to be merged.
    pub(super) async fn merge(
        &self,
        customer_id: CustomerId,
        guest: Option<CustomerId>,
    ) -> Result<Vec<CustomerId>, AccountError> {
        let guest = guest.filter(|guest| *guest != customer_id);
        let (merged, waiting) = self
            .stored("merge a guest", async {
                let mut tx = self.pool.begin().await?;
                let mut merged = None;
                if let Some(guest) = guest
                    && lock_guest(&mut tx, guest).await?
                {
                    sqlx::query!(
                        "insert into account_merge (guest_id, customer_id, merged_at_ms)
                         values ($1, $2, $3)",
                        guest.0,
                        customer_id.0,
                        self.clock.now().0
                    )
                    .execute(&mut *tx)
                    .await?;
                    delete_sessions(&mut tx, guest).await?;
                    merged = Some(guest);
                }
                let waiting = sqlx::query_scalar!(
                    "select guest_id from account_merge
                     where customer_id = $1 and not cart_merged order by merged_at_ms limit 100",
                    customer_id.0
                )
                .fetch_all(&mut *tx)
                .await?;
                tx.commit().await?;
                Ok((merged, waiting))
            })
            .await?;
        if let Some(guest) = merged {
            // In this order: a reader that began before the merge finds the revision raised, or has
            // its answer taken out again.
            self.changed(guest);
            self.lock_identities().remove(&customer_id);
        }
        Ok(waiting.into_iter().map(CustomerId).collect())
    }

    /// Notes that the cart of a merged guest is in the account's cart now.
    ///
    /// # Errors
    /// A fault; then the next sign-in asks for the merge again, so a merge must be repeatable.
    pub async fn cart_merged(&self, guest: CustomerId) -> Result<(), AccountError> {
        self.stored("note a merged cart", async {
            sqlx::query!(
                "update account_merge set cart_merged = true where guest_id = $1",
                guest.0
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Everybody this customer is: itself first, then the guests merged into it. Whoever may see
    /// the customer's orders may see theirs.
    ///
    /// # Errors
    /// A fault.
    pub async fn identities(&self, customer_id: CustomerId) -> Result<Arc<[CustomerId]>, AccountError> {
        let now = self.clock.now();
        let revision = self.standing.revision();
        if let Some(known) = self.lock_identities().get(&customer_id)
            && now < known.good_until
        {
            return Ok(Arc::clone(&known.all));
        }
        let guests = self
            .stored("look for merged guests", async {
                let guests = sqlx::query_scalar!(
                    "select guest_id from account_merge where customer_id = $1
                     order by merged_at_ms desc limit 1000",
                    customer_id.0
                )
                .fetch_all(&self.pool)
                .await?;
                Ok(guests)
            })
            .await?;
        let all: Arc<[CustomerId]> = std::iter::once(customer_id)
            .chain(guests.into_iter().map(CustomerId))
            .collect();
        let known = Identities {
            all: Arc::clone(&all),
            good_until: Millis(now.0.saturating_add(FRESH_MS)),
        };
        let mut cache = self.lock_identities();
        // A merge since then has raised the revision; what was read may lack it.
        if self.standing.revision() == revision {
            cache.insert(customer_id, known);
        }
        Ok(all)
    }

    fn lock_identities(&self) -> MutexGuard<'_, Recent<CustomerId, Identities>> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks a guest's row until the end of the transaction. False if there is no such guest any more:
/// it registered, or it was merged. The second question is asked in a later statement, which sees
/// what was committed while the first waited for the lock.
pub(super) async fn lock_guest(tx: &mut PgConnection, guest: CustomerId) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        "select customer_id from customer where customer_id = $1 and email_key is null for update",
        guest.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    if locked.is_none() {
        return Ok(false);
    }
    sqlx::query_scalar!(
        r#"select not exists(select from account_merge where guest_id = $1) as "unmerged!""#,
        guest.0
    )
    .fetch_one(&mut *tx)
    .await
}
