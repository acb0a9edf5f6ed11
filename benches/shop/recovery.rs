//! How fast what was acknowledged comes back: carts are asked of a tree that has just started, so that
//! each is loaded from the journal, decoded and replayed. Against PostgreSQL handing the same rows out
//! as fast as it can, undecoded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, Region};
use globalshop::domain::cart::{Cart, Command};
use globalshop::domain::id::{CartId, CustomerId, Sku};
use globalshop::domain::{Currency, EntityId, Money};
use globalshop::journal::{Journal, PostgresJournal, PostgresSettings, Takeover, migrate};
use globalshop::relay::Tails;
use uuid::Uuid;

use crate::floor::Postgres;
use crate::rounds::compare;

/// Carts, and events of each: no more than a snapshot spares.
const CARTS: usize = 4_000;
const EVENTS: u32 = 50;
/// Carts that are asked at once.
const AT_ONCE: usize = 1_000;

#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let carts = if quick { 20 } else { CARTS };
    println!("recovery of {carts} carts of {EVENTS} events");
    let postgres = Postgres::open("recovery").await;
    migrate(&postgres.options()).await.unwrap();
    let carts: Vec<EntityId> = (0..carts)
        .map(|n| CartId::of(CustomerId(Uuid::new_v5(&Uuid::nil(), &n.to_le_bytes()))).entity())
        .collect();
    fill(&postgres, clock, &carts).await;
    let events = carts.len() * EVENTS as usize;

    let verdict = compare(
        quick,
        async || {
            let mut connection = postgres.connect().await;
            let began = clock.instant();
            let mut bytes = 0;
            let mut rows = connection.copy_out_raw("copy journal to stdout").await.unwrap();
            while let Some(part) = rows.try_next().await.unwrap() {
                bytes += part.len();
            }
            assert!(bytes > events * 50);
            events as f64 / clock.instant().duration_since(began).as_secs_f64()
        },
        async || {
            let (heart, region) = open(&postgres, clock).await;
            let began = clock.instant();
            stream::iter(&carts)
                .for_each_concurrent(AT_ONCE, async |cart| {
                    let read = region.read::<Cart>(cart).await.unwrap().view;
                    assert_eq!((read.version, read.lines.len()), (u64::from(EVENTS), 5));
                })
                .await;
            let took = clock.instant().duration_since(began);
            heart.stop(Duration::from_secs(10)).await;
            events as f64 / took.as_secs_f64()
        },
    )
    .await;
    postgres.close().await;
    vec![verdict.row(
        &format!("recovery: events replayed into carts of {EVENTS} each"),
        "PostgreSQL, COPY of the journal",
        "0.5",
    )]
}

async fn open(postgres: &Postgres, clock: &Clock) -> (Heart, Region) {
    let owner = format!("bench/{:x}", clock.random_u64());
    let settings = PostgresSettings::new(owner.as_str());
    let journal = PostgresJournal::open(postgres.options(), settings, clock.clone()).await;
    let journal: Arc<dyn Journal> = Arc::new(journal.unwrap());
    let doors = directories(&journal, clock);
    let region = Region::new(Arc::clone(&doors));
    let heart = Heart::start(HeartArguments {
        node: "bench".into(),
        owner: owner.into(),
        takeover: Takeover::AtOnce,
        tenure: Some(Tenure::endless(clock)),
        tails: Tails::new(journal.shards()),
        journal,
        clock: clock.clone(),
        directories: doors,
        residents: vec![],
    });
    let heart = heart.await.unwrap();
    assert!(heart.ready(Duration::from_secs(30)).await);
    (heart, region)
}

/// Shoppers who cannot decide: five lines, changed again and again.
async fn fill(postgres: &Postgres, clock: &Clock, carts: &[EntityId]) {
    let (heart, region) = open(postgres, clock).await;
    stream::iter(carts)
        .for_each_concurrent(AT_ONCE, async |cart| {
            for change in 0..EVENTS {
                let command = Command::SetLine {
                    sku: format!("BENCH-{}", change % 5).parse::<Sku>().unwrap(),
                    quantity: 1 + change / 5,
                    quoted: Money::new(1_999, Currency::EUR),
                };
                region.ask::<Cart>(cart, Ask::new(command)).await.unwrap();
            }
        })
        .await;
    heart.stop(Duration::from_secs(10)).await;
}
