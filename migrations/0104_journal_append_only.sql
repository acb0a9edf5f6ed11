-- A committed event never changes and never goes away, whoever asks. The triggers fire once a
-- statement and never for INSERT, so appending does not pay for them.
create function refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end
$$;

create trigger journal_append_only
    before update or delete or truncate on journal
    for each statement execute function refuse_change();
