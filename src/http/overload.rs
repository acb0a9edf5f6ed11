//! Who is let in when there is more to do than can be done: admission by class.
//!
//! The decision is made from counters, before a byte of the body is read: a bound for the whole edge, of
//! which each class may fill its share ([`class`]), and within it a limit for each class that follows how
//! long its calls take ([`limit`]). Sellers' work and searches wait before shoppers who look around, and
//! those before shoppers who pay; of the classes whose calls take too long, the least important gives way
//! first, and the others keep their places while it has any to give.
//!
//! Who finds its class full waits for a moment, in order, so that a short rush is only a little slower;
//! the slower a class is by itself, the shorter ([`limit`]). A queue never stands: once one wait of a
//! class was in vain, nobody of that class waits any more until [`QUIET`] has passed without anybody
//! turned away; then a place that becomes free goes to whoever comes next. Who is turned away is told so
//! at once and cheaply, on a connection that stays open.
//!
//! A call whose body is still to come gives its place back until it is there ([`seat`]).
//!
//! While that lasts, extras are left out ([`brownout`]). All of it ends by itself.
//!
//! **Invariants:** never more than `in_flight` calls and as many more of the operators' as they have
//! places; never more than `waiting` that wait, and none for longer than `patience`.

mod brownout;
mod class;
mod limit;
mod seat;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use metrics::{Counter, Gauge};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

pub use self::brownout::{BROWN_OUT, BrownOut};
pub use self::class::Class;
pub use self::seat::{Aside, Seat};

use self::brownout::{Switch, left_out};
use self::limit::Limit;
use super::problem::{self, Problem, kind};
use crate::clock::Clock;

/// How often limits are set anew.
const WINDOW: Duration = Duration::from_millis(100);
/// After how long without anybody turned away a class may wait again.
const QUIET: Duration = Duration::from_millis(100);
/// Places of the operators' own.
const OPERATE_PLACES: usize = 64;
/// At most so many windows are made up for after a time in which nobody asked.
const MADE_UP: u128 = 100;
/// How often the log is told how many were turned away.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Those who are turned away come back after 1, 2 or 3 seconds, so that they do not come back together.
const SPREAD: u64 = 3;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// Calls at once, over all classes but the operators'.
    pub in_flight: usize,
    /// Calls that wait to be let in, over all classes.
    pub waiting: usize,
    /// How long one waits at most; of a class that is slow by itself down to a tenth of it.
    pub patience: Duration,
    /// How long a typical call may take before fewer of its class are let in.
    pub slow: Duration,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            in_flight: 512,
            waiting: 1_024,
            patience: Duration::from_secs(1),
            slow: Duration::from_millis(250),
        }
    }
}

/// The room there is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: RoomSettings,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: [Lane; Class::ALL.len()],
    /// Over all classes but the operators'.
    taken: usize,
    window_began: Instant,
    switch: Switch,
    brown_out: Gauge,
    told_at: Instant,
}

/// One class.
#[derive(Debug)]
struct Lane {
    taken: usize,
    limit: Limit,
    queue: VecDeque<oneshot::Sender<Place>>,
    /// Until when nobody waits, because somebody was turned away lately.
    turning_away_until: Option<Instant>,
    turned_away: u64,
    turned_away_in_window: bool,
    turned_away_since_told: u64,
    figures: LaneFigures,
}

#[derive(Debug)]
struct LaneFigures {
    in_flight: Gauge,
    limit: Gauge,
    waiting: Gauge,
    shed: Counter,
}

/// What somebody finds at the door.
enum Door {
    Open(Place),
    Wait(oneshot::Receiver<Place>, Duration),
    Closed(Shed),
}

impl Room {
    /// A room in which nobody is.
    #[must_use]
    pub fn new(settings: RoomSettings, clock: Clock) -> Self {
        let now = clock.instant();
        let state = State {
            lanes: Class::ALL.map(|class| Lane::new(class, &settings)),
            taken: 0,
            window_began: now,
            switch: Switch::default(),
            brown_out: metrics::gauge!("http_brown_out_level"),
            told_at: now,
        };
        Self(Arc::new(Inner {
            settings,
            clock,
            state: Mutex::new(state),
        }))
    }

    /// Takes a place, after a short wait if it must be.
    ///
    /// # Errors
    /// [`Shed`] when there is none for this class.
    pub async fn enter(&self, class: Class) -> Result<Place, Shed> {
        let (waiting, patience) = match self.knock(class) {
            Door::Open(place) => return Ok(place),
            Door::Closed(shed) => return Err(shed),
            Door::Wait(waiting, patience) => (waiting, patience),
        };
        match timeout(patience, waiting).await {
            Ok(Ok(mut place)) => {
                // The wait is not the call's.
                place.entered = self.0.clock.instant();
                Ok(place)
            }
            // A place that came at the last moment goes back when it is dropped.
            Ok(Err(_)) | Err(_) => {
                let now = self.0.clock.instant();
                Err(self.0.lock().turn_away(class, now))
            }
        }
    }

    fn knock(&self, class: Class) -> Door {
        let inner = &self.0;
        let now = inner.clock.instant();
        let mut state = inner.lock();
        state.turn(inner, now);
        if state.fits(class, &inner.settings) {
            state.take(class);
            return Door::Open(Place::new(inner, class, now));
        }
        let lane = state.lane(class);
        lane.limit.wanted();
        lane.forget_the_gone();
        let turns_away = lane.turning_away_until.is_some_and(|until| now < until);
        if turns_away || state.waiting() >= inner.settings.waiting {
            return Door::Closed(state.turn_away(class, now));
        }
        let (tell, told) = oneshot::channel();
        let lane = state.lane(class);
        lane.queue.push_back(tell);
        Door::Wait(told, lane.limit.patience(inner.settings.patience))
    }

    /// What is left out for now.
    #[must_use]
    pub fn brown_out(&self) -> BrownOut {
        let now = self.0.clock.instant();
        let mut state = self.0.lock();
        state.turn(&self.0, now);
        state.switch.stands()
    }

    /// How many calls are worked on and how many wait, the operators' apart.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.taken, state.waiting())
    }

    /// Sets the gauges to this moment.
    pub fn gauge(&self) {
        let now = self.0.clock.instant();
        let mut state = self.0.lock();
        state.turn(&self.0, now);
        state.gauge();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn lane(&mut self, class: Class) -> &mut Lane {
        &mut self.lanes[class.index()]
    }

    fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.len()).sum()
    }

    fn fits(&self, class: Class, settings: &RoomSettings) -> bool {
        let lane = &self.lanes[class.index()];
        lane.taken < lane.limit.now()
            && (class == Class::Operate || self.taken < ceiling(class, settings.in_flight))
    }

    fn take(&mut self, class: Class) {
        self.lane(class).taken += 1;
        if class != Class::Operate {
            self.taken += 1;
        }
    }

    fn give_back(&mut self, class: Class) {
        self.lane(class).taken -= 1;
        if class != Class::Operate {
            self.taken -= 1;
        }
    }

    fn turn_away(&mut self, class: Class, now: Instant) -> Shed {
        let lane = self.lane(class);
        lane.turning_away_until = Some(now + QUIET);
        lane.turned_away += 1;
        lane.turned_away_in_window = true;
        lane.turned_away_since_told += 1;
        lane.figures.shed.increment(1);
        Shed {
            pause: Duration::from_secs(1 + lane.turned_away % SPREAD),
        }
    }

    /// Gives free places to those who wait: the most important first, and of a class who came first.
    fn hand_over(&mut self, inner: &Arc<Inner>, now: Instant) {
        for class in Class::ALL {
            while self.fits(class, &inner.settings) {
                let Some(waiting) = self.lane(class).queue.pop_front() else {
                    break;
                };
                self.take(class);
                if let Err(mut place) = waiting.send(Place::new(inner, class, now)) {
                    // Gone. The place is given back here, for the lock is ours already.
                    place.room = None;
                    self.give_back(class);
                }
            }
        }
    }

    /// Ends the windows that are over.
    fn turn(&mut self, inner: &Arc<Inner>, now: Instant) {
        let passed = now.saturating_duration_since(self.window_began);
        let windows = passed.as_nanos() / WINDOW.as_nanos();
        if windows == 0 {
            return;
        }
        self.window_began = now;
        let mut spared = false;
        let mut turned_away = false;
        for class in Class::ALL.into_iter().rev() {
            let lane = self.lane(class);
            turned_away |= std::mem::take(&mut lane.turned_away_in_window) && class != Class::Operate;
            if class != Class::Operate {
                lane.limit.turn(passed, spared);
                spared |= lane.limit.gives_way();
            }
        }
        self.switch.turn(turned_away);
        // In the others nobody asked, or there would have been a turn.
        for _ in 1..windows.min(MADE_UP) {
            self.switch.turn(false);
        }
        self.gauge();
        self.tell(now);
        self.hand_over(inner, now);
    }

    fn gauge(&self) {
        for lane in &self.lanes {
            lane.figures.in_flight.set(lane.taken as f64);
            lane.figures.limit.set(lane.limit.now() as f64);
            lane.figures.waiting.set(lane.queue.len() as f64);
        }
        self.brown_out.set(f64::from(self.switch.stands().level()));
    }

    /// One line for many that were turned away: a line each would be more work than the answers.
    fn tell(&mut self, now: Instant) {
        if now.saturating_duration_since(self.told_at) < TELL_EVERY {
            return;
        }
        self.told_at = now;
        let [operate, checkout, browse, rest] = self
            .lanes
            .each_mut()
            .map(|lane| std::mem::take(&mut lane.turned_away_since_told));
        if operate + checkout + browse + rest > 0 {
            let brown_out = self.switch.stands().level();
            tracing::warn!(
                operate,
                checkout,
                browse,
                rest,
                brown_out,
                "calls were turned away: there is too much to do"
            );
        }
    }
}

/// How full the room may be and the class still be let in.
fn ceiling(class: Class, in_flight: usize) -> usize {
    (in_flight * class.share() / 100).max(1)
}

impl Lane {
    fn new(class: Class, settings: &RoomSettings) -> Self {
        let places = match class {
            Class::Operate => OPERATE_PLACES,
            _ => ceiling(class, settings.in_flight),
        };
        let name = class.name();
        Self {
            taken: 0,
            limit: Limit::new(places, settings.slow),
            queue: VecDeque::new(),
            turning_away_until: None,
            turned_away: 0,
            turned_away_in_window: false,
            turned_away_since_told: 0,
            figures: LaneFigures {
                in_flight: metrics::gauge!("http_in_flight", "class" => name),
                limit: metrics::gauge!("http_in_flight_limit", "class" => name),
                waiting: metrics::gauge!("http_waiting", "class" => name),
                shed: metrics::counter!("http_shed_total", "class" => name),
            },
        }
    }

    /// Who has waited too long, or hung up, stands at the front: patience changes slowly.
    fn forget_the_gone(&mut self) {
        while self.queue.front().is_some_and(oneshot::Sender::is_closed) {
            self.queue.pop_front();
        }
    }
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    room: Option<Arc<Inner>>,
    class: Class,
    entered: Instant,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Refused, failed or given up: says nothing about how long such calls take.
    Unknown,
    Served,
    Choked,
}

impl Place {
    fn new(room: &Arc<Inner>, class: Class, entered: Instant) -> Self {
        Self {
            room: Some(Arc::clone(room)),
            class,
            entered,
            outcome: Outcome::Unknown,
        }
    }

    /// Notes how the call was answered, before the place is given back. `problem` is what the answer says
    /// if it is one.
    pub fn answered(&mut self, status: StatusCode, problem: Option<&Problem>) {
        let is_full = problem.is_some_and(|problem| problem.kind() == &kind::OVERLOADED);
        self.outcome = match () {
            () if is_full => Outcome::Choked,
            () if status.is_success() => Outcome::Served,
            () => Outcome::Unknown,
        };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(inner) = self.room.take() else { return };
        let now = inner.clock.instant();
        let mut state = inner.lock();
        state.give_back(self.class);
        let limit = &mut state.lane(self.class).limit;
        match self.outcome {
            Outcome::Served => limit.answered(now.saturating_duration_since(self.entered)),
            Outcome::Choked => limit.choked(),
            Outcome::Unknown => {}
        }
        state.turn(&inner, now);
        state.hand_over(&inner, now);
    }
}

/// Turned away: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    pause: Duration,
}

impl Shed {
    /// What the caller is told.
    #[must_use]
    pub fn problem(self) -> Problem {
        Problem::new(&kind::OVERLOADED).retry_after(self.pause)
    }

    /// The same as JSON, without the work: everything but the trace and the pause is ready.
    pub(super) fn answer(self, trace_id: &str) -> Response {
        const TRACE: &str = "@";
        static READY: OnceLock<(String, String)> = OnceLock::new();
        let (before, behind) = READY.get_or_init(|| {
            let whole = Problem::new(&kind::OVERLOADED).to_json(TRACE).to_string();
            let (before, behind) = whole.split_once(TRACE).unwrap_or((&whole, ""));
            (before.to_owned(), behind.to_owned())
        });
        let mut answer = Response::new(Body::from([before, trace_id, behind].concat()));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(problem::MEDIA_TYPE),
        );
        headers.insert(header::RETRY_AFTER, HeaderValue::from(self.pause.as_secs()));
        answer
    }
}

/// Says in an answer what of it was left out, and that nobody is to keep it.
pub(super) fn mark(answer: &mut Response, facets: bool, suggestions: bool) {
    if let Some(what) = left_out(facets, suggestions) {
        answer.headers_mut().insert(BROWN_OUT, what);
        answer
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests;
