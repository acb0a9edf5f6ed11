//! One event, tried until it is handled or buried.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;

use super::book::Book;
use super::dead_letter::letter_of;
use super::{Consumer, ReadFault};
use crate::clock::Clock;
use crate::domain::{EntityId, Kind};
use crate::journal::{Recorded, Sequence};

/// Between attempts to write a letter.
const BURY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between attempts to write a letter.
const BURY_PAUSE_LIMIT: Duration = Duration::from_secs(15);

/// How an event was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Its effect is done.
    Handled,
    /// It is a dead letter.
    Buried,
}

/// The trace of everything one consumer ever does about one event: each try, each retry after a
/// restart, each redrive. It is derived and not drawn, so it need not be stored, and an operator who
/// has the letter finds every log line of it.
pub(super) fn trace_of(consumer: &str, entity: &EntityId, sequence: Sequence) -> String {
    let name = format!("delivery/{consumer}/{entity}/{sequence}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
        .simple()
        .to_string()
}

/// The span in which a consumer handles an event; every log line from within says its trace.
pub(super) fn span_of(consumer: &str, event: &Recorded) -> tracing::Span {
    tracing::info_span!(
        "delivery",
        trace_id = trace_of(consumer, &event.entity, event.sequence),
        consumer
    )
}

/// Refuses an event of which nobody can tell whose it is, and so whether it concerns a reader: each has
/// to keep it among its dead letters.
pub(super) fn named(event: &Recorded) -> Result<(), ReadFault> {
    match event.entity.kind() {
        Kind::Unknown => Err(ReadFault::Lasting {
            what: format!("{:?} is no name of an entity", event.entity.as_str()),
            source: None,
        }),
        _ => Ok(()),
    }
}

/// Hands an event to its consumer once. A panic and a missed deadline are faults like any other.
pub(super) async fn try_once(
    consumer: &Arc<dyn Consumer>,
    event: &Recorded,
    limit: Duration,
) -> Result<(), ReadFault> {
    named(event)?;
    match timeout(limit, AssertUnwindSafe(consumer.handle(event)).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(ReadFault::Temporary {
            what: format!("panicked: {}", said(&*panic)),
            source: None,
        }),
        Err(_) => Err(ReadFault::Temporary {
            what: format!("not done within {limit:?}"),
            source: None,
        }),
    }
}

pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Settles an event: tries it within the consumer's budget, then buries it. `blocked`: an earlier
/// event of its entity is a dead letter it has to wait for.
///
/// A letter that cannot be written is no letter: the event is tried again, so a database that was
/// away for longer than any budget leaves no dead letters behind.
pub(super) async fn settle(
    consumer: &Arc<dyn Consumer>,
    event: &Recorded,
    blocked: bool,
    book: &dyn Book,
    clock: &Clock,
) -> Settled {
    let span = span_of(consumer.name(), event);
    settle_traced(consumer, event, blocked, book, clock)
        .instrument(span)
        .await
}

async fn settle_traced(
    consumer: &Arc<dyn Consumer>,
    event: &Recorded,
    blocked: bool,
    book: &dyn Book,
    clock: &Clock,
) -> Settled {
    let name = consumer.name();
    let policy = consumer.policy();
    let began = clock.instant();
    let mut attempts = 0;
    let mut unwritten = 0;
    loop {
        let reason = if blocked {
            "an earlier event of its entity is a dead letter".to_owned()
        } else {
            loop {
                let fault = match try_once(consumer, event, policy.deadline).await {
                    Ok(()) => return Settled::Handled,
                    Err(fault) => fault,
                };
                attempts += 1;
                let story = fault.story();
                let spent = attempts >= policy.tries && clock.instant() - began >= policy.patience;
                if spent || matches!(fault, ReadFault::Lasting { .. }) {
                    break story;
                }
                metrics::counter!("globalshop_relay_retries_total", "consumer" => name).increment(1);
                let pause = clock.backoff(attempts - 1, policy.pause, policy.pause_limit);
                tracing::info!(
                    consumer = name, entity = %event.entity, position = %event.position, attempts, ?pause,
                    reason = story, "an event is tried again"
                );
                clock.sleep(pause).await;
            }
        };
        let letter = letter_of(clock.new_id(), consumer, event, reason, attempts, clock.now());
        match book.bury(&letter).await {
            Ok(()) => {
                metrics::counter!("globalshop_relay_dead_letters_total", "consumer" => name).increment(1);
                tracing::error!(
                    consumer = name, entity = %event.entity, shard = %event.shard, position = %event.position,
                    attempts, letter = %letter.id, reason = letter.reason, "an event is a dead letter"
                );
                return Settled::Buried;
            }
            Err(fault) => {
                tracing::warn!(consumer = name, %fault, "a dead letter could not be written; its event is tried again");
                clock
                    .sleep(clock.backoff(unwritten, BURY_PAUSE, BURY_PAUSE_LIMIT) + BURY_PAUSE)
                    .await;
                unwritten += 1;
            }
        }
    }
}
