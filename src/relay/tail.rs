//! The newest committed events of each shard, in memory.
//!
//! Publishing never waits and never fails: a bounded ring keeps the newest events, and whoever is
//! further behind than the ring reaches reads the journal.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::domain::{Kind, Shard, ShardCount};
use crate::journal::{Journal, JournalFault, Position, Recorded};

/// How many events a tail keeps.
const EVENT_LIMIT: usize = 4_096;
/// How many payload bytes a tail keeps.
const BYTE_LIMIT: usize = 4 << 20;

/// Somebody who follows a tail and is told of news.
///
/// News of a kind it wants it hears at once, on the publisher's thread, so it must be quick. Of other
/// news it is told when [`Tail::remind`] is called: they only move its position.
pub struct Subscriber {
    wants: [bool; Kind::ALL.len()],
    news: Box<dyn Fn() + Send + Sync>,
    /// There was something it was not told of.
    behind: AtomicBool,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}

/// The newest committed events of one shard.
#[derive(Debug)]
pub struct Tail {
    shard: Shard,
    ring: Mutex<Ring>,
    head: Arc<Head>,
    subscribers: Mutex<Vec<Weak<Subscriber>>>,
    /// Rung when a subscriber of any shard has something to be reminded of.
    unsaid: Arc<Notify>,
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
    /// Moves the head up, and wakes whoever waits for that. Whether it was lower.
    fn raise(&self, to: Position) -> bool {
        let moves = self.position.fetch_max(to.0, SeqCst) < to.0;
        if moves {
            self.moved.notify_waiters();
        }
        moves
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
    fn new(shard: Shard, unsaid: Arc<Notify>) -> Self {
        Self {
            shard,
            ring: Mutex::default(),
            head: Arc::default(),
            subscribers: Mutex::default(),
            unsaid,
        }
    }

    /// Has `news` called whenever there are events of a kind that somebody `wants`, until the subscriber
    /// is dropped.
    pub fn subscribe(
        &self,
        wants: impl Fn(Kind) -> bool,
        news: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber {
            wants: Kind::ALL.map(wants),
            news: Box::new(news),
            behind: AtomicBool::new(false),
        });
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|known| known.strong_count() > 0);
        subscribers.push(Arc::downgrade(&subscriber));
        subscriber
    }

    /// Tells subscribers of what did not concern them, so that their positions move on.
    pub fn remind(&self) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            if subscriber.behind.swap(false, Relaxed) {
                (subscriber.news)();
            }
        }
    }

    fn tell(&self, happened: [bool; Kind::ALL.len()]) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unsaid = false;
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            if happened
                .iter()
                .zip(&subscriber.wants)
                .any(|(new, wanted)| *new && *wanted)
            {
                subscriber.behind.store(false, Relaxed);
                (subscriber.news)();
            } else {
                unsaid |= !subscriber.behind.swap(true, Relaxed);
            }
        }
        if unsaid {
            self.unsaid.notify_one();
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
        let moved = self.head.raise(head);
        drop(ring);
        if moved {
            // Whatever it was that came before.
            self.tell([true; Kind::ALL.len()]);
        }
    }

    /// Adds events that were just committed: the ones right after those before.
    ///
    /// A node that stood still may hear of its own old append only after the shard was elsewhere and came
    /// back: those events lie before [`Self::start_at`] and are in the journal, where readers look for them.
    pub fn publish(&self, events: impl IntoIterator<Item = Arc<Recorded>>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = self.head();
        let mut happened = [false; Kind::ALL.len()];
        for event in events {
            if event.position <= newest {
                continue;
            }
            if event.position != newest.next() {
                // Readers find what is missing in the journal; with a hole the ring would hide it.
                *ring = Ring::default();
            }
            newest = event.position;
            happened[event.entity.kind() as usize] = true;
            ring.bytes += event.payload.len();
            ring.events.push_back(event);
        }
        while ring.events.len() > EVENT_LIMIT || ring.bytes > BYTE_LIMIT {
            match ring.events.pop_front() {
                Some(oldest) => ring.bytes -= oldest.payload.len(),
                None => break,
            }
        }
        let moved = self.head.raise(newest);
        drop(ring);
        if moved {
            self.tell(happened);
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
pub struct Tails {
    tails: Arc<[Tail]>,
    unsaid: Arc<Notify>,
}

impl Tails {
    /// An empty tail for each shard.
    #[must_use]
    pub fn new(shards: ShardCount) -> Self {
        let unsaid = Arc::new(Notify::new());
        let tail = |shard| Tail::new(shard, Arc::clone(&unsaid));
        Self {
            tails: shards.all().map(tail).collect(),
            unsaid,
        }
    }

    /// The tail of a shard.
    #[must_use]
    pub fn of(&self, shard: Shard) -> &Tail {
        // Shards come from the same count, so the index is always there.
        &self.tails[usize::from(shard.0) % self.tails.len()]
    }

    /// Every tail.
    pub fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.tails.iter()
    }

    /// Waits until some subscriber has something to be [reminded](Tail::remind) of.
    pub async fn unsaid(&self) {
        self.unsaid.notified().await;
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

    #[test]
    fn what_is_told_late_hides_nothing_that_came_after() {
        let tails = Tails::new(ShardCount::DEFAULT);
        let tail = tails.of(Shard(0));
        tail.publish((1..=5).map(event));
        // The shard was elsewhere, and 6 was written here before.
        tail.start_at(Position(14));
        tail.publish([event(6)]);
        tail.publish([event(15)]);
        assert_eq!(tail.recent(Position(14), 9), Some(vec![event(15)]));
        assert_eq!(tail.recent(Position(5), 9), None);
        tail.publish([event(17)]);
        assert_eq!(tail.recent(Position(15), 9), None);
        assert_eq!(tail.recent(Position(16), 9), Some(vec![event(17)]));
    }

    #[test]
    fn a_follower_hears_at_once_of_what_it_wants_and_later_of_the_rest() {
        let tails = Tails::new(ShardCount::DEFAULT);
        let tail = tails.of(Shard(0));
        let heard = |kind| {
            let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = Arc::clone(&count);
            let subscriber = tail.subscribe(
                move |other| other == kind,
                move || {
                    counted.fetch_add(1, Relaxed);
                },
            );
            (subscriber, count)
        };
        let (carts, cart_news) = heard(Kind::Cart);
        let (_orders, order_news) = heard(Kind::Order);
        let counts = || (cart_news.load(Relaxed), order_news.load(Relaxed));
        tail.publish([event(1)]);
        tail.publish([event(2)]);
        assert_eq!(counts(), (2, 0));
        tail.remind();
        tail.remind();
        assert_eq!(counts(), (2, 1), "reminded once of both");
        tail.start_at(Position(9));
        assert_eq!(counts(), (3, 2), "nobody knows what came before");
        drop(carts);
        tail.publish([event(10)]);
        tail.remind();
        assert_eq!(counts(), (3, 3));
    }
}
