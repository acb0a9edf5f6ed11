//! Any outcome of any append, injected anywhere, leaves every entity equal to its journal.
//!
//! `GLOBALSHOP_SEEDS` says how many seeds are run.
//!
//! Callers write to a few carts and one SKU while writes are refused, lost, doubled in doubt, late
//! and slow, and claims fail. Afterwards the journal is read from outside: positions and sequences
//! are gapless, every acknowledged command is there, no command is there twice, the stock never
//! oversold, and each entity answers with exactly what its events fold to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, AskError, Region};
use globalshop::domain::cart::{self, Cart};
use globalshop::domain::entity::replay;
use globalshop::domain::id::{CartId, CustomerId, OperationId, OrderId, Sku};
use globalshop::domain::stock::{self, HoldKey, Stock};
use globalshop::domain::{Entity as _, EntityId, Millis, Money, ShardCount};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::journal::{Journal, Recorded, Sequence, Takeover, stored};
use globalshop::relay::Tails;
use uuid::Uuid;

const CALLERS: u64 = 12;
const STEPS: u64 = 25;
const CARTS: u64 = 3;
const UNITS: i64 = 40;

#[derive(Default)]
struct Told {
    /// Operations whose success was acknowledged, with the version they led to.
    acked: BTreeMap<OperationId, (EntityId, Sequence)>,
    held: BTreeSet<HoldKey>,
}

struct World {
    clock: Clock,
    journal: MemoryJournal,
    region: Region,
    told: Mutex<Told>,
}

#[test]
fn any_outcome_anywhere_leaves_entities_equal_to_their_journal() {
    let seeds = std::env::var("GLOBALSHOP_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    for seed in 0..seeds {
        println!("seed {seed}");
        run(seed);
    }
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulate(seed));
}

async fn simulate(seed: u64) {
    let clock = Clock::simulated(seed, Millis(1_700_000_000_000));
    let shards = ShardCount::new(4).unwrap();
    let journal = MemoryJournal::new(shards, clock.clone());
    let shared: Arc<dyn Journal> = Arc::new(journal.clone());
    let directories = directories(&shared, &clock);
    let heart = Heart::start(HeartArguments {
        node: "sim".into(),
        owner: "sim/1".into(),
        takeover: Takeover::AtOnce,
        tenure: Some(Tenure::endless(&clock)),
        journal: Arc::clone(&shared),
        clock: clock.clone(),
        tails: Tails::new(shards),
        directories,
        residents: vec![],
    })
    .await
    .unwrap();
    assert!(heart.ready(Duration::from_secs(60)).await, "the shards open");

    let world = Arc::new(World {
        clock,
        journal,
        region: Region::new(Arc::clone(heart.directories())),
        told: Mutex::default(),
    });
    let sku: Sku = "HOT-1".parse().unwrap();
    let adjust = stock::Command::Adjust {
        delta: UNITS,
        reason: "delivery".to_owned(),
    };
    world
        .region
        .ask::<Stock>(&sku.stock(), Ask::new(adjust))
        .await
        .unwrap();

    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(Arc::clone(&world), caller)))
        .collect();
    let nemesis = tokio::spawn(disturb(Arc::clone(&world)));
    for caller in callers {
        caller.await.unwrap();
    }
    nemesis.abort();
    world.journal.heal();
    assert!(
        heart.ready(Duration::from_secs(120)).await,
        "the shards recover once the faults end"
    );
    world.clock.sleep(Duration::from_secs(5)).await;
    audit(&world, shards).await;
    heart.stop(Duration::from_secs(5)).await;
}

async fn call(world: Arc<World>, caller: u64) {
    for step in 0..STEPS {
        world
            .clock
            .sleep(Duration::from_micros(world.clock.random_below(3_000)))
            .await;
        if world.clock.random_below(3) == 0 {
            hold(&world, caller, step).await;
        } else {
            set_line(&world, caller, step).await;
        }
    }
}

fn cart(world: &World) -> EntityId {
    let customer = CustomerId(Uuid::from_u128(u128::from(world.clock.random_below(CARTS))));
    CartId::of(customer).entity()
}

async fn set_line(world: &World, caller: u64, step: u64) {
    let entity = cart(world);
    let operation = OperationId(Uuid::from_u128(u128::from(caller << 32 | step) + 1));
    let quantity = world.clock.random_below(50) as u32;
    let sku: Sku = format!("S{}", world.clock.random_below(5)).parse().unwrap();
    // The price is unique, so that every command changes something.
    let quoted = Money::eur(i64::try_from(caller * 1_000 + step).unwrap());
    let command = cart::Command::SetLine {
        sku,
        quantity: quantity + 1,
        quoted,
    };
    for _ in 0..20 {
        match world
            .region
            .ask::<Cart>(&entity, Ask::new(command.clone()).operation(operation))
            .await
        {
            Ok(answer) => {
                world
                    .told
                    .lock()
                    .unwrap()
                    .acked
                    .insert(operation, (entity, answer.sequence));
                return;
            }
            Err(AskError::Refused(refusal)) => panic!("unexpected refusal: {refusal}"),
            Err(_) => world.clock.sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn hold(world: &World, caller: u64, step: u64) {
    let sku: Sku = "HOT-1".parse().unwrap();
    let key = HoldKey {
        order: OrderId(Uuid::from_u128(u128::from(caller << 32 | step))),
        line: 0,
    };
    let lapses_at = Millis(world.clock.now().0 + 3_600_000);
    let command = stock::Command::Hold {
        key,
        quantity: 1,
        lapses_at,
    };
    for _ in 0..20 {
        match world
            .region
            .ask::<Stock>(&sku.stock(), Ask::new(command.clone()))
            .await
        {
            Ok(answer) => {
                assert!(
                    answer.view.held + answer.view.sold <= answer.view.on_hand,
                    "oversold"
                );
                world.told.lock().unwrap().held.insert(key);
                return;
            }
            Err(AskError::Refused(stock::Refusal::OutOfStock { .. })) => return,
            Err(AskError::Refused(refusal)) => panic!("unexpected refusal: {refusal}"),
            Err(_) => world.clock.sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn disturb(world: Arc<World>) {
    loop {
        world
            .clock
            .sleep(Duration::from_micros(500 + world.clock.random_below(20_000)))
            .await;
        let slow = Duration::from_micros(world.clock.random_below(50_000));
        world.journal.inject(match world.clock.random_below(11) {
            0 => Fault::WriteRefused,
            1 => Fault::AnswerLost,
            2 => Fault::RequestLost,
            3 => Fault::RequestLate(slow),
            4 => Fault::WriteSlow(slow),
            5 => Fault::AnswerSlow(slow),
            6 => Fault::ClaimFails,
            7 => Fault::ClaimLost,
            8 => Fault::ReadFails,
            9 => Fault::RowRefused,
            _ => Fault::ReadSlow(slow),
        });
    }
}

/// Reads the journal from outside and compares it with everything that was said.
async fn audit(world: &World, shards: ShardCount) {
    let mut by_entity: BTreeMap<EntityId, Vec<Recorded>> = BTreeMap::new();
    for shard in shards.all() {
        for (index, recorded) in world.journal.committed(shard).into_iter().enumerate() {
            assert_eq!(
                recorded.position.0,
                i64::try_from(index).unwrap() + 1,
                "positions are gapless"
            );
            by_entity
                .entry(recorded.entity.clone())
                .or_default()
                .push(recorded);
        }
    }
    let mut operations = BTreeSet::new();
    for (entity, events) in &by_entity {
        for (index, recorded) in events.iter().enumerate() {
            assert_eq!(
                recorded.sequence.0,
                i64::try_from(index).unwrap() + 1,
                "sequences are gapless"
            );
            if let Some(operation) = recorded.operation {
                assert!(operations.insert(operation), "{entity} did {operation} twice");
            }
        }
        match entity.kind() {
            globalshop::domain::Kind::Cart => {
                let events: Vec<_> = events
                    .iter()
                    .map(|event| stored::decode::<Cart>(event).unwrap())
                    .collect();
                let truth: Cart = replay(&events);
                let served = world.region.read::<Cart>(entity).await.unwrap();
                assert_eq!(served.view, truth, "{entity} is what its events say");
            }
            _ => {
                let events: Vec<_> = events
                    .iter()
                    .map(|event| stored::decode::<Stock>(event).unwrap())
                    .collect();
                let truth: Stock = replay(&events);
                let served = world.region.read::<Stock>(entity).await.unwrap();
                assert_eq!(served.view, truth.view(), "{entity} is what its events say");
                assert!(truth.held + truth.sold <= truth.on_hand, "oversold");
                for key in &world.told.lock().unwrap().held {
                    assert!(truth.hold(*key).is_some(), "an acknowledged hold is gone");
                }
            }
        }
    }
    let told = world.told.lock().unwrap();
    for (operation, (entity, sequence)) in &told.acked {
        assert!(
            operations.contains(operation),
            "{entity}: an acknowledged command is lost"
        );
        assert!(by_entity[entity].len() >= usize::try_from(sequence.0).unwrap());
    }
}
