-- The heartbeat names the owner that leases name (node and incarnation in one text), so that a taker
-- finds the member of a lease without taking names apart. Nothing wrote this table before.
alter table member
    drop column incarnation,
    add column owner text not null,
    add constraint member_owner unique (owner);
