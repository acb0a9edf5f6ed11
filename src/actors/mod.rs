//! The supervised tree.
