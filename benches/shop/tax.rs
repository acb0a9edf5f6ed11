//! What durability costs: the same node twice, once with its journal in memory, once in PostgreSQL.
//! Everything else is on in both: accounts, limits, logs, the relay and its workers, the views.

use std::time::Duration;

use globalshop::clock::Clock;
use hyper::Method;

use crate::cart::{askers, check, enter, writes};
use crate::client::{Asker, Connection, call, drive};
use crate::rounds::compare;
use crate::within::{Keeping, Within};

const CROWD: usize = 256;
const GUESTS: usize = 4_000;

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let turn = Duration::from_millis(if quick { 200 } else { 2_000 });
    let volatile = Within::open("tax", Keeping::Memory).await;
    let durable = Within::open("tax", Keeping::Postgres).await;
    let mut rows = Vec::new();

    println!("cart writes, {CROWD} connections, against the journal in memory");
    let each = if quick { 1 } else { GUESTS / CROWD };
    let sku = first_sku(&volatile).await;
    let (volatile_guests, durable_guests) = (
        enter(&volatile.address, CROWD, each).await,
        enter(&durable.address, CROWD, each).await,
    );
    let mut floor = askers(&volatile.address, CROWD, true, |n| {
        writes(&volatile.address, &sku, &volatile_guests[n])
    })
    .await;
    let mut ours = askers(&durable.address, CROWD, true, |n| {
        writes(&durable.address, &sku, &durable_guests[n])
    })
    .await;
    let carts = compare(
        quick,
        async || drive(clock, turn, &mut floor).await,
        async || drive(clock, turn, &mut ours).await,
    )
    .await;
    check(&volatile.address, &volatile_guests, &floor).await;
    check(&durable.address, &durable_guests, &ours).await;
    rows.push(carts.row(
        &format!("cart write over HTTP, {CROWD} connections, all guarantees"),
        "the same node with its journal in memory",
        "0.50",
    ));
    drop((floor, ours));

    println!("reservations of one SKU, {CROWD} connections, against the journal in memory");
    let holds = compare(
        quick,
        async || hold(clock, turn, &volatile).await,
        async || hold(clock, turn, &durable).await,
    )
    .await;
    rows.push(holds.row(
        &format!("reservation of one SKU over HTTP, {CROWD} connections, durable"),
        "the same node with its journal in memory",
        "0.50",
    ));
    volatile.close().await;
    durable.close().await;
    rows
}

/// A turn of holds of a SKU that nobody has bought yet.
async fn hold(clock: &Clock, turn: Duration, shop: &Within) -> f64 {
    let sku = format!("HOT-{}", clock.random_u64());
    shop.stock(&sku, 10_000_000).await;
    let mut askers = askers(&shop.address, CROWD, false, |_| vec![shop.hold(&sku)]).await;
    let rate = drive(clock, turn, &mut askers).await;
    let asked: usize = askers.iter().map(Asker::asked).sum();
    assert_eq!(shop.levels(&sku).await.0, asked);
    rate
}

/// Something that both shops sell: they have the same catalogue.
async fn first_sku(shop: &Within) -> String {
    let list = call(Method::GET, &shop.address, "/v1/products?limit=1", None, "");
    let (_, _, body) = Connection::open(&shop.address).await.send(&list).await;
    let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
    list["items"][0]["sku"].as_str().unwrap().to_owned()
}
