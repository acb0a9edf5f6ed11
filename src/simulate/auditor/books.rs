//! The auditor's books: what is committed, entity by entity, and what may be said of it.

use std::collections::{BTreeMap, BTreeSet};

use super::order::OrderBook;
use super::stock::StockBook;
use super::{Checked, Violation, broken};
use crate::actors::Hosted;
use crate::cluster::Answer;
use crate::domain::id::OperationId;
use crate::domain::{Entity, EntityId, Kind, Millis, Shard};
use crate::journal::{Epoch, MemoryJournal, Position, Recorded, Sequence, stored};

pub(super) struct Books {
    pub journal: MemoryJournal,
    seen: BTreeMap<Shard, (Epoch, Position)>,
    pub histories: BTreeMap<EntityId, Vec<Recorded>>,
    pub operations: BTreeMap<OperationId, (EntityId, Sequence)>,
    /// Operations that were answered and changed nothing: they never will.
    pub over: BTreeSet<OperationId>,
    pub stock: StockBook,
    pub orders: OrderBook,
}

impl Books {
    pub fn new(journal: &MemoryJournal) -> Self {
        Self {
            journal: journal.clone(),
            seen: BTreeMap::new(),
            histories: BTreeMap::new(),
            operations: BTreeMap::new(),
            over: BTreeSet::new(),
            stock: StockBook::default(),
            orders: OrderBook::default(),
        }
    }

    pub fn head(&self, entity: &EntityId) -> Sequence {
        let events = self.histories.get(entity).map_or(0, Vec::len);
        Sequence(i64::try_from(events).unwrap_or(i64::MAX))
    }

    pub fn observe(&mut self) -> Checked {
        let mut fresh = Vec::new();
        for shard in self.journal.shard_count().all() {
            let (epoch, position) = self.seen.get(&shard).copied().unwrap_or_default();
            let (now, events) = self.journal.committed_after(shard, position);
            let mut last = position;
            for recorded in events {
                if recorded.position != last.next() {
                    return broken(
                        "I5",
                        format!("shard {shard}: position {} follows {last}", recorded.position),
                    );
                }
                if recorded.epoch < epoch {
                    return broken(
                        "I5",
                        format!(
                            "{} was written under epoch {} of shard {shard} after epoch {epoch} was taken",
                            recorded.entity, recorded.epoch
                        ),
                    );
                }
                last = recorded.position;
                fresh.push(recorded);
            }
            self.seen.insert(shard, (now, last));
        }
        for recorded in &fresh {
            self.enter(recorded)?;
        }
        for recorded in &fresh {
            self.cross_check(recorded)?;
        }
        Ok(())
    }

    fn enter(&mut self, recorded: &Recorded) -> Checked {
        let entity = &recorded.entity;
        let expected = self.head(entity).next();
        if recorded.sequence != expected {
            return broken(
                "I5",
                format!(
                    "{entity}: sequence {} where {expected} is next",
                    recorded.sequence
                ),
            );
        }
        if let Some(operation) = recorded.operation {
            if self.over.contains(&operation) {
                return broken(
                    "I4",
                    format!(
                        "{entity} did operation {operation} after it was answered without having changed anything"
                    ),
                );
            }
            let before = self.operations.get(&operation);
            // One decision may be several events, one after the other.
            let continues = before.is_some_and(|(of, at)| of == entity && at.next() == recorded.sequence);
            if before.is_some() && !continues {
                return broken("I4", format!("{entity} did operation {operation} twice"));
            }
            self.operations
                .insert(operation, (entity.clone(), recorded.sequence));
        }
        match entity.kind() {
            Kind::Stock => self.stock.enter(recorded)?,
            Kind::Order => self.orders.enter(recorded)?,
            Kind::Cart => self.orders.enter_cart(recorded)?,
            Kind::Product => {}
            Kind::Unknown => return broken("I5", format!("{entity} names nobody")),
        }
        self.histories
            .entry(entity.clone())
            .or_default()
            .push(recorded.clone());
        Ok(())
    }

    fn cross_check(&self, recorded: &Recorded) -> Checked {
        match recorded.entity.kind() {
            Kind::Stock => self.stock.check(recorded, &self.orders),
            Kind::Order => self.orders.check(recorded, &self.stock),
            Kind::Cart | Kind::Product | Kind::Unknown => Ok(()),
        }
    }

    pub fn state<E: Entity>(&self, entity: &EntityId, at: Sequence) -> Result<E, Violation> {
        let mut state = E::default();
        let until = usize::try_from(at.0).unwrap_or(0);
        for recorded in self.histories.get(entity).into_iter().flatten().take(until) {
            match stored::decode::<E>(recorded) {
                Ok(event) => state.apply(&event),
                Err(fault) => return broken("I5", format!("an event of {entity} cannot be read: {fault}")),
            }
        }
        Ok(state)
    }

    pub fn answered<E: Hosted>(
        &self,
        entity: &EntityId,
        floor: Sequence,
        done: Option<(&E::Command, OperationId)>,
        answer: &Answer<E::View>,
    ) -> Checked {
        let head = self.head(entity);
        let shown = answer.sequence;
        if shown < floor {
            return broken(
                "I8",
                format!("{entity} showed {shown} when {floor} had been committed before it was asked"),
            );
        }
        if shown > head {
            return broken(
                "I1",
                format!("{entity} answered at {shown}, and only {head} is committed"),
            );
        }
        let state: E = self.state(entity, shown)?;
        if as_text(&state.view()) != as_text(&answer.view) {
            return broken(
                "I5",
                format!("{entity} at {shown} showed what its events do not say"),
            );
        }
        if let Some(last) = usize::try_from(shown.0 - 1)
            .ok()
            .and_then(|n| self.histories.get(entity)?.get(n))
            && (answer.token.shard != last.shard || answer.token.position < last.position)
        {
            return broken(
                "I8",
                format!(
                    "{entity}: the token {} does not cover what was shown at {shown}",
                    answer.token
                ),
            );
        }
        let Some((command, operation)) = done else {
            return Ok(());
        };
        match self.operations.get(&operation) {
            Some((of, _)) if of != entity => broken(
                "I4",
                format!("operation {operation} was done by {of} instead of {entity}"),
            ),
            Some((_, at)) if *at > shown => broken(
                "I1",
                format!("{entity} acknowledged {operation} without showing it"),
            ),
            Some(_) => Ok(()),
            None if answer.repeated => broken(
                "I1",
                format!("{entity} says it did {operation} before, and it never did"),
            ),
            // Only a command that changes nothing leaves nothing in the journal.
            None => match state.decide(command, Millis::default()) {
                Ok(events) if events.is_empty() => Ok(()),
                _ => broken(
                    "I1",
                    format!("{entity} acknowledged {operation}, which is not in the journal"),
                ),
            },
        }
    }

    pub fn refused<E: Hosted>(
        &self,
        entity: &EntityId,
        floor: Sequence,
        command: &E::Command,
        refusal: &E::Refusal,
    ) -> Checked {
        for at in floor.0..=self.head(entity).0 {
            let state: E = self.state(entity, Sequence(at))?;
            if state.decide(command, Millis::default()).as_ref() == Err(refusal) {
                return Ok(());
            }
        }
        broken(
            "I8",
            format!("{entity} refused with \"{refusal}\", and no committed state of that time does"),
        )
    }

    pub fn settled(&self, over: bool) -> Checked {
        self.orders.settled(over)?;
        self.stock.settled(over, &self.orders)
    }
}

fn as_text<T: serde::Serialize>(shown: &T) -> String {
    serde_json::to_string(shown).unwrap_or_else(|error| error.to_string())
}
