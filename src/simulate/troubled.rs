//! The relay's book, unreachable for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::auditor::Auditor;
use crate::domain::{EntityId, Millis};
use crate::relay::book::{Book, BookFault, MemoryBook, Move, Moved, Standing};
use crate::relay::dead_letter::{DeadLetter, LetterCount, LetterFilter, LetterState, NewLetter};

/// After how long an unreachable book is given up.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// A book that can be out of reach.
#[derive(Clone, Debug)]
pub struct TroubledBook {
    inner: Arc<MemoryBook>,
    down: Arc<AtomicBool>,
    auditor: Auditor,
}

impl TroubledBook {
    /// A book whose letters the auditor hears of.
    #[must_use]
    pub fn heard_by(auditor: &Auditor) -> Self {
        Self {
            inner: Arc::default(),
            down: Arc::default(),
            auditor: auditor.clone(),
        }
    }

    /// Takes it out of reach, or back.
    pub fn down(&self, down: bool) {
        self.down.store(down, Relaxed);
    }

    async fn reach(&self) -> Result<&MemoryBook, BookFault> {
        if self.down.load(Relaxed) {
            tokio::time::sleep(GIVEN_UP).await;
            return Err(BookFault::Late {
                action: "be reached",
                limit: GIVEN_UP,
            });
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl Book for TroubledBook {
    async fn standing(&self) -> Result<Standing, BookFault> {
        self.reach().await?.standing().await
    }

    async fn save(&self, moves: &[Move]) -> Result<Vec<Moved>, BookFault> {
        self.reach().await?.save(moves).await
    }

    async fn bury(&self, letter: &NewLetter) -> Result<(), BookFault> {
        self.reach().await?.bury(letter).await?;
        self.auditor.buried(letter);
        Ok(())
    }

    async fn is_blocked(&self, consumer: &str, entity: &EntityId) -> Result<bool, BookFault> {
        self.reach().await?.is_blocked(consumer, entity).await
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, BookFault> {
        self.reach().await?.letters(filter, after, limit).await
    }

    async fn letter(&self, id: Uuid) -> Result<Option<DeadLetter>, BookFault> {
        self.reach().await?.letter(id).await
    }

    async fn take(&self, id: Uuid, now: Millis, until: Millis) -> Result<Option<DeadLetter>, BookFault> {
        self.reach().await?.take(id, now, until).await
    }

    async fn put_back(
        &self,
        id: Uuid,
        state: LetterState,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<(), BookFault> {
        self.reach().await?.put_back(id, state, reason, now).await
    }

    async fn count(&self) -> Result<Vec<LetterCount>, BookFault> {
        self.reach().await?.count().await
    }
}
