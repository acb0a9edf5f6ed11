//! What runs beside the entities of a shard runs once, however the shard comes and goes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::actors::shard::{Resident, Tenancy};
use globalshop::actors::supervise::{Address, Failure, Member};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, Region};
use globalshop::domain::id::Sku;
use globalshop::domain::stock::{self, Stock};
use globalshop::domain::{Millis, ShardCount};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::journal::{Epoch, Journal, Position, Takeover};
use globalshop::relay::Tails;
use ractor::ActorCell;

/// How many of it run, how many were ever started, and where the newest is.
#[derive(Clone, Default)]
struct Lodger {
    running: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
    newest: Arc<Mutex<Option<Address<Fail>>>>,
}

/// A bug that it is made to have.
struct Fail;

/// Counts as running until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Member for Lodger {
    type Message = Fail;
    type Arguments = ();
    type State = Running;

    const LABELS: &'static [&'static str] = &["fail"];

    fn label(_: &Fail) -> usize {
        0
    }

    async fn start(&self, me: &Address<Fail>, (): ()) -> Result<Running, Failure> {
        self.running.fetch_add(1, Relaxed);
        self.started.fetch_add(1, Relaxed);
        *self.newest.lock().unwrap() = Some(me.clone());
        Ok(Running(Arc::clone(&self.running)))
    }

    async fn handle(&self, _: &Address<Fail>, Fail: Fail, _: &mut Running) -> Result<(), Failure> {
        Err("on purpose".into())
    }
}

#[async_trait]
impl Resident for Lodger {
    async fn start(&self, tenancy: &Tenancy) -> Result<ActorCell, Failure> {
        let place = tenancy.place.child("lodger", &tenancy.epoch.to_string());
        let lodger = tenancy
            .spawner
            .spawn(place, 10, self.clone(), (), Some(&tenancy.supervisor))
            .await?;
        Ok(lodger.cell())
    }
}

#[tokio::test(start_paused = true)]
async fn a_resident_that_failed_is_not_started_twice_when_its_shard_is_taken_anew_meanwhile() {
    let clock = Clock::simulated(61, Millis(1_700_000_000_000));
    let memory = MemoryJournal::new(ShardCount::new(1).unwrap(), clock.clone());
    let journal: Arc<dyn Journal> = Arc::new(memory.clone());
    let doors = directories(&journal, &clock);
    let region = Region::new(Arc::clone(&doors));
    let lodger = Lodger::default();
    let heart = Heart::start(HeartArguments {
        node: "a".into(),
        owner: "a/1".into(),
        takeover: Takeover::AtOnce,
        tenure: Some(Tenure::endless(&clock)),
        journal: Arc::clone(&journal),
        clock: clock.clone(),
        tails: Tails::new(journal.shards()),
        directories: doors,
        residents: vec![Arc::new(lodger.clone())],
    })
    .await
    .unwrap();
    assert!(heart.ready(Duration::from_secs(1)).await);
    let stock = "A".parse::<Sku>().unwrap().stock();
    let shard = region.shard(&stock);
    assert_eq!(
        (lodger.running.load(Relaxed), lodger.started.load(Relaxed)),
        (1, 1)
    );

    // It fails, and is to be started again after a pause; the shard is lost before that is over.
    let newest = lodger.newest.lock().unwrap().take().unwrap();
    newest.tell(Fail);
    while lodger.running.load(Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    memory.inject(Fault::AnswerLost);
    let adjust = stock::Command::Adjust {
        delta: 1,
        reason: "delivery".to_owned(),
    };
    assert!(region.ask::<Stock>(&stock, Ask::new(adjust)).await.is_err());
    assert!(heart.ready(Duration::from_secs(1)).await);
    assert_eq!(memory.committed_after(shard, Position(0)).0, Epoch(2));
    assert_eq!(
        lodger.started.load(Relaxed),
        2,
        "with everything else of the shard"
    );

    clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (lodger.running.load(Relaxed), lodger.started.load(Relaxed)),
        (1, 2)
    );

    // Alone it is started again after its pause.
    let newest = lodger.newest.lock().unwrap().take().unwrap();
    newest.tell(Fail);
    clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (lodger.running.load(Relaxed), lodger.started.load(Relaxed)),
        (1, 3)
    );
    heart.stop(Duration::ZERO).await;
}
