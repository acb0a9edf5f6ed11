//! What carts, orders, stock and products decide.
//!
//! Pure: no I/O, no clock, no randomness, no async. Everything a decision needs comes in as an
//! argument, so any history replays to the same state on any machine.
//!
//! Reading order: [`entity`] (the shape every entity has), [`money`], then [`cart`], [`order`] (the
//! checkout saga) with its sub-state [`payment`], [`stock`], [`product`].

pub mod address;
pub mod cart;
pub mod entity;
pub mod id;
pub mod ledger;
pub mod money;
pub mod order;
pub mod payment;
pub mod planted;
pub mod product;
pub mod quote;
pub mod stock;
pub mod time;

pub use entity::Entity;
pub use id::{EntityId, Kind, Shard, ShardCount};
pub use money::{Currency, Money};
pub use time::Millis;
