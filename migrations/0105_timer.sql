-- When an entity next wants to be woken, written in the statement that appends its events. At most
-- one per entity. The owner of a shard reads all of its timers once, when it takes the shard.
create table timer (
    due_at   bigint   not null,
    -- The entity's sequence when the timer was set.
    sequence bigint   not null,
    shard    smallint not null,
    entity   text     not null,
    constraint timer_pk primary key (entity)
)
with (fillfactor = 70);

-- By shard alone: with due_at in no index, moving a timer rewrites no index either (HOT).
create index timer_by_shard on timer (shard);
