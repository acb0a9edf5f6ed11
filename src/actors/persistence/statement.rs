//! A statement: appends and who waits for them, and how it is taken apart when it is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Listener;
use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Shard};
use crate::journal::{Append, Batch, Epoch, Position, Recorded, Sequence};

/// Who waits for an append: the listener's number for it, and the listener.
pub(super) type Waiting = (u64, Arc<dyn Listener>);

/// A statement under way, or about to be.
pub struct Statement {
    pub(super) batch: Batch,
    /// For each append of the batch, in order.
    pub(super) waiting: Vec<Waiting>,
}

impl Statement {
    /// Appends of nobody yet, of shards that are held so.
    pub(super) fn of(held: Vec<(Shard, Epoch)>) -> Self {
        Self {
            batch: Batch {
                held,
                appends: vec![],
            },
            waiting: vec![],
        }
    }

    /// Adds an append; its position is [given](Self::place) before the statement is sent.
    pub(super) fn push(&mut self, append: Append, waiting: Waiting) {
        self.batch.appends.push((append, Position::default()));
        self.waiting.push(waiting);
    }

    /// Gives every append its position, each shard's after its head; answers with the new heads.
    pub(super) fn place(&mut self, head: impl Fn(Shard) -> Position) -> BTreeMap<Shard, Position> {
        let mut heads = BTreeMap::new();
        for (append, first) in &mut self.batch.appends {
            let last = heads.entry(append.shard).or_insert_with(|| head(append.shard));
            *first = last.next();
            *last = Position(last.0 + i64::try_from(append.events.len()).unwrap_or(0));
            if planted::is(Bug::PositionGap) && append.events.len() > 1 {
                *last = last.next();
            }
        }
        heads
    }

    /// The head of a shard before this statement.
    pub(super) fn base(&self, shard: Shard) -> Option<Position> {
        let appends = &self.batch.appends;
        let first = appends.iter().find(|(append, _)| append.shard == shard);
        first.map(|(_, first)| Position(first.0 - 1))
    }

    /// Whether who waits for it may send appends that follow.
    pub(super) fn sends_more(&self) -> bool {
        self.waiting.iter().any(|(_, listener)| listener.sends_more())
    }

    /// Its parts, each to be tried alone: each shard, or, of one shard, each half of the entities. None
    /// when there is but one entity.
    pub(super) fn parts(self) -> Result<Vec<Self>, Self> {
        if self.batch.held.len() > 1 {
            let shards: HashMap<Shard, usize> =
                self.batch.held.iter().map(|(shard, _)| *shard).zip(0..).collect();
            let parts = self.batch.held.iter().map(|held| Self::of(vec![*held])).collect();
            return Ok(self.share(parts, |append| shards.get(&append.shard).copied()));
        }
        let mut entities: HashMap<EntityId, usize> = HashMap::new();
        for (append, _) in &self.batch.appends {
            let number = entities.len();
            entities.entry(append.entity.clone()).or_insert(number);
        }
        if entities.len() < 2 {
            return Err(self);
        }
        let half = entities.len() / 2;
        let parts = vec![
            Self::of(self.batch.held.clone()),
            Self::of(self.batch.held.clone()),
        ];
        Ok(self.share(parts, |append| {
            entities
                .get(&append.entity)
                .map(|number| usize::from(*number >= half))
        }))
    }

    /// Hands its appends out among parts, in order.
    fn share(self, mut parts: Vec<Self>, which: impl Fn(&Append) -> Option<usize>) -> Vec<Self> {
        for ((append, _), waiting) in self.batch.appends.into_iter().zip(self.waiting) {
            if let Some(part) = which(&append).and_then(|which| parts.get_mut(which)) {
                part.push(append, waiting);
            }
        }
        parts
    }
}

/// The events of an append as they now stand in the journal.
pub(super) fn recorded(append: Append, first: Position) -> impl Iterator<Item = Recorded> {
    let Append {
        entity,
        shard,
        epoch,
        after,
        operation,
        at,
        ..
    } = append;
    append
        .events
        .into_iter()
        .zip(0_i64..)
        .map(move |(event, n)| Recorded {
            shard,
            position: Position(first.0 + n),
            entity: entity.clone(),
            sequence: Sequence(after.0 + 1 + n),
            epoch,
            version: event.version,
            operation,
            recorded_at: at,
            payload: event.payload,
        })
}
