//! The checkout saga on a real PostgreSQL: every token, and a node that is killed half way.

use std::sync::Arc;

use globalshop::clock::Clock;
use globalshop::domain::order::{Canceller, Command, Phase};
use globalshop::domain::payment::Status;
use globalshop::journal::{PostgresJournal, PostgresSettings};
use globalshop::provider::PostgresBooks;
use globalshop::relay::postgres::PostgresBook;
use globalshop::workers::mail::{Mailbox, Post as _};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::database;
use crate::shop::{Shop, World};

pub async fn world(options: &PgConnectOptions) -> (World, Arc<Mailbox>) {
    let clock = Clock::system();
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options.clone())
        .await
        .unwrap();
    let journal = PostgresJournal::open(options.clone(), PostgresSettings::new("node-1"), clock.clone())
        .await
        .unwrap();
    let mailbox = Arc::new(Mailbox::new(pool.clone()));
    let world = World {
        journal: Arc::new(journal),
        book: Arc::new(PostgresBook::new(pool.clone())),
        books: Arc::new(PostgresBooks::new(pool)),
        post: mailbox.clone(),
        clock,
    };
    (world, mailbox)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_ends_as_the_table_says_and_the_mailbox_has_the_mails() {
    let options = database::fresh_options().await;
    let (world, mailbox) = world(&options).await;
    let shop = Shop::open(&world).await;
    shop.every_token_ends_as_the_table_says().await;

    let mails = mailbox.list(Some("ADA@example.org"), None, 100).await.unwrap();
    let about = |what: &str| {
        mails
            .iter()
            .filter(|mail| mail.mail.subject.contains(what))
            .count()
    };
    assert_eq!(
        (about("received"), about("confirmed"), about("cancelled")),
        (8, 6, 2)
    );
    let newest = &mails[0];
    assert_eq!(mailbox.get(newest.number).await.unwrap().as_ref(), Some(newest));
    mailbox.send(&newest.mail).await.unwrap();
    let again = mailbox.list(None, None, 100).await.unwrap();
    assert_eq!(again.len(), mails.len(), "the same Message-ID is the same mail");
    let older = mailbox.list(None, Some(newest.number), 1).await.unwrap();
    assert_eq!(older[0].number, mails[1].number);

    let order = shop.check_out(&["TOKENS"], "tok_approve").await;
    shop.until(order, "confirmed", |placed| placed.phase == Phase::Confirmed)
        .await;
    shop.ask(order, Command::Cancel(Canceller::Shopper))
        .await
        .unwrap();
    shop.until(order, "refunded", |placed| {
        placed.payment.status == Status::Refunded
    })
    .await;
    shop.settled().await;
    let figures = shop.sandbox.figures().await.unwrap();
    assert_eq!((figures[0].captures, figures[0].captured), (7, 7 * 2_490));
    assert_eq!((figures[0].refunds, figures[0].refunded), (1, 2_490));
    assert_eq!(shop.levels("TOKENS").await.sold, 6);
    shop.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_finishes_its_orders_when_it_is_back() {
    let options = database::fresh_options().await;
    let (first, _) = world(&options).await;
    let mut shop = Shop::open(&first).await;
    shop.stock_up("A", 15).await;
    let mut orders = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            let token = if n % 2 == 0 {
                "tok_approve"
            } else {
                "tok_timeout_charged"
            };
            orders.push(shop.check_out(&["A"], token).await);
        }
        if round < 2 {
            shop.kill().await;
            let (next, _) = world(&options).await;
            shop = Shop::open(&next).await;
        }
    }
    let mut confirmed = 0;
    for order in orders {
        let placed = shop
            .until(order, "over", |placed| {
                matches!(placed.phase, Phase::Confirmed | Phase::Cancelled)
            })
            .await;
        let expected = if placed.phase == Phase::Confirmed {
            2_490
        } else {
            0
        };
        assert_eq!(shop.money(order).await, (expected, 0));
        confirmed += u64::from(placed.phase == Phase::Confirmed);
    }
    shop.settled().await;
    let levels = shop.levels("A").await;
    assert_eq!((confirmed, levels.held, levels.sold), (15, 0, 15));
    shop.no_dead_letters().await;
    shop.kill().await;
}
