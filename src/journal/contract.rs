//! What every journal keeps to, clause by clause.
//!
//! A clause is a function that takes an empty journal and says how the journal broke it. The memory
//! journal is held to them by unit tests, PostgreSQL by `tests/it/journal.rs`; both through
//! [`journal_contract!`](crate::journal_contract).

mod lease;
mod rest;
mod write;

use bytes::Bytes;

use super::{
    Append, Batch, Cause, Journal, JournalFault, Lease, NewEvent, Position, Recorded, Sequence, TimerChange,
    WriteFault,
};
use crate::domain::{EntityId, Kind, Millis, Shard};

pub use lease::*;
pub use rest::*;
pub use write::*;

/// How a journal broke the contract.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It did something else.
    #[error("{0}")]
    Clause(String),
    /// It failed to answer.
    #[error(transparent)]
    Journal(#[from] JournalFault),
    /// It failed to write.
    #[error(transparent)]
    Write(#[from] WriteFault),
}

/// Whether a clause was kept.
pub type Kept = Result<(), Broken>;

/// Breaks off unless both are equal.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Kept {
    if found == wanted {
        Ok(())
    } else {
        Err(Broken::Clause(format!(
            "{what}: found {found:?}, wanted {wanted:?}"
        )))
    }
}

/// Breaks off unless the write certainly wrote nothing because of `constraint`.
fn refused(what: &str, outcome: Result<Vec<Shard>, WriteFault>, constraint: Option<&str>) -> Kept {
    match outcome {
        Err(WriteFault::NotWritten {
            cause: Cause::Constraint(found),
            ..
        }) => same(what, Some(found.as_str()), constraint),
        Err(WriteFault::NotWritten { .. }) => same(what, None, constraint),
        other => Err(Broken::Clause(format!(
            "{what}: found {other:?}, wanted a certain refusal"
        ))),
    }
}

/// An entity by that name, and its shard.
pub fn place(journal: &dyn Journal, name: &str) -> (Shard, EntityId) {
    let entity = EntityId::new(Kind::Stock, name);
    (entity.shard(journal.shards()), entity)
}

/// An entity whose name begins so, in another shard than `shard`.
fn place_elsewhere(journal: &dyn Journal, name: &str, shard: Shard) -> Result<(Shard, EntityId), Broken> {
    (0..1_000)
        .map(|n| place(journal, &format!("{name}-{n}")))
        .find(|(other, _)| *other != shard)
        .ok_or_else(|| Broken::Clause("the contract needs two shards".to_owned()))
}

/// An append of events with these payloads.
pub fn append(lease: Lease, entity: &EntityId, after: i64, payloads: &[&str]) -> Append {
    Append {
        entity: entity.clone(),
        shard: lease.shard,
        epoch: lease.epoch,
        after: Sequence(after),
        events: payloads
            .iter()
            .map(|payload| NewEvent {
                version: 1,
                payload: Bytes::copy_from_slice(payload.as_bytes()),
            })
            .collect(),
        operation: None,
        at: Millis(1_800_000_000_000),
        timer: TimerChange::Keep,
        remember: None,
    }
}

/// A batch of one shard, right after the head that the lease was taken at.
pub fn batch(lease: Lease, appends: Vec<Append>) -> Batch {
    join(vec![(lease, appends)])
}

/// A batch of several shards, each right after the head that its lease was taken at.
pub fn join(parts: Vec<(Lease, Vec<Append>)>) -> Batch {
    let mut batch = Batch::default();
    for (lease, appends) in parts {
        batch.held.push((lease.shard, lease.epoch));
        let mut head = lease.head;
        for append in appends {
            let first = head.next();
            head = Position(head.0 + append.through().0 - append.after.0);
            batch.appends.push((append, first));
        }
    }
    batch
}

/// The lease once a batch of so many events is written.
fn advanced(lease: Lease, events: i64) -> Lease {
    Lease {
        head: Position(lease.head.0 + events),
        ..lease
    }
}

fn payloads(events: &[Recorded]) -> Vec<String> {
    events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.payload).into_owned())
        .collect()
}

/// Makes one test of every clause. `$open` names an `async fn` that opens an empty journal.
#[macro_export]
macro_rules! journal_contract {
    ($open:ident) => {
        $crate::journal_contract! { $open:
            nothing_is_in_an_empty_journal,
            events_come_back_as_they_were_written,
            payloads_are_bytes_of_any_kind,
            positions_have_no_gaps_across_batches_and_entities,
            a_shard_is_read_in_pages,
            an_entity_is_read_as_it_was,
            a_sequence_is_written_once,
            a_position_is_written_once,
            a_gap_in_positions_is_never_written,
            a_malformed_batch_is_refused,
            timers_are_set_moved_and_cleared_with_the_events,
            answers_are_remembered_once,
            an_answer_is_remembered_without_events,
            answers_are_forgotten_in_batches,
            a_claim_raises_the_epoch_and_finds_the_head,
            a_stale_epoch_writes_nothing_while_other_shards_are_written,
            a_writer_of_before_writes_nothing_of_any_kind,
            a_takeover_finds_everything_acknowledged,
            a_member_keeps_its_shard,
            an_owner_whose_time_is_up_is_taken_from,
            a_heartbeat_that_comes_too_late_is_refused,
            a_lease_that_was_given_back_is_free,
            two_nodes_never_have_one_name,
            snapshots_never_go_back_and_are_fenced,
            entities_are_loaded_in_the_order_asked,
        }
    };
    ($open:ident: $($clause:ident,)+) => {
        $(
            #[tokio::test]
            async fn $clause() {
                let journal = $open().await;
                $crate::journal::contract::$clause(&journal).await.unwrap();
            }
        )+
    };
}
