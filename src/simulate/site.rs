//! A node of the simulated shop: the real heart, relay and workers, over simulated wires.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::BEGINNING;
use super::auditor::{Auditor, delivery::Hand};
use super::delivery::SeenConsumer;
use super::link::{Cables, SimLink};
use super::outside::{LedgerTable, LinkKeys, MailServer};
use super::plan::Plan;
use super::provider::{Moods, MoodyProvider};
use super::seen::SeenJournal;
use super::trace::Trace;
use super::troubled::TroubledBook;
use super::ways::{Way, Ways};
use crate::accounts::SigningKey;
use crate::actors::heart::{self, Heart, HeartArguments};
use crate::actors::supervise::Failure;
use crate::actors::tenure::Tenure;
use crate::clock::Clock;
use crate::cluster::{Membership, MembershipArguments, MembershipSettings, Placement, Region, Routes};
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
    pub links: LinkKeys,
    pub ledger: LedgerTable,
    pub cables: Cables,
    pub ways: Ways,
    /// Whether nothing has gone wrong yet.
    pub untroubled: Arc<AtomicBool>,
}

impl World {
    /// Whether nothing has gone wrong yet.
    pub fn is_untroubled(&self) -> bool {
        self.untroubled.load(Relaxed)
    }
}

/// How the nodes keep their places where there are several. Slower than real ones: hours pass here.
pub(super) const PLACES: MembershipSettings = MembershipSettings {
    takeover: Takeover::AfterExpiry,
    ttl: Duration::from_millis(3_000),
    renewal: Duration::from_millis(750),
};

/// From whom mails are.
pub(super) const SENDER: &str = "GlobalShop <shop@localhost>";

/// The longest a node's machine had been up when everything began, in seconds.
const UPTIME: u64 = 5 * 3_600;

/// A running node.
pub(super) struct Site {
    pub clock: Clock,
    pub wire: SeenJournal,
    pub region: Region,
    pub relay: Relay,
    heart: Heart,
    /// Alone, it owns everything for ever.
    membership: Option<Membership>,
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
        // A machine goes on when its node dies, and no two were started at the same time.
        let uptime =
            Clock::simulated(world.plan.seed ^ u64::try_from(index)?, BEGINNING).random_below(UPTIME);
        let clock = clock.up_for(world.clock.boot() + Duration::from_secs(uptime));
        let wire = SeenJournal::new(
            world.journal.seen_by_another(),
            index,
            clock.clone(),
            &world.auditor,
            &world.trace,
        )
        .beside(&world.ways, &world.moods);
        let journal: Arc<dyn Journal> = Arc::new(wire.clone());
        let directories = heart::directories(&journal, &clock);
        directories.hurry_snapshots(world.plan.snapshot_every);
        let alone = world.plan.nodes == 1;
        let placement = Arc::new(Placement::new(Arc::clone(&name), journal.shards()));
        let link = SimLink {
            from: index,
            clock: clock.clone(),
            dice: world.clock.clone(),
            cables: world.cables.clone(),
            ways: world.ways.clone(),
            auditor: world.auditor.clone(),
            trace: world.trace.clone(),
        };
        let region = if alone {
            Region::new(Arc::clone(&directories))
        } else {
            let routes = Routes::new(Arc::clone(&placement), Arc::new(link), clock.clone());
            Region::linked(Arc::clone(&directories), routes)
        };
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
        let links = SigningKey::ephemeral(&clock)
            .ok_or("no signing key could be made")?
            .order_links();
        world.links.keep(&links);
        let letterhead = Arc::new(Letterhead {
            shop: "GlobalShop".to_owned(),
            from: SENDER.to_owned(),
            public_url: "http://localhost:8080".to_owned(),
            links,
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
        let seen = |inner| {
            Arc::new(SeenConsumer {
                inner,
                lanes: Hand::Lane(index, life),
                clock: clock.clone(),
                auditor: world.auditor.clone(),
            }) as Arc<dyn Consumer>
        };
        let relay = Relay::new(RelayArguments {
            book: Arc::new(world.book.clone()),
            journal: Arc::clone(&journal),
            tails: tails.clone(),
            clock: clock.clone(),
            views: vec![Arc::new(world.ledger.clone())],
            consumers: consumers.into_iter().map(seen).collect(),
        });
        let heart = Heart::start(HeartArguments {
            node: name,
            owner: Arc::clone(&owner),
            takeover: if alone { Takeover::AtOnce } else { PLACES.takeover },
            tenure: alone.then(|| Tenure::endless(&clock)),
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            tails,
            directories,
            residents: relay.residents(),
        })
        .await?;
        let membership = (!alone).then(|| {
            Membership::start(MembershipArguments {
                owner,
                journal,
                gates: Arc::clone(heart.gates()),
                clock: clock.clone(),
                settings: PLACES,
                placement: Some(placement),
            })
        });
        world
            .trace
            .note(format_args!("n{index} opens for the {life}. time"));
        Ok(Self {
            clock,
            wire,
            region,
            relay,
            heart,
            membership,
        })
    }

    /// The way into the shop through this node.
    pub fn way(&self) -> Way {
        Way {
            region: self.region.clone(),
            clock: self.clock.clone(),
            bulk: self.heart.bulk().clone(),
            door: true,
            inside: TaskTracker::new(),
        }
    }

    /// Gives back every shard, leaves, and ends.
    pub async fn leave(mut self) {
        if let Some(membership) = self.membership.take() {
            membership.leave().await;
        }
        self.crash();
    }

    /// Dies at once, saving nothing.
    pub fn crash(self) {
        self.wire.cut(true);
        if let Some(membership) = self.membership {
            membership.crash();
        }
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

    /// How many nodes were members when this one last looked; alone, it is the one.
    pub fn members(&self) -> usize {
        let members = self.membership.as_ref().map(Membership::members);
        members.map_or(1, |members| members.borrow().0.len())
    }

    /// Whether every shard that this node should own answers.
    pub fn has_opened(&self) -> bool {
        self.heart.gates().all_wanted_open()
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
