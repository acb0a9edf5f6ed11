//! Passwords: the rules, and argon2id on a bounded pool.
//!
//! One hash takes about 50 ms and 46 MiB, so hashing is what a login flood attacks. At most a few
//! run at once and a few wait; the rest are refused at once, and checkout keeps its cores.
//!
//! **Invariant:** a hash never runs on a thread of the async runtime.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::contact::Email;
use super::refusal::Fault;
use super::secret::Secret;
use crate::clock::Clock;

/// ASVS 5.0 appendix C: argon2id with one pass over at least 46 MiB.
const MEMORY_KIB: u32 = 47_104;
const PASSES: u32 = 1;
const LANES: u32 = 1;

const CHARS_MIN: usize = 8;
const CHARS_MAX: usize = 128;

/// How many may wait for each that runs.
const WAITING_PER_RUNNING: usize = 16;

/// How long one may wait.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// The passwords everybody tries first, one a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Says what is wrong with a new password. There are no rules of composition (they make passwords
/// worse): length, and not one of the first that anybody would try.
pub(super) fn judge_password(
    password: &Secret,
    email: Option<&Email>,
    name: Option<&str>,
) -> Result<(), &'static str> {
    let password = password.expose();
    let chars = password.chars().count();
    if chars < CHARS_MIN {
        return Err("a password has at least 8 characters");
    }
    if chars > CHARS_MAX {
        return Err("a password has at most 128 characters");
    }
    let folded = password.to_lowercase();
    let about_you = email.is_some_and(|email| email.key() == folded)
        || name.is_some_and(|name| name.to_lowercase() == folded);
    if about_you {
        return Err("a password must not be your name or e-mail");
    }
    let mut rest = folded.chars();
    let first = rest.next();
    let one_character = rest.all(|c| Some(c) == first);
    if one_character || COMMON.lines().any(|common| common == folded) {
        return Err("this password is one of the most common; choose another");
    }
    Ok(())
}

/// Hashes and verifies passwords on a bounded pool of blocking threads.
pub(super) struct PasswordPool {
    clock: Clock,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// A hash of a password nobody knows: what is verified for an unknown e-mail.
    nobody: String,
}

impl PasswordPool {
    /// A pool that runs at most `parallel` hashes at once.
    pub(super) async fn start(clock: Clock, parallel: usize) -> Result<Self, Fault> {
        let parallel = parallel.max(1);
        let mut pool = Self {
            clock,
            running: Arc::new(Semaphore::new(parallel)),
            admitted: Arc::new(Semaphore::new(parallel * (1 + WAITING_PER_RUNNING))),
            nobody: String::new(),
        };
        let mut unknown = [0; 32];
        pool.clock.fill_random(&mut unknown);
        let unknown = Secret::new(STANDARD_NO_PAD.encode(unknown));
        pool.nobody = pool.hash(&unknown).await?;
        Ok(pool)
    }

    /// A fresh PHC string of `password`.
    pub(super) async fn hash(&self, password: &Secret) -> Result<String, Fault> {
        let mut salt = [0; 16];
        self.clock.fill_random(&mut salt);
        let password = password.clone();
        self.run("hash a password", move || {
            let failed = |error: argon2::Error| Fault::Crypto {
                doing: "hash a password",
                detail: error.to_string(),
            };
            let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
            argon2id()
                .map_err(failed)?
                .hash_password_into(password.expose().as_bytes(), &salt, &mut hash)
                .map_err(failed)?;
            Ok(format!(
                "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(hash)
            ))
        })
        .await
    }

    /// Whether `password` is the one of `stored`. For no stored hash the answer is no, and takes
    /// as long.
    pub(super) async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<bool, Fault> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let password = password.clone();
        self.run("verify a password", move || {
            let corrupt = Fault::Corrupt {
                what: "password hash",
            };
            let Ok(stored) = PasswordHash::new(&stored) else {
                return Err(corrupt);
            };
            let matches = Argon2::default()
                .verify_password(password.expose().as_bytes(), &stored)
                .is_ok();
            Ok(matches && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let overloaded = |_| Fault::Overloaded { doing };
        let place = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(overloaded)?;
        let turn = timeout(WAIT_MAX, Arc::clone(&self.running).acquire_owned())
            .await
            .map_err(|_| Fault::Overloaded { doing })?
            .map_err(|_| Fault::Overloaded { doing })?;
        // The permits go with the work: a caller who leaves does not make room that is not there.
        let worked = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        worked.await.map_err(|error| Fault::Crypto {
            doing,
            detail: error.to_string(),
        })?
    }
}

fn argon2id() -> argon2::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whether a stored hash was made with weaker or other parameters than today's.
pub(super) fn is_outdated(stored: &str) -> bool {
    let today = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$");
    !stored.starts_with(&today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher as _;

    fn judge(password: &str) -> Result<(), &'static str> {
        let email = Email::parse("Ada.Lovelace@example.org").unwrap();
        judge_password(&Secret::new(password), Some(&email), Some("Ada Lovelace"))
    }

    #[test]
    fn length_counts_characters_and_common_ones_are_refused() {
        assert!(judge("correct horse battery staple").is_ok());
        assert!(judge("пароль-7").is_ok());
        assert!(judge(&"ab".repeat(64)).is_ok());
        for bad in [
            "",
            "short",
            "1234567",
            "password",
            "PASSWORD",
            "Passw0rd",
            "12345678",
            "qwertyuiop",
            "iloveyou",
            "aaaaaaaaaa",
            "ada.lovelace@EXAMPLE.org",
            "ada lovelace",
            &"ab".repeat(65),
        ] {
            assert!(judge(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_list_holds_what_the_other_rules_let_pass() {
        for common in COMMON.lines() {
            assert!(
                common.chars().count() >= CHARS_MIN,
                "{common:?} is too short anyway"
            );
            assert_eq!(common, common.to_lowercase(), "looked up folded");
        }
    }

    #[tokio::test]
    async fn a_stored_hash_has_the_parameters_we_promise() {
        let pool = PasswordPool::start(Clock::system(), 1).await.unwrap();
        let secret = Secret::new("correct horse battery staple");
        let stored = pool.hash(&secret).await.unwrap();
        let read = PasswordHash::new(&stored).unwrap();
        assert_eq!(read.algorithm.as_str(), "argon2id");
        let params = Params::try_from(&read).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (47_104, 1, 1)
        );
        assert_eq!(read.to_string(), stored);
        assert!(!is_outdated(&stored));
        assert!(pool.verify(&secret, Some(&stored)).await.unwrap());
        let wrong = Secret::new("correct horse battery stapler");
        assert!(!pool.verify(&wrong, Some(&stored)).await.unwrap());
        assert!(!pool.verify(&secret, None).await.unwrap());
        assert_ne!(pool.hash(&secret).await.unwrap(), stored, "each has its salt");
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_verified_and_outdated() {
        let pool = PasswordPool::start(Clock::system(), 1).await.unwrap();
        let params = Params::new(8 * 1024, 2, 1, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(b"correct horse", b"0123456789abcdef")
            .unwrap()
            .to_string();
        assert!(is_outdated(&weak));
        assert!(
            pool.verify(&Secret::new("correct horse"), Some(&weak))
                .await
                .unwrap()
        );
        let corrupt = pool.verify(&Secret::new("correct horse"), Some("plain")).await;
        assert!(matches!(corrupt, Err(Fault::Corrupt { .. })));
    }

    /// More than the pool admits at once: every call is answered, the surplus at once.
    #[tokio::test]
    async fn a_flood_is_refused_not_queued() {
        let pool = Arc::new(PasswordPool::start(Clock::system(), 1).await.unwrap());
        let held = Arc::clone(&pool.admitted).acquire_many_owned(17).await.unwrap();
        let refused = pool.verify(&Secret::new("whatever"), None).await;
        assert!(matches!(refused, Err(Fault::Overloaded { .. })));
        drop(held);
        assert!(!pool.verify(&Secret::new("whatever"), None).await.unwrap());
    }
}
