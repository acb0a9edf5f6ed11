//! What waits to be sent on one connection, and what the connection follows.
//!
//! The hub puts frames in, the connection takes them out in bunches. Bounded in bytes: a stream that
//! does not fit ends the connection with "too slow", and the client resumes; of a state only the
//! newest value waits, so that it cannot pile up. Nobody is ever waited for, and nothing is dropped in
//! silence.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::channel::Channel;
use super::figures::Figures;
use super::protocol::{Close, CloseCode, Frame, SubscriptionId};

/// Bytes that may wait on one connection.
pub const BYTES_MAX: usize = 256 * 1024;
/// As long as more than this waits, no further subscription is begun.
const BYTES_CALM: usize = 64 * 1024;
/// Subscriptions of one connection that may be under way at once.
const UNSETTLED_MAX: usize = 8;

/// What the publisher learns of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The frame waits to be sent.
    Waits,
    /// The subscription is over; forget it.
    Gone,
}

/// What the connection finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The connection is to end now.
    pub end: Option<Close>,
    /// Look again at who is there.
    pub recheck: bool,
}

/// The queue of one connection.
#[derive(Debug)]
pub struct Outbox {
    number: u64,
    trace: Arc<str>,
    limit: usize,
    inner: Mutex<Inner>,
    ready: Notify,
    cut: Notify,
    figures: Figures,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Waiting>,
    bytes: usize,
    slots: Vec<Slot>,
    last_slot: u32,
    end: Option<Close>,
    recheck: bool,
}

#[derive(Debug)]
enum Waiting {
    Frame(Frame),
    /// The newest value of a state, as it is when its turn comes.
    Newest(u32),
}

/// One subscription.
#[derive(Debug)]
struct Slot {
    number: u32,
    id: SubscriptionId,
    name: Arc<str>,
    channel: Channel,
    /// Where the channel stands; `None` until the subscription happened.
    head: Option<Arc<AtomicU64>>,
    newest: Option<Frame>,
}

/// One subscription, as others name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its slot.
    pub slot: u32,
    /// Its channel.
    pub channel: Channel,
}

impl Outbox {
    /// An empty outbox of connection `number`; `trace` finds the connection in the log.
    #[must_use]
    pub fn new(number: u64, trace: Arc<str>, figures: Figures) -> Self {
        Self {
            number,
            trace,
            limit: BYTES_MAX,
            inner: Mutex::default(),
            ready: Notify::new(),
            cut: Notify::new(),
            figures,
        }
    }

    /// The connection's number on this node.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The connection's name in the log.
    #[must_use]
    pub const fn trace(&self) -> &Arc<str> {
        &self.trace
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a slot for a subscription that is about to be asked for.
    pub fn open(&self, id: SubscriptionId, name: Arc<str>, channel: Channel) -> u32 {
        let mut inner = self.lock();
        inner.last_slot = inner.last_slot.wrapping_add(1);
        let number = inner.last_slot;
        inner.slots.push(Slot {
            number,
            id,
            name,
            channel,
            head: None,
            newest: None,
        });
        number
    }

    /// Ends the subscription to a channel: nothing of it is sent any more.
    pub fn close(&self, name: &str) -> Option<Followed> {
        let mut inner = self.lock();
        let index = inner.slots.iter().position(|slot| *slot.name == *name)?;
        Some(inner.remove(index))
    }

    /// Ends every subscription.
    pub fn close_all(&self) -> Vec<Followed> {
        let mut inner = self.lock();
        let mut closed = Vec::with_capacity(inner.slots.len());
        while let Some(last) = inner.slots.len().checked_sub(1) {
            closed.push(inner.remove(last));
        }
        closed
    }

    /// What is followed.
    #[must_use]
    pub fn followed(&self) -> Vec<Followed> {
        self.lock().slots.iter().map(Slot::followed).collect()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.lock().slots.len()
    }

    /// Whether one more subscription may be asked for now.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let inner = self.lock();
        let unsettled = inner.slots.iter().filter(|slot| slot.head.is_none()).count();
        unsettled < UNSETTLED_MAX && inner.bytes < BYTES_CALM
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Where the followed channels stand.
    #[must_use]
    pub fn positions(&self) -> Vec<(Arc<str>, u64)> {
        let inner = self.lock();
        let settled = inner.slots.iter().filter_map(|slot| {
            let head = slot.head.as_ref()?;
            Some((Arc::clone(&slot.name), head.load(Relaxed)))
        });
        settled.collect()
    }

    /// The subscription happened: its first frames, and where its channel will stand.
    pub fn settle(
        &self,
        slot: u32,
        head: &Arc<AtomicU64>,
        frames: impl FnOnce(&SubscriptionId) -> Vec<Frame>,
    ) -> Pushed {
        let mut inner = self.lock();
        let Some(found) = inner.slot(slot) else {
            return Pushed::Gone;
        };
        found.head = Some(Arc::clone(head));
        let frames = frames(&found.id);
        for frame in frames {
            if self.push(&mut inner, frame) == Pushed::Gone {
                return Pushed::Gone;
            }
        }
        Pushed::Waits
    }

    /// The subscription did not happen, or is over.
    pub fn refuse(&self, slot: u32, frame: impl FnOnce(&SubscriptionId) -> Frame) {
        let mut inner = self.lock();
        if let Some(index) = inner.slots.iter().position(|found| found.number == slot) {
            let frame = frame(&inner.slots[index].id);
            inner.remove(index);
            self.push(&mut inner, frame);
        }
    }

    /// An event of a stream.
    pub fn deliver(&self, slot: u32, frame: Frame) -> Pushed {
        let mut inner = self.lock();
        if inner.slot(slot).is_none() {
            return Pushed::Gone;
        }
        self.push(&mut inner, frame)
    }

    /// The newest value of a state: takes the place of one that still waits.
    pub fn deliver_newest(&self, slot: u32, frame: Frame) -> Pushed {
        let mut inner = self.lock();
        let is_over = inner.end.is_some();
        let Some(found) = inner.slot(slot).filter(|_| !is_over) else {
            return Pushed::Gone;
        };
        let added = frame.len();
        let replaced = found.newest.replace(frame).map(|older| older.len());
        inner.bytes += added;
        match replaced {
            Some(length) => {
                inner.bytes -= length;
                self.figures.conflated.increment(1);
                Pushed::Waits
            }
            None => self.enqueue(&mut inner, Waiting::Newest(slot)),
        }
    }

    /// A frame that belongs to no subscription.
    pub fn say(&self, frame: Frame) -> Pushed {
        let mut inner = self.lock();
        self.push(&mut inner, frame)
    }

    fn push(&self, inner: &mut Inner, frame: Frame) -> Pushed {
        if inner.end.is_some() {
            return Pushed::Gone;
        }
        inner.bytes += frame.len();
        self.enqueue(inner, Waiting::Frame(frame))
    }

    fn enqueue(&self, inner: &mut Inner, waiting: Waiting) -> Pushed {
        if inner.bytes > self.limit {
            self.figures.slow.increment(1);
            inner.clear();
            inner.end = Some(Close::new(CloseCode::TooSlow, "more waits than fits; resume"));
            self.ready.notify_one();
            self.cut.notify_one();
            return Pushed::Gone;
        }
        if inner.queue.is_empty() {
            self.ready.notify_one();
        }
        inner.queue.push_back(waiting);
        Pushed::Waits
    }

    /// Ends the connection once what waits is sent. The first end counts.
    pub fn end(&self, close: Close) {
        let mut inner = self.lock();
        inner.end.get_or_insert(close);
        self.ready.notify_one();
    }

    /// Has the connection look again at who is there.
    pub fn recheck(&self) {
        self.lock().recheck = true;
        self.ready.notify_one();
    }

    /// Waits until there is something to take. One connection waits, once at a time.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Waits until what is being written is not worth waiting for.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Moves up to `limit` frames into `frames`. The end comes after the last of them.
    pub fn take(&self, frames: &mut Vec<Frame>, limit: usize) -> Taken {
        let mut inner = self.lock();
        while frames.len() < limit {
            let frame = match inner.queue.pop_front() {
                Some(Waiting::Frame(frame)) => Some(frame),
                Some(Waiting::Newest(slot)) => inner.slot(slot).and_then(|slot| slot.newest.take()),
                None => break,
            };
            if let Some(frame) = frame {
                inner.bytes -= frame.len();
                frames.push(frame);
            }
        }
        if inner.queue.is_empty() && inner.queue.capacity() > 64 {
            inner.queue = VecDeque::new();
        }
        Taken {
            end: inner.end.filter(|_| inner.queue.is_empty()),
            recheck: std::mem::take(&mut inner.recheck),
        }
    }
}

impl Slot {
    fn followed(&self) -> Followed {
        Followed {
            slot: self.number,
            channel: self.channel.clone(),
        }
    }
}

impl Inner {
    fn slot(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.number == number)
    }

    fn remove(&mut self, index: usize) -> Followed {
        let slot = self.slots.swap_remove(index);
        self.bytes -= slot.newest.as_ref().map_or(0, Frame::len);
        slot.followed()
    }

    fn clear(&mut self) {
        self.queue.clear();
        for slot in &mut self.slots {
            slot.newest = None;
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;
    use crate::ws::protocol::Publication;
    use serde_json::json;

    fn outbox() -> Outbox {
        Outbox::new(1, "trace".into(), Figures::new())
    }

    fn follow(outbox: &Outbox, name: &str) -> u32 {
        let channel = Channel::Product(name.parse().unwrap());
        let slot = outbox.open(SubscriptionId::Number(1), name.into(), channel);
        let head = Arc::new(AtomicU64::new(0));
        assert_eq!(outbox.settle(slot, &head, |_| vec![]), Pushed::Waits);
        slot
    }

    fn frame(offset: u64, bytes: usize) -> Frame {
        let publication = Publication {
            offset,
            at: Millis(0),
            event: "x",
            data: json!("x".repeat(bytes)),
        };
        Frame::publish("x", [&publication])
    }

    fn taken(outbox: &Outbox) -> (Vec<Frame>, Taken) {
        let mut frames = vec![];
        let taken = outbox.take(&mut frames, 1_000);
        (frames, taken)
    }

    #[test]
    fn a_state_waits_once_and_a_stream_waits_whole() {
        let outbox = outbox();
        let (state, stream) = (follow(&outbox, "a"), follow(&outbox, "b"));
        for offset in 0..5 {
            outbox.deliver_newest(state, frame(offset, 10));
            outbox.deliver(stream, frame(offset, 10));
        }
        let (frames, _) = taken(&outbox);
        assert_eq!(frames.len(), 6);
        assert_eq!(frames[0], frame(4, 10));
        assert_eq!(frames[5], frame(4, 10));
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_stream_that_does_not_fit_ends_the_connection() {
        let outbox = outbox();
        let (state, stream) = (follow(&outbox, "a"), follow(&outbox, "b"));
        outbox.deliver_newest(state, frame(1, 1_000));
        let mut pushed = 0;
        while outbox.deliver(stream, frame(1, 1_000)) == Pushed::Waits {
            pushed += 1;
        }
        assert!((200..=256).contains(&pushed), "{pushed}");
        let (frames, end) = taken(&outbox);
        assert!(frames.is_empty());
        assert_eq!(end.end.unwrap().code, CloseCode::TooSlow);
        assert_eq!(outbox.deliver_newest(state, frame(2, 10)), Pushed::Gone);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_state_never_does() {
        let outbox = outbox();
        let state = follow(&outbox, "a");
        for offset in 0..10_000 {
            assert_eq!(outbox.deliver_newest(state, frame(offset, 1_000)), Pushed::Waits);
        }
        assert_eq!(taken(&outbox).0, [frame(9_999, 1_000)]);
    }

    #[test]
    fn nothing_comes_after_an_unsubscribe() {
        let outbox = outbox();
        let slot = follow(&outbox, "a");
        outbox.deliver_newest(slot, frame(1, 10));
        assert_eq!(outbox.close("a").unwrap().slot, slot);
        assert_eq!(outbox.deliver(slot, frame(2, 10)), Pushed::Gone);
        assert_eq!((taken(&outbox).0, outbox.bytes()), (vec![], 0));
        assert_eq!(outbox.close("a"), None);
    }

    #[test]
    fn the_end_comes_last_and_once() {
        let outbox = outbox();
        outbox.say(frame(1, 10));
        outbox.end(Close::new(CloseCode::Drain, "first"));
        outbox.end(Close::new(CloseCode::Expired, "second"));
        let mut frames = vec![];
        let first = outbox.take(&mut frames, 1);
        assert_eq!(frames.len(), 1);
        assert_eq!(first.end.unwrap().reason, "first");
    }
}
