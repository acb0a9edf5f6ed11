-- The local mailbox of the embedded default: mail that would otherwise leave the house
-- (docs/adr/0002). The same Message-ID is the same mail. Only the newest are kept.
create table mailbox_mail (
    number     bigint generated always as identity,
    sent_at_ms bigint not null,
    message_id text   not null,
    sender     text   not null,
    recipient  text   not null,
    subject    text   not null,
    body_text  text   not null,
    body_html  text   not null,
    constraint mailbox_mail_pk primary key (number),
    constraint mailbox_mail_once unique (message_id)
);

-- The page of one addressee.
create index mailbox_mail_of on mailbox_mail (lower(recipient), number);
