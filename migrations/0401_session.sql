-- One sign-in. Ending a session deletes its row, and with it every refresh token of the family.
create table account_session (
    session_id    uuid   not null,
    customer_id   uuid   not null,
    -- SHA-256 of the cookie of a browser session; a session of tokens has none.
    cookie_hash   bytea,
    created_at_ms bigint not null,
    seen_at_ms    bigint not null,
    expires_at_ms bigint not null,
    constraint account_session_pk primary key (session_id),
    constraint account_session_cookie_unique unique (cookie_hash),
    constraint account_session_customer foreign key (customer_id) references customer (customer_id) on delete cascade
);

create index account_session_by_customer on account_session (customer_id);
create index account_session_by_expiry on account_session (expires_at_ms);

-- Refresh tokens, hashed. A used one stays until it expires, so that its reuse is noticed.
create table account_refresh (
    token_hash    bytea  not null,
    session_id    uuid   not null,
    expires_at_ms bigint not null,
    used_at_ms    bigint,
    constraint account_refresh_pk primary key (token_hash),
    constraint account_refresh_session foreign key (session_id) references account_session (session_id) on delete cascade
);

create index account_refresh_by_session on account_refresh (session_id);
create index account_refresh_by_expiry on account_refresh (expires_at_ms);
