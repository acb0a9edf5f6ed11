-- The double-entry ledger. One row moves one amount from the credited to the debited account, so
-- every row is balanced by construction and the sum over all accounts is zero (invariant I9).
-- (shard, position, leg) names the payment event a row stands for: derived exactly once.
create table ledger_transfer (
    shard    smallint not null,
    position bigint   not null,
    leg      smallint not null,
    order_id uuid     not null,
    debit    text     not null,
    credit   text     not null,
    amount   bigint   not null,
    currency text     not null,
    at_ms    bigint   not null,
    constraint ledger_transfer_pk primary key (shard, position, leg),
    constraint ledger_transfer_moves check (debit <> credit),
    constraint ledger_transfer_amount check (amount > 0),
    constraint ledger_transfer_currency check (currency ~ '^[A-Z]{3}$'),
    constraint ledger_transfer_accounts check (
        debit in ('provider_receivable', 'revenue', 'tax_payable')
        and credit in ('provider_receivable', 'revenue', 'tax_payable')
    )
);

create index ledger_transfer_by_order on ledger_transfer (order_id);

-- Append-only: a wrong entry is corrected by another entry, never by changing history.
create function ledger_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only' using errcode = 'restrict_violation';
end
$$;

create trigger ledger_transfer_append_only
    before update or delete on ledger_transfer
    for each row execute function ledger_refuse_change();
create trigger ledger_transfer_keep_all
    before truncate on ledger_transfer
    for each statement execute function ledger_refuse_change();

-- Where a rebuild from the journal is written to be compared. Emptied by every rebuild.
create unlogged table ledger_rebuilt (
    shard    smallint not null,
    position bigint   not null,
    leg      smallint not null,
    order_id uuid     not null,
    debit    text     not null,
    credit   text     not null,
    amount   bigint   not null,
    currency text     not null,
    at_ms    bigint   not null,
    constraint ledger_rebuilt_pk primary key (shard, position, leg)
);
