//! A shopper (and the seller who handles the shopper's orders): asks, bears silence, asks the same
//! again, and knows what the answers must be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::auditor::{Auditor, Violation};
use super::plan::{SCARCE, Step};
use super::site::World;
use super::ways::Ways;
use crate::actors::Hosted;
use crate::cluster::{Answer, Ask, AskError};
use crate::domain::address::Address;
use crate::domain::cart::{self, Cart};
use crate::domain::id::{CartId, CustomerId, OperationId, OrderId, Sku};
use crate::domain::order::{self, Draft, Line, Order};
use crate::domain::payment::Method;
use crate::domain::quote::{ShippingMethod, Tariff};
use crate::domain::stock::{self, Stock};
use crate::domain::{EntityId, Money};
use crate::provider::sandbox;

/// How often the same is asked before the shop is called dead: some ten virtual minutes.
const TRIES: u32 = 400;
/// The most of one SKU a cart takes.
pub(super) const QUANTITY_LIMIT: u32 = 99;
/// The longest pause before asking again.
const PAUSE: u64 = 3_000;

/// What a shopper knows of the own cart: all that a cart is, seen from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Basket {
    pub lines: BTreeMap<Sku, (u32, i64)>,
    checkouts: u64,
}

/// A shopper.
pub(super) struct Shopper {
    number: usize,
    pub world: World,
    pub ways: Ways,
    customer: CustomerId,
    pub basket: Basket,
    /// What is in the carts of the guests the shopper also is: on the phone, and at the desk.
    pub guests: [Basket; 2],
    orders: Vec<(OrderId, &'static str)>,
    asked: u64,
}

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum No<R> {
    /// The business says no.
    Refused(R),
    /// It came after its time.
    Expired,
}

/// How a command ended.
pub(super) type Outcome<E> =
    Result<Answer<<E as crate::domain::Entity>::View>, No<<E as crate::domain::Entity>::Refusal>>;

impl Shopper {
    pub fn new(number: usize, world: &World, ways: &Ways) -> Self {
        let customer = Uuid::from_u128(0x5000 + u128::try_from(number).unwrap_or(0));
        Self {
            number,
            world: world.clone(),
            ways: ways.clone(),
            customer: CustomerId(customer),
            basket: Basket::default(),
            guests: Default::default(),
            orders: vec![],
            asked: 0,
        }
    }

    /// Does everything, in turn; answers with the orders and how they were paid.
    pub async fn shop(mut self) -> Vec<(OrderId, &'static str)> {
        let plan = Arc::clone(&self.world.plan);
        for step in &plan.shoppers[self.number] {
            let pause = Duration::from_micros(self.world.clock.random_below(40_000));
            self.world.clock.sleep(pause).await;
            self.world
                .trace
                .note(format_args!("shopper {}: {step:?}", self.number));
            match step {
                Step::Twice(step) => self.step(step, true).await,
                step => self.step(step, false).await,
            }
        }
        self.orders
    }

    async fn step(&mut self, step: &Step, twice: bool) {
        match step {
            Step::Wait(long) => self.world.clock.sleep(*long).await,
            Step::SetLine(sku, quantity, price) => self.set_line(sku, *quantity, *price, twice).await,
            // In a hurry it may stay as it is.
            Step::Clear => {
                self.clear(None).await;
            }
            Step::Look => {
                if let Some(answer) = self.read::<Cart>(&self.cart().entity()).await {
                    self.check_cart(&answer.view);
                }
                if self.every(2) {
                    self.look_at_things().await;
                }
            }
            Step::CheckOut(token) => self.check_out(token, twice).await,
            Step::Confirm(succeed) => {
                self.order(order::Command::ConfirmPayment { succeed: *succeed }, twice)
                    .await;
            }
            Step::Cancel => {
                let who = self.canceller();
                self.order(order::Command::Cancel(who), twice).await;
            }
            Step::Pack => self.order(order::Command::Pack, twice).await,
            Step::Ship => {
                let parcel = self.parcel();
                self.order(parcel, twice).await;
            }
            Step::Deliver => self.order(order::Command::Deliver, twice).await,
            Step::Fulfil => self.fulfil().await,
            Step::Refund(amount) => self.refund(*amount, twice).await,
            Step::LookAtOrder => {
                if let Some((order, _)) = self.orders.last().copied() {
                    self.read::<Order>(&order.entity()).await;
                }
            }
            Step::Adjust(delta) => {
                let adjust = stock::Command::Adjust {
                    delta: *delta,
                    reason: "counted".to_owned(),
                };
                if let Ok(sku) = SCARCE.parse::<Sku>() {
                    // Refused when there are not that many: the auditor knows.
                    drop(self.ask::<Stock>(&sku.stock(), adjust, false).await);
                }
            }
            // In a hurry it may stay as it is.
            Step::SetGuestLine(sku, quantity, price) => {
                let guest = usize::from(price % 3 == 0);
                self.set_guest_line(guest, sku, *quantity, *price).await;
            }
            Step::SignIn(again) => {
                let guest = usize::from(self.world.clock.random_below(2) == 0);
                self.sign_in(guest, *again).await;
            }
            Step::Fill => self.fill().await,
            Step::Sell(how, price) => self.sell(*how, *price).await,
            Step::Import(price) => self.import(*price).await,
            Step::Twice(_) => {}
        }
    }

    pub const fn cart(&self) -> CartId {
        CartId::of(self.customer)
    }

    /// The cart of a guest the shopper was before signing in.
    pub const fn guest_cart(&self, guest: usize) -> CartId {
        let apart = 0x1000 * (1 + guest as u128);
        CartId::of(CustomerId(Uuid::from_u128(self.customer.0.as_u128() + apart)))
    }

    /// Every so many questions, without another throw of the dice.
    pub const fn every(&self, so_many: u64) -> bool {
        (self.asked + self.number as u64).is_multiple_of(so_many)
    }

    pub fn operation(&mut self) -> OperationId {
        self.asked += 1;
        self.last_operation()
    }

    /// What was asked last.
    pub fn last_operation(&self) -> OperationId {
        OperationId::derive(self.customer.0, &self.asked.to_string())
    }

    async fn set_line(&mut self, sku: &str, quantity: u32, price: i64, twice: bool) {
        let Ok(sku) = sku.parse::<Sku>() else { return };
        let command = cart::Command::SetLine {
            sku: sku.clone(),
            quantity,
            quoted: Money::eur(price),
        };
        match self.ask::<Cart>(&self.cart().entity(), command, twice).await {
            Ok(answer) => {
                if quantity > QUANTITY_LIMIT {
                    self.accuse("I4", format!("a cart took {quantity} of {sku}"));
                }
                if quantity == 0 {
                    self.basket.lines.remove(&sku);
                } else {
                    self.basket.lines.insert(sku, (quantity, price));
                }
                self.check_cart(&answer.view);
            }
            Err(No::Expired) => {}
            Err(No::Refused(cart::Refusal::QuantityTooLarge)) if quantity > QUANTITY_LIMIT => {}
            Err(No::Refused(refusal)) => self.accuse("I8", format!("a line was refused: {refusal}")),
        }
    }

    /// The edge's way: read the cart, seal it, place the order.
    pub async fn check_out(&mut self, token: &'static str, twice: bool) {
        let entity = self.cart().entity();
        let Some(answer) = self.read::<Cart>(&entity).await else {
            return;
        };
        self.check_cart(&answer.view);
        let lines: Vec<Line> = answer
            .view
            .lines
            .iter()
            .map(|line| {
                let total = line.quoted.amount * i64::from(line.quantity);
                Line {
                    sku: line.sku.clone(),
                    name: format!("Thing {}", line.sku),
                    quantity: line.quantity,
                    unit_price: line.quoted,
                    line_total: Money::eur(total),
                }
            })
            .collect();
        let method = match self.world.clock.random_below(4) {
            0 => ShippingMethod::Express,
            _ => ShippingMethod::Standard,
        };
        let subtotal = lines.iter().map(|line| line.line_total.amount).sum();
        let draft = Draft {
            customer: self.customer,
            cart: self.cart(),
            email: format!("ada+{}@example.org", self.number),
            shipping_address: Address {
                name: format!("Ada  Müller-{} ", self.number),
                line1: " Am Markt 3 ".to_owned(),
                line2: Some("Hinterhaus, 2. OG".to_owned()),
                city: "Köln".to_owned(),
                region: Some("NRW".to_owned()),
                postal_code: "05066".to_owned(),
                country: "DE".to_owned(),
            },
            shipping_method: method,
            totals: Tariff::default().totals(subtotal, method),
            lines,
            payment: Method {
                provider: sandbox::NAME.to_owned(),
                token: token.to_owned(),
            },
            ..Draft::default()
        };
        // What was seen in another tab, before the last change.
        let old = answer.view.version > 0 && self.world.clock.random_below(16) == 0;
        let command = cart::Command::CheckOut {
            version: answer.view.version - u64::from(old),
            draft: Box::new(draft.clone()),
        };
        match self.ask::<Cart>(&entity, command, twice).await {
            Ok(answer) => {
                if old {
                    self.accuse("I4", "a cart was checked out that had changed".to_owned());
                }
                self.basket.lines.clear();
                self.basket.checkouts += 1;
                self.check_cart(&answer.view);
                let Some(sealed) = answer.view.last_checkout else {
                    return self.accuse("I4", "a cart was checked out and does not know it".to_owned());
                };
                self.orders.push((sealed.order, token));
                // One edge in four dies here, and the worker places the order.
                if self.world.clock.random_below(4) > 0 {
                    let draft = Draft {
                        checkout: sealed.number,
                        placed_at: sealed.placed_at,
                        ..draft
                    };
                    self.order(order::Command::Place(Arc::new(draft)), false).await;
                }
            }
            Err(No::Expired) => {}
            Err(No::Refused(cart::Refusal::Changed { version })) if old && version == answer.view.version => {
            }
            Err(No::Refused(cart::Refusal::Empty)) if self.basket.lines.is_empty() => {}
            Err(No::Refused(refusal)) => self.accuse("I8", format!("a checkout was refused: {refusal}")),
        }
    }

    /// The newest order.
    pub fn last_order(&self) -> Option<OrderId> {
        self.orders.last().map(|(order, _)| *order)
    }

    /// Asks the newest order.
    pub async fn order(&mut self, command: order::Command, twice: bool) {
        if let Some(order) = self.last_order() {
            // Refused when it does not fit: the auditor knows whether that could be.
            drop(self.ask::<Order>(&order.entity(), command, twice).await);
        }
    }

    pub fn check_cart(&self, cart: &Cart) {
        let shown: BTreeMap<Sku, (u32, i64)> = cart
            .lines
            .iter()
            .map(|line| (line.sku.clone(), (line.quantity, line.quoted.amount)))
            .collect();
        if shown != self.basket.lines || cart.checkouts != self.basket.checkouts {
            self.accuse(
                "I8",
                format!("shopper {} sees {shown:?} and has {:?}", self.number, self.basket),
            );
        }
    }

    pub fn accuse(&self, invariant: &'static str, what: String) {
        self.world.auditor.accuse(Violation { invariant, what });
    }

    /// Asks until there is an answer, always the same operation. `twice`: each time twice at once.
    pub async fn ask<E: Hosted>(
        &mut self,
        entity: &EntityId,
        command: E::Command,
        twice: bool,
    ) -> Outcome<E> {
        let question = self.question::<E>(command, twice);
        let operation = question.operation.unwrap_or_else(|| self.operation());
        let auditor = self.world.auditor.clone();
        auditor.asked::<E>(operation, &question);
        let floor = auditor.floor(entity);
        // Whether an earlier try may still be under way.
        let mut doubt = twice;
        for attempt in 0..TRIES {
            if attempt > 0 && self.is_remembered(&question).await {
                // As the edge does: it was done although nobody heard of it.
                if let Some(answer) = self.read::<E>(entity).await {
                    self.check_remembered::<E>(entity, &question, &answer).await;
                    return Ok(answer);
                }
            }
            let once = || self.once::<E>(entity, &question);
            let answer = if twice {
                let (one, two) = tokio::join!(once(), once());
                match (one, two) {
                    (Ok(answer), Err(_)) | (_, Ok(answer)) => Ok(answer),
                    (Err(error), Err(AskError::Unavailable { .. })) | (_, Err(error)) => Err(error),
                }
            } else {
                once().await
            };
            let no = match answer {
                Ok(answer) => {
                    auditor.answered::<E>(entity, floor, Some((&question.command, operation)), &answer);
                    if !twice {
                        auditor.over(operation);
                    }
                    self.check_remembered::<E>(entity, &question, &answer).await;
                    self.look_around::<E>(entity).await;
                    return Ok(answer);
                }
                Err(AskError::Refused(refusal)) => {
                    auditor.refused::<E>(entity, floor, &question.command, &refusal);
                    No::Refused(refusal)
                }
                Err(AskError::Expired) => {
                    self.expect_late(entity, question.not_after);
                    auditor.not_done(entity, operation);
                    No::Expired
                }
                Err(error) => {
                    self.expect_trouble(entity, &error);
                    doubt |= matches!(error, AskError::Unknown { .. });
                    self.pause().await;
                    if !doubt {
                        auditor.not_done(entity, operation);
                    }
                    continue;
                }
            };
            if !twice {
                auditor.over(operation);
            }
            return Err(no);
        }
        self.accuse("I7", format!("{entity} has not answered for {TRIES} tries"));
        std::future::pending().await
    }

    async fn once<E: Hosted>(
        &self,
        entity: &EntityId,
        question: &Ask<E::Command>,
    ) -> Result<Answer<E::View>, AskError<E::Refusal>> {
        let way = self.ways.any(&self.world.clock).await;
        way.ask::<E>(entity, question.clone()).await
    }

    pub async fn read<E: Hosted>(&mut self, entity: &EntityId) -> Option<Answer<E::View>> {
        let auditor: Auditor = self.world.auditor.clone();
        for _ in 0..TRIES {
            let floor = auditor.floor(entity);
            let way = self.ways.any(&self.world.clock).await;
            match way.read::<E>(entity).await {
                Ok(answer) => {
                    auditor.answered::<E>(entity, floor, None, &answer);
                    return Some(answer);
                }
                Err(error) => self.expect_trouble(entity, &error),
            }
            self.pause().await;
        }
        self.accuse("I7", format!("{entity} cannot be read for {TRIES} tries"));
        None
    }

    /// Now and then looks at what was just changed, through every node at once: none may show less.
    async fn look_around<E: Hosted>(&self, entity: &EntityId) {
        if self.world.plan.nodes == 1 || self.world.clock.random_below(3) > 0 {
            return;
        }
        let floor = self.world.auditor.floor(entity);
        let looks = self.ways.open().into_iter().map(async |way| {
            if let Ok(answer) = way.read::<E>(entity).await {
                self.world.auditor.answered::<E>(entity, floor, None, &answer);
            }
        });
        futures_util::future::join_all(looks).await;
    }

    /// Where nothing has gone wrong, every question is answered: also while shards change hands in order.
    fn expect_trouble<R: std::error::Error>(&self, entity: &EntityId, error: &AskError<R>) {
        if self.world.is_untroubled() {
            self.accuse(
                "I7",
                format!("nothing has gone wrong, and {entity} does not answer: {error}"),
            );
        }
    }

    async fn pause(&self) {
        let wait = Duration::from_millis(50 + self.world.clock.random_below(PAUSE));
        self.world.clock.sleep(wait).await;
    }
}
