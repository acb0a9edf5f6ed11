//! The lane of one view in one shard: batches, in order, for as long as it takes.
//!
//! A view that cannot be written now is tried again, for ever: it is the same database the journal
//! is in. An event a view can never take (it cannot be read, it breaks a constraint) becomes a dead
//! letter with an alarm, and the view goes on: one bad event must not stop all the others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attempt::{named, said, trace_of};
use super::course::Course;
use super::dead_letter::NewLetter;
use super::lane::wake;
use super::runtime::Relay;
use super::{ReadFault, View, tail};
use crate::actors::supervise::{Address, Failure, Member};
use crate::domain::{Kind, Shard};
use crate::journal::{Position, Recorded};

/// How many events a batch has at most.
const BATCH: usize = 500;
/// How long a view may take for one batch.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long news that concern a view only by their position may wait, so that a busy cart does not
/// keep the catalogue writing. Well below what a reader waits for its own write.
const QUIET: Duration = Duration::from_millis(150);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

/// What a follower is told.
pub(super) enum FollowerMessage {
    /// There may be something to follow.
    Head,
    /// A batch has ended.
    Followed(Result<Place, ReadFault>),
    /// The view has not been told for a while.
    Tell,
    /// The view is further back than it was: it is to be asked where it is.
    Fallen,
}

/// How far a follower has come.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The last position read.
    read: Position,
    /// The last position the view was told of.
    told: Position,
}

/// Starts followers.
pub(super) struct Follower;

/// What a follower works with.
pub(super) struct FollowerArguments {
    pub relay: Relay,
    pub view: Arc<dyn View>,
    pub shard: Shard,
    pub course: Arc<Course>,
}

/// What a follower keeps.
pub(super) struct FollowerState {
    with: Arc<FollowerArguments>,
    /// `None`: the view is to be asked where it is.
    place: Option<Place>,
    busy: bool,
    failures: u32,
    /// A [`FollowerMessage::Tell`] is on its way, or has come while a batch was under way.
    telling: bool,
    tell_now: bool,
    /// A wake-up is in the mailbox already.
    woken: Arc<AtomicBool>,
    _subscriber: Arc<tail::Subscriber>,
    work: JoinSet<()>,
}

impl Member for Follower {
    type Message = FollowerMessage;
    type Arguments = FollowerArguments;
    type State = FollowerState;

    const LABELS: &'static [&'static str] = &["head", "followed", "tell", "fallen"];

    fn label(message: &FollowerMessage) -> usize {
        match message {
            FollowerMessage::Head => 0,
            FollowerMessage::Followed(_) => 1,
            FollowerMessage::Tell => 2,
            FollowerMessage::Fallen => 3,
        }
    }

    async fn start(
        &self,
        me: &Address<FollowerMessage>,
        with: FollowerArguments,
    ) -> Result<FollowerState, Failure> {
        let woken = Arc::new(AtomicBool::new(true));
        let tail = with.relay.tails().of(with.shard);
        let wants = |kind| with.view.wants(kind);
        let subscriber = tail.subscribe(wants, wake(&woken, me, || FollowerMessage::Head));
        me.tell(FollowerMessage::Head);
        Ok(FollowerState {
            with: Arc::new(with),
            place: None,
            busy: false,
            failures: 0,
            telling: false,
            tell_now: false,
            woken,
            _subscriber: subscriber,
            work: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        me: &Address<FollowerMessage>,
        message: FollowerMessage,
        state: &mut FollowerState,
    ) -> Result<(), Failure> {
        while state.work.try_join_next().is_some() {}
        match message {
            FollowerMessage::Head => state.woken.store(false, Relaxed),
            FollowerMessage::Followed(result) => state.followed(result),
            FollowerMessage::Tell => (state.telling, state.tell_now) = (false, true),
            // A batch that is under way finds out by itself.
            FollowerMessage::Fallen if state.busy => {}
            FollowerMessage::Fallen => {
                tracing::warn!(view = state.with.view.name(), shard = %state.with.shard,
                    "a view has lost its last events and follows them again");
                state.place = None;
            }
        }
        state.go_on(me);
        Ok(())
    }
}

impl FollowerState {
    fn followed(&mut self, result: Result<Place, ReadFault>) {
        self.busy = false;
        match result {
            Ok(place) => {
                self.failures = 0;
                self.with.course.reach(place.told, 0);
                self.place = Some(place);
            }
            Err(fault) => {
                self.failures += 1;
                let view = self.with.view.name();
                metrics::counter!("globalshop_relay_retries_total", "consumer" => view).increment(1);
                tracing::error!(view, shard = %self.with.shard, failures = self.failures, reason = fault.story(),
                    "a view cannot follow; it is tried again");
                self.place = None;
            }
        }
    }

    fn go_on(&mut self, me: &Address<FollowerMessage>) {
        if self.busy || self.with.relay.is_draining() {
            return;
        }
        let head = self.with.relay.tails().of(self.with.shard).head();
        match self.place {
            Some(place) if place.read >= head && place.told >= place.read => self.tell_now = false,
            Some(place) if place.read >= head && !self.tell_now => self.tell_later(me),
            _ => self.follow(me),
        }
    }

    fn tell_later(&mut self, me: &Address<FollowerMessage>) {
        if !std::mem::replace(&mut self.telling, true) {
            let (clock, me) = (self.with.relay.clock().clone(), me.clone());
            self.work.spawn(async move {
                clock.sleep(QUIET).await;
                me.tell(FollowerMessage::Tell);
            });
        }
    }

    fn follow(&mut self, me: &Address<FollowerMessage>) {
        self.busy = true;
        let course = &self.with.course;
        course.reach(course.watermark(), 1);
        let clock = self.with.relay.clock();
        let pause = if self.failures > 0 {
            clock.backoff(self.failures, PAUSE, PAUSE_LIMIT) + PAUSE
        } else {
            Duration::ZERO
        };
        let tell_now = std::mem::take(&mut self.tell_now);
        let (with, place, me) = (Arc::clone(&self.with), self.place, me.clone());
        self.work.spawn(async move {
            if !pause.is_zero() {
                with.relay.clock().sleep(pause).await;
            }
            let batch = AssertUnwindSafe(follow(&with, place, tell_now)).catch_unwind();
            let result = match timeout(DEADLINE, batch).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(ReadFault::Temporary {
                    what: format!("panicked: {}", said(&*panic)),
                    source: None,
                }),
                Err(_) => Err(ReadFault::Temporary {
                    what: format!("not done within {DEADLINE:?}"),
                    source: None,
                }),
            };
            me.tell(FollowerMessage::Followed(result));
        });
    }
}

/// Follows one batch. A batch without anything for the view is told only when it is time to.
async fn follow(with: &FollowerArguments, place: Option<Place>, tell_now: bool) -> Result<Place, ReadFault> {
    let FollowerArguments {
        relay,
        view,
        shard,
        course,
    } = with;
    let Place { read, told } = match place {
        Some(place) => place,
        None => {
            let position = view.position(*shard).await?;
            course.restart(position);
            Place {
                read: position,
                told: position,
            }
        }
    };
    let mut events = relay
        .tails()
        .of(*shard)
        .after(relay.journal().as_ref(), read, BATCH)
        .await
        .map_err(|fault| ReadFault::temporary("the journal could not be read", fault))?;
    if events.is_empty() && read < relay.tails().of(*shard).head() {
        return Err(ReadFault::Temporary {
            what: format!("the journal shows nothing after position {read}, and there is more"),
            source: None,
        });
    }
    let read = events.last().map_or(read, |last| last.position);
    events.retain(|event| event.entity.kind() == Kind::Unknown || view.wants(event.entity.kind()));
    if events.is_empty() && (!tell_now || told >= read) {
        return Ok(Place { read, told });
    }
    tell(with, &events, read).await?;
    Ok(Place { read, told: read })
}

/// Hands a batch to the view; if it cannot take it as a whole, event by event.
async fn tell(
    with: &FollowerArguments,
    events: &[Arc<Recorded>],
    through: Position,
) -> Result<(), ReadFault> {
    let fault = match offer(with, events, through).await {
        Err(fault @ ReadFault::Lasting { .. }) if !events.is_empty() => fault,
        other => return other,
    };
    if let [event] = events {
        bury(with, event, &fault).await?;
        return with.view.follow(with.shard, &[], through).await;
    }
    for event in events {
        let one = std::slice::from_ref(event);
        match offer(with, one, event.position).await {
            Ok(()) => {}
            Err(fault @ ReadFault::Lasting { .. }) => {
                bury(with, event, &fault).await?;
                with.view.follow(with.shard, &[], event.position).await?;
            }
            Err(fault) => return Err(fault),
        }
    }
    with.view.follow(with.shard, &[], through).await
}

/// Hands a batch to the view, unless somebody's name in it is none.
async fn offer(
    with: &FollowerArguments,
    events: &[Arc<Recorded>],
    through: Position,
) -> Result<(), ReadFault> {
    events.iter().try_for_each(|event| named(event))?;
    with.view.follow(with.shard, events, through).await
}

/// Raises the alarm and keeps the event among the dead letters.
async fn bury(with: &FollowerArguments, event: &Recorded, fault: &ReadFault) -> Result<(), ReadFault> {
    let clock = with.relay.clock();
    let view = with.view.name();
    let letter = NewLetter {
        id: clock.new_id(),
        consumer: view,
        shard: event.shard,
        position: event.position,
        entity: event.entity.clone(),
        sequence: event.sequence,
        reason: fault.story(),
        attempts: 1,
        blocks: false,
        at: clock.now(),
    };
    metrics::counter!("globalshop_relay_dead_letters_total", "consumer" => view).increment(1);
    tracing::error!(trace_id = trace_of(view, &event.entity, event.sequence), view, entity = %event.entity,
        shard = %event.shard, position = %event.position, letter = %letter.id, reason = letter.reason, "ALARM: a view cannot take an event and goes on without it; rebuild it when the cause is mended");
    with.relay
        .book()
        .bury(&letter)
        .await
        .map_err(|fault| ReadFault::temporary("a dead letter could not be written", fault))
}
