//! Who may write: one owner a shard, and nobody from before.

use std::sync::atomic::{AtomicI64, Ordering};

use super::{Broken, Kept, advanced, append, batch, join, place, place_elsewhere, same};
use crate::domain::Millis;
use crate::journal::{Epoch, Journal, Position, Remember, RequestKey, TimerChange};

/// Clause: every claim is one epoch higher, whoever claims, and finds what was written before it.
pub async fn a_claim_raises_the_epoch_and_finds_the_head(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "claim");
    let first = journal.claim(shard, "one").await?;
    same(
        "the first lease",
        (first.shard, first.epoch, first.head),
        (shard, Epoch(1), Position(0)),
    )?;
    journal
        .write(&batch(first, vec![append(first, &entity, 0, &["a", "b"])]))
        .await?;
    let again = journal.claim(shard, "one").await?;
    same(
        "the same owner's",
        (again.epoch, again.head),
        (Epoch(2), Position(2)),
    )?;
    let other = journal.claim(shard, "two").await?;
    same(
        "another owner's",
        (other.epoch, other.head),
        (Epoch(3), Position(2)),
    )?;
    let (elsewhere, _) = place_elsewhere(journal, "claim", shard)?;
    let lease = journal.claim(elsewhere, "two").await?;
    same(
        "another shard's",
        (lease.epoch, lease.head),
        (Epoch(1), Position(0)),
    )
}

/// Clause: a batch is fenced shard by shard.
pub async fn a_stale_epoch_writes_nothing_while_other_shards_are_written(journal: &dyn Journal) -> Kept {
    let (lost, lost_entity) = place(journal, "lost");
    let (kept, kept_entity) = place_elsewhere(journal, "kept", lost)?;
    let stale = journal.claim(lost, "one").await?;
    let held = journal.claim(kept, "one").await?;
    let taken = journal.claim(lost, "two").await?;

    let parts = vec![
        (stale, vec![append(stale, &lost_entity, 0, &["x"])]),
        (held, vec![append(held, &kept_entity, 0, &["y"])]),
    ];
    same("moved", journal.write(&join(parts)).await?, vec![lost])?;
    same("the lost shard", journal.head(lost).await?, Position(0))?;
    same("the kept shard", journal.head(kept).await?, Position(1))?;

    same(
        "the taker",
        journal
            .write(&batch(taken, vec![append(taken, &lost_entity, 0, &["z"])]))
            .await?,
        vec![],
    )?;
    same("the lost shard", journal.head(lost).await?, Position(1))
}

/// Clause: a writer whose shard was taken leaves no trace: no event, no timer, no answer, and it does
/// not clear a timer either. Not even a batch that would break a key tells it anything.
pub async fn a_writer_of_before_writes_nothing_of_any_kind(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "zombie");
    let stale = journal.claim(shard, "one").await?;
    let mut armed = append(stale, &entity, 0, &["a"]);
    armed.timer = TimerChange::Set(Millis(5));
    journal.write(&batch(stale, vec![armed])).await?;
    let taken = journal.claim(shard, "two").await?;

    let key = RequestKey([3; 32]);
    let mut late = append(stale, &entity, 1, &["b"]);
    late.timer = TimerChange::Set(Millis(9));
    late.remember = Some(Remember { key, body: [4; 32] });
    let mut disarming = append(stale, &entity, 1, &[]);
    disarming.timer = TimerChange::Clear;
    let colliding = append(stale, &entity, 0, &["c"]);
    for zombie in [late, disarming, colliding] {
        same(
            "moved",
            journal.write(&batch(advanced(stale, 1), vec![zombie])).await?,
            vec![shard],
        )?;
    }
    same("the head", journal.head(shard).await?, taken.head)?;
    same("the answer", journal.remembered(key).await?, None)?;
    let due: Vec<i64> = journal
        .timers(shard)
        .await?
        .iter()
        .map(|timer| timer.due_at.0)
        .collect();
    same("the timer", due, vec![5])
}

/// Clause: however a takeover falls between two writes, the taker's head holds every acknowledged
/// event, and nothing is acknowledged or written after it.
pub async fn a_takeover_finds_everything_acknowledged(journal: &dyn Journal) -> Kept {
    /// How many events are acknowledged before the taker begins.
    const BEFORE: i64 = 20;
    let (shard, entity) = place(journal, "race");
    for round in 0..5 {
        let lease = journal.claim(shard, "one").await?;
        let acknowledged = AtomicI64::new(lease.head.0);
        let writing = async {
            loop {
                let head = acknowledged.load(Ordering::SeqCst);
                let held = advanced(lease, head - lease.head.0);
                let written = journal
                    .write(&batch(held, vec![append(held, &entity, head, &["x"])]))
                    .await?;
                if !written.is_empty() {
                    return Ok::<_, Broken>(());
                }
                acknowledged.store(head + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        };
        let taking = async {
            while acknowledged.load(Ordering::SeqCst) < lease.head.0 + BEFORE + round {
                tokio::task::yield_now().await;
            }
            Ok::<_, Broken>(journal.claim(shard, "two").await?)
        };
        let (written, taken) = tokio::join!(writing, taking);
        written?;
        let taken = taken?;
        same("acknowledged", acknowledged.load(Ordering::SeqCst), taken.head.0)?;
        same("the head", journal.head(shard).await?, taken.head)?;
    }
    Ok(())
}
