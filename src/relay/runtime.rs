//! The relay of a node: its readers, the lanes they run in, their positions and their figures.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use dashmap::DashMap;
use ractor::ActorCell;
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout};

use super::book::{Book, BookFault, Standing};
use super::course::Course;
use super::dead_letter::{DeadLetters, LetterCount};
use super::follower::{Follower, FollowerArguments, FollowerMessage};
use super::lane::{Lane, LaneArguments, LaneMessage};
use super::{Consumer, Tails, View, saver};
use crate::actors::shard::{Resident, Tenancy};
use crate::actors::supervise::{Address, Failure};
use crate::clock::Clock;
use crate::domain::{EntityId, Shard};
use crate::journal::Journal;

/// How long one reading of the book serves the lanes that start. A stale position costs
/// repetitions, which consumers are made for, and nothing else.
const STANDING_AGE: Duration = Duration::from_secs(1);
/// How long the last save may take.
const SAVE_LIMIT: Duration = Duration::from_secs(2);
/// Messages a lane may have waiting; their number is bounded by its window.
const LANE_MAILBOX: u32 = 20_000;
/// How long news that do not concern a reader wait until its position moves past them: so a busy
/// cart does not wake every reader of orders. With what a view may wait besides, well below what a
/// reader waits for its own write.
const REMIND: Duration = Duration::from_millis(100);

/// What a relay is made of.
pub struct RelayArguments {
    /// Where positions and dead letters are kept.
    pub book: Arc<dyn Book>,
    /// Where events are read that have left the tails.
    pub journal: Arc<dyn Journal>,
    /// The newest events.
    pub tails: Tails,
    /// The clock.
    pub clock: Clock,
    /// The read models.
    pub views: Vec<Arc<dyn View>>,
    /// The workers.
    pub consumers: Vec<Arc<dyn Consumer>>,
}

/// The relay of a node. Cheap to clone.
#[derive(Clone)]
pub struct Relay(Arc<Parts>);

struct Parts {
    book: Arc<dyn Book>,
    journal: Arc<dyn Journal>,
    tails: Tails,
    clock: Clock,
    views: Vec<Reader<dyn View>>,
    consumers: Vec<Reader<dyn Consumer>>,
    lanes: DashMap<(&'static str, Shard), Address<LaneMessage>>,
    followers: DashMap<(&'static str, Shard), Address<FollowerMessage>>,
    standing: AsyncMutex<Option<(Instant, Arc<Standing>)>>,
    moved: Notify,
    draining: AtomicBool,
    closed: AtomicBool,
    saver: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A view or a consumer, with its progress in every shard.
struct Reader<T: ?Sized> {
    it: Arc<T>,
    name: &'static str,
    courses: Box<[Arc<Course>]>,
    paused: Arc<AtomicBool>,
}

impl<T: ?Sized> Reader<T> {
    fn course(&self, shard: Shard) -> &Arc<Course> {
        &self.courses[usize::from(shard.0) % self.courses.len()]
    }
}

/// How one reader is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReaderFigures {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a view.
    pub view: bool,
    /// Committed events it has not settled, over all shards.
    pub lag: u64,
    /// Events at work or waiting behind one that is.
    pub in_flight: usize,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Whether it says it has handled more than there is: never.
    pub ahead: bool,
}

/// How the relay is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayFigures {
    /// Each reader.
    pub readers: Vec<ReaderFigures>,
    /// Dead letters by consumer.
    pub dead_letters: Vec<LetterCount>,
}

impl RelayFigures {
    /// Dead letters of a consumer that are not done.
    #[must_use]
    pub fn dead(&self, consumer: &str) -> u64 {
        self.dead_letters
            .iter()
            .filter(|count| count.consumer == consumer)
            .map(|count| count.waiting + count.parked)
            .sum()
    }
}

impl Relay {
    /// A relay whose lanes are yet to start: hand [`Relay::residents`] to the heart.
    #[must_use]
    pub fn new(arguments: RelayArguments) -> Self {
        let RelayArguments {
            book,
            journal,
            tails,
            clock,
            views,
            consumers,
        } = arguments;
        let courses = || journal.shards().all().map(|_| Arc::default()).collect();
        let views = views.into_iter().map(|it| Reader {
            name: it.name(),
            courses: courses(),
            paused: Arc::default(),
            it,
        });
        let consumers = consumers.into_iter().map(|it| Reader {
            name: it.name(),
            courses: courses(),
            paused: Arc::default(),
            it,
        });
        let relay = Self(Arc::new(Parts {
            views: views.collect(),
            consumers: consumers.collect(),
            book,
            journal,
            tails,
            clock,
            lanes: DashMap::new(),
            followers: DashMap::new(),
            standing: AsyncMutex::default(),
            moved: Notify::new(),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            saver: Mutex::default(),
        }));
        let task = tokio::spawn(saver::run(relay.clone()));
        tokio::spawn(remind(Arc::downgrade(&relay.0)));
        *relay.0.saver.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        relay
    }

    /// What runs in every owned shard: a follower for each view, a lane for each consumer.
    #[must_use]
    pub fn residents(&self) -> Vec<Arc<dyn Resident>> {
        let views = (0..self.0.views.len()).map(Which::View);
        let consumers = (0..self.0.consumers.len()).map(Which::Consumer);
        views
            .chain(consumers)
            .map(|which| {
                Arc::new(Room {
                    relay: self.clone(),
                    which,
                }) as Arc<dyn Resident>
            })
            .collect()
    }

    /// The operators' side of the dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// How every reader is doing, without asking the book.
    #[must_use]
    pub fn readers(&self) -> Vec<ReaderFigures> {
        let views = self.0.views.iter().map(|reader| self.read(reader, true));
        let consumers = self.0.consumers.iter().map(|reader| self.read(reader, false));
        views.chain(consumers).collect()
    }

    /// How the relay is doing: what the audit of I7 looks at.
    ///
    /// # Errors
    /// When the book fails.
    pub async fn figures(&self) -> Result<RelayFigures, BookFault> {
        Ok(RelayFigures {
            readers: self.readers(),
            dead_letters: self.0.book.count().await?,
        })
    }

    /// Stops a consumer from taking new events, or lets it go on; `false` if there is none of that
    /// name. Not kept over a restart of the node.
    pub fn pause(&self, consumer: &str, pause: bool) -> bool {
        let Some(reader) = self.0.consumers.iter().find(|reader| reader.name == consumer) else {
            return false;
        };
        reader.paused.store(pause, Relaxed);
        self.poke(|name| name == consumer);
        true
    }

    /// Lets no lane take anything new, waits until what they have is settled, for at most `limit`,
    /// and saves the positions. Call it before the heart stops.
    pub async fn drain(&self, limit: Duration) {
        self.0.draining.store(true, Relaxed);
        let deadline = self.0.clock.instant() + limit;
        while self.readers().iter().any(|reader| reader.in_flight > 0) && self.0.clock.instant() < deadline {
            self.0.clock.sleep(Duration::from_millis(10)).await;
        }
        self.0.closed.store(true, Relaxed);
        let task = self.0.saver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            self.poke_saver();
            // It ends after the save at hand; if that hangs, the node does not wait for it.
            drop(tokio::time::timeout(SAVE_LIMIT, task).await);
        }
        if let Err(fault) = saver::save(self).await {
            tracing::warn!(%fault, "the last positions were not saved; some events will be handled again");
        }
        self.0.lanes.clear();
        self.0.followers.clear();
    }

    /// Dies with its node: takes nothing new and saves nothing more.
    pub fn abandon(&self) {
        self.0.draining.store(true, Relaxed);
        self.0.closed.store(true, Relaxed);
        if let Some(task) = self.0.saver.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    fn read<T: ?Sized>(&self, reader: &Reader<T>, view: bool) -> ReaderFigures {
        let mut lag = 0;
        let mut in_flight = 0;
        let mut ahead = false;
        for tail in self.0.tails.iter() {
            let course = reader.course(tail.shard());
            // The watermark first: the head only rises.
            let watermark = course.watermark();
            let behind = tail.head().0 - watermark.0;
            lag += u64::try_from(behind).unwrap_or(0);
            ahead |= behind < 0;
            in_flight += course.open();
        }
        ReaderFigures {
            name: reader.name,
            view,
            lag,
            in_flight,
            paused: reader.paused.load(Relaxed),
            ahead,
        }
    }

    pub(super) fn tell_lags(&self) {
        for reader in self.readers() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is looked at, not counted with"
            )]
            metrics::gauge!("globalshop_relay_lag", "consumer" => reader.name).set(reader.lag as f64);
        }
    }

    pub(super) fn book(&self) -> &Arc<dyn Book> {
        &self.0.book
    }

    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        &self.0.journal
    }

    pub(super) fn tails(&self) -> &Tails {
        &self.0.tails
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn consumer(&self, name: &str) -> Option<Arc<dyn Consumer>> {
        let reader = self.0.consumers.iter().find(|reader| reader.name == name)?;
        Some(Arc::clone(&reader.it))
    }

    pub(super) fn has_view(&self, name: &str) -> bool {
        self.0.views.iter().any(|reader| reader.name == name)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Relaxed)
    }

    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }

    pub(super) fn poke_saver(&self) {
        self.0.moved.notify_one();
    }

    pub(super) fn consumer_courses(&self) -> impl Iterator<Item = (&'static str, Shard, &Course)> {
        self.0.consumers.iter().flat_map(|reader| {
            let shards = self.0.tails.iter().map(super::Tail::shard);
            shards.map(|shard| (reader.name, shard, reader.course(shard).as_ref()))
        })
    }

    pub(super) fn course(&self, consumer: &str, shard: Shard) -> Option<&Course> {
        let reader = self.0.consumers.iter().find(|reader| reader.name == consumer)?;
        Some(reader.course(shard))
    }

    /// What the book says, read at most once a second however many lanes start.
    pub(super) async fn standing(&self) -> Result<Arc<Standing>, BookFault> {
        let mut kept = self.0.standing.lock().await;
        let now = self.0.clock.instant();
        if let Some((at, standing)) = kept.as_ref()
            && now.saturating_duration_since(*at) < STANDING_AGE
        {
            return Ok(Arc::clone(standing));
        }
        let standing = Arc::new(self.0.book.standing().await?);
        *kept = Some((self.0.clock.instant(), Arc::clone(&standing)));
        Ok(standing)
    }

    /// A letter of this entity was redriven: perhaps its later events need not wait any more.
    pub(super) fn recheck(&self, consumer: &str, shard: Shard, entity: EntityId) {
        let reader = self.0.consumers.iter().find(|reader| reader.name == consumer);
        if let Some(lane) = reader.and_then(|reader| self.0.lanes.get(&(reader.name, shard))) {
            lane.tell(LaneMessage::Recheck(entity));
        }
    }

    /// Has every view that lost its last events follow them again.
    pub(super) async fn look_after_views(&self) {
        for reader in &self.0.views {
            match reader.it.fallen().await {
                Ok(shards) => {
                    for shard in shards {
                        if let Some(follower) = self.0.followers.get(&(reader.name, shard)) {
                            follower.tell(FollowerMessage::Fallen);
                        }
                    }
                }
                Err(fault) => tracing::warn!(
                    view = reader.name,
                    reason = fault.story(),
                    "a view does not say where it is; it will be asked again"
                ),
            }
        }
    }

    fn poke(&self, which: impl Fn(&str) -> bool) {
        for lane in &self.0.lanes {
            if which(lane.key().0) {
                lane.value().tell(LaneMessage::Head);
            }
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.readers().iter().map(|reader| reader.name).collect();
        f.debug_struct("Relay")
            .field("readers", &names)
            .finish_non_exhaustive()
    }
}

/// Moves the positions of readers past what does not concern them, now and then, as long as there is
/// a relay.
async fn remind(relay: Weak<Parts>) {
    while let Some((tails, clock)) = relay
        .upgrade()
        .map(|parts| (parts.tails.clone(), parts.clock.clone()))
    {
        // The relay may end while nothing happens: then nobody need be reminded.
        if timeout(REMIND * 50, tails.unsaid()).await.is_ok() {
            clock.sleep(REMIND).await;
            tails.iter().for_each(super::Tail::remind);
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    View(usize),
    Consumer(usize),
}

/// One reader as a resident of every shard.
struct Room {
    relay: Relay,
    which: Which,
}

#[async_trait]
impl Resident for Room {
    async fn start(&self, tenancy: &Tenancy) -> Result<ActorCell, Failure> {
        let relay = &self.relay;
        let shard = tenancy.shard;
        let key = shard.to_string();
        match self.which {
            Which::View(index) => {
                let reader = &relay.0.views[index];
                let arguments = FollowerArguments {
                    relay: relay.clone(),
                    view: Arc::clone(&reader.it),
                    shard,
                    course: Arc::clone(reader.course(shard)),
                };
                let place = tenancy.place.child(reader.name, &key);
                let follower = tenancy
                    .spawner
                    .spawn(
                        place,
                        LANE_MAILBOX,
                        Follower,
                        arguments,
                        Some(&tenancy.supervisor),
                    )
                    .await?;
                let cell = follower.cell();
                relay.0.followers.insert((reader.name, shard), follower);
                Ok(cell)
            }
            Which::Consumer(index) => {
                let reader = &relay.0.consumers[index];
                let arguments = LaneArguments {
                    relay: relay.clone(),
                    consumer: Arc::clone(&reader.it),
                    shard,
                    epoch: tenancy.epoch,
                    course: Arc::clone(reader.course(shard)),
                    paused: Arc::clone(&reader.paused),
                };
                let place = tenancy.place.child(reader.name, &key);
                let lane = tenancy
                    .spawner
                    .spawn(place, LANE_MAILBOX, Lane, arguments, Some(&tenancy.supervisor))
                    .await?;
                let cell = lane.cell();
                relay.0.lanes.insert((reader.name, shard), lane);
                Ok(cell)
            }
        }
    }
}
