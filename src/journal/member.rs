//! Who is here: the nodes whose heartbeat has not run out, by the journal's own clock.
//!
//! A member may keep its shards; whoever is none may lose them at once. **Invariant:** an owner whose
//! row was taken away never renews it: it must [join](super::Journal::join) again, with nothing in
//! memory of what it owned before.

use std::collections::BTreeSet;
use std::time::Duration;

/// How much longer than a member's own time a taker waits before it treats the member as gone: the
/// answer that was checked just before the time ran out must have been given by then, and two clocks
/// never run alike.
pub const TAKEOVER_MARGIN: Duration = Duration::from_millis(250);

/// What a node may do about shards and names that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// Take them: this node is known to be the only one, so whoever held them is gone.
    AtOnce,
    /// Take them only if they were given back or their holder's heartbeat has run out.
    AfterExpiry,
}

/// The owners whose heartbeat has not run out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(pub BTreeSet<String>);

impl Members {
    /// The names of their nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|owner| node_of(owner))
    }
}

/// The node of an owner, which is written `node/incarnation`.
#[must_use]
pub fn node_of(owner: &str) -> &str {
    owner.rsplit_once('/').map_or(owner, |(node, _)| node)
}
