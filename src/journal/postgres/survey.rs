//! What an audit counts, in one statement each.

use futures_util::FutureExt as _;

use super::readers::Readers;
use crate::domain::Shard;
use crate::journal::{JournalFault, Orphans, Position, Survey};

/// Looks at every event after `from`, in the order of positions, all shards in one snapshot.
pub async fn survey(readers: &Readers, from: &[(Shard, Position)]) -> Result<Survey, JournalFault> {
    let (shards, positions): (Vec<i16>, Vec<i64>) = from
        .iter()
        .map(|(shard, position)| (i16::try_from(shard.0).unwrap_or(i16::MAX), position.0))
        .unzip();
    let rows = readers
        .ask("survey the journal", move |connection| {
            async move {
                sqlx::query!(
                    r#"with start as (
                         select * from unnest($1::int2[], $2::int8[]) as s (shard, position)
                       ), step as (
                         select j.shard, j.position, j.epoch,
                                lag(j.position, 1, s.position) over shard as before,
                                lag(j.epoch, 1, 0::int8) over shard as epoch_before
                         from start s join journal j on j.shard = s.shard and j.position > s.position
                         window shard as (partition by j.shard order by j.position)
                       )
                       select s.shard as "shard!",
                              greatest(max(step.position), s.position) as "head!",
                              count(step.position) as "checked!",
                              coalesce(sum(step.position - step.before - 1), 0)::int8 as "gaps!",
                              count(*) filter (where step.epoch < step.epoch_before) as "regressions!"
                       from start s left join step on step.shard = s.shard
                       group by s.shard, s.position"#,
                    &shards,
                    &positions,
                )
                .fetch_all(connection)
                .await
            }
            .boxed()
        })
        .await?;
    let mut survey = Survey::default();
    for row in rows {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        survey
            .heads
            .push((Shard(u16::try_from(row.shard).unwrap_or(0)), Position(row.head)));
        survey.events += count(row.head);
        survey.checked += count(row.checked);
        survey.gaps += count(row.gaps);
        survey.regressions += count(row.regressions);
    }
    Ok(survey)
}

/// Counts remembered answers, and those whose event is not in the journal.
pub async fn orphans(readers: &Readers) -> Result<Orphans, JournalFault> {
    let row = readers
        .ask("look for orphaned answers", |connection| {
            sqlx::query!(
                r#"select count(*) as "remembered!",
                          count(*) filter (where r.sequence > 0 and not exists (
                            select from journal j where j.entity = r.entity and j.sequence = r.sequence
                          )) as "orphans!"
                   from remembered r"#
            )
            .fetch_one(connection)
            .boxed()
        })
        .await?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Orphans {
        remembered: count(row.remembered),
        orphans: count(row.orphans),
    })
}
