//! How long this node may trust what it remembers.
//!
//! The epoch stops a node that has lost a shard from *writing*. Nothing stops it from *reading* what it
//! has in memory but its own clock: each heartbeat earns it a while, counted from the moment the
//! heartbeat was sent, on a clock that also runs while the machine sleeps. A taker waits longer than
//! that by the database's clock.
//!
//! **Invariant:** a tenure that has ended never holds again. What was remembered under it ends with it;
//! the node joins anew and starts another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::clock::Clock;

/// One unbroken membership of this node. Cheap to clone; all clones are the same tenure.
#[derive(Clone, Debug)]
pub struct Tenure {
    clock: Clock,
    /// Until when, in microseconds of [`Clock::boot`]; 0 once it was ended.
    until: Arc<AtomicU64>,
}

impl Tenure {
    /// A tenure that holds until this boot time, unless it is extended.
    #[must_use]
    pub fn until(clock: &Clock, until: Duration) -> Self {
        Self {
            clock: clock.clone(),
            until: Arc::new(AtomicU64::new(micros(until))),
        }
    }

    /// A tenure that holds until it is ended: for who shares the journal with nobody and keeps no
    /// heartbeat.
    #[must_use]
    pub fn endless(clock: &Clock) -> Self {
        Self::until(clock, Duration::MAX)
    }

    /// Lets it hold until this boot time, if that is later and it has not ended.
    pub fn extend(&self, until: Duration) {
        let now = micros(self.clock.boot());
        // When it has ended meanwhile, it stays so.
        self.until
            .fetch_update(SeqCst, SeqCst, |current| {
                (current > now).then(|| current.max(micros(until)))
            })
            .ok();
    }

    /// Ends it.
    pub fn end(&self) {
        self.until.store(0, SeqCst);
    }

    /// Whether what was remembered under it may still be told. Ask just before telling.
    #[must_use]
    pub fn holds(&self) -> bool {
        micros(self.clock.boot()) < self.until.load(SeqCst)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_never_holds_again() {
        let clock = Clock::simulated(1, Millis(0));
        clock.sleep(Duration::from_secs(10)).await;
        let tenure = Tenure::until(&clock, clock.boot() + Duration::from_secs(1));
        assert!(tenure.holds());
        clock.sleep(Duration::from_millis(900)).await;
        tenure.extend(clock.boot() + Duration::from_secs(1));
        clock.sleep(Duration::from_millis(900)).await;
        assert!(tenure.holds(), "it was extended in time");
        clock.sleep(Duration::from_millis(100)).await;
        assert!(!tenure.holds(), "its time has run out");
        tenure.extend(clock.boot() + Duration::from_secs(1));
        assert!(!tenure.holds(), "an extension that came too late changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_the_wall_clock_neither_ends_nor_extends_it() {
        let clock = Clock::simulated(1, Millis(0));
        let tenure = Tenure::until(&clock, clock.boot() + Duration::from_secs(1));
        clock.jump(3_600_000);
        assert!(tenure.holds());
        clock.jump(-7_200_000);
        clock.sleep(Duration::from_secs(1)).await;
        assert!(!tenure.holds());
        let endless = Tenure::endless(&clock);
        clock.sleep(Duration::from_secs(1_000_000)).await;
        assert!(endless.holds());
        endless.end();
        assert!(!endless.holds());
    }
}
