-- For each entity asked: its snapshot, then the events after it. One statement, so that both are of
-- the same moment. A snapshot's row has no version.
with asked as (
    select entity, n from unnest($1::text[]) with ordinality as asked (entity, n)
),
start as materialized (
    select asked.n, asked.entity, snapshot.shard, snapshot.position, snapshot.sequence, snapshot.epoch,
           snapshot.state
    from asked left join snapshot on snapshot.entity = asked.entity
)
select start.n as "n!", start.shard as "shard!", start.position as "position!",
       start.sequence as "sequence!", start.epoch as "epoch!", null::smallint as "version?",
       null::uuid as "operation?", 0::bigint as "recorded_at!", start.state as "payload!"
from start
where start.state is not null
union all
select start.n, event.shard, event.position, event.sequence, event.epoch, event.version,
       event.operation, event.recorded_at, event.payload
from start
cross join lateral (
    -- Sorted here too, which keeps this a look-up by entity whatever the planner thinks of the rest.
    select journal.shard, journal.position, journal.sequence, journal.epoch, journal.version,
           journal.operation, journal.recorded_at, journal.payload
    from journal
    where journal.entity = start.entity and journal.sequence > coalesce(start.sequence, 0)
    order by journal.sequence
) as event
order by 1, 4
