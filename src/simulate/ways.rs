//! The ways into the shop: through any node that is up.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::actors::Hosted;
use crate::actors::bulk::{Bulk, BulkCommand, BulkError, Done};
use crate::clock::Clock;
use crate::cluster::{Answer, Ask, AskError, Region};
use crate::domain::{EntityId, Shard};

/// Between looks for a node that is up.
const BEAT: Duration = Duration::from_millis(20);

tokio::task_local! {
    /// The newest message of the question that is asked in this task, and its number.
    static ASKED: Cell<Option<(Uuid, u32)>>;
}

/// The question that is asked in this task sends another message; says which one came before.
pub(super) fn sends(name: Uuid, number: u32) -> Option<(Uuid, u32)> {
    ASKED
        .try_with(|asked| asked.replace(Some((name, number))))
        .ok()
        .flatten()
}

/// The way through one node. While the node stands still, nobody gets in or out.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The node's region.
    pub region: Region,
    /// The node's clock.
    pub clock: Clock,
    /// Its lane of bulk appends.
    pub bulk: Bulk,
    /// Whether shoppers are let in: not any more at a node that is about to leave.
    pub door: bool,
    /// The questions that came in here and are not answered yet.
    pub inside: TaskTracker,
}

impl Way {
    /// Asks an entity, through this node.
    pub async fn ask<E: Hosted>(
        &self,
        entity: &EntityId,
        ask: Ask<E::Command>,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let _inside = self.inside.token();
        self.clock.thawed().await;
        let question = self.region.ask::<E>(entity, ask);
        let answer = ASKED.scope(Cell::default(), question).await;
        self.clock.thawed().await;
        answer
    }

    /// Reads an entity, through this node.
    pub async fn read<E: Hosted>(&self, entity: &EntityId) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let _inside = self.inside.token();
        self.clock.thawed().await;
        let question = self.region.read::<E>(entity);
        let answer = ASKED.scope(Cell::default(), question).await;
        self.clock.thawed().await;
        answer
    }

    /// Appends to many entities at once, through this node.
    pub async fn append<E: Hosted>(
        &self,
        commands: Vec<BulkCommand<E>>,
    ) -> Vec<Result<Done, BulkError<E::Refusal>>> {
        let _inside = self.inside.token();
        self.clock.thawed().await;
        let outcomes = self.bulk.apply(commands).await;
        self.clock.thawed().await;
        outcomes
    }
}

/// A way for each node that is up. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways(Arc<Mutex<Vec<Option<Way>>>>);

impl Ways {
    fn all(&self) -> MutexGuard<'_, Vec<Option<Way>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the way through a node, or closes it.
    pub fn set(&self, node: usize, way: Option<Way>) {
        let mut ways = self.all();
        if ways.len() <= node {
            ways.resize(node + 1, None);
        }
        ways[node] = way;
    }

    /// Lets no more shoppers in at a node; other nodes still reach it. Answers with the questions that
    /// are inside.
    pub fn close_door(&self, node: usize) -> Option<TaskTracker> {
        let mut ways = self.all();
        let way = ways.get_mut(node)?.as_mut()?;
        way.door = false;
        way.inside.close();
        Some(way.inside.clone())
    }

    /// The way through a node, if it is up.
    pub fn through(&self, node: usize) -> Option<Way> {
        self.all().get(node).cloned().flatten()
    }

    /// Every way that is open to shoppers.
    pub fn open(&self) -> Vec<Way> {
        self.all()
            .iter()
            .flatten()
            .filter(|way| way.door)
            .cloned()
            .collect()
    }

    /// The node, other than this one, that may still tell what it remembers of a shard.
    pub fn who_may_tell(&self, shard: Shard, but: usize) -> Option<usize> {
        let ways = self.all();
        let mut others = ways.iter().enumerate().filter(|(node, _)| *node != but);
        others
            .find(|(_, way)| way.as_ref().is_some_and(|way| way.region.may_tell(shard)))
            .map(|(node, _)| node)
    }

    /// Any way that is open, drawn by `clock`; waits for one.
    pub async fn any(&self, clock: &Clock) -> Way {
        loop {
            let open = self.open();
            let drawn = clock.random_below(u64::try_from(open.len()).unwrap_or(0));
            if let Some(way) = usize::try_from(drawn).ok().and_then(|n| open.into_iter().nth(n)) {
                return way;
            }
            clock.sleep(BEAT).await;
        }
    }
}
