-- Imports of catalogue files: what was asked, how far it is. The file itself lies in the data folder
-- until the import has ended, so that a restart can go on with it.
create table import (
    id          uuid    not null,
    -- SHA-256 of the file and what was asked of it: the same key with another body is refused.
    body        bytea   not null,
    status      text    not null,
    format      text,
    currency    text    not null,
    stock       bigint,
    dry_run     boolean not null,
    rows        bigint  not null default 0,
    created     bigint  not null default 0,
    changed     bigint  not null default 0,
    unchanged   bigint  not null default 0,
    rejected    bigint  not null default 0,
    bytes_read  bigint  not null default 0,
    bytes_total bigint  not null default 0,
    error       text,
    created_at  bigint  not null,
    ended_at    bigint,
    constraint import_pk primary key (id),
    constraint import_status check (status in ('queued', 'running', 'done', 'failed'))
);

-- Rows that did not become products, told so that a person can mend them.
create table import_rejection (
    import  uuid   not null,
    row     bigint not null,
    place   text   not null,
    reason  text   not null,
    remedy  text   not null,
    excerpt text   not null,
    constraint import_rejection_import foreign key (import) references import (id)
);

create index import_rejection_by_row on import_rejection (import, row);
