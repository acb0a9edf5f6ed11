//! What was said of commands that were appended in bulk. They have no operations, so an answer is judged by what its
//! entity was between the question and the answer.

use super::books::Books;
use super::{Checked, broken};
use crate::actors::Hosted;
use crate::actors::bulk::{BulkCommand, Done};
use crate::journal::Sequence;

impl Books {
    /// Whether it may be said that a command of a bulk is done so. `floor`: what was committed when it was asked.
    pub fn done_in_bulk<E: Hosted>(&self, floor: Sequence, asked: &BulkCommand<E>, done: Done) -> Checked {
        let entity = &asked.entity;
        let head = self.head(entity);
        let (from, fine) = match done {
            Done::Created => (Sequence(1), floor == Sequence(0) && head >= Sequence(1)),
            Done::Changed => (floor.next(), !asked.only_new && head > floor),
            Done::Same => (floor, !asked.only_new || head >= Sequence(1)),
        };
        if !fine {
            return broken(
                "I1",
                format!("{entity} went from {floor} to {head}, and a bulk says that it is {done:?}"),
            );
        }
        if asked.only_new {
            // What was to be done only to what was new: the stocks see to that.
            return Ok(());
        }
        let mut wrong = Ok(());
        for at in from.0..=head.0 {
            wrong = self.is_ignorable::<E>(entity, Sequence(at), &asked.command);
            if wrong.is_ok() {
                break;
            }
        }
        wrong
    }
}
