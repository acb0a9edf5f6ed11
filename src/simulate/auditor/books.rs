//! The auditor's books: what is committed, entity by entity, and what may be said of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asked::AskedBook;
use super::cart::CartBook;
use super::order::OrderBook;
use super::product::ProductBook;
use super::stock::StockBook;
use super::{Checked, Violation, broken};
use crate::domain::cart::Cart;
use crate::domain::id::OperationId;
use crate::domain::order::{self, Draft, Order};
use crate::domain::payment::IntentId;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{Entity, EntityId, Kind, Millis, Shard};
use crate::journal::{Epoch, MemoryJournal, Position, Recorded, Sequence, Snapshot, stored};

use crate::provider::intent::Intent;
use crate::provider::{MemoryBooks, Stage};

/// How many of its newest operations a snapshot must know at least.
const REMEMBERED: usize = 100;

pub(super) struct Books {
    pub journal: MemoryJournal,
    seen: BTreeMap<Shard, (Epoch, Position)>,
    pub histories: BTreeMap<EntityId, Vec<Recorded>>,
    pub operations: BTreeMap<OperationId, (EntityId, Sequence)>,
    /// Operations that were answered and changed nothing: they never will.
    pub over: BTreeSet<OperationId>,
    /// What was asked, of operations that were told of.
    pub asked: AskedBook,
    pub stock: StockBook,
    pub orders: OrderBook,
    /// What the provider has done, if that is known.
    pub provider: Option<Arc<MemoryBooks>>,
    pub carts: CartBook,
    products: ProductBook,
    folds: Folds,
}

/// What the committed events fold to, entity by entity.
#[derive(Default)]
struct Folds {
    carts: BTreeMap<EntityId, Cart>,
    orders: BTreeMap<EntityId, Order>,
    products: BTreeMap<EntityId, Product>,
    stocks: BTreeMap<EntityId, Stock>,
}

impl Folds {
    /// What an entity's committed events fold to.
    fn of<E: Entity>(&self, entity: &EntityId) -> Option<&E> {
        let all: &dyn Any = match E::KIND {
            Kind::Cart => &self.carts,
            Kind::Order => &self.orders,
            Kind::Product => &self.products,
            Kind::Stock => &self.stocks,
            Kind::Unknown => return None,
        };
        all.downcast_ref::<BTreeMap<EntityId, E>>()?.get(entity)
    }
}

/// Folds one more event into an entity.
fn fold<'a, E: Entity>(
    all: &'a mut BTreeMap<EntityId, E>,
    recorded: &Recorded,
) -> Result<(E::Event, &'a E), Violation> {
    let event = stored::decode::<E>(recorded).or_else(|fault| broken("I5", fault.to_string()))?;
    let state = all.entry(recorded.entity.clone()).or_default();
    state.apply(&event);
    Ok((event, state))
}

impl Books {
    pub fn new(journal: &MemoryJournal) -> Self {
        Self {
            journal: journal.clone(),
            seen: BTreeMap::new(),
            histories: BTreeMap::new(),
            operations: BTreeMap::new(),
            over: BTreeSet::new(),
            asked: AskedBook::default(),
            stock: StockBook::default(),
            orders: OrderBook::default(),
            provider: None,
            carts: CartBook::default(),
            products: ProductBook::default(),
            folds: Folds::default(),
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
        self.have_timers(&fresh)
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
            Kind::Stock => {
                let (event, now) = fold(&mut self.folds.stocks, recorded)?;
                self.stock.enter(recorded, &event, now)?;
            }
            Kind::Order => {
                let (event, now) = fold(&mut self.folds.orders, recorded)?;
                self.orders.enter(recorded, &event, now)?;
                if let Some(provider) = &self.provider {
                    let draft = entity
                        .key()
                        .parse()
                        .ok()
                        .and_then(|order| self.orders.draft(order));
                    honest(recorded, &event, draft.as_deref(), provider)?;
                }
            }
            Kind::Cart => {
                let (event, now) = fold(&mut self.folds.carts, recorded)?;
                self.carts.enter(recorded, &event, now)?;
                self.orders.enter_cart(&event)?;
            }
            Kind::Product => {
                let (event, now) = fold(&mut self.folds.products, recorded)?;
                self.products.enter(recorded, &event, now)?;
            }
            Kind::Unknown => return broken("I5", format!("{entity} names nobody")),
        }
        self.asked.check(recorded)?;
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
        if at == self.head(entity)
            && let Some(now) = self.folds.of::<E>(entity)
        {
            return Ok(now.clone());
        }
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

    /// Whether a snapshot is what the committed events fold to, with the operations they were done by.
    pub fn is_true<E: Entity>(&self, snapshot: &Snapshot) -> Checked {
        let Snapshot {
            entity,
            sequence,
            position,
            ..
        } = snapshot;
        let resting =
            stored::decode_snapshot::<E>(snapshot).or_else(|fault| broken("I5", fault.to_string()))?;
        let events = self.until(entity, *sequence);
        let mut done: Vec<(OperationId, Sequence)> = Vec::new();
        for recorded in events {
            match (recorded.operation, done.last_mut()) {
                (Some(operation), Some((last, _))) if operation == *last => {}
                (Some(operation), _) => done.push((operation, recorded.sequence)),
                (None, _) => {}
            }
        }
        let newest = done.iter().rev().take(REMEMBERED);
        let forgotten = newest
            .filter(|(operation, _)| !resting.operations.iter().any(|(known, _)| known == operation))
            .count();
        // The position is of this event, or of a later one that was committed with it.
        let of = self.histories.get(entity).into_iter().flatten();
        let positions = of.skip(events.len().saturating_sub(1));
        let stands = positions
            .map(|recorded| recorded.position)
            .any(|at| at == *position);
        if resting.state != self.state(entity, *sequence)? || !stands {
            return broken(
                "I5",
                format!("a snapshot of {entity} at {sequence} is not what happened"),
            );
        }
        if forgotten > 0 {
            return broken(
                "I4",
                format!("a snapshot of {entity} at {sequence} forgets {forgotten} operations"),
            );
        }
        Ok(())
    }

    /// Whether the journal has the timers that are needed, and no others.
    pub fn has_timers(&self, timers: &BTreeMap<EntityId, Millis>) -> Checked {
        for entity in self.histories.keys() {
            self.has_timer(entity, timers.get(entity).copied())?;
        }
        Ok(())
    }

    pub fn settled(&self, over: bool) -> Checked {
        self.orders.settled(over)?;
        self.stock.settled(over, &self.orders)
    }
}

/// Whether the provider has done what an order says of its money.
fn honest(
    recorded: &Recorded,
    event: &order::Event,
    draft: Option<&Draft>,
    provider: &MemoryBooks,
) -> Checked {
    use order::Event;
    let known = |has: &dyn Fn(&Intent) -> bool| {
        let order = recorded.entity.key().parse().ok();
        let all = provider.all();
        all.iter()
            .any(|intent| order.map(IntentId::of) == Some(intent.id) && has(intent))
    };
    let done = match event {
        Event::Authorised { .. } => known(&|intent| {
            matches!(
                intent.stage,
                Some(Stage::Authorised | Stage::Captured | Stage::Voided)
            ) && draft.is_some_and(|draft| {
                (intent.amount, &intent.token) == (draft.totals.total, &draft.payment.token)
            })
        }),
        // Some refuse without a word.
        Event::Declined { code, .. } => known(&|intent| {
            let still_open = matches!(intent.stage, Some(Stage::RequiresAction | Stage::Authorised));
            !still_open && intent.decline_code.as_ref().is_none_or(|said| said == code)
        }),
        Event::Captured { amount, .. } => known(&|intent| intent.captured == amount.amount),
        Event::Voided { .. } => {
            known(&|intent| matches!(intent.stage, Some(Stage::Voided | Stage::Declined)))
        }
        Event::Refunded { refund, amount, .. } => {
            known(&|intent| intent.refunds.contains(&(*refund, amount.amount)))
        }
        _ => true,
    };
    if done {
        Ok(())
    } else {
        broken(
            "I2",
            format!(
                "{} says of its money what the provider has not done",
                recorded.entity
            ),
        )
    }
}

pub(super) fn as_text<T: serde::Serialize>(shown: &T) -> String {
    serde_json::to_string(shown).unwrap_or_else(|error| error.to_string())
}
