//! The whole shop on a virtual clock, in one process, from one seed.
//!
//! Real entities, shards, writers, relay and workers run on tokio's paused clock over a journal in
//! memory, on one, two or three nodes that share it. A [`plan`] drawn from the seed says what shoppers do
//! and what goes wrong: appends that are not written, written unheard, or late; leases lost; actors,
//! workers and nodes that die, stand still, leave, or are cut off; messages between nodes lost, doubled
//! and late; a provider that contradicts itself; clocks that jump. The [`auditor`]
//! stands outside with simpler books of its own and says which answers were possible, and whether
//! I1 to I9 hold, at every commit and every answer. A seed that fails prints itself, fails again the
//! same way, and is [shrunk](shrink) to a short history.
//!
//! Reading order: [`plan`], [`auditor`], `shopper`, [`run`].
//!
//! It cannot find what only PostgreSQL can do wrong (locks, in-flight commits): the contract suite
//! of the journal and the fault tests are for that.

pub mod auditor;
mod catalogue;
mod delivery;
mod fleet;
mod link;
pub mod outside;
pub mod plan;
pub mod provider;
pub mod seen;
mod shopper;
pub mod shrink;
mod site;
pub mod trace;
pub mod troubled;
mod verdict;
mod visit;
mod watch;
mod ways;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use auditor::Violation;
pub use plan::Plan;

use self::auditor::Auditor;
use self::fleet::Fleet;
use self::outside::{LedgerTable, LinkKeys, MailServer};
use self::plan::{PLENTY, SCARCE};
use self::provider::Moods;
use self::shopper::Shopper;
use self::site::World;
use self::trace::Trace;
use self::troubled::TroubledBook;
use self::ways::Way;
use crate::clock::Clock;
use crate::cluster::Ask;
use crate::domain::id::Sku;
use crate::domain::stock::{self, Stock};
use crate::domain::{Millis, ShardCount};
use crate::journal::MemoryJournal;
use crate::provider::MemoryBooks;

/// How often the shelf is asked to take its first units.
const TRIES: u32 = 200;
/// Longer than any run takes by its own clock: who still waits then waits for ever.
const LIFETIME: Duration = Duration::from_secs(3 * 86_400);
/// When every simulation begins.
const BEGINNING: Millis = Millis(1_700_000_000_000);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The same for the same plan, always.
    pub digest: u64,
    /// Events committed.
    pub events: usize,
    /// Orders placed.
    pub orders: usize,
    /// The virtual time it took.
    pub passed: Duration,
    /// What was found broken, if anything.
    pub violation: Option<Violation>,
    /// What happened, line by line, if that was asked for.
    pub trace: Vec<String>,
}

/// Runs a plan. `keep`: whether the report has the trace.
///
/// # Errors
/// When the machine gives no runtime.
pub fn run(plan: &Plan, keep: bool) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    // What a shop logs on bad days is no news here.
    let silence = tracing::subscriber::NoSubscriber::new();
    tracing::subscriber::with_default(silence, || Ok(runtime.block_on(simulate(plan, keep))))
}

async fn simulate(plan: &Plan, keep: bool) -> Report {
    let clock = Clock::simulated(plan.seed.rotate_left(32) ^ 0x5eed, BEGINNING);
    let trace = Trace::new(clock.clone(), keep);
    let shards = ShardCount::new(plan.shards).unwrap_or(ShardCount::DEFAULT);
    let journal = MemoryJournal::new(shards, clock.clone());
    let books = Arc::new(MemoryBooks::default());
    let auditor = Auditor::new(&journal, &trace).beside(&books);
    let world = World {
        plan: Arc::new(plan.clone()),
        clock: clock.clone(),
        book: TroubledBook::heard_by(&auditor),
        auditor,
        trace: trace.clone(),
        journal,
        books,
        moods: Moods::new(plan.strict),
        mail: Arc::new(MailServer::default()),
        links: LinkKeys::default(),
        ledger: LedgerTable::default(),
        cables: link::Cables::default(),
        ways: ways::Ways::default(),
        untroubled: Arc::new(AtomicBool::new(true)),
    };
    tokio::select! {
        biased;
        _ = world.auditor.alarm() => {}
        () = whole(&world) => {}
        () = clock.sleep(LIFETIME) => world.auditor.accuse(Violation {
            invariant: "I7",
            what: format!("the run has not come to its end within {} days", LIFETIME.as_secs() / 86_400),
        }),
    }
    Report {
        digest: trace.digest(),
        events: world.auditor.events(),
        orders: world.auditor.orders().len(),
        passed: Duration::from_millis(u64::try_from(clock.now().since(BEGINNING)).unwrap_or(0)),
        violation: world.auditor.verdict(),
        trace: trace.lines(),
    }
}

/// From the opening to the last check.
async fn whole(world: &World) {
    let ways = world.ways.clone();
    let mut fleet = Fleet::new(world.clone(), ways.clone());
    fleet.open_all().await;
    let mut shelf = vec![(SCARCE, world.plan.units)];
    shelf.extend(PLENTY.map(|sku| (sku, 1_000_000)));
    for (sku, units) in shelf {
        stock_up(world, &ways.any(&world.clock).await, sku, units).await;
    }
    let shoppers = (0..world.plan.shoppers.len()).map(|number| Shopper::new(number, world, &ways).shop());
    let (orders, ()) = tokio::join!(futures_util::future::join_all(shoppers), fleet.suffer());
    let orders: Vec<_> = orders.into_iter().flatten().collect();
    fleet.heal().await;
    verdict::of(world, &mut fleet, &ways, &orders).await;
    fleet.end().await;
}

/// Puts units on the shelf; nothing has gone wrong yet but time.
async fn stock_up(world: &World, way: &Way, sku: &str, units: i64) {
    let Ok(sku) = sku.parse::<Sku>() else { return };
    let adjust = stock::Command::Adjust {
        delta: units,
        reason: "delivery".to_owned(),
    };
    let operation = crate::domain::id::OperationId::derive(uuid::Uuid::NAMESPACE_OID, sku.as_str());
    let ask = Ask::new(adjust).operation(operation);
    for _ in 0..TRIES {
        if way.ask::<Stock>(&sku.stock(), ask.clone()).await.is_ok() {
            return;
        }
        world.clock.sleep(Duration::from_millis(50)).await;
    }
    world.auditor.accuse(Violation {
        invariant: "I7",
        what: format!("{} has not answered for {TRIES} tries", sku.stock()),
    });
}
