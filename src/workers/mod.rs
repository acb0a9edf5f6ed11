//! What reacts to committed events.
