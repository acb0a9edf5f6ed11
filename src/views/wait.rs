//! Reading your own writes from a view: waiting until it has come as far as a write.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::course::Course;
use crate::clock::Clock;
use crate::domain::Shard;
use crate::journal::Position;

/// How long a read waits for a write unless the caller says otherwise.
pub const WAIT_LIMIT: Duration = Duration::from_millis(500);

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The view includes the write.
    Included,
    /// It does not. An answer from it now is this old.
    Behind {
        /// Since when readers have been missing something, as far as this node has noticed.
        age: Duration,
    },
}

/// When readers first missed something, per shard.
#[derive(Debug)]
pub(super) struct Missing(Mutex<Vec<(Shard, Position, Instant)>>);

impl Missing {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Notes that `position` is missing, and says since when something has been.
    fn since(&self, course: &Course, shard: Shard, position: Position, now: Instant) -> Instant {
        let mut missing = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        missing.retain(|(shard, position, _)| course.reached(*shard) < *position);
        if let Some((_, _, since)) = missing.iter().find(|(known, _, _)| *known == shard) {
            return *since;
        }
        missing.push((shard, position, now));
        now
    }
}

/// Waits until `course` has reached `position` in `shard`, at most `limit`.
pub(super) async fn wait_for(
    course: &Course,
    missing: &Missing,
    clock: &Clock,
    shard: Shard,
    position: Position,
    limit: Duration,
) -> Waited {
    if course.reached(shard) >= position {
        return Waited::Included;
    }
    let began = missing.since(course, shard, position, clock.instant());
    if let Some(mut moves) = course.watch(shard) {
        let reached = timeout(limit, moves.wait_for(|reached| *reached >= position)).await;
        if matches!(reached, Ok(Ok(_))) {
            return Waited::Included;
        }
    }
    Waited::Behind {
        age: clock.instant().saturating_duration_since(began),
    }
}
