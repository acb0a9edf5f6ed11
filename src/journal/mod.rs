//! The truth: leases, append, load, snapshots, timers and idempotency keys.
