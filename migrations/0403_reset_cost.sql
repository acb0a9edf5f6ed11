-- A reset for a known address was measurably dearer than one for an unknown address: the foreign
-- key locks the customer's row, and the partial index skips the other kind. A reset is a hash that
-- lives for half an hour and is joined to its customer when used, so neither is needed.
alter table account_reset drop constraint account_reset_customer;
drop index account_reset_by_customer;
create index account_reset_by_customer on account_reset (customer_id);
