//! The supervision tree: every actor, or sums by kind; filtered, sorted, in pages.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use crate::actors::stats::{Reading, Tree};

/// What to show of the tree.
#[derive(Clone, Debug, Default)]
pub struct TreeQuery {
    /// Only actors of this kind.
    pub kind: Option<String>,
    /// Only actors of this node.
    pub node: Option<String>,
    /// In which order.
    pub sort: Sort,
    /// How many.
    pub limit: usize,
    /// After which actor.
    pub after: Option<Cursor>,
}

/// In which order actors are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By path: parents before children.
    #[default]
    Path,
    /// The fullest mailbox first.
    Mailbox,
    /// The most messages handled first.
    Handled,
    /// The most often restarted first.
    Restarts,
    /// The longest waiting first.
    Oldest,
}

/// The place after an actor in the order shown: its figure then and its path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    figure: Reverse<u64>,
    path: String,
}

impl Cursor {
    /// The cursor as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}~{}", self.figure.0, self.path)
    }

    /// A cursor from its text; `None` if it is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (figure, path) = text.split_once('~')?;
        Some(Self {
            figure: Reverse(figure.parse().ok()?),
            path: path.to_owned(),
        })
    }
}

/// An actor, as shown.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// Its path in the tree.
    pub path: String,
    /// Its kind.
    pub kind: &'static str,
    /// What tells it from others of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its node.
    pub node: String,
    /// `starting`, `running`, `stopping` or `down`.
    pub state: &'static str,
    /// The path of its supervisor.
    pub supervisor: Option<String>,
    /// How many actors it supervises.
    pub children: u64,
    /// Messages waiting.
    pub mailbox: u64,
    /// How long the message at hand has waited and been worked on, milliseconds.
    pub oldest_ms: u64,
    /// Messages handled.
    pub handled: u64,
    /// Messages handled a second since it started.
    pub rate: f64,
    /// The 99th percentile of handling time, microseconds, rounded up to a power of two.
    pub p99_us: u64,
    /// How often it was restarted.
    pub restarts: u32,
    /// Why it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A page of actors.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The actors.
    pub items: Vec<Actor>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Sums over all actors of a kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Census {
    /// The kind.
    pub kind: &'static str,
    /// How many there are.
    pub actors: u64,
    /// Messages waiting, in all.
    pub mailbox: u64,
    /// The fullest mailbox.
    pub mailbox_max: u64,
    /// The longest waiting, milliseconds.
    pub oldest_ms: u64,
    /// Messages handled by those that live.
    pub handled: u64,
    /// The slowest 99th percentile, microseconds.
    pub p99_us: u64,
    /// Restarts, in all.
    pub restarts: u64,
    /// How many were ever started.
    pub spawned: u64,
    /// How many ever failed.
    pub failed: u64,
    /// Messages refused by full mailboxes.
    pub refused: u64,
    /// Messages handled ever, by type.
    pub handled_by_type: BTreeMap<&'static str, u64>,
}

/// A page of the tree.
#[must_use]
pub fn page(tree: &Tree, query: &TreeQuery, now: Instant) -> Page {
    let readings = tree.readings(now);
    let mut children: BTreeMap<&str, u64> = BTreeMap::new();
    for reading in &readings {
        if let Some(supervisor) = &reading.place.supervisor {
            *children.entry(supervisor).or_default() += 1;
        }
    }
    let mut found: Vec<(Cursor, &Reading)> = readings
        .iter()
        .filter(|reading| {
            query
                .kind
                .as_deref()
                .is_none_or(|kind| reading.place.kind == kind)
        })
        .filter(|reading| query.node.as_deref().is_none_or(|node| node_of(reading) == node))
        .map(|reading| (cursor(reading, query.sort), reading))
        .filter(|(cursor, _)| query.after.as_ref().is_none_or(|after| cursor > after))
        .collect();
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    Page {
        next_cursor: found.last().filter(|_| more).map(|(cursor, _)| cursor.to_text()),
        items: found
            .into_iter()
            .map(|(_, reading)| actor(reading, &children))
            .collect(),
    }
}

/// Sums by kind, in the order of their names.
#[must_use]
pub fn census(tree: &Tree, now: Instant) -> Vec<Census> {
    let mut kinds: BTreeMap<&'static str, Census> = BTreeMap::new();
    for reading in tree.readings(now) {
        let kind = reading.place.kind;
        let sums = kinds.entry(kind).or_insert_with(|| Census {
            kind,
            ..Census::default()
        });
        sums.actors += 1;
        sums.mailbox += reading.mailbox;
        sums.mailbox_max = sums.mailbox_max.max(reading.mailbox);
        sums.oldest_ms = sums.oldest_ms.max(millis(reading.oldest));
        sums.handled += reading.handled;
        sums.p99_us = sums.p99_us.max(micros(reading.p99));
        sums.restarts += u64::from(reading.restarts);
    }
    for known in tree.kinds() {
        let sums = kinds.entry(known.kind).or_insert_with(|| Census {
            kind: known.kind,
            ..Census::default()
        });
        (sums.spawned, sums.failed, sums.refused) = known.totals();
        sums.handled_by_type = known.handled_by_type().collect();
    }
    kinds.into_values().collect()
}

fn cursor(reading: &Reading, sort: Sort) -> Cursor {
    let figure = match sort {
        Sort::Path => 0,
        Sort::Mailbox => reading.mailbox,
        Sort::Handled => reading.handled,
        Sort::Restarts => u64::from(reading.restarts),
        Sort::Oldest => millis(reading.oldest),
    };
    Cursor {
        figure: Reverse(figure),
        path: reading.place.path.to_string(),
    }
}

fn actor(reading: &Reading, children: &BTreeMap<&str, u64>) -> Actor {
    let place = &reading.place;
    Actor {
        path: place.path.to_string(),
        kind: place.kind,
        key: place.key.as_deref().map(str::to_owned),
        node: node_of(reading).to_owned(),
        state: reading.life.as_str(),
        supervisor: place.supervisor.as_deref().map(str::to_owned),
        children: children.get(&*place.path).copied().unwrap_or(0),
        mailbox: reading.mailbox,
        oldest_ms: millis(reading.oldest),
        handled: reading.handled,
        rate: (reading.rate * 100.0).round() / 100.0,
        p99_us: micros(reading.p99),
        restarts: reading.restarts,
        last_error: reading.last_error.clone(),
    }
}

fn node_of(reading: &Reading) -> &str {
    reading.place.path.split('/').next().unwrap_or_default()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
