//! One node for every test of the edge, asked within the process as a client would over a socket.
//!
//! A node is too heavy to start for each test, and its tasks live on the runtime they were started
//! on. So it has a runtime of its own, and the calls of all tests run there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use globalshop::accounts::{Accounts, Registration, Role, Secret};
use globalshop::clock::Clock;
use globalshop::config::Settings;
use globalshop::domain::Millis;
use globalshop::http::serve::{ServeSettings, serve};
use globalshop::node::{Node, Plan};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, oneshot};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::database;
use crate::eventually::eventually;
use crate::scratch::Scratch;

/// The shop of this test process.
pub struct Shop {
    router: Router,
    runtime: Handle,
    clock: Clock,
    /// Where it listens, if it does.
    pub address: Option<SocketAddr>,
    /// A seller's token.
    pub seller: String,
    /// An operator's token.
    pub operator: String,
    /// Who is who on the node. Ask it through [`Shop::on_node`].
    pub accounts: Arc<Accounts>,
    /// The private key that signs the node's tokens (PKCS#8).
    pub signing_key: Vec<u8>,
    socket: OnceCell<SocketAddr>,
}

/// The shop, started by the first test that asks.
pub async fn shop() -> &'static Shop {
    static SHOP: OnceCell<Shop> = OnceCell::const_new();
    SHOP.get_or_init(start).await
}

async fn start() -> Shop {
    start_on(database::fresh_options().await, |_| {}).await
}

/// A shop of its own on a database, for a test that needs a node unlike the others; `change` says how.
pub async fn start_on(database: PgConnectOptions, change: impl FnOnce(&mut Plan) + Send + 'static) -> Shop {
    let (tell, told) = oneshot::channel();
    // Outlives every test; the node ends with the process, as it would by `kill -9`.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let clock = Clock::system();
            let mut settings = Settings::load(None).unwrap();
            settings.journal.database = Some(database.to_url_lossy().to_string());
            let data = Scratch::new();
            let mut plan = Plan {
                settings,
                data: data.path().to_owned(),
                listen: None,
            };
            change(&mut plan);
            let node = Node::start(plan, clock.clone()).await.unwrap();
            let mut staff = Vec::new();
            for role in [Role::Seller, Role::Operator] {
                let email = format!("{role}@example.org");
                let registration = Registration {
                    email: email.clone(),
                    password: Secret::new("correct horse battery"),
                    name: role.to_string(),
                };
                let known = node.accounts().register(registration, None).await.unwrap();
                node.accounts().grant(&email, role).await.unwrap();
                node.accounts().revoke_role(&email, Role::Shopper).await.unwrap();
                let grant = node.accounts().open_tokens(known.customer_id).await.unwrap();
                staff.push(grant.access_token.expose().to_owned());
            }
            let operator = staff.pop().unwrap();
            let seller = staff.pop().unwrap();
            let shop = Shop {
                accounts: Arc::clone(node.accounts()),
                signing_key: std::fs::read(data.path().join("signing-key.pk8")).unwrap(),
                socket: OnceCell::new(),
                router: node.router(),
                runtime: Handle::current(),
                clock,
                address: node.address(),
                seller,
                operator,
            };
            assert!(tell.send(shop).is_ok());
            std::future::pending::<()>().await;
        });
    });
    told.await.unwrap()
}

/// A call that is being put together.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub fn patch(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PATCH, path).raw("application/merge-patch+json", body.to_string())
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn by(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn version(self, version: &Value) -> Self {
        self.header("if-match", format!("\"v{version}\""))
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub fn raw(mut self, media: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", media)
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{text}");
        if self.bytes.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// That it is this problem, with everything a problem has.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, slug: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        let trace = problem["trace_id"].as_str().unwrap();
        assert!(self.header("traceparent").unwrap().contains(trace));
        assert_eq!(status == 401, self.header("www-authenticate").is_some());
        problem
    }
}

impl Shop {
    /// Asks the shop.
    pub async fn ask(&self, call: Call) -> Answer {
        let mut request = Request::builder().method(call.method).uri(call.path);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let answer = self.send(request.body(Body::from(call.body)).unwrap()).await;
        assert_eq!(answer.header("set-cookie"), None, "programs get no cookies");
        answer
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let router = self.router.clone();
        let asked = self.runtime.spawn(async move {
            let answer = router.oneshot(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            (parts, bytes)
        });
        let (parts, bytes) = asked.await.unwrap();
        check_every_answer(parts.status, &parts.headers);
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes,
        }
    }

    /// Works on the runtime of the node.
    pub async fn on_node<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.spawn(work).await.unwrap()
    }

    /// Where the node listens: for what has to come over a real socket.
    pub async fn socket(&self) -> SocketAddr {
        let open = || async {
            let (router, clock) = (self.router.clone(), self.clock.clone());
            self.on_node(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let stop = CancellationToken::new();
                tokio::spawn(serve(listener, router, ServeSettings::default(), clock, stop));
                address
            })
            .await
        };
        *self.socket.get_or_init(open).await
    }

    /// The node's wall clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// An id nobody has had before.
    pub fn fresh_id(&self) -> Uuid {
        self.clock.new_id()
    }

    /// A word nobody has said before.
    pub fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.fresh_id().simple())
    }

    /// A guest's token.
    pub async fn guest(&self) -> String {
        let tokens = self.ask(Call::post("/v1/guests")).await.expect(201);
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// A product that costs `amount` cents, with `stock` units; its SKU.
    pub async fn product(&self, amount: i64, stock: i64) -> String {
        let sku = self.fresh("P");
        let body = json!({"sku": sku, "name": format!("Thing {sku}"), "price": eur(amount)});
        let create = Call::post("/v1/products").by(&self.seller).key(&sku).json(&body);
        self.ask(create).await.expect(201);
        if stock > 0 {
            self.stock(&sku, stock).await;
        }
        sku
    }

    /// Adds units to a SKU.
    pub async fn stock(&self, sku: &str, delta: i64) -> Value {
        let path = format!("/v1/stock/{sku}/adjustments");
        let key = self.fresh("stock");
        let body = json!({"delta": delta, "reason": "delivery"});
        self.ask(Call::post(path).by(&self.seller).key(&key).json(&body))
            .await
            .expect(200)
    }

    /// Puts units into a cart.
    pub async fn put(&self, token: &str, sku: &str, quantity: u32) -> Answer {
        let body = json!({"quantity": quantity});
        self.ask(Call::put(format!("/v1/cart/lines/{sku}")).by(token).json(&body))
            .await
    }

    /// A call that checks out.
    pub fn checkout(&self, token: &str, key: &str, payment: &str) -> Call {
        let body = json!({
            "email": "ada@example.org",
            "shipping_address": {
                "name": "Ada Lovelace", "line1": "Unter den Linden 1", "city": "Berlin",
                "postal_code": "10117", "country": "DE",
            },
            "payment": {"provider": "sandbox", "token": payment},
        });
        Call::post("/v1/cart/checkout").by(token).key(key).json(&body)
    }

    /// Waits until an order is in `status`.
    pub async fn order_in(&self, token: &str, order: &str, status: &str) -> Value {
        eventually(&format!("order {order} is {status}"), async || {
            let order = self
                .ask(Call::get(format!("/v1/orders/{order}")).by(token))
                .await
                .expect(200);
            if order["status"] == status {
                Ok(order)
            } else {
                Err(order)
            }
        })
        .await
    }
}

/// An amount of euro cents.
pub fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

/// What every answer of the shop says, whatever its status.
fn check_every_answer(status: StatusCode, headers: &HeaderMap) {
    let needed = BTreeMap::from([
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
    ]);
    for (name, value) in needed {
        assert_eq!(
            headers.get(name).map(|value| value.as_bytes()),
            Some(value.as_bytes()),
            "{status} {name}"
        );
    }
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(headers.contains_key("traceparent") && headers.contains_key("cache-control"));
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(
        status.as_u16() < 500 || status == StatusCode::SERVICE_UNAVAILABLE,
        "{status}"
    );
}
