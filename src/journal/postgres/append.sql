-- The append: events, timers and remembered answers of many shards in one statement that commits
-- itself. Answers with the shards it wrote; of the others nothing is written.
with held as materialized (
    -- Locking waits for a taker that is raising an epoch, and then sees the epoch it raised. Always
    -- in the same order, so that two appends never wait for each other.
    select lease.shard, lease.epoch, mine.after
    from shard_lease as lease
    join unnest($1::smallint[], $2::bigint[], $3::bigint[]) as mine (shard, epoch, after)
        on mine.shard = lease.shard and mine.epoch = lease.epoch
    order by lease.shard
    for share of lease
),
open as materialized (
    -- Positions have no gaps because the position before the first of these must be there.
    select held.shard, held.epoch
    from held
    where held.after = 0
       or exists (
           select from journal
           where journal.shard = held.shard and journal.position = held.after
       )
),
appended as (
    insert into journal
        (position, sequence, epoch, recorded_at, operation, shard, version, entity, payload)
    select event.position, event.sequence, open.epoch, event.recorded_at, event.operation, event.shard,
           event.version, event.entity, event.payload
    from unnest(
        $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::smallint[], $9::smallint[],
        $10::text[], $11::bytea[]
    ) as event (position, sequence, recorded_at, operation, shard, version, entity, payload)
    join open on open.shard = event.shard
),
timer_set as (
    insert into timer (due_at, sequence, shard, entity)
    select change.due_at, change.sequence, change.shard, change.entity
    from unnest($12::bigint[], $13::bigint[], $14::smallint[], $15::text[])
        as change (due_at, sequence, shard, entity)
    join open on open.shard = change.shard
    on conflict on constraint timer_pk do update
    set due_at = excluded.due_at, sequence = excluded.sequence
),
timer_cleared as (
    -- Joined by the entity alone: by the shard too, the planner might read all timers of a shard.
    delete from timer
    using unnest($16::smallint[], $17::text[]) as change (shard, entity)
    join open on open.shard = change.shard
    where timer.entity = change.entity
),
kept as (
    insert into remembered (at, sequence, shard, entity, key, body)
    select answer.at, answer.sequence, answer.shard, answer.entity, answer.key, answer.body
    from unnest($18::bigint[], $19::bigint[], $20::smallint[], $21::text[], $22::bytea[], $23::bytea[])
        as answer (at, sequence, shard, entity, key, body)
    join open on open.shard = answer.shard
)
select open.shard as "shard!" from open
