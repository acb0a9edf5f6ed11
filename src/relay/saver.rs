//! Saves the positions of all lanes: one statement for everything that moved, a few times a second;
//! and looks after the views, which commit before they are durable and may be thrown back.
//!
//! A position that is not saved costs a repetition after a crash, never an event.

use std::time::Duration;

use tokio::time::timeout;

use super::book::{BookFault, Move, Moved};
use super::runtime::Relay;

/// How long moves collect before they are saved.
const GATHER: Duration = Duration::from_millis(200);
/// How often the figures are told while nothing moves, and the views looked after.
const QUIET: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

/// Saves until the relay is closed.
pub(super) async fn run(relay: Relay) {
    let clock = relay.clock().clone();
    let mut failures = 0;
    let mut looked = clock.instant();
    while !relay.is_closed() {
        // A timeout is a quiet time: the figures are told all the same.
        let _ = timeout(QUIET, relay.moved()).await;
        clock.sleep(GATHER).await;
        match save(&relay).await {
            Ok(_) => failures = 0,
            Err(fault) => {
                tracing::warn!(%fault, "positions were not saved; they will be");
                clock.sleep(clock.backoff(failures, GATHER, PAUSE_LIMIT)).await;
                failures += 1;
                relay.poke_saver();
            }
        }
        relay.tell_lags();
        if clock.instant() - looked >= QUIET {
            relay.look_after_views().await;
            looked = clock.instant();
        }
    }
}

/// Saves what has moved since the last time; says how many positions that were.
pub(super) async fn save(relay: &Relay) -> Result<usize, BookFault> {
    let moves: Vec<Move> = relay
        .consumer_courses()
        .filter_map(|(name, shard, course)| course.unsaved(name, shard))
        .collect();
    if moves.is_empty() {
        return Ok(0);
    }
    let results = relay.book().save(&moves).await?;
    for (moved, result) in moves.iter().zip(results) {
        let Some(course) = relay.course(moved.consumer, moved.shard) else {
            continue;
        };
        match result {
            Moved::Kept => course.kept(moved),
            Moved::Fenced => {
                tracing::error!(consumer = moved.consumer, shard = %moved.shard, epoch = %moved.epoch,
                    "a position belongs to somebody else now; its lane stops");
                course.fence(moved.epoch);
            }
        }
    }
    Ok(moves.len())
}
