//! The lane of one consumer in one shard.
//!
//! It follows the shard's tail, woken by it and never polling. Events run at the same time, except
//! that those of one entity run one after the other; each ends handled or as a dead letter. Where
//! the lane resumes after a restart is its watermark.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinSet;

use super::attempt::{Settled, settle};
use super::book::BookFault;
use super::course::Course;
use super::runtime::Relay;
use super::window::Window;
use super::{AfterDeadLetter, Consumer, tail};
use crate::actors::supervise::{Address, Failure, Member};
use crate::domain::{EntityId, Kind, Shard};
use crate::journal::{Epoch, JournalFault, Position, Recorded};

/// How many events are read at once.
const READ_LIMIT: usize = 256;
/// Between attempts to reach the database.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between attempts to reach the database.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

/// What a lane is told.
pub(super) enum LaneMessage {
    /// Where it starts, and which entities wait for a dead letter.
    Located(Position, Vec<EntityId>),
    /// There may be something to take.
    Head,
    /// The journal has answered.
    Read(Result<Vec<Arc<Recorded>>, JournalFault>),
    /// An event is settled.
    Ended(Arc<Recorded>, Settled),
    /// A dead letter of this entity was redriven.
    Recheck(EntityId),
}

/// Starts lanes.
pub(super) struct Lane;

/// What a lane works with.
pub(super) struct LaneArguments {
    pub relay: Relay,
    pub consumer: Arc<dyn Consumer>,
    pub shard: Shard,
    pub epoch: Epoch,
    pub course: Arc<Course>,
    pub paused: Arc<AtomicBool>,
}

/// What a lane keeps.
pub(super) struct LaneState {
    with: LaneArguments,
    window: Window,
    /// Entities whose later events become dead letters too.
    blocked: HashSet<EntityId>,
    started: bool,
    reading: bool,
    failures: u32,
    /// A wake-up is in the mailbox already.
    woken: Arc<AtomicBool>,
    _subscriber: Arc<tail::Subscriber>,
    work: JoinSet<()>,
}

impl Member for Lane {
    type Message = LaneMessage;
    type Arguments = LaneArguments;
    type State = LaneState;

    const LABELS: &'static [&'static str] = &["located", "head", "read", "ended", "recheck"];

    fn label(message: &LaneMessage) -> usize {
        match message {
            LaneMessage::Located(..) => 0,
            LaneMessage::Head => 1,
            LaneMessage::Read(_) => 2,
            LaneMessage::Ended(..) => 3,
            LaneMessage::Recheck(_) => 4,
        }
    }

    async fn start(&self, me: &Address<LaneMessage>, with: LaneArguments) -> Result<LaneState, Failure> {
        let woken = Arc::new(AtomicBool::new(false));
        let tail = with.relay.tails().of(with.shard);
        let wants = |kind| with.consumer.wants(kind);
        let subscriber = tail.subscribe(wants, wake(&woken, me, || LaneMessage::Head));
        let mut work = JoinSet::new();
        work.spawn(locate(
            with.relay.clone(),
            with.consumer.name(),
            with.shard,
            me.clone(),
        ));
        Ok(LaneState {
            window: Window::new(Position(0), with.consumer.policy().window),
            with,
            blocked: HashSet::new(),
            started: false,
            reading: false,
            failures: 0,
            woken,
            _subscriber: subscriber,
            work,
        })
    }

    async fn handle(
        &self,
        me: &Address<LaneMessage>,
        message: LaneMessage,
        state: &mut LaneState,
    ) -> Result<(), Failure> {
        while state.work.try_join_next().is_some() {}
        match message {
            LaneMessage::Located(kept, blocked) => {
                let start = state.with.course.start(state.with.epoch, kept);
                state.window = Window::new(start, state.with.consumer.policy().window);
                state.blocked = blocked.into_iter().collect();
                state.started = true;
            }
            LaneMessage::Head => state.woken.store(false, Relaxed),
            LaneMessage::Read(result) => state.take_read(me, result)?,
            LaneMessage::Ended(event, settled) => state.end(me, &event, settled),
            LaneMessage::Recheck(entity) => state.recheck(entity).await,
        }
        state.fill(me)?;
        Ok(())
    }
}

/// Tells an actor that there are news, once until it has looked. Called by the tail that publishes
/// them: a task for each lane that waits for the tail, and is woken to send this message, cost a cart
/// write more than its own actor did.
pub(super) fn wake<M: Send + 'static>(
    woken: &Arc<AtomicBool>,
    whom: &Address<M>,
    message: fn() -> M,
) -> impl Fn() + Send + Sync + use<M> {
    let (woken, whom) = (Arc::clone(woken), whom.clone());
    move || {
        if !woken.swap(true, Relaxed) {
            whom.tell(message());
        }
    }
}

/// Finds out where the lane starts; the database may be away for a while.
async fn locate(relay: Relay, consumer: &'static str, shard: Shard, lane: Address<LaneMessage>) {
    let clock = relay.clock();
    let mut failures = 0;
    let standing = loop {
        match relay.standing().await {
            Ok(standing) => break standing,
            Err(fault) => {
                complain(consumer, shard, &fault);
                clock
                    .sleep(clock.backoff(failures, PAUSE, PAUSE_LIMIT) + PAUSE)
                    .await;
                failures += 1;
            }
        }
    };
    let key = (consumer.to_owned(), shard);
    let kept = standing.positions.get(&key).copied().unwrap_or_default();
    let blocked = standing.blocked.get(&key).cloned().unwrap_or_default();
    lane.tell(LaneMessage::Located(kept, blocked));
}

fn complain(consumer: &'static str, shard: Shard, fault: &BookFault) {
    tracing::warn!(consumer, %shard, %fault, "a lane does not know where to start yet; it will ask again");
}

impl LaneState {
    /// Takes what there is room for: from memory at once, from the journal by asking it.
    fn fill(&mut self, me: &Address<LaneMessage>) -> Result<(), Failure> {
        let stopped = || {
            self.with.paused.load(Relaxed) || self.with.relay.is_draining() || self.with.course.is_fenced()
        };
        if !self.started || self.reading || stopped() {
            return Ok(());
        }
        loop {
            let room = self.window.room().min(READ_LIMIT);
            let through = self.window.through();
            if room == 0 {
                return Ok(());
            }
            match self.with.relay.tails().of(self.with.shard).recent(through, room) {
                Some(events) if events.is_empty() => return Ok(()),
                Some(events) => self.take(me, events)?,
                None => {
                    self.read(me, through, room);
                    return Ok(());
                }
            }
        }
    }

    fn read(&mut self, me: &Address<LaneMessage>, after: Position, limit: usize) {
        self.reading = true;
        let (relay, shard, me) = (self.with.relay.clone(), self.with.shard, me.clone());
        let failures = self.failures;
        self.work.spawn(async move {
            if failures > 0 {
                let clock = relay.clock();
                clock
                    .sleep(clock.backoff(failures, PAUSE, PAUSE_LIMIT) + PAUSE)
                    .await;
            }
            let events = relay.journal().read(shard, after, limit).await;
            me.tell(LaneMessage::Read(
                events.map(|events| events.into_iter().map(Arc::new).collect()),
            ));
        });
    }

    fn take_read(
        &mut self,
        me: &Address<LaneMessage>,
        result: Result<Vec<Arc<Recorded>>, JournalFault>,
    ) -> Result<(), Failure> {
        self.reading = false;
        match result {
            // The tail knows of events that the journal does not show: it has to be asked again.
            Ok(events) if events.is_empty() => self.failures += 1,
            Ok(events) => {
                self.failures = 0;
                self.take(me, events)?;
            }
            Err(fault) => {
                self.failures += 1;
                tracing::warn!(consumer = self.with.consumer.name(), shard = %self.with.shard, %fault,
                    "a lane could not read the journal; it will try again");
            }
        }
        Ok(())
    }

    fn take(&mut self, me: &Address<LaneMessage>, events: Vec<Arc<Recorded>>) -> Result<(), Failure> {
        for event in events {
            let consumer = &self.with.consumer;
            let kind = event.entity.kind();
            if kind == Kind::Unknown || (consumer.wants(kind) && consumer.concerns(&event)) {
                if let Some(event) = self.window.take(event)? {
                    self.start(me, event);
                }
            } else {
                self.window.pass(event.position)?;
            }
        }
        self.moved();
        Ok(())
    }

    fn start(&mut self, me: &Address<LaneMessage>, event: Arc<Recorded>) {
        let relay = self.with.relay.clone();
        let consumer = Arc::clone(&self.with.consumer);
        let blocked = self.blocked.contains(&event.entity);
        let me = me.clone();
        self.work.spawn(async move {
            let settled = settle(&consumer, &event, blocked, relay.book().as_ref(), relay.clock()).await;
            me.tell(LaneMessage::Ended(event, settled));
        });
    }

    fn end(&mut self, me: &Address<LaneMessage>, event: &Recorded, settled: Settled) {
        if settled == Settled::Buried && self.with.consumer.policy().afterwards == AfterDeadLetter::Wait {
            self.blocked.insert(event.entity.clone());
        }
        if let Some(next) = self.window.settle(event) {
            self.start(me, next);
        }
        self.moved();
    }

    fn moved(&self) {
        if self
            .with
            .course
            .reach(self.window.watermark(), self.window.open())
        {
            self.with.relay.poke_saver();
        }
    }

    /// Lets the entity's events run again if no letter of it waits any more. Only this lane writes
    /// letters for it, and none is being written now, so nothing can slip in between.
    async fn recheck(&mut self, entity: EntityId) {
        if self.window.holds(&entity) {
            return;
        }
        match self
            .with
            .relay
            .book()
            .is_blocked(self.with.consumer.name(), &entity)
            .await
        {
            Ok(true) => {}
            Ok(false) => {
                self.blocked.remove(&entity);
            }
            Err(fault) => {
                tracing::warn!(%entity, %fault, "whether an entity still waits is not known; redrive again or restart the lane");
            }
        }
    }
}
