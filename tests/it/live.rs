//! The live feed over real sockets: a WebSocket client, an event-stream client, and clients that
//! behave badly. Entities and hub are the real ones over the memory journal; accounts and catalogue
//! are on PostgreSQL.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use globalshop::accounts::{AccountSettings, Accounts, SigningKey, TokenGrant};
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, Region};
use globalshop::domain::cart::Cart;
use globalshop::domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop::domain::order::{self, Authorisation, Capture, Draft, Order, Placed, Transition};
use globalshop::domain::product::{self, Details, Product};
use globalshop::domain::stock::{self, Stock};
use globalshop::domain::{Money, ShardCount};
use globalshop::http;
use globalshop::http::serve::ServeSettings;
use globalshop::journal::{Journal, MemoryJournal, Takeover};
use globalshop::relay::{Tails, View as _};
use globalshop::views::{Catalogue, Tree, Views};
use globalshop::ws::{Faces, Live, LiveArguments, LiveSettings, Sources};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::database;

const PATIENCE: Duration = Duration::from_secs(20);

/// Writes with the pen of the HTTP API.
struct Pen(Arc<Catalogue>);

impl Faces for Pen {
    fn cart(&self, id: CartId, cart: &Cart) -> Value {
        let currency = globalshop::domain::money::Currency::EUR;
        json!(http::cart::render(id, cart, &self.0, currency))
    }

    fn order(&self, order: &Placed) -> Value {
        json!(http::order::render(order))
    }

    fn transition(&self, entry: &Transition) -> Value {
        json!(http::order::render_transition(entry))
    }
}

struct Shop {
    address: SocketAddr,
    region: Region,
    journal: Arc<dyn Journal>,
    accounts: Arc<Accounts>,
    catalogue: Arc<Catalogue>,
    live: Live,
    _heart: Heart,
    stop: CancellationToken,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shop {
    async fn open() -> Self {
        let pool = database::fresh().await;
        let clock = Clock::system();
        let shards = ShardCount::new(4).unwrap();
        let key = SigningKey::ephemeral(&clock).unwrap();
        let accounts = Accounts::start(pool.clone(), clock.clone(), key, AccountSettings::default());
        let accounts = Arc::new(accounts.await.unwrap());
        let tree = Tree::new([("televisions", "Televisions", None)]);
        let views = Views::open(pool, clock.clone(), shards, tree, |_| ())
            .await
            .unwrap();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(shards, clock.clone()));
        let tails = Tails::new(shards);
        let doors = directories(&journal, &clock);
        let heart = Heart::start(HeartArguments {
            node: "it".into(),
            owner: "live/1".into(),
            takeover: Takeover::AtOnce,
            tenure: Some(Tenure::endless(&clock)),
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            tails: tails.clone(),
            directories: Arc::clone(&doors),
            residents: vec![],
        });
        let heart = heart.await.unwrap();
        assert!(heart.ready(PATIENCE).await);
        let region = Region::new(doors);
        let live = Live::start(LiveArguments {
            heart: &heart,
            node: "it".into(),
            tails,
            shards,
            sources: Sources {
                owners: Arc::new(region.clone()),
                shelf: Arc::clone(&views.catalogue) as _,
                faces: Arc::new(Pen(Arc::clone(&views.catalogue))),
            },
            doorkeeper: Arc::clone(&accounts) as _,
            changes: accounts.changes(),
            settings: LiveSettings::default(),
        });
        let live = live.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(http::serve::serve(
            listener,
            live.router(),
            ServeSettings::default(),
            clock,
            stop.clone(),
        ));
        Self {
            address,
            region,
            journal,
            accounts,
            catalogue: views.catalogue,
            live,
            _heart: heart,
            stop,
        }
    }

    /// Lets the catalogue follow the journal, as the relay does.
    async fn follow(&self) {
        for shard in self.journal.shards().all() {
            let from = self.catalogue.position(shard).await.unwrap();
            let events = self.journal.read(shard, from, 1_000).await.unwrap();
            if let Some(last) = events.last() {
                let through = last.position;
                let wanted = events
                    .into_iter()
                    .filter(|event| self.catalogue.wants(event.entity.kind()));
                let wanted: Vec<_> = wanted.map(Arc::new).collect();
                self.catalogue.follow(shard, &wanted, through).await.unwrap();
            }
        }
    }

    async fn stock(&self, sku: &str, units: i64, cents: i64) {
        let sku: Sku = sku.parse().unwrap();
        let details = Details {
            sku: sku.clone(),
            slug: sku.to_string().to_lowercase(),
            name: "A television".to_owned(),
            brand: String::new(),
            category: "televisions".to_owned(),
            part_number: None,
            description: String::new(),
            attributes: BTreeMap::new(),
            variants: vec![],
            images: vec![],
            gtins: vec![],
        };
        let create = product::Command::Create {
            details: Box::new(details),
            price: Money::eur(cents),
        };
        self.region
            .ask::<Product>(&sku.product(), Ask::new(create))
            .await
            .unwrap();
        self.adjust(sku.as_str(), units).await;
    }

    async fn adjust(&self, sku: &str, delta: i64) {
        let sku: Sku = sku.parse().unwrap();
        let adjust = stock::Command::Adjust {
            delta,
            reason: "a count".to_owned(),
        };
        self.region
            .ask::<Stock>(&sku.stock(), Ask::new(adjust))
            .await
            .unwrap();
        self.follow().await;
    }

    async fn guest(&self) -> TokenGrant {
        self.accounts.open_guest().await.unwrap()
    }

    async fn place(&self, customer: CustomerId) -> OrderId {
        let draft = Draft {
            customer,
            cart: CartId::of(customer),
            checkout: 1,
            ..Draft::default()
        };
        let id = draft.order();
        self.order(id, order::Command::Place(Arc::new(draft))).await;
        id
    }

    async fn order(&self, id: OrderId, command: order::Command) {
        self.region
            .ask::<Order>(&id.entity(), Ask::new(command))
            .await
            .unwrap();
    }

    async fn confirm(&self, id: OrderId) {
        use order::Command;
        self.order(id, Command::RecordHolds { held: true }).await;
        self.order(id, Command::RecordAuthorisation(Authorisation::Authorised))
            .await;
        self.order(id, Command::RecordCommit { committed: true }).await;
        self.order(id, Command::RecordCapture(Capture::Captured)).await;
    }

    fn request(&self, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = format!("ws://{}/live/ws", self.address)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    async fn connect(&self, headers: &[(&str, &str)]) -> Client {
        let mut request = self.request(headers);
        let protocol = "live.1.json".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, answer) = connect_async(request).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "live.1.json");
        Client(socket)
    }

    async fn greet(&self, grant: &TokenGrant) -> Client {
        let mut client = self.connect(&[]).await;
        client
            .say(&json!({"hello": {"token": grant.access_token.expose()}}))
            .await;
        client.expect("welcome").await;
        client
    }

    /// What the upgrade is answered with if it is refused.
    async fn refused(&self, headers: &[(&str, &str)]) -> (u16, Value) {
        match connect_async(self.request(headers)).await {
            Err(Error::Http(answer)) => {
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                let body = serde_json::from_slice(answer.body().as_deref().unwrap_or_default());
                (answer.status().as_u16(), body.unwrap())
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Sends bytes of our own making.
    async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// An event stream, and what came of it until `enough` is in it.
    async fn listen(&self, query: &str, headers: &str, enough: &str) -> (TcpStream, String) {
        let head = format!("GET /live/sse?{query} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n");
        let mut stream = self.raw(head.as_bytes()).await;
        let text = read_until(&mut stream, enough).await;
        (stream, text)
    }
}

async fn read_until(stream: &mut TcpStream, enough: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(enough) {
        let mut more = [0; 4_096];
        let count = timeout(PATIENCE, stream.read(&mut more)).await;
        let count = count.unwrap_or_else(|_| panic!("{enough} in {}", String::from_utf8_lossy(&bytes)));
        match count {
            Ok(count) if count > 0 => bytes.extend_from_slice(&more[..count]),
            _ => panic!("{enough} before the end of {}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A WebSocket client.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn follow(&mut self, channel: &str, from: Value) {
        self.say(&json!({"sub": [{"id": 1, "ch": channel, "from": from}]}))
            .await;
    }

    async fn hear(&mut self) -> (String, Value) {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("a frame in time");
            match message.expect("an open socket").unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let (name, body) = frame.as_object().unwrap().iter().next().unwrap();
                    return (name.clone(), body.clone());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    async fn expect(&mut self, name: &str) -> Value {
        let (heard, body) = self.hear().await;
        assert_eq!(heard, name, "{body}");
        body
    }

    /// The goodbye and the close with the same code; whatever comes before does not matter.
    async fn expect_bye(&mut self) -> u64 {
        let bye = loop {
            let (name, body) = self.hear().await;
            if name == "bye" {
                break body["code"].as_u64().unwrap();
            }
        };
        match timeout(PATIENCE, self.0.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(u64::from(u16::from(close.code)), bye),
            other => panic!("a close after the bye, not {other:?}"),
        }
        bye
    }
}

#[tokio::test]
async fn an_order_is_watched_over_both_transports_and_resumed() {
    let shop = Shop::open().await;
    let ada = shop.guest().await;
    let id = shop.place(ada.customer_id).await;
    let channel = format!("order:{id}");
    let mut socket = shop.greet(&ada).await;
    socket.follow(&channel, json!("snapshot")).await;
    let snap = socket.expect("snap").await;
    assert_eq!((&snap["o"], &snap["data"]["position"]), (&json!(1), &json!(1)));
    assert_eq!(snap["data"]["order_id"], id.to_string());
    socket.expect("live").await;

    let bearer = format!("Authorization: Bearer {}\r\n", ada.access_token.expose());
    let (mut events, begun) = shop
        .listen(&format!("ch={channel}"), &bearer, "event: live")
        .await;
    assert!(begun.contains("content-type: text/event-stream"), "{begun}");
    assert!(begun.contains("event: snap\n"), "{begun}");

    shop.confirm(id).await;
    let told = socket.expect("pub").await;
    assert_eq!(
        (&told[0]["o"], &told[0]["d"]["status"]),
        (&json!(2), &json!("confirmed"))
    );
    let more = read_until(&mut events, "confirmed").await;
    assert!(more.contains("event: pub\n"), "{more}");
    let last_id = more
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    assert!(last_id.ends_with("@2"), "{last_id}");
    drop(events);

    shop.order(id, order::Command::Pack).await;
    let resume = format!("{bearer}Last-Event-ID: {last_id}\r\n");
    let (_, resumed) = shop
        .listen(&format!("ch={channel}"), &resume, "event: live")
        .await;
    assert!(!resumed.contains("event: snap"), "{resumed}");
    assert!(resumed.contains(r#""status":"packed""#), "{resumed}");
    assert!(!resumed.contains("confirmed"), "{resumed}");
    assert!(resumed.contains(r#""recovered":true"#), "{resumed}");

    // Another's order is as if absent, on either transport.
    let eve = shop.guest().await;
    let mut other = shop.greet(&eve).await;
    other.follow(&channel, json!("snapshot")).await;
    assert_eq!(other.expect("err").await["status"], 404);
    let bearer = format!("Authorization: Bearer {}\r\n", eve.access_token.expose());
    for (query, headers, status) in [
        (format!("ch={channel}"), bearer.as_str(), "404"),
        (format!("ch={channel}"), "", "401"),
        ("ch=cart".to_owned(), "Authorization: Bearer x\r\n", "401"),
        ("ch=nonsense".to_owned(), "", "404"),
        (String::new(), "", "422"),
        ("channel=cart".to_owned(), "", "422"),
    ] {
        let (_, answer) = shop.listen(&query, headers, "trace_id").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{query}: {answer}"
        );
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn bad_frames_cost_nobody_else_anything() {
    let shop = Shop::open().await;
    shop.stock("TV-1", 50, 49_900).await;
    let mut bystander = shop.connect(&[]).await;
    bystander.follow("product:TV-1", json!("snapshot")).await;
    bystander.expect("welcome").await;
    let snap = bystander.expect("snap").await;
    assert_eq!(
        snap["data"]["price"],
        json!({"amount": 49_900, "currency": "EUR"})
    );
    assert_eq!(snap["data"]["availability"], "in_stock");
    bystander.expect("live").await;

    for bad in [
        Message::text("{"),
        Message::text(r#"{"sub": [{"id": 1}]}"#),
        Message::text(r#"{"launch": {}}"#),
        Message::text("x".repeat(65 * 1_024)),
        Message::text("x".repeat(120 * 1_024)),
        Message::text("x".repeat(200 * 1_024)),
        Message::binary(vec![0; 100]),
        Message::binary(vec![0; 70 * 1_024]),
    ] {
        let what = format!("{} bytes, binary: {}", bad.len(), bad.is_binary());
        let mut client = shop.connect(&[]).await;
        client.0.send(bad).await.unwrap();
        let code = client.expect_bye().await;
        assert_eq!(code, 4010, "{what}");
    }
    // Deep nesting and a broken position are answered, and the connection goes on or ends in order.
    let mut client = shop.connect(&[]).await;
    client.follow("product:TV-1", json!({"e": 1, "o": -1})).await;
    client.expect("welcome").await;
    assert_eq!(client.expect("err").await["status"], 422);
    let deep = format!(r#"{{"sub": {}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    client.0.send(Message::text(deep)).await.unwrap();
    assert_eq!(client.expect_bye().await, 4010);

    // Bytes that are no WebSocket frames: unmasked, reserved bits, an unknown opcode, a
    // length beyond everything, bad UTF-8, a large ping.
    let mut large_ping = vec![0x89, 0xfe, 0, 126];
    large_ping.resize(8 + 126, 0);
    for broken in [
        &[0x81, 0x02, b'{', b'}'][..],
        &[0xf1, 0x82, 1, 2, 3, 4, 5, 6],
        &[0x8b, 0x80, 1, 2, 3, 4],
        &[
            0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
        ],
        &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
        &large_ping,
    ] {
        let head = "GET /live/ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Protocol: live.1.json\r\n\r\n";
        let mut stream = shop.raw(head.as_bytes()).await;
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(broken).await.unwrap();
        let mut rest = Vec::new();
        // It is ended by the server, not by our patience.
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{broken:?}");
    }

    shop.adjust("TV-1", -47).await;
    let told = bystander.expect("pub").await;
    assert_eq!(told[0]["d"]["availability"], "low");
    assert!(told[0]["o"].as_u64() > snap["o"].as_u64());
}

#[tokio::test]
async fn an_upgrade_comes_from_our_pages_or_from_a_program() {
    let shop = Shop::open().await;
    let protocol = ("sec-websocket-protocol", "live.1.json");
    let (status, problem) = shop.refused(&[]).await;
    assert_eq!(
        (status, &problem["type"]),
        (400, &json!("/problems/malformed-request"))
    );
    assert_eq!(shop.refused(&[("sec-websocket-protocol", "chat")]).await.0, 400);
    for origin in ["https://evil.example", "null"] {
        let (status, problem) = shop.refused(&[protocol, ("origin", origin)]).await;
        assert_eq!(
            (status, &problem["type"]),
            (403, &json!("/problems/cross-site-request"))
        );
    }
    let mut plain = shop.raw(b"GET /live/ws HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    let answer = read_until(&mut plain, "trace_id").await;
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");

    let browser = shop.accounts.open_guest_browser().await.unwrap();
    let cookie = format!("session={}", browser.cookie.expose());
    let ours = format!("http://{}", shop.address);
    let mut page = shop.connect(&[("cookie", &cookie), ("origin", &ours)]).await;
    page.say(&json!({"hello": {"client": "storefront"}})).await;
    page.expect("welcome").await;
    page.follow("cart", json!("snapshot")).await;
    assert_eq!(
        page.expect("snap").await["data"]["cart_id"],
        browser.customer_id.to_string()
    );
    page.expect("live").await;

    // A cookie without a page behind it proves nothing.
    let mut program = shop.connect(&[("cookie", &cookie)]).await;
    program.follow("cart", json!("snapshot")).await;
    program.expect("welcome").await;
    assert_eq!(program.expect("err").await["status"], 401);

    // Signing out ends what is open.
    shop.accounts.end_session(browser.session_id).await.unwrap();
    assert_eq!(page.expect_bye().await, 4001);
}

#[tokio::test]
async fn a_node_that_goes_down_says_when_to_come_back() {
    let shop = Shop::open().await;
    let ada = shop.guest().await;
    let mut socket = shop.greet(&ada).await;
    let bearer = format!("Authorization: Bearer {}\r\n", ada.access_token.expose());
    let (mut events, _) = shop.listen("ch=cart", &bearer, "event: live").await;
    let live = shop.live.clone();
    let drained = tokio::spawn(async move { live.drain(Duration::from_secs(3), PATIENCE).await });
    assert_eq!(socket.expect_bye().await, 4000);
    let bye = read_until(&mut events, "event: bye").await;
    assert!(bye.contains(r#""code":4000"#), "{bye}");
    drop((socket, events));
    drained.await.unwrap();
    assert_eq!(shop.live.connections(), 0);
    let refused = shop.refused(&[("sec-websocket-protocol", "live.1.json")]).await;
    assert_eq!(refused.0, 503);
}

#[tokio::test]
async fn the_document_of_the_feed_is_served() {
    let shop = Shop::open().await;
    let mut stream = shop
        .raw(b"GET /asyncapi.json HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        .await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(document["x-close-codes"][4]["code"], 4010);
}
