//! The gate of each shard: whether it lets anyone in, and whether this node should own it at all.
//!
//! Whoever decides about placement says here what is wanted; the shard's actor, also one that was
//! restarted, makes it so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::shard::ShardMessage;
use super::supervise::Address;
use super::tenure::Tenure;
use crate::domain::{Shard, ShardCount};
use crate::journal::Epoch;

/// Between looks for the actor of a shard that is being restarted.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// The gates of a node's shards.
#[derive(Debug)]
pub struct Gates(Box<[Gate]>);

#[derive(Debug, Default)]
struct Gate {
    actor: ArcSwapOption<Address<ShardMessage>>,
    /// The epoch it lets somebody in under; 0 while it lets nobody in.
    open: AtomicI64,
    /// The tenure under which the lease was claimed, until it is certain that this node does not hold it.
    /// It outlives the shard's actor: its successor must give back what it does not know of.
    claimed_under: ArcSwapOption<Tenure>,
    /// Under which tenure this node should own the shard, if it should.
    wanted: ArcSwapOption<Tenure>,
}

impl Gates {
    /// Closed gates of shards that nobody wants yet.
    #[must_use]
    pub fn new(shards: ShardCount) -> Self {
        Self(shards.all().map(|_| Gate::default()).collect())
    }

    fn of(&self, shard: Shard) -> &Gate {
        &self.0[usize::from(shard.0) % self.0.len()]
    }

    /// Every shard there is.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..u16::try_from(self.0.len()).unwrap_or(u16::MAX)).map(Shard)
    }

    pub(super) fn enter(&self, shard: Shard, actor: Address<ShardMessage>) {
        self.of(shard).actor.store(Some(Arc::new(actor)));
    }

    pub(super) fn open(&self, shard: Shard, epoch: Epoch) {
        self.of(shard).open.store(epoch.0, Relaxed);
    }

    /// The lease is being claimed, or is certainly not this node's.
    pub(super) fn set_claimed(&self, shard: Shard, under: Option<Tenure>) {
        self.of(shard).claimed_under.store(under.map(Arc::new));
    }

    /// The tenure under which the lease was claimed and may still be held, if it holds.
    pub(super) fn claimed(&self, shard: Shard) -> Option<Tenure> {
        let claimed = self.of(shard).claimed_under.load_full();
        claimed.as_deref().filter(|tenure| tenure.holds()).cloned()
    }

    pub(super) fn close(&self, shard: Shard) {
        self.of(shard).open.store(0, Relaxed);
    }

    /// The epoch under which a shard answers here, if it does.
    #[must_use]
    pub fn epoch(&self, shard: Shard) -> Option<Epoch> {
        let epoch = self.of(shard).open.load(Relaxed);
        (epoch > 0).then_some(Epoch(epoch))
    }

    /// Whether a shard answers here.
    #[must_use]
    pub fn is_open(&self, shard: Shard) -> bool {
        self.epoch(shard).is_some()
    }

    /// Whether every shard answers here.
    #[must_use]
    pub fn all_open(&self) -> bool {
        self.shards().all(|shard| self.is_open(shard))
    }

    /// Whether every shard that this node should own answers.
    #[must_use]
    pub fn all_wanted_open(&self) -> bool {
        self.shards()
            .all(|shard| self.is_open(shard) || self.of(shard).wanted.load().is_none())
    }

    /// Whether this node may tell what it remembers of a shard: it lets callers in, and its tenure holds.
    #[must_use]
    pub fn may_tell(&self, shard: Shard) -> bool {
        self.is_open(shard) && self.claimed(shard).is_some()
    }

    /// Under which tenure this node should own a shard now, if it should.
    pub(super) fn wanted(&self, shard: Shard) -> Option<Tenure> {
        let wanted = self.of(shard).wanted.load_full();
        wanted.as_deref().filter(|tenure| tenure.holds()).cloned()
    }

    /// Has this node own a shard for as long as `tenure` holds.
    pub fn take(&self, shard: Shard, tenure: &Tenure) {
        let gate = self.of(shard);
        gate.wanted.store(Some(Arc::new(tenure.clone())));
        // Without an actor it will be seen when there is one.
        if let Some(actor) = gate.actor.load_full() {
            actor.tell(ShardMessage::Wanted);
        }
    }

    /// Has this node give a shard back when nothing of it runs here any more, without waiting for that.
    pub fn let_go(&self, shard: Shard) {
        let gate = self.of(shard);
        gate.wanted.store(None);
        if let Some(actor) = gate.actor.load_full() {
            actor.tell(ShardMessage::Proceed);
        }
    }

    /// Has this node give a shard up, and waits until nothing of it runs here any more and its lease is
    /// given back, or is not this node's to give back. `false` if that takes longer than `limit`.
    pub async fn give_up(&self, shard: Shard, deadline: Instant) -> bool {
        let gate = self.of(shard);
        gate.wanted.store(None);
        loop {
            let (reply, away) = oneshot::channel();
            let told = gate
                .actor
                .load_full()
                .is_some_and(|actor| actor.tell(ShardMessage::GiveUp(reply)));
            match timeout_at(deadline, away).await {
                Ok(Ok(())) if told => return true,
                Err(_) => return false,
                // It is being restarted.
                Ok(_) => {}
            }
            if timeout_at(deadline, sleep(RESTART_PAUSE)).await.is_err() {
                return false;
            }
        }
    }

    /// Has this node give up every shard; see [`Gates::give_up`].
    pub async fn give_up_all(&self, deadline: Instant) -> bool {
        // All at once, before the first is waited for.
        for gate in &self.0 {
            gate.wanted.store(None);
        }
        let given = self.shards().map(|shard| self.give_up(shard, deadline));
        let given = futures_util::future::join_all(given).await;
        given.into_iter().all(|given| given)
    }

    /// Closes a shard's gate and has it recover. `epoch`: which epoch was disturbed, if one is known.
    pub(super) fn disturb(&self, shard: Shard, epoch: Option<Epoch>, reason: &str) {
        let gate = self.of(shard);
        if let Some(actor) = gate.actor.load_full() {
            self.close(shard);
            actor.tell(ShardMessage::Disturbed {
                epoch,
                reason: reason.to_owned(),
            });
        }
    }

    pub(super) fn actor(&self, shard: Shard) -> Option<Arc<Address<ShardMessage>>> {
        self.of(shard).actor.load_full()
    }
}
