//! Timers: each commit sets those its entity needs from then on, and no others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;

use super::books::Books;
use super::{Checked, broken};
use crate::domain::{EntityId, Kind, Millis};
use crate::journal::{Journal as _, Recorded};

impl Books {
    /// Whether an entity that has come so far has the timer it needs.
    pub fn has_timer(&self, entity: &EntityId, timer: Option<Millis>) -> Checked {
        let right = match entity.kind() {
            Kind::Order => self.orders.deadline(entity) == timer,
            Kind::Stock => self.stock.is_timer_right(entity, timer),
            Kind::Cart | Kind::Product | Kind::Unknown => timer.is_none(),
        };
        if right {
            return Ok(());
        }
        broken("I5", format!("{entity} has a timer at {timer:?} in the journal"))
    }

    /// Whether those that have just committed something have the timers they need now.
    pub fn have_timers(&self, fresh: &[Recorded]) -> Checked {
        let shards: BTreeSet<_> = fresh.iter().map(|recorded| recorded.shard).collect();
        let mut timers = BTreeMap::new();
        for shard in shards {
            // No fault befalls the auditor's journal, and memory answers at once.
            let Some(Ok(all)) = self.journal.timers(shard).now_or_never() else {
                continue;
            };
            timers.extend(all.into_iter().map(|timer| (timer.entity, timer.due_at)));
        }
        let moved: BTreeSet<_> = fresh.iter().map(|recorded| &recorded.entity).collect();
        moved
            .into_iter()
            .try_for_each(|entity| self.has_timer(entity, timers.get(entity).copied()))
    }
}
