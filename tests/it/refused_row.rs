//! A row that PostgreSQL refuses is the trouble of its entity alone.

use futures_util::future::join_all;
use globalshop::cluster::{Ask, AskError};
use globalshop::domain::cart::{Cart, Command};
use globalshop::domain::id::{CartId, CustomerId};
use globalshop::domain::{EntityId, Money};
use globalshop::journal::{Remember, RequestKey};
use sqlx::{ConnectOptions as _, PgConnection};

use crate::database;
use crate::saga::world;
use crate::shop::Shop;

/// Asks for a cart's line to be so many, and for the answer to be remembered under this key.
fn ask(quantity: u32, key: u8) -> Ask<Command> {
    let mut ask = Ask::new(Command::SetLine {
        sku: "A".parse().unwrap(),
        quantity,
        quoted: Money::eur(100),
    });
    ask.remember = Some(Remember {
        key: RequestKey([key; 32]),
        body: [0; 32],
    });
    ask
}

async fn epoch(connection: &mut PgConnection, shard: i16) -> i64 {
    sqlx::query_scalar("select epoch from shard_lease where shard = $1")
        .bind(shard)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_breaks_a_constraint_disturbs_nobody_but_its_entity() {
    let options = database::fresh_options().await;
    let (world, _) = world(&options).await;
    let shop = Shop::open(&world).await;
    let mut connection = options.connect().await.unwrap();
    let shards = world.journal.shards();
    let any = || CartId::of(CustomerId(shop.clock.new_id())).entity();
    let shard = any().shard(shards);
    let mut neighbours = std::iter::repeat_with(any).filter(|cart| cart.shard(shards) == shard);
    let carts: Vec<EntityId> = neighbours.by_ref().take(20).collect();
    let number = i16::try_from(shard.0).unwrap();
    let before = epoch(&mut connection, number).await;

    // Key 0 is remembered already when the first of them comes with it.
    let first = neighbours.next().unwrap();
    shop.region.ask::<Cart>(&first, ask(1, 0)).await.unwrap();
    let asks = (0_u8..)
        .zip(&carts)
        .map(|(key, cart)| shop.region.ask::<Cart>(cart, ask(2, key)));
    let mut answers = join_all(asks).await.into_iter();
    match answers.next() {
        Some(Err(AskError::Unavailable { reason, .. })) => {
            assert!(reason.contains("remembered_pk"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    for answer in answers {
        answer.unwrap();
    }

    // Nothing of it is there, it is written under another key, and the shard was never given up.
    assert_eq!(shop.region.read::<Cart>(&carts[0]).await.unwrap().view.version, 0);
    shop.region.ask::<Cart>(&carts[0], ask(3, 200)).await.unwrap();
    assert_eq!(epoch(&mut connection, number).await, before);
    shop.kill().await;
}
