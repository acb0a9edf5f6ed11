//! What a write writes, and what a refused one leaves behind.

use bytes::Bytes;
use uuid::Uuid;

use super::{Broken, Kept, advanced, append, batch, join, payloads, place, place_elsewhere, refused, same};
use crate::domain::id::OperationId;
use crate::domain::{Millis, ShardCount};
use crate::journal::{
    Batch, Epoch, History, Journal, NewEvent, Position, Recorded, Remember, Remembered, RequestKey, Sequence,
    Takeover, Timer, TimerChange,
};

/// Clause: a journal starts with nothing in it.
pub async fn nothing_is_in_an_empty_journal(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "nobody");
    same("shards", journal.shards(), ShardCount::DEFAULT)?;
    same("head", journal.head(shard).await?, Position(0))?;
    same("events", journal.read(shard, Position(0), 10).await?, vec![])?;
    same("timers", journal.timers(shard).await?, vec![])?;
    same(
        "history",
        journal.load(&[entity]).await?,
        vec![History::default()],
    )?;
    same("loading nothing", journal.load(&[]).await?, vec![])?;
    same("an answer", journal.remembered(RequestKey([0; 32])).await?, None)?;
    same("an empty batch", journal.write(&Batch::default()).await?, vec![])
}

/// Clause: every field of an event comes back as it was written.
pub async fn events_come_back_as_they_were_written(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "whole");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let mut written = append(lease, &entity, 0, &["first"]);
    written.events.push(NewEvent {
        version: 7,
        payload: Bytes::from_static(b"second"),
    });
    written.operation = Some(OperationId(Uuid::from_u128(42)));
    written.at = Millis(1_700_000_000_123);
    same(
        "moved",
        journal.write(&batch(lease, vec![written])).await?,
        vec![],
    )?;

    let wanted: Vec<Recorded> = [(1, 1, "first"), (2, 7, "second")]
        .into_iter()
        .map(|(place, version, payload)| Recorded {
            shard,
            position: Position(place),
            entity: entity.clone(),
            sequence: Sequence(place),
            epoch: lease.epoch,
            version,
            operation: Some(OperationId(Uuid::from_u128(42))),
            recorded_at: Millis(1_700_000_000_123),
            payload: Bytes::from(payload),
        })
        .collect();
    same(
        "by shard",
        journal.read(shard, Position(0), 10).await?,
        wanted.clone(),
    )?;
    same(
        "by entity",
        journal.events(&entity, Sequence(9)).await?,
        wanted.clone(),
    )?;
    let history = History {
        snapshot: None,
        events: wanted,
    };
    same("history", journal.load(&[entity]).await?, vec![history])
}

/// Clause: payloads are bytes; nothing in between takes them for text.
pub async fn payloads_are_bytes_of_any_kind(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "bytes");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let payloads: Vec<Bytes> = vec![
        Bytes::new(),
        Bytes::from(every_byte.clone()),
        Bytes::from(every_byte.repeat(1_000)),
        Bytes::from_static(b"\\x00,{}\"'NULL\0"),
    ];
    let mut written = append(lease, &entity, 0, &[]);
    written.events = payloads
        .iter()
        .map(|payload| NewEvent {
            version: 1,
            payload: payload.clone(),
        })
        .collect();
    journal.write(&batch(lease, vec![written])).await?;

    let found = journal.read(shard, Position(0), 10).await?;
    same(
        "payloads",
        found.into_iter().map(|event| event.payload).collect(),
        payloads,
    )
}

/// Clause: positions count up by one, whoever's events they are and however they were batched.
pub async fn positions_have_no_gaps_across_batches_and_entities(journal: &dyn Journal) -> Kept {
    let (shard, _) = place(journal, "gapless");
    let mut lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let one = place(journal, "gapless").1;
    let two = place(journal, "gapless-too").1;
    for round in 0..3 {
        let appends = vec![
            append(lease, &one, round * 2, &["a", "b"]),
            append(lease, &two, round, &["c"]),
        ];
        same("moved", journal.write(&batch(lease, appends)).await?, vec![])?;
        lease = advanced(lease, 3);
    }
    let events = journal.read(shard, Position(0), 100).await?;
    let positions: Vec<i64> = events.iter().map(|event| event.position.0).collect();
    same("positions", positions, (1..=9).collect())?;
    same("head", journal.head(shard).await?, Position(9))?;
    let sequences = |of| {
        events
            .iter()
            .filter(|e| e.entity == of)
            .map(|e| e.sequence.0)
            .collect::<Vec<_>>()
    };
    same("sequences", sequences(one), (1..=6).collect())?;
    same("sequences", sequences(two), (1..=3).collect())
}

/// Clause: a page begins after a position and has at most so many events.
pub async fn a_shard_is_read_in_pages(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "pages");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let written = append(lease, &entity, 0, &["a", "b", "c", "d", "e"]);
    journal.write(&batch(lease, vec![written])).await?;

    let page = async |after, limit| -> Result<Vec<String>, Broken> {
        Ok(payloads(&journal.read(shard, Position(after), limit).await?))
    };
    same("the first page", page(0, 2).await?, vec!["a".into(), "b".into()])?;
    same("the second page", page(2, 2).await?, vec!["c".into(), "d".into()])?;
    same("the last page", page(4, 2).await?, vec!["e".into()])?;
    same("beyond the head", page(5, 2).await?, vec![])?;
    same("no limit to speak of", page(0, usize::MAX).await?.len(), 5)
}

/// Clause: an entity's events can be read up to any of its sequences.
pub async fn an_entity_is_read_as_it_was(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "travel");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let written = append(lease, &entity, 0, &["a", "b", "c"]);
    journal.write(&batch(lease, vec![written])).await?;
    for (until, wanted) in [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (9, "abc")] {
        let found = journal.events(&entity, Sequence(until)).await?;
        same("as it was", payloads(&found).concat(), wanted.to_owned())?;
    }
    Ok(())
}

/// Clause: a decision made from a state that was not the newest is refused, with all of its batch.
pub async fn a_sequence_is_written_once(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "once");
    let (other_shard, other) = place_elsewhere(journal, "bystander", shard)?;
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let other_lease = journal.claim(other_shard, "one", Takeover::AtOnce).await?;
    journal
        .write(&batch(lease, vec![append(lease, &entity, 0, &["a", "b"])]))
        .await?;

    let lease = advanced(lease, 2);
    let mut late = append(lease, &entity, 1, &["c"]);
    late.timer = TimerChange::Set(Millis(1));
    late.remember = Some(Remember {
        key: RequestKey([1; 32]),
        body: [2; 32],
    });
    let parts = vec![
        (other_lease, vec![append(other_lease, &other, 0, &["x"])]),
        (lease, vec![late]),
    ];
    refused(
        "a late decision",
        journal.write(&join(parts)).await,
        Some("journal_sequence"),
    )?;
    let twice = vec![
        append(lease, &entity, 2, &["c"]),
        append(lease, &entity, 2, &["d"]),
    ];
    refused(
        "twice in a batch",
        journal.write(&batch(lease, twice)).await,
        Some("journal_sequence"),
    )?;

    same("the shard's head", journal.head(shard).await?, Position(2))?;
    same(
        "the bystander's head",
        journal.head(other_shard).await?,
        Position(0),
    )?;
    same("timers", journal.timers(shard).await?, vec![])?;
    same("an answer", journal.remembered(RequestKey([1; 32])).await?, None)
}

/// Clause: a position is never written twice.
pub async fn a_position_is_written_once(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "position");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    journal
        .write(&batch(lease, vec![append(lease, &entity, 0, &["a", "b"])]))
        .await?;
    let again = batch(advanced(lease, 1), vec![append(lease, &entity, 2, &["c"])]);
    refused(
        "a position again",
        journal.write(&again).await,
        Some("journal_position"),
    )?;
    same("the head", journal.head(shard).await?, Position(2))
}

/// Clause: a position whose predecessor is missing is treated as what it is, the mistake of a writer
/// that does not know its shard: nothing is written, and the shard is to be taken again.
pub async fn a_gap_in_positions_is_never_written(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "gap");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let gap = batch(advanced(lease, 1), vec![append(lease, &entity, 0, &["a"])]);
    same("moved", journal.write(&gap).await?, vec![shard])?;
    same("the head", journal.head(shard).await?, Position(0))
}

/// Clause: a batch that contradicts itself is refused before anything is asked of the database.
pub async fn a_malformed_batch_is_refused(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "malformed");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let good = batch(
        lease,
        vec![
            append(lease, &entity, 0, &["a"]),
            append(lease, &entity, 1, &["b"]),
        ],
    );

    let mut not_held = good.clone();
    not_held.held.clear();
    refused("a shard not held", journal.write(&not_held).await, None)?;
    let mut other_epoch = good.clone();
    other_epoch.held = vec![(shard, Epoch(lease.epoch.0 + 1))];
    refused("another epoch", journal.write(&other_epoch).await, None)?;
    let mut held_twice = good.clone();
    held_twice.held.push((shard, lease.epoch));
    refused("held twice", journal.write(&held_twice).await, None)?;
    let mut reversed = good.clone();
    reversed.appends.reverse();
    refused("positions that fall", journal.write(&reversed).await, None)?;
    let mut zero = good.clone();
    zero.appends.truncate(1);
    zero.appends
        .iter_mut()
        .for_each(|(_, first)| *first = Position(0));
    refused("the position before the first", journal.write(&zero).await, None)?;

    same("the head", journal.head(shard).await?, Position(0))?;
    same("the good one", journal.write(&good).await?, vec![])
}

/// Clause: an entity has at most one timer; the last change of a batch wins.
pub async fn timers_are_set_moved_and_cleared_with_the_events(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "timer");
    let mut lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let due = |at| {
        vec![Timer {
            entity: entity.clone(),
            due_at: Millis(at),
        }]
    };
    let rounds = [
        ("set", vec![TimerChange::Set(Millis(100))], due(100)),
        ("kept", vec![TimerChange::Keep], due(100)),
        ("moved", vec![TimerChange::Set(Millis(50))], due(50)),
        ("cleared", vec![TimerChange::Clear], vec![]),
        ("cleared again", vec![TimerChange::Clear], vec![]),
        (
            "set and cleared",
            vec![TimerChange::Set(Millis(1)), TimerChange::Clear],
            vec![],
        ),
        (
            "cleared and set",
            vec![TimerChange::Clear, TimerChange::Set(Millis(7)), TimerChange::Keep],
            due(7),
        ),
        (
            "moved twice",
            vec![TimerChange::Set(Millis(8)), TimerChange::Set(Millis(9))],
            due(9),
        ),
    ];
    for (what, changes, wanted) in rounds {
        let appends: Vec<_> = (lease.head.0..)
            .zip(changes)
            .map(|(after, timer)| {
                let mut written = append(lease, &entity, after, &["x"]);
                written.timer = timer;
                written
            })
            .collect();
        let count = i64::try_from(appends.len()).unwrap_or(0);
        same("moved", journal.write(&batch(lease, appends)).await?, vec![])?;
        same(what, journal.timers(shard).await?, wanted)?;
        lease = advanced(lease, count);
    }
    let mut soon = append(lease, &place(journal, "soon").1, 0, &["x"]);
    soon.timer = TimerChange::Set(Millis(3));
    journal.write(&batch(lease, vec![soon])).await?;
    let due: Vec<i64> = journal
        .timers(shard)
        .await?
        .iter()
        .map(|timer| timer.due_at.0)
        .collect();
    same("the first due first", due, vec![3, 9])
}

/// Clause: a key has one answer; the second append under it is refused whole.
pub async fn answers_are_remembered_once(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "answer");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let (key, other) = (RequestKey([7; 32]), RequestKey([8; 32]));
    let mut written = append(lease, &entity, 0, &["a", "b"]);
    written.remember = Some(Remember { key, body: [9; 32] });
    written.at = Millis(123);
    journal.write(&batch(lease, vec![written])).await?;
    let wanted = Remembered {
        body: [9; 32],
        entity: entity.clone(),
        sequence: Sequence(2),
        at: Millis(123),
    };
    same("the answer", journal.remembered(key).await?, Some(wanted.clone()))?;
    same("another key", journal.remembered(other).await?, None)?;

    let lease = advanced(lease, 2);
    let mut again = append(lease, &entity, 2, &["c"]);
    again.remember = Some(Remember { key, body: [1; 32] });
    refused(
        "the key again",
        journal.write(&batch(lease, vec![again])).await,
        Some("remembered_pk"),
    )?;
    let mut twice = vec![
        append(lease, &entity, 2, &["c"]),
        append(lease, &entity, 3, &["d"]),
    ];
    twice.iter_mut().for_each(|each| {
        each.remember = Some(Remember {
            key: other,
            body: [1; 32],
        });
    });
    refused(
        "twice in a batch",
        journal.write(&batch(lease, twice)).await,
        Some("remembered_pk"),
    )?;
    same("the answer still", journal.remembered(key).await?, Some(wanted))?;
    same("another key still", journal.remembered(other).await?, None)?;
    same("the head", journal.head(shard).await?, Position(2))
}

/// Clause: an answer that changed nothing is remembered all the same.
pub async fn an_answer_is_remembered_without_events(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "already-so");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let key = RequestKey([7; 32]);
    let mut nothing = append(lease, &entity, 0, &[]);
    nothing.remember = Some(Remember { key, body: [9; 32] });
    let appends = vec![nothing, append(lease, &entity, 0, &["a"])];
    same("moved", journal.write(&batch(lease, appends)).await?, vec![])?;
    let sequence = journal.remembered(key).await?.map(|answer| answer.sequence);
    same("the sequence of the answer", sequence, Some(Sequence(0)))?;
    same("the head", journal.head(shard).await?, Position(1))
}

/// Clause: old answers are forgotten, the oldest first, at most so many at once.
pub async fn answers_are_forgotten_in_batches(journal: &dyn Journal) -> Kept {
    let (shard, entity) = place(journal, "forgetful");
    let lease = journal.claim(shard, "one", Takeover::AtOnce).await?;
    let appends = [50_u8, 10, 40, 20, 30]
        .into_iter()
        .map(|at| {
            let mut nothing = append(lease, &entity, 0, &[]);
            nothing.at = Millis(i64::from(at));
            nothing.remember = Some(Remember {
                key: RequestKey([at; 32]),
                body: [0; 32],
            });
            nothing
        })
        .collect();
    journal.write(&batch(lease, appends)).await?;

    let left = async || -> Result<Vec<u8>, Broken> {
        let mut left = Vec::new();
        for at in [10, 20, 30, 40, 50] {
            if journal.remembered(RequestKey([at; 32])).await?.is_some() {
                left.push(at);
            }
        }
        Ok(left)
    };
    same("forgotten", journal.forget(Millis(40), 2).await?, 2)?;
    same("left", left().await?, vec![30, 40, 50])?;
    same("forgotten", journal.forget(Millis(40), 2).await?, 1)?;
    same("forgotten", journal.forget(Millis(40), 2).await?, 0)?;
    same("left", left().await?, vec![40, 50])
}
