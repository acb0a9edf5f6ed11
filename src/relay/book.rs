//! What the relay remembers between two lives: how far each consumer has come, and its dead letters.
//!
//! PostgreSQL keeps the real book; memory keeps the simulated one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::dead_letter::{DeadLetter, LetterCount, LetterFilter, LetterState, NewLetter};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{Epoch, Position};

/// The book could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BookFault {
    /// The database said no.
    #[error("the relay's book failed while it should {action}")]
    Database {
        /// What it was doing.
        action: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("the relay's book did not {action} within {limit:?}")]
    Late {
        /// What it was doing.
        action: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A row cannot be read.
    #[error("a row of the relay's book cannot be read: {0}")]
    Unreadable(String),
}

/// Everything a start needs, in one reading.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// How far each consumer has come in each shard it has seen.
    pub positions: HashMap<(String, Shard), Position>,
    /// Entities whose later events wait for a dead letter.
    pub blocked: HashMap<(String, Shard), Vec<EntityId>>,
}

/// A position to be raised, unless the shard has been held under a newer epoch since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Whose.
    pub consumer: &'static str,
    /// In which shard.
    pub shard: Shard,
    /// Under which epoch of the shard.
    pub epoch: Epoch,
    /// Where it is now.
    pub to: Position,
}

/// What became of a [`Move`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is kept.
    Kept,
    /// The shard is held under a newer epoch; whoever moves this one must stop.
    Fenced,
}

/// The book of the relay.
#[async_trait]
pub trait Book: Send + Sync + std::fmt::Debug + 'static {
    /// Reads what every start needs.
    async fn standing(&self) -> Result<Standing, BookFault>;

    /// Moves positions, all in one statement; answers in the order asked.
    async fn save(&self, moves: &[Move]) -> Result<Vec<Moved>, BookFault>;

    /// Keeps a dead letter. The same event of the same consumer again adds its attempts to it.
    async fn bury(&self, letter: &NewLetter) -> Result<(), BookFault>;

    /// Whether a letter of this entity still waits.
    async fn is_blocked(&self, consumer: &str, entity: &EntityId) -> Result<bool, BookFault>;

    /// Letters in the order of their ids, after one of them.
    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, BookFault>;

    /// One letter.
    async fn letter(&self, id: Uuid) -> Result<Option<DeadLetter>, BookFault>;

    /// Takes a letter for a redrive: counts it and keeps others away until `until`. `None` if it is
    /// done, or taken by somebody else.
    async fn take(&self, id: Uuid, now: Millis, until: Millis) -> Result<Option<DeadLetter>, BookFault>;

    /// Puts a taken letter back with what the redrive came to.
    async fn put_back(
        &self,
        id: Uuid,
        state: LetterState,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<(), BookFault>;

    /// How many letters there are, by consumer.
    async fn count(&self) -> Result<Vec<LetterCount>, BookFault>;
}

/// A book in memory, for simulations.
#[derive(Debug, Default)]
pub struct MemoryBook(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    positions: HashMap<(String, Shard), (Epoch, Position)>,
    letters: BTreeMap<Uuid, (DeadLetter, Millis)>,
}

impl MemoryBook {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Book for MemoryBook {
    async fn standing(&self) -> Result<Standing, BookFault> {
        let pages = self.pages();
        let mut standing = Standing::default();
        for (key, (_, position)) in &pages.positions {
            standing.positions.insert(key.clone(), *position);
        }
        for (letter, _) in pages.letters.values().filter(|(letter, _)| letter.blocks()) {
            let key = (letter.consumer.clone(), letter.shard);
            standing
                .blocked
                .entry(key)
                .or_default()
                .push(letter.entity.clone());
        }
        Ok(standing)
    }

    async fn save(&self, moves: &[Move]) -> Result<Vec<Moved>, BookFault> {
        let mut pages = self.pages();
        Ok(moves
            .iter()
            .map(|moved| {
                let key = (moved.consumer.to_owned(), moved.shard);
                let (epoch, position) = pages.positions.get(&key).copied().unwrap_or_default();
                if epoch > moved.epoch {
                    return Moved::Fenced;
                }
                pages.positions.insert(key, (moved.epoch, moved.to.max(position)));
                Moved::Kept
            })
            .collect())
    }

    async fn bury(&self, new: &NewLetter) -> Result<(), BookFault> {
        let mut pages = self.pages();
        let known = pages
            .letters
            .values_mut()
            .map(|(letter, _)| letter)
            .find(|letter| {
                letter.consumer == new.consumer
                    && letter.shard == new.shard
                    && letter.position == new.position
            });
        match known {
            Some(letter) => {
                letter.attempts += new.attempts;
                letter.reason.clone_from(&new.reason);
            }
            None => {
                pages.letters.insert(new.id, (new.clone().into(), Millis(0)));
            }
        }
        Ok(())
    }

    async fn is_blocked(&self, consumer: &str, entity: &EntityId) -> Result<bool, BookFault> {
        Ok(self
            .pages()
            .letters
            .values()
            .any(|(letter, _)| letter.blocks() && letter.consumer == consumer && letter.entity == *entity))
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, BookFault> {
        Ok(self
            .pages()
            .letters
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| **id > after))
            .map(|(_, (letter, _))| letter)
            .filter(|letter| filter.fits(letter))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .cloned()
            .collect())
    }

    async fn letter(&self, id: Uuid) -> Result<Option<DeadLetter>, BookFault> {
        Ok(self.pages().letters.get(&id).map(|(letter, _)| letter.clone()))
    }

    async fn take(&self, id: Uuid, now: Millis, until: Millis) -> Result<Option<DeadLetter>, BookFault> {
        let mut pages = self.pages();
        let Some((letter, taken_until)) = pages.letters.get_mut(&id) else {
            return Ok(None);
        };
        if letter.state == LetterState::Done || *taken_until > now {
            return Ok(None);
        }
        *taken_until = until;
        letter.redrives += 1;
        Ok(Some(letter.clone()))
    }

    async fn put_back(
        &self,
        id: Uuid,
        state: LetterState,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<(), BookFault> {
        if let Some((letter, taken_until)) = self.pages().letters.get_mut(&id) {
            letter.state = state;
            letter.changed_at = now;
            *taken_until = Millis(0);
            if let Some(reason) = reason {
                reason.clone_into(&mut letter.reason);
            }
        }
        Ok(())
    }

    async fn count(&self) -> Result<Vec<LetterCount>, BookFault> {
        let mut counts: BTreeMap<String, LetterCount> = BTreeMap::new();
        for (letter, _) in self.pages().letters.values() {
            let count = counts
                .entry(letter.consumer.clone())
                .or_insert_with(|| LetterCount::none(&letter.consumer));
            match letter.state {
                LetterState::Waiting => count.waiting += 1,
                LetterState::Parked => count.parked += 1,
                LetterState::Done => {}
            }
        }
        Ok(counts.into_values().collect())
    }
}
