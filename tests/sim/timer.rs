//! Deadlines while the wall clock is wrong.

use std::time::Duration;

use globalshop::cluster::Ask;
use globalshop::domain::id::{OrderId, Sku};
use globalshop::domain::stock::{Change, Command, HoldKey, Stock};
use globalshop::domain::{EntityId, Millis};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::journal::{Journal as _, stored};
use uuid::Uuid;

use crate::saga::world;
use crate::shop::Shop;

/// How long the hold lives.
const HOLD_MS: i64 = 2 * 3_600_000;

fn has_lapsed(journal: &MemoryJournal, stock: &EntityId) -> bool {
    let committed = journal.committed(stock.shard(journal.shards()));
    committed
        .iter()
        .filter(|recorded| recorded.entity == *stock)
        .any(|recorded| {
            let event = stored::decode::<Stock>(recorded).unwrap();
            matches!(event.change, Change::Lapsed { .. })
        })
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_a_clock_ahead_came_to_too_early_is_met_in_time() {
    let (world, _, journal) = world(51);
    let shop = Shop::open(&world).await;
    let stock = "EARLY".parse::<Sku>().unwrap().stock();
    shop.stock_up("EARLY", 1).await;
    let lapses_at = Millis(shop.clock.now().0 + HOLD_MS);
    let hold = Command::Hold {
        key: HoldKey {
            order: OrderId(Uuid::from_u128(51)),
            line: 0,
        },
        quantity: 1,
        lapses_at,
    };
    shop.region.ask::<Stock>(&stock, Ask::new(hold)).await.unwrap();

    // It rests, so that the wake-up has to read the journal first, which takes a while.
    let is_active = || shop.heart.directories().stocks.has(&stock);
    while is_active() {
        shop.clock.sleep(Duration::from_secs(10)).await;
    }
    journal.inject(Fault::ReadSlow(Duration::from_millis(500)));
    shop.clock.jump(HOLD_MS);
    while !is_active() {
        shop.clock.sleep(Duration::from_millis(10)).await;
    }
    // The clock is right again before the stock has looked at it.
    shop.clock.jump(-HOLD_MS);
    assert_eq!(journal.heal(), 0, "the wake-up reads the journal");
    while shop.clock.now() < lapses_at {
        assert!(!has_lapsed(&journal, &stock), "too early");
        shop.clock.sleep(Duration::from_secs(60)).await;
    }
    // The deadline's grain, and the longest sleep of a timer.
    shop.clock.sleep(Duration::from_secs(70)).await;
    assert!(has_lapsed(&journal, &stock), "the timer was lost");
    shop.kill().await;
}
