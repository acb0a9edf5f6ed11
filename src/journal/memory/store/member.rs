//! Members and leases: who may own what, and who does.

use std::time::Duration;

use super::Store;
use crate::domain::Shard;
use crate::domain::planted::{self, Bug};
use crate::journal::member::node_of;
use crate::journal::{Epoch, JournalFault, Lease, Members, TAKEOVER_MARGIN, Takeover};

impl Store {
    /// `now` is the time of the one clock that every node of this store shares.
    pub fn join(
        &mut self,
        now: Duration,
        owner: &str,
        ttl: Duration,
        takeover: Takeover,
    ) -> Result<Members, JournalFault> {
        let node = node_of(owner);
        if let Some((other, expires)) = self.members.get(node)
            && other != owner
            && takeover == Takeover::AfterExpiry
            && now <= *expires + TAKEOVER_MARGIN
        {
            return Err(JournalFault::NameTaken {
                node: node.to_owned(),
                owner: other.clone(),
            });
        }
        self.owners.retain(|_, of| of != owner);
        self.members
            .insert(node.to_owned(), (owner.to_owned(), now + ttl));
        Ok(self.alive(now))
    }

    pub fn beat(&mut self, now: Duration, owner: &str, ttl: Duration) -> Result<Members, JournalFault> {
        match self.members.get_mut(node_of(owner)) {
            Some((of, expires)) if of == owner && *expires > now => *expires = now + ttl,
            _ => {
                return Err(JournalFault::NotMember {
                    owner: owner.to_owned(),
                });
            }
        }
        Ok(self.alive(now))
    }

    pub fn leave(&mut self, owner: &str) {
        self.owners.retain(|_, of| of != owner);
        self.members.retain(|_, (of, _)| of != owner);
    }

    /// Raises the epoch, unless another member owns the shard and that is to be respected.
    pub fn claim(
        &mut self,
        now: Duration,
        shard: Shard,
        owner: &str,
        takeover: Takeover,
    ) -> Result<Lease, JournalFault> {
        if let Some(holder) = self.owners.get(&shard).filter(|holder| *holder != owner)
            && takeover == Takeover::AfterExpiry
        {
            self.members
                .retain(|_, (of, expires)| of != holder || now <= *expires + TAKEOVER_MARGIN);
            if self.members.values().any(|(of, _)| of == holder) && !planted::is(Bug::TakenTooSoon) {
                return Err(JournalFault::Held {
                    shard,
                    owner: holder.clone(),
                });
            }
        }
        self.owners.insert(shard, owner.to_owned());
        let epoch = self.epochs.entry(shard).or_default();
        epoch.0 += 1;
        Ok(Lease {
            shard,
            epoch: *epoch,
            head: self.head(shard),
        })
    }

    pub fn release(&mut self, shard: Shard, owner: &str, epoch: Epoch) {
        let mine = self.owners.get(&shard).is_some_and(|of| of == owner);
        if mine && self.epochs.get(&shard) == Some(&epoch) {
            self.owners.remove(&shard);
        }
    }

    fn alive(&self, now: Duration) -> Members {
        let alive = self.members.values().filter(|(_, expires)| *expires > now);
        Members(alive.map(|(owner, _)| owner.clone()).collect())
    }
}
