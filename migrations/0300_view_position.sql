-- How far each read model has come in each shard. Moved in the transaction that writes the model's
-- rows, so that every event counts exactly once, whatever is interrupted.
create table view_position (
    view     text     not null,
    shard    smallint not null,
    position bigint   not null,
    constraint view_position_pk primary key (view, shard),
    constraint view_position_counts check (position >= 0)
) with (fillfactor = 50);
