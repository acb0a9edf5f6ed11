//! A shop on a virtual clock in which one saga is played, and what came of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use globalshop::actors::Hosted;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, AskError, Region};
use globalshop::domain::cart::{self, Cart};
use globalshop::domain::id::{CartId, CustomerId, OperationId, OrderId, Sku};
use globalshop::domain::order::{self, Order, Phase, Placed};
use globalshop::domain::payment::{RefundId, RefundStage, Status};
use globalshop::domain::product::Product;
use globalshop::domain::stock::{Levels, Stock};
use globalshop::domain::{EntityId, Kind, Millis, Money, ShardCount};
use globalshop::journal::MemoryJournal;
use globalshop::provider::{self, MemoryBooks};
use globalshop::relay::book::MemoryBook;
use globalshop::relay::dead_letter::{DeadLetter, LetterFilter, LetterState};
use globalshop::simulate::auditor::Auditor;
use globalshop::simulate::outside::{LedgerTable, MailServer};
use globalshop::simulate::seen::SeenJournal;
use globalshop::simulate::trace::Trace;

use super::journal::TappedJournal;
use super::tap::{Harm, Step, Tap, Times};
use crate::shop::{PRICE, Shop, World};

/// What every order buys one of.
pub const SKUS: [&str; 2] = ["A", "B"];
/// Longer than anything waits before it is tried again.
const QUIET: Duration = Duration::from_secs(100);
/// How often quiet is waited for.
const PATIENCE: u32 = 40;
/// Longer than the shop's longest deadline, with its retries.
const AFTER_ALL_DEADLINES: Duration = Duration::from_secs(41 * 60);
/// How often, and how many times, an order is looked at until it has come so far.
const BEAT: Duration = Duration::from_millis(5);
const LOOKS: u32 = 100_000;
/// How often somebody who is not answered asks again, and how long the pauses are.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_secs(1);

/// Whoever asks the shop for something: through the node that is up, until there is an answer.
#[derive(Clone)]
struct Door {
    region: Arc<Mutex<Region>>,
    auditor: Auditor,
    clock: Clock,
}

impl Door {
    fn region(&self) -> Region {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was done; `None` if nobody ever answered.
    async fn ask<E: Hosted>(&self, entity: &EntityId, command: E::Command, times: Times) -> Option<E::View> {
        let operation = OperationId(self.clock.new_id());
        let floor = self.auditor.floor(entity);
        for _ in 0..TRIES {
            let once = || async {
                let ask = Ask::new(command.clone()).operation(operation);
                self.region().ask::<E>(entity, ask).await
            };
            let answers = match times {
                Times::Once => vec![once().await],
                Times::TwiceInTurn => vec![once().await, once().await],
                Times::TwiceAtOnce => {
                    let (one, two) = tokio::join!(once(), once());
                    vec![one, two]
                }
            };
            let mut view = None;
            for answer in answers {
                match answer {
                    Ok(answer) => {
                        self.auditor
                            .answered::<E>(entity, floor, Some((&command, operation)), &answer);
                        view = Some(answer.view);
                    }
                    Err(AskError::Refused(refusal)) => panic!("{entity}: {command:?}: {refusal}"),
                    Err(_) => {}
                }
            }
            if view.is_some() {
                return view;
            }
            self.clock.sleep(PAUSE).await;
        }
        None
    }

    /// Reads an entity; the auditor compares it with its events.
    async fn read<E: Hosted>(&self, entity: &EntityId) {
        for _ in 0..TRIES {
            let floor = self.auditor.floor(entity);
            if let Ok(answer) = self.region().read::<E>(entity).await {
                return self.auditor.answered::<E>(entity, floor, None, &answer);
            }
            self.clock.sleep(PAUSE).await;
        }
        panic!("{entity} cannot be read although everything works");
    }
}

/// How a saga begins.
#[derive(Clone, Copy)]
pub enum Begin {
    /// A cart is checked out.
    CheckOut,
    /// An order that has come so far is asked for something.
    Ask {
        from: fn(&Placed) -> bool,
        command: fn() -> order::Command,
    },
}

/// A saga: how it begins and where it ends when nothing fails.
pub struct Saga {
    pub name: &'static str,
    /// How the order is paid.
    pub token: &'static str,
    /// Units of each SKU on the shelf, in the order of [`SKUS`].
    pub shelf: [i64; 2],
    pub begin: Begin,
    pub end: (Phase, Status),
    /// Why its order ends cancelled, if it does.
    pub reason: Option<&'static str>,
    /// How many different steps it has at least.
    pub steps: usize,
}

/// What is to be seen once nothing moves any more. (Mails are counted at the end: a cancellation that
/// comes later may find one more sent.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub order: Option<(Phase, Status)>,
    pub reason: Option<String>,
    /// What was taken, minor units.
    pub taken: i64,
    /// Each refund, minor units.
    pub refunds: Vec<(i64, RefundStage)>,
    pub shelf: Vec<Levels>,
}

/// The shop, its outside, and the one order in it.
pub struct Stage {
    pub tap: Tap,
    pub auditor: Auditor,
    world: World,
    wire: SeenJournal,
    books: Arc<MemoryBooks>,
    mail: Arc<MailServer>,
    ledger: LedgerTable,
    door: Door,
    shop: Shop,
    customer: CustomerId,
}

impl Stage {
    async fn open() -> Self {
        let clock = Clock::simulated(3, Millis(1_700_000_000_000));
        let trace = Trace::new(clock.clone(), false);
        let journal = MemoryJournal::new(ShardCount::new(4).unwrap(), clock.clone());
        let auditor = Auditor::new(&journal, &trace);
        let tap = Tap::default();
        let wire = SeenJournal::new(journal.seen_by_another(), 0, clock.clone(), &auditor, &trace);
        let books = Arc::new(MemoryBooks::default());
        let mail = Arc::new(MailServer::default());
        let world = World {
            journal: Arc::new(TappedJournal {
                inner: Arc::new(wire.clone()),
                tap: tap.clone(),
            }),
            book: Arc::new(MemoryBook::default()),
            books: books.clone(),
            post: tap.post(mail.clone()),
            clock: clock.clone(),
        };
        let ledger = LedgerTable::default();
        let shop = Shop::open_behind(&tap, &world, vec![Arc::new(ledger.clone())], vec![]).await;
        Self {
            door: Door {
                region: Arc::new(Mutex::new(shop.region.clone())),
                auditor: auditor.clone(),
                clock: clock.clone(),
            },
            customer: CustomerId(clock.new_id()),
            tap,
            auditor,
            world,
            wire,
            books,
            mail,
            ledger,
            shop,
        }
    }

    /// The node dies, saving nothing, and another one starts.
    async fn die(&mut self) {
        self.wire.cut(true);
        self.shop.relay.abandon();
        self.shop.heart.crash();
        self.wire.cut(false);
        let views = vec![Arc::new(self.ledger.clone()) as Arc<_>];
        self.shop = Shop::open_behind(&self.tap, &self.world, views, vec![]).await;
        *self.door.region.lock().unwrap_or_else(PoisonError::into_inner) = self.shop.region.clone();
    }

    /// Does something while nodes die.
    async fn live<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        let tap = self.tap.clone();
        loop {
            tokio::select! {
                biased;
                () = tap.dying() => self.die().await,
                done = &mut what => return done,
            }
        }
    }

    /// Waits until nothing happens any more, and whether that came.
    pub async fn quiet(&mut self) -> bool {
        let Door { auditor, clock, .. } = self.door.clone();
        let tap = self.tap.clone();
        self.live(async {
            for _ in 0..PATIENCE {
                let before = (tap.seen().len(), auditor.events());
                clock.sleep(QUIET).await;
                auditor.observe();
                if before == (tap.seen().len(), auditor.events()) {
                    return true;
                }
            }
            false
        })
        .await
    }

    /// Lets every deadline pass.
    pub async fn outwait(&mut self) -> bool {
        let clock = self.door.clock.clone();
        self.live(async { clock.sleep(AFTER_ALL_DEADLINES).await }).await;
        self.quiet().await
    }

    const fn cart(&self) -> CartId {
        CartId::of(self.customer)
    }

    pub fn order(&self) -> OrderId {
        OrderId::derive(self.cart(), 1)
    }

    /// Plays a saga and lets harm come to it. Says whether it could begin.
    pub async fn play(saga: &Saga, harm: &Harm) -> (Self, bool) {
        let mut stage = Self::open().await;
        for (sku, units) in SKUS.into_iter().zip(saga.shelf) {
            if units > 0 {
                stage.shop.stock_up(sku, units).await;
            }
            let line = cart::Command::SetLine {
                sku: sku.parse().unwrap(),
                quantity: 1,
                quoted: Money::eur(PRICE),
            };
            let cart = stage.cart().entity();
            stage.door.ask::<Cart>(&cart, line, Times::Once).await.unwrap();
        }
        let check_out = cart::Command::CheckOut {
            version: 2,
            draft: Box::new(Shop::draft(stage.customer, &SKUS, saga.token)),
        };
        let (cart, order) = (stage.cart().entity(), stage.order().entity());
        let door = stage.door.clone();
        let begun = match saga.begin {
            Begin::CheckOut => {
                stage.tap.open(harm.clone());
                let begun = door.ask::<Cart>(&cart, check_out, harm.times);
                stage.live(begun).await.is_some()
            }
            Begin::Ask { from, command } => {
                door.ask::<Cart>(&cart, check_out, Times::Once).await.unwrap();
                stage.until(from).await;
                stage.tap.open(harm.clone());
                let begun = door.ask::<Order>(&order, command(), harm.times);
                stage.live(begun).await.is_some()
            }
        };
        (stage, begun)
    }

    /// Waits until the order has come so far, and until it rests there, if it does.
    async fn until(&mut self, from: fn(&Placed) -> bool) {
        let mut looks = 0;
        while !self.placed().is_some_and(|placed| from(&placed)) {
            self.door.clock.sleep(BEAT).await;
            self.auditor.observe();
            looks += 1;
            assert!(looks < LOOKS, "it never comes so far: {:?}", self.outcome());
        }
        if self
            .placed()
            .is_some_and(|placed| placed.phase != Phase::Capturing)
        {
            assert!(self.quiet().await);
        }
    }

    /// The order as its events say.
    pub fn placed(&self) -> Option<Placed> {
        let order = self.auditor.truth::<Order>(&self.order().entity()).unwrap();
        order.placed().cloned()
    }

    /// What is to be seen.
    pub fn outcome(&self) -> Outcome {
        let placed = self.placed();
        let placed = placed.as_ref();
        Outcome {
            order: placed.map(|placed| (placed.phase, placed.payment.status)),
            reason: placed.and_then(|placed| placed.cancel_reason().map(str::to_owned)),
            taken: placed.map_or(0, |placed| placed.payment.captured.amount),
            refunds: placed.map_or(vec![], |placed| {
                let refunds = placed.payment.refunds.iter();
                refunds
                    .map(|refund| (refund.amount.amount, refund.stage))
                    .collect()
            }),
            shelf: SKUS
                .iter()
                .map(|sku| {
                    let stock = sku.parse::<Sku>().unwrap().stock();
                    self.auditor.truth::<Stock>(&stock).unwrap().levels()
                })
                .collect(),
        }
    }

    /// The dead letters that wait, each with the delivery it is about.
    pub async fn letters(&self) -> Vec<(DeadLetter, Step)> {
        let letters = self.shop.relay.dead_letters();
        let mut found = Vec::new();
        for letter in letters.list(&LetterFilter::default(), None, 100).await.unwrap() {
            if letter.state != LetterState::Done {
                let (letter, event) = letters.show(letter.id).await.unwrap();
                let step = Step::delivery(&letter.consumer, &event.unwrap());
                found.push((letter, step));
            }
        }
        found
    }

    /// What the operator does once everything works again: redrives what is dead, and gives back
    /// what a cancelled order still owes after a refund that the provider refused.
    pub async fn remedy(&mut self) {
        self.tap.heal();
        let letters = self.shop.relay.dead_letters();
        for (letter, _) in self.letters().await {
            letters.redrive(letter.id, false).await.unwrap();
        }
        assert!(self.quiet().await, "the shop does not come to rest");
        let owed = self
            .placed()
            .filter(|placed| placed.phase == Phase::Cancelled && placed.payment.refundable() > 0);
        if let Some(placed) = owed {
            let refund = order::Command::Refund {
                refund: RefundId(self.door.clock.new_id()),
                amount: Money::eur(placed.payment.refundable()),
                reason: "the first one was refused".to_owned(),
            };
            let order = self.order().entity();
            self.door.ask::<Order>(&order, refund, Times::Once).await.unwrap();
        }
        assert!(self.outwait().await, "the shop does not come to rest");
    }

    /// Delivers every event once more, the newest first.
    pub async fn deliver_again(&mut self) {
        for (consumer, event) in self.tap.deliveries().into_iter().rev() {
            consumer.handle(&event).await.unwrap();
        }
        assert!(self.quiet().await, "the shop does not come to rest");
    }

    /// Captures less refunds are the same in the order, in the ledger and at the provider, whose
    /// money was taken at most once.
    pub fn money(&self) -> Result<(), String> {
        let order = self.order();
        let intents = self.books.all();
        let captures = intents.iter().filter(|intent| intent.captured > 0).count();
        let taken: i64 = intents.iter().map(|intent| intent.captured).sum();
        let refunds = intents.iter().flat_map(|intent| &intent.refunds);
        let given: i64 = refunds.map(|(_, amount)| amount).sum();
        let said = self.auditor.taken(order);
        let receivable = self.ledger.receivable(order);
        if captures > 1 {
            return Err(format!("I2: the money was taken {captures} times"));
        }
        let reserved = intents
            .iter()
            .any(|intent| intent.stage == Some(provider::Stage::Authorised));
        if reserved
            && self
                .placed()
                .is_some_and(|placed| placed.phase == Phase::Cancelled)
        {
            return Err("I2: the provider still reserves the money of a cancelled order".to_owned());
        }
        if said != (taken, given) || receivable != taken - given {
            return Err(format!(
                "I2: the provider has {taken} and {given}, the order {said:?}, the ledger {receivable}"
            ));
        }
        Ok(())
    }

    /// Everything that must be true at an end: I1 to I9 by the auditor, who has seen every commit and
    /// every answer; every deadline has passed.
    pub async fn end(&self) -> Result<(), String> {
        self.auditor.settled(true);
        for (entity, _) in self.auditor.entities() {
            match entity.kind() {
                Kind::Cart => self.door.read::<Cart>(&entity).await,
                Kind::Order => self.door.read::<Order>(&entity).await,
                Kind::Stock => self.door.read::<Stock>(&entity).await,
                Kind::Product => self.door.read::<Product>(&entity).await,
                Kind::Unknown => return Err(format!("{entity} names nobody")),
            }
        }
        if let Some(violation) = self.auditor.verdict() {
            return Err(violation.to_string());
        }
        self.money()?;
        let (due, sent) = (
            self.auditor.mails_due(self.order()),
            self.mail.about(self.order()),
        );
        if due != sent {
            return Err(format!("I7: {sent} mails for {due} pieces of news"));
        }
        match self.letters().await.as_slice() {
            [] => Ok(()),
            letters => Err(format!("I7: dead letters are left: {letters:?}")),
        }
    }
}
