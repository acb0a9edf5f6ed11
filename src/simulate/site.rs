//! A node of the simulated shop: the real heart, relay and workers, over simulated wires.

use std::sync::Arc;
use std::time::Duration;

use super::auditor::Auditor;
use super::outside::{LedgerTable, MailServer};
use super::plan::Plan;
use super::provider::{Moods, MoodyProvider};
use super::seen::SeenJournal;
use super::trace::Trace;
use super::troubled::TroubledBook;
use crate::accounts::SigningKey;
use crate::actors::heart::{self, Heart, HeartArguments};
use crate::actors::supervise::Failure;
use crate::actors::tenure::Tenure;
use crate::clock::Clock;
use crate::cluster::Region;
use crate::journal::{Journal, MemoryJournal, Takeover};
use crate::provider::{MemoryBooks, PaymentProvider, Providers, Sandbox, WebhookKey, Webhooks, sandbox};
use crate::relay::{Consumer, Relay, RelayArguments, Tails};
use crate::workers::mail::Letterhead;
use crate::workers::{CheckoutWorker, MailWorker, PaymentNotices, PaymentWorker, StockWorker};

/// What outlives every node.
#[derive(Clone)]
pub(super) struct World {
    /// What is going to happen.
    pub plan: Arc<Plan>,
    /// The clock of everything that is no node.
    pub clock: Clock,
    pub trace: Trace,
    pub auditor: Auditor,
    pub journal: MemoryJournal,
    pub book: TroubledBook,
    pub books: Arc<MemoryBooks>,
    pub moods: Moods,
    pub mail: Arc<MailServer>,
    pub ledger: LedgerTable,
}

/// A running node.
pub(super) struct Site {
    pub index: usize,
    pub clock: Clock,
    pub wire: SeenJournal,
    pub region: Region,
    pub relay: Relay,
    heart: Heart,
}

impl Site {
    /// Starts node `index`, for the `life`-th time.
    pub async fn open(world: &World, index: usize, life: u64) -> Result<Self, Failure> {
        let name: Arc<str> = format!("n{index}").into();
        let owner: Arc<str> = format!("n{index}/{life}").into();
        let clock = Clock::simulated(
            world.plan.seed ^ (u64::try_from(index)? + 1) << 48 ^ life << 32,
            world.clock.now(),
        );
        let wire = SeenJournal::new(
            world.journal.seen_by_another(),
            index,
            clock.clone(),
            &world.auditor,
            &world.trace,
        );
        let journal: Arc<dyn Journal> = Arc::new(wire.clone());
        let directories = heart::directories(&journal, &clock);
        directories.hurry_snapshots(world.plan.snapshot_every);
        let region = Region::new(Arc::clone(&directories));
        let tails = Tails::new(journal.shards());
        let notices = Arc::new(PaymentNotices::new(region.clone()));
        let webhooks = Webhooks::new(
            vec![(sandbox::NAME, WebhookKey::fresh(&clock))],
            notices.clone(),
            clock.clone(),
        );
        let provider = MoodyProvider {
            sandbox: Arc::new(Sandbox::open(
                Arc::clone(&world.books) as _,
                Some(webhooks),
                clock.clone(),
            )),
            moods: world.moods.clone(),
            notices,
            clock: clock.clone(),
            trace: world.trace.clone(),
        };
        let providers = Providers::new(vec![Arc::new(provider) as Arc<dyn PaymentProvider>]);
        let letterhead = Arc::new(Letterhead {
            shop: "GlobalShop".to_owned(),
            from: "GlobalShop <shop@localhost>".to_owned(),
            public_url: "http://localhost:8080".to_owned(),
            links: SigningKey::ephemeral(&clock)
                .ok_or("no signing key could be made")?
                .order_links(),
        });
        let consumers: Vec<Arc<dyn Consumer>> = vec![
            Arc::new(CheckoutWorker::new(region.clone())),
            Arc::new(StockWorker::new(region.clone())),
            Arc::new(PaymentWorker::new(region.clone(), providers, clock.clone())),
            Arc::new(MailWorker::new(
                region.clone(),
                letterhead,
                Arc::clone(&world.mail) as _,
            )),
        ];
        let relay = Relay::new(RelayArguments {
            book: Arc::new(world.book.clone()),
            journal: Arc::clone(&journal),
            tails: tails.clone(),
            clock: clock.clone(),
            views: vec![Arc::new(world.ledger.clone())],
            consumers,
        });
        let heart = Heart::start(HeartArguments {
            node: name,
            owner,
            takeover: Takeover::AtOnce,
            tenure: Some(Tenure::endless(&clock)),
            journal,
            clock: clock.clone(),
            tails,
            directories,
            residents: relay.residents(),
        })
        .await?;
        world
            .trace
            .note(format_args!("n{index} opens for the {life}. time"));
        Ok(Self {
            index,
            clock,
            wire,
            region,
            relay,
            heart,
        })
    }

    /// Dies at once, saving nothing.
    pub fn crash(self) {
        self.wire.cut(true);
        self.relay.abandon();
        self.heart.crash();
    }

    /// Moves the node's wall clock back to what everybody else's says.
    pub fn set_clock_right(&self, right: &Clock) {
        self.clock.jump(right.now().since(self.clock.now()));
    }

    /// Whether the node cannot go on by itself.
    pub fn has_failed(&self) -> Option<String> {
        self.heart.fatal().borrow().clone()
    }

    /// Waits until every shard answers.
    pub async fn ready(&self, limit: Duration) -> bool {
        self.heart.ready(limit).await
    }

    /// Has one actor, drawn by `dice`, fail; says which.
    pub fn doom_one(&self, dice: &Clock) -> Vec<Arc<str>> {
        self.heart.doom(dice, false, |_| true)
    }

    /// Has every cart, order and stock fail at one of its next messages; says which.
    pub fn doom_entities(&self, dice: &Clock) -> Vec<Arc<str>> {
        self.heart
            .doom(dice, true, |kind| matches!(kind, "cart" | "order" | "stock"))
    }
}
