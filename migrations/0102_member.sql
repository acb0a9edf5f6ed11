-- The heartbeat: one row a node, renewed by the database's clock. It says who should own shards; who
-- does own them is said by shard_lease alone.
create table member (
    node        text        not null,
    incarnation uuid        not null,
    expires_at  timestamptz not null,
    constraint member_pk primary key (node)
)
-- Renewed several times a second: room on the page lets every renewal stay there (HOT).
with (fillfactor = 50);
