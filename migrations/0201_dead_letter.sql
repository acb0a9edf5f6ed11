-- Events that a consumer could not handle within its budget. The event itself stays in the journal,
-- named here by shard and position. Nothing is ever deleted: a letter that was handled in the end is
-- part of the story.
create table dead_letter (
    id             uuid     not null,
    position       bigint   not null,
    sequence       bigint   not null,
    buried_at_ms   bigint   not null,
    changed_at_ms  bigint   not null,
    -- While somebody redrives it.
    taken_until_ms bigint   not null default 0,
    attempts       integer  not null,
    redrives       integer  not null default 0,
    shard          smallint not null,
    -- Whether later events of the same entity wait for this one.
    waits          boolean  not null,
    state          text     not null default 'waiting',
    consumer       text     not null,
    entity         text     not null,
    reason         text     not null,
    constraint dead_letter_pk primary key (id),
    constraint dead_letter_once unique (consumer, shard, position),
    constraint dead_letter_state check (state in ('waiting', 'done', 'parked'))
);

-- What operators and restarting lanes look for: the few that are not done.
create index dead_letter_open on dead_letter (consumer, entity) where state <> 'done';
