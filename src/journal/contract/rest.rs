//! Where a replay starts: snapshots, and loading through them.

use bytes::Bytes;

use super::{Broken, Kept, advanced, append, batch, payloads, place, place_elsewhere, same};
use crate::domain::EntityId;
use crate::journal::{Journal, Lease, Position, Sequence, Snapshot, Takeover};

fn snapshot(lease: Lease, entity: &EntityId, sequence: i64, state: &'static str) -> Snapshot {
    Snapshot {
        entity: entity.clone(),
        sequence: Sequence(sequence),
        position: Position(sequence),
        epoch: lease.epoch,
        state: Bytes::from_static(state.as_bytes()),
    }
}

async fn loaded(journal: &dyn Journal, entity: &EntityId) -> Result<(Option<Snapshot>, String), Broken> {
    let history = journal
        .load(std::slice::from_ref(entity))
        .await?
        .pop()
        .unwrap_or_default();
    Ok((history.snapshot, payloads(&history.events).concat()))
}

/// Clause: the newest snapshot stays, whatever arrives after it; an owner of before keeps none.
pub async fn snapshots_never_go_back_and_are_fenced(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "snapshot");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    journal
        .write(&batch(
            lease,
            vec![append(lease, &entity, 0, &["a", "b", "c", "d"])],
        ))
        .await?;
    same(
        "none yet",
        loaded(journal, &entity).await?,
        (None, "abcd".to_owned()),
    )?;

    let second = snapshot(lease, &entity, 2, "ab");
    journal.keep_snapshot(&second).await?;
    same(
        "the first",
        loaded(journal, &entity).await?,
        (Some(second.clone()), "cd".to_owned()),
    )?;
    journal.keep_snapshot(&snapshot(lease, &entity, 1, "a")).await?;
    journal
        .keep_snapshot(&snapshot(lease, &entity, 2, "other"))
        .await?;
    same(
        "an older one",
        loaded(journal, &entity).await?,
        (Some(second), "cd".to_owned()),
    )?;
    let third = snapshot(lease, &entity, 3, "abc");
    journal.keep_snapshot(&third).await?;
    same(
        "a newer one",
        loaded(journal, &entity).await?,
        (Some(third.clone()), "d".to_owned()),
    )?;

    let taken = journal.claim(shard, "two", Takeover::AtOnce).await?;
    journal
        .keep_snapshot(&snapshot(lease, &entity, 4, "stale"))
        .await?;
    same(
        "a stale one",
        loaded(journal, &entity).await?,
        (Some(third), "d".to_owned()),
    )?;
    let fourth = snapshot(taken, &entity, 4, "abcd");
    journal.keep_snapshot(&fourth).await?;
    same(
        "the taker's",
        loaded(journal, &entity).await?,
        (Some(fourth), String::new()),
    )?;
    let all = journal.events(&entity, Sequence(i64::MAX)).await?;
    same(
        "the truth is still there",
        payloads(&all).concat(),
        "abcd".to_owned(),
    )
}

/// Clause: many entities of any shards are loaded at once, each in its place, unknown ones empty.
pub async fn entities_are_loaded_in_the_order_asked(journal: &dyn Journal) -> Kept {
    let (shard, one) = place(journal, "first");
    let (other_shard, two) = place_elsewhere(journal, "second", shard)?;
    let nobody = place(journal, "nobody").1;
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let other = journal.claim(other_shard, "one", Takeover::AtOnce).await?;
    journal
        .write(&batch(lease, vec![append(lease, &one, 0, &["a", "b"])]))
        .await?;
    journal
        .write(&batch(advanced(lease, 2), vec![append(lease, &one, 2, &["c"])]))
        .await?;
    journal
        .write(&batch(other, vec![append(other, &two, 0, &["x", "y"])]))
        .await?;
    journal.keep_snapshot(&snapshot(other, &two, 1, "x")).await?;

    let asked = [two.clone(), nobody, one.clone(), two];
    let found: Vec<(bool, String)> = journal
        .load(&asked)
        .await?
        .into_iter()
        .map(|history| (history.snapshot.is_some(), payloads(&history.events).concat()))
        .collect();
    let wanted = [(true, "y"), (false, ""), (false, "abc"), (true, "y")];
    same(
        "histories",
        found,
        wanted.map(|(rests, events)| (rests, events.to_owned())).to_vec(),
    )
}
