//! How often a password may be guessed for one account.
//!
//! The generic cell rate algorithm (ITU-T I.371), one number an account: the moment at which its
//! allowance is whole again. A try is taken *before* the password is checked, so that a thousand
//! tries at once are not a thousand guesses; the right password gives it back. Addresses without an
//! account are counted alike, so the count says nothing about them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::recent::Recent;
use super::refusal::Refusal;
use super::secret::{CredentialHash, sha256};
use crate::domain::Millis;

/// How many accounts are remembered. Guessing at more than this many a minute costs an attacker
/// more hashing than the machine has.
const ACCOUNTS_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct GuessLimit {
    burst: i64,
    interval_ms: i64,
    whole_at: Mutex<Recent<CredentialHash, Millis>>,
}

impl GuessLimit {
    /// Allows `burst` tries at once and as many a minute.
    pub(super) fn per_minute(burst: u32) -> Self {
        let burst = i64::from(burst.max(1));
        Self {
            burst,
            interval_ms: 60_000 / burst,
            whole_at: Mutex::new(Recent::new(ACCOUNTS_MAX)),
        }
    }

    /// Takes one try for `account`.
    pub(super) fn take(&self, account: &str, now: Millis) -> Result<Guess<'_>, Refusal> {
        let key = sha256(account);
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = whole_at.get(&key).copied().unwrap_or(now).max(now);
        let after = Millis(before.0.saturating_add(self.interval_ms));
        let excess_ms = after.since(now) - self.burst * self.interval_ms;
        if excess_ms > 0 {
            return Err(Refusal::TooManyGuesses {
                retry_after: Duration::from_millis(excess_ms.unsigned_abs()),
            });
        }
        whole_at.insert(key, after);
        Ok(Guess { limit: self, key })
    }
}

/// A try that was taken. Dropped, it stays spent.
#[derive(Debug)]
pub(super) struct Guess<'a> {
    limit: &'a GuessLimit,
    key: CredentialHash,
}

impl Guess<'_> {
    /// Gives the try back: it was right, or it was never checked.
    pub(super) fn give_back(self) {
        let mut whole_at = self.limit.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = whole_at.get(&self.key).copied();
        if let Some(Millis(before)) = before {
            whole_at.insert(self.key, Millis(before - self.limit.interval_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_guesses_a_minute_and_no_more() {
        let limit = GuessLimit::per_minute(5);
        let mut now = Millis(1_000_000);
        for _ in 0..5 {
            limit.take("ada", now).unwrap();
        }
        let refusal = limit.take("ada", now).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::TooManyGuesses {
                retry_after: Duration::from_secs(12)
            }
        );
        assert!(
            limit.take("grace", now).is_ok(),
            "accounts do not share an allowance"
        );
        now = now.plus_seconds(12);
        assert!(limit.take("ada", now).is_ok());
        assert!(limit.take("ada", now).is_err());
    }

    #[test]
    fn right_guesses_cost_nothing() {
        let limit = GuessLimit::per_minute(5);
        for _ in 0..1_000 {
            limit.take("ada", Millis(5)).unwrap().give_back();
        }
    }
}
