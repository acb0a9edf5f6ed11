//! Removes what has expired, a little at a time.

use super::Accounts;
use super::refusal::AccountError;

/// How many rows of a kind go in one statement: short locks, short transactions.
const BATCH: i64 = 1_000;

/// A guest without a session is kept this long after it came.
const GUEST_SECONDS: i64 = 90 * 24 * 3_600;

/// How many rows were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions past their end, with their refresh tokens.
    pub sessions: u64,
    /// Refresh tokens past their end in sessions that go on.
    pub refresh_tokens: u64,
    /// Password resets.
    pub resets: u64,
    /// Guests who have no session and will not come back.
    pub guests: u64,
    /// Whether there is more to remove: call again soon.
    pub more: bool,
}

impl Accounts {
    /// Removes up to a thousand expired rows of each kind. Call it every few minutes, and again at
    /// once while there is `more`. Orders keep their customer id; they need no row here.
    ///
    /// # Errors
    /// A fault; what was removed until then stays removed.
    pub async fn sweep(&self) -> Result<Swept, AccountError> {
        let now = self.clock.now();
        let last_seen = now.plus_seconds(-self.settings.browser_idle_seconds);
        let sessions = self
            .stored("remove expired sessions", async {
                let result = sqlx::query!(
                    "delete from account_session where session_id in (
                         select session_id from account_session
                         where expires_at_ms <= $1
                            or (cookie_hash is not null and seen_at_ms <= $2)
                         limit $3 for update skip locked)",
                    now.0,
                    last_seen.0,
                    BATCH
                );
                Ok(result.execute(&self.pool).await?.rows_affected())
            })
            .await?;
        let refresh_tokens = self
            .stored("remove expired refresh tokens", async {
                let result = sqlx::query!(
                    "delete from account_refresh where token_hash in (
                         select token_hash from account_refresh
                         where expires_at_ms <= $1 limit $2 for update skip locked)",
                    now.0,
                    BATCH
                );
                Ok(result.execute(&self.pool).await?.rows_affected())
            })
            .await?;
        let resets = self
            .stored("remove expired password resets", async {
                let result = sqlx::query!(
                    "delete from account_reset where token_hash in (
                         select token_hash from account_reset
                         where expires_at_ms <= $1 limit $2 for update skip locked)",
                    now.0,
                    BATCH
                );
                Ok(result.execute(&self.pool).await?.rows_affected())
            })
            .await?;
        let guests = self
            .stored("remove forgotten guests", async {
                let result = sqlx::query!(
                    "delete from customer where customer_id in (
                         select customer_id from customer c
                         where email_key is null and created_at_ms <= $1
                           and not exists (select from account_session s
                                           where s.customer_id = c.customer_id)
                           and not exists (select from account_merge m
                                           where m.guest_id = c.customer_id)
                         limit $2 for update skip locked)",
                    now.plus_seconds(-GUEST_SECONDS).0,
                    BATCH
                );
                Ok(result.execute(&self.pool).await?.rows_affected())
            })
            .await?;
        let full = BATCH.unsigned_abs();
        let more = [sessions, refresh_tokens, resets, guests].contains(&full);
        Ok(Swept {
            sessions,
            refresh_tokens,
            resets,
            guests,
            more,
        })
    }
}
