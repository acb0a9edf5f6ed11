//! When the next call is due.
//!
//! *Closed loop*: as soon as the shopper is free. A stall of the server then also stops the asking,
//! so the figures are corrected afterwards (see [`super::tally`]). *Open loop*: by a schedule that
//! does not care how the server does; latency counts from the moment a call was due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;

/// The schedule all shoppers share.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    rate: Option<f64>,
    taken: AtomicU64,
}

impl Pace {
    /// As fast as the shoppers can (`None`), or `rate` calls a second from `start`.
    #[must_use]
    pub fn new(start: Instant, rate: Option<f64>) -> Self {
        Self {
            start,
            rate,
            taken: AtomicU64::new(0),
        }
    }

    /// Waits until the next call is due, and says when it was. A schedule that is behind does not
    /// wait, and does not forget.
    pub async fn due(&self, clock: &Clock) -> Instant {
        let Some(rate) = self.rate else {
            return clock.instant();
        };
        let slot = self.taken.fetch_add(1, Ordering::Relaxed);
        let due = self.start + offset(slot, rate);
        sleep_until(due).await;
        due
    }

    /// In an open loop: how many calls were due by `end`, and how many of the slots were taken.
    #[must_use]
    pub fn kept(&self, end: Instant) -> Option<(u64, u64)> {
        let rate = self.rate?;
        let due = (end.saturating_duration_since(self.start).as_secs_f64() * rate).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and not negative"
        )]
        let due = due as u64;
        Some((due, self.taken.load(Ordering::Relaxed).min(due)))
    }
}

fn offset(slot: u64, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 calls")]
    let seconds = slot as f64 / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_counts_from_the_schedule_even_when_it_is_behind() {
        let clock = Clock::system();
        let start = clock.instant();
        let pace = Pace::new(start, Some(10.0));
        assert_eq!(pace.due(&clock).await - start, Duration::ZERO);
        assert_eq!(pace.due(&clock).await - start, Duration::from_millis(100));
        assert_eq!(clock.instant() - start, Duration::from_millis(100));
        tokio::time::advance(Duration::from_secs(1)).await;
        // Behind: due in the past, no waiting.
        assert_eq!(pace.due(&clock).await - start, Duration::from_millis(200));
        assert_eq!(clock.instant() - start, Duration::from_millis(1_100));
        assert_eq!(pace.kept(start + Duration::from_secs(2)), Some((20, 3)));
    }
}
