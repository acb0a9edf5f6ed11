//! The heartbeat of a node: while it beats, the node may own shards.
//!
//! ```text
//! join -> beat, beat, beat … -> the time ran out, or the row is gone
//!   ^                                      |
//!   +---- nothing is in memory any more <--+   every gate closed, every activation ended
//! ```
//!
//! Each heartbeat says who is a member. When that changes, so does the node's share of the shards: it
//! takes what is new in it, and gives back, one shard after the other as each comes to rest, what is not
//! in it any more.
//!
//! **Invariant:** the node joins only when nothing of an earlier time is in its memory. The tenure of
//! that time has ended for good, so even what lingers tells nobody anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::placement::Placement;
use crate::actors::gate::Gates;
use crate::actors::tenure::Tenure;
use crate::clock::Clock;
use crate::domain::Shard;
use crate::domain::planted::{self, Bug};
use crate::journal::{Journal, JournalFault, Members, Takeover};

/// How long the shards have to end everything that runs in them before the node looks again.
const CLEAR_LIMIT: Duration = Duration::from_secs(10);
/// Between attempts to join.
const JOIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between attempts to join.
const JOIN_PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// How long the journal has to answer when the node joins or leaves.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// How a node keeps its place among the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipSettings {
    /// What the node may do about shards and names that somebody else holds.
    pub takeover: Takeover,
    /// How long a heartbeat counts. If the node dies, its shards are free after this and
    /// [the margin](crate::journal::TAKEOVER_MARGIN).
    pub ttl: Duration,
    /// How often the heart beats: several times within `ttl`.
    pub renewal: Duration,
}

impl MembershipSettings {
    /// For a node that is known to be the only one: it takes everything at once, and however busy its
    /// machine is, its time does not run out.
    pub const ALONE: Self = Self {
        takeover: Takeover::AtOnce,
        ttl: Duration::from_secs(600),
        renewal: Duration::from_secs(5),
    };
}

/// What the membership works with.
#[derive(Clone)]
pub struct MembershipArguments {
    /// The name under which the node holds leases: the node and its incarnation.
    pub owner: Arc<str>,
    /// The journal that members share.
    pub journal: Arc<dyn Journal>,
    /// The gates of the node's shards.
    pub gates: Arc<Gates>,
    /// The clock.
    pub clock: Clock,
    /// How it keeps its place.
    pub settings: MembershipSettings,
    /// Where the shards should be: the node owns its share, and gives back what is not in it any more.
    /// Without one it owns every shard it can get: the others stand by, for nobody could ask them.
    pub placement: Option<Arc<Placement>>,
}

/// The membership of a node, at work.
#[derive(Debug)]
pub struct Membership {
    stop: CancellationToken,
    task: JoinHandle<()>,
    members: watch::Receiver<Members>,
}

impl Membership {
    /// Starts it: the node joins, and its shards are taken.
    #[must_use]
    pub fn start(arguments: MembershipArguments) -> Self {
        let stop = CancellationToken::new();
        let (seen, members) = watch::channel(Members::default());
        let keeper = Keeper {
            with: arguments,
            seen,
        };
        let task = tokio::spawn(keeper.run(stop.clone()));
        Self { stop, task, members }
    }

    /// Who was a member at the last heartbeat; nobody while this node is none.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    /// Gives up every shard and leaves, so that nobody has to wait for this node's time to run out.
    pub async fn leave(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the membership failed");
        }
    }

    /// Stops beating, at once and without a word, as a node that is killed does.
    pub fn crash(self) {
        self.task.abort();
    }
}

struct Keeper {
    with: MembershipArguments,
    seen: watch::Sender<Members>,
}

/// Why a time as a member is over.
enum Over {
    /// The node leaves.
    Leaving,
    /// Its time ran out, and why.
    Lost(String),
}

impl Keeper {
    async fn run(self, stop: CancellationToken) {
        while let Some(tenure) = self.join(&stop).await {
            let over = self.keep(&tenure, &stop).await;
            tenure.end();
            let members = self.seen.send_replace(Members::default());
            if let Some(placement) = &self.with.placement {
                placement.leave_it_to_others(&members);
            }
            match over {
                Over::Leaving => {
                    if self.clear().await {
                        self.leave().await;
                    }
                    return;
                }
                Over::Lost(reason) => {
                    tracing::error!(owner = %self.with.owner, reason, "the node's time as a member has run out; it ends what it remembers and joins again");
                    metrics::counter!("globalshop_membership_lost_total").increment(1);
                    while !self.clear().await {}
                }
            }
        }
    }

    /// Joins, however often that must be tried; `None` if the node is to stop.
    async fn join(&self, stop: &CancellationToken) -> Option<Tenure> {
        let MembershipArguments {
            owner,
            journal,
            clock,
            settings,
            ..
        } = &self.with;
        let mut attempt = 0;
        loop {
            let sent = clock.boot();
            let joining = journal.join(owner, settings.ttl, settings.takeover);
            let joined = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                joined = tokio::time::timeout(JOIN_LIMIT, joining) => joined,
            };
            match joined {
                Ok(Ok(members)) => {
                    let tenure = Tenure::until(clock, sent + settings.ttl);
                    tracing::info!(%owner, members = members.0.len(), "the node has joined");
                    self.place(&tenure, members);
                    return Some(tenure);
                }
                Ok(Err(fault @ JournalFault::NameTaken { .. })) => {
                    tracing::warn!(%fault, "waiting until that one's time is up");
                }
                Ok(Err(fault)) => tracing::warn!(%fault, "the node could not join; trying again"),
                Err(_) => {
                    tracing::warn!(limit = ?JOIN_LIMIT, "the node could not join in time; trying again");
                }
            }
            attempt += 1;
            let pause = JOIN_PAUSE + clock.backoff(attempt, JOIN_PAUSE, JOIN_PAUSE_LIMIT);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = clock.sleep(pause) => {}
            }
        }
    }

    /// Beats until the time runs out or the node is to stop.
    async fn keep(&self, tenure: &Tenure, stop: &CancellationToken) -> Over {
        let MembershipArguments {
            owner,
            journal,
            clock,
            settings,
            ..
        } = &self.with;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Over::Leaving,
                () = clock.sleep(settings.renewal) => {}
            }
            let sent = clock.boot();
            // An answer that comes later than this earns nothing. Waiting for it would only keep the
            // node from trying again in time.
            let patience = settings.renewal.max(settings.ttl / 3);
            let beat = tokio::time::timeout(patience, journal.beat(owner, settings.ttl)).await;
            let fault = match beat {
                Ok(Ok(members)) => {
                    let from = if planted::is(Bug::TenureFromTheAnswer) {
                        clock.boot()
                    } else {
                        sent
                    };
                    tenure.extend(from + settings.ttl);
                    self.place(tenure, members);
                    None
                }
                Ok(Err(fault @ JournalFault::NotMember { .. })) => return Over::Lost(fault.to_string()),
                Ok(Err(fault)) => Some(fault.to_string()),
                Err(_) => Some(format!("no answer within {patience:?}")),
            };
            if !tenure.holds() {
                let reason = fault.unwrap_or_else(|| "the last answer came too late".to_owned());
                return Over::Lost(reason);
            }
            if let Some(reason) = fault {
                tracing::warn!(%owner, reason, "a heartbeat failed; trying again");
            }
        }
    }

    /// Has the node own its share of the shards, or all of them.
    fn place(&self, tenure: &Tenure, members: Members) {
        let changed = self.seen.send_if_modified(|seen| {
            let changed = *seen != members;
            *seen = members;
            changed
        });
        if !changed {
            return;
        }
        if let Some(placement) = &self.with.placement {
            placement.update(&self.seen.borrow());
        }
        for shard in self.with.gates.shards() {
            if self.should_own(shard) {
                self.with.gates.take(shard, tenure);
            } else {
                self.with.gates.let_go(shard);
            }
        }
    }

    fn should_own(&self, shard: Shard) -> bool {
        // Alone, it takes what an earlier name of its own may still hold.
        self.with.settings.takeover == Takeover::AtOnce
            || self
                .with
                .placement
                .as_ref()
                .is_none_or(|placement| placement.is_mine(shard))
    }

    /// Closes every gate and waits until nothing of any shard runs here; `false` if that takes long.
    async fn clear(&self) -> bool {
        let deadline = self.with.clock.instant() + CLEAR_LIMIT;
        let clear = self.with.gates.give_up_all(deadline).await;
        if !clear {
            tracing::error!(limit = ?CLEAR_LIMIT, "not everything that runs in the shards has ended in time");
        }
        clear
    }

    async fn leave(&self) {
        let leaving = self.with.journal.leave(&self.with.owner);
        match tokio::time::timeout(JOIN_LIMIT, leaving).await {
            Ok(Ok(())) => tracing::info!(owner = %self.with.owner, "the node has left"),
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "the node could not leave; its shards are free when its time is up");
            }
            Err(_) => {
                tracing::warn!("the node could not leave in time; its shards are free when its time is up");
            }
        }
    }
}
