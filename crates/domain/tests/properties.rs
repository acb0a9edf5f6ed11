//! Any history replays to the same state; any command twice is once; the books always add up.
//!
//! Commands are drawn at random, also ones that make no sense where they come; what the entity
//! decides is applied, encoded, decoded and replayed, and the laws of the shop are checked after
//! every step.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;

use globalshop_domain::address::Address;
use globalshop_domain::cart::{self, Cart};
use globalshop_domain::entity::{Entity, replay};
use globalshop_domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop_domain::ledger::{Account, transfers};
use globalshop_domain::order::{self, Authorisation, Canceller, Capture, Draft, Order, Phase};
use globalshop_domain::payment::{Method, RefundId, Status};
use globalshop_domain::quote::{ShippingMethod, Tariff};
use globalshop_domain::stock::{self, HoldKey, Stock};
use globalshop_domain::{Millis, Money};
use proptest::prelude::*;
use uuid::Uuid;

/// Lets `commands` happen one after another, a second apart, checking `law` after each.
fn live<E: Entity>(commands: &[(E::Command, i64)], law: impl Fn(&E, &[E::Event])) -> Vec<E::Event> {
    let mut state = E::default();
    let mut history = Vec::new();
    let mut now = 1_700_000_000_000;
    for (command, pause) in commands {
        now += pause * 1_000;
        let before = state.clone();
        let Ok(events) = state.decide(command, Millis(now)) else {
            assert_eq!(state, before, "a refusal changes nothing");
            continue;
        };
        for event in &events {
            state.apply(event);
        }
        history.extend(events);
        law(&state, &history);
    }
    let stored = serde_json::to_vec(&history).unwrap();
    let read: Vec<E::Event> = serde_json::from_slice(&stored).unwrap();
    assert_eq!(replay::<E>(&read), state, "the history replays to the state");
    let resting: E = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
    assert_eq!(resting, state, "a snapshot is the state");
    history
}

/// What `command` leads to when it is given twice at the same moment: the second adds nothing.
fn twice_is_once<E: Entity>(history: &[E::Event], command: &E::Command, now: Millis) {
    let mut state: E = replay(history);
    let Ok(events) = state.decide(command, now) else {
        return;
    };
    for event in &events {
        state.apply(event);
    }
    if let Ok(again) = state.decide(command, now) {
        assert!(again.is_empty(), "{command:?} twice is once, not {again:?}");
    }
}

fn order_id(n: u8) -> OrderId {
    OrderId(Uuid::from_u128(u128::from(n) + 1))
}

fn stock_command() -> impl Strategy<Value = stock::Command> {
    let key = (0_u8..6, 0_u16..2).prop_map(|(n, line)| HoldKey {
        order: order_id(n),
        line,
    });
    prop_oneof![
        (key.clone(), 0_u32..6, 0_i64..4_000).prop_map(|(key, quantity, after)| stock::Command::Hold {
            key,
            quantity,
            lapses_at: Millis(1_700_000_000_000 + after * 1_000),
        }),
        key.clone().prop_map(stock::Command::Commit),
        key.clone().prop_map(stock::Command::Sell),
        key.clone().prop_map(stock::Command::Release),
        key.prop_map(stock::Command::Ship),
        (-8_i64..20).prop_map(|delta| stock::Command::Adjust {
            delta,
            reason: "count".to_owned()
        }),
        Just(stock::Command::Wake),
    ]
}

fn stock_law(state: &Stock, history: &[stock::Event]) {
    let levels = state.levels();
    assert!(
        levels.held + levels.sold <= levels.on_hand,
        "oversold: {levels:?}"
    );
    let (mut held, mut sold) = (0, 0);
    for (_, hold) in state.holds() {
        match hold.stage {
            stock::Stage::Sold => sold += u64::from(hold.quantity),
            _ => held += u64::from(hold.quantity),
        }
    }
    assert_eq!(
        (levels.held, levels.sold),
        (held, sold),
        "the sums are the sums of the holds"
    );
    let last = history.last();
    assert!(
        last.is_none_or(|event| event.levels == levels),
        "an event says the levels that follow"
    );
}

fn draft() -> Arc<Draft> {
    let customer = CustomerId(Uuid::from_u128(7));
    let total = Tariff::default().totals(4_000, ShippingMethod::Standard);
    Arc::new(Draft {
        customer,
        cart: CartId::of(customer),
        checkout: 1,
        placed_at: Millis(1_700_000_000_000),
        email: "a@example.com".to_owned(),
        shipping_address: Address::default(),
        shipping_method: ShippingMethod::Standard,
        lines: vec![order::Line {
            sku: "TV-1".parse().unwrap(),
            name: "A television".to_owned(),
            quantity: 2,
            unit_price: Money::eur(2_000),
            line_total: Money::eur(4_000),
        }],
        totals: total,
        payment: Method {
            provider: "sandbox".to_owned(),
            token: "tok_approve".to_owned(),
        },
    })
}

fn order_command() -> impl Strategy<Value = order::Command> {
    let refund = (0_u128..3).prop_map(|n| RefundId(Uuid::from_u128(n)));
    prop_oneof![
        Just(order::Command::Place(draft())),
        any::<bool>().prop_map(|held| order::Command::RecordHolds { held }),
        prop_oneof![
            3 => Just(Authorisation::Authorised),
            1 => Just(Authorisation::Declined { code: "declined".to_owned() }),
            1 => Just(Authorisation::ActionRequired),
        ]
        .prop_map(order::Command::RecordAuthorisation),
        any::<bool>().prop_map(|succeed| order::Command::ConfirmPayment { succeed }),
        prop::bool::weighted(0.8).prop_map(|committed| order::Command::RecordCommit { committed }),
        prop_oneof![
            4 => Just(Capture::Captured),
            1 => Just(Capture::Failed { code: "late".to_owned() }),
        ]
        .prop_map(order::Command::RecordCapture),
        Just(order::Command::RecordVoid),
        Just(order::Command::Cancel(Canceller::Shopper)),
        Just(order::Command::Cancel(Canceller::Seller {
            reason: "no".to_owned()
        })),
        Just(order::Command::Pack),
        Just(order::Command::Ship {
            carrier: "DHL".to_owned(),
            tracking_number: "1".to_owned()
        }),
        Just(order::Command::Deliver),
        (refund.clone(), -5_i64..5_000).prop_map(|(refund, amount)| order::Command::Refund {
            refund,
            amount: Money::eur(amount),
            reason: "sorry".to_owned(),
        }),
        (refund, any::<bool>()).prop_map(|(refund, done)| order::Command::RecordRefund { refund, done }),
        Just(order::Command::Wake),
    ]
}

fn order_law(state: &Order, history: &[order::Event]) {
    let placed = state.placed().unwrap();
    let captures = history
        .iter()
        .filter(|event| matches!(event, order::Event::Captured { .. }))
        .count();
    assert!(captures <= 1, "captured twice");
    assert!(placed.payment.refundable() >= 0, "refunds exceed the capture");
    let paid = matches!(
        placed.phase,
        Phase::Confirmed | Phase::Packed | Phase::Shipped | Phase::Delivered
    );
    assert!(!paid || captures == 1, "confirmed and not paid");
    if placed.phase == Phase::Cancelled && captures == 1 {
        assert_eq!(placed.payment.refundable(), 0, "cancelled and money kept");
    }
    // The ledger's receivable is what was taken less what was given back.
    let receivable: i64 = history
        .iter()
        .flat_map(transfers)
        .map(|transfer| match (transfer.debit, transfer.credit) {
            (Account::ProviderReceivable, _) => transfer.amount.amount,
            (_, Account::ProviderReceivable) => -transfer.amount.amount,
            _ => 0,
        })
        .sum();
    assert_eq!(
        receivable,
        placed.payment.captured.amount - placed.payment.refunded()
    );
    if placed.payment.status == Status::Refunded {
        let tax: i64 = placed
            .payment
            .refunds
            .iter()
            .filter(|r| r.stage == globalshop_domain::payment::RefundStage::Done)
            .map(|r| r.tax.amount)
            .sum();
        assert_eq!(
            tax, placed.payment.captured_tax.amount,
            "all tax went back with all money"
        );
    }
}

fn cart_command() -> impl Strategy<Value = cart::Command> {
    let sku = (0_u8..4).prop_map(|n| format!("S{n}").parse::<Sku>().unwrap());
    let line = (sku, 0_u32..120, 1_i64..500);
    prop_oneof![
        4 => line.clone().prop_map(|(sku, quantity, price)| cart::Command::SetLine {
            sku,
            quantity,
            quoted: Money::eur(price),
        }),
        1 => Just(cart::Command::Clear),
        1 => (0_u128..2, 0_u64..3, line).prop_map(|(from, version, (sku, quantity, price))| {
            cart::Command::Absorb {
                from: CartId(Uuid::from_u128(from)),
                version,
                lines: vec![cart::Line { sku, quantity: quantity.clamp(1, 99), quoted: Money::eur(price) }],
            }
        }),
        1 => (0_u64..12).prop_map(|version| cart::Command::GiveUp { version }),
        2 => (0_u64..12).prop_map(|version| cart::Command::CheckOut {
            version,
            draft: Box::new(draft().as_ref().clone()),
        }),
    ]
}

fn cart_law(state: &Cart, history: &[cart::Event]) {
    assert_eq!(state.version, history.len() as u64);
    assert!(
        state
            .lines
            .iter()
            .all(|line| (1..=cart::QUANTITY_LIMIT).contains(&line.quantity))
    );
    let orders: std::collections::BTreeSet<OrderId> = history
        .iter()
        .filter_map(|event| match event {
            cart::Event::CheckedOut { draft } => Some(draft.order()),
            _ => None,
        })
        .collect();
    assert_eq!(
        orders.len() as u64,
        state.checkouts,
        "each checkout makes its own order"
    );
}

proptest! {
    #[test]
    fn stock_never_oversells(commands in prop::collection::vec((stock_command(), 0_i64..400), 0..80)) {
        live::<Stock>(&commands, stock_law);
    }

    #[test]
    fn stock_does_every_step_once(
        commands in prop::collection::vec((stock_command(), 0_i64..400), 0..40),
        command in stock_command(),
    ) {
        let history = live::<Stock>(&commands, stock_law);
        // An adjustment is a delta: what makes it once is its operation, not its content.
        if !matches!(command, stock::Command::Adjust { .. }) {
            twice_is_once::<Stock>(&history, &command, Millis(1_800_000_000_000));
        }
    }

    #[test]
    fn orders_keep_the_money_right(commands in prop::collection::vec((order_command(), 0_i64..120), 0..60)) {
        let mut all = vec![(order::Command::Place(draft()), 0)];
        all.extend(commands);
        live::<Order>(&all, order_law);
    }

    #[test]
    fn orders_do_every_step_once(
        commands in prop::collection::vec((order_command(), 0_i64..120), 0..30),
        command in order_command(),
    ) {
        let mut all = vec![(order::Command::Place(draft()), 0)];
        all.extend(commands);
        let history = live::<Order>(&all, order_law);
        twice_is_once::<Order>(&history, &command, Millis(1_800_000_000_000));
    }

    #[test]
    fn carts_count_and_seal(commands in prop::collection::vec((cart_command(), 0_i64..5), 0..40)) {
        live::<Cart>(&commands, cart_law);
    }
}

/// The happy path, the way the workers drive it.
#[test]
fn an_order_is_confirmed_only_when_held_authorised_committed_and_captured() {
    let mut state = Order::default();
    let mut say = |command: order::Command| -> Vec<&'static str> {
        let events = state.decide(&command, Millis(1)).unwrap();
        for event in &events {
            state.apply(event);
        }
        events
            .iter()
            .map(|event| match event {
                order::Event::Placed { .. } => "placed",
                order::Event::Held { .. } => "held",
                order::Event::Authorised { .. } => "authorised",
                order::Event::CommitAsked { .. } => "commit_asked",
                order::Event::CaptureAsked { .. } => "capture_asked",
                order::Event::Captured { .. } => "captured",
                order::Event::Confirmed { .. } => "confirmed",
                order::Event::CancelWanted { .. } => "cancel_wanted",
                order::Event::Cancelled { .. } => "cancelled",
                order::Event::RefundAsked { .. } => "refund_asked",
                _ => "other",
            })
            .collect()
    };
    assert_eq!(say(order::Command::Place(draft())), ["placed"]);
    assert_eq!(
        say(order::Command::RecordAuthorisation(Authorisation::Authorised)),
        ["authorised"]
    );
    assert_eq!(
        say(order::Command::RecordHolds { held: true }),
        ["held", "commit_asked"]
    );
    assert_eq!(
        say(order::Command::RecordCommit { committed: true }),
        ["capture_asked"]
    );
    // The cancellation waits for the capture, and what was captured is given back.
    assert_eq!(say(order::Command::Cancel(Canceller::Shopper)), ["cancel_wanted"]);
    assert_eq!(
        say(order::Command::RecordCapture(Capture::Captured)),
        ["captured", "cancelled", "refund_asked"]
    );
}
