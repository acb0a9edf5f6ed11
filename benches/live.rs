//! Fan-out of the live feed against a bare tokio-tungstenite broadcast: the same text to as many
//! sockets, in one process, round about.
//!
//! ```text
//! cargo bench --bench live [sockets]
//! ```
//!
//! Our side is the whole of it: orders are moved by commands, committed to the memory journal, decoded
//! and encoded by the hub, and written by the connections. The bare side only sends text that is ready.
//! Only the ratio says something; the absolute figures are the machine's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench says what it found and stops when it cannot go on"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use globalshop::accounts::{Caller, Role, Roles};
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, Region};
use globalshop::domain::cart::Cart;
use globalshop::domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop::domain::order::{self, Authorisation, Capture, Draft, Order, Placed, Transition};
use globalshop::domain::{Millis, ShardCount};
use globalshop::http::serve::{ServeSettings, serve};
use globalshop::journal::{Journal, MemoryJournal};
use globalshop::relay::Tails;
use globalshop::ws::source::{ProductFace, Shelf};
use globalshop::ws::viewer::{Credential, Doorkeeper, Turned, Viewer};
use globalshop::ws::{Faces, Live, LiveArguments, LiveSettings, Sources};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async_with_config, connect_async_with_config,
};
use tokio_util::sync::CancellationToken;

const SOCKETS: usize = 1_000;
/// Orders each socket follows: that many frames reach it in a round.
const ORDERS: u64 = 100;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4_096)
        .write_buffer_size(4_096)
}

/// Frames that arrived, and who waits for them.
#[derive(Default)]
struct Arrived {
    frames: AtomicU64,
    expected: AtomicU64,
    complete: Notify,
}

impl Arrived {
    fn expect(&self, frames: u64) {
        self.frames.store(0, Relaxed);
        self.expected.store(frames, Relaxed);
    }

    fn count(&self, frames: u64) {
        if self.frames.fetch_add(frames, Relaxed) + frames == self.expected.load(Relaxed) {
            self.complete.notify_one();
        }
    }
}

/// Counts what reaches a socket: events by their offsets, so that none counts twice.
async fn listen(mut socket: Socket, arrived: Arc<Arrived>) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            arrived.count(text.matches("\"ev\":").count() as u64);
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
    orders: Vec<OrderId>,
    arrived: Arc<Arrived>,
    _heart: Heart,
}

impl Ours {
    async fn start(sockets: usize, clock: &Clock) -> Self {
        let shards = ShardCount::DEFAULT;
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(shards));
        let (tails, doors) = (Tails::new(shards), directories(&journal, clock));
        let heart = Heart::start(HeartArguments {
            node: "bench".into(),
            owner: "bench".into(),
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

        let mut ours = Self {
            region,
            orders: vec![],
            arrived: Arc::default(),
            _heart: heart,
        };
        for checkout in 0..ORDERS {
            let draft = Draft {
                checkout,
                ..Draft::default()
            };
            ours.orders.push(draft.order());
            ours.ask(draft.order(), order::Command::Place(Arc::new(draft)))
                .await;
        }
        for _ in 0..sockets {
            let socket = ours.follow_all(address).await;
            tokio::spawn(listen(socket, Arc::clone(&ours.arrived)));
        }
        ours
    }

    async fn follow_all(&self, address: SocketAddr) -> Socket {
        let mut socket = connect(address, Some("live.1.json")).await;
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

    async fn ask(&self, id: OrderId, command: order::Command) {
        self.region
            .ask::<Order>(&id.entity(), Ask::new(command))
            .await
            .unwrap();
    }

    /// One entry more in the history of every order, seen by every socket.
    async fn round(&self, commands: &[order::Command], sockets: usize, clock: &Clock) -> Duration {
        let (last, before) = commands.split_last().unwrap();
        for command in before {
            join_all(self.orders.iter().map(|id| self.ask(*id, command.clone()))).await;
        }
        self.arrived.expect(sockets as u64 * ORDERS);
        let began = clock.instant();
        join_all(self.orders.iter().map(|id| self.ask(*id, last.clone()))).await;
        self.arrived.complete.notified().await;
        clock.instant() - began
    }
}

/// The bare side: text that is ready, sent by a task for each socket.
struct Bare {
    sender: broadcast::Sender<Utf8Bytes>,
    arrived: Arc<Arrived>,
}

impl Bare {
    async fn start(sockets: usize) -> Self {
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
            tokio::spawn(listen(connect(address, None).await, Arc::clone(&arrived)));
        }
        Self { sender, arrived }
    }

    async fn round(&self, text: &Utf8Bytes, sockets: usize, clock: &Clock) -> Duration {
        self.arrived.expect(sockets as u64 * ORDERS);
        let began = clock.instant();
        for _ in 0..ORDERS {
            self.sender.send(text.clone()).unwrap();
        }
        self.arrived.complete.notified().await;
        clock.instant() - began
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

#[tokio::main(worker_threads = 2)]
async fn main() {
    use order::Command;
    let sockets = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next_back()
        .unwrap_or(SOCKETS);
    let clock = Clock::system();
    let ours = Ours::start(sockets, &clock).await;
    let bare = Bare::start(sockets).await;
    let text = Utf8Bytes::from(
        json!({"pub": [{
            "ch": format!("order:{}", ours.orders[0]), "o": 2, "t": "2026-11-27T09:00:00.000Z",
            "ev": "confirmed", "d": {"at": "2026-11-27T09:00:00.000Z", "status": "confirmed"},
        }]})
        .to_string(),
    );
    let ship = Command::Ship {
        carrier: "DHL".to_owned(),
        tracking_number: "1".to_owned(),
    };
    let rounds = [
        vec![
            Command::RecordHolds { held: true },
            Command::RecordAuthorisation(Authorisation::Authorised),
            Command::RecordCommit { committed: true },
            Command::RecordCapture(Capture::Captured),
        ],
        vec![Command::Pack],
        vec![ship],
        vec![Command::Deliver],
    ];
    let frames = sockets as f64 * ORDERS as f64;
    let mut totals = [0.0; 2];
    for commands in &rounds {
        for (side, total) in totals.iter_mut().enumerate() {
            let took = if side == 0 {
                ours.round(commands, sockets, &clock).await
            } else {
                bare.round(&text, sockets, &clock).await
            };
            *total += took.as_secs_f64();
            let name = ["ours", "bare"][side];
            println!(
                "{name}: {frames} frames in {took:.1?}, {:.0} a second",
                frames / took.as_secs_f64()
            );
        }
    }
    println!(
        "fan-out against bare tokio-tungstenite: {:.2}x",
        totals[1] / totals[0]
    );
}
