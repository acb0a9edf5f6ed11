//! The tables, as maps. Every method is one statement: all of it or nothing.

mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::planted::{self, Bug};
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{
    Batch, Cause, Epoch, History, Orphans, Position, Recorded, Remember, Remembered, RequestKey, Sequence,
    Snapshot, Survey, Timer, TimerChange, WriteFault,
};

/// Everything that is stored. The maps are ordered, so that nothing depends on a hash's seed.
#[derive(Debug, Default)]
pub struct Store {
    epochs: BTreeMap<Shard, Epoch>,
    /// Who owns each shard, unless it was given back.
    owners: BTreeMap<Shard, String>,
    /// By node: the incarnation, and until when it is a member.
    members: BTreeMap<String, (String, Duration)>,
    /// Each shard's events; the first has position 1.
    events: BTreeMap<Shard, Vec<Recorded>>,
    sequences: BTreeMap<EntityId, BTreeMap<Sequence, (Shard, Position)>>,
    timers: BTreeMap<EntityId, (Shard, Millis)>,
    remembered: BTreeMap<RequestKey, Remembered>,
    snapshots: BTreeMap<EntityId, Snapshot>,
}

impl Store {
    /// The epoch a shard is held under; 0 before the first claim.
    pub fn epoch(&self, shard: Shard) -> Epoch {
        self.epochs.get(&shard).copied().unwrap_or_default()
    }

    pub fn write(&mut self, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
        let after = batch.check()?;
        let (mut open, mut moved) = (BTreeSet::new(), Vec::new());
        for (&(shard, epoch), after) in batch.held.iter().zip(after) {
            let current = self.epochs.get(&shard) == Some(&epoch) || planted::is(Bug::NoEpochCheck);
            let follows = after.is_none_or(|after| after.0 == 0 || after <= self.head(shard))
                || planted::is(Bug::PositionGap);
            if current && follows {
                open.insert(shard);
            } else {
                moved.push(shard);
            }
        }
        let appends = || {
            batch
                .appends
                .iter()
                .filter(|(append, _)| open.contains(&append.shard))
        };

        let mut sequences = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for (append, first) in appends() {
            if !append.events.is_empty() && *first <= self.head(append.shard) {
                // Of the first in its shard only: the batch's positions follow one another.
                return Err(conflict("journal_position"));
            }
            let known = self.sequences.get(&append.entity);
            for sequence in (append.after.0 + 1..=append.through().0).map(Sequence) {
                let taken = known.is_some_and(|known| known.contains_key(&sequence));
                if taken || !sequences.insert((&append.entity, sequence)) {
                    return Err(conflict("journal_sequence"));
                }
            }
            if let Some(Remember { key, .. }) = append.remember
                && (self.remembered.contains_key(&key) || !keys.insert(key))
            {
                return Err(conflict("remembered_pk"));
            }
        }

        for (append, first) in appends() {
            for (offset, event) in (0..).zip(&append.events) {
                let recorded = Recorded {
                    shard: append.shard,
                    position: Position(first.0 + offset),
                    entity: append.entity.clone(),
                    sequence: Sequence(append.after.0 + 1 + offset),
                    epoch: append.epoch,
                    version: event.version,
                    operation: append.operation,
                    recorded_at: append.at,
                    payload: event.payload.clone(),
                };
                self.sequences
                    .entry(append.entity.clone())
                    .or_default()
                    .insert(recorded.sequence, (append.shard, recorded.position));
                self.events.entry(append.shard).or_default().push(recorded);
            }
            match append.timer {
                TimerChange::Keep => {}
                TimerChange::Set(due_at) => {
                    self.timers.insert(append.entity.clone(), (append.shard, due_at));
                }
                TimerChange::Clear => {
                    self.timers.remove(&append.entity);
                }
            }
            if let Some(Remember { key, body }) = append.remember {
                let answer = Remembered {
                    body,
                    entity: append.entity.clone(),
                    sequence: append.through(),
                    at: append.at,
                };
                self.remembered.insert(key, answer);
            }
        }
        Ok(moved)
    }

    pub fn load(&self, entity: &EntityId) -> History {
        let snapshot = self.snapshots.get(entity).cloned();
        let after = snapshot
            .as_ref()
            .map_or(Sequence(0), |snapshot| snapshot.sequence);
        History {
            snapshot,
            events: self.events(entity, after, Sequence(i64::MAX)),
        }
    }

    pub fn events(&self, entity: &EntityId, after: Sequence, until: Sequence) -> Vec<Recorded> {
        let Some(sequences) = self.sequences.get(entity).filter(|_| after < until) else {
            return Vec::new();
        };
        sequences
            .range(after.next()..=until)
            .filter_map(|(_, &(shard, position))| self.at(shard, position).cloned())
            .collect()
    }

    pub fn read(&self, shard: Shard, after: Position, limit: usize) -> Vec<Recorded> {
        let skip = usize::try_from(after.0).unwrap_or(0);
        let events = self.events.get(&shard).into_iter().flatten();
        events.skip(skip).take(limit).cloned().collect()
    }

    pub fn head(&self, shard: Shard) -> Position {
        let last = self.events.get(&shard).and_then(|events| events.last());
        last.map_or(Position(0), |event| event.position)
    }

    pub fn timers(&self, shard: Shard) -> Vec<Timer> {
        let mut timers: Vec<Timer> = self
            .timers
            .iter()
            .filter(|(_, (of, _))| *of == shard)
            .map(|(entity, &(_, due_at))| Timer {
                entity: entity.clone(),
                due_at,
            })
            .collect();
        timers.sort_by_key(|timer| timer.due_at);
        timers
    }

    pub fn keep_snapshot(&mut self, shard: Shard, snapshot: &Snapshot) {
        let current = self.epochs.get(&shard) == Some(&snapshot.epoch);
        let kept = self.snapshots.get(&snapshot.entity);
        let newer = kept.is_none_or(|kept| kept.sequence < snapshot.sequence);
        if current && newer {
            self.snapshots.insert(snapshot.entity.clone(), snapshot.clone());
        }
    }

    pub fn remembered(&self, key: RequestKey) -> Option<Remembered> {
        self.remembered.get(&key).cloned()
    }

    pub fn survey(&self, from: &[(Shard, Position)]) -> Survey {
        let mut survey = Survey::default();
        for &(shard, after) in from {
            let (mut position, mut epoch) = (after, Epoch(0));
            for event in self.read(shard, after, usize::MAX) {
                survey.checked += 1;
                survey.gaps += u64::try_from(event.position.0 - position.0 - 1).unwrap_or(0);
                survey.regressions += u64::from(event.epoch < epoch);
                (position, epoch) = (event.position, event.epoch);
            }
            survey.heads.push((shard, position));
            survey.events += u64::try_from(position.0).unwrap_or(0);
        }
        survey
    }

    pub fn orphans(&self) -> Orphans {
        let lost = |answer: &&Remembered| {
            let there = self
                .sequences
                .get(&answer.entity)
                .is_some_and(|known| known.contains_key(&answer.sequence));
            answer.sequence > Sequence(0) && !there
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Orphans {
            remembered: count(self.remembered.len()),
            orphans: count(self.remembered.values().filter(lost).count()),
        }
    }

    pub fn forget(&mut self, before: Millis, limit: u32) -> u64 {
        let mut old: Vec<(Millis, RequestKey)> = self
            .remembered
            .iter()
            .filter(|(_, answer)| answer.at < before)
            .map(|(key, answer)| (answer.at, *key))
            .collect();
        old.sort_unstable();
        old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for (_, key) in &old {
            self.remembered.remove(key);
        }
        u64::try_from(old.len()).unwrap_or(u64::MAX)
    }

    fn at(&self, shard: Shard, position: Position) -> Option<&Recorded> {
        let index = usize::try_from(position.0 - 1).ok()?;
        self.events.get(&shard)?.get(index)
    }
}

fn conflict(constraint: &str) -> WriteFault {
    WriteFault::NotWritten {
        reason: format!("duplicate key value violates unique constraint {constraint:?}"),
        cause: Cause::Constraint(constraint.to_owned()),
    }
}
