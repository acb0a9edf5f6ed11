//! The second, simpler model: what must be true, counted in another way.

use std::collections::{BTreeMap, BTreeSet};

use globalshop_domain::Millis;
use globalshop_domain::cart::{self, Cart};
use globalshop_domain::id::{CartId, OrderId, Sku};
use globalshop_domain::order::{self, Draft, Event, Order, Phase};
use globalshop_domain::payment::{RefundId, RefundStage};
use globalshop_domain::stock::{self, Change, HoldKey, Levels, MEMORY_MS};

use super::shop::{Intent, Stage};

/// Where the units of one line are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Held,
    Committed,
    Sold,
    Shipped,
    Released,
}

#[derive(Default)]
struct Basket {
    lines: BTreeMap<Sku, (u32, i64)>,
    absorbed: BTreeSet<(CartId, u64)>,
    checkouts: u64,
    version: u64,
}

#[derive(Default)]
struct Story {
    draft: Option<std::sync::Arc<Draft>>,
    phase: Option<Phase>,
    authorised: bool,
    held: bool,
    asked: bool,
    captured: bool,
    refunds: BTreeMap<RefundId, i64>,
}

#[derive(Default)]
pub struct Model {
    received: BTreeMap<&'static str, i64>,
    holds: BTreeMap<(&'static str, HoldKey), (u32, Place)>,
    ended: BTreeMap<(&'static str, HoldKey), Millis>,
    carts: BTreeMap<u64, Basket>,
    orders: BTreeMap<OrderId, Story>,
}

impl Model {
    /// A stock's event.
    pub fn stock(&mut self, sku: &'static str, event: &stock::Event, cancelled: impl Fn(OrderId) -> bool) {
        let mut go = |key: HoldKey, from: &[Place], to: Place| {
            let (_, place) = self.holds.get_mut(&(sku, key)).expect("a hold");
            assert!(from.contains(place), "a hold goes from {place:?} to {to:?}");
            *place = to;
        };
        match &event.change {
            Change::Adjusted { delta, .. } => *self.received.entry(sku).or_default() += delta,
            Change::Held { key, quantity, .. } => {
                let before = self.holds.insert((sku, *key), (*quantity, Place::Held));
                assert_eq!(before, None, "a line is held again");
            }
            Change::Committed { key } => go(*key, &[Place::Held], Place::Committed),
            Change::Sold { key } => go(*key, &[Place::Committed], Place::Sold),
            Change::Shipped { key, .. } => go(*key, &[Place::Sold], Place::Shipped),
            Change::Released { key, quantity: 0 } => {
                // A release that comes again after the stock's memory bars the hold once more.
                let forgotten = |ended: &Millis| event.at.since(*ended) > MEMORY_MS;
                let known = self.ended.insert((sku, *key), event.at);
                let before = self.holds.entry((sku, *key)).or_insert((0, Place::Released));
                assert!(
                    before.1 == Place::Released && known.as_ref().is_none_or(forgotten),
                    "nothing is released of a hold that is {before:?}"
                );
                assert!(cancelled(key.order), "a hold of a living order is barred");
            }
            Change::Released { key, .. } => {
                assert!(cancelled(key.order), "a hold of a living order is released");
                go(
                    *key,
                    &[Place::Held, Place::Committed, Place::Sold],
                    Place::Released,
                );
                self.ended.insert((sku, *key), event.at);
            }
            Change::Lapsed { .. } => {}
        }
    }

    /// What a stock says it has: received = available + held + sold + shipped.
    pub fn levels(&self, sku: &'static str, levels: Levels) {
        let sum = |places: &[Place]| -> i64 {
            let of = self.holds.iter().filter(|((of, _), _)| *of == sku);
            of.filter(|(_, (_, place))| places.contains(place))
                .map(|(_, (units, _))| i64::from(*units))
                .sum()
        };
        let held = sum(&[Place::Held, Place::Committed]);
        let (sold, shipped) = (sum(&[Place::Sold]), sum(&[Place::Shipped]));
        let on_hand = self.received.get(sku).copied().unwrap_or(0) - shipped;
        let said = [levels.on_hand, levels.held, levels.sold].map(|units| i64::try_from(units).unwrap());
        assert_eq!(said, [on_hand, held, sold], "on hand, held and sold of {sku}");
        assert!(
            held + sold <= on_hand,
            "{sku} is oversold: {held} held and {sold} sold of {on_hand}"
        );
    }

    /// What became of a cart's command.
    pub fn cart(
        &mut self,
        shopper: u64,
        command: &cart::Command,
        asked: &Result<Vec<cart::Event>, cart::Refusal>,
        state: &Cart,
    ) {
        let basket = self.carts.entry(shopper).or_default();
        let lines = basket.lines.clone();
        let mut refused = false;
        match command {
            cart::Command::SetLine { sku, quantity: 0, .. } => drop(basket.lines.remove(sku)),
            cart::Command::SetLine {
                sku,
                quantity,
                quoted,
            } => drop(basket.lines.insert(sku.clone(), (*quantity, quoted.amount))),
            cart::Command::Clear => basket.lines.clear(),
            cart::Command::Absorb { from, version, lines } => {
                if basket.absorbed.insert((*from, *version)) {
                    for line in lines {
                        let new = (0, line.quoted.amount);
                        basket.lines.entry(line.sku.clone()).or_insert(new).0 += line.quantity;
                    }
                }
            }
            cart::Command::GiveUp { version } => {
                if *version == basket.version {
                    basket.lines.clear();
                }
            }
            cart::Command::CheckOut { version, draft } => {
                refused = basket.lines.is_empty() || *version != basket.version;
                if !refused {
                    let sealed: BTreeMap<Sku, (u32, i64)> = draft
                        .lines
                        .iter()
                        .map(|line| (line.sku.clone(), (line.quantity, line.unit_price.amount)))
                        .collect();
                    assert_eq!(sealed, basket.lines, "a checkout seals something else");
                    basket.lines.clear();
                    basket.checkouts += 1;
                }
            }
        }
        assert_eq!(asked.is_err(), refused, "{command:?} of {lines:?}: {asked:?}");
        let events = asked.as_ref().map_or(0, Vec::len);
        assert!(events <= 1, "a cart says more than one thing");
        basket.version += u64::try_from(events).unwrap();
        let shown: BTreeMap<Sku, (u32, i64)> = state
            .lines
            .iter()
            .map(|line| (line.sku.clone(), (line.quantity, line.quoted.amount)))
            .collect();
        assert_eq!(shown, basket.lines, "what is in the cart after {command:?}");
        assert_eq!(shown.len(), state.lines.len(), "a SKU has two lines");
        assert_eq!(
            (state.checkouts, state.version),
            (basket.checkouts, basket.version),
            "checkouts and version"
        );
    }

    /// An order's event.
    pub fn order(&mut self, id: OrderId, event: &Event) {
        let story = self.orders.entry(id).or_default();
        assert_eq!(
            story.draft.is_none(),
            matches!(event, Event::Placed { .. }),
            "placed first, and once"
        );
        match event {
            Event::Placed { draft, .. } => story.draft = Some(std::sync::Arc::clone(draft)),
            Event::Held { .. } => assert!(!std::mem::replace(&mut story.held, true), "held twice"),
            Event::Authorised { .. } => {
                assert!(
                    !std::mem::replace(&mut story.authorised, true),
                    "authorised twice"
                );
            }
            Event::CaptureAsked { .. } => {
                assert!(story.held && story.authorised, "money is asked for too early");
                assert!(
                    !std::mem::replace(&mut story.asked, true),
                    "money is asked for twice"
                );
                let draft = story.draft.as_ref().expect("placed");
                for (line, number) in draft.lines.iter().zip(0_u16..) {
                    let key = HoldKey {
                        order: id,
                        line: number,
                    };
                    let of = self
                        .holds
                        .iter()
                        .find(|((sku, of), _)| *of == key && *sku == line.sku.as_str());
                    let place = of.map(|(_, (_, place))| *place);
                    assert_eq!(
                        place,
                        Some(Place::Committed),
                        "money is asked for before line {number} is committed"
                    );
                }
            }
            Event::Captured { amount, .. } => {
                assert!(story.asked, "captured unasked");
                assert!(!std::mem::replace(&mut story.captured, true), "captured twice");
                let total = story.draft.as_ref().map(|draft| draft.totals.total);
                assert_eq!(Some(*amount), total, "captured another amount");
            }
            Event::Confirmed { .. } => assert!(story.captured, "confirmed unpaid"),
            Event::RefundAsked { refund, amount, .. } => {
                assert!(amount.amount > 0, "a refund of nothing");
                let before = story.refunds.insert(*refund, amount.amount);
                assert_eq!(before, None, "a refund is asked for twice");
            }
            Event::Refunded { refund, amount, .. } => {
                assert_eq!(story.refunds.get(refund), Some(&amount.amount), "another refund");
            }
            _ => {}
        }
    }

    /// What an order is after a command.
    pub fn ordered(&mut self, id: OrderId, state: &Order, intent: Option<&Intent>) {
        let Some(placed) = state.placed() else { return };
        let story = self.orders.entry(id).or_default();
        let before = story.phase.replace(placed.phase).unwrap_or(Phase::Pending);
        assert!(
            leads_to(before, placed.phase),
            "an order goes from {before:?} to {:?}",
            placed.phase
        );
        let payment = &placed.payment;
        let reserved: i64 = payment
            .refunds
            .iter()
            .filter(|refund| refund.stage != RefundStage::Failed)
            .map(|refund| refund.amount.amount)
            .sum();
        assert!(
            payment.captured.amount >= reserved,
            "{reserved} is given back of {}",
            payment.captured
        );
        let (taken, given) = intent.map_or((0, 0), |intent| (intent.captured, intent.refunds.values().sum()));
        assert!(
            payment.captured.amount <= taken && payment.refunded() <= given,
            "the order has money that the provider does not have"
        );
    }

    /// What the provider was made to do.
    pub fn intent(&self, intent: &Intent) {
        assert!(
            intent.captures <= 1,
            "the money was taken {} times",
            intent.captures
        );
        let given: i64 = intent.refunds.values().sum();
        assert!(
            given <= intent.captured,
            "{given} was given back of {}",
            intent.captured
        );
    }

    /// An order once nothing waits and every deadline has passed.
    pub fn ended(&self, id: OrderId, state: &Order, intent: &Intent) {
        let placed = state.placed().expect("placed");
        let payment = &placed.payment;
        let given: i64 = intent.refunds.values().sum();
        assert_eq!(
            (payment.captured.amount, payment.refunded()),
            (intent.captured, given),
            "the order and the provider"
        );
        let place = match placed.phase {
            Phase::Cancelled => {
                assert_eq!(intent.captured, given, "a cancelled order is paid for");
                assert!(
                    !matches!(intent.stage, Some(Stage::Authorised | Stage::Waits)),
                    "a cancelled order's reservation is left"
                );
                Place::Released
            }
            Phase::Confirmed | Phase::Packed => Place::Sold,
            Phase::Shipped | Phase::Delivered => Place::Shipped,
            phase => panic!("an order ends as {phase:?}"),
        };
        for number in 0..u16::try_from(placed.draft.lines.len()).unwrap() {
            let key = HoldKey {
                order: id,
                line: number,
            };
            let of = self.holds.iter().find(|((_, of), _)| *of == key);
            let found = of.map(|(_, (_, place))| *place);
            assert_eq!(
                found,
                Some(place),
                "line {number} of an order that is {:?}",
                placed.phase
            );
        }
    }
}

/// What an order can become by one command.
fn leads_to(from: order::Phase, to: order::Phase) -> bool {
    use Phase::{Cancelled, Capturing, Committing, Confirmed, Delivered, Packed, Pending, Shipped};
    from == to
        || matches!(
            (from, to),
            (Pending, Committing)
                | (Committing, Capturing)
                | (Capturing, Confirmed)
                | (Confirmed, Packed)
                | (Packed, Shipped)
                | (Shipped, Delivered)
                | (Pending | Committing | Capturing | Confirmed, Cancelled)
        )
}
