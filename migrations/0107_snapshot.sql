-- Where a replay may start. An optimisation, never the truth: every row can be computed from the
-- journal again, and may be deleted at any time.
create table snapshot (
    sequence bigint   not null,
    position bigint   not null,
    epoch    bigint   not null,
    shard    smallint not null,
    entity   text     not null,
    state    bytea    not null,
    constraint snapshot_pk primary key (entity)
)
-- A snapshot is replaced in place while it fits (HOT).
with (fillfactor = 70);
