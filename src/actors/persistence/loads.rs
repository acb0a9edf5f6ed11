//! Loads of entities, each behind everything that is queued for its entity.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Listener, PersistenceMessage};
use crate::actors::supervise::Address;
use crate::domain::EntityId;
use crate::domain::planted::{self, Bug};
use crate::journal::{History, Journal, JournalFault};

/// The most entities in one load.
const LOAD_BATCH: usize = 256;

/// An entity to load, and who wants to know.
pub type Loading = (EntityId, Arc<dyn Listener>);

/// The loads of one writer: one is under way at a time.
#[derive(Default)]
pub(super) struct Loads {
    /// How many appends of an entity are queued or under way: a load waits for none.
    busy: HashMap<EntityId, u32>,
    waiting: VecDeque<Loading>,
    loading: bool,
}

impl Loads {
    /// Another append of an entity is queued.
    pub fn wait_for(&mut self, entity: &EntityId) {
        *self.busy.entry(entity.clone()).or_insert(0) += 1;
    }

    /// An append of an entity has ended.
    pub fn free(&mut self, entity: &EntityId) {
        if let Some(count) = self.busy.get_mut(entity) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(entity);
            }
        }
    }

    /// Whether appends of an entity are queued or under way.
    pub fn is_busy(&self, entity: &EntityId) -> bool {
        self.busy.contains_key(entity)
    }

    /// Somebody wants an entity.
    pub fn push(&mut self, entity: EntityId, listener: Arc<dyn Listener>) {
        self.waiting.push_back((entity, listener));
    }

    /// Starts the next load of entities for which nothing is queued or under way.
    pub fn next(&mut self, me: &Address<PersistenceMessage>, journal: &Arc<dyn Journal>) {
        if self.loading || self.waiting.is_empty() {
            return;
        }
        let mut now = Vec::new();
        let mut later = VecDeque::new();
        for (entity, listener) in std::mem::take(&mut self.waiting) {
            let busy = self.is_busy(&entity) && !planted::is(Bug::OutrunsTheQueue);
            if now.len() < LOAD_BATCH && !busy {
                now.push((entity, listener));
            } else {
                later.push_back((entity, listener));
            }
        }
        self.waiting = later;
        if now.is_empty() {
            return;
        }
        self.loading = true;
        let journal = Arc::clone(journal);
        let me = me.clone();
        tokio::spawn(async move {
            let entities: Vec<EntityId> = now.iter().map(|(entity, _)| entity.clone()).collect();
            let result = journal.load(&entities).await;
            me.tell(PersistenceMessage::Loaded(now, result));
        });
    }

    /// A load has ended: tells those who wanted it.
    pub fn ended(&mut self, asked: Vec<Loading>, result: Result<Vec<History>, JournalFault>) {
        self.loading = false;
        match result {
            Ok(histories) => {
                for ((_, listener), history) in asked.into_iter().zip(histories) {
                    listener.loaded(Ok(history));
                }
            }
            Err(fault) => {
                let fault = Arc::new(fault);
                for (_, listener) in asked {
                    listener.loaded(Err(Arc::clone(&fault)));
                }
            }
        }
    }
}
