//! Which node owns a shard, and how a command reaches it.
