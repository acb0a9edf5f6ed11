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
use crate::actors::Hosted;
use crate::cluster::Answer;
use crate::domain::cart::Cart;
use crate::domain::id::OperationId;
use crate::domain::order::{self, Draft, Order};
use crate::domain::payment::IntentId;
use crate::domain::product::Product;
use crate::domain::stock::{self, Stock};
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
    carts: CartBook,
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
            // It changed nothing, and is known by its key.
            None if answer.repeated && self.asked.is_keyed(operation) => Ok(()),
            None if answer.repeated => broken(
                "I1",
                format!("{entity} says it did {operation} before, and it never did"),
            ),
            // Only a command that changes nothing leaves nothing in the journal.
            None => match state.decide(command, Millis::default()) {
                Ok(events) if events.is_empty() => self.is_ignorable::<E>(entity, shown, command),
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
        let mut wrong = None;
        for at in floor.0..=self.head(entity).0 {
            let state: E = self.state(entity, Sequence(at))?;
            if state.decide(command, Millis::default()).as_ref() == Err(refusal) {
                match self.is_refusable::<E>(entity, Sequence(at), command, refusal) {
                    Ok(()) => return Ok(()),
                    Err(violation) => wrong = Some(violation),
                }
            }
        }
        wrong.map_or_else(
            || {
                broken(
                    "I8",
                    format!("{entity} refused with \"{refusal}\", and no committed state of that time does"),
                )
            },
            Err,
        )
    }

    fn until(&self, entity: &EntityId, at: Sequence) -> &[Recorded] {
        let events = self.histories.get(entity).map_or(&[][..], Vec::as_slice);
        let count = usize::try_from(at.0).unwrap_or(0).min(events.len());
        &events[..count]
    }

    /// Whether an entity that has come so far may refuse a command: not by what it says itself.
    fn is_refusable<E: Hosted>(
        &self,
        entity: &EntityId,
        at: Sequence,
        command: &E::Command,
        refusal: &E::Refusal,
    ) -> Checked {
        let command: &dyn Any = command;
        let refusal: &dyn Any = refusal;
        let fine = if let (Some(command), Some(refusal)) = (command.downcast_ref(), refusal.downcast_ref()) {
            let order = self.orders.after(entity, self.until(entity, at))?;
            order.may_refuse(command) && order.is_told_right(command, refusal)
        } else if let Some(stock::Command::Adjust { delta, .. }) = command.downcast_ref() {
            let last = self
                .until(entity, at)
                .last()
                .map(super::stock::read)
                .transpose()?;
            let levels = last.map(|event| event.levels).unwrap_or_default();
            let free = i128::from(levels.on_hand) - i128::from(levels.held) - i128::from(levels.sold);
            let told = stock::Refusal::NotThatMany {
                available: u64::try_from(free).unwrap_or(0),
                delta: *delta,
            };
            free + i128::from(*delta) < 0 && refusal.downcast_ref() == Some(&told)
        } else if let Some(command) = command.downcast_ref() {
            CartBook::may_refuse(command, &self.state(entity, at)?)
        } else if let Some(command) = command.downcast_ref() {
            ProductBook::may_refuse(command, &self.state(entity, at)?)
        } else {
            true
        };
        if fine {
            Ok(())
        } else {
            broken(
                "I8",
                format!("{entity} refused at {at} what it must do, or says something else of itself"),
            )
        }
    }

    /// Whether an entity that has come so far may do nothing about a command: not by what it says itself.
    pub fn is_ignorable<E: Hosted>(&self, entity: &EntityId, at: Sequence, command: &E::Command) -> Checked {
        let command: &dyn Any = command;
        let fine = if let Some(command) = command.downcast_ref() {
            self.orders
                .after(entity, self.until(entity, at))?
                .may_ignore(command)
        } else if let Some(command) = command.downcast_ref() {
            self.carts.may_ignore(entity, command, &self.state(entity, at)?)
        } else if let Some(command) = command.downcast_ref() {
            ProductBook::may_ignore(command, &self.state(entity, at)?)
        } else {
            !matches!(command.downcast_ref(), Some(stock::Command::Adjust { .. }))
        };
        if fine {
            Ok(())
        } else {
            broken("I1", format!("{entity} acknowledged at {at} what it did not do"))
        }
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

fn as_text<T: serde::Serialize>(shown: &T) -> String {
    serde_json::to_string(shown).unwrap_or_else(|error| error.to_string())
}
