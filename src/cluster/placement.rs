//! Which node should own which shard, and under which address a shard was last found.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): each pair of node and shard has a weight, and the
//! node with the highest has the shard. It is the same at every node that knows the same members, and a
//! node that comes or goes moves its own share and nothing else.
//!
//! **Invariant:** this is a hint. It says who should claim and where to ask; who owns a shard is said by
//! the journal alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::domain::{Shard, ShardCount};
use crate::journal::member::node_of;
use crate::journal::{Epoch, Members};

/// Where a shard is: which node owns it, and under which epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardAddress {
    /// The node's name.
    pub node: Arc<str>,
    /// The epoch it holds the shard under; 0 if the node is only presumed to own it.
    pub epoch: Epoch,
}

/// What a node knows of where a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where.
    pub address: ShardAddress,
    /// The boot clock there, if it has answered under this address.
    pub heard: Option<Heard>,
}

/// What the boot clock of another node showed, and the own one when that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// There, when it answered.
    pub there: Duration,
    /// Here, when the answer came.
    pub here: Duration,
}

impl Heard {
    /// What the clock there shows at the least when the one here shows `here` (the answer was under way
    /// for some time); none if the two may have drifted apart since.
    #[must_use]
    pub fn there_at(&self, here: Duration) -> Option<Duration> {
        let passed = here.saturating_sub(self.here);
        (passed <= HEARD_LIMIT).then_some(self.there + passed)
    }
}

/// How long another node's clock is known after it was heard.
const HEARD_LIMIT: Duration = Duration::from_secs(60);

/// The node, of these, that should own a shard; none if there is no node.
pub fn owner_of<'a>(nodes: impl IntoIterator<Item = &'a str>, shard: Shard) -> Option<&'a str> {
    nodes.into_iter().max_by_key(|node| (weight(node, shard), *node))
}

/// FNV-1a over the node's name and the shard, then the finaliser of `SplitMix64`, because FNV alone
/// hardly mixes the last bytes. Written out here: every version must give every pair the same weight.
fn weight(node: &str, shard: Shard) -> u64 {
    let bytes = node.bytes().chain([0]).chain(shard.0.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What a node knows of where each shard is. Written by its membership and by the answers its region
/// gets; read by its region.
pub struct Placement {
    me: Arc<str>,
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    /// Who should own it, of those who are members.
    presumed: ArcSwapOption<Known>,
    /// Where it was last found.
    found: ArcSwapOption<Known>,
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placement")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Placement {
    /// What node `me` knows when it has heard of nobody yet.
    #[must_use]
    pub fn new(me: Arc<str>, shards: ShardCount) -> Self {
        Self {
            me,
            places: shards.all().map(|_| Place::default()).collect(),
        }
    }

    /// This node.
    #[must_use]
    pub const fn me(&self) -> &Arc<str> {
        &self.me
    }

    fn place(&self, shard: Shard) -> &Place {
        // Shards come from the same count, so the index is always there.
        &self.places[usize::from(shard.0) % self.places.len()]
    }

    /// Whether this node should own a shard.
    #[must_use]
    pub fn is_mine(&self, shard: Shard) -> bool {
        let presumed = self.place(shard).presumed.load();
        presumed
            .as_ref()
            .is_some_and(|known| known.address.node == self.me)
    }

    /// Where to ask for a shard: where it was last found, else where it should be.
    #[must_use]
    pub fn known(&self, shard: Shard) -> Option<Known> {
        let place = self.place(shard);
        let known = place.found.load_full().or_else(|| place.presumed.load_full());
        known.map(|known| Known::clone(&known))
    }

    /// Places every shard at one of these members, and forgets what was found at others.
    pub fn update(&self, members: &Members) {
        for (number, place) in (0..).zip(&self.places) {
            let owner = owner_of(members.nodes(), Shard(number)).map(|node| Known {
                address: ShardAddress {
                    node: node.into(),
                    epoch: Epoch(0),
                },
                heard: None,
            });
            place.presumed.store(owner.map(Arc::new));
            let found = place.found.load_full();
            if found.is_some_and(|found| !members.nodes().any(|node| *node == *found.address.node)) {
                place.found.store(None);
            }
        }
    }

    /// Places every shard at one of the others: what a node does that is no member any more.
    pub fn leave_it_to_others(&self, members: &Members) {
        let others = members.0.iter().filter(|owner| node_of(owner) != &*self.me);
        self.update(&Members(others.cloned().collect()));
    }

    /// Remembers where a shard was found, unless something newer is known.
    pub fn found(&self, shard: Shard, known: &Known) {
        let place = self.place(shard);
        let before = place.found.load_full();
        let newer = before.is_none_or(|before| {
            before.address.epoch < known.address.epoch
                || before.address == known.address && known.heard.is_some()
        });
        if known.address.epoch > Epoch(0) && newer {
            place.found.store(Some(Arc::new(known.clone())));
        }
    }

    /// Forgets that a shard was found there: it is not, or nobody answers.
    pub fn not_found(&self, shard: Shard, address: &ShardAddress) {
        let place = self.place(shard);
        let found = place.found.load();
        if found.as_ref().is_some_and(|found| found.address == *address) {
            place.found.store(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn nodes() -> impl Strategy<Value = BTreeSet<String>> {
        proptest::collection::btree_set("[a-z][a-z0-9.-]{0,11}", 1..9)
    }

    fn placed(nodes: &BTreeSet<String>) -> Vec<&str> {
        let owner = |shard| owner_of(nodes.iter().map(String::as_str), Shard(shard)).unwrap();
        (0..64).map(owner).collect()
    }

    proptest! {
        #[test]
        fn a_node_that_comes_or_goes_moves_only_its_own_share(nodes in nodes(), more in "[A-Z]{1,8}") {
            let before = placed(&nodes);
            let mut with = nodes.clone();
            with.insert(more.clone());
            for (old, new) in before.into_iter().zip(placed(&with)) {
                prop_assert!(new == old || new == more, "{old} -> {new}");
            }
        }

        #[test]
        fn every_node_sees_the_same_placement(nodes in nodes()) {
            let backwards = |shard| owner_of(nodes.iter().rev().map(String::as_str), Shard(shard)).unwrap();
            let backwards: Vec<&str> = (0..64).map(backwards).collect();
            prop_assert_eq!(placed(&nodes), backwards);
        }
    }

    #[test]
    fn shares_are_about_even() {
        let nodes: BTreeSet<String> = (1..=4).map(|n| format!("node-{n}")).collect();
        let owner = |shard| owner_of(nodes.iter().map(String::as_str), Shard(shard)).unwrap();
        for node in &nodes {
            let share = (0..1_024).map(owner).filter(|owner| *owner == node).count();
            assert!((200..=312).contains(&share), "{node} has {share} of 1024");
        }
        assert_eq!(owner_of([], Shard(0)), None);
    }

    fn members(owners: &[&str]) -> Members {
        Members(owners.iter().map(|owner| (*owner).to_owned()).collect())
    }

    fn known(node: &str, epoch: i64) -> Known {
        Known {
            address: ShardAddress {
                node: node.into(),
                epoch: Epoch(epoch),
            },
            heard: None,
        }
    }

    #[test]
    fn what_was_found_counts_until_it_is_not_or_its_node_is_gone() {
        let shard = Shard(3);
        let placement = Placement::new("a".into(), ShardCount::new(8).unwrap());
        assert_eq!(placement.known(shard), None);
        placement.update(&members(&["a/1", "b/1", "c/7"]));
        let presumed = placement.known(shard).unwrap();
        assert_eq!(presumed.address.epoch, Epoch(0));

        placement.found(shard, &known("c", 5));
        placement.found(shard, &known("b", 4));
        placement.found(shard, &known("b", 0));
        assert_eq!(placement.known(shard), Some(known("c", 5)), "the newest counts");
        placement.not_found(shard, &known("c", 4).address);
        assert_eq!(placement.known(shard), Some(known("c", 5)));
        placement.not_found(shard, &known("c", 5).address);
        assert_eq!(placement.known(shard), Some(presumed));

        placement.found(shard, &known("c", 6));
        placement.update(&members(&["a/1", "b/1"]));
        assert_ne!(placement.known(shard).unwrap().address.node, "c".into());
        placement.leave_it_to_others(&members(&["a/1", "b/1"]));
        assert_eq!(placement.known(shard), Some(known("b", 0)));
        assert!(!placement.is_mine(shard));
    }

    #[test]
    fn another_clock_is_known_for_a_while() {
        let heard = Heard {
            there: Duration::from_secs(500),
            here: Duration::from_secs(20),
        };
        let there = heard.there_at(Duration::from_secs(23));
        assert_eq!(there, Some(Duration::from_secs(503)));
        assert_eq!(heard.there_at(Duration::from_secs(81)), None);
    }
}
