-- What was decided when the journal was first opened and can never change afterwards. An entity's
-- shard is a hash modulo the number of shards, so another number would tear histories apart.
create table journal_setting (
    only_row boolean  not null default true,
    shards   smallint not null,
    constraint journal_setting_pk primary key (only_row),
    constraint journal_setting_one_row check (only_row),
    constraint journal_setting_shards check (shards between 1 and 1024)
);
