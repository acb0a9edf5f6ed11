-- A lease can be given back: then it has no owner, and a taker need not wait for anyone's heartbeat to
-- run out. The epoch stays, so that the next owner's is higher.
alter table shard_lease alter column owner drop not null;
