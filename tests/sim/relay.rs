//! Lanes and dead letters on a virtual clock: retries, budgets, order, restarts, redrives.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use globalshop::clock::Clock;
use globalshop::cluster::Ask;
use globalshop::domain::cart::{Cart, Command};
use globalshop::domain::id::{CartId, CustomerId};
use globalshop::domain::{EntityId, Kind, Money, Shard};
use globalshop::journal::{Position, Recorded, Sequence};
use globalshop::relay::dead_letter::{LetterFilter, LetterState, REDRIVE_LIMIT, RedriveOutcome};
use globalshop::relay::{AfterDeadLetter, Consumer, Policy, ReadFault, View};
use tokio::time::Instant;

use crate::saga::world;
use crate::shop::Shop;

/// How the probe takes an event.
#[derive(Clone, Copy)]
enum Whim {
    /// Fails so often, then works.
    Fails(u32),
    Panics(u32),
    Hangs(u32),
    /// Says it will never work.
    Never,
    /// Fails until then.
    AwayUntil(Instant),
}

/// A consumer of cart events with a will of its own.
struct Probe {
    afterwards: AfterDeadLetter,
    whims: Mutex<HashMap<(EntityId, Sequence), Whim>>,
    handled: Mutex<Vec<(EntityId, Sequence)>>,
    running: Mutex<HashSet<EntityId>>,
}

impl Probe {
    fn new(afterwards: AfterDeadLetter) -> Arc<Self> {
        Arc::new(Self {
            afterwards,
            whims: Mutex::default(),
            handled: Mutex::default(),
            running: Mutex::default(),
        })
    }

    fn takes(&self, entity: &EntityId, sequence: i64, whim: Whim) {
        self.whims
            .lock()
            .unwrap()
            .insert((entity.clone(), Sequence(sequence)), whim);
    }

    fn handled(&self, entity: &EntityId) -> Vec<i64> {
        let handled = self.handled.lock().unwrap();
        handled
            .iter()
            .filter(|(of, _)| of == entity)
            .map(|(_, sequence)| sequence.0)
            .collect()
    }

    fn whim(&self, event: &Recorded) -> Option<Whim> {
        let mut whims = self.whims.lock().unwrap();
        let key = (event.entity.clone(), event.sequence);
        let left = match whims.get(&key).copied()? {
            Whim::Fails(n) if n > 0 => Whim::Fails(n - 1),
            Whim::Panics(n) if n > 0 => Whim::Panics(n - 1),
            Whim::Hangs(n) if n > 0 => Whim::Hangs(n - 1),
            lasting @ Whim::Never => return Some(lasting),
            away @ Whim::AwayUntil(back) => return (Clock::system().instant() < back).then_some(away),
            _ => return None,
        };
        whims.insert(key, left)
    }
}

#[async_trait]
impl Consumer for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Cart
    }

    fn policy(&self) -> Policy {
        Policy {
            afterwards: self.afterwards,
            ..Policy::default()
        }
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        let fault = || ReadFault::Temporary {
            what: "a whim".to_owned(),
            source: None,
        };
        match self.whim(event) {
            Some(Whim::Fails(_) | Whim::AwayUntil(_)) => return Err(fault()),
            Some(Whim::Panics(_)) => panic!("a whim"),
            Some(Whim::Hangs(_)) => std::future::pending().await,
            Some(Whim::Never) => {
                return Err(ReadFault::Lasting {
                    what: "never".to_owned(),
                    source: None,
                });
            }
            None => {}
        }
        assert!(
            self.running.lock().unwrap().insert(event.entity.clone()),
            "two events of one entity at once"
        );
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.running.lock().unwrap().remove(&event.entity);
        self.handled
            .lock()
            .unwrap()
            .push((event.entity.clone(), event.sequence));
        Ok(())
    }
}

async fn fill(shop: &Shop, cart: &EntityId, events: u32) {
    for quantity in 1..=events {
        let command = Command::SetLine {
            sku: "A".parse().unwrap(),
            quantity,
            quoted: Money::eur(100),
        };
        shop.region.ask::<Cart>(cart, Ask::new(command)).await.unwrap();
    }
}

fn cart(shop: &Shop) -> EntityId {
    CartId::of(CustomerId(shop.clock.new_id())).entity()
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_while_is_handled_in_order_in_the_end() {
    let (world, _, _) = world(31);
    let probe = Probe::new(AfterDeadLetter::GoOn);
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    let carts: Vec<EntityId> = (0..6).map(|_| cart(&shop)).collect();
    for (cart, whim) in carts
        .iter()
        .zip([Whim::Fails(7), Whim::Panics(3), Whim::Hangs(2), Whim::Fails(1)])
    {
        probe.takes(cart, 2, whim);
    }
    for cart in &carts {
        fill(&shop, cart, 5).await;
    }
    shop.settled().await;
    for cart in &carts {
        assert_eq!(probe.handled(cart), [1, 2, 3, 4, 5]);
    }
    shop.no_dead_letters().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_away_for_no_longer_than_the_patience_costs_no_letter() {
    for seed in 100..130 {
        let (world, _, _) = world(seed);
        let probe = Probe::new(AfterDeadLetter::GoOn);
        let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
        let cart = cart(&shop);
        let back = shop.clock.instant() + Policy::default().patience;
        probe.takes(&cart, 1, Whim::AwayUntil(back));
        fill(&shop, &cart, 2).await;
        shop.settled().await;
        assert_eq!(probe.handled(&cart), [1, 2], "seed {seed}");
        shop.no_dead_letters().await;
        shop.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_handled_is_a_dead_letter_and_the_rest_goes_on() {
    let (world, _, _) = world(32);
    let probe = Probe::new(AfterDeadLetter::GoOn);
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    let (sick, hopeless) = (cart(&shop), cart(&shop));
    probe.takes(&sick, 2, Whim::Fails(1_000));
    probe.takes(&hopeless, 1, Whim::Never);
    fill(&shop, &sick, 3).await;
    fill(&shop, &hopeless, 2).await;
    shop.settled().await;
    assert_eq!(probe.handled(&sick), [1, 3]);
    assert_eq!(probe.handled(&hopeless), [2]);
    let letters = shop.relay.dead_letters();
    let found = letters.list(&LetterFilter::default(), None, 10).await.unwrap();
    let attempts: HashMap<EntityId, u32> = found
        .iter()
        .map(|letter| (letter.entity.clone(), letter.attempts))
        .collect();
    assert!(attempts[&sick] >= 8, "tried {} times", attempts[&sick]);
    assert_eq!(attempts[&hopeless], 1, "a lasting fault is not tried again");
    assert_eq!(shop.relay.figures().await.unwrap().dead("probe"), 2);

    let filter = LetterFilter {
        consumer: Some("probe".to_owned()),
        ..LetterFilter::default()
    };
    probe.takes(&sick, 2, Whim::Fails(0));
    let dry = letters.redrive_all(&filter, true).await.unwrap();
    assert!(dry.iter().all(|one| one.outcome == RedriveOutcome::WouldTry));
    let outcomes = letters.redrive_all(&filter, false).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(
        probe.handled(&sick),
        [1, 3, 2],
        "the redriven event reached its consumer"
    );
    let hopeless_letter = found.iter().find(|letter| letter.entity == hopeless).unwrap().id;
    for _ in 1..REDRIVE_LIMIT {
        letters.redrive_all(&filter, false).await.unwrap();
    }
    let (letter, event) = letters.show(hopeless_letter).await.unwrap();
    assert_eq!(letter.state, LetterState::Parked);
    assert_eq!(event.unwrap().entity, hopeless);
    assert_eq!(
        letters.redrive_all(&filter, false).await.unwrap(),
        vec![],
        "parked letters are left alone"
    );
    probe.takes(&hopeless, 1, Whim::Fails(0));
    let one = letters.redrive(hopeless_letter, false).await.unwrap();
    assert_eq!(one.outcome, RedriveOutcome::Done);
    let again = letters.redrive(hopeless_letter, false).await.unwrap();
    assert!(matches!(again.outcome, RedriveOutcome::Skipped { .. }));
}

#[tokio::test(start_paused = true)]
async fn under_the_policy_wait_later_events_of_the_entity_wait_too() {
    let (world, _, _) = world(33);
    let probe = Probe::new(AfterDeadLetter::Wait);
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    let (sick, well) = (cart(&shop), cart(&shop));
    probe.takes(&sick, 2, Whim::Never);
    fill(&shop, &sick, 4).await;
    fill(&shop, &well, 4).await;
    shop.settled().await;
    assert_eq!(probe.handled(&sick), [1]);
    assert_eq!(probe.handled(&well), [1, 2, 3, 4]);

    // The block outlives the node.
    shop.relay.drain(Duration::from_secs(1)).await;
    shop.kill().await;
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    fill(&shop, &sick, 5).await; // sets 1 to 3 again, then 5: sequences 5 to 9
    shop.settled().await;
    assert_eq!(probe.handled(&sick), [1]);

    probe.takes(&sick, 2, Whim::Fails(0));
    let letters = shop.relay.dead_letters();
    let filter = LetterFilter {
        entity: Some(sick.clone()),
        ..LetterFilter::default()
    };
    let outcomes = letters.redrive_all(&filter, false).await.unwrap();
    assert!(outcomes.iter().all(|one| one.outcome == RedriveOutcome::Done));
    let mut expected: Vec<i64> = (1..=9).collect();
    assert_eq!(probe.handled(&sick), expected, "in order");
    fill(&shop, &sick, 1).await;
    shop.settled().await;
    expected.push(10);
    assert_eq!(probe.handled(&sick), expected, "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_lane_resumes_where_it_was_and_repeats_little() {
    let (world, _, _) = world(34);
    let probe = Probe::new(AfterDeadLetter::GoOn);
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    let one = cart(&shop);
    fill(&shop, &one, 20).await;
    shop.settled().await;
    shop.relay.drain(Duration::from_secs(5)).await;
    shop.kill().await;
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    shop.settled().await;
    assert_eq!(
        probe.handled(&one).len(),
        20,
        "after a drain nothing is handled twice"
    );
    fill(&shop, &one, 3).await;
    shop.settled().await;
    shop.kill().await;
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    fill(&shop, &one, 3).await;
    shop.settled().await;
    let handled: HashSet<i64> = probe.handled(&one).into_iter().collect();
    assert_eq!(handled, (1..=26).collect(), "after a kill nothing is left out");
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_takes_nothing_until_it_goes_on() {
    let (world, _, _) = world(35);
    let probe = Probe::new(AfterDeadLetter::GoOn);
    let shop = Shop::open_with(&world, vec![], vec![probe.clone()]).await;
    assert!(shop.relay.pause("probe", true));
    assert!(!shop.relay.pause("nobody", true));
    let one = cart(&shop);
    fill(&shop, &one, 3).await;
    shop.clock.sleep(Duration::from_secs(5)).await;
    assert_eq!(probe.handled(&one), [0_i64; 0]);
    assert!(shop.relay.pause("probe", false));
    shop.settled().await;
    assert_eq!(probe.handled(&one), [1, 2, 3]);
}

/// A view of carts that fails now and then, and can never take one of the events.
#[derive(Default)]
struct Diary {
    positions: Mutex<HashMap<Shard, Position>>,
    seen: Mutex<Vec<(EntityId, Sequence)>>,
    calls: Mutex<u32>,
    poison: Mutex<Option<(EntityId, Sequence)>>,
}

#[async_trait]
impl View for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Cart
    }

    async fn position(&self, shard: Shard) -> Result<Position, ReadFault> {
        Ok(self
            .positions
            .lock()
            .unwrap()
            .get(&shard)
            .copied()
            .unwrap_or_default())
    }

    async fn follow(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ReadFault> {
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        if calls.is_multiple_of(7) {
            return Err(ReadFault::Temporary {
                what: "the database is away".to_owned(),
                source: None,
            });
        }
        let poison = self.poison.lock().unwrap().clone();
        let is_poison = |event: &Arc<Recorded>| {
            poison
                .as_ref()
                .is_some_and(|(entity, sequence)| *entity == event.entity && *sequence == event.sequence)
        };
        if events.iter().any(is_poison) {
            return Err(ReadFault::Lasting {
                what: "a constraint".to_owned(),
                source: None,
            });
        }
        let mut positions = self.positions.lock().unwrap();
        let position = positions.entry(shard).or_default();
        for event in events {
            assert!(
                event.position > *position && event.position <= through,
                "in order, once"
            );
            *position = event.position;
        }
        *position = through;
        let seen = events.iter().map(|event| (event.entity.clone(), event.sequence));
        self.seen.lock().unwrap().extend(seen);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_sees_every_event_once_in_order_and_goes_on_without_the_one_it_cannot_take() {
    let (world, _, _) = world(36);
    let diary = Arc::new(Diary::default());
    let shop = Shop::open_with(&world, vec![diary.clone()], vec![]).await;
    let (well, sick) = (cart(&shop), cart(&shop));
    *diary.poison.lock().unwrap() = Some((sick.clone(), Sequence(3)));
    fill(&shop, &well, 30).await;
    fill(&shop, &sick, 5).await;
    shop.stock_up("A", 1).await; // news that are none for the diary, but for its position
    shop.settled().await;
    shop.kill().await;
    let shop = Shop::open_with(&world, vec![diary.clone()], vec![]).await;
    fill(&shop, &well, 2).await; // 31 and 32
    shop.settled().await;
    let seen = diary.seen.lock().unwrap().clone();
    let of = |cart: &EntityId| -> Vec<i64> {
        let mine = seen.iter().filter(|(entity, _)| entity == cart);
        mine.map(|(_, sequence)| sequence.0).collect()
    };
    assert_eq!(of(&well), (1..=32).collect::<Vec<_>>());
    assert_eq!(of(&sick), [1, 2, 4, 5]);
    let letters = shop.relay.dead_letters();
    let found = letters.list(&LetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].consumer.as_str(), found[0].sequence),
        ("diary", Sequence(3))
    );
    let redriven = letters.redrive(found[0].id, false).await.unwrap();
    assert!(
        matches!(redriven.outcome, RedriveOutcome::Skipped { .. }),
        "a view is rebuilt"
    );
}
