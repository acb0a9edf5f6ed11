//! What a lane has taken and not settled yet. Pure: no task, no clock, no database.
//!
//! Events are taken in the order of their positions and may be settled in any order, except that
//! events of one entity run one after the other. The watermark is the last position through which
//! everything is settled; it is all that survives a crash.
//!
//! **Invariant:** the watermark never passes an event that is not settled.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::EntityId;
use crate::domain::planted::{self, Bug};
use crate::journal::{Position, Recorded};

/// How far reading may run ahead of the watermark, settled or not: what a busy shard writes (2,000 a second) in the
/// minute for which an event that fails is tried, so that none waits behind it. After a crash as much is read, and
/// what of it concerns the consumer handled, again.
const SPAN_LIMIT: usize = 131_072;

/// The events of one lane between its watermark and what it has read.
#[derive(Debug)]
pub struct Window {
    watermark: Position,
    /// For each position after the watermark: whether it is settled.
    slots: VecDeque<bool>,
    /// For each entity with an event at work: its later events, in order.
    behind: HashMap<EntityId, VecDeque<Arc<Recorded>>>,
    open: usize,
    limit: usize,
}

/// A position was skipped or came twice: the reader cannot be trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {found} came after {after}")]
pub struct OutOfStep {
    /// What came.
    pub found: Position,
    /// After what.
    pub after: Position,
}

impl Window {
    /// An empty window after `watermark` with room for `limit` unsettled events.
    #[must_use]
    pub fn new(watermark: Position, limit: usize) -> Self {
        Self {
            watermark,
            slots: VecDeque::new(),
            behind: HashMap::new(),
            open: 0,
            limit,
        }
    }

    /// Everything through here is settled.
    #[must_use]
    pub const fn watermark(&self) -> Position {
        self.watermark
    }

    /// The last position taken or passed.
    #[must_use]
    pub fn through(&self) -> Position {
        Position(self.watermark.0 + i64::try_from(self.slots.len()).unwrap_or(i64::MAX))
    }

    /// How many events are not settled.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// How many more positions may be read.
    #[must_use]
    pub fn room(&self) -> usize {
        let open = self.limit.saturating_sub(self.open);
        open.min(SPAN_LIMIT.saturating_sub(self.slots.len()))
    }

    /// Whether an event of this entity is at work or waits.
    #[must_use]
    pub fn holds(&self, entity: &EntityId) -> bool {
        self.behind.contains_key(entity)
    }

    /// Passes an event that concerns nobody here.
    ///
    /// # Errors
    /// When it is not the next one.
    pub fn pass(&mut self, position: Position) -> Result<(), OutOfStep> {
        self.extend(position, true)?;
        self.advance();
        Ok(())
    }

    /// Takes an event. It comes back if it may start now; otherwise it waits for an earlier one of
    /// its entity.
    ///
    /// # Errors
    /// When it is not the next one.
    pub fn take(&mut self, event: Arc<Recorded>) -> Result<Option<Arc<Recorded>>, OutOfStep> {
        self.extend(event.position, planted::is(Bug::WatermarkRuns))?;
        self.open += 1;
        self.advance();
        if let Some(behind) = self.behind.get_mut(&event.entity) {
            behind.push_back(event);
            return Ok(None);
        }
        self.behind.insert(event.entity.clone(), VecDeque::new());
        Ok(Some(event))
    }

    /// Settles an event that was started; the entity's next one comes back, to be started.
    pub fn settle(&mut self, event: &Recorded) -> Option<Arc<Recorded>> {
        let index = usize::try_from(event.position.0 - self.watermark.0 - 1).ok();
        if let Some(slot) = index.and_then(|index| self.slots.get_mut(index))
            && !std::mem::replace(slot, true)
        {
            self.open -= 1;
        }
        self.advance();
        let behind = self.behind.get_mut(&event.entity)?;
        let next = behind.pop_front();
        if next.is_none() {
            self.behind.remove(&event.entity);
        }
        next
    }

    fn extend(&mut self, position: Position, settled: bool) -> Result<(), OutOfStep> {
        let after = self.through();
        if position != after.next() {
            return Err(OutOfStep {
                found: position,
                after,
            });
        }
        self.slots.push_back(settled);
        Ok(())
    }

    fn advance(&mut self) {
        while self.slots.front() == Some(&true) {
            self.slots.pop_front();
            self.watermark = self.watermark.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, Millis, Shard};
    use crate::journal::{Epoch, Sequence};
    use proptest::prelude::*;

    fn event(position: i64, entity: u8) -> Arc<Recorded> {
        Arc::new(Recorded {
            shard: Shard(0),
            position: Position(position),
            entity: EntityId::new(Kind::Order, entity),
            sequence: Sequence(position),
            epoch: Epoch(1),
            version: 1,
            operation: None,
            recorded_at: Millis(0),
            payload: bytes::Bytes::new(),
        })
    }

    #[test]
    fn a_gap_is_noticed() {
        let mut window = Window::new(Position(4), 8);
        assert!(window.pass(Position(6)).is_err());
        assert!(window.take(event(4, 1)).is_err());
        assert!(window.pass(Position(5)).is_ok());
        assert_eq!(window.watermark(), Position(5));
    }

    #[test]
    fn a_full_window_has_no_room_until_something_settles() {
        let mut window = Window::new(Position(0), 2);
        let first = window.take(event(1, 1)).unwrap().unwrap();
        assert!(window.take(event(2, 1)).unwrap().is_none());
        assert_eq!(window.room(), 0);
        let second = window.settle(&first).unwrap();
        assert_eq!((window.watermark(), window.room()), (Position(1), 1));
        assert!(window.settle(&second).is_none());
        assert_eq!((window.watermark(), window.open()), (Position(2), 0));
    }

    #[test]
    fn an_event_that_fails_for_a_minute_stops_nobody_in_a_busy_shard() {
        let mut window = Window::new(Position(0), 256);
        let failing = window.take(event(1, 1)).unwrap().unwrap();
        for position in 2..=2_000 * 60 {
            assert!(window.room() > 0, "no room at {position}");
            if position % 10 == 0 {
                let other = window.take(event(position, 2)).unwrap().unwrap();
                assert!(window.settle(&other).is_none());
            } else {
                window.pass(Position(position)).unwrap();
            }
        }
        assert_eq!(window.watermark(), Position(0));
        window.settle(&failing);
        assert_eq!(window.watermark(), Position(2_000 * 60));
    }

    proptest! {
        /// Whatever finishes first, the watermark stays below every event that is not settled, and
        /// no event starts before the earlier ones of its entity have settled.
        #[test]
        fn any_order_of_completion_keeps_the_watermark_honest(
            kinds in proptest::collection::vec(0_u8..6, 1..80),
            picks in proptest::collection::vec(any::<proptest::sample::Index>(), 200),
            limit in 1_usize..20,
        ) {
            let mut window = Window::new(Position(0), limit);
            let mut unread: VecDeque<_> = kinds.iter().zip(1_i64..).collect();
            let mut running: Vec<Arc<Recorded>> = Vec::new();
            let mut unsettled: Vec<Arc<Recorded>> = Vec::new();
            let mut picks = picks.into_iter().cycle();
            loop {
                while window.room() > 0 {
                    let Some((kind, position)) = unread.pop_front() else { break };
                    if *kind == 0 {
                        window.pass(Position(position)).unwrap();
                        continue;
                    }
                    let event = event(position, *kind);
                    unsettled.push(Arc::clone(&event));
                    running.extend(window.take(event).unwrap());
                }
                prop_assert!(window.open() <= limit);
                if running.is_empty() {
                    break;
                }
                let done = running.swap_remove(picks.next().unwrap().index(running.len()));
                unsettled.retain(|event| event.position != done.position);
                if let Some(next) = window.settle(&done) {
                    prop_assert_eq!(&next.entity, &done.entity);
                    prop_assert!(next.position > done.position);
                    running.push(next);
                }
                for event in &unsettled {
                    prop_assert!(window.watermark() < event.position);
                }
                for event in &running {
                    let earlier = unsettled
                        .iter()
                        .any(|other| other.entity == event.entity && other.position < event.position);
                    prop_assert!(!earlier);
                }
            }
            prop_assert!(unread.is_empty() && unsettled.is_empty());
            prop_assert_eq!(window.watermark(), Position(i64::try_from(kinds.len()).unwrap()));
        }
    }
}
