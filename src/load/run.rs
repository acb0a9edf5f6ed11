//! One run: what all shoppers share, and the runner that sends them in and counts them out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ack::AckLog;
use super::cli::LoadArgs;
use super::client::{Call, Client, Target};
use super::pace::Pace;
use super::shopper::Shopper;
use super::tally::Tally;
use super::{LoadFault, Script};
use crate::clock::Clock;

/// What all shoppers of a run share.
#[derive(Debug)]
pub struct Run {
    /// What was asked for.
    pub args: LoadArgs,
    /// Time, and ids that are unique among runs.
    pub clock: Clock,
    /// Where the shop is.
    pub target: Target,
    /// What was seen.
    pub tally: Tally,
    /// When the next call is due.
    pub pace: Pace,
    /// Where choices start from; the same seed makes the same choices.
    pub seed: u64,
    acks: Option<AckLog>,
    start: Instant,
    end: Instant,
    orders_taken: AtomicU64,
    interrupted: AtomicBool,
    readiness: tokio::sync::Mutex<Client>,
    outages: Mutex<Outages>,
    notes: Mutex<BTreeSet<String>>,
}

/// How often and how long the shop was away, as the shoppers of a surviving run saw it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Outages {
    /// Calls that met it.
    pub calls: u64,
    /// The longest wait for `/readyz`, in milliseconds.
    pub longest_ms: u64,
}

impl Run {
    /// A run that is about to start.
    #[must_use]
    pub fn new(args: LoadArgs, clock: Clock, target: Target, acks: Option<AckLog>) -> Self {
        let start = clock.instant();
        let seed = args.seed.unwrap_or_else(|| clock.random_u64() >> 32);
        Self {
            end: start + Duration::from_secs(args.seconds),
            pace: Pace::new(start, args.rate),
            readiness: tokio::sync::Mutex::new(Client::new(target.clone(), Duration::from_secs(2))),
            tally: Tally::default(),
            orders_taken: AtomicU64::new(0),
            interrupted: AtomicBool::new(false),
            outages: Mutex::default(),
            notes: Mutex::default(),
            args,
            clock,
            target,
            seed,
            acks,
            start,
        }
    }

    /// Starts the clock of the run: what came before was preparation.
    pub fn begin(&mut self) {
        self.start = self.clock.instant();
        self.end = self.start + Duration::from_secs(self.args.seconds);
        self.pace = Pace::new(self.start, self.args.rate);
    }

    /// Whether a shopper may begin another step by the clock.
    #[must_use]
    pub fn open(&self) -> bool {
        !self.interrupted() && self.clock.instant() < self.end
    }

    /// Whether somebody pressed Ctrl-C.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// When the shoppers were let in.
    #[must_use]
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// How long one call may take.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        Duration::from_secs(self.args.timeout)
    }

    /// When no further step begins.
    #[must_use]
    pub const fn end(&self) -> Instant {
        self.end
    }

    /// Takes one order out of the budget; `false` when it is used up.
    #[must_use]
    pub fn take_order(&self, budget: Option<u64>) -> bool {
        let taken = self.orders_taken.fetch_add(1, Ordering::Relaxed);
        budget.is_none_or(|budget| taken < budget)
    }

    /// Where acknowledgements are written, if anywhere.
    #[must_use]
    pub const fn acks(&self) -> Option<&AckLog> {
        self.acks.as_ref()
    }

    /// Waits until `/readyz` answers 200, at most until `until`. One shopper asks, the others wait.
    pub async fn ready_by(&self, until: Instant) -> bool {
        let from = self.clock.instant();
        let mut client = self.readiness.lock().await;
        loop {
            if let Ok(answer) = client.send(&Call::get("/readyz")).await
                && answer.status == StatusCode::OK
            {
                break;
            }
            if self.clock.instant() >= until || self.interrupted() {
                return false;
            }
            self.clock.sleep(Duration::from_millis(100)).await;
        }
        let waited = u64::try_from((self.clock.instant() - from).as_millis()).unwrap_or(u64::MAX);
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.calls += 1;
        outages.longest_ms = outages.longest_ms.max(waited);
        true
    }

    /// The outages so far.
    #[must_use]
    pub fn outages(&self) -> Outages {
        *self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a remark for the report; the same remark once.
    pub fn note(&self, remark: impl Into<String>) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(remark.into());
    }

    /// The remarks so far.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// Sends every shopper through the script and waits for all of them. Says how long they took.
pub async fn shop(run: &Arc<Run>, script: Arc<dyn Script>) -> Result<Duration, LoadFault> {
    let mut shoppers = JoinSet::new();
    for index in 0..run.args.shoppers {
        let mut shopper = Shopper::new(Arc::clone(run), index);
        let script = Arc::clone(&script);
        shoppers.spawn(async move { script.visit(&mut shopper).await });
    }
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            left = shoppers.join_next() => match left {
                None => break,
                Some(Ok(())) => {}
                Some(Err(fault)) => return Err(LoadFault::Shopper(fault)),
            },
            // Whoever is in the middle of something finishes it; nobody begins anything.
            _ = &mut interrupt, if !run.interrupted() => {
                run.interrupted.store(true, Ordering::Relaxed);
                run.note("interrupted: ended early");
            }
        }
    }
    Ok(run.clock.instant() - run.start)
}
