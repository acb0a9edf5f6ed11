//! How the journal is read: entity by entity to replay, shard by shard to follow.

use bytes::Bytes;
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::readers::Readers;
use crate::domain::id::OperationId;
use crate::domain::{EntityId, Millis, Shard};
use crate::journal::{Epoch, History, JournalFault, Position, Recorded, Sequence, Snapshot};

/// What each of these entities is replayed from, in the order asked.
pub async fn load(readers: &Readers, entities: &[EntityId]) -> Result<Vec<History>, JournalFault> {
    let names: Vec<String> = entities.iter().map(ToString::to_string).collect();
    let rows = readers
        .ask("load entities", move |connection| {
            sqlx::query_file!("src/journal/postgres/load.sql", &names)
                .fetch_all(connection)
                .boxed()
        })
        .await?;
    let mut histories = vec![History::default(); entities.len()];
    for row in rows {
        let slot = usize::try_from(row.n - 1).unwrap_or(usize::MAX);
        let (Some(entity), Some(history)) = (entities.get(slot), histories.get_mut(slot)) else {
            continue;
        };
        match row.version {
            None => {
                history.snapshot = Some(Snapshot {
                    entity: entity.clone(),
                    sequence: Sequence(row.sequence),
                    position: Position(row.position),
                    epoch: Epoch(row.epoch),
                    state: Bytes::from(row.payload),
                });
            }
            Some(version) => history.events.push(Recorded {
                shard: shard(row.shard)?,
                position: Position(row.position),
                entity: entity.clone(),
                sequence: Sequence(row.sequence),
                epoch: Epoch(row.epoch),
                version: self::version(version),
                operation: row.operation.map(OperationId),
                recorded_at: Millis(row.recorded_at),
                payload: Bytes::from(row.payload),
            }),
        }
    }
    Ok(histories)
}

/// Every event of one entity up to `until`.
pub async fn events(
    readers: &Readers,
    entity: &EntityId,
    until: Sequence,
) -> Result<Vec<Recorded>, JournalFault> {
    let name = entity.to_string();
    readers
        .ask("read an entity's events", move |connection| {
            sqlx::query_as!(
                Row,
                "select position, sequence, epoch, recorded_at, operation, shard, version, entity, payload
                 from journal
                 where entity = $1 and sequence <= $2
                 order by sequence",
                name,
                until.0,
            )
            .fetch_all(connection)
            .boxed()
        })
        .await?
        .into_iter()
        .map(Recorded::try_from)
        .collect()
}

/// Up to `limit` events of a shard after a position.
pub async fn read(
    readers: &Readers,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, JournalFault> {
    let shard = i16::try_from(shard.0).unwrap_or(i16::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    readers
        .ask("read a shard's events", move |connection| {
            sqlx::query_as!(
                Row,
                "select position, sequence, epoch, recorded_at, operation, shard, version, entity, payload
                 from journal
                 where shard = $1 and position > $2
                 order by position
                 limit $3",
                shard,
                after.0,
                limit,
            )
            .fetch_all(connection)
            .boxed()
        })
        .await?
        .into_iter()
        .map(Recorded::try_from)
        .collect()
}

/// The last committed position of a shard.
pub async fn head(readers: &Readers, shard: Shard) -> Result<Position, JournalFault> {
    let shard = i16::try_from(shard.0).unwrap_or(i16::MAX);
    let head = readers
        .ask("find a shard's head", move |connection| {
            sqlx::query_scalar!(
                "select position from journal where shard = $1 order by position desc limit 1",
                shard,
            )
            .fetch_optional(connection)
            .boxed()
        })
        .await?;
    Ok(Position(head.unwrap_or(0)))
}

struct Row {
    position: i64,
    sequence: i64,
    epoch: i64,
    recorded_at: i64,
    operation: Option<Uuid>,
    shard: i16,
    version: i16,
    entity: String,
    payload: Vec<u8>,
}

impl TryFrom<Row> for Recorded {
    type Error = JournalFault;

    fn try_from(row: Row) -> Result<Self, JournalFault> {
        Ok(Self {
            shard: shard(row.shard)?,
            position: Position(row.position),
            entity: EntityId::stored(&row.entity),
            sequence: Sequence(row.sequence),
            epoch: Epoch(row.epoch),
            version: version(row.version),
            operation: row.operation.map(OperationId),
            recorded_at: Millis(row.recorded_at),
            payload: Bytes::from(row.payload),
        })
    }
}

/// An entity's name as it is stored; one that is none has no meaning here.
pub fn entity(name: String) -> Result<EntityId, JournalFault> {
    EntityId::try_from(name).map_err(|error| JournalFault::Unreadable {
        place: "the name of an entity".to_owned(),
        reason: error.to_string(),
    })
}

fn shard(number: i16) -> Result<Shard, JournalFault> {
    u16::try_from(number)
        .map(Shard)
        .map_err(|error| JournalFault::Unreadable {
            place: format!("shard {number}"),
            reason: error.to_string(),
        })
}

/// A negative version was never written; the newest there could be makes its reader refuse the row.
fn version(number: i16) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
