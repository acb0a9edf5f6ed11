//! The root of a node's tree: starts the writers and the shards, restarts what fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{ActorCell, ActorId};
use tokio::sync::watch;

use super::bulk::Bulk;
use super::directory::Directories;
use super::gate::Gates;
use super::persistence::{Load, Persistence, PersistenceArguments, PersistenceMessage};
use super::shard::{Resident, ShardActor, ShardArguments};
use super::stats::{Place, Tree};
use super::supervise::{Address, Ended, Failure, Member, RestartPolicy, Restarts, Spawner, kill_below};
use super::tenure::Tenure;
use super::timer::TimerBoard;
use crate::clock::Clock;
use crate::domain::Shard;
use crate::journal::{Journal, Takeover};
use crate::relay::Tails;

/// How many persistence actors a node runs.
pub const WRITERS: u16 = 2;
const WRITER_MAILBOX: u32 = 200_000;
const SHARD_MAILBOX: u32 = 20_000;
const ROOT_MAILBOX: u32 = 10_000;

/// What a node's tree is made of.
pub struct HeartArguments {
    /// The node's name.
    pub node: Arc<str>,
    /// The name under which it claims shards: the node and its incarnation.
    pub owner: Arc<str>,
    /// What it may do about a shard that somebody else holds.
    pub takeover: Takeover,
    /// With a tenure every shard is taken at once, under it. Without one none is, until the
    /// [gates](Heart::gates) say what is wanted.
    pub tenure: Option<Tenure>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The clock.
    pub clock: Clock,
    /// Where committed events appear.
    pub tails: Tails,
    /// The entities' door, made before the heart so that residents can hold it.
    pub directories: Arc<Directories>,
    /// What runs in every shard.
    pub residents: Vec<Arc<dyn Resident>>,
}

/// The running tree of a node.
#[derive(Debug)]
pub struct Heart {
    root: Address<RootMessage>,
    directories: Arc<Directories>,
    spawner: Spawner,
    loads: Vec<Arc<Load>>,
    bulk: Bulk,
    fatal: watch::Receiver<Option<String>>,
    clock: Clock,
}

/// The entities' door of a node whose heart is yet to start.
#[must_use]
pub fn directories(journal: &Arc<dyn Journal>, clock: &Clock) -> Arc<Directories> {
    let gates = Arc::new(Gates::new(journal.shards()));
    Arc::new(Directories::new(gates, Arc::clone(journal), clock.clone()))
}

impl Heart {
    /// Starts the tree. Shards that are wanted take their leases in the background; see
    /// [`Heart::ready`].
    ///
    /// # Errors
    /// When a part does not start.
    pub async fn start(arguments: HeartArguments) -> Result<Self, Failure> {
        let HeartArguments {
            node,
            owner,
            takeover,
            tenure,
            journal,
            clock,
            tails,
            directories,
            residents,
        } = arguments;
        let spawner = Spawner::new(Arc::new(Tree::default()), clock.clone());
        let root_place = Place::root(&node);
        let (fatal, fatal_seen) = watch::channel(None);
        let root = spawner
            .spawn(
                root_place.clone(),
                ROOT_MAILBOX,
                Root,
                (spawner.clone(), fatal),
                None,
            )
            .await?;
        let timers = TimerBoard::default();
        let residents: Arc<[Arc<dyn Resident>]> = residents.into();
        let mut loads = Vec::new();
        let mut writers = Vec::new();
        for index in 0..WRITERS {
            let load = Arc::new(Load::default());
            loads.push(Arc::clone(&load));
            let slot = Arc::new(ArcSwapOption::empty());
            writers.push((Arc::clone(&slot), Arc::clone(&load)));
            let shards: Arc<[Shard]> = journal
                .shards()
                .all()
                .filter(|shard| shard.0 % WRITERS == index)
                .collect();
            let part = Part::Writer {
                place: root_place.child("persistence", &index.to_string()),
                slot,
                arguments: PersistenceArguments {
                    journal: Arc::clone(&journal),
                    tails: tails.clone(),
                    timers: timers.clone(),
                    gates: Arc::clone(directories.gates()),
                    shards,
                    load,
                },
            };
            root.tell(RootMessage::Start(Box::new(part)));
        }
        for shard in journal.shards().all() {
            if let Some(tenure) = &tenure {
                directories.gates().take(shard, tenure);
            }
            let (writer, load) = &writers[usize::from(shard.0 % WRITERS)];
            let part = Part::Shard(ShardArguments {
                shard,
                owner: Arc::clone(&owner),
                takeover,
                place: root_place.child("shard", &shard.to_string()),
                journal: Arc::clone(&journal),
                writer: Arc::clone(writer),
                load: Arc::clone(load),
                directories: Arc::clone(&directories),
                timers: timers.clone(),
                spawner: spawner.clone(),
                residents: Arc::clone(&residents),
            });
            root.tell(RootMessage::Start(Box::new(part)));
        }
        let bulk = Bulk::new(Arc::clone(&directories), journal, writers, clock.clone());
        Ok(Self {
            root,
            directories,
            spawner,
            loads,
            bulk,
            fatal: fatal_seen,
            clock,
        })
    }

    /// Where the activations are.
    #[must_use]
    pub const fn directories(&self) -> &Arc<Directories> {
        &self.directories
    }

    /// The lane of bulk appends.
    #[must_use]
    pub const fn bulk(&self) -> &Bulk {
        &self.bulk
    }

    /// The gates of the shards.
    #[must_use]
    pub fn gates(&self) -> &Arc<Gates> {
        self.directories.gates()
    }

    /// How to start more actors, and the tree they appear in.
    #[must_use]
    pub const fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// The root, to hang further parts under.
    #[must_use]
    pub fn root(&self) -> ActorCell {
        self.root.cell()
    }

    /// The root's place in the tree.
    #[must_use]
    pub fn place(&self) -> Place {
        self.root.stats().place.clone()
    }

    /// Events queued for the journal.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.loads
            .iter()
            .map(|load| load.queued.load(std::sync::atomic::Ordering::Relaxed))
            .sum()
    }

    /// Waits until every shard answers; `false` if that takes longer than `limit`.
    pub async fn ready(&self, limit: Duration) -> bool {
        let deadline = self.clock.instant() + limit;
        while !self.gates().all_open() {
            if self.clock.instant() >= deadline || self.fatal.borrow().is_some() {
                return false;
            }
            self.clock.sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Tells why the node cannot go on, should that ever happen.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.fatal.clone()
    }

    /// Has actors of the node fail at one of their next messages, as a bug in them would: those of
    /// the kinds that count, all of them or one drawn by `dice`. For simulations. Says where they
    /// stand. The root is spared; without it there is no node.
    pub fn doom(&self, dice: &Clock, all: bool, counts: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let root = self.root.stats().place.kind;
        self.spawner
            .tree()
            .doom(dice, all, |kind| kind != root && counts(kind))
    }

    /// Ends every actor of the node at once, in the order in which they were started; nothing is
    /// saved. For simulations.
    pub fn crash(&self) {
        kill_below(&self.root.cell());
        self.root.cell().kill();
    }

    /// Lets what is queued be written, for at most `limit`.
    pub async fn settle(&self, limit: Duration) {
        let deadline = self.clock.instant() + limit;
        while self.queued() > 0 && self.clock.instant() < deadline {
            self.clock.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the tree: lets what is queued be written, for at most `limit`, then stops every actor.
    pub async fn stop(&self, limit: Duration) {
        let deadline = self.clock.instant() + limit;
        self.settle(limit).await;
        let wait = deadline
            .saturating_duration_since(self.clock.instant())
            .max(Duration::from_millis(100));
        if let Err(error) = self.root.cell().stop_and_wait(None, Some(wait)).await {
            tracing::warn!(%error, "the tree did not stop in time");
        }
    }
}

enum Part {
    Writer {
        place: Place,
        slot: Arc<ArcSwapOption<Address<PersistenceMessage>>>,
        arguments: PersistenceArguments,
    },
    Shard(ShardArguments),
}

impl Part {
    fn name(&self) -> String {
        match self {
            Self::Writer { place, .. } | Self::Shard(ShardArguments { place, .. }) => place.path.to_string(),
        }
    }

    async fn start(&self, spawner: &Spawner, parent: &ActorCell) -> Result<ActorId, Failure> {
        match self {
            Self::Writer {
                place,
                slot,
                arguments,
            } => {
                let writer = spawner
                    .spawn(
                        place.clone(),
                        WRITER_MAILBOX,
                        Persistence,
                        arguments.clone(),
                        Some(parent),
                    )
                    .await?;
                let id = writer.id();
                slot.store(Some(Arc::new(writer)));
                Ok(id)
            }
            Self::Shard(arguments) => {
                let place = arguments.place.clone();
                let shard = spawner
                    .spawn(place, SHARD_MAILBOX, ShardActor, arguments.clone(), Some(parent))
                    .await?;
                Ok(shard.id())
            }
        }
    }
}

enum RootMessage {
    Start(Box<Part>),
}

struct Root;

struct RootState {
    spawner: Spawner,
    parts: HashMap<ActorId, Box<Part>>,
    trouble: HashMap<String, Restarts>,
    fatal: watch::Sender<Option<String>>,
}

impl RootState {
    fn restart(&mut self, me: &Address<RootMessage>, part: Box<Part>, reason: &str) {
        let name = part.name();
        let clock = self.spawner.clock();
        match self
            .trouble
            .entry(name.clone())
            .or_default()
            .note(&RestartPolicy::PART, clock.instant())
        {
            Some(pause) => {
                tracing::error!(
                    part = name,
                    reason,
                    ?pause,
                    "a part of the node failed; restarting it"
                );
                let (me, clock) = (me.clone(), clock.clone());
                tokio::spawn(async move {
                    clock.sleep(pause).await;
                    me.tell(RootMessage::Start(part));
                });
            }
            None => {
                tracing::error!(
                    part = name,
                    reason,
                    "a part of the node keeps failing; the node gives up"
                );
                self.fatal
                    .send_replace(Some(format!("{name} keeps failing: {reason}")));
            }
        }
    }
}

impl Member for Root {
    type Message = RootMessage;
    type Arguments = (Spawner, watch::Sender<Option<String>>);
    type State = RootState;

    const LABELS: &'static [&'static str] = &["start"];

    fn label(_: &RootMessage) -> usize {
        0
    }

    async fn start(
        &self,
        _: &Address<RootMessage>,
        (spawner, fatal): Self::Arguments,
    ) -> Result<RootState, Failure> {
        Ok(RootState {
            spawner,
            parts: HashMap::new(),
            trouble: HashMap::new(),
            fatal,
        })
    }

    async fn handle(
        &self,
        me: &Address<RootMessage>,
        RootMessage::Start(part): RootMessage,
        state: &mut RootState,
    ) -> Result<(), Failure> {
        match part.start(&state.spawner, &me.cell()).await {
            Ok(id) => {
                state.parts.insert(id, part);
            }
            Err(error) => state.restart(me, part, &error.to_string()),
        }
        Ok(())
    }

    async fn child_ended(
        &self,
        me: &Address<RootMessage>,
        child: Ended,
        state: &mut RootState,
    ) -> Result<(), Failure> {
        if let Some(part) = state.parts.remove(&child.id) {
            let reason = child.failure.unwrap_or_else(|| "it stopped".to_owned());
            state.restart(me, part, &reason);
        }
        Ok(())
    }
}
