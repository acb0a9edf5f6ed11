-- What operators did to the machine, and why: a row for each action, never deleted. The row also
-- remembers the answer, so that the same request again is answered and not done a second time.
create table operator_action (
    -- The request's own: the same request has the same.
    id          uuid   not null,
    -- The order in which they began.
    number      bigint not null generated always as identity,
    begun_at_ms bigint not null,
    -- Null while it is at work, and if the node ended before it did.
    ended_at_ms bigint,
    customer_id uuid   not null,
    -- SHA-256 of what was asked: the same key with another body is refused.
    body        bytea  not null,
    action      text   not null,
    target      text   not null,
    reason      text,
    trace_id    text   not null,
    outcome     text,
    -- The body of the answer; null unless it went well.
    answer      text,
    constraint operator_action_pk primary key (id),
    constraint operator_action_number unique (number)
);
