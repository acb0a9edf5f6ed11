//! What an audit counts in the journal.

use serde::Serialize;

use super::Position;
use crate::domain::Shard;

/// What was found in the positions of all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The head of each shard: the cut.
    #[serde(skip)]
    pub heads: Vec<(Shard, Position)>,
    /// Events up to the cut.
    pub events: u64,
    /// Those of them that were looked at now: the ones after where the survey started.
    pub checked: u64,
    /// Positions that are missing.
    pub gaps: u64,
    /// Events written under an older epoch than the event before them.
    pub regressions: u64,
}

/// What was found among the remembered answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// Remembered answers.
    pub remembered: u64,
    /// Those that point at an event that is not there.
    pub orphans: u64,
}
