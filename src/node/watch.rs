//! What a node stands on, looked at every second: its database, and the disk under it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::probe::{Readiness, Storage};
use crate::journal::Journal;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How long the database, and the disk, have to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// What the readiness probe calls the database.
const DATABASE: &str = "the database";

/// What is watched, and who is told.
pub(super) struct Watch {
    pub clock: Clock,
    pub journal: Arc<dyn Journal>,
    pub readiness: Readiness,
    pub storage: Storage,
    /// A folder on the disk of the private database; with one elsewhere its disk cannot be seen.
    pub disk: Option<PathBuf>,
    /// How many bytes are to be left on it.
    pub reserve: u64,
}

/// Watches until `stop`.
pub(super) async fn run(watch: Watch, stop: CancellationToken) {
    let mut answers = true;
    loop {
        answers = watch.ask_the_database(answers).await;
        watch.measure_the_disk().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = watch.clock.sleep(EVERY) => {}
        }
    }
}

impl Watch {
    /// Asks whether the database is there; says so where that is news.
    async fn ask_the_database(&self, answered: bool) -> bool {
        let reason = match timeout(ANSWER_LIMIT, self.journal.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault.to_string()),
            Err(_) => Some(format!("no answer within {ANSWER_LIMIT:?}")),
        };
        let Some(reason) = reason else {
            self.readiness.have(DATABASE);
            if !answered {
                tracing::info!("the database answers again");
            }
            return true;
        };
        self.readiness.miss(DATABASE);
        if answered {
            tracing::error!(reason, "the database does not answer; the node is not ready");
        }
        false
    }

    /// Looks at how much room is left. What was full is not so again until a quarter more than the
    /// reserve is free, or a disk at the brink would change its mind every second.
    async fn measure_the_disk(&self) {
        let Some(folder) = self.disk.clone() else {
            return;
        };
        let measured = tokio::task::spawn_blocking(move || room_at(&folder));
        let room = match timeout(ANSWER_LIMIT, measured).await {
            Ok(Ok(Ok(room))) => room,
            Ok(Ok(Err(fault))) => {
                tracing::warn!(%fault, "how much room the disk has is not known");
                return;
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the disk does not say how much room it has");
                return;
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a figure on a chart")]
        metrics::gauge!("globalshop_disk_room_bytes").set(room as f64);
        let was_full = self.storage.is_full();
        let needed = self.reserve + if was_full { self.reserve / 4 } else { 0 };
        let is_full = room < needed;
        self.storage.set_full(is_full);
        let (room_mb, reserve_mb) = (room >> 20, self.reserve >> 20);
        if is_full && !was_full {
            tracing::error!(
                room_mb,
                reserve_mb,
                "ALARM: the disk is full; writes are refused until there is room"
            );
        } else if was_full && !is_full {
            tracing::info!(room_mb, "the disk has room again; writes are taken");
        }
    }
}

/// How many bytes a user without privileges can still write there: the private database's user is one.
fn room_at(folder: &Path) -> rustix::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
