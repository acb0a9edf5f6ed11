//! The scenario `checkout`: people who buy.
//!
//! Guest, cart, quote, checkout, and then the wait for the order's end on the live feed (or by
//! polling, with `--poll`). Two times are kept apart: how long the 202 takes, and how long the order
//! takes to its end.
//!
//! With `--sku` everybody wants one unit of the same thing, and nobody checks out before everybody
//! is ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyper::header::HeaderName;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Barrier;
use tokio::time::Instant;

use super::ack::{Ack, AckKind, body_hash};
use super::cart::{HeldCart, position};
use super::catalogue::Catalogue;
use super::client::{Call, Client};
use super::follow::{Follower, confirm_payment, settled_order};
use super::model::Step;
use super::orders::{OrderBook, Orders};
use super::payment::{End, Token, Wallet, judge};
use super::report::Report;
use super::run::Run;
use super::shopper::{Lost, Reply, Shopper};
use super::tally::Kind;
use super::wire::{Accepted, ListedOrder, Order, Page, Quote};
use super::{LoadFault, Script};

/// How often, in percent, the same checkout is sent once more.
const REPLAYED: u64 = 12;
/// How often, in percent, another body is sent with the same key.
const MISUSED: u64 = 3;
/// How often, in percent, the list of orders is read right after a checkout.
const LISTED: u64 = 12;
/// How often, in percent, the next order is somebody else's.
const NEW_GUEST: u64 = 12;

/// What all buyers share.
#[derive(Debug)]
pub struct Checkout {
    skus: Vec<String>,
    scarce: bool,
    budget: Option<u64>,
    start_line: Barrier,
    wallet: Wallet,
    book: OrderBook,
    live_offered: AtomicBool,
}

impl Checkout {
    /// Looks around once; with `--sku` counts its stock, if a token allows it.
    pub async fn prepare(client: &mut Client, run: &Run) -> Result<Arc<dyn Script>, LoadFault> {
        Ok(Arc::new(match &run.args.sku {
            Some(sku) => Self::of(client, run, sku).await?,
            None => {
                let skus = Catalogue::look(client).await?.to_buy();
                Self::new(run, skus, OrderBook::default(), false)
            }
        }))
    }

    /// Everybody wants one unit of this.
    pub(super) async fn of(client: &mut Client, run: &Run, sku: &str) -> Result<Self, LoadFault> {
        let book = OrderBook::of(client, sku, run.args.stock_token()).await?;
        Ok(Self::new(run, vec![sku.to_owned()], book, true))
    }

    fn new(run: &Run, skus: Vec<String>, book: OrderBook, scarce: bool) -> Self {
        let args = &run.args;
        let budget = args.orders.or(scarce.then_some(args.shoppers));
        let at_the_line = budget.map_or(args.shoppers, |budget| budget.min(args.shoppers));
        Self {
            skus,
            scarce,
            budget,
            start_line: Barrier::new(usize::try_from(at_the_line).unwrap_or(1)),
            wallet: Wallet::new(&args.payment_token),
            book,
            live_offered: AtomicBool::new(!args.poll),
        }
    }

    /// Somebody who buys and asks nothing beyond that.
    pub(super) fn buyer(&self) -> Buyer<'_> {
        Buyer {
            shared: self,
            cart: HeldCart::default(),
            follower: Follower::new(&self.live_offered),
            curious: false,
        }
    }

    /// Whether every order is paid, so that only stock decides who gets one.
    pub(super) fn always_approves(&self) -> bool {
        self.wallet.always_approves()
    }

    /// Checks what only the whole run can show of its orders.
    pub(super) async fn close_book(&self, run: &Run) -> Orders {
        let live = self.live_offered.load(Ordering::Relaxed);
        self.book.close(run, &self.wallet, live).await
    }

    fn goes_on(&self, shopper: &Shopper) -> bool {
        let run = &shopper.run;
        // A scarce thing is sold to the last order, however long the queue.
        let in_time = if self.scarce {
            !run.interrupted()
        } else {
            run.open()
        };
        shopper.in_the_mood() && in_time && run.take_order(self.budget)
    }
}

#[async_trait]
impl Script for Checkout {
    async fn visit(&self, shopper: &mut Shopper) {
        let mut buyer = Buyer {
            curious: true,
            ..self.buyer()
        };
        let mut first = self.scarce;
        while self.goes_on(shopper) {
            let ready = buyer.fill_cart(shopper).await;
            if std::mem::take(&mut first) {
                self.start_line.wait().await;
            }
            let step = match ready {
                Ok(quote) => buyer.buy(shopper, &quote).await.map(drop),
                Err(lost) => Err(lost),
            };
            if step.is_err() {
                buyer.cart.abandon(shopper).await;
                buyer.follower.leave();
            } else if shopper.chance(NEW_GUEST) {
                shopper.forget_guest();
                buyer.cart = HeldCart::default();
                buyer.follower.leave();
            }
            shopper.breathe(step).await;
        }
    }

    async fn close(&self, run: &Run, report: &mut Report) {
        report.orders = Some(self.close_book(run).await);
    }
}

pub(super) struct Buyer<'a> {
    shared: &'a Checkout,
    pub(super) cart: HeldCart,
    follower: Follower<'a>,
    /// Whether some calls are repeated, and some made amiss, to see what the shop says.
    curious: bool,
}

/// An order seen through.
pub(super) struct Bought {
    pub(super) accepted: Accepted,
    /// The 202.
    pub(super) reply: Reply,
    /// How it ended; `None` if as it must not.
    pub(super) end: Option<End>,
}

/// What the shopper has chosen for one order.
struct Choice {
    token: Token,
    /// In a 3-D-Secure step: whether it will be passed.
    passes: bool,
    quote: Quote,
}

impl Buyer<'_> {
    async fn fill_cart(&mut self, shopper: &mut Shopper) -> Result<Quote, Lost> {
        if self.shared.scarce {
            self.cart.set(shopper, &self.shared.skus[0], 1).await?;
        } else {
            for _ in 0..=shopper.dice.random_below(3) {
                let Some(sku) = shopper.pick(&self.shared.skus).cloned() else {
                    return Err(Lost);
                };
                let quantity = 1 + u32::from(shopper.chance(25));
                self.cart.set(shopper, &sku, quantity).await?;
            }
        }
        self.quote(shopper).await
    }

    pub(super) async fn quote(&self, shopper: &mut Shopper) -> Result<Quote, Lost> {
        const KIND: &str = "POST quote";
        let method = if shopper.chance(25) { "express" } else { "standard" };
        let body = json!({"country": "DE", "postal_code": "10115", "shipping_method": method});
        let call = Call::post("/v1/cart/quote")
            .bearer(&shopper.token().await?)
            .json(&body);
        let reply = shopper.call(KIND, &call).await?;
        shopper.expect(KIND, &reply, 200)?;
        let mut quote: Quote = shopper.read(KIND, &reply)?;
        let taxed = if quote.tax_included { 0 } else { quote.tax.amount };
        let sum = quote.subtotal.amount + quote.shipping.amount + taxed;
        shopper.check(
            "quote",
            quote.total.amount == sum && quote.tax.amount >= 0,
            || format!("{quote:?}"),
        );
        quote.method = method.to_owned();
        Ok(quote)
    }

    /// Checks out and sees the order through.
    pub(super) async fn buy(&mut self, shopper: &mut Shopper, quote: &Quote) -> Result<Bought, Lost> {
        let token = self.shared.wallet.draw(shopper.dice.random_u64());
        let choice = Choice {
            token,
            passes: shopper.chance(70),
            quote: quote.clone(),
        };
        // Before the clock of the order runs.
        self.follower.connect(shopper).await?;
        let (accepted, reply) = self.check_out(shopper, &choice).await?;
        let lines = self.cart.model().lines().clone();
        self.cart.checked_out();
        self.shared.book.placed();
        let outcome = self
            .see_through(shopper, &choice, &accepted, reply.due, &lines)
            .await;
        if outcome.is_err() {
            self.shared.book.unended();
        } else if self.curious && shopper.chance(25) {
            self.cart.read(shopper, Step::Changes).await?;
        }
        Ok(Bought {
            accepted,
            reply,
            end: outcome?,
        })
    }

    async fn check_out(&mut self, shopper: &mut Shopper, choice: &Choice) -> Result<(Accepted, Reply), Lost> {
        let kind = Kind {
            name: "POST checkout",
            variant: choice.token.name(),
        };
        let body = json!({
            "email": format!("shopper-{}@load.example", shopper.index),
            "shipping_address": {"name": "Load Shopper", "line1": "Invalidenstr. 1", "city": "Berlin",
                                 "postal_code": "10115", "country": "DE"},
            "shipping_method": choice.quote.method,
            "payment": {"provider": "sandbox", "token": choice.token.name()},
            "expected_total": choice.quote.total,
        });
        let key = shopper.run.clock.new_id().to_string();
        let bearer = shopper.token().await?;
        let call = Call::post("/v1/cart/checkout")
            .bearer(&bearer)
            .key(&key)
            .json(&body);
        let reply = shopper.call(kind, &call).await?;
        shopper.expect(kind, &reply, 202)?;
        let accepted: Accepted = shopper.read(kind, &reply)?;
        let first = reply.attempts > 1 || reply.answer.header("idempotent-replayed").is_none();
        shopper.check("idempotency", first, || {
            "a first answer says it is a replay".to_owned()
        });
        let wrong = accepted_fault(&accepted, &choice.quote);
        shopper.check("accepted", wrong.is_none(), || wrong.unwrap_or_default());
        self.witness(shopper, choice, &accepted, &reply, &key, &call)
            .await;
        if !self.curious {
            return Ok((accepted, reply));
        }
        if shopper.chance(REPLAYED) {
            replay(shopper, &call, &reply).await?;
        }
        if shopper.chance(MISUSED) {
            misuse(shopper, &bearer, &key, body).await?;
        }
        if shopper.chance(LISTED) {
            see_listed(shopper, &accepted, &reply).await?;
        }
        Ok((accepted, reply))
    }

    async fn witness(
        &self,
        shopper: &Shopper,
        choice: &Choice,
        accepted: &Accepted,
        reply: &Reply,
        key: &str,
        call: &Call,
    ) {
        if shopper.witnessed() {
            let ack = shopper.ack(AckKind::Checkout, shopper.customer_id());
            let sent = std::str::from_utf8(call.body()).unwrap_or_default();
            shopper
                .acknowledge(Ack {
                    cart_id: self.cart.id().map(str::to_owned),
                    order_id: Some(accepted.order_id.clone()),
                    total: Some(accepted.total.amount),
                    payment_token: Some(choice.token.name().to_owned()),
                    position: position(reply),
                    idempotency_key: Some(key.to_owned()),
                    body_hash: Some(body_hash(&reply.answer.body)),
                    body: RawValue::from_string(sent.to_owned()).ok(),
                    ..ack
                })
                .await;
        }
    }

    /// Waits for the end and judges it.
    async fn see_through(
        &mut self,
        shopper: &mut Shopper,
        choice: &Choice,
        accepted: &Accepted,
        due: Instant,
        lines: &BTreeMap<String, u32>,
    ) -> Result<Option<End>, Lost> {
        let until = shopper.run.clock.instant() + Duration::from_secs(shopper.run.args.end_within);
        if choice.token == Token::ThreeDs {
            confirm_payment(shopper, accepted, choice.passes, until).await?;
        }
        let ended = self.follower.wait_for_end(shopper, accepted, until).await?;
        let within = shopper.run.args.end_within;
        shopper.check("ended", ended, || {
            format!(
                "{} ({}) still pending after {within} s",
                accepted.order_id,
                choice.token.name()
            )
        });
        if !ended {
            return Err(Lost);
        }
        let took = shopper.run.clock.instant().saturating_duration_since(due);
        let order = settled_order(shopper, accepted).await?;
        let wrong = order_fault(&order, &choice.quote, lines);
        shopper.check("order", wrong.is_none(), || {
            format!("{}: {}", accepted.order_id, wrong.unwrap_or_default())
        });
        let reason = cancelled_because(&order);
        let judged = judge(
            choice.token,
            choice.passes,
            &order.status,
            &order.payment.status,
            reason,
        );
        let ending = judged.as_ref().map_or("wrong", |end| end.word());
        shopper.run.tally.span(
            Kind {
                name: "order ended",
                variant: choice.token.name(),
            },
            ending,
            took,
        );
        self.shared.book.ended(judged.as_ref().ok().copied());
        let end = judged.as_ref().ok().copied();
        shopper.check("end", judged.is_ok(), || {
            format!("{}: {}", accepted.order_id, judged.err().unwrap_or_default())
        });
        Ok(end)
    }
}

/// The same key and the same body must answer the same bytes, and say so.
async fn replay(shopper: &mut Shopper, call: &Call, first: &Reply) -> Result<(), Lost> {
    let kind = Kind {
        name: "POST checkout",
        variant: "replayed",
    };
    let again = shopper.call(kind, call).await?;
    shopper.expect(kind, &again, 202)?;
    let said = again.answer.header("idempotent-replayed") == Some("true");
    shopper.check("idempotency", said, || {
        "a replay does not say Idempotent-Replayed: true".to_owned()
    });
    shopper.check("idempotency", again.answer.body == first.answer.body, || {
        format!(
            "a replay answers {:?}, the first {:?}",
            again.answer.body, first.answer.body
        )
    });
    Ok(())
}

/// A list read with the position of the write includes it, or says that it is behind (invariant I8).
pub(super) async fn see_listed(
    shopper: &mut Shopper,
    accepted: &Accepted,
    write: &Reply,
) -> Result<(), Lost> {
    const KIND: &str = "GET orders";
    let written = position(write);
    shopper.check("position", written.is_some(), || {
        "a checkout without Position".to_owned()
    });
    let Some(written) = written else { return Ok(()) };
    let call = Call::get("/v1/orders?limit=10")
        .bearer(&shopper.token().await?)
        .header(HeaderName::from_static("position"), &written);
    let reply = shopper.call(KIND, &call).await?;
    shopper.expect(KIND, &reply, 200)?;
    let page: Page<ListedOrder> = shopper.read(KIND, &reply)?;
    let listed = page.items.iter().any(|order| order.order_id == accepted.order_id);
    let behind = reply.answer.header("age").is_some();
    if behind {
        shopper
            .run
            .note("a list of orders was behind by more than it may wait, and said so (Age)");
    }
    shopper.check("reads its own write", listed || behind, || {
        format!("{} is not in the list, at {written}", accepted.order_id)
    });
    Ok(())
}

/// The same key with another body must be refused.
async fn misuse(
    shopper: &mut Shopper,
    bearer: &str,
    key: &str,
    mut body: serde_json::Value,
) -> Result<(), Lost> {
    let kind = Kind {
        name: "POST checkout",
        variant: "misused",
    };
    body["email"] = json!("somebody-else@load.example");
    let call = Call::post("/v1/cart/checkout")
        .bearer(bearer)
        .key(key)
        .json(&body);
    let reply = shopper.call(kind, &call).await?;
    shopper.expect(kind, &reply, 422)
}

fn cancelled_because(order: &Order) -> Option<&str> {
    let entry = order
        .history
        .iter()
        .rev()
        .find(|entry| entry.status == "cancelled")?;
    entry.detail.as_deref()
}

fn accepted_fault(accepted: &Accepted, quote: &Quote) -> Option<String> {
    let id = &accepted.order_id;
    if accepted.status != "pending" || accepted.number.is_empty() {
        return Some(format!("{accepted:?}"));
    }
    if accepted.total != quote.total {
        return Some(format!(
            "{id}: total {:?}, quoted {:?}",
            accepted.total, quote.total
        ));
    }
    if accepted.status_url != format!("/v1/orders/{id}") || accepted.channel != format!("order:{id}") {
        return Some(format!("{id}: {} and {}", accepted.status_url, accepted.channel));
    }
    None
}

fn order_fault(order: &Order, quote: &Quote, lines: &BTreeMap<String, u32>) -> Option<String> {
    let found = [&order.subtotal, &order.shipping, &order.tax, &order.total];
    let quoted = [&quote.subtotal, &quote.shipping, &quote.tax, &quote.total];
    if found != quoted {
        return Some(format!("amounts {found:?}, quoted {quoted:?}"));
    }
    let bought: BTreeMap<String, u32> = order
        .lines
        .iter()
        .map(|line| (line.sku.clone(), line.quantity))
        .collect();
    if bought != *lines || order.lines.len() != lines.len() {
        return Some(format!("lines {bought:?}, in the cart were {lines:?}"));
    }
    match order.history.last() {
        Some(last) if last.status == order.status => None,
        last => Some(format!("status {}, history ends with {last:?}", order.status)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn quote() -> Quote {
        let money = |amount| json!({"amount": amount, "currency": "EUR"});
        serde_json::from_value(
            json!({"subtotal": money(500), "shipping": money(490), "tax": money(158),
                                      "tax_included": true, "total": money(990)}),
        )
        .unwrap()
    }

    fn order(change: impl FnOnce(&mut Value)) -> Order {
        let money = |amount| json!({"amount": amount, "currency": "EUR"});
        let mut order = json!({
            "order_id": "o-1", "status": "cancelled", "subtotal": money(500), "shipping": money(490),
            "tax": money(158), "total": money(990), "payment": {"status": "voided"},
            "lines": [{"sku": "A", "quantity": 2, "unit_price": money(250), "line_total": money(500)}],
            "history": [{"status": "pending"}, {"status": "cancelled", "detail": "out_of_stock"}],
        });
        change(&mut order);
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn an_order_must_be_what_was_quoted_and_what_was_in_the_cart() {
        let lines = BTreeMap::from([("A".to_owned(), 2)]);
        let good = order(|_| {});
        assert_eq!(order_fault(&good, &quote(), &lines), None);
        assert_eq!(cancelled_because(&good), Some("out_of_stock"));
        let dearer = order(|order| order["total"]["amount"] = json!(991));
        assert!(
            order_fault(&dearer, &quote(), &lines)
                .unwrap()
                .starts_with("amounts")
        );
        let other = order(|order| order["lines"][0]["quantity"] = json!(1));
        assert!(
            order_fault(&other, &quote(), &lines)
                .unwrap()
                .starts_with("lines")
        );
        let silent = order(|order| order["history"] = json!([{"status": "pending"}]));
        assert!(
            order_fault(&silent, &quote(), &lines)
                .unwrap()
                .starts_with("status")
        );
    }

    #[test]
    fn an_acceptance_must_lead_to_its_order() {
        let accepted = |status_url: &str, total: i64| -> Accepted {
            serde_json::from_value(json!({"order_id": "o-1", "number": "N", "status": "pending",
                "total": {"amount": total, "currency": "EUR"}, "status_url": status_url, "channel": "order:o-1"}))
            .unwrap()
        };
        assert_eq!(accepted_fault(&accepted("/v1/orders/o-1", 990), &quote()), None);
        assert!(accepted_fault(&accepted("/v1/orders/o-2", 990), &quote()).is_some());
        assert!(
            accepted_fault(&accepted("/v1/orders/o-1", 991), &quote())
                .unwrap()
                .contains("quoted")
        );
    }
}
