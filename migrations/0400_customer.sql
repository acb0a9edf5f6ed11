-- Everybody who shops. A guest is a customer without an e-mail: registering fills in the same row,
-- so the cart and the orders, which carry the customer's id, need not move.
create table customer (
    customer_id   uuid   not null,
    -- As the customer wrote it; mail goes there.
    email         text,
    -- Folded, so that one mailbox has one account.
    email_key     text,
    name          text,
    -- A PHC string of argon2id; its parameters travel with it.
    password_hash text,
    roles         text[] not null,
    created_at_ms bigint not null,
    constraint customer_pk primary key (customer_id),
    constraint customer_email_key_unique unique (email_key),
    constraint customer_roles_known check (roles <@ array['shopper', 'seller', 'operator']),
    constraint customer_whole check (num_nulls(email, email_key, name, password_hash) in (0, 4))
);

-- The sweep finds forgotten guests by age; accounts are never in its way.
create index customer_guest_created on customer (created_at_ms) where email_key is null;

-- A guest who signed in to an account: the guest's orders belong to the account from then on.
create table account_merge (
    guest_id     uuid    not null,
    customer_id  uuid    not null,
    merged_at_ms bigint  not null,
    -- The cart lives in the journal, so its merge is a second step that can be interrupted.
    cart_merged  boolean not null default false,
    constraint account_merge_pk primary key (guest_id),
    constraint account_merge_guest foreign key (guest_id) references customer (customer_id),
    constraint account_merge_customer foreign key (customer_id) references customer (customer_id),
    constraint account_merge_not_itself check (guest_id <> customer_id)
);

create index account_merge_by_customer on account_merge (customer_id);
