//! Bulk appends beside activations: of what is active, of what is only looked at, of what has just failed.

use std::time::Duration;

use globalshop::actors::Hosted;
use globalshop::actors::bulk::{BulkCommand, Done};
use globalshop::cluster::Ask;
use globalshop::domain::id::Sku;
use globalshop::domain::product::{self, Details, Product};
use globalshop::domain::stock::{self, Stock};
use globalshop::domain::{EntityId, Money};
use globalshop::journal::memory::Fault;
use globalshop::journal::{Journal as _, Position, Sequence};

use crate::saga::world;
use crate::shop::Shop;

fn delivery(units: i64) -> stock::Command {
    stock::Command::Adjust {
        delta: units,
        reason: "catalogue import".to_owned(),
    }
}

fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

async fn append<E: Hosted>(shop: &Shop, entity: &EntityId, command: E::Command, only_new: bool) -> Done {
    let command = BulkCommand::<E> {
        entity: entity.clone(),
        command,
        only_new,
    };
    let mut outcomes = shop.heart.bulk().apply(vec![command]).await;
    outcomes.pop().unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_new_stock_gets_its_first_units_once_whether_somebody_has_looked_at_it_or_not() {
    let (world, _, _) = world(51);
    let shop = Shop::open(&world).await;
    let (seen, unseen) = (sku("SEEN").stock(), sku("UNSEEN").stock());
    // Who opens the page has it activated, with nothing in it.
    assert_eq!(
        shop.region.read::<Stock>(&seen).await.unwrap().sequence,
        Sequence(0)
    );
    for stock in [&seen, &unseen] {
        assert_eq!(
            append::<Stock>(&shop, stock, delivery(5), true).await,
            Done::Created
        );
        assert_eq!(append::<Stock>(&shop, stock, delivery(5), true).await, Done::Same);
        let answer = shop.region.read::<Stock>(stock).await.unwrap();
        assert_eq!((answer.view.on_hand, answer.sequence), (5, Sequence(1)));
        assert_eq!(append::<Stock>(&shop, stock, delivery(5), true).await, Done::Same);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_as_the_catalogue_says_is_unchanged_whether_it_is_active_or_not() {
    let (world, _, _) = world(52);
    let shop = Shop::open(&world).await;
    let (active, resting) = (sku("ACTIVE"), sku("RESTING"));
    shop.region.read::<Product>(&active.product()).await.unwrap();
    for sku in [active, resting] {
        let import = |price| product::Command::Import {
            details: Box::new(Details {
                sku: sku.clone(),
                slug: "thing".to_owned(),
                name: "Thing".to_owned(),
                brand: String::new(),
                category: "things".to_owned(),
                part_number: None,
                description: String::new(),
                attributes: Default::default(),
                variants: vec![],
                images: vec![],
                gtins: vec![],
            }),
            price: Money::eur(price),
        };
        let entity = sku.product();
        for (price, done) in [
            (100, Done::Created),
            (100, Done::Same),
            (200, Done::Changed),
            (200, Done::Same),
        ] {
            assert_eq!(
                append::<Product>(&shop, &entity, import(price), false).await,
                done
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulk_waits_for_what_a_failed_activation_has_left_with_the_writer() {
    let (world, _, journal) = world(53);
    let shop = Shop::open(&world).await;
    let entity = sku("BUSY").stock();
    let shard = shop.region.shard(&entity);
    shop.region.read::<Stock>(&entity).await.unwrap();
    let epoch = journal.committed_after(shard, Position(0)).0;

    journal.inject(Fault::WriteSlow(Duration::from_millis(200)));
    let unheard = tokio::spawn({
        let (region, entity) = (shop.region.clone(), entity.clone());
        async move { region.ask::<Stock>(&entity, Ask::new(delivery(1))).await }
    });
    world.clock.sleep(Duration::from_millis(20)).await;
    // It fails at one of its next messages, while its append is on its way.
    shop.heart.doom(&world.clock, true, |kind| kind == "stock");
    let unlucky: Vec<_> = (0..20)
        .map(|_| {
            let (region, entity) = (shop.region.clone(), entity.clone());
            tokio::spawn(async move { region.read::<Stock>(&entity).await })
        })
        .collect();
    assert!(unheard.await.unwrap().is_err());
    for read in unlucky {
        read.abort();
    }
    assert_eq!(
        journal.head(shard).await.unwrap(),
        Position(0),
        "it is still on its way"
    );

    assert_eq!(
        append::<Stock>(&shop, &entity, delivery(2), false).await,
        Done::Changed
    );
    let answer = shop.region.read::<Stock>(&entity).await.unwrap();
    assert_eq!((answer.view.on_hand, answer.sequence), (3, Sequence(2)));
    assert_eq!(
        journal.committed_after(shard, Position(0)).0,
        epoch,
        "nothing had to recover"
    );
}
