//! A shop in memory for the tests of this room: real actors over the memory journal, and a client at
//! the other end of a pipe.

use std::collections::HashMap;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ws::Message;
use futures_util::{Sink, Stream};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::PollSender;
use uuid::Uuid;

use super::connection;
use super::source::{Faces, ProductFace, Shelf, Sources};
use super::viewer::{Credential, Doorkeeper, Turned, Viewer};
use super::{Live, LiveArguments, LiveSettings};
use crate::accounts::{Caller, Role, Roles};
use crate::actors::heart::{Heart, HeartArguments, directories};
use crate::actors::tenure::Tenure;
use crate::clock::Clock;
use crate::cluster::{Ask, Region};
use crate::domain::cart::{self, Cart};
use crate::domain::id::{CartId, CustomerId, OrderId, Sku};
use crate::domain::order::{self, Draft, Order, Placed, Transition};
use crate::domain::{Millis, Money, ShardCount};
use crate::journal::{Journal, MemoryJournal, Takeover};
use crate::relay::Tails;
use crate::views::Availability;

/// Writes as little as shows the state. Falls over when told to.
#[derive(Default)]
pub(super) struct PlainFaces {
    pub(super) broken: AtomicBool,
}

impl Faces for PlainFaces {
    fn cart(&self, id: CartId, cart: &Cart) -> Value {
        assert!(!self.broken.load(SeqCst), "the pen broke");
        let lines: Vec<Value> = cart
            .lines
            .iter()
            .map(|line| json!({"sku": line.sku, "quantity": line.quantity}))
            .collect();
        json!({"cart_id": id, "version": cart.version, "lines": lines})
    }

    fn order(&self, order: &Placed) -> Value {
        let history: Vec<Value> = order.history.iter().map(|entry| self.transition(entry)).collect();
        json!({"status": order.status(), "history": history})
    }

    fn transition(&self, entry: &Transition) -> Value {
        json!({"at": entry.at, "status": entry.status, "detail": entry.detail})
    }
}

/// Products and their prices.
pub(super) struct Window {
    faces: Mutex<HashMap<Sku, ProductFace>>,
    revision: watch::Sender<u64>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            faces: Mutex::default(),
            revision: watch::Sender::new(0),
        }
    }
}

impl Window {
    pub(super) fn set(&self, sku: &str, cents: i64) {
        let mut faces = self.faces.lock().unwrap();
        let sku: Sku = sku.parse().unwrap();
        let version = faces.get(&sku).map_or(1, |face| face.version + 1);
        let face = ProductFace {
            price: Money::eur(cents),
            availability: Availability::InStock,
            version,
        };
        faces.insert(sku, face);
        drop(faces);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn remove(&self, sku: &str) {
        self.faces.lock().unwrap().remove(&sku.parse().unwrap());
        self.revision.send_modify(|revision| *revision += 1);
    }
}

impl Shelf for Window {
    fn product(&self, sku: &Sku) -> Option<ProductFace> {
        self.faces.lock().unwrap().get(sku).copied()
    }

    fn item(&self, sku: &Sku) -> Option<ProductFace> {
        self.product(sku)
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

/// Knows who is who by the token alone.
pub(super) struct Guestbook {
    known: Mutex<HashMap<String, Result<Viewer, Turned>>>,
    pub(super) changes: broadcast::Sender<CustomerId>,
}

impl Default for Guestbook {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            changes: broadcast::channel(16).0,
        }
    }
}

pub(super) fn customer(number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(number))
}

pub(super) fn viewer(number: u128, roles: Roles, guests: &[u128]) -> Viewer {
    let identities = std::iter::once(number)
        .chain(guests.iter().copied())
        .map(customer);
    Viewer {
        caller: Arc::new(Caller {
            customer_id: customer(number),
            session_id: None,
            roles,
            guest: false,
            expires_at: Millis(i64::MAX),
        }),
        identities: identities.collect(),
    }
}

impl Guestbook {
    pub(super) fn write(&self, token: &str, entry: Result<Viewer, Turned>) {
        self.known.lock().unwrap().insert(token.to_owned(), entry);
    }
}

#[async_trait]
impl Doorkeeper for Guestbook {
    async fn admit(&self, credential: &Credential) -> Result<Viewer, Turned> {
        let (Credential::Token(secret) | Credential::Cookie(secret)) = credential;
        let known = self.known.lock().unwrap();
        known
            .get(secret.expose())
            .cloned()
            .unwrap_or(Err(Turned::Refused))
    }
}

/// A whole shop.
pub(super) struct House {
    pub(super) clock: Clock,
    pub(super) region: Region,
    pub(super) live: Live,
    pub(super) window: Arc<Window>,
    pub(super) guestbook: Arc<Guestbook>,
    pub(super) faces: Arc<PlainFaces>,
    pub(super) heart: Heart,
}

impl House {
    pub(super) async fn open() -> Self {
        let clock = Clock::simulated(3, Millis(1_800_000_000_000));
        let shards = ShardCount::new(4).unwrap();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(shards, clock.clone()));
        let tails = Tails::new(shards);
        let doors = directories(&journal, &clock);
        let heart = Heart::start(HeartArguments {
            node: "test".into(),
            owner: "ws/1".into(),
            takeover: Takeover::AtOnce,
            tenure: Some(Tenure::endless(&clock)),
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            tails: tails.clone(),
            directories: Arc::clone(&doors),
            residents: vec![],
        })
        .await
        .unwrap();
        assert!(heart.ready(Duration::from_secs(10)).await);
        let (window, guestbook, faces) = (
            Arc::new(Window::default()),
            Arc::new(Guestbook::default()),
            Arc::new(PlainFaces::default()),
        );
        let region = Region::new(doors);
        let live = Live::start(LiveArguments {
            heart: &heart,
            node: "test".into(),
            tails,
            shards,
            sources: Sources {
                owners: Arc::new(region.clone()),
                shelf: Arc::clone(&window) as _,
                faces: Arc::clone(&faces) as _,
            },
            doorkeeper: Arc::clone(&guestbook) as _,
            changes: guestbook.changes.subscribe(),
            settings: LiveSettings::default(),
        })
        .await
        .unwrap();
        guestbook.write("ada", Ok(viewer(1, Roles::SHOPPER, &[])));
        guestbook.write("eve", Ok(viewer(2, Roles::SHOPPER, &[])));
        guestbook.write("was-ada", Ok(viewer(3, Roles::SHOPPER, &[1])));
        guestbook.write("sam", Ok(viewer(4, Roles::default().with(Role::Seller), &[])));
        guestbook.write("late", Err(Turned::Ended));
        Self {
            clock,
            region,
            live,
            window,
            guestbook,
            faces,
            heart,
        }
    }

    /// A client on a pipe with room for `room` messages towards it.
    pub(super) fn connect(&self, room: usize) -> Client {
        let (to_server, from_client) = mpsc::channel(1_024);
        let (to_client, from_server) = mpsc::channel(room);
        let pipe = Pipe {
            incoming: from_client,
            outgoing: PollSender::new(to_client),
        };
        let session = self.live.session([127, 0, 0, 1].into()).unwrap();
        let serving = connection::serve(pipe, session);
        // Most connections are idle most of the time: 12 KB is the goal, sockets' buffers included.
        assert!(size_of_val(&serving) < 3_072, "{}", size_of_val(&serving));
        tokio::spawn(serving);
        Client {
            to_server,
            from_server,
        }
    }

    /// A client that has said hello.
    pub(super) async fn greet(&self, token: &str) -> Client {
        let mut client = self.connect(1_024);
        client.say(&json!({"hello": {"token": token}})).await;
        assert_eq!(client.hear().await.0, "welcome");
        client
    }

    /// Places an order of customer 1.
    pub(super) async fn place(&self, checkout: u64) -> OrderId {
        let draft = draft(customer(1), checkout);
        let id = draft.order();
        self.order(id, order::Command::Place(Arc::new(draft))).await;
        id
    }

    pub(super) async fn order(&self, id: OrderId, command: order::Command) {
        self.region
            .ask::<Order>(&id.entity(), Ask::new(command))
            .await
            .unwrap();
    }

    /// Confirms an order: three commands, one entry of its history.
    pub(super) async fn confirm(&self, id: OrderId) {
        use order::{Authorisation, Capture, Command};
        self.order(id, Command::RecordHolds { held: true }).await;
        self.order(id, Command::RecordAuthorisation(Authorisation::Authorised))
            .await;
        self.order(id, Command::RecordCommit { committed: true }).await;
        self.order(id, Command::RecordCapture(Capture::Captured)).await;
    }

    pub(super) async fn set_line(&self, customer: CustomerId, sku: &str, quantity: u32) {
        let command = cart::Command::SetLine {
            sku: sku.parse().unwrap(),
            quantity,
            quoted: Money::eur(100),
        };
        let cart = CartId::of(customer).entity();
        self.region.ask::<Cart>(&cart, Ask::new(command)).await.unwrap();
    }
}

pub(super) fn draft(customer: CustomerId, checkout: u64) -> Draft {
    Draft {
        customer,
        cart: CartId::of(customer),
        checkout,
        ..Draft::default()
    }
}

/// The server's end of a connection.
struct Pipe {
    incoming: mpsc::Receiver<Message>,
    outgoing: PollSender<Message>,
}

impl Stream for Pipe {
    type Item = Result<Message, &'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.incoming.poll_recv(context).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Pipe {
    type Error = &'static str;

    fn poll_ready(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.outgoing.poll_reserve(context).map_err(|_| "closed")
    }

    fn start_send(mut self: std::pin::Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.outgoing.send_item(message).map_err(|_| "closed")
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_close(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// The client's end.
pub(super) struct Client {
    to_server: mpsc::Sender<Message>,
    from_server: mpsc::Receiver<Message>,
}

impl Client {
    pub(super) async fn say(&self, frame: &Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub(super) async fn send(&self, message: Message) {
        self.to_server.send(message).await.unwrap();
    }

    pub(super) async fn follow(&self, channel: &str, from: Value) {
        self.say(&json!({"sub": [{"id": 1, "ch": channel, "from": from}]}))
            .await;
    }

    /// The next frame that is no ping.
    pub(super) async fn hear(&mut self) -> (String, Value) {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(300), self.from_server.recv()).await;
            match message.expect("a frame in time").expect("an open connection") {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(text.as_str()).unwrap();
                    let (name, body) = frame.as_object().unwrap().iter().next().unwrap();
                    if name != "ping" {
                        return (name.clone(), body.clone());
                    }
                }
                Message::Ping(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next frame, which has this name.
    pub(super) async fn expect(&mut self, name: &str) -> Value {
        let (heard, body) = self.hear().await;
        assert_eq!(heard, name, "{body}");
        body
    }

    /// The goodbye, and the close with the same code after it.
    pub(super) async fn expect_bye(&mut self) -> Value {
        let bye = loop {
            let (name, body) = self.hear().await;
            if name == "bye" {
                break body;
            }
        };
        match self.from_server.recv().await {
            Some(Message::Close(Some(close))) => assert_eq!(u64::from(close.code), bye["code"]),
            other => panic!("a close after the bye, not {other:?}"),
        }
        bye
    }

    /// Whether anything waits to be heard now.
    pub(super) fn has_heard_nothing(&mut self) -> bool {
        self.from_server.try_recv().is_err()
    }
}
