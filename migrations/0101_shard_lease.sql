-- Who may append to a shard, and since when: the epoch counts how often the shard has changed
-- hands. Every append locks its rows here FOR SHARE and every taker updates one, so a taker waits for
-- the append in flight and a writer with an older epoch writes nothing.
--
-- A row changes only when a shard changes hands, never to renew anything: a renewal would queue
-- behind the appends' locks.
create table shard_lease (
    epoch bigint   not null,
    shard smallint not null,
    -- The node and its incarnation; also part of the application name of its writers.
    owner text     not null,
    constraint shard_lease_pk primary key (shard),
    constraint shard_lease_epoch_counts_from_one check (epoch > 0)
);
