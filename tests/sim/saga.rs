//! The checkout saga from the cart to its end, on a virtual clock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use globalshop::clock::Clock;
use globalshop::domain::order::{Canceller, Command, Phase, Refusal};
use globalshop::domain::payment::{RefundId, Status};
use globalshop::domain::{Millis, Money, ShardCount};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::provider::MemoryBooks;
use globalshop::relay::book::MemoryBook;
use uuid::Uuid;

use crate::letters::Letters;
use crate::shop::{Shop, World};

const TOTAL: i64 = 2_490; // one thing and standard shipping

/// A shop of its own, and what it mailed and wrote.
async fn shop(seed: u64) -> (Shop, Arc<Letters>, MemoryJournal) {
    let (world, letters, journal) = world(seed);
    (Shop::open(&world).await, letters, journal)
}

pub fn world(seed: u64) -> (World, Arc<Letters>, MemoryJournal) {
    let clock = Clock::simulated(seed, Millis(1_700_000_000_000));
    let journal = MemoryJournal::new(ShardCount::new(8).unwrap(), clock.clone());
    let letters = Arc::new(Letters::default());
    let world = World {
        journal: Arc::new(journal.clone()),
        book: Arc::new(MemoryBook::default()),
        books: Arc::new(MemoryBooks::default()),
        post: letters.clone(),
        clock,
    };
    (world, letters, journal)
}

fn is(phase: Phase) -> impl Fn(&globalshop::domain::order::Placed) -> bool {
    move |placed| placed.phase == phase
}

#[tokio::test(start_paused = true)]
async fn every_token_ends_as_the_table_says() {
    let (shop, _, _) = shop(1).await;
    shop.every_token_ends_as_the_table_says().await;
}

#[tokio::test(start_paused = true)]
async fn the_confirm_step_goes_well_or_badly_or_never_happens() {
    let (shop, _, _) = shop(2).await;
    shop.stock_up("A", 10).await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let order = shop.check_out(&["A"], "tok_3ds").await;
        shop.until(order, "waiting for the shopper", |placed| {
            placed.payment.status == Status::RequiresAction
        })
        .await;
        orders.push(order);
    }
    let [good, bad, never] = orders[..] else {
        unreachable!()
    };
    shop.ask(good, Command::ConfirmPayment { succeed: true })
        .await
        .unwrap();
    shop.ask(bad, Command::ConfirmPayment { succeed: false })
        .await
        .unwrap();
    let placed = shop.until(good, "confirmed", is(Phase::Confirmed)).await;
    assert_eq!(placed.payment.status, Status::Captured);
    let placed = shop.until(bad, "cancelled", is(Phase::Cancelled)).await;
    assert_eq!(placed.cancel_reason(), Some("payment_declined"));
    let before = shop.clock.now();
    let placed = shop
        .until(never, "voided", |placed| placed.payment.status == Status::Voided)
        .await;
    assert!(shop.clock.now().since(before) > 14 * 60_000);
    assert_eq!(placed.cancel_reason(), Some("payment_expired"));
    assert_eq!(
        shop.ask(never, Command::ConfirmPayment { succeed: true }).await,
        Err(Refusal::NothingToConfirm)
    );
    shop.settled().await;
    assert_eq!(shop.money(good).await, (TOTAL, 0));
    assert_eq!(shop.money(bad).await, (0, 0));
    assert_eq!(shop.money(never).await, (0, 0));
    let levels = shop.levels("A").await;
    assert_eq!((levels.held, levels.sold), (0, 1));
    shop.no_dead_letters().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_units_for_four_hundred_shoppers() {
    let (shop, _, _) = shop(3).await;
    shop.stock_up("HOT", 100).await;
    shop.stock_up("SIDE", 1_000).await;
    let orders = join_all((0..400).map(|_| shop.check_out(&["SIDE", "HOT"], "tok_approve"))).await;
    let mut confirmed = 0;
    for order in orders {
        let placed = shop
            .until(order, "over", |placed| {
                matches!(placed.phase, Phase::Confirmed | Phase::Cancelled)
            })
            .await;
        if placed.phase == Phase::Confirmed {
            confirmed += 1;
        } else {
            assert_eq!(placed.cancel_reason(), Some("out_of_stock"));
        }
    }
    assert_eq!(confirmed, 100);
    shop.settled().await;
    let (hot, side) = (shop.levels("HOT").await, shop.levels("SIDE").await);
    assert_eq!((hot.available(), hot.held, hot.sold), (0, 0, 100));
    assert_eq!(
        (side.available(), side.held, side.sold),
        (900, 0, 100),
        "the other line goes back"
    );
    let figures = shop.sandbox.figures().await.unwrap();
    assert_eq!((figures[0].captures, figures[0].refunds), (100, 0));
    shop.no_dead_letters().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_can_be_cancelled_at_any_moment_before_it_is_packed() {
    let (shop, _, _) = shop(4).await;
    shop.stock_up("A", 1_000).await;
    // From the first moment to long after the confirmation, with the provider's delays in between.
    for (token, span) in [
        ("tok_approve", 40),
        ("tok_timeout_charged", 1_600),
        ("tok_slow_5s", 6_000),
    ] {
        for step in 0..20 {
            let order = shop.check_out(&["A"], token).await;
            shop.until(order, "placed", |_| true).await;
            shop.clock.sleep(Duration::from_millis(span * step / 20)).await;
            shop.ask(order, Command::Cancel(Canceller::Shopper))
                .await
                .unwrap();
            let placed = shop
                .until(order, "over and paid back", |placed| {
                    let paid_back = match placed.payment.captured.amount {
                        0 => placed.payment.status == Status::Voided,
                        _ => placed.payment.status == Status::Refunded,
                    };
                    placed.phase == Phase::Cancelled && paid_back
                })
                .await;
            assert_eq!(placed.cancel_reason(), Some("by_shopper"));
            let (taken, given) = shop.money(order).await;
            assert_eq!(taken, given, "{token} at {step}");
        }
    }
    shop.settled().await;
    let levels = shop.levels("A").await;
    assert_eq!((levels.available(), levels.held, levels.sold), (1_000, 0, 0));
    shop.no_dead_letters().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_is_packed_shipped_delivered_and_partly_refunded_with_a_mail_each() {
    let (shop, letters, _) = shop(5).await;
    shop.stock_up("A", 3).await;
    let order = shop.check_out(&["A"], "tok_duplicate_webhook").await;
    shop.until(order, "confirmed", is(Phase::Confirmed)).await;
    shop.ask(order, Command::Pack).await.unwrap();
    let ship = Command::Ship {
        carrier: "DHL".to_owned(),
        tracking_number: "00340".to_owned(),
    };
    shop.ask(order, ship).await.unwrap();
    shop.ask(order, Command::Deliver).await.unwrap();
    let refund = |n: u128, amount| Command::Refund {
        refund: RefundId(Uuid::from_u128(n)),
        amount: Money::eur(amount),
        reason: "a scratch".to_owned(),
    };
    shop.ask(order, refund(1, 1_000)).await.unwrap();
    shop.ask(order, refund(1, 1_000)).await.unwrap();
    assert!(shop.ask(order, refund(2, 2_000)).await.is_err());
    shop.until(order, "partly refunded", |placed| {
        placed.payment.status == Status::PartiallyRefunded
    })
    .await;
    shop.settled().await;
    assert_eq!(shop.money(order).await, (TOTAL, 1_000));
    let levels = shop.levels("A").await;
    assert_eq!((levels.on_hand, levels.held, levels.sold), (2, 0, 0));
    let number = order.number();
    assert_eq!(
        letters.about(order),
        [
            format!("We have received your order {number}"),
            format!("Your order {number} is confirmed"),
            format!("Your order {number} is on its way"),
            format!("Your order {number} has arrived"),
            format!("A refund for your order {number}"),
        ]
    );
    shop.no_dead_letters().await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_killed_nodes_change_no_outcome() {
    for seed in 10..16 {
        let (world, _, journal) = world(seed);
        let mut shop = Shop::open(&world).await;
        shop.stock_up("A", 20).await;
        let tokens = [
            "tok_approve",
            "tok_timeout_charged",
            "tok_decline",
            "tok_timeout_not_charged",
        ];
        let mut orders = Vec::new();
        for n in 0..40_usize {
            if n % 4 == 0 {
                journal.inject(Fault::AnswerLost);
            }
            if n % 7 == 0 {
                journal.inject(Fault::RequestLost);
            }
            orders.push(shop.check_out(&["A"], tokens[n % tokens.len()]).await);
            if n % 13 == 12 {
                let wait = world.clock.random_below(900);
                world.clock.sleep(Duration::from_millis(wait)).await;
                shop.kill().await;
                journal.heal();
                shop = Shop::open(&world).await;
            }
        }
        let (mut confirmed, mut taken) = (0, 0);
        for order in orders {
            let placed = shop
                .until(order, "over", |placed| {
                    matches!(placed.phase, Phase::Confirmed | Phase::Cancelled)
                })
                .await;
            let money = shop.money(order).await;
            if placed.phase == Phase::Confirmed {
                confirmed += 1;
                assert_eq!(money, (TOTAL, 0), "seed {seed}");
            } else {
                assert_eq!(money, (0, 0), "seed {seed}");
            }
            taken += money.0;
        }
        shop.settled().await;
        let levels = shop.levels("A").await;
        assert_eq!((levels.held, levels.sold), (0, confirmed), "seed {seed}");
        assert!(confirmed <= 20);
        let figures = shop.sandbox.figures().await.unwrap();
        assert_eq!(figures[0].captures, confirmed, "seed {seed}");
        assert_eq!(figures[0].captured, taken, "seed {seed}");
        shop.no_dead_letters().await;
        shop.kill().await;
    }
}
