//! The supervision tree and the invariants as data.
