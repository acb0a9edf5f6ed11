-- The books of the sandbox payment provider. It stands in for an outside system, so it remembers on
-- its own what it was asked (docs/adr/0002); nothing of the shop reads these rows.
create table sandbox_intent (
    intent        uuid    not null,
    -- What it is for; null when it was voided before it was heard of.
    order_id      uuid,
    amount        bigint  not null,
    captured      bigint  not null,
    -- Counts the changes: who writes asserts the version that was read.
    version       bigint  not null,
    changed_at_ms bigint  not null,
    errors        integer not null,
    lost          integer not null,
    currency      text    not null,
    token         text    not null,
    -- Null while nothing is decided.
    stage         text,
    decline_code  text,
    constraint sandbox_intent_pk primary key (intent),
    constraint sandbox_intent_takes_no_more_than_reserved check (captured between 0 and amount),
    constraint sandbox_intent_stage
        check (stage in ('requires_action', 'authorised', 'captured', 'declined', 'voided'))
) with (fillfactor = 70);

-- What was given back, once per refund.
create table sandbox_refund (
    intent        uuid   not null,
    refund        uuid   not null,
    amount        bigint not null,
    created_at_ms bigint not null,
    constraint sandbox_refund_pk primary key (intent, refund),
    constraint sandbox_refund_of foreign key (intent) references sandbox_intent (intent),
    constraint sandbox_refund_gives check (amount > 0)
);
