-- The stock of each SKU as its entity last said. The constraint is invariant I3: an event that would
-- break it is parked in stock_alarm, the row keeps the last good figures, and the view goes on.
create table stock_level (
    sku           text     not null,
    on_hand       bigint   not null,
    held          bigint   not null,
    sold          bigint   not null,
    -- The event that said so.
    shard         smallint not null,
    position      bigint   not null,
    sequence      bigint   not null,
    changed_at_ms bigint   not null,
    constraint stock_level_pk primary key (sku),
    constraint stock_level_sound check (held >= 0 and sold >= 0 and held + sold <= on_hand)
) with (fillfactor = 70);

-- Levels that cannot be. An operator looks at each of them.
create table stock_alarm (
    shard         smallint not null,
    position      bigint   not null,
    sku           text     not null,
    -- As text: they may be too large for any number type, which is one way to be wrong.
    levels        text     not null,
    raised_at_ms  bigint   not null,
    constraint stock_alarm_pk primary key (shard, position)
);
