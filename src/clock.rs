//! The only reader of time and chance.
//!
//! Everything that needs the wall clock, a monotonic instant, randomness or a fresh id is given a
//! [`Clock`]. A test or a simulation gives a simulated one: then the same seed and the same steps
//! yield the same times, the same ids and the same jitter.
//!
//! **Invariant:** no other file calls `SystemTime::now`, `Instant::now`, `rand` or `Uuid::new_v4`.
#![expect(
    clippy::disallowed_methods,
    reason = "this file is the one door to time and chance"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use globalshop_domain::Millis;
use rand::TryRng as _;
use tokio::time::Instant;
use uuid::Uuid;

/// A handle on time and chance; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System,
    /// Wall time is `start` plus what tokio's (possibly paused) clock says has passed.
    Simulated {
        start: Millis,
        origin: Instant,
        state: Mutex<Simulated>,
    },
}

#[derive(Debug)]
struct Simulated {
    random: u64,
    jump_ms: i64,
}

impl Clock {
    /// The machine's own clock and the operating system's randomness.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// A clock that starts at `start` and follows tokio's clock, with chance drawn from `seed`.
    #[must_use]
    pub fn simulated(seed: u64, start: Millis) -> Self {
        Self(Arc::new(Source::Simulated {
            start,
            origin: Instant::now(),
            state: Mutex::new(Simulated {
                random: seed,
                jump_ms: 0,
            }),
        }))
    }

    /// Wall time, in milliseconds since the Unix epoch. May jump; never measure durations with it.
    #[must_use]
    pub fn now(&self) -> Millis {
        match &*self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or(Duration::ZERO);
                Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Simulated { start, origin, state } => {
                let passed = i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX);
                let jump = lock(state).jump_ms;
                Millis(start.0.saturating_add(passed).saturating_add(jump))
            }
        }
    }

    /// How long the machine has been up, the time it slept included: what leases are counted by. No
    /// change of the wall clock moves it.
    #[must_use]
    pub fn boot(&self) -> Duration {
        match &*self.0 {
            Source::System => {
                let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
                Duration::new(seconds, u32::try_from(since.tv_nsec).unwrap_or(0))
            }
            Source::Simulated { origin, .. } => origin.elapsed(),
        }
    }

    /// A monotonic instant for measuring and for deadlines.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Moves a simulated wall clock by `by_ms`; a system clock stays as it is.
    pub fn jump(&self, by_ms: i64) {
        if let Source::Simulated { state, .. } = &*self.0 {
            lock(state).jump_ms += by_ms;
        }
    }

    /// Waits for `duration` on the monotonic clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Sixty-four random bits: unguessable from the system clock, reproducible from a simulated one.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number below `bound` (0 when `bound` is 0). Good for jitter and sampling, not for secrets.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random_u64() % bound }
    }

    /// Fills `bytes` with randomness fit for secrets (on the system clock).
    pub fn fill_random(&self, bytes: &mut [u8]) {
        match &*self.0 {
            Source::System => {
                #[expect(
                    clippy::expect_used,
                    reason = "a machine without randomness cannot keep secrets; going on would be worse"
                )]
                rand::rngs::SysRng
                    .try_fill_bytes(bytes)
                    .expect("the operating system gives randomness");
            }
            Source::Simulated { state, .. } => {
                let mut state = lock(state);
                for chunk in bytes.chunks_mut(8) {
                    let word = split_mix(&mut state.random).to_le_bytes();
                    chunk.copy_from_slice(&word[..chunk.len()]);
                }
            }
        }
    }

    /// A fresh id that sorts by time (UUID version 7, RFC 9562 §5.7).
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        self.fill_random(&mut random);
        let now = u64::try_from(self.now().0).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(now, &random).into_uuid()
    }

    /// Exponential backoff with full jitter: between zero and `base * 2^attempt`, at most `cap`.
    ///
    /// Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    #[must_use]
    pub fn backoff(&self, attempt: u32, base: Duration, cap: Duration) -> Duration {
        let ceiling = base.saturating_mul(1_u32 << attempt.min(20)).min(cap);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random_below(micros.saturating_add(1)))
    }
}

fn lock(state: &Mutex<Simulated>) -> std::sync::MutexGuard<'_, Simulated> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One step of `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_ids_and_follows_paused_time() {
        let one = Clock::simulated(7, Millis(1_000));
        let two = Clock::simulated(7, Millis(1_000));
        assert_eq!(one.new_id(), two.new_id());
        one.sleep(Duration::from_secs(3600)).await;
        assert_eq!(one.now(), Millis(3_601_000));
        one.jump(-600_000);
        assert_eq!(one.now(), Millis(3_001_000));
    }

    #[test]
    fn backoff_stays_under_its_cap() {
        let clock = Clock::system();
        for attempt in 0..64 {
            let pause = clock.backoff(attempt, Duration::from_millis(50), Duration::from_secs(5));
            assert!(pause <= Duration::from_secs(5));
        }
    }
}
