//! The one statement that writes: a batch becomes columns, the columns become rows.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::outcome;
use super::writers::Writers;
use crate::domain::Shard;
use crate::journal::{Append, Batch, Cause, Position, TimerChange, WriteFault};

/// How long an append may take before nobody waits for its answer any more. Longer than the server's
/// own limit, so that mostly it is the server that ends it and the outcome is certain.
const WRITE_LIMIT: Duration = Duration::from_secs(8);

/// Writes a batch; says which shards' epochs had moved.
pub async fn write(writers: &Writers, batch: &Batch) -> Result<Vec<Shard>, WriteFault> {
    let columns = Columns::of(batch)?;
    let mut writer = writers
        .take()
        .await
        .map_err(|fault| not_written(fault.to_string()))?;
    let Columns {
        held,
        events,
        timers,
        cleared,
        answers,
    } = &columns;
    let statement = sqlx::query_file_scalar!(
        "src/journal/postgres/append.sql",
        &held.shard,
        &held.epoch,
        &held.after,
        &events.position,
        &events.sequence,
        &events.recorded_at,
        &events.operation as &[Option<Uuid>],
        &events.shard,
        &events.version,
        &events.entity as &[&str],
        &events.payload as &[&[u8]],
        &timers.due_at,
        &timers.sequence,
        &timers.shard,
        &timers.entity as &[&str],
        &cleared.shard,
        &cleared.entity as &[&str],
        &answers.at,
        &answers.sequence,
        &answers.shard,
        &answers.entity as &[&str],
        &answers.key as &[&[u8]],
        &answers.body as &[&[u8]],
    );
    // From here on something may have been sent. Whoever drops this future closes the connection.
    match timeout(WRITE_LIMIT, statement.fetch_all(writer.connection())).await {
        Ok(Ok(written)) => {
            writer.rest();
            writers.note_room(true);
            let written: BTreeSet<i16> = written.into_iter().collect();
            let stayed = |shard: &Shard| !written.contains(&number(shard.0));
            Ok(batch
                .held
                .iter()
                .map(|(shard, _)| *shard)
                .filter(stayed)
                .collect())
        }
        Ok(Err(error)) => {
            let fault = outcome::of_sent(&error);
            writers.note_room(!outcome::is_out_of_room(&error));
            if fault.is_certain() {
                writer.rest();
            }
            Err(fault)
        }
        Err(_) => Err(WriteFault::Unknown {
            reason: format!("no answer within {WRITE_LIMIT:?}"),
        }),
    }
}

fn not_written(reason: String) -> WriteFault {
    WriteFault::NotWritten {
        reason,
        cause: Cause::Circumstance,
    }
}

/// Shards and versions are small. One that is not becomes the largest there is: a shard that nobody
/// holds, a version that every reader refuses.
fn number(small: u16) -> i16 {
    i16::try_from(small).unwrap_or(i16::MAX)
}

/// A batch, column by column, as the statement takes it.
struct Columns<'a> {
    held: Held,
    events: Events<'a>,
    timers: Timers<'a>,
    cleared: Cleared<'a>,
    answers: Answers<'a>,
}

#[derive(Default)]
struct Held {
    shard: Vec<i16>,
    epoch: Vec<i64>,
    after: Vec<i64>,
}

#[derive(Default)]
struct Events<'a> {
    position: Vec<i64>,
    sequence: Vec<i64>,
    recorded_at: Vec<i64>,
    operation: Vec<Option<Uuid>>,
    shard: Vec<i16>,
    version: Vec<i16>,
    entity: Vec<&'a str>,
    payload: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Timers<'a> {
    due_at: Vec<i64>,
    sequence: Vec<i64>,
    shard: Vec<i16>,
    entity: Vec<&'a str>,
}

#[derive(Default)]
struct Cleared<'a> {
    shard: Vec<i16>,
    entity: Vec<&'a str>,
}

#[derive(Default)]
struct Answers<'a> {
    at: Vec<i64>,
    sequence: Vec<i64>,
    shard: Vec<i16>,
    entity: Vec<&'a str>,
    key: Vec<&'a [u8]>,
    body: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Result<Self, WriteFault> {
        let after = batch.check()?;
        let held = Held {
            shard: batch.held.iter().map(|(shard, _)| number(shard.0)).collect(),
            epoch: batch.held.iter().map(|(_, epoch)| epoch.0).collect(),
            after: after.iter().map(|after| after.unwrap_or_default().0).collect(),
        };
        let mut events = Events::with_capacity(batch.rows());
        let mut answers = Answers::default();
        // A row can be changed only once in a statement, so of an entity's changes the last one wins.
        let mut changes: HashMap<&str, &Append> = HashMap::new();
        for (append, first) in &batch.appends {
            events.push(append, *first);
            answers.push(append);
            if append.timer != TimerChange::Keep {
                changes.insert(append.entity.as_str(), append);
            }
        }
        let mut timers = Timers::default();
        let mut cleared = Cleared::default();
        for (entity, append) in changes {
            match append.timer {
                TimerChange::Set(due_at) => timers.push(entity, append, due_at.0),
                TimerChange::Clear => {
                    cleared.shard.push(number(append.shard.0));
                    cleared.entity.push(entity);
                }
                TimerChange::Keep => {}
            }
        }
        Ok(Self {
            held,
            events,
            timers,
            cleared,
            answers,
        })
    }
}

impl<'a> Events<'a> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            position: Vec::with_capacity(rows),
            sequence: Vec::with_capacity(rows),
            recorded_at: Vec::with_capacity(rows),
            operation: Vec::with_capacity(rows),
            shard: Vec::with_capacity(rows),
            version: Vec::with_capacity(rows),
            entity: Vec::with_capacity(rows),
            payload: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, append: &'a Append, first: Position) {
        for (offset, event) in (0..).zip(&append.events) {
            self.position.push(first.0 + offset);
            self.sequence.push(append.after.0 + 1 + offset);
            self.recorded_at.push(append.at.0);
            self.operation.push(append.operation.map(|operation| operation.0));
            self.shard.push(number(append.shard.0));
            self.version.push(number(event.version));
            self.entity.push(append.entity.as_str());
            self.payload.push(&event.payload);
        }
    }
}

impl<'a> Timers<'a> {
    fn push(&mut self, entity: &'a str, append: &'a Append, due_at: i64) {
        self.due_at.push(due_at);
        self.sequence.push(append.through().0);
        self.shard.push(number(append.shard.0));
        self.entity.push(entity);
    }
}

impl<'a> Answers<'a> {
    fn push(&mut self, append: &'a Append) {
        let Some(remember) = &append.remember else { return };
        self.at.push(append.at.0);
        self.sequence.push(append.through().0);
        self.shard.push(number(append.shard.0));
        self.entity.push(append.entity.as_str());
        self.key.push(&remember.key.0);
        self.body.push(&remember.body);
    }
}
