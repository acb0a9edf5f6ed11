//! What the shoppers saw: latencies, statuses and failed checks, by kind of call.
//!
//! Latencies go into HDR histograms of three digits, in microseconds: the quantiles are exact to
//! 0.1 %, whatever their number. A logical call is one latency (retries, waits and all, as a person
//! would feel it) and one count per attempt.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Ten minutes in microseconds: longer waits are counted as this.
const LONGEST_US: u64 = 600_000_000;
/// How many failed checks are told in full.
const EXAMPLES: usize = 10;

/// A kind of call, such as `PUT cart line`, and a variant of it, such as a payment token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// What was called.
    pub name: &'static str,
    /// Which of its variants; empty when there is one.
    pub variant: &'static str,
}

impl From<&'static str> for Kind {
    fn from(name: &'static str) -> Self {
        Self { name, variant: "" }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant {
            "" => f.write_str(self.name),
            variant => write!(f, "{} · {variant}", self.name),
        }
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// With an answer.
    Status(u16),
    /// Without one, or as something that is no call: `timed_out`, `confirmed`.
    Word(&'static str),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

#[derive(Debug)]
struct Measured {
    latency: Histogram<u64>,
    endings: BTreeMap<Ending, u64>,
    paced: bool,
}

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    by_check: BTreeMap<&'static str, u64>,
    examples: Vec<String>,
}

/// The shared tally of a run.
#[derive(Debug, Default)]
pub struct Tally {
    kinds: Mutex<BTreeMap<Kind, Measured>>,
    made: AtomicU64,
    failures: Mutex<Failures>,
    calls: AtomicU64,
}

impl Tally {
    /// Counts one attempt.
    pub fn attempt(&self, kind: Kind, ending: Ending) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.with(kind, true, |measured| {
            *measured.endings.entry(ending).or_default() += 1;
        });
    }

    /// Records the latency of a logical call.
    pub fn latency(&self, kind: Kind, latency: Duration) {
        self.with(kind, true, |measured| {
            measured.latency.saturating_record(micros(latency));
        });
    }

    /// Records something that took its time but is no call, such as an order from checkout to its end.
    pub fn span(&self, kind: Kind, ending: &'static str, took: Duration) {
        self.with(kind, false, |measured| {
            measured.latency.saturating_record(micros(took));
            *measured.endings.entry(Ending::Word(ending)).or_default() += 1;
        });
    }

    /// Counts a check, and tells it if it failed.
    pub fn check(&self, what: &'static str, holds: bool, why: impl FnOnce() -> String) -> bool {
        self.made.fetch_add(1, Ordering::Relaxed);
        if !holds {
            let mut failures = lock(&self.failures);
            failures.count += 1;
            *failures.by_check.entry(what).or_default() += 1;
            if failures.examples.len() < EXAMPLES {
                failures.examples.push(format!("{what}: {}", why()));
            }
        }
        holds
    }

    /// How many calls were made and how many checks failed, for whoever watches the run.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), lock(&self.failures).count)
    }

    /// The checks so far.
    #[must_use]
    pub fn checks(&self) -> Checks {
        let failures = lock(&self.failures);
        Checks {
            made: self.made.load(Ordering::Relaxed),
            failed: failures.count,
            by_check: failures.by_check.clone(),
            examples: failures.examples.clone(),
        }
    }

    /// The figures of every kind. `took` is how long the shoppers were at it; in a closed loop the
    /// expected interval of a kind is the shoppers' time divided by its calls.
    #[must_use]
    pub fn figures(&self, took: Duration, shoppers: u64, closed: bool) -> Vec<KindFigures> {
        let kinds = lock(&self.kinds);
        let all = kinds.iter().map(|(kind, measured)| {
            let count = measured.latency.len();
            let interval = micros(took).saturating_mul(shoppers) / count.max(1);
            let corrected = (closed && measured.paced && count > 0)
                .then(|| Quantiles::of(&measured.latency.clone_correct(interval.max(1))));
            KindFigures {
                kind: kind.name,
                variant: kind.variant,
                count,
                per_second: per_second(count, took),
                endings: measured
                    .endings
                    .iter()
                    .map(|(ending, n)| (ending.to_string(), *n))
                    .collect(),
                latency_ms: Quantiles::of(&measured.latency),
                corrected_ms: corrected,
            }
        });
        all.collect()
    }

    fn with(&self, kind: Kind, paced: bool, record: impl FnOnce(&mut Measured)) {
        let mut kinds = lock(&self.kinds);
        if let Some(measured) = kinds.get_mut(&kind) {
            record(measured);
        } else if let Some(latency) = histogram() {
            let mut measured = Measured {
                latency,
                endings: BTreeMap::new(),
                paced,
            };
            record(&mut measured);
            kinds.insert(kind, measured);
        }
    }
}

/// An empty histogram of microseconds, exact to three digits up to ten minutes.
#[must_use]
pub fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).ok()
}

/// The checks of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checks {
    /// How many were made.
    pub made: u64,
    /// How many failed.
    pub failed: u64,
    /// The failed ones by name.
    pub by_check: BTreeMap<&'static str, u64>,
    /// The first few, in full.
    pub examples: Vec<String>,
}

/// The figures of one kind of call.
#[derive(Clone, Debug, Serialize)]
pub struct KindFigures {
    /// What was called.
    pub kind: &'static str,
    /// Which variant of it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub variant: &'static str,
    /// Logical calls.
    pub count: u64,
    /// Logical calls a second.
    pub per_second: f64,
    /// Attempts by status or by word.
    pub endings: BTreeMap<String, u64>,
    /// As measured: from the intended start in an open loop, from the sending in a closed one.
    pub latency_ms: Quantiles,
    /// In a closed loop: corrected for coordinated omission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected_ms: Option<Quantiles>,
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p99_9: f64,
    /// The worst.
    pub max: f64,
}

impl Quantiles {
    /// The quantiles of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: millis(histogram.max()),
        }
    }
}

/// A count over a time.
#[must_use]
pub fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = count as f64 / took.as_secs_f64().max(1e-9);
    (rate * 10.0).round() / 10.0
}

/// A duration as histograms keep it.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most ten minutes")]
    let millis = micros as f64 / 1_000.0;
    millis
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let tally = Tally::default();
        for ms in 1..=1_000 {
            tally.latency("GET cart".into(), Duration::from_millis(ms));
            tally.attempt("GET cart".into(), Ending::Status(200));
        }
        tally.attempt("GET cart".into(), Ending::Word("timed_out"));
        let figures = tally.figures(Duration::from_secs(10), 1, false);
        let cart = &figures[0];
        assert_eq!(
            (cart.kind, cart.count, cart.per_second),
            ("GET cart", 1_000, 100.0)
        );
        assert_eq!(cart.endings["200"], 1_000);
        assert_eq!(cart.endings["timed_out"], 1);
        assert!(cart.corrected_ms.is_none());
        for (found, exact) in [
            (cart.latency_ms.p50, 500.0),
            (cart.latency_ms.p90, 900.0),
            (cart.latency_ms.p99, 990.0),
            (cart.latency_ms.p99_9, 999.0),
            (cart.latency_ms.max, 1_000.0),
        ] {
            assert!((found - exact).abs() <= exact / 1_000.0, "{found} is not {exact}");
        }
    }

    #[test]
    fn a_closed_loop_is_corrected_for_the_calls_a_stall_kept_away() {
        let tally = Tally::default();
        // One shopper, 10 s: 900 calls of 10 ms and one stall of 1 s. Without the stall another
        // hundred would have been made.
        for _ in 0..900 {
            tally.latency("GET cart".into(), Duration::from_millis(10));
        }
        tally.latency("GET cart".into(), Duration::from_secs(1));
        let figures = tally.figures(Duration::from_secs(10), 1, true);
        let corrected = figures[0].corrected_ms.unwrap();
        assert!(figures[0].latency_ms.p99 < 11.0);
        assert!(corrected.p99 > 850.0, "{corrected:?}");
        assert!(corrected.p50 < 11.0);
    }

    #[test]
    fn spans_are_never_corrected_and_variants_stand_apart() {
        let tally = Tally::default();
        let slow = Kind {
            name: "order ended",
            variant: "tok_slow_5s",
        };
        tally.span(slow, "confirmed", Duration::from_secs(5));
        tally.span(
            Kind {
                name: "order ended",
                variant: "tok_approve",
            },
            "confirmed",
            Duration::from_millis(9),
        );
        let figures = tally.figures(Duration::from_secs(5), 1, true);
        assert_eq!(figures.len(), 2);
        assert!(figures.iter().all(|kind| kind.corrected_ms.is_none()));
        assert_eq!(slow.to_string(), "order ended · tok_slow_5s");
    }

    #[test]
    fn only_the_first_failures_are_told_in_full() {
        let tally = Tally::default();
        assert!(tally.check("status", true, || unreachable!(
            "a check that holds has no reason"
        )));
        for n in 0..25 {
            assert!(!tally.check("status", false, || format!("answer {n}")));
        }
        let checks = tally.checks();
        assert_eq!(
            (checks.made, checks.failed, checks.by_check["status"]),
            (26, 25, 25)
        );
        assert_eq!(checks.examples.len(), EXAMPLES);
        assert_eq!(checks.examples[0], "status: answer 0");
    }
}
