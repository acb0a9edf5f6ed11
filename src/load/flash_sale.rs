//! The scenario `flash-sale`: far more shoppers than units, all at once.
//!
//! Each shopper makes the same ten calls: enters as a guest, looks at the list and at the product, puts
//! one unit into the cart, reads the cart, has it quoted, checks out, follows the order to its end and
//! reads it, finds it in the list of orders, and sees that the cart is empty. Exactly as many orders
//! are confirmed as there are units, and everybody else is told that it was sold out.
//!
//! Without `--sku` a seller offers a product of its own first, with `--units` in stock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::time::Instant;

use super::checkout::{Buyer, Checkout, see_listed};
use super::client::{Call, Client, encoded};
use super::model::Step;
use super::orders::Orders;
use super::payment::End;
use super::process::{self, Cpu, Usage};
use super::report::Report;
use super::run::Run;
use super::shopper::{Lost, Reply, Shopper};
use super::tally::per_second;
use super::wire::{Page, Product, ProductDetail};
use super::{LoadFault, Script, seller};

/// The calls of a journey, without the repetitions of a poll.
pub const CALLS: u64 = 10;

/// What all shoppers of the sale share.
pub struct FlashSale {
    checkout: Checkout,
    sku: String,
    before: Option<Usage>,
    journeys: AtomicU64,
    last_answer: Mutex<Option<Instant>>,
}

/// What a sale comes to, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Sale {
    /// What was sold.
    pub sku: String,
    /// How many could be had, as far as a token may know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<i64>,
    /// Journeys that were made to their end.
    pub journeys: u64,
    /// From the first call to the last answer, seconds.
    pub seconds: f64,
    /// Journeys a second, whatever their end.
    pub journeys_per_second: f64,
    /// Confirmed orders a second.
    pub purchases_per_second: f64,
    /// Processor time of a journey, whatever its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_of_journey: Option<Cpu>,
    /// Processor time of the whole sale shared out among the confirmed orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_of_purchase: Option<Cpu>,
}

impl std::fmt::Display for Sale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "sale of {}: {} journeys of {CALLS} calls in {:.3} s ({}/s), {} purchases/s",
            self.sku, self.journeys, self.seconds, self.journeys_per_second, self.purchases_per_second
        )?;
        if let (Some(journey), Some(purchase)) = (self.cpu_of_journey, self.cpu_of_purchase) {
            let database = journey.database_seconds.map_or_else(
                || "without its database".to_owned(),
                |seconds| format!("{seconds} s of its database"),
            );
            writeln!(
                f,
                "processor: {} ms a journey, {} ms a confirmed purchase ({} s of the node, {database})",
                journey.ms_each, purchase.ms_each, journey.node_seconds
            )?;
        }
        Ok(())
    }
}

impl FlashSale {
    /// Puts the units on the shelf, if there is no `--sku`, and counts them.
    pub async fn prepare(client: &mut Client, run: &Run) -> Result<Arc<dyn Script>, LoadFault> {
        let args = &run.args;
        let token = args.stock_token();
        if token.is_none() && args.expect_confirmed.is_none() {
            return Err(LoadFault::Usage(
                "flash-sale must know how many units there are: give it --data or --seller-token, \
                 or --sku with --expect-confirmed"
                    .to_owned(),
            ));
        }
        let sku = match (&args.sku, token) {
            (Some(sku), _) => sku.clone(),
            (None, Some(token)) => {
                let name = "The thing that everybody wants";
                seller::offer(client, &run.clock, token, name, args.units)
                    .await?
                    .sku
            }
            (None, None) => {
                return Err(LoadFault::Usage(
                    "flash-sale stocks a product of its own as a seller: give it --data or --seller-token, \
                     or --sku"
                        .to_owned(),
                ));
            }
        };
        Ok(Arc::new(Self {
            checkout: Checkout::of(client, run, &sku).await?,
            before: process::look(args.pid, client).await?,
            sku,
            journeys: AtomicU64::new(0),
            last_answer: Mutex::default(),
        }))
    }

    /// The ten calls.
    async fn journey(&self, shopper: &mut Shopper, buyer: &mut Buyer<'_>) -> Result<End, Lost> {
        shopper.token().await?;
        let list = get(shopper, "GET product list", "/v1/products?limit=24").await?;
        let listed: Page<Product> = shopper.read("GET product list", &list)?;
        shopper.check("list", !listed.items.is_empty(), || {
            "an empty list, and something is for sale".to_owned()
        });
        let path = format!("/v1/products/{}", encoded(&self.sku));
        let reply = get(shopper, "GET product", &path).await?;
        let found: ProductDetail = shopper.read("GET product", &reply)?;
        shopper.check("product", found.product.sku == self.sku, || {
            format!("{path}: found {}", found.product.sku)
        });
        buyer.cart.set(shopper, &self.sku, 1).await?;
        buyer.cart.read(shopper, Step::Reads).await?;
        let quote = buyer.quote(shopper).await?;
        let bought = buyer.buy(shopper, &quote).await?;
        see_listed(shopper, &bought.accepted, &bought.reply).await?;
        // Checking out emptied it.
        buyer.cart.read(shopper, Step::Changes).await?;
        bought.end.ok_or(Lost)
    }

    fn sale(&self, run: &Run, orders: &Orders, after: Option<Usage>) -> Sale {
        let journeys = self.journeys.load(Ordering::Relaxed);
        let last = *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        let took = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(run.start()));
        let cpu = |count| Some(Cpu::between(self.before?, after?, count));
        run.tally
            .check("everybody is answered", journeys == run.args.shoppers, || {
                format!("{journeys} of {} journeys came to their end", run.args.shoppers)
            });
        let sold_out = orders.cancelled.get("out_of_stock").copied().unwrap_or(0);
        let told = orders.confirmed + sold_out == orders.placed && orders.wrong + orders.unended == 0;
        if self.checkout.always_approves() {
            run.tally
                .check("the rest is told out_of_stock", told, || format!("{orders:?}"));
        }
        Sale {
            sku: self.sku.clone(),
            units: orders.stock_before.as_ref().map(|stock| stock.available),
            journeys,
            seconds: (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            journeys_per_second: per_second(journeys, took),
            purchases_per_second: per_second(orders.confirmed, took),
            cpu_of_journey: cpu(journeys),
            cpu_of_purchase: cpu(orders.confirmed),
        }
    }
}

#[async_trait]
impl Script for FlashSale {
    async fn visit(&self, shopper: &mut Shopper) {
        let mut buyer = self.checkout.buyer();
        let begun = shopper.run.clock.instant();
        let journey = self.journey(shopper, &mut buyer).await;
        let ended = shopper.run.clock.instant();
        if let Ok(end) = journey {
            self.journeys.fetch_add(1, Ordering::Relaxed);
            let took = ended.saturating_duration_since(begun);
            shopper.run.tally.span("whole journey".into(), end.word(), took);
        }
        let mut last = self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(Some(ended));
    }

    async fn close(&self, run: &Run, report: &mut Report) {
        let orders = self.checkout.close_book(run).await;
        let mut client = Client::new(run.target.clone(), run.limit());
        let after = match process::look(run.args.pid, &mut client).await {
            Ok(after) => after,
            Err(fault) => {
                run.note(format!("what the node used is not known: {fault}"));
                None
            }
        };
        report.sale = Some(self.sale(run, &orders, after));
        report.orders = Some(orders);
    }
}

async fn get(shopper: &mut Shopper, kind: &'static str, path: &str) -> Result<Reply, Lost> {
    let reply = shopper.call(kind, &Call::get(path)).await?;
    shopper.expect(kind, &reply, 200)?;
    Ok(reply)
}
