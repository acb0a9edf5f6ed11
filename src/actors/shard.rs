//! A shard on this node: its lease, its activations, its recovery.
//!
//! There is one recovery path, for a fenced, failed or unknown append, a conflict, a dead writer and
//! a takeover alike: stop every activation, wait until they are gone, take the lease at the next
//! epoch (which waits for any append still under way), and start from what the journal says. Giving a
//! shard up goes the same way, and gives the lease back at its end.
//!
//! Reading order: here, what a shard is told and what runs in it; [`hold`], how it comes to this node
//! and goes; [`activation`], its entities.

mod activation;
mod hold;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{ActorCell, ActorId};
use tokio::sync::oneshot;

use self::activation::{Child, forget, tell};
use self::hold::Hold;
use super::directory::Directories;
use super::persistence::{Load, PersistenceMessage};
use super::stats::{Life, Place};
use super::supervise::{Address, Ended, Failure, Member, RestartPolicy, Restarts, Spawner};
use super::timer::{TimerActor, TimerArguments, TimerBoard};
use crate::domain::{EntityId, Shard};
use crate::journal::{Epoch, Journal, JournalFault, Lease, Position, Takeover, Timer};

/// How often idle activations are looked for.
const SWEEP: Duration = Duration::from_secs(15);
/// Messages a timer or another resident may have waiting.
const RESIDENT_MAILBOX: u32 = 100_000;

/// Something that runs beside the entities of every owned shard: a consumer, a view.
#[async_trait]
pub trait Resident: Send + Sync + 'static {
    /// Starts it for a shard, under the shard's supervision. Called again after it failed.
    async fn start(&self, tenancy: &Tenancy) -> Result<ActorCell, Failure>;
}

/// What a resident is told of the shard it lives in.
#[derive(Clone, Debug)]
pub struct Tenancy {
    /// The shard.
    pub shard: Shard,
    /// The epoch it is held under: positions saved under an older one are refused.
    pub epoch: Epoch,
    /// The head when it was taken.
    pub head: Position,
    /// The shard's place in the tree.
    pub place: Place,
    /// Whom to be linked to.
    pub supervisor: ActorCell,
    /// How to start actors.
    pub spawner: Spawner,
}

/// What every shard of a node works with.
#[derive(Clone)]
pub struct ShardArguments {
    /// Which shard.
    pub shard: Shard,
    /// The name under which this node holds leases.
    pub owner: Arc<str>,
    /// What it may do about a shard that somebody else holds.
    pub takeover: Takeover,
    /// The shard's place in the tree.
    pub place: Place,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The current writer of this shard.
    pub writer: Arc<arc_swap::ArcSwapOption<Address<PersistenceMessage>>>,
    /// How much is queued there.
    pub load: Arc<Load>,
    /// Where activations are found.
    pub directories: Arc<Directories>,
    /// Where changed timers are told.
    pub timers: TimerBoard,
    /// How to start actors.
    pub spawner: Spawner,
    /// What else runs in every shard.
    pub residents: Arc<[Arc<dyn Resident>]>,
}

/// What a shard is told.
pub enum ShardMessage {
    /// The shard is wanted here: take the lease, now.
    Wanted,
    /// Give the shard up, unless it is wanted again; answered when nothing of it runs here.
    GiveUp(oneshot::Sender<()>),
    /// A pause is over, or what is wanted has changed: go on.
    Proceed,
    /// The journal has answered a claim, which was this call.
    Claimed(u64, Result<(Lease, Vec<Timer>), JournalFault>),
    /// The journal has answered a release, which was this call.
    Released(u64, Result<(), JournalFault>),
    /// Something about this epoch went wrong: recover. `None`: whatever the epoch is.
    Disturbed {
        /// Under which epoch it happened.
        epoch: Option<Epoch>,
        /// What happened.
        reason: String,
    },
    /// Have an activation of this entity in the directory.
    Activate {
        /// Which.
        entity: EntityId,
        /// Answered when it is there, or why not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Keep these entities from being activated while a bulk append writes to them.
    Reserve {
        /// Which.
        entities: Vec<EntityId>,
        /// Answered with the epoch and those that could be reserved: the others are active.
        reply: oneshot::Sender<Result<Reserved, String>>,
    },
    /// End a reservation.
    Unreserve(Vec<EntityId>),
    /// Start a resident again.
    Readmit(usize),
    /// Look for idle activations.
    Sweep,
}

/// Entities kept for a bulk append.
#[derive(Debug)]
pub struct Reserved {
    /// The epoch to write under.
    pub epoch: Epoch,
    /// Which ones; never an active one.
    pub entities: Vec<EntityId>,
}

/// Starts shards.
pub struct ShardActor;

/// What a shard keeps.
pub struct ShardState {
    with: ShardArguments,
    hold: Hold,
    /// In the order they were started, in which they are stopped: one seed, one history.
    children: BTreeMap<ActorId, Child>,
    by_entity: HashMap<EntityId, ActorId>,
    residents: BTreeMap<ActorId, (usize, ActorCell)>,
    timer: Option<(ActorId, ActorCell)>,
    waiting: BTreeMap<EntityId, Vec<oneshot::Sender<Result<(), String>>>>,
    reserved: HashSet<EntityId>,
    trouble: HashMap<EntityId, Restarts>,
    resident_trouble: Restarts,
    tenancy: Option<Tenancy>,
}

impl fmt::Debug for ShardMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ShardActor::LABELS[ShardActor::label(self)])
    }
}

impl Member for ShardActor {
    type Message = ShardMessage;
    type Arguments = ShardArguments;
    type State = ShardState;

    const LABELS: &'static [&'static str] = &[
        "wanted",
        "give_up",
        "proceed",
        "claimed",
        "released",
        "disturbed",
        "activate",
        "reserve",
        "unreserve",
        "readmit",
        "sweep",
    ];

    fn label(message: &ShardMessage) -> usize {
        match message {
            ShardMessage::Wanted => 0,
            ShardMessage::GiveUp(_) => 1,
            ShardMessage::Proceed => 2,
            ShardMessage::Claimed(..) => 3,
            ShardMessage::Released(..) => 4,
            ShardMessage::Disturbed { .. } => 5,
            ShardMessage::Activate { .. } => 6,
            ShardMessage::Reserve { .. } => 7,
            ShardMessage::Unreserve(_) => 8,
            ShardMessage::Readmit(_) => 9,
            ShardMessage::Sweep => 10,
        }
    }

    async fn start(&self, me: &Address<ShardMessage>, with: ShardArguments) -> Result<ShardState, Failure> {
        let gates = with.directories.gates();
        gates.close(with.shard);
        gates.enter(with.shard, me.clone());
        let hold = Hold::inherit(gates.claimed(with.shard));
        me.tell(ShardMessage::Wanted);
        later(me, with.spawner.clock(), SWEEP, ShardMessage::Sweep);
        Ok(ShardState {
            with,
            hold,
            children: BTreeMap::new(),
            by_entity: HashMap::new(),
            residents: BTreeMap::new(),
            timer: None,
            waiting: BTreeMap::new(),
            reserved: HashSet::new(),
            trouble: HashMap::new(),
            resident_trouble: Restarts::default(),
            tenancy: None,
        })
    }

    async fn handle(
        &self,
        me: &Address<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), Failure> {
        match message {
            ShardMessage::Wanted => state.wanted_now(me),
            ShardMessage::GiveUp(reply) => state.give_up(me, reply),
            ShardMessage::Proceed => state.proceed(me),
            ShardMessage::Claimed(call, result) => state.claimed(me, call, result).await?,
            ShardMessage::Released(call, result) => state.released(me, call, result),
            ShardMessage::Disturbed { epoch, reason } => state.disturbed(me, epoch, &reason),
            ShardMessage::Activate { entity, reply } => state.activate(me, entity, reply).await,
            ShardMessage::Reserve { entities, reply } => state.reserve(entities, reply),
            ShardMessage::Unreserve(entities) => state.unreserve(me, entities).await,
            ShardMessage::Readmit(index) => state.readmit(index).await?,
            ShardMessage::Sweep => {
                state.sweep();
                later(me, state.with.spawner.clock(), SWEEP, ShardMessage::Sweep);
            }
        }
        Ok(())
    }

    async fn child_ended(
        &self,
        me: &Address<ShardMessage>,
        child: Ended,
        state: &mut ShardState,
    ) -> Result<(), Failure> {
        state.child_ended(me, child).await
    }
}

/// Sends a message after a while.
fn later(me: &Address<ShardMessage>, clock: &crate::clock::Clock, wait: Duration, message: ShardMessage) {
    let (me, clock) = (me.clone(), clock.clone());
    tokio::spawn(async move {
        clock.sleep(wait).await;
        me.tell(message);
    });
}

impl ShardState {
    async fn start_timer(&mut self, me: &Address<ShardMessage>, timers: Vec<Timer>) -> Result<(), Failure> {
        let arguments = TimerArguments {
            directories: Arc::clone(&self.with.directories),
            clock: self.with.spawner.clock().clone(),
            timers,
        };
        let place = self.with.place.child("timer", &self.with.shard.to_string());
        let timer = self
            .with
            .spawner
            .spawn(place, RESIDENT_MAILBOX, TimerActor, arguments, Some(&me.cell()))
            .await?;
        self.timer = Some((timer.id(), timer.cell()));
        self.with.timers.enter(self.with.shard, timer);
        Ok(())
    }

    /// Starts a resident that has failed. The shard may have been taken anew since: then it was started with all
    /// others, and a second one would do everything a second time.
    async fn readmit(&mut self, index: usize) -> Result<(), Failure> {
        if self.residents.values().any(|(running, _)| *running == index) {
            return Ok(());
        }
        if let (Some(_), Some(tenancy), Some(resident)) =
            (self.hold.owned(), &self.tenancy, self.with.residents.get(index))
        {
            let cell = resident.start(tenancy).await?;
            self.residents.insert(cell.get_id(), (index, cell));
        }
        Ok(())
    }

    fn disturbed(&mut self, me: &Address<ShardMessage>, epoch: Option<Epoch>, reason: &str) {
        let Some(current) = self.hold.owned() else {
            return;
        };
        if epoch.is_some_and(|epoch| epoch != current) {
            // About an epoch that is over; the gate was closed for nothing.
            self.with.directories.gates().open(self.with.shard, current);
            return;
        }
        tracing::warn!(shard = %self.with.shard, epoch = %current, reason, "the shard recovers");
        metrics::counter!("globalshop_shard_recoveries_total").increment(1);
        self.clear(me, current, "its shard recovers");
    }

    /// Lets nobody in and ends everything that runs here; goes on when that is done.
    fn clear(&mut self, me: &Address<ShardMessage>, epoch: Epoch, reason: &str) {
        self.with.directories.gates().close(self.with.shard);
        if let Some(writer) = self.with.writer.load_full() {
            writer.tell(PersistenceMessage::Disown(self.with.shard));
        }
        self.hold.clearing(epoch);
        self.tenancy = None;
        me.stats().set_life(Life::Starting);
        for child in self.children.values() {
            forget(&self.with.directories, &child.entity);
            child.cell.stop(Some(reason.to_owned()));
        }
        for (_, cell) in self.residents.values() {
            cell.stop(Some(reason.to_owned()));
        }
        self.with.timers.leave(self.with.shard);
        if let Some((_, cell)) = &self.timer {
            cell.stop(Some(reason.to_owned()));
        }
        for reply in std::mem::take(&mut self.waiting).into_values().flatten() {
            tell(reply, Err(reason.to_owned()));
        }
        self.proceed(me);
    }

    /// Whether nothing runs here.
    fn is_clear(&self) -> bool {
        self.children.is_empty() && self.residents.is_empty() && self.timer.is_none()
    }

    fn sweep(&mut self) {
        let now = self.with.spawner.clock().instant();
        for child in self.children.values() {
            (child.rest)(now);
        }
        self.trouble.retain(|_, trouble| {
            trouble
                .quarantined_until(&RestartPolicy::ENTITY)
                .is_some_and(|until| until > now)
        });
    }

    async fn child_ended(&mut self, me: &Address<ShardMessage>, child: Ended) -> Result<(), Failure> {
        let now = self.with.spawner.clock().instant();
        if let Some(ended) = self.children.remove(&child.id) {
            let entity = ended.entity;
            self.by_entity.remove(&entity);
            forget(&self.with.directories, &entity);
            if let Some(failure) = &child.failure {
                tracing::warn!(%entity, %failure, "an entity failed; it will be replayed when it is next asked");
                self.trouble
                    .entry(entity.clone())
                    .or_default()
                    .note(&RestartPolicy::ENTITY, now);
            }
            self.activate_for_waiting(me, entity).await;
        } else if let Some((index, _)) = self.residents.remove(&child.id) {
            if self.hold.owned().is_some() {
                let failure = child.failure.as_deref().unwrap_or("stopped");
                tracing::warn!(shard = %self.with.shard, failure, "a resident of the shard ended; restarting it");
                match self.resident_trouble.note(&RestartPolicy::PART, now) {
                    Some(pause) => later(me, self.with.spawner.clock(), pause, ShardMessage::Readmit(index)),
                    None => return Err(format!("a resident keeps failing: {failure}").into()),
                }
            }
        } else if self.timer.as_ref().is_some_and(|(id, _)| *id == child.id) {
            self.timer = None;
            if self.hold.owned().is_some() {
                // Its memory is what the journal says: read it again the one way there is.
                self.disturbed(me, None, "its timer actor failed");
            }
        }
        if self.hold.is_clearing() {
            self.proceed(me);
        }
        Ok(())
    }
}

impl Drop for ShardState {
    fn drop(&mut self) {
        self.with.directories.gates().close(self.with.shard);
        self.with.timers.leave(self.with.shard);
        for child in self.children.values() {
            forget(&self.with.directories, &child.entity);
        }
    }
}
