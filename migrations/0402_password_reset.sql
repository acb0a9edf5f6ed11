-- Password resets, hashed. A request for an address nobody has writes a row too (without a
-- customer), so that both cost the same and nobody learns who shops here.
create table account_reset (
    token_hash    bytea  not null,
    customer_id   uuid,
    expires_at_ms bigint not null,
    constraint account_reset_pk primary key (token_hash),
    constraint account_reset_customer foreign key (customer_id) references customer (customer_id) on delete cascade
);

create index account_reset_by_customer on account_reset (customer_id) where customer_id is not null;
create index account_reset_by_expiry on account_reset (expires_at_ms);
