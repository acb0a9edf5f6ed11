//! What many shards have for a view is one transaction; what one of them cannot have is its own trouble.

use std::sync::Arc;

use futures_util::future::join_all;
use globalshop::clock::Clock;
use globalshop::domain::id::{CartId, CustomerId};
use globalshop::domain::order::{Draft, Event, Order};
use globalshop::domain::{Millis, Money, Shard, ShardCount};
use globalshop::journal::Position;
use globalshop::relay::{ReadFault, View};
use globalshop::views::{Tree, Views};
use sqlx::PgPool;
use uuid::Uuid;

use crate::database;
use crate::history::History;

/// Orders enough for some in every shard.
const ORDERS: u64 = 40;
/// The one of them that has no row.
const POISON: u64 = 0x14;

struct Shop {
    pool: PgPool,
    views: Views,
    history: History,
    shards: ShardCount,
}

impl Shop {
    /// A shop whose orders no view has heard of.
    async fn open() -> Self {
        let shards = ShardCount::new(4).unwrap();
        let pool = database::fresh().await;
        let views = Views::open(pool.clone(), Clock::system(), shards, Tree::default(), |_| {})
            .await
            .unwrap();
        let mut history = History::new(shards);
        for number in 1..=ORDERS {
            let draft = draft(number);
            let placed = Event::Placed {
                at: Millis(1),
                draft: Arc::new(draft.clone()),
            };
            history.tell::<Order>(&draft.order().entity(), &placed).await;
        }
        Self {
            pool,
            views,
            history,
            shards,
        }
    }

    /// Tells a view everything, every shard at once.
    async fn follow(&self, view: &dyn View) -> Vec<(Shard, Result<(), ReadFault>)> {
        let follow = async |shard| {
            let (events, through) = self.history.after(shard, Position(0)).await;
            (shard, view.follow(shard, &events, through).await)
        };
        join_all(self.shards.all().map(follow)).await
    }

    /// The positions of a view's rows, and how many transactions wrote them.
    async fn written(&self, view: &str) -> (Vec<i64>, i64) {
        let positions =
            sqlx::query_scalar("select position from view_position where view = $1 order by shard")
                .bind(view)
                .fetch_all(&self.pool);
        let transactions = sqlx::query_scalar(
            "select count(distinct xmin::text) from view_position where view = $1 and position > 0",
        )
        .bind(view)
        .fetch_one(&self.pool);
        (positions.await.unwrap(), transactions.await.unwrap())
    }
}

fn draft(checkout: u64) -> Draft {
    let customer = CustomerId(Uuid::from_u128(u128::from(checkout)));
    Draft {
        customer,
        cart: CartId::of(customer),
        checkout,
        ..Draft::default()
    }
}

#[tokio::test]
async fn shards_that_come_together_are_written_together() {
    let shop = Shop::open().await;
    for (shard, followed) in shop.follow(shop.views.orders.as_ref()).await {
        followed.unwrap_or_else(|fault| panic!("shard {shard}: {}", fault.story()));
    }
    let (positions, transactions) = shop.written("orders").await;
    assert_eq!(positions.iter().sum::<i64>(), i64::try_from(ORDERS).unwrap());
    assert!(positions.iter().all(|position| *position > 0));
    // The first found nobody writing; the others came while it wrote.
    assert_eq!(transactions, 2);
    assert_eq!(
        shop.views.orders.counts().await.unwrap().values().sum::<u64>(),
        ORDERS
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_is_the_trouble_of_its_shard() {
    let shop = Shop::open().await;
    let bad = draft(POISON).order().entity().shard(shop.shards);
    assert_ne!(bad, Shard(0), "the first is written before the others come");
    sqlx::raw_sql(
        "alter table order_summary add constraint never
             check (customer_id <> '00000000-0000-0000-0000-000000000014')",
    )
    .execute(&shop.pool)
    .await
    .unwrap();
    for (shard, followed) in shop.follow(shop.views.orders.as_ref()).await {
        match followed {
            Err(ReadFault::Lasting { .. }) => assert_eq!(shard, bad),
            followed => assert!(followed.is_ok() && shard != bad, "shard {shard}: {followed:?}"),
        }
    }
    let (positions, _) = shop.written("orders").await;
    for (shard, position) in shop.shards.all().zip(positions) {
        assert_eq!(position > 0, shard != bad, "shard {shard}");
    }
}

#[tokio::test]
async fn a_shard_that_somebody_else_has_written_holds_up_nobody_and_is_looked_up_anew() {
    let shop = Shop::open().await;
    let moved = Shard(2);
    sqlx::query("update view_position set position = 1 where view = 'orders' and shard = $1")
        .bind(i16::try_from(moved.0).unwrap())
        .execute(&shop.pool)
        .await
        .unwrap();
    for (shard, followed) in shop.follow(shop.views.orders.as_ref()).await {
        assert_eq!(followed.is_err(), shard == moved, "shard {shard}: {followed:?}");
    }
    let (positions, _) = shop.written("orders").await;
    for (shard, position) in shop.shards.all().zip(positions) {
        assert_eq!(position == 1, shard == moved, "shard {shard} at {position}");
    }
    for (shard, followed) in shop.follow(shop.views.orders.as_ref()).await {
        followed.unwrap_or_else(|fault| panic!("shard {shard}: {}", fault.story()));
    }
    let (positions, _) = shop.written("orders").await;
    assert_eq!(positions.iter().sum::<i64>(), i64::try_from(ORDERS).unwrap());
}

#[tokio::test]
async fn the_ledger_moves_its_readers_at_once_and_its_rows_with_money() {
    let mut shop = Shop::open().await;
    for (shard, followed) in shop.follow(shop.views.ledger.as_ref()).await {
        followed.unwrap_or_else(|fault| panic!("shard {shard}: {}", fault.story()));
    }
    let reached = shop.views.ledger.positions();
    assert_eq!(
        reached.iter().map(|position| position.0).sum::<i64>(),
        i64::try_from(ORDERS).unwrap()
    );
    assert_eq!(shop.written("ledger").await, (vec![0; 4], 0));
    let paid = draft(1);
    let captured = Event::Captured {
        at: Millis(2),
        amount: Money::eur(100),
        tax: Money::eur(10),
    };
    let (shard, position) = shop
        .history
        .tell::<Order>(&paid.order().entity(), &captured)
        .await;
    let (events, through) = shop.history.after(shard, reached[usize::from(shard.0)]).await;
    shop.views.ledger.follow(shard, &events, through).await.unwrap();
    let (positions, _) = shop.written("ledger").await;
    assert_eq!(positions.iter().sum::<i64>(), position.0);
    assert_eq!(shop.views.ledger.of_order(paid.order()).await.unwrap().len(), 2);
}
