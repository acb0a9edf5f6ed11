-- The truth: every event that was ever acknowledged, once.
--
-- Ordered twice, without gaps: by (shard, position), which readers follow, and by (entity, sequence),
-- which an entity is replayed from. The second key also catches a writer that decided from a state
-- that was not the newest.
--
-- Columns stand in the order of their alignment, widest first, which saves padding on every row. The
-- table fills its pages completely: nothing is ever updated. Payloads are bytes to the database; it
-- compresses only those too long for a row (over about 2 kB), with whatever this server's default is,
-- because not every build has lz4.
create table journal (
    position    bigint   not null,
    sequence    bigint   not null,
    epoch       bigint   not null,
    -- Milliseconds since the Unix epoch, as the deciding node's clock said.
    recorded_at bigint   not null,
    -- The operation that caused the event, where there was one.
    operation   uuid,
    shard       smallint not null,
    -- The version of the stored shape.
    version     smallint not null,
    entity      text     not null,
    payload     bytea    not null,
    constraint journal_position primary key (shard, position),
    constraint journal_sequence unique (entity, sequence),
    constraint journal_counts_from_one check (position > 0 and sequence > 0 and epoch > 0)
)
with (fillfactor = 100);
