-- How far each consumer of the relay has come in each shard: everything through here is handled or a
-- dead letter. Raised under the epoch of the shard's lease; whoever holds an older epoch raises
-- nothing. Saved a few times a second for all lanes of a node at once, so rows are small and leave
-- room on their page for the next version.
create table consumer_position (
    consumer text     not null,
    shard    smallint not null,
    epoch    bigint   not null,
    position bigint   not null,
    constraint consumer_position_pk primary key (consumer, shard),
    constraint consumer_position_counts check (position >= 0 and epoch >= 0)
) with (fillfactor = 50);
