//! The nodes together, and what befalls them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::auditor::Violation;
use super::delivery::redrive_all;
use super::plan::Mishap;
use super::provider::Mood;
use super::seen::Jolt;
use super::site::{PLACES, Site, World};
use super::watch::watch;
use super::ways::Ways;
use crate::domain::Shard;
use crate::journal::memory::Fault;
use crate::journal::{Journal as _, Takeover};

/// How long shards may take to open when nothing stands in the way.
const OPEN_LIMIT: Duration = Duration::from_secs(120);
/// How long a node is watched after its trouble.
const AFTERMATH: Duration = Duration::from_secs(4);

/// How long a node that leaves serves who is already inside: longer than a question may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(6);

/// Longer than a node's place counts once it is not heard of: by so much.
const RETURN: Duration = Duration::from_millis(1_500);
/// How many claims of each shard are not heard of when they are lost.
const CLAIMS_LOST: u16 = 4;

/// How long nodes that have crashed take to be gone.
const END: Duration = Duration::from_millis(10);

/// The nodes.
pub(super) struct Fleet {
    world: World,
    ways: Ways,
    sites: Vec<Option<Site>>,
    lives: u64,
    /// What is going to happen, in order.
    agenda: BTreeMap<(Instant, u32), Turn>,
    turns: u32,
}

/// Something on the agenda.
enum Turn {
    Befall(Mishap),
    Reopen(usize),
    Reconnect(usize),
    Calm,
    MailUp,
    MailWanted,
    BookUp,
}

impl Fleet {
    pub fn new(world: World, ways: Ways) -> Self {
        Self {
            sites: (0..world.plan.nodes).map(|_| None).collect(),
            world,
            ways,
            lives: 0,
            agenda: BTreeMap::new(),
            turns: 0,
        }
    }

    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().flatten()
    }

    async fn open(&mut self, index: usize) {
        self.lives += 1;
        match Site::open(&self.world, index, self.lives).await {
            Ok(site) => {
                self.ways.set(index, Some(site.way()));
                self.sites[index] = Some(site);
            }
            Err(failure) => self.world.auditor.accuse(Violation {
                invariant: "I7",
                what: format!("node {index} does not start: {failure}"),
            }),
        }
    }

    pub async fn open_all(&mut self) {
        for index in 0..self.sites.len() {
            self.open(index).await;
        }
        self.await_shards().await;
    }

    /// Waits until every shard answers at the one node that should own it.
    async fn await_shards(&self) {
        let deadline = self.world.clock.instant() + OPEN_LIMIT;
        while !self.is_whole() {
            if self.world.clock.instant() >= deadline || self.sites().any(|site| site.has_failed().is_some())
            {
                return self.world.auditor.accuse(Violation {
                    invariant: "I7",
                    what: "not every shard opens at the node that should own it".to_owned(),
                });
            }
            self.world.clock.sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_whole(&self) -> bool {
        let up = self.sites().count();
        let settled = |site: &Site| site.members() == up && site.has_opened();
        let shards = self.world.journal.shard_count();
        let owned = |shard| {
            self.sites()
                .filter(|site| site.region.epoch(shard).is_some())
                .count()
                == 1
        };
        self.sites().all(settled) && shards.all().all(owned)
    }

    fn plan(&mut self, wait: Duration, turn: Turn) {
        self.turns += 1;
        self.agenda
            .insert((self.world.clock.instant() + wait, self.turns), turn);
    }

    /// Everything that goes wrong, at its time.
    pub async fn suffer(&mut self) {
        let plan = std::sync::Arc::clone(&self.world.plan);
        for (at, mishap) in &plan.mishaps {
            self.plan(*at, Turn::Befall(mishap.clone()));
        }
        while let Some(((at, _), turn)) = self.agenda.pop_first() {
            let wait = at.saturating_duration_since(self.world.clock.instant());
            self.world.clock.sleep(wait).await;
            self.turn(turn).await;
        }
    }

    async fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Befall(mishap) => {
                self.world.trace.note(format_args!("MISHAP {mishap:?}"));
                self.befall(mishap).await;
            }
            Turn::Reopen(index) => {
                if self.sites[index].is_none() {
                    self.open(index).await;
                }
            }
            Turn::Reconnect(index) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.cut(false);
                }
            }
            Turn::Calm => self.world.moods.set(Mood::Good),
            Turn::MailUp => self.world.mail.down(false),
            Turn::MailWanted => self.world.mail.refuse(false),
            Turn::BookUp => self.world.book.down(false),
        }
    }

    /// Has somebody look at what a node shows while it is in trouble, and for a while after.
    fn watch(&self, index: usize, long: Duration) {
        if self.world.plan.nodes > 1 {
            tokio::spawn(watch(self.world.clone(), index, long + AFTERMATH));
        }
    }

    async fn befall(&mut self, mishap: Mishap) {
        if !matches!(mishap, Mishap::Leave(..)) {
            self.world.untroubled.store(false, Relaxed);
        }
        match mishap {
            Mishap::Journal(index, fault) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.inner().inject(fault);
                }
            }
            Mishap::Crash(index, down) => {
                if let Some(site) = self.sites[index].take() {
                    self.ways.set(index, None);
                    site.crash();
                    self.plan(down, Turn::Reopen(index));
                }
            }
            Mishap::Kill(index) => {
                if let Some(site) = &self.sites[index] {
                    let victim = site.doom_one(&self.world.clock);
                    self.world.trace.note(format_args!("doomed {victim:?}"));
                }
            }
            Mishap::KillWhileWriting(index, long) => {
                if let Some(site) = &self.sites[index] {
                    for _ in 0..3 {
                        site.wire.inner().inject(Fault::WriteSlow(long));
                    }
                    let victim = site.doom_entities(&self.world.clock);
                    self.world.trace.note(format_args!("doomed {victim:?}"));
                }
            }
            Mishap::CutOff(index, long) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.cut(true);
                    self.watch(index, long);
                    self.plan(long, Turn::Reconnect(index));
                }
            }
            Mishap::Thief(shard) => {
                // The stranger is nobody's member and holds nothing.
                let claim = self
                    .world
                    .journal
                    .claim(Shard(shard), "thief/1", Takeover::AtOnce);
                if let Err(fault) = claim.await {
                    self.world.trace.note(format_args!("the thief failed: {fault}"));
                }
            }
            Mishap::ClockJump(index, by_ms) => {
                if let Some(site) = &self.sites[index] {
                    site.clock.jump(by_ms);
                }
            }
            Mishap::Glitch(index, event, by_ms, long) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.glitch(event, Jolt::Clock(by_ms), long);
                }
            }
            Mishap::RoughWhen(index, event, long) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.glitch(event, Jolt::Provider(Mood::Rough), long);
                }
            }
            Mishap::RoughProvider(long) => {
                self.world.moods.set(Mood::Rough);
                self.plan(long, Turn::Calm);
            }
            Mishap::ProviderDown(long) => {
                self.world.moods.set(Mood::Down);
                self.plan(long, Turn::Calm);
            }
            Mishap::MailDown(long) => {
                self.world.mail.down(true);
                self.plan(long, Turn::MailUp);
            }
            Mishap::MailRefused(long) => {
                self.world.mail.refuse(true);
                self.plan(long, Turn::MailWanted);
            }
            Mishap::Redrive(index) => {
                if let Some(site) = &self.sites[index] {
                    // Nobody waits for the operator; what fails again waits for the last look.
                    let letters = site.relay.dead_letters();
                    let auditor = self.world.auditor.clone();
                    tokio::spawn(async move {
                        drop(redrive_all(&auditor, &letters).await);
                    });
                }
            }
            Mishap::RedriveTogether(one, other) => {
                for index in [one, other] {
                    Box::pin(self.befall(Mishap::Redrive(index))).await;
                }
            }
            Mishap::BookDown(long) => {
                self.world.book.down(true);
                self.plan(long, Turn::BookUp);
            }
            Mishap::JoinLate(index, late) => {
                if let Some(site) = &self.sites[index] {
                    site.wire.delay_join(late);
                }
                // It joins again when it has lost its place.
                Box::pin(self.befall(Mishap::CutOff(index, PLACES.ttl + RETURN))).await;
            }
            Mishap::ClaimsLost(index, down) => {
                for (other, site) in self.sites.iter().enumerate() {
                    if let Some(site) = site.as_ref().filter(|_| other != index) {
                        for _ in 0..CLAIMS_LOST * self.world.plan.shards {
                            site.wire.inner().inject(Fault::ClaimLost);
                        }
                    }
                }
                Box::pin(self.befall(Mishap::Leave(index, down))).await;
            }
            Mishap::Part(one, other, long) => {
                self.world
                    .cables
                    .part(one, other, self.world.clock.instant() + long);
            }
            Mishap::RoughLink(long) => self.world.cables.roughen(self.world.clock.instant() + long),
            Mishap::Freeze(index, long) => {
                if let Some(site) = &self.sites[index] {
                    site.clock.freeze(long);
                    self.watch(index, long);
                }
            }
            Mishap::Leave(index, down) => {
                if let Some(site) = self.sites[index].take() {
                    if let Some(inside) = self.ways.close_door(index) {
                        // Who is inside is served first, as the real node drains its connections. After the
                        // limit they are left alone: a node that stands still serves nobody.
                        let served = timeout(DRAIN_LIMIT, inside.wait()).await;
                        self.world
                            .trace
                            .note(format_args!("everybody served: {}", served.is_ok()));
                    }
                    site.leave().await;
                    self.ways.set(index, None);
                    self.plan(down, Turn::Reopen(index));
                }
            }
        }
    }

    /// Ends every node and closes every way, so that nothing outlives the run: nodes reach one another by the
    /// ways, and so would keep one another for ever.
    pub async fn end(&mut self) {
        for (index, site) in self.sites.iter_mut().enumerate() {
            self.ways.set(index, None);
            if let Some(site) = site.take() {
                site.crash();
            }
        }
        self.world.clock.sleep(END).await;
    }

    /// Everything works again.
    pub async fn heal(&mut self) {
        self.world.trace.note(format_args!("everything heals"));
        self.world.moods.set(Mood::Good);
        self.world.mail.down(false);
        self.world.mail.refuse(false);
        self.world.book.down(false);
        self.world.cables.heal();
        for index in 0..self.sites.len() {
            let failed = self.sites[index]
                .as_ref()
                .is_none_or(|site| site.has_failed().is_some());
            if let Some(site) = &self.sites[index] {
                site.clock.freeze(Duration::ZERO);
                site.wire.cut(false);
                site.wire.inner().heal();
                site.wire.steady();
                site.set_clock_right(&self.world.clock);
            }
            if failed {
                if let Some(site) = self.sites[index].take() {
                    site.crash();
                }
                self.open(index).await;
            }
        }
        self.await_shards().await;
    }
}
