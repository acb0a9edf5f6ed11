//! How a shard comes to this node, and how it goes.
//!
//! What is wanted stands at the [gate](crate::actors::gate::Gates); what is, stands here.
//! [`ShardState::proceed`] takes the next step from the one to the other, whatever came last: it may be
//! called at any time.
//!
//! ```text
//! away -> claiming -> owning -> clearing -> claiming …      it is wanted: recovery
//!                                        -> releasing -> away   it is not
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ShardMessage, ShardState, Tenancy, later};
use crate::actors::persistence::PersistenceMessage;
use crate::actors::stats::Life;
use crate::actors::supervise::{Address, Failure};
use crate::actors::tenure::Tenure;
use crate::domain::planted::{self, Bug};
use crate::journal::{Epoch, JournalFault, Lease, Timer};

/// How long the writer has to adopt a shard.
const ADOPT_LIMIT: Duration = Duration::from_secs(5);
/// Between attempts to take a lease or to give it back.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between such attempts.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Default)]
enum Phase {
    /// Not this node's: nothing of it runs here.
    #[default]
    Away,
    /// Waiting for the lease.
    Claiming,
    Owning(Epoch),
    /// Waiting for the children to end, before the lease is taken again or given back.
    Clearing(Epoch),
    /// Giving the lease back.
    Releasing(Epoch),
}

/// How a shard stands between the journal and this node.
#[derive(Default)]
pub(super) struct Hold {
    phase: Phase,
    /// The tenure under which it claims and owns: the one its activations are answerable to.
    tenure: Option<Tenure>,
    /// The number of the newest call to the journal: answers to older ones come too late.
    call: u64,
    under_way: bool,
    /// How often the journal has failed at what the phase waits for.
    attempt: u32,
    /// A claim was sent, and nobody knows whether it took the lease.
    unsure: bool,
    /// Who waits until nothing runs here.
    leaving: Vec<oneshot::Sender<()>>,
}

impl Hold {
    /// What a shard's actor starts from: its predecessor may have left a lease behind.
    pub(super) fn inherit(tenure: Option<Tenure>) -> Self {
        let phase = if tenure.is_some() {
            Phase::Claiming
        } else {
            Phase::Away
        };
        Self {
            phase,
            unsure: tenure.is_some(),
            tenure,
            ..Self::default()
        }
    }

    /// The epoch it is owned under, if it is.
    pub(super) const fn owned(&self) -> Option<Epoch> {
        match self.phase {
            Phase::Owning(epoch) => Some(epoch),
            _ => None,
        }
    }

    /// The epoch and the tenure it is owned under, as long as that tenure holds.
    pub(super) fn trusted(&self) -> Option<(Epoch, Tenure)> {
        let tenure = self.tenure.as_ref().filter(|tenure| tenure.holds())?;
        Some((self.owned()?, tenure.clone()))
    }

    pub(super) const fn is_clearing(&self) -> bool {
        matches!(self.phase, Phase::Clearing(_))
    }

    pub(super) const fn clearing(&mut self, epoch: Epoch) {
        self.phase = Phase::Clearing(epoch);
    }

    /// Goes to a phase that waits for the journal.
    const fn wait_in(&mut self, phase: Phase) {
        self.phase = phase;
        self.attempt = 0;
    }

    /// Begins a call to the journal; only its answer counts from now on.
    const fn begin(&mut self) -> u64 {
        self.call += 1;
        self.under_way = true;
        self.call
    }

    /// Whether an answer is the one that is waited for.
    const fn end(&mut self, call: u64) -> bool {
        let awaited = self.under_way && call == self.call;
        if awaited {
            self.under_way = false;
        }
        awaited
    }
}

impl ShardState {
    /// It is wanted here: what was waited for with ever longer pauses is tried at once.
    pub(super) fn wanted_now(&mut self, me: &Address<ShardMessage>) {
        self.hold.attempt = 0;
        self.proceed(me);
    }

    pub(super) fn give_up(&mut self, me: &Address<ShardMessage>, reply: oneshot::Sender<()>) {
        self.hold.leaving.push(reply);
        self.proceed(me);
    }

    /// Takes the next step towards what is wanted.
    pub(super) fn proceed(&mut self, me: &Address<ShardMessage>) {
        let wanted = self.with.directories.gates().wanted(self.with.shard);
        let trusted = self.hold.tenure.as_ref().is_some_and(Tenure::holds);
        match self.hold.phase {
            Phase::Owning(epoch) if wanted.is_none() || !trusted => {
                self.clear(me, epoch, "its shard is given up");
            }
            Phase::Clearing(_) if !self.is_clear() => {}
            Phase::Claiming | Phase::Releasing(_) if trusted && self.hold.under_way => {}
            Phase::Releasing(_) if trusted => self.release(me),
            Phase::Away | Phase::Clearing(_) if let Some(tenure) = wanted => {
                self.hold.wait_in(Phase::Claiming);
                self.claim(me, tenure);
            }
            // Somebody must find out whether the last claim took the lease, or nobody gives it back.
            Phase::Claiming if trusted && (wanted.is_some() || self.hold.unsure) => {
                if let Some(tenure) = self.hold.tenure.clone() {
                    self.claim(me, tenure);
                }
            }
            Phase::Clearing(epoch) if trusted => {
                self.hold.wait_in(Phase::Releasing(epoch));
                self.release(me);
            }
            Phase::Owning(_) => {}
            // What was claimed under a tenure that has ended is given back when the node joins again.
            Phase::Away | Phase::Claiming | Phase::Clearing(_) | Phase::Releasing(_) => {
                self.be_away(me);
                if wanted.is_some() {
                    self.proceed(me);
                }
            }
        }
    }

    fn be_away(&mut self, me: &Address<ShardMessage>) {
        self.hold.phase = Phase::Away;
        self.hold.under_way = false;
        self.hold.unsure = false;
        self.hold.tenure = None;
        self.with.directories.gates().set_claimed(self.with.shard, None);
        me.stats().set_life(Life::Running);
        for reply in self.hold.leaving.drain(..) {
            // Who has stopped waiting will look again.
            reply.send(()).ok();
        }
    }

    fn claim(&mut self, me: &Address<ShardMessage>, tenure: Tenure) {
        me.stats().set_life(Life::Starting);
        let gates = self.with.directories.gates();
        gates.set_claimed(self.with.shard, Some(tenure.clone()));
        self.hold.tenure = Some(tenure);
        self.hold.unsure = true;
        let call = self.hold.begin();
        let (shard, takeover) = (self.with.shard, self.with.takeover);
        let (journal, owner) = (Arc::clone(&self.with.journal), Arc::clone(&self.with.owner));
        let me = me.clone();
        tokio::spawn(async move {
            let result = async {
                let lease = journal.claim(shard, &owner, takeover).await?;
                Ok((lease, journal.timers(shard).await?))
            };
            let result = result.await;
            me.tell(ShardMessage::Claimed(call, result));
        });
    }

    pub(super) async fn claimed(
        &mut self,
        me: &Address<ShardMessage>,
        call: u64,
        result: Result<(Lease, Vec<Timer>), JournalFault>,
    ) -> Result<(), Failure> {
        if !self.hold.end(call) {
            return Ok(());
        }
        match result {
            Ok((lease, timers)) => {
                self.hold.unsure = false;
                if self.with.directories.gates().wanted(self.with.shard).is_some() {
                    self.open(me, lease, timers).await?;
                } else {
                    self.hold.wait_in(Phase::Releasing(lease.epoch));
                    self.proceed(me);
                }
            }
            Err(fault @ JournalFault::Held { .. }) => {
                tracing::debug!(%fault, "the shard is not free yet; trying again");
                self.hold.unsure = false;
                if self.with.directories.gates().wanted(self.with.shard).is_some() {
                    // Not ever later: it is free from one moment to the next.
                    self.hold.attempt = 0;
                    self.proceed_later(me);
                } else {
                    self.proceed(me);
                }
            }
            Err(fault) => {
                tracing::warn!(shard = %self.with.shard, attempt = self.hold.attempt + 1, %fault, "the shard's lease could not be taken; trying again");
                self.proceed_later(me);
            }
        }
        Ok(())
    }

    fn proceed_later(&mut self, me: &Address<ShardMessage>) {
        self.hold.attempt += 1;
        let clock = self.with.spawner.clock();
        let pause = clock.backoff(self.hold.attempt, PAUSE, PAUSE_LIMIT) + PAUSE;
        later(me, clock, pause, ShardMessage::Proceed);
    }

    async fn open(
        &mut self,
        me: &Address<ShardMessage>,
        lease: Lease,
        timers: Vec<Timer>,
    ) -> Result<(), Failure> {
        let timers = if planted::is(Bug::LostTimer) {
            vec![]
        } else {
            timers
        };
        let Lease { shard, epoch, head } = lease;
        let (reply, adopted) = oneshot::channel();
        let told = self.with.writer.load_full().is_some_and(|writer| {
            writer.tell(PersistenceMessage::Adopt {
                shard,
                epoch,
                head,
                reply,
            })
        });
        if !told || !matches!(tokio::time::timeout(ADOPT_LIMIT, adopted).await, Ok(Ok(()))) {
            // The writer is being restarted. The lease is taken again once it is there.
            self.hold.unsure = true;
            self.proceed_later(me);
            return Ok(());
        }
        self.hold.phase = Phase::Owning(epoch);
        self.tenancy = Some(Tenancy {
            shard,
            epoch,
            head,
            place: self.with.place.clone(),
            supervisor: me.cell(),
            spawner: self.with.spawner.clone(),
        });
        self.start_timer(me, timers).await?;
        for index in 0..self.with.residents.len() {
            self.readmit(index).await?;
        }
        self.with.directories.gates().open(shard, epoch);
        me.stats().set_life(Life::Running);
        tracing::debug!(%shard, %epoch, %head, "the shard is owned");
        // What is wanted may have changed meanwhile.
        self.proceed(me);
        Ok(())
    }

    fn release(&mut self, me: &Address<ShardMessage>) {
        let Phase::Releasing(epoch) = self.hold.phase else {
            return;
        };
        let call = self.hold.begin();
        let (journal, shard) = (Arc::clone(&self.with.journal), self.with.shard);
        let owner = Arc::clone(&self.with.owner);
        let me = me.clone();
        tokio::spawn(async move {
            let result = journal.release(shard, &owner, epoch).await;
            me.tell(ShardMessage::Released(call, result));
        });
    }

    pub(super) fn released(
        &mut self,
        me: &Address<ShardMessage>,
        call: u64,
        result: Result<(), JournalFault>,
    ) {
        if !self.hold.end(call) {
            return;
        }
        match result {
            Ok(()) => {
                tracing::debug!(shard = %self.with.shard, "the shard was given back");
                self.be_away(me);
                self.proceed(me);
            }
            Err(fault) => {
                tracing::warn!(shard = %self.with.shard, %fault, "the shard's lease could not be given back; trying again");
                self.proceed_later(me);
            }
        }
    }
}
