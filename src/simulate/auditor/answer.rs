//! What may be answered: what was true at some moment between the question and the answer.

use std::any::Any;

use super::books::{Books, as_text};
use super::cart::CartBook;
use super::product::ProductBook;
use super::{Checked, broken};
use crate::actors::Hosted;
use crate::cluster::Answer;
use crate::domain::id::OperationId;
use crate::domain::{EntityId, Millis, stock};
use crate::journal::{Recorded, Sequence};

impl Books {
    /// Whether a question may be answered so. `floor`: what was committed when it was asked; `done`: the command and its
    /// operation, nothing for a read.
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

    /// Whether a command may be refused so.
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

    /// The events of an entity up to a sequence.
    pub fn until(&self, entity: &EntityId, at: Sequence) -> &[Recorded] {
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
}
