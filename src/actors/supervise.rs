//! The one way to start an actor.
//!
//! ractor gives mailboxes, links and captured panics. What it leaves open is settled here, once:
//! mailboxes have a limit; a child's end is told to the parent and stops nobody; every message is
//! counted and timed out of band; restarts have an intensity and a backoff.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SpawnErr, SupervisionEvent,
};
use tokio::time::Instant;

use super::stats::{Life, Place, Stats, Tree};
use crate::clock::Clock;

/// Why an actor stops: its memory can no longer be trusted.
pub type Failure = ActorProcessingErr;

/// An actor of the tree.
pub trait Member: Send + Sync + 'static {
    /// What it is sent.
    type Message: Send + 'static;
    /// What it starts from.
    type Arguments: Send + 'static;
    /// What it keeps.
    type State: Send + 'static;

    /// Names of its messages, for counting.
    const LABELS: &'static [&'static str];

    /// Which name a message has: an index into [`Member::LABELS`].
    fn label(message: &Self::Message) -> usize;

    /// Starts. Must not wait for anything slow: the parent waits for it.
    fn start(
        &self,
        me: &Address<Self::Message>,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<Self::State, Failure>> + Send;

    /// Handles one message. `Err` stops the actor and tells its parent.
    fn handle(
        &self,
        me: &Address<Self::Message>,
        message: Self::Message,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A child has ended.
    fn child_ended(
        &self,
        me: &Address<Self::Message>,
        child: Ended,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (me, child, state);
        async { Ok(()) }
    }
}

/// How a child ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub id: ActorId,
    /// Why it failed; `None` when it stopped by itself or was told to.
    pub failure: Option<String>,
}

/// Starts actors and knows them.
#[derive(Clone, Debug)]
pub struct Spawner {
    tree: Arc<Tree>,
    clock: Clock,
}

impl Spawner {
    /// A spawner that enters its actors into `tree`.
    #[must_use]
    pub const fn new(tree: Arc<Tree>, clock: Clock) -> Self {
        Self { tree, clock }
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Starts an actor at `place`, under `parent` if it has one, with room for `limit` messages.
    ///
    /// # Errors
    /// When [`Member::start`] fails.
    pub async fn spawn<M: Member>(
        &self,
        place: Place,
        limit: u32,
        member: M,
        arguments: M::Arguments,
        parent: Option<&ActorCell>,
    ) -> Result<Address<M::Message>, SpawnErr> {
        let stats = self.tree.enter(place, M::LABELS, self.clock.instant());
        let tracked = Tracked {
            member,
            stats: Arc::clone(&stats),
            limit,
            spawner: self.clone(),
        };
        let spawned = match parent {
            Some(parent) => Actor::spawn_linked(None, tracked, arguments, parent.clone()).await,
            None => Actor::spawn(None, tracked, arguments).await,
        };
        match spawned {
            Ok((actor, _)) => Ok(Address {
                actor,
                stats,
                limit,
                clock: self.clock.clone(),
            }),
            Err(error) => {
                self.tree.leave(&stats, Some(&error.to_string()));
                Err(error)
            }
        }
    }
}

/// Where to send an actor its messages. Cheap to clone.
pub struct Address<M: Send + 'static> {
    actor: ActorRef<Envelope<M>>,
    stats: Arc<Stats>,
    limit: u32,
    clock: Clock,
}

impl<M: Send + 'static> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            stats: Arc::clone(&self.stats),
            limit: self.limit,
            clock: self.clock.clone(),
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stats.place.path)
    }
}

/// A message that did not reach the mailbox, handed back.
#[derive(Debug)]
pub enum Undelivered<M> {
    /// The mailbox is full.
    Full(M),
    /// The actor is gone.
    Gone(M),
}

struct Envelope<M> {
    sent: Instant,
    message: M,
}

impl<M: Send + 'static> Address<M> {
    /// Sends a message unless the mailbox is full.
    ///
    /// # Errors
    /// The message comes back when the mailbox is full or the actor is gone.
    pub fn send(&self, message: M) -> Result<(), Undelivered<M>> {
        if self.stats.mailbox() >= u64::from(self.limit) {
            self.stats.refused();
            return Err(Undelivered::Full(message));
        }
        self.deliver(message).map_err(Undelivered::Gone)
    }

    /// Sends a message that must not be lost to a full mailbox: an outcome, a lifecycle step. Its
    /// number is bounded by what was admitted before. `false` if the actor is gone.
    pub fn tell(&self, message: M) -> bool {
        self.deliver(message).is_ok()
    }

    fn deliver(&self, message: M) -> Result<(), M> {
        let envelope = Envelope {
            sent: self.clock.instant(),
            message,
        };
        self.stats.sent();
        match self.actor.send_message(envelope) {
            Ok(()) => Ok(()),
            Err(MessagingErr::SendErr(envelope)) => {
                self.stats.unsent();
                Err(envelope.message)
            }
            // No other error hands the message to anyone, and local sends know no other.
            Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => {
                unreachable!("a typed local send fails only with the message in hand")
            }
        }
    }

    /// The actor itself, for links and stops.
    #[must_use]
    pub fn cell(&self) -> ActorCell {
        self.actor.get_cell()
    }

    /// The actor's id within this process.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.actor.get_id()
    }

    /// Its figures.
    #[must_use]
    pub const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Whether both lead to the same activation.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id() == other.id()
    }

    /// Lets it finish what is in its mailbox and then stop; later messages come back as gone.
    pub fn drain(&self) {
        self.stats.set_life(Life::Stopping);
        // Failing means it is already gone, which is what was wanted.
        drop(self.actor.get_cell().drain());
    }
}

/// Ends everything below an actor, in the order in which it was started. ractor would do it in the
/// order of a hash map, and a simulation could not be repeated.
pub(super) fn kill_below(actor: &ActorCell) {
    let mut children = actor.get_children();
    children.sort_by_key(ActorCell::get_id);
    for child in children {
        kill_below(&child);
        child.kill();
    }
}

/// A [`Member`] inside ractor.
struct Tracked<M> {
    member: M,
    stats: Arc<Stats>,
    limit: u32,
    spawner: Spawner,
}

impl<M: Member> Tracked<M> {
    fn address(&self, actor: ActorRef<Envelope<M::Message>>) -> Address<M::Message> {
        Address {
            actor,
            stats: Arc::clone(&self.stats),
            limit: self.limit,
            clock: self.spawner.clock.clone(),
        }
    }
}

impl<M> Tracked<M> {
    /// Runs a step of the member. A panic becomes a failure that says what it said.
    async fn run(&self, step: impl Future<Output = Result<(), Failure>> + Send) -> Result<(), Failure> {
        let result = AssertUnwindSafe(step)
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| {
                let said = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no message".to_owned());
                Err(format!("panicked: {said}").into())
            });
        if let Err(error) = &result {
            self.spawner.tree.leave(&self.stats, Some(&error.to_string()));
        }
        result
    }
}

impl<M> Drop for Tracked<M> {
    fn drop(&mut self) {
        if self.stats.life() != Life::Down {
            self.spawner.tree.leave(&self.stats, None);
        }
    }
}

struct Kept<M: Member> {
    state: M::State,
    me: Address<M::Message>,
}

impl<M: Member> Actor for Tracked<M> {
    type Msg = Envelope<M::Message>;
    type State = Kept<M>;
    type Arguments = M::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let me = self.address(myself);
        let state = self.member.start(&me, arguments).await?;
        self.stats.set_life(Life::Running);
        Ok(Kept { state, me })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let label = M::label(&envelope.message);
        let begun = self.spawner.clock.instant();
        self.stats.taken(envelope.sent, begun);
        let result = if self.stats.is_doomed() {
            self.run(async { Err("doomed by a simulation".into()) }).await
        } else {
            self.run(self.member.handle(&kept.me, envelope.message, &mut kept.state))
                .await
        };
        self.stats.done(label, begun.elapsed());
        if result.is_err() {
            kill_below(&myself.get_cell());
        }
        result
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let ended = match event {
            SupervisionEvent::ActorTerminated(cell, _, _) => Ended {
                id: cell.get_id(),
                failure: None,
            },
            SupervisionEvent::ActorFailed(cell, error) => {
                let failure = error.to_string();
                Ended {
                    id: cell.get_id(),
                    failure: Some(failure),
                }
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let result = self
            .run(self.member.child_ended(&kept.me, ended, &mut kept.state))
            .await;
        if result.is_err() {
            kill_below(&myself.get_cell());
        }
        result
    }
}

/// How often something may be restarted, and how long to wait before.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// At most this many …
    pub limit: usize,
    /// … within this time; then it is given up.
    pub window: Duration,
    /// The first pause; doubled at each restart within the window.
    pub pause: Duration,
    /// The longest pause.
    pub pause_limit: Duration,
}

impl RestartPolicy {
    /// What parts of the node get: ten restarts a minute.
    pub const PART: Self = Self {
        limit: 10,
        window: Duration::from_secs(60),
        pause: Duration::from_millis(50),
        pause_limit: Duration::from_secs(5),
    };
    /// What an entity gets before it is quarantined: five failures in ten seconds.
    pub const ENTITY: Self = Self {
        limit: 5,
        window: Duration::from_secs(10),
        pause: Duration::from_millis(10),
        pause_limit: Duration::from_secs(1),
    };
}

/// The recent failures of one place.
#[derive(Clone, Debug, Default)]
pub struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Notes a failure: how long to wait before the restart, or `None` if the place is given up.
    pub fn note(&mut self, policy: &RestartPolicy, now: Instant) -> Option<Duration> {
        while self
            .0
            .front()
            .is_some_and(|first| now.saturating_duration_since(*first) > policy.window)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        if self.0.len() > policy.limit {
            return None;
        }
        let doublings = u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX).min(20);
        Some(
            policy
                .pause
                .saturating_mul(1 << doublings)
                .min(policy.pause_limit),
        )
    }

    /// When the place may be tried again after it was given up.
    #[must_use]
    pub fn quarantined_until(&self, policy: &RestartPolicy) -> Option<Instant> {
        let last = self.0.back()?;
        (self.0.len() > policy.limit).then(|| *last + policy.window)
    }
}
