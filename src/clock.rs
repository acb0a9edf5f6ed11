//! The only reader of time and chance.
//!
//! Everything that needs the wall clock, a monotonic instant, randomness or a fresh id is given a
//! [`Clock`]. A test or a simulation gives a simulated one: then the same seed and the same steps
//! yield the same times, the same ids and the same jitter.
//!
//! What the shop calls now does not jump. It is the wall clock of the start plus what has passed since on
//! the boot clock, which also runs while the machine sleeps and which nobody can set. When somebody sets
//! the wall clock, the shop follows slowly, by a twentieth: an hour takes it twenty hours, and meanwhile
//! a deadline of fifteen minutes comes within fifteen minutes, give or take 45 seconds. A restart takes
//! the wall clock as it is.
//!
//! **Invariant:** no other file calls `SystemTime::now`, `Instant::now`, `rand` or `Uuid::new_v4`.
#![expect(
    clippy::disallowed_methods,
    reason = "this file is the one door to time and chance"
)]

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use globalshop_domain::Millis;
use rand::{Rng as _, TryRng as _};
use tokio::time::Instant;
use uuid::Uuid;

/// A handle on time and chance; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Anchor),
    /// Wall time is `start` plus what tokio's (possibly paused) clock says has passed.
    Simulated {
        start: Millis,
        origin: Instant,
        state: Mutex<Simulated>,
    },
}

/// How the wall clock is followed, in microseconds.
#[derive(Debug)]
struct Anchor {
    /// What is to be added to the boot clock.
    offset: AtomicI64,
    /// When the wall clock was last looked at, by the boot clock.
    looked: AtomicI64,
    /// Whether the wall clock was set and is still away from here.
    away: AtomicBool,
}

/// How often the wall clock is looked at.
const LOOK_EVERY: i64 = 20_000;
/// Of what has passed, the part by which the wall clock is followed: one in so many.
const SLEW: i64 = 20;
/// A wall clock that is further away than this was set, and is worth a word.
const WAS_SET: i64 = 2_000_000;

impl Anchor {
    /// Anchored at the wall clock as it is.
    fn new(boot: i64, wall: i64) -> Self {
        Self {
            offset: AtomicI64::new(wall - boot),
            looked: AtomicI64::new(boot),
            away: AtomicBool::new(false),
        }
    }

    /// What to call now at this boot time. `wall` is only asked now and then.
    fn now(&self, boot: i64, wall: impl FnOnce() -> i64) -> i64 {
        let looked = self.looked.load(Relaxed);
        let passed = boot.saturating_sub(looked);
        // Who moves the time of the last look follows; nobody else does for as long as that lasts.
        if passed >= LOOK_EVERY
            && self
                .looked
                .compare_exchange(looked, boot, Relaxed, Relaxed)
                .is_ok()
        {
            let apart = wall().saturating_sub(boot.saturating_add(self.offset.load(Relaxed)));
            self.offset
                .fetch_add(apart.clamp(-(passed / SLEW), passed / SLEW), Relaxed);
            self.tell(apart);
        }
        boot.saturating_add(self.offset.load(Relaxed))
    }

    fn tell(&self, apart: i64) {
        let away = apart.saturating_abs() > WAS_SET;
        if self.away.swap(away, Relaxed) == away {
            return;
        }
        let seconds = apart / 1_000_000;
        if away {
            tracing::warn!(
                seconds,
                "the machine's clock was set; the shop follows it slowly, a restart at once"
            );
        } else {
            tracing::info!("the shop has caught up with the machine's clock");
        }
    }
}

/// The wall clock, in microseconds since the Unix epoch.
fn wall() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    micros(since)
}

/// The boot clock.
fn boot() -> Duration {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(since.tv_nsec).unwrap_or(0))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Simulated {
    random: u64,
    jump_ms: i64,
    /// What the boot clock showed at the origin.
    up: Duration,
    /// Until when the process that lives by this clock stands still.
    frozen_until: Option<Instant>,
}

impl Clock {
    /// The machine's own clock and the operating system's randomness.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System(Anchor::new(micros(boot()), wall()))))
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
                up: Duration::ZERO,
                frozen_until: None,
            }),
        }))
    }

    /// What time it is, in milliseconds since the Unix epoch. Does not jump when the machine's clock is
    /// set, but runs up to a twentieth faster or slower until it agrees; never measure durations with it.
    #[must_use]
    pub fn now(&self) -> Millis {
        match &*self.0 {
            Source::System(anchor) => Millis(anchor.now(micros(boot()), wall) / 1_000),
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
            Source::System(_) => boot(),
            Source::Simulated { origin, state, .. } => lock(state).up + origin.elapsed(),
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

    /// The machine of a simulated clock has been up for so long already: the boot clocks of two machines
    /// have nothing to do with each other.
    #[must_use]
    pub fn up_for(self, up: Duration) -> Self {
        if let Source::Simulated { state, .. } = &*self.0 {
            lock(state).up = up;
        }
        self
    }

    /// Waits for `duration` on the monotonic clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
        self.thawed().await;
    }

    /// Lets whatever lives by a simulated clock stand still for `duration`, as a process that gets no
    /// processor does: time passes, and every [`Clock::sleep`] ends late. Zero lets it go on.
    pub fn freeze(&self, duration: Duration) {
        if let Source::Simulated { state, .. } = &*self.0 {
            lock(state).frozen_until = Some(Instant::now() + duration);
        }
    }

    /// Waits until nothing stands still.
    pub async fn thawed(&self) {
        while let Source::Simulated { state, .. } = &*self.0 {
            let until = lock(state).frozen_until.filter(|until| *until > Instant::now());
            let Some(until) = until else { return };
            tokio::time::sleep_until(until).await;
        }
    }

    /// Sixty-four random bits: unguessable from the system clock, reproducible from a simulated one.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_unique(&mut bytes);
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
            Source::System(_) => {
                #[expect(
                    clippy::expect_used,
                    reason = "a machine without randomness cannot keep secrets; going on would be worse"
                )]
                rand::rngs::SysRng
                    .try_fill_bytes(bytes)
                    .expect("the operating system gives randomness");
            }
            Source::Simulated { state, .. } => fill_simulated(state, bytes),
        }
    }

    /// Fills `bytes` with randomness for what must be unique and is not secret: ids, traces, jitter. On
    /// the system clock it comes from a generator of the thread's own, seeded by the operating system, so
    /// it costs no system call.
    pub fn fill_unique(&self, bytes: &mut [u8]) {
        match &*self.0 {
            Source::System(_) => rand::rng().fill_bytes(bytes),
            Source::Simulated { state, .. } => fill_simulated(state, bytes),
        }
    }

    /// A fresh id that sorts by time (UUID version 7, RFC 9562 §5.7).
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        self.fill_unique(&mut random);
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

fn fill_simulated(state: &Mutex<Simulated>, bytes: &mut [u8]) {
    let mut state = lock(state);
    for chunk in bytes.chunks_mut(8) {
        let word = split_mix(&mut state.random).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
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

    #[tokio::test(start_paused = true)]
    async fn who_is_frozen_sleeps_longer_and_sees_that_time_has_passed() {
        let clock = Clock::simulated(7, Millis(0));
        clock.freeze(Duration::from_secs(5));
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.boot(), Duration::from_secs(5));
        clock.freeze(Duration::from_secs(5));
        clock.freeze(Duration::ZERO);
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.boot(), Duration::from_secs(6));
        let before = clock.now();
        assert_eq!(
            clock.up_for(Duration::from_secs(90)).boot(),
            Duration::from_secs(96)
        );
        assert_eq!(before, Millis(6_000));
    }

    #[test]
    fn a_wall_clock_that_is_set_is_followed_slowly_and_never_backwards() {
        const SECOND: i64 = 1_000_000;
        const HOUR: i64 = 3_600 * SECOND;
        let anchor = Anchor::new(5 * SECOND, 1_000 * SECOND);
        let (mut boot, mut ahead) = (6 * SECOND, 995 * SECOND);
        let mut before = anchor.now(boot, || boot + ahead);
        assert_eq!(before, 1_001 * SECOND);
        for jump in [HOUR, -2 * HOUR] {
            ahead += jump;
            // A minute of it, with somebody asking every 50 ms.
            for _ in 0..1_200 {
                boot += 50_000;
                let now = anchor.now(boot, || boot + ahead);
                let went_by = now - before;
                assert!((47_500..=52_500).contains(&went_by), "{went_by} µs in 50 ms");
                assert_ne!(went_by, 50_000, "the wall clock is not followed");
                before = now;
            }
            assert!(anchor.away.load(Relaxed));
        }
        // Nobody asks for an hour: that is followed no faster.
        boot += HOUR;
        let asleep = anchor.now(boot, || boot + ahead) - before;
        assert_eq!(asleep, HOUR - HOUR / SLEW);
    }

    #[test]
    fn a_wall_clock_a_little_off_is_agreed_with() {
        let anchor = Anchor::new(0, 0);
        let mut boot = 0;
        // It is disciplined by half a second, as a time server does.
        for _ in 0..1_000 {
            boot += 20_000;
            anchor.now(boot, || boot + 500_000);
        }
        assert_eq!(anchor.now(boot, || 0), boot + 500_000);
        assert!(!anchor.away.load(Relaxed));
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
