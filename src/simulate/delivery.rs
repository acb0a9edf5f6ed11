//! A consumer whose deliveries the auditor hears of.

use std::sync::Arc;

use async_trait::async_trait;

use super::auditor::{Auditor, Violation, delivery::Hand};
use crate::clock::Clock;
use crate::domain::Kind;
use crate::journal::Recorded;
use crate::relay::dead_letter::{
    DeadLetters, LetterFilter, LetterState, REDRIVE_BATCH, RedriveFault, RedriveOutcome, Redriven,
};
use crate::relay::{Consumer, Policy, ReadFault};

tokio::task_local! {
    /// Who redrives letters in this task: everything else is handed out by a lane.
    static OPERATOR: Hand;
}

/// Does what an operator does with letters, so that the auditor knows whose work it is.
pub(super) async fn by_operator<T>(auditor: &Auditor, redrive: impl Future<Output = T>) -> T {
    OPERATOR.scope(auditor.operator(), redrive).await
}

/// Redrives everything that waits, as an operator does. What is said to be done does not wait any more.
pub(super) async fn redrive_all(
    auditor: &Auditor,
    letters: &DeadLetters,
) -> Result<Vec<Redriven>, RedriveFault> {
    let redriven = by_operator(auditor, letters.redrive_all(&LetterFilter::default(), false)).await?;
    let waiting = LetterFilter {
        state: Some(LetterState::Waiting),
        ..LetterFilter::default()
    };
    let still = letters.list(&waiting, None, REDRIVE_BATCH).await?;
    for named in &redriven {
        if named.outcome == RedriveOutcome::Done && still.iter().any(|letter| letter.id == named.id) {
            auditor.accuse(Violation {
                invariant: "I7",
                what: format!("a redrive says that letter {} is done, and it waits", named.id),
            });
        }
    }
    Ok(redriven)
}

/// A consumer of one node.
pub(super) struct SeenConsumer {
    pub inner: Arc<dyn Consumer>,
    /// The lanes of its node.
    pub lanes: Hand,
    /// The clock of its node.
    pub clock: Clock,
    pub auditor: Auditor,
}

/// Says that a delivery has ended, also when its task is stopped.
struct Underway<'a> {
    seen: &'a SeenConsumer,
    hand: Hand,
    event: &'a Recorded,
    done: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let name = self.seen.inner.name();
        self.seen
            .auditor
            .given_back(self.hand, name, self.event, self.done);
    }
}

#[async_trait]
impl Consumer for SeenConsumer {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn wants(&self, kind: Kind) -> bool {
        self.inner.wants(kind)
    }

    fn concerns(&self, event: &Recorded) -> bool {
        self.inner.concerns(event)
    }

    fn policy(&self) -> Policy {
        self.inner.policy()
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        let hand = OPERATOR.try_with(|hand| *hand).unwrap_or(self.lanes);
        self.auditor
            .handed_out(hand, self.inner.as_ref(), self.clock.now(), event);
        let mut underway = Underway {
            seen: self,
            hand,
            event,
            done: false,
        };
        let handled = self.inner.handle(event).await;
        underway.done = handled.is_ok();
        handled
    }
}
