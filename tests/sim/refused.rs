//! What the journal refuses for a row's sake is the trouble of that row's entity alone.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use globalshop::cluster::{Ask, AskError};
use globalshop::domain::cart::{Cart, Command};
use globalshop::domain::id::{CartId, CustomerId, OperationId};
use globalshop::domain::{EntityId, Money, Shard};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::journal::{Epoch, Journal as _, Position, Remember, RequestKey};
use uuid::Uuid;

use crate::saga::world;
use crate::shop::Shop;

fn line(quantity: u32) -> Command {
    Command::SetLine {
        sku: "A".parse().unwrap(),
        quantity,
        quoted: Money::eur(100),
    }
}

/// Carts of one shard.
fn neighbours(journal: &MemoryJournal, count: usize) -> (Shard, Vec<EntityId>) {
    let cart = |number| CartId::of(CustomerId(Uuid::from_u128(number))).entity();
    let shard = cart(0).shard(journal.shards());
    let carts = (0..)
        .map(cart)
        .filter(|cart| cart.shard(journal.shards()) == shard);
    (shard, carts.take(count).collect())
}

fn epoch(journal: &MemoryJournal, shard: Shard) -> Epoch {
    journal.committed_after(shard, Position(0)).0
}

/// The sequences of an entity in the journal, in order.
fn sequences(journal: &MemoryJournal, shard: Shard, entity: &EntityId) -> Vec<i64> {
    let committed = journal.committed(shard).into_iter();
    committed
        .filter(|event| event.entity == *entity)
        .map(|event| event.sequence.0)
        .collect()
}

/// Lets every task that is ready run once (tokio's own `yield_now` waits until none is).
async fn next_turn() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_row_disturbs_nobody_but_its_entity() {
    let (world, _, journal) = world(41);
    let shop = Shop::open(&world).await;
    let (shard, carts) = neighbours(&journal, 9);
    for cart in &carts {
        shop.region.ask::<Cart>(cart, Ask::new(line(1))).await.unwrap();
    }
    let before = epoch(&journal, shard);

    // The first is on its way for a while, so that the others are one statement, and the last of them is
    // what is refused.
    journal.inject(Fault::WriteSlow(Duration::from_millis(50)));
    journal.inject(Fault::RowRefused);
    let answers = join_all(
        carts
            .iter()
            .map(|cart| shop.region.ask::<Cart>(cart, Ask::new(line(2)))),
    )
    .await;
    assert_eq!(journal.heal(), 0, "the faults happened");
    let refused: Vec<&EntityId> = carts
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| matches!(answer, Err(AskError::Unavailable { .. })))
        .map(|(cart, _)| cart)
        .collect();
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((refused.len(), answered), (1, carts.len() - 1), "{answers:?}");
    assert_eq!(sequences(&journal, shard, refused[0]), [1]);

    // It is replayed, and written again; the shard was never given up.
    shop.region
        .ask::<Cart>(refused[0], Ask::new(line(3)))
        .await
        .unwrap();
    for cart in &carts {
        assert_eq!(sequences(&journal, shard, cart), [1, 2]);
    }
    let positions: Vec<i64> = journal
        .committed(shard)
        .iter()
        .map(|event| event.position.0)
        .collect();
    assert_eq!(positions, (1..=18).collect::<Vec<_>>());
    assert_eq!(epoch(&journal, shard), before);
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_refused_row_is_refused_too() {
    let (world, _, journal) = world(42);
    let shop = Shop::open(&world).await;
    let (shard, carts) = neighbours(&journal, 1);
    let cart = &carts[0];
    shop.region.ask::<Cart>(cart, Ask::new(line(1))).await.unwrap();
    let before = epoch(&journal, shard);

    // While the first is refused, the next are decided on what it would have made: queued behind it, or
    // sent at some moment before the entity hears of it.
    journal.inject(Fault::RowRefused);
    let asks = (0..60).map(|turns| {
        let (region, cart) = (shop.region.clone(), cart.clone());
        tokio::spawn(async move {
            for _ in 0..turns {
                next_turn().await;
            }
            region.ask::<Cart>(&cart, Ask::new(line(turns + 2))).await
        })
    });
    let answers: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    let written = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers[0].is_err());
    let there = sequences(&journal, shard, cart);
    assert_eq!(
        there,
        (1..=there.len() as i64).collect::<Vec<_>>(),
        "without a hole"
    );
    assert_eq!(
        there.len(),
        1 + written,
        "what is there was answered, and nothing else"
    );
    assert_eq!(epoch(&journal, shard), before);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_changes_nothing_is_remembered_once() {
    let (world, _, journal) = world(43);
    let shop = Shop::open(&world).await;
    let (shard, carts) = neighbours(&journal, 1);
    let cart = &carts[0];
    shop.region.ask::<Cart>(cart, Ask::new(line(1))).await.unwrap();
    let before = epoch(&journal, shard);

    // A caller who hangs up and sends the same again at once, while the first is on its way.
    journal.inject(Fault::WriteSlow(Duration::from_millis(50)));
    let mut ask = Ask::new(line(1)).operation(OperationId(Uuid::from_u128(7)));
    ask.remember = Some(Remember {
        key: RequestKey([7; 32]),
        body: [8; 32],
    });
    let both = join_all([ask.clone(), ask].map(|ask| shop.region.ask::<Cart>(cart, ask))).await;
    let repeated: Vec<bool> = both.into_iter().map(|answer| answer.unwrap().repeated).collect();
    assert_eq!(repeated, [false, true]);
    assert_eq!(sequences(&journal, shard, cart), [1]);
    assert_eq!(epoch(&journal, shard), before);
}
