//! More than there is room for, against a node that listens: who is turned away, when, and with what words;
//! who still gets through; what is left out meanwhile; and that all of it ends by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use globalshop::accounts::{Role, SigningKey, long_token};
use globalshop::clock::Clock;
use globalshop::config::Settings;
use globalshop::load::client::{Answer, Call, Client, Target};
use globalshop::node::{Node, Plan};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::database;
use crate::edge::eur;
use crate::eventually::eventually;
use crate::scratch::Scratch;

/// A node with four places: all for who pays, three for who looks around, two for the rest.
struct Small {
    node: Node,
    address: SocketAddr,
    database: PgConnectOptions,
    target: Target,
    client: Client,
    seller: String,
    operator: String,
    _data: Scratch,
}

impl Small {
    async fn open() -> Self {
        let data = Scratch::new();
        let mut settings = Settings::load(None).unwrap();
        let database = database::fresh_options().await;
        settings.journal.database = Some(database.to_url_lossy().to_string());
        settings.limits.in_flight = 4;
        let clock = Clock::system();
        let plan = Plan {
            settings,
            data: data.path().to_owned(),
            listen: Some(([127, 0, 0, 1], 0).into()),
        };
        let node = Node::start(plan, clock.clone()).await.unwrap();
        let key = SigningKey::of_used_folder(data.path()).unwrap();
        let token = |role| long_token(&key, &clock, role, None).unwrap().expose().to_owned();
        let address = node.address().unwrap();
        let target = Target::resolve(&format!("http://{address}")).await.unwrap();
        Self {
            node,
            address,
            database,
            client: Client::new(target.clone(), Duration::from_secs(60)),
            target,
            seller: token(Role::Seller),
            operator: token(Role::Operator),
            _data: data,
        }
    }

    async fn ask(&mut self, call: &Call) -> Answer {
        self.client.send(call).await.unwrap()
    }

    async fn expect(&mut self, call: &Call, status: u16) -> Value {
        let answer = self.ask(call).await;
        assert_eq!(answer.status.as_u16(), status, "{} {answer:?}", call.path());
        answer.json().unwrap_or(Value::Null)
    }

    /// A product with units; its SKU.
    async fn product(&mut self) -> String {
        let product = json!({"sku": "SMALL-1", "name": "A small thing", "price": eur(1_000)});
        let create = Call::post("/v1/products")
            .bearer(&self.seller)
            .key("p")
            .json(&product);
        self.expect(&create, 201).await;
        let delivery = json!({"delta": 5, "reason": "delivery"});
        let adjust = Call::post("/v1/stock/SMALL-1/adjustments")
            .bearer(&self.seller)
            .key("s")
            .json(&delivery);
        self.expect(&adjust, 200).await;
        "SMALL-1".to_owned()
    }

    /// Takes this many places: with calls that need a table which is locked. They have no body, so that they
    /// never step aside, and whose database gives up on the lock comes again at once.
    async fn crowd(&self, table: &str, call: &Call, places: usize) -> Crowd {
        let mut lock = self.database.connect().await.unwrap();
        sqlx::query("begin").execute(&mut lock).await.unwrap();
        let statement = format!("lock table {table} in access exclusive mode");
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut lock)
            .await
            .unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..places {
            let (call, begun) = (call.clone(), Arc::clone(&begun));
            let mut client = Client::new(self.target.clone(), Duration::from_secs(60));
            callers.spawn(async move {
                loop {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let answer = client.send(&call).await.unwrap();
                    if answer.status != 503 {
                        return answer.status.as_u16();
                    }
                }
            });
        }
        Crowd {
            lock,
            places,
            begun,
            callers,
        }
    }

    /// What the shop says while every place of the crowd is taken, from before it is asked until after it
    /// has answered; asks again as long as that was not so.
    async fn meanwhile<T>(&mut self, crowd: &Crowd, mut ask: impl AsyncFnMut(&mut Self) -> T) -> T {
        eventually("every place of the crowd is taken", async || {
            // In this order: whoever leaves after the first look can only be back with one call more.
            let begun = crowd.begun.load(Ordering::SeqCst);
            let before = self.node.room().load();
            if before.0 != crowd.places {
                return Err((before, before));
            }
            let said = ask(&mut *self).await;
            let after = self.node.room().load();
            if after.0 == crowd.places && crowd.begun.load(Ordering::SeqCst) == begun {
                Ok(said)
            } else {
                Err((before, after))
            }
        })
        .await
    }

    /// The answer to a call that is made while the places are taken.
    async fn ask_meanwhile(&mut self, crowd: &Crowd, call: &Call) -> Answer {
        self.meanwhile(crowd, async |shop: &mut Self| shop.ask(call).await)
            .await
    }

    /// As [`Self::expect`], while the places are taken.
    async fn expect_meanwhile(&mut self, crowd: &Crowd, call: &Call, status: u16) -> Value {
        let answer = self.ask_meanwhile(crowd, call).await;
        assert_eq!(answer.status.as_u16(), status, "{} {answer:?}", call.path());
        answer.json().unwrap_or(Value::Null)
    }

    async fn say(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    async fn is_empty(&self) {
        eventually("the room is empty", async || match self.node.room().load() {
            (0, 0) => Ok(()),
            load => Err(load),
        })
        .await;
    }
}

/// Calls that take long, and what keeps them.
struct Crowd {
    lock: PgConnection,
    places: usize,
    /// How many calls there have been.
    begun: Arc<AtomicUsize>,
    callers: JoinSet<u16>,
}

impl Crowd {
    /// Lets them go on; each is answered so.
    async fn dissolve(self, status: u16) {
        self.lock.close().await.unwrap();
        let answered = timeout(Duration::from_secs(60), self.callers.join_all()).await;
        assert_eq!(answered.unwrap(), vec![status; self.places]);
    }
}

/// Reads until the end of the body of an answer that is a refusal; of any other only the beginning.
async fn refusal(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let refuses = "HTTP/1.1 503";
    while text.len() < refuses.len()
        || (text.starts_with(refuses) && !(text.contains("trace_id") && text.ends_with('}')))
    {
        let mut bytes = [0; 4_096];
        let read = stream.read(&mut bytes).await.unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    text
}

const SIGN_IN: &str = "POST /v1/sessions HTTP/1.1\r\nContent-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pays_gets_through_while_who_looks_around_is_turned_away() {
    let mut shop = Small::open().await;
    let sku = shop.product().await;
    let guest = shop.expect(&Call::post("/v1/guests"), 201).await;
    let token = guest["access_token"].as_str().unwrap().to_owned();
    let look = Call::get("/v1/products");
    shop.expect(&look, 200).await;

    // Once the shopper is known, only who asks about accounts needs their table.
    shop.expect(&Call::get("/v1/me").bearer(&token), 200).await;
    let me = Call::get("/v1/me").bearer(&shop.seller);
    let crowd = shop.crowd("customer", &me, 3).await;
    let refused = shop.ask_meanwhile(&crowd, &look).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let pause = refused.retry_after().unwrap().as_secs();
    assert!((1..=3).contains(&pause), "{pause}");
    let problem = refused.problem().unwrap();
    assert_eq!(
        (problem.kind.as_str(), problem.status),
        ("/problems/overloaded", 503)
    );
    assert!(refused.header("traceparent").unwrap().contains(&problem.trace_id));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    let page = Call::get("/").header(hyper::header::ACCEPT, "text/html");
    let page = shop.ask_meanwhile(&crowd, &page).await;
    assert_eq!(page.status, 503);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.retry_after().is_some() && page.header("traceparent").is_some());

    // Nothing of the body is waited for, and the connection serves another call where there was none.
    let huge = format!("{SIGN_IN}Host: x\r\nContent-Length: 1000000000\r\n\r\n");
    let said = shop
        .meanwhile(&crowd, async |shop: &mut Small| {
            refusal(&mut shop.say(&huge).await).await
        })
        .await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let look_again = "GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n";
    let said = shop
        .meanwhile(&crowd, async |shop: &mut Small| {
            let mut kept = shop.say(look_again).await;
            let first = refusal(&mut kept).await;
            kept.write_all(look_again.as_bytes()).await.unwrap();
            [first, refusal(&mut kept).await]
        })
        .await;
    assert!(
        said.iter().all(|said| said.starts_with("HTTP/1.1 503")),
        "{said:?}"
    );

    let line = Call::put(format!("/v1/cart/lines/{sku}"))
        .bearer(&token)
        .json(&json!({"quantity": 1}));
    shop.expect_meanwhile(&crowd, &line, 200).await;
    let checkout = json!({
        "email": "ada@example.org",
        "shipping_address": {"name": "Ada", "line1": "Unter den Linden 1", "city": "Berlin",
                             "postal_code": "10117", "country": "DE"},
        "payment": {"provider": "sandbox", "token": "tok_approve"},
    });
    let checkout = Call::post("/v1/cart/checkout")
        .bearer(&token)
        .key("c")
        .json(&checkout);
    let accepted = shop.expect_meanwhile(&crowd, &checkout, 202).await;
    let order = Call::get(accepted["status_url"].as_str().unwrap()).bearer(&token);
    shop.expect_meanwhile(&crowd, &order, 200).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        shop.expect_meanwhile(&crowd, &Call::get(path), 200).await;
    }
    let tree = Call::get("/ops/v1/tree").bearer(&shop.operator);
    shop.expect_meanwhile(&crowd, &tree, 200).await;

    crowd.dissolve(200).await;
    shop.is_empty().await;
    shop.expect(&look, 200).await;
    shop.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extras_are_left_out_while_it_lasts_and_come_back() {
    let mut shop = Small::open().await;
    let sku = shop.product().await;
    let page = Call::get("/p/a-small-thing").header(hyper::header::ACCEPT, "text/html");
    assert_eq!(shop.ask(&page).await.header("brown-out"), None);

    let read = Call::get(format!("/v1/imports/{}", Uuid::nil())).bearer(&shop.seller);
    // One place is enough for who looks around; there is none for the rest.
    let crowd = shop.crowd("import", &read, 2).await;
    let mut asked = 0;
    let list = eventually("facets are left out", async || {
        asked += 1;
        let search = Call::get(format!("/v1/products?q=thing&min_price={asked}"));
        shop.expect_meanwhile(&crowd, &search, 503).await;
        let list = shop
            .ask(&Call::get(format!("/v1/products?min_price={asked}")))
            .await;
        assert_eq!(list.status, 200);
        match list.header("brown-out") {
            Some("facets") => Ok(list),
            other => Err(other.map(str::to_owned)),
        }
    })
    .await;
    assert_eq!(list.header("cache-control"), Some("no-store"));
    let body: Value = list.json().unwrap();
    assert_eq!(body["items"][0]["sku"], sku);
    assert_eq!(
        (&body["facets"]["counted"], &body["facets"]["complete"]),
        (&json!(0), &json!(false))
    );
    eventually("suggestions are left out", async || {
        let search = Call::get("/v1/products?q=thing");
        shop.expect_meanwhile(&crowd, &search, 503).await;
        let seen = shop.ask(&page).await;
        assert_eq!(seen.status, 200);
        match seen.header("brown-out") {
            Some("suggestions") => Ok(()),
            other => Err(other.map(str::to_owned)),
        }
    })
    .await;

    crowd.dissolve(404).await;
    shop.is_empty().await;
    let list = eventually("everything is back", async || {
        asked += 1;
        let list = shop
            .ask(&Call::get(format!("/v1/products?min_price={asked}")))
            .await;
        match list.header("brown-out") {
            None => Ok(list),
            Some(lacks) => Err(lacks.to_owned()),
        }
    })
    .await;
    let body: Value = list.json().unwrap();
    assert_eq!(
        (&body["facets"]["counted"], &body["facets"]["complete"]),
        (&json!(1), &json!(true))
    );
    let found = shop.expect(&Call::get("/v1/products?q=thing"), 200).await;
    assert_eq!(found["items"][0]["sku"], sku);
    shop.node.stop().await;
}
