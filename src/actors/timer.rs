//! The durable timers of one shard, kept in memory while the shard is owned.
//!
//! The journal has the truth; this actor reads it once when the shard is taken and then hears of
//! every change after its commit. A due entity is woken at least once: the entity decides what its
//! deadline means, and its answer sets the next one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::task::AbortHandle;

use super::ask::{Ask, AskError};
use super::directory::Directories;
use super::supervise::{Address, Failure, Member};
use crate::clock::Clock;
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{Entity, EntityId, Kind, Millis, Shard};
use crate::journal::Timer;

/// How long to wait before an entity that did not take its wake-up is woken again.
const RETRY: Duration = Duration::from_secs(2);
/// How many entities are woken at the same time.
const WAKING_LIMIT: usize = 64;
/// The longest single sleep: a jump of the wall clock is noticed within this.
const SLEEP_LIMIT: Duration = Duration::from_secs(5);

/// Where changed timers are told, by shard.
#[derive(Clone, Debug, Default)]
pub struct TimerBoard(Arc<DashMap<Shard, Address<TimerMessage>>>);

impl TimerBoard {
    /// Tells that an entity's timer changed. Before a shard's timer actor runs nobody needs to know:
    /// it reads the journal when it starts.
    pub fn armed(&self, shard: Shard, entity: EntityId, due_at: Option<Millis>) {
        if let Some(timer) = self.0.get(&shard) {
            timer.tell(TimerMessage::Armed { entity, due_at });
        }
    }

    pub(super) fn enter(&self, shard: Shard, timer: Address<TimerMessage>) {
        self.0.insert(shard, timer);
    }

    pub(super) fn leave(&self, shard: Shard) {
        self.0.remove(&shard);
    }
}

/// What a timer actor is told.
#[derive(Debug)]
pub enum TimerMessage {
    /// An entity's timer changed.
    Armed {
        /// Whose.
        entity: EntityId,
        /// When it is due; `None` for never.
        due_at: Option<Millis>,
    },
    /// Time has passed.
    Tick,
    /// An entity has answered its wake-up.
    Woken {
        /// Which.
        entity: EntityId,
        /// What it was due at.
        due_at: Millis,
    },
}

/// Starts timer actors.
pub struct TimerActor;

/// What a timer actor starts from.
pub struct TimerArguments {
    /// The door to the entities.
    pub directories: Arc<Directories>,
    /// The clock.
    pub clock: Clock,
    /// The timers the journal has.
    pub timers: Vec<Timer>,
}

/// What a timer actor keeps.
pub struct TimerState {
    directories: Arc<Directories>,
    clock: Clock,
    due: HashMap<EntityId, Millis>,
    queue: BTreeSet<(Millis, EntityId)>,
    waking: usize,
    sleep: Option<(Millis, AbortHandle)>,
}

impl Member for TimerActor {
    type Message = TimerMessage;
    type Arguments = TimerArguments;
    type State = TimerState;

    const LABELS: &'static [&'static str] = &["armed", "tick", "woken"];

    fn label(message: &TimerMessage) -> usize {
        match message {
            TimerMessage::Armed { .. } => 0,
            TimerMessage::Tick => 1,
            TimerMessage::Woken { .. } => 2,
        }
    }

    async fn start(&self, me: &Address<TimerMessage>, with: TimerArguments) -> Result<TimerState, Failure> {
        let mut state = TimerState {
            directories: with.directories,
            clock: with.clock,
            due: HashMap::new(),
            queue: BTreeSet::new(),
            waking: 0,
            sleep: None,
        };
        for Timer { entity, due_at } in with.timers {
            state.arm(entity, Some(due_at));
        }
        state.sleep(me);
        Ok(state)
    }

    async fn handle(
        &self,
        me: &Address<TimerMessage>,
        message: TimerMessage,
        state: &mut TimerState,
    ) -> Result<(), Failure> {
        match message {
            TimerMessage::Armed { entity, due_at } => state.arm(entity, due_at),
            TimerMessage::Tick => state.sleep = None,
            TimerMessage::Woken { entity, due_at } => {
                state.waking -= 1;
                // Still due at the same time: the wake-up did not take. Try again a little later.
                if state.due.get(&entity) == Some(&due_at) {
                    let pause = i64::try_from(RETRY.as_millis()).unwrap_or(0);
                    state.queue.insert((Millis(state.clock.now().0 + pause), entity));
                }
            }
        }
        state.wake_due(me);
        state.sleep(me);
        Ok(())
    }
}

impl TimerState {
    fn arm(&mut self, entity: EntityId, due_at: Option<Millis>) {
        if let Some(old) = self.due.remove(&entity) {
            self.queue.remove(&(old, entity.clone()));
        }
        if let Some(due_at) = due_at {
            self.due.insert(entity.clone(), due_at);
            self.queue.insert((due_at, entity));
        }
    }

    fn wake_due(&mut self, me: &Address<TimerMessage>) {
        let now = self.clock.now();
        while self.waking < WAKING_LIMIT && self.queue.first().is_some_and(|(due_at, _)| *due_at <= now) {
            let Some((_, entity)) = self.queue.pop_first() else {
                return;
            };
            let Some(&due_at) = self.due.get(&entity) else {
                continue;
            };
            // A retry whose entity is due later: it has a new deadline, or was woken while the clock was wrong.
            if due_at > now {
                self.queue.insert((due_at, entity));
                continue;
            }
            self.waking += 1;
            let directories = Arc::clone(&self.directories);
            let me = me.clone();
            tokio::spawn(async move {
                wake(&directories, &entity).await;
                me.tell(TimerMessage::Woken { entity, due_at });
            });
        }
    }

    /// Sleeps until the next timer is due, or a while, whichever is sooner.
    fn sleep(&mut self, me: &Address<TimerMessage>) {
        let Some(&(next, _)) = self.queue.first() else {
            return;
        };
        if self.waking >= WAKING_LIMIT {
            return;
        }
        if let Some((until, task)) = &self.sleep {
            if *until <= next {
                return;
            }
            task.abort();
        }
        let wait = u64::try_from(next.since(self.clock.now())).unwrap_or(0);
        let wait = Duration::from_millis(wait).min(SLEEP_LIMIT);
        let clock = self.clock.clone();
        let me = me.clone();
        let task = tokio::spawn(async move {
            clock.sleep(wait).await;
            me.tell(TimerMessage::Tick);
        });
        self.sleep = Some((next, task.abort_handle()));
    }
}

impl Drop for TimerState {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.sleep {
            task.abort();
        }
    }
}

async fn wake(directories: &Directories, entity: &EntityId) {
    match entity.kind() {
        Kind::Cart => wake_one::<Cart>(directories, entity).await,
        Kind::Order => wake_one::<Order>(directories, entity).await,
        Kind::Product => wake_one::<Product>(directories, entity).await,
        Kind::Stock => wake_one::<Stock>(directories, entity).await,
        Kind::Unknown => tracing::error!(%entity, "a timer of nobody is due"),
    }
}

async fn wake_one<E: super::Hosted>(directories: &Directories, entity: &EntityId) {
    let Some(command) = <E as Entity>::wake() else {
        return;
    };
    match directories.ask::<E>(entity, Ask::new(command)).await {
        Ok(_) => {}
        Err(AskError::Refused(refusal)) => tracing::warn!(%entity, %refusal, "a wake-up was refused"),
        Err(error) => tracing::warn!(%entity, %error, "a wake-up was not answered; it will be repeated"),
    }
}
