//! A shop of pure state machines: carts, stocks, orders, and a provider of a dozen lines. No actors,
//! no journal, no time but a number. What the workers do between them is said once more here, and
//! every delivery can be half done, lost, doubled, late, or out of order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use globalshop_domain::cart::{self, Cart};
use globalshop_domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop_domain::order::{self, Authorisation, Canceller, Capture, Draft, HOLD_SECONDS, Line, Order};
use globalshop_domain::payment::{Method, RefundId};
use globalshop_domain::quote::{ShippingMethod, Tariff};
use globalshop_domain::stock::{self, Change, HoldKey, Stock};
use globalshop_domain::{Millis, Money};
use uuid::Uuid;

use super::lived::Lived;
use super::model::Model;

pub const SKUS: [&str; 2] = ["A", "B"];
const SHOPPERS: u64 = 2;
/// How long a commit may come late.
const COMMIT_SECONDS: i64 = 3_600;

/// What the provider knows of an order's payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    pub stage: Option<Stage>,
    pub captured: i64,
    pub captures: u32,
    pub refunds: BTreeMap<RefundId, i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Waits,
    Authorised,
    Captured,
    Declined,
    Voided,
}

/// Who is given an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Stock,
    Payment,
}

/// How far a delivery gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// So many of its commands are done, then it fails and will come again.
    Half(usize),
    Twice,
}

#[derive(Default)]
pub struct Shop {
    pub now: i64,
    pub carts: BTreeMap<u64, Lived<Cart>>,
    pub stocks: BTreeMap<&'static str, Lived<Stock>>,
    pub orders: BTreeMap<OrderId, Lived<Order>>,
    pub intents: BTreeMap<OrderId, Intent>,
    /// Placed by whoever comes first.
    pub sealed: Vec<std::sync::Arc<Draft>>,
    lanes: BTreeMap<(Lane, OrderId), VecDeque<order::Event>>,
    lapsed: VecDeque<(&'static str, HoldKey)>,
    handled: Vec<(Lane, OrderId, order::Event)>,
    pub model: Model,
}

fn stage_of(sku: &Sku) -> &'static str {
    SKUS.into_iter().find(|known| *known == sku.as_str()).unwrap()
}

/// Counts down what a half done delivery still does.
struct Budget(usize);

impl Budget {
    fn spend(&mut self) -> Result<(), Again> {
        self.0 = self.0.checked_sub(1).ok_or(Again)?;
        Ok(())
    }
}

/// The delivery failed and has to come again.
#[derive(Debug)]
pub struct Again;

impl Shop {
    pub fn open() -> Self {
        let mut shop = Self {
            now: 1_700_000_000_000,
            ..Self::default()
        };
        for sku in SKUS {
            shop.stocks.insert(sku, Lived::default());
            shop.stock(sku, &adjust(6)).unwrap();
        }
        for shopper in 0..SHOPPERS {
            shop.carts.insert(shopper, Lived::default());
        }
        shop
    }

    fn at(&self) -> Millis {
        Millis(self.now)
    }

    pub fn stock(&mut self, sku: &'static str, command: &stock::Command) -> Result<(), stock::Refusal> {
        let now = self.at();
        let stock = self.stocks.get_mut(sku).unwrap();
        let asked = stock.ask(command, now);
        let levels = stock.state.levels();
        for event in asked? {
            if let Change::Lapsed { key, .. } = event.change {
                self.lapsed.push_back((sku, key));
            }
            let cancelled = |order| {
                self.orders
                    .get(&order)
                    .is_none_or(|order| is_cancelled(&order.state))
            };
            self.model.stock(sku, &event, cancelled);
        }
        self.model.levels(sku, levels);
        Ok(())
    }

    pub fn order(&mut self, id: OrderId, command: &order::Command) -> Result<(), order::Refusal> {
        let now = self.at();
        let order = self.orders.entry(id).or_default();
        for event in order.ask(command, now)? {
            self.model.order(id, &event);
            for lane in [Lane::Stock, Lane::Payment] {
                if concerns(lane, &event) {
                    self.lanes.entry((lane, id)).or_default().push_back(event.clone());
                }
            }
        }
        self.model
            .ordered(id, &self.orders[&id].state, self.intents.get(&id));
        Ok(())
    }

    pub fn cart(&mut self, shopper: u64, command: &cart::Command) {
        let now = self.at();
        let cart = self.carts.get_mut(&shopper).unwrap();
        let asked = cart.ask(command, now);
        if let Ok(events) = &asked {
            for event in events {
                if let cart::Event::CheckedOut { draft } = event {
                    self.sealed.push(std::sync::Arc::clone(draft));
                }
            }
        }
        self.model.cart(shopper, command, &asked, &cart.state);
    }

    pub fn check_out(&mut self, shopper: u64, token: &str, version_off: u64) {
        let customer = CustomerId(Uuid::from_u128(u128::from(shopper) + 1));
        let state = &self.carts[&shopper].state;
        let lines: Vec<Line> = state.lines.iter().map(order_line).collect();
        let subtotal = lines.iter().map(|line| line.line_total.amount).sum();
        let draft = Draft {
            customer,
            cart: CartId::of(customer),
            totals: Tariff::default().totals(subtotal, ShippingMethod::Standard),
            lines,
            payment: Method {
                provider: "pure".to_owned(),
                token: token.to_owned(),
            },
            ..Draft::default()
        };
        let command = cart::Command::CheckOut {
            version: state.version.saturating_sub(version_off),
            draft: Box::new(draft),
        };
        self.cart(shopper, &command);
    }

    /// How many events wait for somebody.
    pub fn waiting(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum::<usize>() + self.lapsed.len() + self.unplaced().len()
    }

    fn unplaced(&self) -> Vec<std::sync::Arc<Draft>> {
        let unplaced = |draft: &&std::sync::Arc<Draft>| !self.orders.contains_key(&draft.order());
        self.sealed.iter().filter(unplaced).cloned().collect()
    }

    /// Places a sealed order, or one that is placed already.
    pub fn place(&mut self, which: u64) {
        if let Some(draft) = pick(&self.sealed, which).cloned() {
            self.order(draft.order(), &order::Command::Place(draft.clone()))
                .unwrap();
        }
    }

    pub fn place_all(&mut self) {
        for draft in self.unplaced() {
            self.order(draft.order(), &order::Command::Place(draft.clone()))
                .unwrap();
        }
    }

    /// Delivers the event that is `late` places behind the first of a lane.
    pub fn deliver(&mut self, which: u64, late: usize, fate: Fate) {
        let open: Vec<_> = self
            .lanes
            .iter()
            .filter(|(_, events)| !events.is_empty())
            .collect();
        let Some((key, events)) = pick(&open, which) else {
            return;
        };
        let ((lane, id), place) = (**key, late.min(events.len() - 1));
        let event = events[place].clone();
        if self.handle(lane, id, &event, fate).is_ok() {
            self.lanes.get_mut(&(lane, id)).unwrap().remove(place);
            self.handled.push((lane, id, event));
        }
    }

    /// Delivers what was handled long ago.
    pub fn deliver_again(&mut self, which: u64) {
        if let Some((lane, id, event)) = pick(&self.handled, which).cloned() {
            // What fails now has been done before.
            drop(self.handle(lane, id, &event, Fate::Done));
        }
    }

    fn handle(&mut self, lane: Lane, id: OrderId, event: &order::Event, fate: Fate) -> Result<(), Again> {
        let runs = if fate == Fate::Twice { 2 } else { 1 };
        for _ in 0..runs {
            let mut budget = Budget(match fate {
                Fate::Half(done) => done,
                _ => usize::MAX,
            });
            match lane {
                Lane::Stock => self.stock_worker(id, event, &mut budget)?,
                Lane::Payment => self.payment_worker(id, event, &mut budget)?,
            }
        }
        if matches!(fate, Fate::Half(_)) {
            Err(Again)
        } else {
            Ok(())
        }
    }

    fn report(&mut self, id: OrderId, command: &order::Command, budget: &mut Budget) -> Result<(), Again> {
        budget.spend()?;
        self.order(id, command).map_err(|_| Again)
    }

    /// Asks the same of each line: whether all was well, with `no` being a clear no.
    fn each(
        &mut self,
        id: OrderId,
        budget: &mut Budget,
        command: impl Fn(HoldKey, u32) -> stock::Command,
        no: impl Fn(&stock::Refusal) -> bool,
    ) -> Result<bool, Again> {
        let draft = self.orders[&id].state.placed().unwrap().draft.clone();
        let mut good = true;
        for (line, number) in draft.lines.iter().zip(0_u16..) {
            budget.spend()?;
            let key = HoldKey {
                order: id,
                line: number,
            };
            match self.stock(stage_of(&line.sku), &command(key, line.quantity)) {
                Ok(()) => {}
                Err(refusal) if no(&refusal) => good = false,
                Err(_) => return Err(Again),
            }
        }
        Ok(good)
    }

    fn stock_worker(&mut self, id: OrderId, event: &order::Event, budget: &mut Budget) -> Result<(), Again> {
        use stock::{Command, Refusal};
        let late = |seconds| event.at().plus_seconds(seconds) < self.at();
        match event {
            order::Event::Placed { at, .. } => {
                let lapses_at = at.plus_seconds(HOLD_SECONDS);
                let hold = |key, quantity| Command::Hold {
                    key,
                    quantity,
                    lapses_at,
                };
                let no = |refusal: &Refusal| matches!(refusal, Refusal::OutOfStock { .. } | Refusal::Ended);
                let held = !late(HOLD_SECONDS) && self.each(id, budget, hold, no)?;
                self.report(id, &order::Command::RecordHolds { held }, budget)
            }
            order::Event::CommitAsked { .. } => {
                let no = |refusal: &Refusal| matches!(refusal, Refusal::Ended | Refusal::UnknownHold);
                let committed =
                    !late(COMMIT_SECONDS) && self.each(id, budget, |key, _| Command::Commit(key), no)?;
                self.report(id, &order::Command::RecordCommit { committed }, budget)
            }
            order::Event::Confirmed { .. } => {
                let ended = |refusal: &Refusal| *refusal == Refusal::Ended;
                self.each(id, budget, |key, _| Command::Sell(key), ended)
                    .map(drop)
            }
            order::Event::Cancelled { .. } => self
                .each(id, budget, |key, _| Command::Release(key), |_| false)
                .map(drop),
            order::Event::Shipped { .. } => self
                .each(id, budget, |key, _| Command::Ship(key), |_| false)
                .map(drop),
            _ => Ok(()),
        }
    }

    fn payment_worker(
        &mut self,
        id: OrderId,
        event: &order::Event,
        budget: &mut Budget,
    ) -> Result<(), Again> {
        budget.spend()?;
        let placed = self.orders[&id].state.placed().unwrap();
        let (total, token) = (
            placed.draft.totals.total.amount,
            placed.draft.payment.token.clone(),
        );
        let taken = placed.payment.captured.amount > 0;
        let intent = self.intents.entry(id).or_default();
        let no = || "no".to_owned();
        let authorised = |intent: &Intent| match intent.stage {
            Some(Stage::Authorised | Stage::Captured) => Authorisation::Authorised,
            Some(Stage::Waits) => Authorisation::ActionRequired,
            _ => Authorisation::Declined { code: no() },
        };
        let command = match event {
            order::Event::Placed { .. } => {
                intent.stage.get_or_insert(match token.as_str() {
                    "approve" => Stage::Authorised,
                    "confirm" => Stage::Waits,
                    _ => Stage::Declined,
                });
                order::Command::RecordAuthorisation(authorised(intent))
            }
            order::Event::ActionTaken { succeed, .. } => {
                if intent.stage == Some(Stage::Waits) {
                    let stage = if *succeed {
                        Stage::Authorised
                    } else {
                        Stage::Declined
                    };
                    intent.stage = Some(stage);
                }
                order::Command::RecordAuthorisation(authorised(intent))
            }
            order::Event::CaptureAsked { .. } => order::Command::RecordCapture(match intent.stage {
                Some(Stage::Captured) => Capture::Captured,
                Some(Stage::Authorised) => {
                    intent.stage = Some(Stage::Captured);
                    intent.captured = total;
                    intent.captures += 1;
                    Capture::Captured
                }
                _ => Capture::Failed { code: no() },
            }),
            order::Event::Cancelled { .. } if taken => return Ok(()),
            order::Event::Cancelled { .. } => match intent.stage {
                Some(Stage::Captured) => return Err(Again),
                Some(Stage::Declined | Stage::Voided) => order::Command::RecordVoid,
                _ => {
                    intent.stage = Some(Stage::Voided);
                    order::Command::RecordVoid
                }
            },
            order::Event::RefundAsked { refund, amount, .. } => {
                intent.refunds.insert(*refund, amount.amount);
                order::Command::RecordRefund {
                    refund: *refund,
                    done: true,
                }
            }
            _ => return Ok(()),
        };
        self.model.intent(&self.intents[&id]);
        self.report(id, &command, budget)
    }

    /// A hold's time is up: only its order knows.
    pub fn ask_about_lapsed(&mut self) {
        let Some((sku, key)) = self.lapsed.pop_front() else {
            return;
        };
        let order = self.orders.get(&key.order).and_then(|order| order.state.placed());
        if !order.is_some_and(order::Placed::wants_holds) {
            // Ended meanwhile is fine too.
            drop(self.stock(sku, &stock::Command::Release(key)));
        }
    }

    /// The provider tells what it knows, late or twice.
    pub fn notice(&mut self, which: u64) {
        let ids: Vec<OrderId> = self.intents.keys().copied().collect();
        let Some(id) = pick(&ids, which).copied() else {
            return;
        };
        let intent = self.intents[&id].clone();
        let command = match (intent.stage, which % 3) {
            (Some(Stage::Authorised | Stage::Captured), 0) => {
                order::Command::RecordAuthorisation(Authorisation::Authorised)
            }
            (Some(Stage::Captured), 1) => order::Command::RecordCapture(Capture::Captured),
            (_, 2) => match intent.refunds.keys().next() {
                Some(refund) => order::Command::RecordRefund {
                    refund: *refund,
                    done: true,
                },
                None => return,
            },
            _ => return,
        };
        self.order(id, &command).unwrap();
    }

    /// What shoppers and sellers do with an order; refused when it does not fit.
    pub fn interfere(&mut self, which: u64, what: u64, amount: i64) {
        // The newest ones: what comes after the confirmation takes several turns.
        let newest = self.sealed.iter().rev().map(|draft| draft.order());
        let placed = newest.filter(|id| self.orders.contains_key(id));
        let ids: Vec<OrderId> = placed.take(2).collect();
        let Some(id) = pick(&ids, which).copied() else {
            return;
        };
        let command = match what % 8 {
            0 => order::Command::Cancel(Canceller::Shopper),
            1 => order::Command::Cancel(Canceller::Seller {
                reason: "no".to_owned(),
            }),
            2 => order::Command::ConfirmPayment {
                succeed: amount % 3 != 0,
            },
            3 => order::Command::Pack,
            4 => order::Command::Ship {
                carrier: "DHL".to_owned(),
                tracking_number: "1".to_owned(),
            },
            5 => order::Command::Deliver,
            _ => order::Command::Refund {
                refund: RefundId(Uuid::from_u128(u128::from(which % 5))),
                amount: Money::eur(amount),
                reason: "a scratch".to_owned(),
            },
        };
        let before = self.orders[&id].state.clone();
        if self.order(id, &command).is_err() {
            assert_eq!(self.orders[&id].state, before, "a refusal changes something");
        }
    }

    /// Time passes, and whoever has a deadline is told so, as often as is `told`.
    pub fn pass(&mut self, seconds: i64, told: usize) {
        self.now += seconds * 1_000;
        for _ in 0..told {
            for id in self.orders.keys().copied().collect::<Vec<_>>() {
                self.order(id, &order::Command::Wake).unwrap();
            }
            for sku in SKUS {
                self.stock(sku, &stock::Command::Wake).unwrap();
            }
        }
    }

    pub fn replay(&mut self, which: u64) {
        match which % 3 {
            0 => self.carts.values_mut().for_each(Lived::replay),
            1 => self.stocks.values_mut().for_each(Lived::replay),
            _ => self.orders.values_mut().for_each(Lived::replay),
        }
    }

    /// Everything works: what waits is delivered, in order; every deadline passes. Answers with how
    /// often everything of note happened.
    pub fn end(&mut self) -> BTreeMap<String, u64> {
        for round in 0..6 {
            let mut tries = 0;
            while self.waiting() > 0 {
                self.place_all();
                self.deliver(tries, 0, Fate::Done);
                self.ask_about_lapsed();
                tries += 1;
                assert!(tries < 2_000, "an event is never handled");
            }
            self.pass(if round < 4 { 16 * 60 } else { 0 }, 1);
        }
        for which in 0..3 {
            self.replay(which);
        }
        let ids: BTreeSet<OrderId> = self.sealed.iter().map(|draft| draft.order()).collect();
        assert_eq!(ids.len(), self.sealed.len(), "two checkouts made the same order");
        for (id, order) in &self.orders {
            self.model.ended(*id, &order.state, &self.intents[id]);
        }
        let orders = self.orders.values().flat_map(|order| &order.events).map(name);
        let stocks = self.stocks.values().flat_map(|stock| &stock.events).map(name);
        let carts = self.carts.values().flat_map(|cart| &cart.events).map(name);
        let mut tally = BTreeMap::new();
        for name in orders.chain(stocks).chain(carts) {
            *tally.entry(name).or_default() += 1;
        }
        tally
    }
}

/// The name an event is stored under; a tombstone has one of its own.
fn name(event: &impl serde::Serialize) -> String {
    let event = serde_json::to_value(event).unwrap();
    if event["event"] == "released" && event["quantity"] == 0 {
        return "tombstone".to_owned();
    }
    event["event"].as_str().unwrap().to_owned()
}

fn order_line(line: &cart::Line) -> Line {
    Line {
        sku: line.sku.clone(),
        name: "Thing".to_owned(),
        quantity: line.quantity,
        unit_price: line.quoted,
        line_total: Money::eur(line.quoted.amount * i64::from(line.quantity)),
    }
}

pub fn adjust(delta: i64) -> stock::Command {
    stock::Command::Adjust {
        delta,
        reason: "counted".to_owned(),
    }
}

pub fn is_cancelled(order: &Order) -> bool {
    order
        .placed()
        .is_some_and(|placed| placed.phase == order::Phase::Cancelled)
}

fn concerns(lane: Lane, event: &order::Event) -> bool {
    use order::Event::{
        ActionTaken, Cancelled, CaptureAsked, CommitAsked, Confirmed, Placed, RefundAsked, Shipped,
    };
    match lane {
        Lane::Stock => matches!(
            event,
            Placed { .. } | CommitAsked { .. } | Confirmed { .. } | Cancelled { .. } | Shipped { .. }
        ),
        Lane::Payment => matches!(
            event,
            Placed { .. } | ActionTaken { .. } | CaptureAsked { .. } | Cancelled { .. } | RefundAsked { .. }
        ),
    }
}

fn pick<T>(from: &[T], which: u64) -> Option<&T> {
    let length = u64::try_from(from.len()).unwrap();
    from.get(usize::try_from(which.checked_rem(length)?).unwrap())
}
