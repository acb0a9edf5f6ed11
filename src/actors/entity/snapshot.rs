//! What an activation writes down of its state, so that the next one need not replay everything.
//!
//! **Invariants**
//! - Captured at a sequence, written only once that is committed, and only within the tenure.
//! - One at a time: the next is captured when the last is on its way.

use std::sync::Arc;

use bytes::Bytes;

use super::EntityState;
use crate::actors::Hosted;
use crate::domain::planted::{self, Bug};
use crate::journal::stored::{self, Resting};
use crate::journal::{Sequence, Snapshot};

/// What is known of the last snapshot, and the next one if it waits for the disk.
#[derive(Default)]
pub(super) struct Snapshotting {
    taken_at: Sequence,
    /// How large the last one was, and the events since then.
    bytes: usize,
    events_bytes: usize,
    /// Captured, waiting for its ticket to be committed.
    pending: Option<(u64, Sequence, Bytes)>,
}

impl Snapshotting {
    /// Goes on from a snapshot that was loaded.
    pub(super) fn begin_after(&mut self, snapshot: &Snapshot) {
        self.taken_at = snapshot.sequence;
        self.bytes = snapshot.state.len();
    }

    /// Counts an event of so many bytes.
    pub(super) const fn grow(&mut self, bytes: usize) {
        self.events_bytes += bytes;
    }
}

impl<E: Hosted> EntityState<E> {
    /// Captures the state as it is now if it is time for that; kept once it is committed.
    pub(super) fn snapshot_if_due(&mut self) -> Result<(), serde_json::Error> {
        let Snapshotting {
            taken_at,
            bytes,
            events_bytes,
            ref pending,
        } = self.snapshot;
        let events = self.sequence.0 - taken_at.0;
        let directories = &self.with.directories;
        if pending.is_some() || !directories.is_snapshot_due::<E>(events, events_bytes, bytes) {
            return Ok(());
        }
        let resting = Resting {
            state: self.state.clone(),
            operations: self.operations.iter().copied().collect(),
        };
        let bytes = stored::encode_snapshot(&resting)?;
        (self.snapshot.bytes, self.snapshot.events_bytes) = (bytes.len(), 0);
        self.snapshot.pending = Some((self.ticket, self.sequence, bytes));
        if planted::is(Bug::SnapshotUncommitted) {
            self.keep_snapshot();
        }
        Ok(())
    }

    /// Keeps what was captured, once what it was captured of is committed.
    pub(super) fn keep_what_settled(&mut self) {
        let pending = self.snapshot.pending.as_ref();
        if pending.is_some_and(|(needed, ..)| *needed <= self.settled) {
            self.keep_snapshot();
        }
    }

    fn keep_snapshot(&mut self) {
        let Some((_, sequence, state)) = self.snapshot.pending.take() else {
            return;
        };
        self.snapshot.taken_at = sequence;
        if !self.with.tenure.holds() {
            return;
        }
        let snapshot = Snapshot {
            entity: self.with.entity.clone(),
            sequence,
            position: self.position,
            epoch: self.with.epoch,
            state,
        };
        let journal = Arc::clone(&self.with.journal);
        tokio::spawn(async move {
            if let Err(fault) = journal.keep_snapshot(&snapshot).await {
                tracing::warn!(entity = %snapshot.entity, %fault, "a snapshot was not kept; the next will be");
            }
        });
    }
}
