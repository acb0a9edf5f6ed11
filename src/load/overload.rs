//! The scenario `overload`: far more than the shop can serve, and what it makes of that.
//!
//! Three acts. *Before*: a few callers in a closed loop show what the shop serves and how quickly.
//! *During*: for `--seconds`, `--times` as many calls are due by a schedule that does not care how the
//! shop does (or `--rate`), from `--shoppers` connections, in three classes: who pays, who looks around,
//! and the rest. Every answer must be a success or a well-formed 503 or 429 with `Retry-After`. *After*:
//! calls of every class one after the other, until all of it is served as before.
//!
//! A call that the generator cannot make within [`LATE`] of its moment is counted and not made: a queue
//! of its own would be measured as the shop's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::catalogue::Catalogue;
use super::client::{Call, Client, encoded};
use super::pace::Pace;
use super::report::{Loop, Report};
use super::run::Run;
use super::shopper::{Lost, Shopper, described};
use super::tally::{Quantiles, histogram, micros, per_second};
use super::wire::Credentials;
use super::{LoadFault, Script};

/// Callers before.
const FEW: u64 = 8;
/// Guests whose carts are filled, at most: the callers share them.
const GUESTS: u64 = 256;
/// How long the shop is looked at before.
const BEFORE: Duration = Duration::from_secs(3);
/// How long it may take to recover.
const RECOVERY: Duration = Duration::from_secs(30);
/// How many calls in a row must be served as before.
const CALM: u32 = 50;
/// What is never called slow.
const SLOW: Duration = Duration::from_millis(20);
/// How late a call may be made.
const LATE: Duration = Duration::from_millis(50);

/// What a call is for: the classes by which the shop lets calls in, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    /// Filling a cart and paying.
    Checkout,
    /// Looking around.
    Browse,
    /// Searching, and everything else.
    Rest,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Browse => "browse",
            Self::Rest => "rest",
        }
    }
}

/// What is asked for.
struct Scene {
    catalogue: Catalogue,
    skus: Vec<String>,
    guests: Vec<Arc<str>>,
}

/// The load, and what came of it.
pub struct Overload {
    scene: Scene,
    before: Act,
    rate: f64,
    pace: OnceLock<Pace>,
    during: Mutex<Counts>,
    skipped: AtomicU64,
    last_sent: Mutex<Option<Instant>>,
}

/// What was seen in one act.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    /// How long it took, seconds.
    pub seconds: f64,
    /// Calls that were served, a second.
    pub goodput: f64,
    /// By class.
    pub classes: BTreeMap<&'static str, ClassFigures>,
}

/// A class in one act.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClassFigures {
    /// Calls that were made.
    pub made: u64,
    /// Of these, served.
    pub served: u64,
    /// Turned away with 503 or 429.
    pub shed: u64,
    /// Served a second.
    pub goodput: f64,
    /// From sending to the answer, of those that were served.
    pub served_ms: Quantiles,
    /// From sending to the answer, of those that were turned away.
    pub shed_ms: Quantiles,
}

/// The three acts, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Overloaded {
    /// A few callers, before.
    pub before: Act,
    /// Calls due a second.
    pub rate: f64,
    /// Calls that were due, and made.
    pub made: u64,
    /// Calls that were due and that the generator could not make in time.
    pub skipped: u64,
    /// Far too many.
    pub during: Act,
    /// What was served during of what was served before, of 1.
    pub goodput_kept: f64,
    /// Until everybody was served as before, milliseconds from the end of the load; `None` if that did
    /// not come.
    pub recovered_after_ms: Option<u64>,
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "overload: {:.0} calls/s due, {} made, {} not made in time by the generator",
            self.rate, self.made, self.skipped
        )?;
        for (name, act) in [("before", &self.before), ("during", &self.during)] {
            writeln!(f, "{name}: {:.0} served/s", act.goodput)?;
            for (class, figures) in &act.classes {
                writeln!(
                    f,
                    "  {class:<9} {:>8.0} served/s, {} shed of {}; served p50 {:.2} ms p99 {:.2} ms; shed p50 {:.2} ms",
                    figures.goodput,
                    figures.shed,
                    figures.made,
                    figures.served_ms.p50,
                    figures.served_ms.p99,
                    figures.shed_ms.p50
                )?;
            }
        }
        match self.recovered_after_ms {
            Some(ms) => writeln!(f, "recovered {ms} ms after the load ended"),
            None => writeln!(f, "not recovered within {} s", RECOVERY.as_secs()),
        }
    }
}

#[derive(Default)]
struct Counts(BTreeMap<Class, ClassCounts>);

struct ClassCounts {
    made: u64,
    served: hdrhistogram::Histogram<u64>,
    shed: hdrhistogram::Histogram<u64>,
}

impl Counts {
    fn note(&mut self, class: Class, served: bool, took: Duration) {
        let counts = match self.0.entry(class) {
            Entry::Occupied(counts) => counts.into_mut(),
            Entry::Vacant(place) => {
                let (Some(served), Some(shed)) = (histogram(), histogram()) else {
                    return;
                };
                place.insert(ClassCounts {
                    made: 0,
                    served,
                    shed,
                })
            }
        };
        counts.made += 1;
        let dial = if served {
            &mut counts.served
        } else {
            &mut counts.shed
        };
        dial.saturating_record(micros(took));
    }

    fn add(&mut self, other: Self) {
        for (class, counts) in other.0 {
            match self.0.entry(class) {
                Entry::Occupied(mut sum) => {
                    let sum = sum.get_mut();
                    sum.made += counts.made;
                    sum.served += counts.served;
                    sum.shed += counts.shed;
                }
                Entry::Vacant(place) => {
                    place.insert(counts);
                }
            }
        }
    }

    fn act(&self, took: Duration) -> Act {
        let served: u64 = self.0.values().map(|class| class.served.len()).sum();
        let figures = |class: &ClassCounts| ClassFigures {
            made: class.made,
            served: class.served.len(),
            shed: class.shed.len(),
            goodput: per_second(class.served.len(), took),
            served_ms: Quantiles::of(&class.served),
            shed_ms: Quantiles::of(&class.shed),
        };
        Act {
            seconds: (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            goodput: per_second(served, took),
            classes: self
                .0
                .iter()
                .map(|(class, counts)| (class.name(), figures(counts)))
                .collect(),
        }
    }
}

impl Scene {
    /// Looks around and lets guests in, whose carts will be filled.
    async fn set(client: &mut Client, guests: u64) -> Result<Self, LoadFault> {
        let catalogue = Catalogue::look(client).await?;
        let mut scene = Self {
            skus: catalogue.to_buy(),
            catalogue,
            guests: Vec::new(),
        };
        for _ in 0..guests.min(GUESTS) {
            scene.guests.push(guest(client).await?.into());
        }
        Ok(scene)
    }

    /// A call of a class, and the status of success.
    fn call(&self, class: Class, shopper: &Shopper) -> Option<(&'static str, Call)> {
        let product = || shopper.pick(&self.catalogue.products);
        Some(match class {
            Class::Checkout => {
                let sku = shopper.pick(&self.skus)?;
                let quantity = 1 + shopper.dice.random_below(9);
                let call = Call::put(format!("/v1/cart/lines/{}", encoded(sku)))
                    .bearer(shopper.pick(&self.guests)?)
                    .json(&json!({"quantity": quantity}));
                ("PUT cart line", call)
            }
            Class::Browse => match shopper.dice.random_below(4) {
                0 => ("GET page", Call::get("/")),
                1 => ("GET page", Call::get(format!("/p/{}", encoded(&product()?.slug)))),
                2 => ("GET product list", Call::get("/v1/products?limit=24")),
                _ => {
                    let path = format!("/v1/products/{}", encoded(&product()?.id));
                    ("GET product", Call::get(path))
                }
            },
            Class::Rest => {
                let word = shopper.pick(&self.catalogue.words)?;
                (
                    "GET search list",
                    Call::get(format!("/v1/products?q={}", encoded(word))),
                )
            }
        })
    }

    /// Makes one call; says whether it was served, and how long the answer took. Anything but a success
    /// or a well-formed refusal is a failed check.
    async fn ask(&self, shopper: &mut Shopper, class: Class) -> Result<(bool, Duration), Lost> {
        let (kind, call) = self.call(class, shopper).ok_or(Lost)?;
        let sent = shopper.run.clock.instant();
        let reply = shopper.once(kind, &call).await?;
        let took = shopper.run.clock.instant().saturating_duration_since(sent);
        // The form of a refusal has been checked, as that of every problem.
        if matches!(reply.answer.status.as_u16(), 429 | 503) {
            return Ok((false, took));
        }
        shopper.expect(kind, &reply, 200)?;
        Ok((true, took))
    }
}

/// Of ten calls two fill carts, five look around and three search.
fn class(shopper: &Shopper) -> Class {
    match shopper.dice.random_below(10) {
        0..2 => Class::Checkout,
        2..7 => Class::Browse,
        _ => Class::Rest,
    }
}

async fn guest(client: &mut Client) -> Result<String, LoadFault> {
    let answer = client
        .send(&Call::post("/v1/guests"))
        .await
        .map_err(LoadFault::Unreachable)?;
    let guest: Result<Credentials, _> = answer.json();
    let guest =
        guest.map_err(|_| LoadFault::Unprepared(format!("POST /v1/guests: {}", described(&answer))))?;
    Ok(guest.access_token)
}

impl Overload {
    /// Sets the scene and sees what the shop serves.
    pub async fn prepare(client: &mut Client, run: &Run) -> Result<Arc<dyn Script>, LoadFault> {
        let scene = Scene::set(client, run.args.shoppers).await?;
        let scout = Run::new(run.args.clone(), run.clock.clone(), run.target.clone(), None);
        let before = look(&scene, &Arc::new(scout)).await?;
        Ok(Arc::new(Self {
            rate: run.args.rate.unwrap_or(before.goodput * run.args.times),
            scene,
            before,
            pace: OnceLock::new(),
            during: Mutex::default(),
            skipped: AtomicU64::new(0),
            last_sent: Mutex::default(),
        }))
    }

    /// Asks again and again, in every class, until all of it is served as before: how long after `ended`
    /// that began.
    async fn recover(&self, shopper: &mut Shopper, ended: Instant) -> Option<Duration> {
        let clock = shopper.run.clock.clone();
        let (mut calm, mut since) = (0, ended);
        while clock.instant().saturating_duration_since(ended) < RECOVERY {
            let class = class(shopper);
            let sent = clock.instant();
            let served = self.scene.ask(shopper, class).await;
            let before = self.before.classes.get(class.name());
            let slow = before.map_or(SLOW, |before| {
                SLOW.max(Duration::from_secs_f64(before.served_ms.p99 / 500.0))
            });
            if matches!(served, Ok((true, took)) if took <= slow) {
                if calm == 0 {
                    since = sent;
                }
                calm += 1;
            } else {
                calm = 0;
            }
            if calm == CALM {
                return Some(since.saturating_duration_since(ended));
            }
        }
        None
    }
}

/// What a few callers are served in a closed loop.
async fn look(scene: &Scene, run: &Arc<Run>) -> Result<Act, LoadFault> {
    let begun = run.clock.instant();
    let callers = (0..FEW).map(|index| async move {
        let mut shopper = Shopper::new(Arc::clone(run), index);
        let mut counts = Counts::default();
        while run.clock.instant().saturating_duration_since(begun) < BEFORE {
            let class = class(&shopper);
            let Ok((served, took)) = scene.ask(&mut shopper, class).await else {
                break;
            };
            counts.note(class, served, took);
        }
        counts
    });
    let mut all = Counts::default();
    for counts in futures_util::future::join_all(callers).await {
        all.add(counts);
    }
    let act = all.act(run.clock.instant() - begun);
    let checks = run.tally.checks();
    if checks.failed > 0 || act.goodput <= 0.0 {
        return Err(LoadFault::Unprepared(format!(
            "the shop does not serve even {FEW} callers: {}",
            checks.examples.join("; ")
        )));
    }
    Ok(act)
}

#[async_trait]
impl Script for Overload {
    async fn visit(&self, shopper: &mut Shopper) {
        let run = Arc::clone(&shopper.run);
        let pace = self.pace.get_or_init(|| Pace::new(run.start(), Some(self.rate)));
        let mut counts = Counts::default();
        loop {
            let due = pace.due(&run.clock).await;
            if due >= run.end() || !run.open() {
                break;
            }
            if run.clock.instant().saturating_duration_since(due) > LATE {
                self.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let class = class(shopper);
            if let Ok((served, took)) = self.scene.ask(shopper, class).await {
                counts.note(class, served, took);
            }
        }
        lock(&self.during).add(counts);
        let ended = run.clock.instant();
        let mut last = lock(&self.last_sent);
        *last = (*last).max(Some(ended));
    }

    async fn close(&self, run: &Run, report: &mut Report) {
        let ended = lock(&self.last_sent).unwrap_or(run.end());
        let during = lock(&self.during).act(ended.saturating_duration_since(run.start()));
        let after = Run::new(run.args.clone(), run.clock.clone(), run.target.clone(), None);
        let after = Arc::new(after);
        let recovered = self
            .recover(&mut Shopper::new(Arc::clone(&after), u64::MAX), ended)
            .await;
        let checks = after.tally.checks();
        run.tally
            .check("afterwards", checks.failed == 0, || checks.examples.join("; "));
        run.tally.check("recovers", recovered.is_some(), || {
            format!(
                "not everybody is served as before within {} s",
                RECOVERY.as_secs()
            )
        });
        let paid = during.classes.get(Class::Checkout.name());
        run.tally.check(
            "who pays is served",
            paid.is_some_and(|paid| paid.served > 0),
            || format!("{paid:?}"),
        );
        let made = during.classes.values().map(|class| class.made).sum();
        let skipped = self.skipped.load(Ordering::Relaxed);
        report.pace = Loop::Open {
            rate: self.rate,
            due: made + skipped,
            made,
        };
        report.correction = "open loop: latency_ms from sending to answer; calls that could not be sent when they \
                             were due are not made, and counted";
        for kind in &mut report.kinds {
            kind.corrected_ms = None;
        }
        report.overload = Some(Overloaded {
            rate: self.rate,
            made,
            skipped,
            goodput_kept: (during.goodput / self.before.goodput * 1_000.0).round() / 1_000.0,
            before: self.before.clone(),
            during,
            recovered_after_ms: recovered.and_then(|took| u64::try_from(took.as_millis()).ok()),
        });
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_tell_who_was_served_and_who_was_not() {
        let mut one = Counts::default();
        one.note(Class::Checkout, true, Duration::from_millis(4));
        let mut two = Counts::default();
        two.note(Class::Checkout, false, Duration::from_millis(1));
        two.note(Class::Rest, false, Duration::from_millis(1));
        one.add(two);
        let act = one.act(Duration::from_secs(2));
        let paid = act.classes["checkout"];
        assert_eq!((paid.made, paid.served, paid.shed), (2, 1, 1));
        assert!((paid.served_ms.p50 - 4.0).abs() < 0.01 && (paid.shed_ms.p50 - 1.0).abs() < 0.01);
        assert_eq!((act.goodput, act.classes["rest"].served), (0.5, 0));
    }
}
