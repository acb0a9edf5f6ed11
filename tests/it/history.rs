//! A journal written by hand, and views that follow it: what the relay's runtime does, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use globalshop::clock::Clock;
use globalshop::domain::{Entity, EntityId, Millis, Shard, ShardCount};
use globalshop::journal::memory::MemoryJournal;
use globalshop::journal::{
    Append, Batch, Epoch, Journal, Position, Recorded, Sequence, Takeover, TimerChange, stored,
};
use globalshop::relay::{ReadFault, View};

/// Events by hand.
pub struct History {
    pub journal: MemoryJournal,
    shards: ShardCount,
    epochs: BTreeMap<Shard, Epoch>,
    heads: BTreeMap<Shard, Position>,
    sequences: BTreeMap<EntityId, Sequence>,
}

impl History {
    pub fn new(shards: ShardCount) -> Self {
        Self {
            journal: MemoryJournal::new(shards, Clock::system()),
            shards,
            epochs: BTreeMap::new(),
            heads: BTreeMap::new(),
            sequences: BTreeMap::new(),
        }
    }

    /// Writes an event; says where it is.
    pub async fn tell<E: Entity>(&mut self, entity: &EntityId, event: &E::Event) -> (Shard, Position) {
        let shard = entity.shard(self.shards);
        let epoch = match self.epochs.get(&shard) {
            Some(epoch) => *epoch,
            None => {
                let lease = self.journal.claim(shard, "test", Takeover::AtOnce).await.unwrap();
                self.epochs.insert(shard, lease.epoch);
                lease.epoch
            }
        };
        let position = self.heads.entry(shard).or_default();
        *position = position.next();
        let sequence = self.sequences.entry(entity.clone()).or_default();
        let append = Append {
            entity: entity.clone(),
            shard,
            epoch,
            after: *sequence,
            events: vec![stored::encode::<E>(event).unwrap()],
            operation: None,
            at: Millis(1_000),
            timer: TimerChange::Keep,
            remember: None,
        };
        *sequence = sequence.next();
        let batch = Batch {
            held: vec![(shard, epoch)],
            appends: vec![(append, *position)],
        };
        assert_eq!(self.journal.write(&batch).await.unwrap(), []);
        (shard, *position)
    }

    /// What follows a position in a shard, and how far that goes.
    pub async fn after(&self, shard: Shard, position: Position) -> (Vec<Arc<Recorded>>, Position) {
        let events = self.journal.read(shard, position, usize::MAX).await.unwrap();
        let through = events.last().map_or(position, |event| event.position);
        (events.into_iter().map(Arc::new).collect(), through)
    }

    /// Lets a view follow to the end of every shard, `limit` events at a time.
    pub async fn lead(&self, view: &dyn View, limit: usize) -> Result<(), ReadFault> {
        for shard in self.shards.all() {
            let (events, end) = self.after(shard, view.position(shard).await?).await;
            for events in events.chunks(limit) {
                let through = events.last().map_or(end, |event| event.position);
                let wanted: Vec<_> = events
                    .iter()
                    .filter(|event| view.wants(event.entity.kind()))
                    .cloned()
                    .collect();
                view.follow(shard, &wanted, through).await?;
            }
        }
        Ok(())
    }
}
