//! The supervision tree and the invariants, as data.
//!
//! Reading the tree sends no message to any actor: it costs whoever looks, and nobody who shops.

pub mod tree;

pub use tree::{Census, Page, TreeQuery};
