-- Answers remembered under an idempotency key, written in the statement that appends the events they
-- answer for. The answer itself is the entity's state at that sequence, so it is not stored again.
create table remembered (
    at       bigint   not null,
    sequence bigint   not null,
    shard    smallint not null,
    entity   text     not null,
    -- SHA-256 of caller, method, path and idempotency key.
    key      bytea    not null,
    -- SHA-256 of the parsed body: the same key with another body is a mistake of the caller.
    body     bytea    not null,
    constraint remembered_pk primary key (key),
    constraint remembered_hashes check (octet_length(key) = 32 and octet_length(body) = 32)
);

-- The sweep finds the oldest. Rows arrive in about this order, so a block range index would do for
-- reading; it would not stop at a limit.
create index remembered_by_age on remembered (at);
