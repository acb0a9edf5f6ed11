//! A cart over HTTP against hello: durable writes and reads, by guests of whom each has one cart.

use std::time::Duration;

use globalshop::clock::Clock;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::client::{Asker, Call, Connection, call, drive};
use crate::hello::Hello;
use crate::node::Node;
use crate::rounds::compare;

/// Where the carts are: this many guests in all, as far as connections divide them.
const GUESTS: usize = 10_000;
/// Connections at once.
const CROWDS: [usize; 2] = [64, 256];
const SKU: &str = "BENCH-1";
const PRODUCT: &str =
    r#"{"sku":"BENCH-1","name":"A thing to buy","price":{"amount":1999,"currency":"EUR"},"stock":500}"#;

pub struct Guest {
    token: String,
}

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let turn = Duration::from_millis(if quick { 200 } else { 3_000 });
    let hello = Hello::open().await;
    let shop = Node::open("cart").await;
    let product = shop.folder.join("product.jsonl");
    std::fs::write(&product, PRODUCT).unwrap();
    shop.import(&product).await;
    let mut rows = Vec::new();
    for crowd in CROWDS {
        let guests = enter(&shop.address, crowd, if quick { 1 } else { GUESTS / crowd }).await;
        let mut floor = askers(&hello.address, crowd, false, |_| {
            vec![call(Method::GET, &hello.address, "/", None, "")]
        })
        .await;
        let mut writers = askers(&shop.address, crowd, true, |n| {
            writes(&shop.address, SKU, &guests[n])
        })
        .await;

        println!("durable cart writes, {crowd} connections");
        let written = compare(
            quick,
            async || drive(clock, turn, &mut floor).await,
            async || worked(&shop, async || drive(clock, turn, &mut writers).await).await,
        )
        .await;
        let what = format!("durable cart write over HTTP, {crowd} connections");
        rows.push(written.row(&what, "bare axum hello", "0.40"));
        check(&shop.address, &guests, &writers).await;

        // Opened now: the shop closes connections on which nobody speaks.
        let mut readers = askers(&shop.address, crowd, false, |n| reads(&shop.address, &guests[n])).await;
        println!("cart reads, {crowd} connections");
        let read = compare(
            quick,
            async || drive(clock, turn, &mut floor).await,
            async || worked(&shop, async || drive(clock, turn, &mut readers).await).await,
        )
        .await;
        let what = format!("cart read through its actor, {crowd} connections");
        rows.push(read.row(&what, "bare axum hello", "0.85"));
    }
    shop.close().await;
    hello.close().await;
    rows
}

/// Says beside the rate what the shop worked for it. The rate of a turn and its processor time: the
/// second hardly depends on what else the machine does.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench's figures have three digits"
)]
async fn worked(shop: &Node, mut turn: impl AsyncFnMut() -> f64) -> f64 {
    let (before, clock) = (shop.effort(), Clock::system());
    let began = clock.instant();
    let rate = turn().await;
    let count = rate * clock.instant().duration_since(began).as_secs_f64();
    println!("    each: {}", (shop.effort() - before).each(count as usize));
    rate
}

pub async fn askers(
    address: &str,
    crowd: usize,
    writes: bool,
    calls: impl Fn(usize) -> Vec<Call>,
) -> Vec<Asker> {
    let mut askers = Vec::with_capacity(crowd);
    for n in 0..crowd {
        askers.push(Asker::new(address, calls(n), writes).await);
    }
    askers
}

/// The guests of each connection.
pub async fn enter(address: &str, crowd: usize, each: usize) -> Vec<Vec<Guest>> {
    let enter = call(Method::POST, address, "/v1/guests", None, "");
    let entering = (0..crowd).map(|_| async {
        let mut connection = Connection::open(address).await;
        let mut guests = Vec::with_capacity(each);
        while guests.len() < each {
            let (status, _, body) = connection.send_patiently(&enter).await;
            assert_eq!(status, StatusCode::CREATED, "{body:?}");
            let entered: Value = serde_json::from_slice(&body).unwrap();
            let token = entered["access_token"].as_str().unwrap().to_owned();
            guests.push(Guest { token });
        }
        guests
    });
    futures_util::future::join_all(entering).await
}

/// Each guest in turn puts one into the cart, then each makes it two, and again: always a change.
pub fn writes(address: &str, sku: &str, guests: &[Guest]) -> Vec<Call> {
    let path = format!("/v1/cart/lines/{sku}");
    let put = |guest: &Guest, quantity: usize| {
        let body = format!(r#"{{"quantity":{quantity}}}"#);
        call(Method::PUT, address, &path, Some(&guest.token), &body)
    };
    (1..=2)
        .flat_map(|quantity| guests.iter().map(move |guest| put(guest, quantity)))
        .collect()
}

pub fn reads(address: &str, guests: &[Guest]) -> Vec<Call> {
    guests.iter().map(|guest| read(address, guest)).collect()
}

fn read(address: &str, guest: &Guest) -> Call {
    call(Method::GET, address, "/v1/cart", Some(&guest.token), "")
}

/// Every cart holds exactly what was acknowledged last.
pub async fn check(address: &str, guests: &[Vec<Guest>], writers: &[Asker]) {
    let mut connection = Connection::open(address).await;
    for (guests, writer) in guests.iter().zip(writers) {
        for (n, guest) in guests.iter().enumerate() {
            let changes = (writer.asked() + guests.len() - 1 - n) / guests.len();
            let (status, _, body) = connection.send_patiently(&read(address, guest)).await;
            assert_eq!(status, StatusCode::OK, "{body:?}");
            let cart: Value = serde_json::from_slice(&body).unwrap();
            let quantity = match changes {
                0 => Value::Null,
                odd if odd % 2 == 1 => 1.into(),
                _ => 2.into(),
            };
            assert_eq!(cart["lines"][0]["quantity"], quantity, "after {changes}: {cart}");
        }
    }
}
