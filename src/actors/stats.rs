//! What is recorded about each actor, out of band: reading it sends no message.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::clock::Clock;

/// Buckets of handling time: bucket n counts handlings of up to 2^n microseconds.
const BUCKETS: usize = 24;

/// Where an actor stands in the tree, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The whole path, `node/shard/7/cart/…`.
    pub path: Arc<str>,
    /// The path of its supervisor; `None` for the root.
    pub supervisor: Option<Arc<str>>,
    /// Its kind: `shard`, `cart`, `consumer` ….
    pub kind: &'static str,
    /// What tells it from others of its kind.
    pub key: Option<Arc<str>>,
}

impl Place {
    /// The root of a node's tree.
    #[must_use]
    pub fn root(node: &str) -> Self {
        Self {
            path: node.into(),
            supervisor: None,
            kind: "node",
            key: None,
        }
    }

    /// A child of this place, `kind/key` below it.
    #[must_use]
    pub fn child(&self, kind: &'static str, key: &str) -> Self {
        Self {
            path: format!("{}/{kind}/{key}", self.path).into(),
            supervisor: Some(Arc::clone(&self.path)),
            kind,
            key: Some(key.into()),
        }
    }
}

/// The life of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// Loading or claiming; messages wait.
    Starting = 0,
    /// At work.
    Running = 1,
    /// Finishing.
    Stopping = 2,
    /// Gone; its restart is pending.
    Down = 3,
}

impl Life {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Down => "down",
        }
    }
}

/// Figures of one actor.
#[derive(Debug)]
pub struct Stats {
    /// Where it stands.
    pub place: Place,
    kind: Arc<KindStats>,
    started: Instant,
    life: AtomicU8,
    enqueued: AtomicU64,
    handled: AtomicU64,
    busy_ns: AtomicU64,
    /// When the message at hand (or the last one) was sent, and when anything last happened: micros since `started`.
    oldest_us: AtomicU64,
    active_us: AtomicU64,
    restarts: AtomicU32,
    slow: [AtomicU32; BUCKETS],
    last_error: Mutex<Option<Box<str>>>,
    /// At how many messages from now it is to fail; 0 for never.
    doomed: AtomicU8,
}

/// Figures of all actors of one kind, also of those that are gone.
#[derive(Debug)]
pub struct KindStats {
    /// The kind.
    pub kind: &'static str,
    labels: &'static [&'static str],
    by_label: Box<[AtomicU64]>,
    spawned: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl KindStats {
    fn new(kind: &'static str, labels: &'static [&'static str]) -> Self {
        Self {
            kind,
            labels,
            by_label: labels.iter().map(|_| AtomicU64::new(0)).collect(),
            spawned: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Handled messages by type.
    pub fn handled_by_type(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.labels
            .iter()
            .zip(&self.by_label)
            .map(|(label, count)| (*label, count.load(Relaxed)))
    }

    /// How many were ever started, how many failed, and how many messages a full mailbox refused.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        (
            self.spawned.load(Relaxed),
            self.failed.load(Relaxed),
            self.refused.load(Relaxed),
        )
    }

    pub(super) fn note_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}

/// A reading of an actor's figures.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Where it stands.
    pub place: Place,
    /// Its life.
    pub life: Life,
    /// Messages waiting.
    pub mailbox: u64,
    /// How long the message at hand has been waiting and worked on: a lower bound of the oldest.
    pub oldest: Duration,
    /// Messages handled.
    pub handled: u64,
    /// Messages handled a second, since it started.
    pub rate: f64,
    /// The 99th percentile of handling time, rounded up to a power of two of microseconds.
    pub p99: Duration,
    /// How often this place was restarted.
    pub restarts: u32,
    /// Why it last failed.
    pub last_error: Option<String>,
}

impl Stats {
    fn new(place: Place, kind: Arc<KindStats>, started: Instant) -> Self {
        kind.spawned.fetch_add(1, Relaxed);
        Self {
            place,
            kind,
            started,
            life: AtomicU8::new(Life::Starting as u8),
            enqueued: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            oldest_us: AtomicU64::new(0),
            active_us: AtomicU64::new(0),
            restarts: AtomicU32::new(0),
            slow: [const { AtomicU32::new(0) }; BUCKETS],
            last_error: Mutex::new(None),
            doomed: AtomicU8::new(0),
        }
    }

    /// Messages sent and not yet handled.
    #[must_use]
    pub fn mailbox(&self) -> u64 {
        self.enqueued
            .load(Relaxed)
            .saturating_sub(self.handled.load(Relaxed))
    }

    /// How long nothing has happened here.
    #[must_use]
    pub fn idle(&self, now: Instant) -> Duration {
        let active = Duration::from_micros(self.active_us.load(Relaxed));
        now.saturating_duration_since(self.started + active)
    }

    /// The life shown.
    #[must_use]
    pub fn life(&self) -> Life {
        match self.life.load(Relaxed) {
            0 => Life::Starting,
            1 => Life::Running,
            2 => Life::Stopping,
            _ => Life::Down,
        }
    }

    /// Sets the life shown.
    pub fn set_life(&self, life: Life) {
        self.life.store(life as u8, Relaxed);
    }

    /// Whether the actor is to fail at this message: only simulations wish that.
    pub(super) fn is_doomed(&self) -> bool {
        let left = self.doomed.load(Relaxed);
        if left > 0 {
            self.doomed.store(left - 1, Relaxed);
        }
        left == 1
    }

    pub(super) fn sent(&self) {
        self.enqueued.fetch_add(1, Relaxed);
    }

    pub(super) fn unsent(&self) {
        self.enqueued.fetch_sub(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.kind.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn taken(&self, sent: Instant, now: Instant) {
        self.oldest_us.store(self.micros(sent), Relaxed);
        self.active_us.store(self.micros(now), Relaxed);
    }

    pub(super) fn done(&self, label: usize, took: Duration) {
        self.handled.fetch_add(1, Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(nanos, Relaxed);
        let micros = (nanos / 1_000).max(1);
        let bucket = usize::try_from(64 - (micros - 1).leading_zeros().min(64)).unwrap_or(0);
        self.slow[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        if let Some(count) = self.kind.by_label.get(label) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn note_failure(&self, error: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
    }

    pub(super) fn inherit(&self, old: &Self) {
        self.restarts.store(old.restarts.load(Relaxed) + 1, Relaxed);
        let error = old
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    fn p99(&self) -> Duration {
        let counts: Vec<u64> = self
            .slow
            .iter()
            .map(|count| u64::from(count.load(Relaxed)))
            .collect();
        let total: u64 = counts.iter().sum();
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if total > 0 && seen * 100 >= total * 99 {
                return Duration::from_micros(1 << bucket);
            }
        }
        Duration::ZERO
    }

    /// The figures now.
    #[must_use]
    pub fn read(&self, now: Instant) -> Reading {
        let mailbox = self.mailbox();
        let handled = self.handled.load(Relaxed);
        let age = now.saturating_duration_since(self.started);
        let oldest = if mailbox == 0 {
            Duration::ZERO
        } else {
            age.saturating_sub(Duration::from_micros(self.oldest_us.load(Relaxed)))
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown, not counted with")]
        let rate = handled as f64 / age.as_secs_f64().max(0.001);
        Reading {
            place: self.place.clone(),
            life: self.life(),
            mailbox,
            oldest,
            handled,
            rate,
            p99: self.p99(),
            restarts: self.restarts.load(Relaxed),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_deref()
                .map(str::to_owned),
        }
    }
}

/// Every actor of this node, by path.
#[derive(Debug, Default)]
pub struct Tree {
    actors: DashMap<Arc<str>, Arc<Stats>>,
    kinds: DashMap<&'static str, Arc<KindStats>>,
}

impl Tree {
    pub(super) fn enter(&self, place: Place, labels: &'static [&'static str], now: Instant) -> Arc<Stats> {
        let kind = Arc::clone(
            &self
                .kinds
                .entry(place.kind)
                .or_insert_with(|| Arc::new(KindStats::new(place.kind, labels))),
        );
        let path = Arc::clone(&place.path);
        let stats = Arc::new(Stats::new(place, kind, now));
        if let Some(old) = self.actors.insert(path, Arc::clone(&stats)) {
            stats.inherit(&old);
        }
        stats
    }

    /// Takes an actor that has ended off the tree; one that failed stays, shown as down.
    pub(super) fn leave(&self, stats: &Arc<Stats>, failure: Option<&str>) {
        match failure {
            Some(error) => {
                stats.note_failure(error);
                stats.set_life(Life::Down);
                stats.kind.note_failed();
            }
            None => {
                self.actors
                    .remove_if(&stats.place.path, |_, current| Arc::ptr_eq(current, stats));
            }
        }
    }

    /// Has actors fail at one of their next messages: those of the kinds that count, all of them or
    /// one drawn by `dice`. Says where they stand.
    pub(super) fn doom(&self, dice: &Clock, all: bool, counts: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let counted = self
            .actors
            .iter()
            .filter(|entry| counts(entry.value().place.kind));
        let mut paths: Vec<Arc<str>> = counted.map(|entry| Arc::clone(entry.key())).collect();
        paths.sort_unstable();
        if !all && !paths.is_empty() {
            let drawn = dice.random_below(u64::try_from(paths.len()).unwrap_or(1));
            paths = vec![paths.swap_remove(usize::try_from(drawn).unwrap_or(0))];
        }
        for path in &paths {
            if let Some(stats) = self.actors.get(path) {
                // Soon, but perhaps with something under way.
                let messages = u8::try_from(1 + dice.random_below(3)).unwrap_or(1);
                stats.doomed.store(messages, Relaxed);
            }
        }
        paths
    }

    /// A reading of every actor, in no order. Costs what it clones; page it before showing it.
    #[must_use]
    pub fn readings(&self, now: Instant) -> Vec<Reading> {
        self.actors.iter().map(|entry| entry.value().read(now)).collect()
    }

    /// A reading of one actor.
    #[must_use]
    pub fn reading(&self, path: &str, now: Instant) -> Option<Reading> {
        self.actors.get(path).map(|stats| stats.read(now))
    }

    /// How many actors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Figures by kind.
    #[must_use]
    pub fn kinds(&self) -> Vec<Arc<KindStats>> {
        self.kinds.iter().map(|entry| Arc::clone(entry.value())).collect()
    }
}
