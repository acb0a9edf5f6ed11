-- One row per order for the lists of shoppers and sellers, and the sums that the audit compares with
-- the ledger. The order entity is the authority on everything else about an order.
create table order_summary (
    order_id      uuid     not null,
    shard         smallint not null,
    number        text     not null,
    customer_id   uuid     not null,
    email         text     not null,
    phase         text     not null,
    status        text     not null,
    payment       text     not null,
    placed_at_ms  bigint   not null,
    changed_at_ms bigint   not null,
    total         bigint   not null,
    currency      text     not null,
    item_count    bigint   not null,
    names         text[]   not null,
    cancel_reason text,
    -- Money, minor units: how often and how much was captured, and given back.
    captures      integer  not null,
    captured      bigint   not null,
    refunded      bigint   not null,
    -- What is on its way back: refunds that were asked for and are not settled, each with its amount.
    refunds       uuid[]   not null,
    refunding     bigint[] not null,
    -- The last event of this order that moved money; 0 if none has.
    money_position bigint  not null,
    -- The order's sequence after the last event seen.
    sequence      bigint   not null,
    constraint order_summary_pk primary key (order_id)
) with (fillfactor = 70);

create index order_summary_by_customer on order_summary (customer_id, placed_at_ms desc, order_id desc);
create index order_summary_by_age on order_summary (placed_at_ms desc, order_id desc);
create index order_summary_by_status on order_summary (status, placed_at_ms desc, order_id desc);

-- How many orders are in each status, kept per shard so that shards do not wait for each other.
create table order_count (
    shard  smallint not null,
    status text     not null,
    orders bigint   not null,
    constraint order_count_pk primary key (shard, status)
) with (fillfactor = 50);
