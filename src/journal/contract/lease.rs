//! Who may write: one owner a shard, and nobody from before.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::{Broken, Kept, advanced, append, batch, join, place, place_elsewhere, same};
use crate::domain::{Millis, Shard};
use crate::journal::{
    Epoch, Journal, JournalFault, Lease, Members, Position, Remember, RequestKey, Takeover, TimerChange,
};

/// Longer than any clause takes.
const LONG: Duration = Duration::from_secs(600);
/// So short that a clause can wait for its end.
const SHORT: Duration = Duration::from_millis(100);

fn members<const N: usize>(owners: [&str; N]) -> Members {
    Members(owners.map(str::to_owned).into())
}

/// Breaks off unless the claim was refused because `owner` has the shard.
fn held(what: &str, claim: Result<Lease, JournalFault>, shard: Shard, owner: &str) -> Kept {
    match claim {
        Err(JournalFault::Held { shard: of, owner: by }) => same(what, (of, by.as_str()), (shard, owner)),
        other => Err(Broken::Clause(format!(
            "{what}: found {other:?}, wanted it held by {owner}"
        ))),
    }
}

/// Breaks off unless the owner was told that it is no member.
fn no_member(what: &str, answer: Result<Members, JournalFault>) -> Kept {
    match answer {
        Err(JournalFault::NotMember { .. }) => Ok(()),
        other => Err(Broken::Clause(format!(
            "{what}: found {other:?}, wanted no member"
        ))),
    }
}

/// Clause: every claim is one epoch higher, whoever claims, and finds what was written before it.
pub async fn a_claim_raises_the_epoch_and_finds_the_head(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "claim");
    let first = journal.claim(shard, "one", Takeover::AtOnce).await?;
    same(
        "the first lease",
        (first.shard, first.epoch, first.head),
        (shard, Epoch(1), Position(0)),
    )?;
    journal
        .write(&batch(first, vec![append(first, &entity, 0, &["a", "b"])]))
        .await?;
    let again = journal.claim(shard, "one", Takeover::AtOnce).await?;
    same(
        "the same owner's",
        (again.epoch, again.head),
        (Epoch(2), Position(2)),
    )?;
    let other = journal.claim(shard, "two", Takeover::AtOnce).await?;
    same(
        "another owner's",
        (other.epoch, other.head),
        (Epoch(3), Position(2)),
    )?;
    let (elsewhere, _) = place_elsewhere(journal, "claim", shard)?;
    let lease = journal.claim(elsewhere, "two", Takeover::AtOnce).await?;
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
    let stale = journal.claim(lost, "one", Takeover::AtOnce).await?;
    let held = journal.claim(kept, "one", Takeover::AtOnce).await?;
    let taken = journal.claim(lost, "two", Takeover::AtOnce).await?;

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
    let stale = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let mut armed = append(stale, &entity, 0, &["a"]);
    armed.timer = TimerChange::Set(Millis(5));
    journal.write(&batch(stale, vec![armed])).await?;
    let taken = journal.claim(shard, "two", Takeover::AtOnce).await?;

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
        let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
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
            Ok::<_, Broken>(journal.claim(shard, "two", Takeover::AtOnce).await?)
        };
        let (written, taken) = tokio::join!(writing, taking);
        written?;
        let taken = taken?;
        same("acknowledged", acknowledged.load(Ordering::SeqCst), taken.head.0)?;
        same("the head", journal.head(shard).await?, taken.head)?;
    }
    Ok(())
}

/// Clause: whoever joins and beats is seen by all, and what a member owns is taken by nobody who
/// respects it.
pub async fn a_member_keeps_its_shard(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "kept");
    let alone = journal.join("a/1", LONG, Takeover::AfterExpiry).await?;
    same("the first member", alone, members(["a/1"]))?;
    let lease = journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    let both = journal.join("b/1", LONG, Takeover::AfterExpiry).await?;
    same("two members", both.clone(), members(["a/1", "b/1"]))?;
    same("as the first sees it", journal.beat("a/1", LONG).await?, both)?;
    let claim = journal.claim(shard, "b/1", Takeover::AfterExpiry).await;
    held("a live owner's shard", claim, shard, "a/1")?;
    let event = batch(lease, vec![append(lease, &entity, 0, &["x"])]);
    same("moved", journal.write(&event).await?, vec![])?;
    let again = journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    same(
        "the owner's own",
        (again.epoch, again.head),
        (Epoch(2), Position(1)),
    )?;
    let forced = journal.claim(shard, "b/1", Takeover::AtOnce).await?;
    same(
        "taken at once",
        (forced.epoch, forced.head),
        (Epoch(3), Position(1)),
    )
}

/// Clause: what an owner has whose time is up is taken, and that owner cannot renew it any more: it
/// must join again.
pub async fn an_owner_whose_time_is_up_is_taken_from(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "expired");
    journal.join("a/1", SHORT, Takeover::AfterExpiry).await?;
    let stale = journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    journal.join("b/1", LONG, Takeover::AfterExpiry).await?;
    held(
        "before the time is up",
        journal.claim(shard, "b/1", Takeover::AfterExpiry).await,
        shard,
        "a/1",
    )?;
    let taken = loop {
        match journal.claim(shard, "b/1", Takeover::AfterExpiry).await {
            Err(JournalFault::Held { .. }) => sleep(SHORT / 10).await,
            other => break other?,
        }
    };
    same("the epoch", taken.epoch, Epoch(2))?;
    let late = batch(stale, vec![append(stale, &entity, 0, &["x"])]);
    same("moved", journal.write(&late).await?, vec![shard])?;
    no_member("a renewal after it", journal.beat("a/1", LONG).await)?;
    same(
        "joined again",
        journal.join("a/1", LONG, Takeover::AfterExpiry).await?,
        members(["a/1", "b/1"]),
    )?;
    let claim = journal.claim(shard, "a/1", Takeover::AfterExpiry).await;
    held("the taker's shard", claim, shard, "b/1")
}

/// Clause: a heartbeat that comes too late is refused, also when nobody has taken anything.
pub async fn a_heartbeat_that_comes_too_late_is_refused(journal: &dyn Journal) -> Kept {
    no_member("never joined", journal.beat("a/1", LONG).await)?;
    journal.join("a/1", SHORT, Takeover::AfterExpiry).await?;
    sleep(SHORT * 2).await;
    no_member("too late", journal.beat("a/1", LONG).await)?;
    no_member("another incarnation", journal.beat("a/2", LONG).await)
}

/// Clause: what was given back is taken without waiting, and only the lease that was meant is given.
pub async fn a_lease_that_was_given_back_is_free(journal: &dyn Journal) -> Kept {
    let (shard, _) = place(journal, "given");
    let (other, _) = place_elsewhere(journal, "given", shard)?;
    journal.join("a/1", LONG, Takeover::AfterExpiry).await?;
    journal.join("b/1", LONG, Takeover::AfterExpiry).await?;
    let first = journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    let second = journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    for (owner, epoch) in [("a/1", first.epoch), ("b/1", second.epoch)] {
        journal.release(shard, owner, epoch).await?;
        let claim = journal.claim(shard, "b/1", Takeover::AfterExpiry).await;
        held("not the one that was meant", claim, shard, "a/1")?;
    }
    journal.release(shard, "a/1", second.epoch).await?;
    let taken = journal.claim(shard, "b/1", Takeover::AfterExpiry).await?;
    same("the epoch", taken.epoch, Epoch(3))?;

    journal.claim(other, "b/1", Takeover::AfterExpiry).await?;
    journal.leave("b/1").await?;
    same("who is left", journal.beat("a/1", LONG).await?, members(["a/1"]))?;
    for shard in [shard, other] {
        journal.claim(shard, "a/1", Takeover::AfterExpiry).await?;
    }
    // Joining again gives back what an earlier time left.
    journal.join("b/1", LONG, Takeover::AfterExpiry).await?;
    journal.join("a/1", LONG, Takeover::AfterExpiry).await?;
    journal
        .claim(shard, "b/1", Takeover::AfterExpiry)
        .await
        .map(|_| ())?;
    Ok(())
}

/// Clause: a name is one node's. Its next incarnation waits until the time is up or the earlier one
/// has left, unless it is known to be the only one.
pub async fn two_nodes_never_have_one_name(journal: &dyn Journal) -> Kept {
    journal.join("a/1", LONG, Takeover::AfterExpiry).await?;
    match journal.join("a/2", LONG, Takeover::AfterExpiry).await {
        Err(JournalFault::NameTaken { node, owner }) => {
            same("taken", (node.as_str(), owner.as_str()), ("a", "a/1"))?;
        }
        other => {
            return Err(Broken::Clause(format!(
                "a second node of the name: found {other:?}"
            )));
        }
    }
    journal.beat("a/1", SHORT).await?;
    let joined = loop {
        match journal.join("a/2", LONG, Takeover::AfterExpiry).await {
            Err(JournalFault::NameTaken { .. }) => sleep(SHORT / 10).await,
            other => break other?,
        }
    };
    same("the next incarnation", joined, members(["a/2"]))?;
    no_member("the earlier one", journal.beat("a/1", LONG).await)?;
    same(
        "the only node",
        journal.join("a/3", LONG, Takeover::AtOnce).await?,
        members(["a/3"]),
    )?;
    no_member("the one before", journal.beat("a/2", LONG).await)
}
