//! Fan-out of the live feed against a bare tokio-tungstenite broadcast: the same text to as many
//! sockets, in one process. And what a socket costs on which nothing happens.
//!
//! Our side is the whole of it: orders are moved by commands, committed to the memory journal, decoded
//! and encoded by the hub, and written by the connections. The bare side only sends text that is ready.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use globalshop::accounts::{Caller, Role, Roles};
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, Region};
use globalshop::domain::cart::Cart;
use globalshop::domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop::domain::order::{Authorisation, Capture, Command, Draft, Order, Placed, Transition};
use globalshop::domain::{Millis, ShardCount};
use globalshop::http::serve::{ServeSettings, serve};
use globalshop::journal::{Journal, MemoryJournal, Takeover};
use globalshop::relay::Tails;
use globalshop::ws::source::{ProductFace, Shelf};
use globalshop::ws::viewer::{Credential, Doorkeeper, Turned, Viewer};
use globalshop::ws::{Faces, Live, LiveArguments, LiveSettings, Sources};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async_with_config, connect_async_with_config,
};
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, call};
use crate::node::Node;
use crate::rounds::{Unit, compare, plain_row};

const SOCKETS: usize = 1_000;
/// Orders each socket follows.
const ORDERS: usize = 100;
/// How often each of them moves in a turn, once before the next moves again.
const STEPS: usize = 4;
/// Frames that reach a socket in a turn, as fast as may be or at a pace.
const BURST: usize = ORDERS * STEPS;
const PACED: usize = BURST;
/// How many of them come at once.
const DOOR: usize = 50;
/// Sockets on which nothing happens.
const IDLE: usize = 8_000;
/// How far apart paced events are.
const PACE: Duration = Duration::from_millis(10);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4_096)
        .write_buffer_size(4_096)
}

/// Events that arrived, and who waits for them.
#[derive(Default)]
struct Arrived {
    events: AtomicU64,
    expected: AtomicU64,
    complete: Notify,
    /// Whether the events of this turn are timed: when each was sent, and how long it took to each socket.
    timed: AtomicBool,
    sent: Mutex<Vec<Instant>>,
    took: Mutex<Vec<Duration>>,
}

impl Arrived {
    fn expect(&self, events: u64) {
        self.events.store(0, Relaxed);
        self.expected.store(events, Relaxed);
        self.timed.store(false, Relaxed);
        self.sent.lock().unwrap().clear();
        self.took.lock().unwrap().clear();
    }

    fn send_now(&self, clock: &Clock) {
        self.sent.lock().unwrap().push(clock.instant());
        self.timed.store(true, Relaxed);
    }

    /// Events reached a socket; a frame without any (the feed also says that it is alive) completes nothing.
    fn count(&self, events: u64) {
        let all = self.events.fetch_add(events, Relaxed) + events;
        if events > 0 && all == self.expected.load(Relaxed) {
            self.complete.notify_one();
        }
    }

    /// Waits for every event of the turn.
    async fn wait(&self) {
        self.complete.notified().await;
        let (events, expected) = (self.events.load(Relaxed), self.expected.load(Relaxed));
        assert_eq!(events, expected, "a turn ended before its events had arrived");
    }

    /// The `nth` event of the turn reached a socket: they arrive in the order in which they were sent.
    fn time(&self, nth: u64, now: Instant) {
        let nth = usize::try_from(nth).unwrap();
        if let Some(sent) = self.sent.lock().unwrap().get(nth) {
            self.took.lock().unwrap().push(now.duration_since(*sent));
        }
    }

    /// The 99th of a hundred, in microseconds.
    fn p99(&self) -> f64 {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort_unstable();
        assert!(
            took.len() as u64 == self.expected.load(Relaxed),
            "an event was not timed"
        );
        took[took.len() * 99 / 100].as_secs_f64() * 1e6
    }
}

/// Counts what reaches a socket: events by their offsets, so that none counts twice.
async fn listen(mut socket: Socket, arrived: Arc<Arrived>, clock: Clock) {
    let mut seen = 0;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let events = text.matches("\"ev\":").count();
            if arrived.timed.load(Relaxed) {
                let now = clock.instant();
                for nth in seen..seen + events as u64 {
                    arrived.time(nth % PACED as u64, now);
                }
            }
            seen += events as u64;
            arrived.count(events as u64);
        }
    }
}

struct Everybody;

#[async_trait]
impl Doorkeeper for Everybody {
    async fn admit(&self, _: &Credential) -> Result<Viewer, Turned> {
        let caller = Caller {
            customer_id: CustomerId::default(),
            session_id: None,
            roles: Roles::default().with(Role::Seller),
            guest: false,
            expires_at: Millis(i64::MAX),
        };
        Ok(Viewer {
            caller: Arc::new(caller),
            identities: Arc::new([]),
        })
    }
}

struct Nothing;

impl Shelf for Nothing {
    fn product(&self, _: &Sku) -> Option<ProductFace> {
        None
    }

    fn item(&self, _: &Sku) -> Option<ProductFace> {
        None
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

struct Pen;

impl Faces for Pen {
    fn cart(&self, _: CartId, _: &Cart) -> Value {
        Value::Null
    }

    fn order(&self, order: &Placed) -> Value {
        json!(globalshop::http::order::render(order))
    }

    fn transition(&self, entry: &Transition) -> Value {
        json!(globalshop::http::order::render_transition(entry))
    }
}

/// Our side.
struct Ours {
    region: Region,
    address: SocketAddr,
    clock: Clock,
    sockets: usize,
    /// How many orders there were before these.
    checkouts: u64,
    orders: Vec<OrderId>,
    audience: JoinSet<()>,
    arrived: Arc<Arrived>,
    _heart: Heart,
}

impl Ours {
    async fn start(sockets: usize, clock: &Clock) -> Self {
        let shards = ShardCount::DEFAULT;
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(shards, clock.clone()));
        let (tails, doors) = (Tails::new(shards), directories(&journal, clock));
        let heart = Heart::start(HeartArguments {
            node: "bench".into(),
            owner: "bench".into(),
            takeover: Takeover::AtOnce,
            tenure: Some(Tenure::endless(clock)),
            journal,
            clock: clock.clone(),
            tails: tails.clone(),
            directories: Arc::clone(&doors),
            residents: vec![],
        });
        let heart = heart.await.unwrap();
        assert!(heart.ready(Duration::from_secs(30)).await);
        let region = Region::new(doors);
        let (_, changes) = broadcast::channel(1);
        let live = Live::start(LiveArguments {
            heart: &heart,
            node: "bench".into(),
            tails,
            shards,
            sources: Sources {
                owners: Arc::new(region.clone()),
                shelf: Arc::new(Nothing),
                faces: Arc::new(Pen),
            },
            doorkeeper: Arc::new(Everybody),
            changes,
            settings: LiveSettings::default(),
        });
        let live = live.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(
            listener,
            live.router(),
            ServeSettings::default(),
            clock.clone(),
            stop,
        ));
        Self {
            region,
            address,
            clock: clock.clone(),
            sockets,
            checkouts: 0,
            orders: vec![],
            audience: JoinSet::new(),
            arrived: Arc::default(),
            _heart: heart,
        }
    }

    /// Orders that nobody has moved, and sockets that follow them all.
    async fn renew(&mut self) {
        self.audience.shutdown().await;
        self.orders.clear();
        for _ in 0..ORDERS {
            self.checkouts += 1;
            let draft = Draft {
                checkout: self.checkouts,
                ..Draft::default()
            };
            self.orders.push(draft.order());
            self.ask(draft.order(), Command::Place(Arc::new(draft))).await;
        }
        for command in [
            Command::RecordHolds { held: true },
            Command::RecordAuthorisation(Authorisation::Authorised),
            Command::RecordCommit { committed: true },
        ] {
            self.ask_all(&command).await;
        }
        let coming = stream::iter(0..self.sockets).map(|_| self.follow_all());
        let sockets: Vec<Socket> = coming.buffer_unordered(DOOR).collect().await;
        for socket in sockets {
            self.audience
                .spawn(listen(socket, Arc::clone(&self.arrived), self.clock.clone()));
        }
    }

    async fn follow_all(&self) -> Socket {
        let mut socket = connect(self.address, Some("live.1.json")).await;
        let hello = json!({"hello": {"token": "anybody"}});
        socket.send(Message::text(hello.to_string())).await.unwrap();
        let items: Vec<Value> = (0..)
            .zip(&self.orders)
            .map(|(id, order): (u64, _)| json!({"id": id, "ch": format!("order:{order}"), "from": "live"}))
            .collect();
        socket
            .send(Message::text(json!({"sub": items}).to_string()))
            .await
            .unwrap();
        let mut begun = 0;
        while begun < self.orders.len() {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                begun += usize::from(text.starts_with("{\"live\""));
            }
        }
        socket
    }

    async fn ask(&self, id: OrderId, command: Command) {
        self.region
            .ask::<Order>(&id.entity(), Ask::new(command))
            .await
            .unwrap();
    }

    async fn ask_all(&self, command: &Command) {
        join_all(self.orders.iter().map(|id| self.ask(*id, command.clone()))).await;
    }

    /// Every order goes through the rest of its life, all at once, seen by every socket: events a second.
    async fn burst(&mut self) -> f64 {
        self.renew().await;
        let events = (self.sockets * BURST) as u64;
        self.arrived.expect(events);
        let began = self.clock.instant();
        for command in Self::rest_of_a_life() {
            self.ask_all(&command).await;
        }
        self.arrived.wait().await;
        events as f64 / (self.clock.instant() - began).as_secs_f64()
    }

    /// What moves an order whose money is to be captured, one entry of its history each.
    fn rest_of_a_life() -> [Command; STEPS] {
        let ship = Command::Ship {
            carrier: "DHL".to_owned(),
            tracking_number: "1".to_owned(),
        };
        [
            Command::RecordCapture(Capture::Captured),
            Command::Pack,
            ship,
            Command::Deliver,
        ]
    }

    /// One order after the other, at a pace: how long its event takes to a socket, in microseconds.
    async fn paced(&mut self) -> f64 {
        self.renew().await;
        self.arrived.expect((self.sockets * PACED) as u64);
        let mut due = self.clock.instant();
        let moves = Self::rest_of_a_life();
        for (command, id) in moves
            .iter()
            .flat_map(|command| self.orders.iter().map(move |id| (command, id)))
        {
            self.arrived.send_now(&self.clock);
            self.ask(*id, command.clone()).await;
            due += PACE;
            self.clock
                .sleep(due.saturating_duration_since(self.clock.instant()))
                .await;
        }
        self.arrived.wait().await;
        self.arrived.p99()
    }
}

/// The bare side: text that is ready, sent by a task for each socket.
struct Bare {
    sender: broadcast::Sender<Utf8Bytes>,
    arrived: Arc<Arrived>,
    text: Utf8Bytes,
    sockets: usize,
    clock: Clock,
}

impl Bare {
    async fn start(sockets: usize, clock: &Clock) -> Self {
        let sender = broadcast::Sender::new(1_024);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let subscribe = sender.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let mut texts = subscribe.subscribe();
                tokio::spawn(async move {
                    let mut socket = accept_async_with_config(stream, Some(config())).await.unwrap();
                    while let Ok(text) = texts.recv().await {
                        socket.send(Message::Text(text)).await.unwrap();
                    }
                });
            }
        });
        let arrived: Arc<Arrived> = Arc::default();
        for _ in 0..sockets {
            let socket = connect(address, None).await;
            tokio::spawn(listen(socket, Arc::clone(&arrived), clock.clone()));
        }
        // As long as one of ours.
        let order = OrderId::default();
        let text = json!({"pub": [{
            "ch": format!("order:{order}"), "o": 2, "t": "2026-11-27T09:00:00.000Z",
            "ev": "confirmed", "d": {"at": "2026-11-27T09:00:00.000Z", "status": "confirmed"},
        }]});
        Self {
            sender,
            arrived,
            text: text.to_string().into(),
            sockets,
            clock: clock.clone(),
        }
    }

    async fn burst(&self) -> f64 {
        let events = (self.sockets * BURST) as u64;
        self.arrived.expect(events);
        let began = self.clock.instant();
        for _ in 0..BURST {
            self.sender.send(self.text.clone()).unwrap();
        }
        self.arrived.wait().await;
        events as f64 / (self.clock.instant() - began).as_secs_f64()
    }

    async fn paced(&self) -> f64 {
        self.arrived.expect((self.sockets * PACED) as u64);
        let mut due = self.clock.instant();
        for _ in 0..PACED {
            self.arrived.send_now(&self.clock);
            self.sender.send(self.text.clone()).unwrap();
            due += PACE;
            self.clock
                .sleep(due.saturating_duration_since(self.clock.instant()))
                .await;
        }
        self.arrived.wait().await;
        self.arrived.p99()
    }
}

async fn connect(address: SocketAddr, subprotocol: Option<&str>) -> Socket {
    let mut request = format!("ws://{address}/live/ws").into_client_request().unwrap();
    if let Some(subprotocol) = subprotocol {
        let value = subprotocol.parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", value);
    }
    connect_async_with_config(request, Some(config()), true)
        .await
        .unwrap()
        .0
}

#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let sockets = if quick { 20 } else { SOCKETS };
    let mut ours = Ours::start(sockets, clock).await;
    let bare = Bare::start(sockets, clock).await;
    println!("fan-out to {sockets} sockets");
    let burst = compare(quick, async || bare.burst().await, async || ours.burst().await).await;
    println!("fan-out to {sockets} sockets, an event every {PACE:?}");
    let paced = compare(quick, async || bare.paced().await, async || ours.paced().await).await;
    vec![
        burst.row(
            &format!("live events to {sockets} sockets, {ORDERS} orders moving {STEPS} times"),
            "bare tokio-tungstenite broadcast",
            "6",
        ),
        paced.row_in(
            Unit::Micros,
            &format!("live event to {sockets} sockets, one every 10 ms, 99th percentile"),
            "bare tokio-tungstenite broadcast",
            "1.2",
        ),
    ]
}

/// What the shop that ships needs for a socket whose guest said hello.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn idle(clock: &Clock, quick: bool) -> Vec<String> {
    let count = if quick { 20 } else { IDLE };
    println!("{count} idle sockets");
    let shop = Node::open("live").await;
    let enter = call(hyper::Method::POST, &shop.address, "/v1/guests", None, "");
    let mut door = Connection::open(&shop.address).await;
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        let (status, _, body) = door.send_patiently(&enter).await;
        assert_eq!(status, hyper::StatusCode::CREATED, "{body:?}");
        let entered: Value = serde_json::from_slice(&body).unwrap();
        tokens.push(entered["access_token"].as_str().unwrap().to_owned());
    }
    // What the allocator keeps from entering shall not pass for what sockets need.
    clock.sleep(Duration::from_secs(2)).await;
    let before = shop.memory();
    let address: SocketAddr = shop.address.parse().unwrap();
    let mut sockets = Vec::with_capacity(count);
    for token in &tokens {
        let mut socket = connect(address, Some("live.1.json")).await;
        let hello = json!({"hello": {"token": token}});
        socket.send(Message::text(hello.to_string())).await.unwrap();
        let welcome = socket.next().await.unwrap().unwrap();
        assert!(
            welcome.to_text().unwrap().starts_with("{\"welcome\""),
            "{welcome:?}"
        );
        sockets.push(socket);
    }
    clock.sleep(Duration::from_secs(2)).await;
    let each = shop.memory().saturating_sub(before) as f64 / count as f64 / 1_024.0;
    println!("  {each:.1} KiB each");
    drop(sockets);
    shop.close().await;
    vec![plain_row(
        &format!("memory of the node for each of {count} idle sockets that said hello"),
        &format!("{each:.1} KiB"),
        "12 KB",
    )]
}
