//! Everybody wants the same thing: durable reservations of one SKU against a row that everybody updates.
//!
//! Over HTTP by the bare routes of [`within`](crate::within), and without HTTP by callers within the process. Each turn
//! sells a SKU of its own, as each sale does. And how long one takes when nobody else is there.

use std::time::Duration;

use globalshop::clock::Clock;
use hyper::StatusCode;

use crate::client::{Asker, Connection, drive, middle};
use crate::floor::{HotRow, Postgres, SingleRow};
use crate::rounds::{Unit, compare};
use crate::within::{Keeping, Within};

/// The one number of clients at which both sides are compared.
const CLIENTS: usize = 64;
/// Among how many clients each side may choose its best.
const ROW_CROWDS: [usize; 4] = [4, 8, 16, 32];
const OUR_CROWDS: [usize; 4] = [64, 128, 256, 512];
/// Callers within the process.
const CALLERS: usize = 4_096;
/// What the sale that must not oversell has.
const SCARCE: usize = 1_000;

pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let turn = Duration::from_millis(if quick { 200 } else { 2_000 });
    let postgres = Postgres::open("reserve").await;
    HotRow::table(&postgres).await;
    let shop = Within::open("reserve", Keeping::Postgres).await;
    let mut sale = Sale {
        clock,
        shop: &shop,
        turn,
        number: 0,
    };
    let mut rows = Vec::new();

    sale.sell_out().await;

    println!("reservations of one SKU, {CLIENTS} clients on both sides");
    let mut hot = HotRow::clients(&postgres, CLIENTS).await;
    let equal = compare(
        quick,
        async || drive(clock, turn, &mut hot).await,
        async || sale.over_http(CLIENTS).await,
    )
    .await;
    rows.push(equal.row(
        &format!("durable reservations of one SKU over HTTP, {CLIENTS} clients"),
        &format!("PostgreSQL, UPDATE of one row, {CLIENTS} clients"),
        "20",
    ));
    drop(hot);

    let search = if quick { turn } else { turn / 2 };
    let mut fastest = (0.0, 0);
    for crowd in ROW_CROWDS {
        let mut hot = HotRow::clients(&postgres, crowd).await;
        fastest = better(fastest, drive(clock, search, &mut hot).await, crowd);
    }
    let row_best = fastest.1;
    fastest = (0.0, 0);
    for crowd in OUR_CROWDS {
        fastest = better(fastest, sale.over_http(crowd).await, crowd);
    }
    let our_best = fastest.1;

    println!(
        "reservations of one SKU, {our_best} clients against {row_best} of PostgreSQL, each at its best"
    );
    let mut hot = HotRow::clients(&postgres, row_best).await;
    let best = compare(
        quick,
        async || drive(clock, turn, &mut hot).await,
        async || sale.over_http(our_best).await,
    )
    .await;
    rows.push(best.row(
        &format!("the same, {our_best} clients"),
        &format!("the same, {row_best} clients: each at its best"),
        "12",
    ));

    println!("reservations of one SKU without HTTP, {CALLERS} callers");
    let within = compare(
        quick,
        async || drive(clock, turn, &mut hot).await,
        async || sale.within(CALLERS).await,
    )
    .await;
    rows.push(within.row(
        &format!("the same without HTTP, {CALLERS} callers in the process"),
        &format!("the same, {row_best} clients"),
        "50",
    ));
    drop(hot);

    println!("one reservation at a time");
    let mut single = SingleRow::open(&postgres).await;
    let sku = sale.stocked(1_000_000).await;
    let mut lone = Asker::new(&shop.address, vec![shop.hold(&sku)], false).await;
    let latency = compare(
        quick,
        async || middle(clock, turn, &mut single).await,
        async || middle(clock, turn, &mut lone).await,
    )
    .await;
    rows.push(latency.row_in(
        Unit::Micros,
        "one durable reservation at a time over HTTP, median",
        "PostgreSQL, insert of one row, median",
        "1.25",
    ));
    assert_eq!(shop.levels(&sku).await.0, lone.asked());

    drop(single);
    shop.close().await;
    postgres.close().await;
    rows
}

fn better(best: (f64, usize), rate: f64, crowd: usize) -> (f64, usize) {
    println!("  {crowd} clients: {rate:.0}/s");
    if rate > best.0 { (rate, crowd) } else { best }
}

struct Sale<'a> {
    clock: &'a Clock,
    shop: &'a Within,
    turn: Duration,
    number: usize,
}

impl Sale<'_> {
    /// A SKU that nobody has bought yet.
    async fn stocked(&mut self, units: u64) -> String {
        self.number += 1;
        let sku = format!("HOT-{}", self.number);
        self.shop.stock(&sku, units).await;
        sku
    }

    /// Everybody takes units of one SKU; every answer counts once in its levels.
    async fn over_http(&mut self, crowd: usize) -> f64 {
        let sku = self.stocked(10_000_000).await;
        let mut askers = Vec::with_capacity(crowd);
        for _ in 0..crowd {
            askers.push(Asker::new(&self.shop.address, vec![self.shop.hold(&sku)], false).await);
        }
        let before = self.shop.effort();
        let rate = drive(self.clock, self.turn, &mut askers).await;
        let asked = askers.iter().map(Asker::asked).sum();
        println!("    each: {}", (self.shop.effort() - before).each(asked));
        assert_eq!(self.shop.levels(&sku).await.0, asked);
        rate
    }

    async fn within(&mut self, callers: usize) -> f64 {
        let sku = self.stocked(10_000_000).await;
        let before = self.shop.effort();
        let rate = self.shop.drive(&sku, callers, self.turn).await;
        let (held, _) = self.shop.levels(&sku).await;
        println!("    each: {}", (self.shop.effort() - before).each(held));
        rate
    }

    /// More want it than there is: exactly as many get it.
    async fn sell_out(&mut self) {
        let sku = self.stocked(SCARCE as u64).await;
        let call = self.shop.hold(&sku);
        let buyers = (0..CLIENTS).map(|_| async {
            let mut connection = Connection::open(&self.shop.address).await;
            let mut got = 0;
            loop {
                match connection.send(&call).await.0 {
                    StatusCode::OK => got += 1,
                    StatusCode::CONFLICT => return got,
                    other => panic!("{other}"),
                }
            }
        });
        let got: usize = futures_util::future::join_all(buyers).await.into_iter().sum();
        assert_eq!((got, self.shop.levels(&sku).await), (SCARCE, (SCARCE, 0)));
        println!("sold out: {SCARCE} of {SCARCE}, every later call refused");
    }
}
