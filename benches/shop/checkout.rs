//! Whole purchases. A checkout counts when its order is `confirmed` and its payment is in the ledger.
//!
//! `checkout`: carts that are filled beforehand, all checked out at once, against the rows PostgreSQL
//! writes in the plainest way. `journey`: a shopper's ten calls from the door to the receipt, all after
//! the same SKU, and what a purchase costs in processor time, whoever works for it and whenever.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::join_all;
use globalshop::clock::Clock;
use globalshop::journal::migrate;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgConnection};

use crate::client::{Call, Connection, call, drive};
use crate::floor::Postgres;
use crate::journal::PlainRows;
use crate::node::Node;
use crate::rounds::{compare, plain_row};

/// Checkouts of a turn, and connections they come through.
const CHECKOUTS: usize = 1_500;
const CROWD: usize = 64;
/// SKUs in the carts of the first bench: 5 or 6 of them in each.
const SKUS: usize = 100;
/// Purchases of a turn of the journey.
const PURCHASES: usize = 1_000;
/// How long the last order may take to its end.
const END_LIMIT: Duration = Duration::from_secs(60);

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let checkouts = if quick { 20 } else { CHECKOUTS };
    println!("{checkouts} checkouts through {CROWD} connections");
    let postgres = Postgres::open("checkout").await;
    migrate(&postgres.options()).await.unwrap();
    let mut floor = PlainRows::open(&postgres).await;
    let mut shop = Shop::open("checkout", SKUS).await;
    let turn = Duration::from_millis(if quick { 200 } else { 2_000 });
    let verdict = compare(
        quick,
        async || drive(clock, turn, &mut floor).await,
        async || shop.check_out(clock, checkouts).await,
    )
    .await;
    shop.close().await;
    drop(floor);
    postgres.close().await;
    vec![verdict.row(
        "full checkout of 5.5 lines over HTTP, confirmed and in the ledger",
        "PostgreSQL, plain inserts of 1000 rows",
        "0.020",
    )]
}

/// The journey alone; see the module.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn journey(clock: &Clock, quick: bool) -> Vec<String> {
    let purchases = if quick { 20 } else { PURCHASES };
    println!("{purchases} purchases of ten calls through {CROWD} connections, all of one SKU");
    let mut shop = Shop::open("journey", 1).await;
    let mut turns = Vec::new();
    for _ in 0..if quick { 1 } else { 3 } {
        let before = shop.node.effort();
        let began = clock.instant();
        shop.buy(purchases).await;
        shop.all_ended(clock).await;
        let rate = purchases as f64 / clock.instant().duration_since(began).as_secs_f64();
        // The last mails and views are part of it.
        clock.sleep(Duration::from_millis(500)).await;
        let effort = shop.node.effort() - before;
        println!("  {rate:.0}/s; each: {}", effort.each(purchases));
        turns.push((
            (effort.node + effort.postgres).as_secs_f64() / purchases as f64,
            effort,
            rate,
        ));
    }
    shop.close().await;
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (each, effort, rate) = turns[turns.len() / 2];
    vec![
        plain_row(
            "purchase of ten calls, all of one SKU: processor time",
            &format!("{:.1} ms ({})", each * 1_000.0, effort.each(purchases)),
            "Vendure 231 ms, Medusa 1260 ms",
        ),
        plain_row(
            &format!("the same, {CROWD} connections: purchases to their end"),
            &format!("{rate:.0}/s"),
            "–",
        ),
    ]
}

struct Shop {
    node: Node,
    database: PgConnection,
    skus: usize,
    /// Orders that were accepted, and what they cost together.
    accepted: i64,
    total: i64,
}

impl Shop {
    async fn open(name: &str, skus: usize) -> Self {
        let node = Node::open(name).await;
        let products: String = (0..skus)
            .map(|n| {
                let product = json!({
                    "sku": sku(n), "name": format!("Thing {n} to buy"), "stock": 1_000_000,
                    "price": {"amount": 1_000 + n, "currency": "EUR"},
                });
                format!("{product}\n")
            })
            .collect();
        let file = node.folder.join("products.jsonl");
        std::fs::write(&file, products).unwrap();
        node.import(&file).await;
        let database = node.database().connect().await.unwrap();
        Self {
            node,
            database,
            skus,
            accepted: 0,
            total: 0,
        }
    }

    async fn close(self) {
        self.node.audit().await;
        drop(self.database);
        self.node.close().await;
    }

    /// Fills carts, then checks all of them out: checkouts a second until the last is in the ledger.
    #[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
    async fn check_out(&mut self, clock: &Clock, count: usize) -> f64 {
        let address = self.node.address.as_str();
        let skus = self.skus;
        let filling = crowd(count).map(|numbers| async move {
            let mut buyers = VecDeque::new();
            let mut buyer = Buyer::open(address).await;
            for number in numbers {
                buyer.enter().await;
                for line in 0..5 + number % 2 {
                    buyer.put(&sku((number * 7 + line * 13) % skus), 1).await;
                }
                buyers.push_back(buyer.checkout());
            }
            buyers
        });
        let mut filled = join_all(filling).await;
        let before = self.node.effort();
        let began = clock.instant();
        let buying = filled.iter_mut().map(|calls| async move {
            let mut connection = Connection::open(address).await;
            let mut said = Vec::new();
            for call in calls {
                said.push(accepted(connection.send_patiently(call).await));
            }
            said
        });
        let orders: Vec<Order> = join_all(buying).await.into_iter().flatten().collect();
        self.note(&orders);
        self.all_ended(clock).await;
        let took = clock.instant().duration_since(began);
        println!("    each: {}", (self.node.effort() - before).each(count));
        count as f64 / took.as_secs_f64()
    }

    /// So many shoppers make the ten calls.
    async fn buy(&mut self, count: usize) {
        let address = self.node.address.as_str();
        let buying = crowd(count).map(|numbers| async move {
            let mut orders = Vec::new();
            let mut buyer = Buyer::open(address).await;
            for _ in numbers {
                buyer.enter().await;
                buyer.get("/v1/categories").await;
                buyer.get("/v1/products?limit=24").await;
                buyer.get(&format!("/v1/products/{}", sku(0))).await;
                buyer.put(&sku(0), 1).await;
                buyer.get("/v1/cart").await;
                buyer.quote().await;
                let checkout = buyer.checkout();
                let order = accepted(buyer.connection.send_patiently(&checkout).await);
                buyer.get(&order.url).await;
                buyer.find(&order).await;
                orders.push(order);
            }
            orders
        });
        let orders: Vec<Order> = join_all(buying).await.into_iter().flatten().collect();
        self.note(&orders);
    }

    fn note(&mut self, orders: &[Order]) {
        self.accepted += i64::try_from(orders.len()).unwrap();
        self.total += orders.iter().map(|order| order.total).sum::<i64>();
    }

    /// Waits until every accepted order is confirmed and paid in the ledger, to the cent.
    async fn all_ended(&mut self, clock: &Clock) {
        let limit = clock.instant() + END_LIMIT;
        loop {
            let (confirmed, booked, money): (i64, i64, i64) = sqlx::query_as(
                "select (select coalesce(sum(orders), 0)::bigint from order_count where status = 'confirmed'),
                        count(distinct order_id), coalesce(sum(amount) filter (where debit = 'provider_receivable'), 0)::bigint
                 from ledger_transfer",
            )
            .fetch_one(&mut self.database)
            .await
            .unwrap();
            if (confirmed, booked) == (self.accepted, self.accepted) {
                assert_eq!(money, self.total);
                return;
            }
            assert!(
                clock.instant() < limit,
                "of {} orders {confirmed} are confirmed and {booked} in the ledger",
                self.accepted
            );
            clock.sleep(Duration::from_millis(20)).await;
        }
    }
}

fn sku(number: usize) -> String {
    format!("BENCH-{number}")
}

/// The numbers of `count` shoppers, by connection.
fn crowd(count: usize) -> impl Iterator<Item = impl Iterator<Item = usize>> {
    let crowd = CROWD.min(count);
    (0..crowd).map(move |n| (n..count).step_by(crowd))
}

/// An order that was accepted.
struct Order {
    url: String,
    position: String,
    total: i64,
}

fn accepted((status, headers, body): (StatusCode, hyper::HeaderMap, bytes::Bytes)) -> Order {
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    Order {
        url: body["status_url"].as_str().unwrap().to_owned(),
        position: headers["position"].to_str().unwrap().to_owned(),
        total: body["total"]["amount"].as_i64().unwrap(),
    }
}

/// One connection, of one shopper after the other.
struct Buyer<'a> {
    address: &'a str,
    connection: Connection,
    token: String,
}

impl<'a> Buyer<'a> {
    async fn open(address: &'a str) -> Self {
        Self {
            address,
            connection: Connection::open(address).await,
            token: String::new(),
        }
    }

    fn call(&self, method: Method, path: &str, body: &str) -> Call {
        let token = Some(self.token.as_str()).filter(|token| !token.is_empty());
        call(method, self.address, path, token, body)
    }

    async fn send(&mut self, call: &Call, expected: StatusCode) -> bytes::Bytes {
        let (status, _, body) = self.connection.send_patiently(call).await;
        assert_eq!(status, expected, "{} {body:?}", call.uri());
        body
    }

    async fn enter(&mut self) {
        self.token.clear();
        let call = self.call(Method::POST, "/v1/guests", "");
        let entered: Value = serde_json::from_slice(&self.send(&call, StatusCode::CREATED).await).unwrap();
        self.token = entered["access_token"].as_str().unwrap().to_owned();
    }

    async fn get(&mut self, path: &str) {
        let call = self.call(Method::GET, path, "");
        self.send(&call, StatusCode::OK).await;
    }

    async fn put(&mut self, sku: &str, quantity: u32) {
        let body = json!({"quantity": quantity}).to_string();
        let call = self.call(Method::PUT, &format!("/v1/cart/lines/{sku}"), &body);
        self.send(&call, StatusCode::OK).await;
    }

    async fn quote(&mut self) {
        let body = json!({"country": "DE", "postal_code": "10115"}).to_string();
        let call = self.call(Method::POST, "/v1/cart/quote", &body);
        self.send(&call, StatusCode::OK).await;
    }

    fn checkout(&self) -> Call {
        let body = json!({
            "email": "shopper@bench.example",
            "shipping_address": {"name": "Bench Shopper", "line1": "Invalidenstr. 1", "city": "Berlin",
                                 "postal_code": "10115", "country": "DE"},
            "payment": {"provider": "sandbox", "token": "tok_approve"},
        });
        let mut call = self.call(Method::POST, "/v1/cart/checkout", &body.to_string());
        // A shopper checks out once, so its token is as good a key as any.
        let key = &self.token[self.token.len() - 40..];
        call.headers_mut().insert("idempotency-key", key.parse().unwrap());
        call
    }

    /// The shopper's list of orders, which has the new one.
    async fn find(&mut self, order: &Order) {
        let mut call = self.call(Method::GET, "/v1/orders", "");
        call.headers_mut()
            .insert("position", order.position.parse().unwrap());
        let body = self.send(&call, StatusCode::OK).await;
        let id = order.url.rsplit('/').next().unwrap();
        assert!(String::from_utf8_lossy(&body).contains(id), "{body:?}");
    }
}
