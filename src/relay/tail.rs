//! The newest committed events of each shard, in memory.
//!
//! Publishing never waits and never fails: a bounded ring keeps the newest events, and whoever is
//! further behind than the ring reaches reads the journal.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::{Shard, ShardCount};
use crate::journal::{Journal, JournalFault, Position, Recorded};

/// How many events a tail keeps.
const EVENT_LIMIT: usize = 4_096;
/// How many payload bytes a tail keeps.
const BYTE_LIMIT: usize = 4 << 20;

/// The newest committed events of one shard.
#[derive(Debug)]
pub struct Tail {
    shard: Shard,
    ring: Mutex<Ring>,
    head: Arc<Head>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
}

/// The head of a shard as this node knows it.
///
/// Not tokio's `watch`: that wakes those who wait in an order drawn by chance, and a simulation could
/// not be repeated. This one wakes them in the order in which they came.
#[derive(Debug, Default)]
struct Head {
    position: AtomicI64,
    moved: Notify,
}

impl Head {
    /// Moves the head up, and wakes whoever waits for that.
    fn raise(&self, to: Position) {
        if self.position.fetch_max(to.0, SeqCst) < to.0 {
            self.moved.notify_waiters();
        }
    }
}

/// Waits for moves of the head of one shard.
#[derive(Debug)]
pub struct HeadWatch {
    head: Arc<Head>,
    seen: Position,
}

impl HeadWatch {
    /// Waits until the head has moved since it was last looked at. Loses nothing if it is dropped.
    pub async fn changed(&mut self) {
        loop {
            let mut moved = pin!(self.head.moved.notified());
            // Listens before it looks, so that no move falls in between.
            moved.as_mut().enable();
            let now = Position(self.head.position.load(SeqCst));
            if now != self.seen {
                self.seen = now;
                return;
            }
            moved.await;
        }
    }
}

impl Tail {
    fn new(shard: Shard) -> Self {
        Self {
            shard,
            ring: Mutex::default(),
            head: Arc::default(),
        }
    }

    /// The shard.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// Says where the shard's head is when its lease is taken: what came before is in the journal.
    pub fn start_at(&self, head: Position) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = ring.events.back().map_or(Position(0), |event| event.position);
        if newest != head {
            *ring = Ring::default();
        }
        drop(ring);
        self.head.raise(head);
    }

    /// Adds events that were just committed: the ones right after those before.
    pub fn publish(&self, events: impl IntoIterator<Item = Arc<Recorded>>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = None;
        for event in events {
            head = Some(event.position);
            ring.bytes += event.payload.len();
            ring.events.push_back(event);
        }
        while ring.events.len() > EVENT_LIMIT || ring.bytes > BYTE_LIMIT {
            match ring.events.pop_front() {
                Some(oldest) => ring.bytes -= oldest.payload.len(),
                None => break,
            }
        }
        drop(ring);
        if let Some(head) = head {
            self.head.raise(head);
        }
    }

    /// The last committed position this node knows.
    #[must_use]
    pub fn head(&self) -> Position {
        Position(self.head.position.load(SeqCst))
    }

    /// Tells of every move of the head; moves in between are coalesced.
    #[must_use]
    pub fn watch(&self) -> HeadWatch {
        HeadWatch {
            seen: self.head(),
            head: Arc::clone(&self.head),
        }
    }

    /// Up to `limit` events right after `position` if they are in memory; `None` if the reader is
    /// further behind than that. Empty at the head.
    #[must_use]
    pub fn recent(&self, position: Position, limit: usize) -> Option<Vec<Arc<Recorded>>> {
        if position >= self.head() {
            return Some(vec![]);
        }
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.events.front()?.position;
        if position.next() < first {
            return None;
        }
        let skip = usize::try_from(position.next().0 - first.0).ok()?;
        Some(ring.events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Up to `limit` events right after `position`: from memory, or from the journal to catch up.
    ///
    /// # Errors
    /// When the journal had to be read and did not answer.
    pub async fn after(
        &self,
        journal: &dyn Journal,
        position: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Recorded>>, JournalFault> {
        match self.recent(position, limit) {
            Some(events) => Ok(events),
            None => Ok(journal
                .read(self.shard, position, limit)
                .await?
                .into_iter()
                .map(Arc::new)
                .collect()),
        }
    }
}

/// The tails of all shards.
#[derive(Clone, Debug)]
pub struct Tails(Arc<[Tail]>);

impl Tails {
    /// An empty tail for each shard.
    #[must_use]
    pub fn new(shards: ShardCount) -> Self {
        Self(shards.all().map(Tail::new).collect())
    }

    /// The tail of a shard.
    #[must_use]
    pub fn of(&self, shard: Shard) -> &Tail {
        // Shards come from the same count, so the index is always there.
        &self.0[usize::from(shard.0) % self.0.len()]
    }

    /// Every tail.
    pub fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EntityId, Kind, Millis};
    use crate::journal::{Epoch, Sequence};

    fn event(position: i64) -> Arc<Recorded> {
        Arc::new(Recorded {
            shard: Shard(0),
            position: Position(position),
            entity: EntityId::new(Kind::Cart, "c"),
            sequence: Sequence(position),
            epoch: Epoch(1),
            version: 1,
            operation: None,
            recorded_at: Millis(0),
            payload: bytes::Bytes::from_static(b"{}"),
        })
    }

    #[test]
    fn readers_get_what_follows_or_are_sent_to_the_journal() {
        let tails = Tails::new(ShardCount::DEFAULT);
        let tail = tails.of(Shard(0));
        tail.start_at(Position(10));
        assert_eq!(tail.recent(Position(10), 9), Some(vec![]));
        assert_eq!(tail.recent(Position(3), 9), None);
        tail.publish([event(11), event(12), event(13)]);
        assert_eq!(tail.recent(Position(11), 1), Some(vec![event(12)]));
        assert_eq!(tail.recent(Position(9), 9), None);
        assert_eq!(tail.head(), Position(13));
        tail.publish((14..14 + i64::try_from(EVENT_LIMIT).unwrap()).map(event));
        assert_eq!(tail.recent(Position(12), 9), None);
    }
}
