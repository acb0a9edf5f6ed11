//! Who was recently let in, so that a request costs a hash and a look-up.
//!
//! Verifying a signature costs more than a whole request, and reading the session's row more still.
//! What was verified is kept by the credential's hash until it expires or its customer changes:
//! a session ended, a role given or taken. Such a change is visible at once on this node, and on
//! others when they look again, [`FRESH_MS`] later at most.
//!
//! **Invariant:** nothing that was read before a change is kept after it. A reader notes the
//! revision first and hands it in with what it read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::role::{Role, Roles};
use super::secret::CredentialHash;
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// How long the rows behind a credential are believed without looking again.
pub(super) const FRESH_MS: i64 = 5 * 60 * 1_000;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose cart and orders these are.
    pub customer_id: CustomerId,
    /// The session that was opened; a token from the command line has none.
    pub session_id: Option<Uuid>,
    /// What the caller may do.
    pub roles: Roles,
    /// Whether this is a guest, who has no account.
    pub guest: bool,
    /// When the credential ends by itself.
    pub expires_at: Millis,
}

impl Caller {
    /// Whether the caller has `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.has(role)
    }
}

/// What has changed up to some moment; see the module's invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Revision(u64);

#[derive(Debug)]
pub(super) struct Standing(Mutex<Inner>);

/// Two generations as in [`super::recent`], each with its own index by customer, so that forgetting
/// a customer finds every credential.
#[derive(Debug)]
struct Inner {
    revision: Revision,
    half: usize,
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    callers: HashMap<CredentialHash, Entry>,
    by_customer: HashMap<CustomerId, HashSet<CredentialHash>>,
}

#[derive(Clone, Debug)]
struct Entry {
    caller: Arc<Caller>,
    good_until: Millis,
}

impl Standing {
    /// Keeps at most `max` credentials.
    pub(super) fn new(max: usize) -> Self {
        Self(Mutex::new(Inner {
            revision: Revision(0),
            half: (max / 2).max(1),
            young: Generation::default(),
            old: Generation::default(),
        }))
    }

    /// Who the credential belongs to, if that was verified and is still believed.
    pub(super) fn get(&self, credential: &CredentialHash, now: Millis) -> Option<Arc<Caller>> {
        let mut inner = self.lock();
        if let Some(entry) = inner.young.callers.get(credential) {
            return (now < entry.good_until).then(|| Arc::clone(&entry.caller));
        }
        let entry = inner.old.callers.get(credential)?.clone();
        let caller = (now < entry.good_until).then(|| Arc::clone(&entry.caller))?;
        inner.insert(*credential, entry);
        Some(caller)
    }

    /// The revision to note before reading what will be put in.
    pub(super) fn revision(&self) -> Revision {
        self.lock().revision
    }

    /// Keeps `caller`, unless something has changed since `read_at`.
    pub(super) fn insert(
        &self,
        read_at: Revision,
        credential: CredentialHash,
        caller: Arc<Caller>,
        now: Millis,
    ) {
        let mut inner = self.lock();
        if inner.revision == read_at {
            let good_until = caller.expires_at.min(Millis(now.0.saturating_add(FRESH_MS)));
            inner.insert(credential, Entry { caller, good_until });
        }
    }

    /// Forgets everything about `customer`; the next use of a credential looks again.
    pub(super) fn forget(&self, customer: CustomerId) {
        let mut inner = self.lock();
        inner.revision.0 += 1;
        let inner = &mut *inner;
        for generation in [&mut inner.young, &mut inner.old] {
            for credential in generation.by_customer.remove(&customer).unwrap_or_default() {
                generation.callers.remove(&credential);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, credential: CredentialHash, entry: Entry) {
        if self.young.callers.len() >= self.half && !self.young.callers.contains_key(&credential) {
            self.old = std::mem::take(&mut self.young);
        }
        let customer = entry.caller.customer_id;
        self.young
            .by_customer
            .entry(customer)
            .or_default()
            .insert(credential);
        self.young.callers.insert(credential, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(customer: u128) -> Arc<Caller> {
        Arc::new(Caller {
            customer_id: CustomerId(Uuid::from_u128(customer)),
            session_id: None,
            roles: Roles::SHOPPER,
            guest: true,
            expires_at: Millis(10_000_000),
        })
    }

    fn hash(n: u32) -> CredentialHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_le_bytes());
        hash
    }

    #[test]
    fn a_forgotten_customer_is_forgotten_in_both_generations() {
        let standing = Standing::new(8);
        let (mine, now) = (caller(1), Millis(0));
        for n in 0..6 {
            standing.insert(standing.revision(), hash(n), Arc::clone(&mine), now);
        }
        standing.insert(standing.revision(), hash(6), caller(2), now);
        assert!(
            standing.get(&hash(0), now).is_some(),
            "the old generation answers"
        );
        standing.forget(mine.customer_id);
        for n in 0..6 {
            assert_eq!(standing.get(&hash(n), now), None);
        }
        assert!(standing.get(&hash(6), now).is_some());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let standing = Standing::new(8);
        let before = standing.revision();
        standing.forget(CustomerId(Uuid::from_u128(1)));
        standing.insert(before, hash(1), caller(1), Millis(0));
        assert_eq!(standing.get(&hash(1), Millis(0)), None);
    }

    #[test]
    fn nothing_is_believed_for_longer_than_it_is_good() {
        let standing = Standing::new(8);
        standing.insert(standing.revision(), hash(1), caller(1), Millis(0));
        assert!(standing.get(&hash(1), Millis(FRESH_MS - 1)).is_some());
        assert!(standing.get(&hash(1), Millis(FRESH_MS)).is_none());
        standing.insert(standing.revision(), hash(1), caller(1), Millis(9_999_000));
        assert!(standing.get(&hash(1), Millis(10_000_000)).is_none());
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let standing = Standing::new(100);
        for n in 0..10_000 {
            standing.insert(standing.revision(), hash(n), caller(u128::from(n)), Millis(0));
        }
        let inner = standing.lock();
        assert!(inner.young.callers.len() + inner.old.callers.len() <= 100);
        assert!(inner.young.by_customer.len() + inner.old.by_customer.len() <= 100);
    }
}
