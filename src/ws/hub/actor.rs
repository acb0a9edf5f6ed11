//! Runs the hub as an actor of the node's tree, under a supervisor that brings it back.
//!
//! ```text
//! live                 restarts the hub, counts what is open, passes on changed rights
//! └── hub              the one state machine
//! ```
//!
//! A hub that comes back knows nobody: every connection is asked to come back too, each in its own
//! moment, and resumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{Effect, Hub, Subscribe};
use crate::actors::stats::Place;
use crate::actors::supervise::{Address, Ended, Failure, Member, RestartPolicy, Restarts, Spawner};
use crate::clock::Clock;
use crate::domain::{Shard, ShardCount};
use crate::relay::Tails;
use crate::ws::channel::Channel;
use crate::ws::figures::Figures;
use crate::ws::outbox::{Followed, Outbox};
use crate::ws::protocol::{Close, CloseCode};
use crate::ws::registry::Registry;
use crate::ws::source::{Owners, Silent, Sources};
use crate::ws::topic::Answer;
use crate::ws::viewer::Viewer;

/// Messages the hub may have waiting before subscriptions are refused.
const MAILBOX: u32 = 65_536;
/// Messages the supervisor may have waiting.
const SUPERVISOR_MAILBOX: u32 = 1_024;
/// Owners asked at once.
const ASKED_AT_ONCE: usize = 256;
/// The shelf is looked at again this often at most.
const SHELF_PAUSE: Duration = Duration::from_millis(20);
/// Carts look at it this often at most.
const CART_PAUSE: Duration = Duration::from_secs(1);
/// How often the gauges are set.
const COUNT_PAUSE: Duration = Duration::from_secs(2);
/// Over how long connections come back after the hub was lost.
const COME_BACK: Duration = Duration::from_secs(2);

/// What a hub is made of.
#[derive(Clone, Debug)]
pub struct HubArguments {
    /// Where what it shows comes from.
    pub sources: Sources,
    /// The committed events.
    pub tails: Tails,
    /// How many shards there are.
    pub shards: ShardCount,
    /// Its counters.
    pub figures: Figures,
}

/// What the hub is sent.
#[derive(Debug)]
pub enum HubMessage {
    /// Somebody wants to follow a channel.
    Subscribe(Box<Subscribe>),
    /// Somebody follows channels no longer.
    Unsubscribe {
        /// Whose connection.
        connection: u64,
        /// What it followed.
        followed: Vec<Followed>,
    },
    /// What somebody may see has changed.
    Review {
        /// Whose connection.
        outbox: Arc<Outbox>,
        /// As whom.
        viewer: Option<Arc<Viewer>>,
    },
    /// A watched shard has new events.
    Moved(Shard),
    /// An owner answered.
    Answered {
        /// About which channel.
        channel: Channel,
        /// Which question.
        turn: u64,
        /// What.
        answer: Result<Answer, Silent>,
    },
    /// The shelf has changed.
    Shelf,
    /// The shelf has changed a second ago.
    Carts,
}

/// The way to whichever hub runs now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HubDoor(Arc<ArcSwapOption<Address<HubMessage>>>);

impl HubDoor {
    /// Sends a message; `false` when there is no hub or no room.
    #[must_use]
    pub fn send(&self, message: HubMessage) -> bool {
        self.0
            .load()
            .as_ref()
            .is_some_and(|hub| hub.send(message).is_ok())
    }

    /// Sends a message that must arrive if there is a hub; their number is bounded by what was sent
    /// before.
    pub fn tell(&self, message: HubMessage) {
        if let Some(hub) = self.0.load().as_ref() {
            hub.tell(message);
        }
    }
}

/// The actor.
struct HubActor;

struct Running {
    hub: Hub,
    owners: Arc<dyn Owners>,
    asked: Arc<Semaphore>,
    clock: Clock,
    pending: Arc<[AtomicBool]>,
    carts_due: bool,
    _followers: [AbortOnDropHandle<()>; 2],
}

impl Member for HubActor {
    type Message = HubMessage;
    type Arguments = (HubArguments, Clock);
    type State = Running;

    const LABELS: &'static [&'static str] = &[
        "subscribe",
        "unsubscribe",
        "review",
        "moved",
        "answered",
        "shelf",
        "carts",
    ];

    fn label(message: &HubMessage) -> usize {
        match message {
            HubMessage::Subscribe(_) => 0,
            HubMessage::Unsubscribe { .. } => 1,
            HubMessage::Review { .. } => 2,
            HubMessage::Moved(_) => 3,
            HubMessage::Answered { .. } => 4,
            HubMessage::Shelf => 5,
            HubMessage::Carts => 6,
        }
    }

    async fn start(
        &self,
        me: &Address<HubMessage>,
        (arguments, clock): Self::Arguments,
    ) -> Result<Running, Failure> {
        let HubArguments {
            sources,
            tails,
            shards,
            figures,
        } = arguments;
        let pending: Arc<[AtomicBool]> = shards.all().map(|_| AtomicBool::new(false)).collect();
        let shelf = sources.shelf.revisions();
        let followers = [
            tokio::spawn(follow_tails(tails.clone(), Arc::clone(&pending), me.clone())),
            tokio::spawn(follow_shelf(shelf, clock.clone(), me.clone())),
        ];
        Ok(Running {
            owners: Arc::clone(&sources.owners),
            hub: Hub::new(sources, tails, shards, figures),
            asked: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            clock,
            pending,
            carts_due: false,
            _followers: followers.map(AbortOnDropHandle::new),
        })
    }

    async fn handle(
        &self,
        me: &Address<HubMessage>,
        message: HubMessage,
        running: &mut Running,
    ) -> Result<(), Failure> {
        let now = running.clock.now();
        let hub = &mut running.hub;
        match message {
            HubMessage::Subscribe(subscribe) => hub.subscribe(*subscribe, now),
            HubMessage::Unsubscribe { connection, followed } => {
                for followed in &followed {
                    hub.unsubscribe(connection, followed);
                }
            }
            HubMessage::Review { outbox, viewer } => {
                for followed in outbox.followed() {
                    hub.review(&outbox, &followed, viewer.as_ref());
                }
            }
            HubMessage::Moved(shard) => {
                // Cleared first: what comes while we read is told again.
                if let Some(pending) = running.pending.get(usize::from(shard.0)) {
                    pending.store(false, SeqCst);
                }
                hub.moved(shard, now);
            }
            HubMessage::Answered {
                channel,
                turn,
                answer,
            } => hub.answered(&channel, turn, answer, now),
            HubMessage::Shelf => {
                hub.shelf_changed(now);
                if !running.carts_due {
                    running.carts_due = true;
                    let (me, clock) = (me.clone(), running.clock.clone());
                    tokio::spawn(async move {
                        clock.sleep(CART_PAUSE).await;
                        me.tell(HubMessage::Carts);
                    });
                }
            }
            HubMessage::Carts => {
                running.carts_due = false;
                hub.carts_due(now);
            }
        }
        for effect in running.hub.effects() {
            running.put(effect, me);
        }
        Ok(())
    }
}

impl Running {
    /// Asks an owner, beside everything else. Bounded in number and, by the owner, in time.
    fn put(&self, effect: Effect, me: &Address<HubMessage>) {
        let Effect::Ask { channel, turn, pause } = effect;
        let (owners, asked) = (Arc::clone(&self.owners), Arc::clone(&self.asked));
        let (me, clock) = (me.clone(), self.clock.clone());
        tokio::spawn(async move {
            if !pause.is_zero() {
                clock.sleep(pause).await;
            }
            let answer = match asked.acquire().await {
                Ok(_permit) => match &channel {
                    Channel::Cart(id) => owners.cart(*id).await.map(Answer::Cart),
                    Channel::Order(id) => owners.order(*id).await.map(Answer::Order),
                    Channel::Product(_) => Err(Silent),
                },
                Err(_) => Err(Silent),
            };
            me.tell(HubMessage::Answered {
                channel,
                turn,
                answer,
            });
        });
    }
}

/// Tells the hub of every shard whose head moves, at most once until it looks.
async fn follow_tails(tails: Tails, pending: Arc<[AtomicBool]>, hub: Address<HubMessage>) {
    let mut moves: FuturesUnordered<_> = tails
        .iter()
        .map(|tail| {
            let (shard, mut head) = (tail.shard(), tail.watch());
            async move {
                head.changed().await;
                (shard, head)
            }
        })
        .map(futures_util::FutureExt::boxed)
        .collect();
    while let Some((shard, mut head)) = moves.next().await {
        let flag = pending.get(usize::from(shard.0));
        if flag.is_some_and(|flag| !flag.swap(true, SeqCst)) && !hub.tell(HubMessage::Moved(shard)) {
            return;
        }
        moves.push(futures_util::FutureExt::boxed(async move {
            head.changed().await;
            (shard, head)
        }));
    }
}

/// Tells the hub of changes of the shelf, bunched.
async fn follow_shelf(
    mut revisions: tokio::sync::watch::Receiver<u64>,
    clock: Clock,
    hub: Address<HubMessage>,
) {
    while revisions.changed().await.is_ok() {
        if !hub.tell(HubMessage::Shelf) {
            return;
        }
        clock.sleep(SHELF_PAUSE).await;
    }
}

/// What the supervisor is sent.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// Start the hub (again).
    Start,
    /// Look at the figures.
    Count,
}

/// The supervisor of the hub.
pub struct Supervisor;

/// What the supervisor starts from.
pub struct SupervisorArguments {
    /// What the hub is made of.
    pub hub: HubArguments,
    /// Where to put its address.
    pub door: HubDoor,
    /// The open connections.
    pub registry: Arc<Registry>,
    /// Starts actors.
    pub spawner: Spawner,
    /// The supervisor's own place.
    pub place: Place,
    /// Who follows changed rights; stops with the supervisor.
    pub _rights: AbortOnDropHandle<()>,
}

/// What the supervisor keeps.
pub struct SupervisorState {
    arguments: SupervisorArguments,
    restarts: Restarts,
}

impl Supervisor {
    /// How many messages it may have waiting.
    pub const MAILBOX: u32 = SUPERVISOR_MAILBOX;
}

impl SupervisorState {
    async fn start_hub(&mut self, me: &Address<SupervisorMessage>) {
        let SupervisorArguments {
            hub,
            door,
            spawner,
            place,
            ..
        } = &self.arguments;
        let started = spawner
            .spawn(
                place.child("hub", "0"),
                MAILBOX,
                HubActor,
                (hub.clone(), spawner.clock().clone()),
                Some(&me.cell()),
            )
            .await;
        match started {
            Ok(address) => door.0.store(Some(Arc::new(address))),
            Err(error) => self.start_later(me, &error.to_string()),
        }
    }

    fn start_later(&mut self, me: &Address<SupervisorMessage>, reason: &str) {
        let clock = self.arguments.spawner.clock().clone();
        // The shop sells without its live feed, so the node does not go down with it.
        let policy = &RestartPolicy::PART;
        let pause = self
            .restarts
            .note(policy, clock.instant())
            .unwrap_or(policy.window);
        tracing::error!(reason, ?pause, "the hub of the live feed failed; restarting it");
        tell_later(me.clone(), clock, pause, || SupervisorMessage::Start);
    }
}

fn tell_later(
    to: Address<SupervisorMessage>,
    clock: Clock,
    pause: Duration,
    message: fn() -> SupervisorMessage,
) {
    tokio::spawn(async move {
        clock.sleep(pause).await;
        to.tell(message());
    });
}

impl Member for Supervisor {
    type Message = SupervisorMessage;
    type Arguments = SupervisorArguments;
    type State = SupervisorState;

    const LABELS: &'static [&'static str] = &["start", "count"];

    fn label(message: &SupervisorMessage) -> usize {
        match message {
            SupervisorMessage::Start => 0,
            SupervisorMessage::Count => 1,
        }
    }

    async fn start(
        &self,
        me: &Address<SupervisorMessage>,
        arguments: SupervisorArguments,
    ) -> Result<SupervisorState, Failure> {
        me.tell(SupervisorMessage::Start);
        me.tell(SupervisorMessage::Count);
        Ok(SupervisorState {
            arguments,
            restarts: Restarts::default(),
        })
    }

    async fn handle(
        &self,
        me: &Address<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), Failure> {
        match message {
            SupervisorMessage::Start => state.start_hub(me).await,
            SupervisorMessage::Count => {
                state.arguments.registry.count();
                let clock = state.arguments.spawner.clock().clone();
                tell_later(me.clone(), clock, COUNT_PAUSE, || SupervisorMessage::Count);
            }
        }
        Ok(())
    }

    async fn child_ended(
        &self,
        me: &Address<SupervisorMessage>,
        child: Ended,
        state: &mut SupervisorState,
    ) -> Result<(), Failure> {
        let door = &state.arguments.door;
        if door.0.load().as_ref().is_some_and(|hub| hub.id() == child.id) {
            door.0.store(None);
            let close = Close::new(CloseCode::Drain, "the feed starts over; come back and resume");
            state.arguments.registry.end_all(close, COME_BACK);
            let reason = child.failure.unwrap_or_else(|| "it stopped".to_owned());
            state.start_later(me, &reason);
        }
        Ok(())
    }
}
