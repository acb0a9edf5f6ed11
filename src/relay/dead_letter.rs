//! Dead letters: events a consumer could not handle within its budget, kept for an operator.
//!
//! A letter names its event by shard and position; the event itself stays in the journal. A redrive
//! hands the event to its consumer once more. One that keeps failing is parked, so that nobody
//! redrives it in a circle; only naming it by its id tries it again.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracing::Instrument as _;
use uuid::Uuid;

use super::attempt::{span_of, trace_of, try_once};
use super::book::{Book, BookFault};
use super::runtime::Relay;
use super::{AfterDeadLetter, Consumer};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{JournalFault, Position, Recorded, Sequence};

/// After this many redrives a letter is parked.
pub const REDRIVE_LIMIT: u32 = 5;
/// How many letters one redrive takes at most.
pub const REDRIVE_BATCH: u32 = 500;
/// How long a redrive of many goes on taking letters; what it has not reached by then is left.
pub const REDRIVE_TIME: Duration = Duration::from_secs(20);
/// How long one try of a redrive may take, if its consumer has more patience than that: somebody
/// waits for the answer.
const TRY_LIMIT: Duration = Duration::from_secs(30);
/// How long a letter stays taken if whoever took it is gone.
const TAKEN_SECONDS: i64 = 120;

/// What becomes of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Waits for a redrive.
    Waiting,
    /// Was handled in the end.
    Done,
    /// Redriven in vain too often.
    Parked,
}

impl LetterState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::Parked];

    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Parked => "parked",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A letter about to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// Its id, rising with time.
    pub id: Uuid,
    /// Who could not handle the event.
    pub consumer: &'static str,
    /// The event's shard.
    pub shard: Shard,
    /// The event's position.
    pub position: Position,
    /// Whose event it is.
    pub entity: EntityId,
    /// Its place in the entity.
    pub sequence: Sequence,
    /// What went wrong last, with all its causes.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether later events of the entity wait for it.
    pub blocks: bool,
    /// When.
    pub at: Millis,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its id, rising with time.
    pub id: Uuid,
    /// Who could not handle the event.
    pub consumer: String,
    /// The event's shard.
    pub shard: Shard,
    /// The event's position.
    pub position: Position,
    /// Whose event it is.
    pub entity: EntityId,
    /// Its place in the entity.
    pub sequence: Sequence,
    /// What went wrong last, with all its causes.
    pub reason: String,
    /// How often it was tried before it came here.
    pub attempts: u32,
    /// How often it was redriven.
    pub redrives: u32,
    /// What became of it.
    pub state: LetterState,
    /// Whether later events of the entity wait for it.
    pub waits: bool,
    /// When it came here.
    pub buried_at: Millis,
    /// When it last changed.
    pub changed_at: Millis,
}

impl DeadLetter {
    /// Whether later events of its entity wait for it.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.waits && self.state != LetterState::Done
    }

    /// The trace id of everything its consumer ever did about its event: 32 hexadecimal digits that
    /// stand on each log line of it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        trace_of(&self.consumer, &self.entity, self.sequence)
    }
}

/// What helps a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is done.
    Nothing,
    /// Its consumer may be given the event again.
    Redrive,
    /// It is of a view: once the cause is mended, the view is rebuilt from the journal.
    Rebuild,
    /// This build has no consumer of that name: only one that has can redrive it.
    NoConsumer,
}

impl Remedy {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Redrive => "redrive",
            Self::Rebuild => "rebuild",
            Self::NoConsumer => "no_consumer",
        }
    }
}

impl From<NewLetter> for DeadLetter {
    fn from(new: NewLetter) -> Self {
        Self {
            id: new.id,
            consumer: new.consumer.to_owned(),
            shard: new.shard,
            position: new.position,
            entity: new.entity,
            sequence: new.sequence,
            reason: new.reason,
            attempts: new.attempts,
            redrives: 0,
            state: LetterState::Waiting,
            waits: new.blocks,
            buried_at: new.at,
            changed_at: new.at,
        }
    }
}

/// Which letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Of this consumer.
    pub consumer: Option<String>,
    /// Of this entity.
    pub entity: Option<EntityId>,
    /// In this state.
    pub state: Option<LetterState>,
}

impl LetterFilter {
    /// Whether a letter is meant.
    #[must_use]
    pub fn fits(&self, letter: &DeadLetter) -> bool {
        self.consumer
            .as_ref()
            .is_none_or(|consumer| *consumer == letter.consumer)
            && self.entity.as_ref().is_none_or(|entity| *entity == letter.entity)
            && self.state.is_none_or(|state| state == letter.state)
    }
}

/// How many letters a consumer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterCount {
    /// Whose.
    pub consumer: String,
    /// Waiting for a redrive.
    pub waiting: u64,
    /// Given up.
    pub parked: u64,
}

impl LetterCount {
    /// None.
    #[must_use]
    pub fn none(consumer: &str) -> Self {
        Self {
            consumer: consumer.to_owned(),
            waiting: 0,
            parked: 0,
        }
    }
}

/// What a redrive came to, letter by letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// Which letter.
    pub id: Uuid,
    /// What happened.
    #[serde(flatten)]
    pub outcome: RedriveOutcome,
}

/// What became of one letter in a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RedriveOutcome {
    /// A dry run: it would have been tried.
    WouldTry,
    /// Handled.
    Done,
    /// Failed again, and waits.
    Failed {
        /// Why.
        reason: String,
    },
    /// Failed once too often.
    Parked {
        /// Why.
        reason: String,
    },
    /// Not tried: done before, or somebody else is at it.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Not tried: the time of this redrive was up. It waits for the next one.
    Left,
}

/// A redrive could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RedriveFault {
    /// The book failed.
    #[error(transparent)]
    Book(#[from] BookFault),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalFault),
    /// There is no such letter.
    #[error("there is no such dead letter")]
    Unknown,
}

/// The operators' side of the dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    relay: Relay,
}

impl DeadLetters {
    pub(super) const fn new(relay: Relay) -> Self {
        Self { relay }
    }

    fn book(&self) -> &dyn Book {
        self.relay.book().as_ref()
    }

    /// Letters in the order in which they came, after one of them.
    ///
    /// # Errors
    /// When the book fails.
    pub async fn list(
        &self,
        filter: &LetterFilter,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, BookFault> {
        self.book().letters(filter, after, limit).await
    }

    /// One letter and the event it is about.
    ///
    /// # Errors
    /// When the book or the journal fails, or there is no such letter.
    pub async fn show(&self, id: Uuid) -> Result<(DeadLetter, Option<Recorded>), RedriveFault> {
        let letter = self.book().letter(id).await?.ok_or(RedriveFault::Unknown)?;
        let event = self.event(&letter).await?;
        Ok((letter, event))
    }

    /// Hands one event to its consumer again, also if it is parked.
    ///
    /// # Errors
    /// When the book or the journal fails, or there is no such letter.
    pub async fn redrive(&self, id: Uuid, dry_run: bool) -> Result<Redriven, RedriveFault> {
        let letter = self.book().letter(id).await?.ok_or(RedriveFault::Unknown)?;
        self.redrive_one(&letter, dry_run).await
    }

    /// What helps a letter.
    #[must_use]
    pub fn remedy(&self, letter: &DeadLetter) -> Remedy {
        if letter.state == LetterState::Done {
            Remedy::Nothing
        } else if self.relay.consumer(&letter.consumer).is_some() {
            Remedy::Redrive
        } else if self.relay.has_view(&letter.consumer) {
            Remedy::Rebuild
        } else {
            Remedy::NoConsumer
        }
    }

    /// Hands every waiting event that fits to its consumer again, in their order: at most
    /// [`REDRIVE_BATCH`], and for [`REDRIVE_TIME`]. Parked letters are left alone.
    ///
    /// # Errors
    /// When the book or the journal fails; letters before that are redriven.
    pub async fn redrive_all(
        &self,
        filter: &LetterFilter,
        dry_run: bool,
    ) -> Result<Vec<Redriven>, RedriveFault> {
        let waiting = LetterFilter {
            state: Some(LetterState::Waiting),
            ..filter.clone()
        };
        let mut letters = self.book().letters(&waiting, None, REDRIVE_BATCH).await?;
        // Letters of one moment have ids in no order; their events have one.
        letters.sort_by_key(|letter| (letter.shard, letter.position));
        let clock = self.relay.clock();
        let until = clock.instant() + REDRIVE_TIME;
        let mut redriven = Vec::with_capacity(letters.len());
        for letter in &letters {
            redriven.push(if clock.instant() < until {
                self.redrive_one(letter, dry_run).await?
            } else {
                Redriven {
                    id: letter.id,
                    outcome: RedriveOutcome::Left,
                }
            });
        }
        Ok(redriven)
    }

    async fn redrive_one(&self, letter: &DeadLetter, dry_run: bool) -> Result<Redriven, RedriveFault> {
        let id = letter.id;
        let outcome = match self.obstacle(letter).await? {
            Some(reason) => RedriveOutcome::Skipped { reason },
            None if dry_run => RedriveOutcome::WouldTry,
            None => self.try_again(letter).await?,
        };
        if outcome == RedriveOutcome::Done && letter.waits {
            self.relay
                .recheck(&letter.consumer, letter.shard, letter.entity.clone());
        }
        Ok(Redriven { id, outcome })
    }

    /// Why a letter cannot be redriven now.
    async fn obstacle(&self, letter: &DeadLetter) -> Result<Option<String>, BookFault> {
        let of = &letter.consumer;
        let obstacle = match self.remedy(letter) {
            Remedy::Redrive => None,
            Remedy::Nothing => Some("it was handled before".to_owned()),
            Remedy::Rebuild => Some(format!(
                "{of} is a view: it is rebuilt from the journal, not redriven"
            )),
            Remedy::NoConsumer => Some(format!("this build has no consumer called {of}")),
        };
        if obstacle.is_some() {
            return Ok(obstacle);
        }
        if letter.waits {
            let filter = LetterFilter {
                consumer: Some(letter.consumer.clone()),
                entity: Some(letter.entity.clone()),
                state: None,
            };
            let siblings = self.book().letters(&filter, None, REDRIVE_BATCH).await?;
            if siblings
                .iter()
                .any(|other| other.blocks() && other.position < letter.position)
            {
                return Ok(Some("an earlier letter of its entity comes first".to_owned()));
            }
        }
        Ok(None)
    }

    async fn try_again(&self, letter: &DeadLetter) -> Result<RedriveOutcome, RedriveFault> {
        let clock = self.relay.clock();
        let now = clock.now();
        let Some(taken) = self
            .book()
            .take(letter.id, now, now.plus_seconds(TAKEN_SECONDS))
            .await?
        else {
            return Ok(RedriveOutcome::Skipped {
                reason: "somebody else is at it, or has done it".to_owned(),
            });
        };
        let (Some(consumer), Some(event)) =
            (self.relay.consumer(&letter.consumer), self.event(letter).await?)
        else {
            let reason = "its consumer or its event is gone".to_owned();
            self.book()
                .put_back(letter.id, LetterState::Parked, Some(&reason), now)
                .await?;
            return Ok(RedriveOutcome::Parked { reason });
        };
        let limit = consumer.policy().deadline.min(TRY_LIMIT);
        let tried = try_once(&consumer, &event, limit)
            .instrument(span_of(consumer.name(), &event))
            .await;
        let (state, reason) = match tried {
            Ok(()) => (LetterState::Done, None),
            Err(fault) if taken.redrives >= REDRIVE_LIMIT => (LetterState::Parked, Some(fault.story())),
            Err(fault) => (LetterState::Waiting, Some(fault.story())),
        };
        self.book()
            .put_back(letter.id, state, reason.as_deref(), clock.now())
            .await?;
        tracing::info!(trace_id = letter.trace_id(), letter = %letter.id, consumer = letter.consumer,
            redrives = taken.redrives, state = state.as_str(), reason, "a dead letter was redriven");
        let reason = reason.unwrap_or_default();
        Ok(match state {
            LetterState::Done => RedriveOutcome::Done,
            LetterState::Waiting => RedriveOutcome::Failed { reason },
            LetterState::Parked => RedriveOutcome::Parked { reason },
        })
    }

    async fn event(&self, letter: &DeadLetter) -> Result<Option<Recorded>, JournalFault> {
        let before = Position(letter.position.0 - 1);
        let mut events = self.relay.journal().read(letter.shard, before, 1).await?;
        Ok(events.pop().filter(|event| event.position == letter.position))
    }
}

/// The letter of an event a consumer has given up on.
pub(super) fn letter_of(
    id: Uuid,
    consumer: &Arc<dyn Consumer>,
    event: &Recorded,
    reason: String,
    attempts: u32,
    at: Millis,
) -> NewLetter {
    NewLetter {
        id,
        consumer: consumer.name(),
        shard: event.shard,
        position: event.position,
        entity: event.entity.clone(),
        sequence: event.sequence,
        reason,
        attempts,
        blocks: consumer.policy().afterwards == AfterDeadLetter::Wait,
        at,
    }
}
