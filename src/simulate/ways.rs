//! The ways into the shop: through any node that is up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::cluster::Region;

/// Between looks for a node that is up.
const BEAT: Duration = Duration::from_millis(20);

/// A region for each node that is up. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways(Arc<Mutex<Vec<Option<Region>>>>);

impl Ways {
    /// Opens the way through a node, or closes it.
    pub fn set(&self, node: usize, way: Option<Region>) {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.len() <= node {
            ways.resize(node + 1, None);
        }
        ways[node] = way;
    }

    /// Any way that is open, drawn by `clock`; waits for one.
    pub async fn any(&self, clock: &Clock) -> Region {
        loop {
            let open: Vec<Region> = {
                let ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                ways.iter().flatten().cloned().collect()
            };
            let drawn = clock.random_below(u64::try_from(open.len()).unwrap_or(0));
            if let Some(way) = usize::try_from(drawn).ok().and_then(|n| open.into_iter().nth(n)) {
                return way;
            }
            clock.sleep(BEAT).await;
        }
    }
}
