//! Decisions and facts of the shop: no I/O, no clock, no chance.
