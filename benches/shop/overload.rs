//! A hundred times too much, in the three forms that one machine can offer (P8a to P8c): a hundred times
//! the connections; a hundred times what a slow neighbour can do; four times what the processor can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::http::header::RETRY_AFTER;
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures_util::future::join_all;
use globalshop::clock::Clock;
use globalshop::http::overload::{Class, Room, RoomSettings};
use hdrhistogram::Histogram;
use hyper::{Method, StatusCode};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cart::{Guest, enter, reads};
use crate::client::{Call, Connection, call};
use crate::hello::Hello;
use crate::import;
use crate::node::Node;

/// Connections as usual, and a hundred times as many.
const FEW: usize = 64;
const MANY: usize = 6_400;
/// Whose carts are read.
const GUESTS: usize = 6_400;
/// The slow neighbour: so many at once, each for so long. That is 200 a second.
const NEIGHBOUR: (usize, Duration) = (40, Duration::from_millis(200));
const NEIGHBOUR_PACE: f64 = 200.0;
/// What is searched, and among how many products.
const SEARCH: &str = "/search?q=TV";
const PRODUCTS: u64 = 5_000;
/// A call that could not be made within this of its moment is not made: the generator is at its end.
const LATE: Duration = Duration::from_millis(50);
const ROUNDS: usize = 3;

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let turn = Duration::from_millis(if quick { 500 } else { 4_000 });
    let rounds = if quick { 1 } else { ROUNDS };
    let shop = Node::open("overload").await;
    let mut rows = vec![connections(clock, turn, rounds, if quick { FEW * 5 } else { MANY }, &shop).await];
    rows.extend(neighbour(clock, turn, quick).await);
    rows.push(processor(clock, turn, rounds, &shop).await);
    shop.close().await;
    rows
}

/// What was seen of one load.
#[derive(Default)]
struct Seen {
    served: u64,
    shed: u64,
    late: u64,
    took: Option<Histogram<u64>>,
    seconds: f64,
}

impl Seen {
    fn note(&mut self, status: StatusCode, took: Duration) {
        match status {
            StatusCode::OK => {
                self.served += 1;
                let micros = u64::try_from(took.as_micros()).unwrap();
                self.took
                    .get_or_insert_with(|| Histogram::new(3).unwrap())
                    .record(micros)
                    .unwrap();
            }
            StatusCode::SERVICE_UNAVAILABLE => self.shed += 1,
            other => panic!("answered {other}"),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
    fn goodput(&self) -> f64 {
        self.served as f64 / self.seconds
    }

    /// Calls that were made, a second.
    #[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
    fn offered(&self) -> f64 {
        (self.served + self.shed) as f64 / self.seconds
    }

    #[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
    fn p99_ms(&self) -> f64 {
        self.took
            .as_ref()
            .map_or(0.0, |took| took.value_at_quantile(0.99) as f64 / 1_000.0)
    }

    fn all(parts: Vec<Self>, seconds: f64) -> Self {
        parts.into_iter().fold(
            Self {
                seconds,
                ..Self::default()
            },
            |mut sum, part| {
                sum.served += part.served;
                sum.shed += part.shed;
                sum.late += part.late;
                match (&mut sum.took, part.took) {
                    (Some(all), Some(more)) => *all += more,
                    (none, more) => *none = none.take().or(more),
                }
                sum
            },
        )
    }
}

/// Callers in a closed loop, who ask this in turn and stay away for as long as they are told.
async fn closed(clock: &Clock, turn: Duration, callers: usize, address: &str, asked: &Arc<[Call]>) -> Seen {
    let mut open = Vec::new();
    for _ in 0..callers {
        open.push(Connection::open(address).await);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let began = clock.instant();
    let callers = open.into_iter().map(|mut connection| {
        let (clock, asked, next) = (clock.clone(), Arc::clone(asked), Arc::clone(&next));
        tokio::spawn(async move {
            let mut seen = Seen::default();
            while clock.instant() - began < turn {
                let call = &asked[next.fetch_add(1, Relaxed) % asked.len()];
                let sent = clock.instant();
                let (status, headers, _) = connection.send(call).await;
                seen.note(status, clock.instant() - sent);
                if let Some(pause) = headers.get(RETRY_AFTER) {
                    let pause = Duration::from_secs(pause.to_str().unwrap().parse().unwrap());
                    clock
                        .sleep(pause.min(turn.saturating_sub(clock.instant() - began)))
                        .await;
                }
            }
            seen
        })
    });
    let parts = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    Seen::all(parts, (clock.instant() - began).as_secs_f64())
}

/// Calls by a schedule, over more connections than can be waiting.
async fn open(clock: &Clock, turn: Duration, rate: f64, callers: usize, address: &str, asked: &Call) -> Seen {
    let mut connections = Vec::new();
    for _ in 0..callers {
        connections.push(Connection::open(address).await);
    }
    let slots = Arc::new(AtomicU64::new(0));
    let began = clock.instant();
    let callers = connections.into_iter().map(|mut connection| {
        let (clock, asked, slots) = (clock.clone(), asked.clone(), Arc::clone(&slots));
        tokio::spawn(async move {
            let mut seen = Seen::default();
            loop {
                let due = began + due(slots.fetch_add(1, Relaxed), rate);
                if due - began >= turn {
                    return seen;
                }
                tokio::time::sleep_until(due).await;
                let sent: Instant = clock.instant();
                if sent - due > LATE {
                    seen.late += 1;
                    continue;
                }
                let (status, _, _) = connection.send(&asked).await;
                seen.note(status, clock.instant() - sent);
            }
        })
    });
    let parts = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    Seen::all(parts, (clock.instant() - began).as_secs_f64())
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 calls")]
fn due(slot: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(slot as f64 / rate)
}

fn middle(mut figures: Vec<(f64, f64, f64)>) -> ((f64, f64, f64), f64, f64) {
    figures.sort_by(|a, b| a.2.total_cmp(&b.2));
    (
        figures[figures.len() / 2],
        figures[0].2,
        figures[figures.len() - 1].2,
    )
}

/// P8a: what is left of the goodput of 64 connections at a hundred times as many, of what is left of
/// hello's.
async fn connections(clock: &Clock, turn: Duration, rounds: usize, many: usize, shop: &Node) -> String {
    println!("cart reads, {FEW} connections and {many}");
    let hello = Hello::open().await;
    let greet: Arc<[Call]> = [call(Method::GET, &hello.address, "/", None, "")].into();
    // Of many guests: one who asks for all of them is told to slow down.
    let guests: Vec<Guest> = enter(&shop.address, FEW, GUESTS / FEW)
        .await
        .into_iter()
        .flatten()
        .collect();
    let read: Arc<[Call]> = reads(&shop.address, &guests).into();
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let mut kept = [0.0; 2];
        for (kept, (address, asked)) in kept
            .iter_mut()
            .zip([(&shop.address, &read), (&hello.address, &greet)])
        {
            let few = closed(clock, turn, FEW, address, asked).await;
            let crowd = closed(clock, turn, many, address, asked).await;
            *kept = crowd.goodput() / few.goodput();
            println!(
                "  {address}: {:.0}/s, then {:.0}/s and {} shed",
                few.goodput(),
                crowd.goodput(),
                crowd.shed
            );
        }
        figures.push((kept[0], kept[1], kept[0] / kept[1]));
    }
    hello.close().await;
    let ((ours, floor, ratio), lowest, highest) = middle(figures);
    format!(
        "| goodput kept at {many} connections of {FEW}, cart reads, callers heed Retry-After | bare axum hello | {ours:.2} | {floor:.2} | {ratio:.2} ({lowest:.2}–{highest:.2}) | 0.95 |"
    )
}

/// P8b: a hundred times what a neighbour of 200 a second can do.
async fn neighbour(clock: &Clock, turn: Duration, quick: bool) -> Vec<String> {
    println!("a neighbour that does {NEIGHBOUR_PACE:.0} a second");
    let (address, _stop) = slow_neighbour(clock).await;
    let ask: Arc<[Call]> = [call(Method::GET, &address, "/", None, "")].into();
    let turn = if quick { Duration::from_secs(2) } else { turn * 3 };
    let alone = closed(clock, turn, 8, &address, &ask).await;
    let seen = open(clock, turn, NEIGHBOUR_PACE * 100.0, 512, &address, &ask[0]).await;
    let ended = clock.instant();
    println!(
        "  alone p99 {:.1} ms; then {:.1}/s served, p99 {:.1} ms, {} shed, {} not offered in time",
        alone.p99_ms(),
        seen.goodput(),
        seen.p99_ms(),
        seen.shed,
        seen.late
    );
    // The neighbour works on what it was given before; then it is as busy as it can be again.
    let mut recovered = None;
    while recovered.is_none() {
        let again = closed(clock, Duration::from_secs(1), NEIGHBOUR.0, &address, &ask).await;
        if again.goodput() >= NEIGHBOUR_PACE * 0.9 && again.shed == 0 {
            recovered = Some((clock.instant() - ended).as_secs_f64() - again.seconds);
        }
        assert!((clock.instant() - ended).as_secs() < 30, "it does not recover");
    }
    let against = "the neighbour, 200/s";
    vec![
        format!(
            "| goodput of a neighbour that is asked 100 times too often | {against} | {:.0}/s | {NEIGHBOUR_PACE:.0}/s | {:.2} | 0.97 |",
            seen.goodput(),
            seen.goodput() / NEIGHBOUR_PACE
        ),
        format!(
            "| p99 of the calls that it is given | the same unloaded | {:.0} ms | {:.0} ms | {:.2} | 2 at most |",
            seen.p99_ms(),
            alone.p99_ms(),
            seen.p99_ms() / alone.p99_ms()
        ),
        format!(
            "| recovery afterwards | – | {:.1} s | – | – | 2 s at most |",
            recovered.unwrap_or_default()
        ),
    ]
}

/// The shop's own admission in front of a handler that can do 200 a second.
async fn slow_neighbour(clock: &Clock) -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let room = Room::new(RoomSettings::default(), clock.clone());
    let places = Arc::new(Semaphore::new(NEIGHBOUR.0));
    let clock = clock.clone();
    let handler = get(move || {
        let (room, places, clock) = (room.clone(), Arc::clone(&places), clock.clone());
        async move {
            match room.enter(Class::Checkout).await {
                Ok(mut place) => {
                    let _at_work = places.acquire().await.unwrap();
                    clock.sleep(NEIGHBOUR.1).await;
                    place.answered(StatusCode::OK, None);
                    StatusCode::OK.into_response()
                }
                Err(shed) => shed.problem().into_response(),
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = async move {
        axum::serve(listener, Router::new().route("/", handler))
            .await
            .unwrap();
    };
    (
        address,
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(serving)),
    )
}

/// P8c: four times as many pages as the processor can make: those that cost most, of a search.
async fn processor(clock: &Clock, turn: Duration, rounds: usize, shop: &Node) -> String {
    println!("four times as many searches as can be made");
    shop.import(&import::write(shop, PRODUCTS)).await;
    let ask: Arc<[Call]> = [call(Method::GET, &shop.address, SEARCH, None, "")].into();
    let mut offered = Vec::new();
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let peak = closed(clock, turn, FEW, &shop.address, &ask).await.goodput();
        let seen = open(clock, turn, peak * 4.0, 1_024, &shop.address, &ask[0]).await;
        println!(
            "  {peak:.0}/s, then {:.0}/s, {} shed, {} not offered in time",
            seen.goodput(),
            seen.shed,
            seen.late
        );
        offered.push(seen.offered() / peak);
        figures.push((seen.goodput(), peak, seen.goodput() / peak));
    }
    let ((ours, peak, ratio), lowest, highest) = middle(figures);
    let offered = offered.into_iter().fold(f64::INFINITY, f64::min);
    // It shares the cores with what it should overload: what it could not offer proves nothing.
    let unsettled = if offered < 4.0 * 0.9 { "unsettled: " } else { "" };
    format!(
        "| search pages of {PRODUCTS} products, 4 times the peak asked for, {offered:.1} times offered | the peak | {ours:.0}/s | {peak:.0}/s | {unsettled}{ratio:.2} ({lowest:.2}–{highest:.2}) | 0.70 |"
    )
}
