//! Which node owns a shard, and how a command reaches its entity.
//!
//! **Invariant:** whoever wants something from an entity asks the [`Region`]; nobody holds an
//! entity's address. Placement is a hint: the journal's epoch decides who may write, and the node's
//! [membership] how long it may read.

pub mod membership;
pub mod region;

pub use crate::actors::ask::{Answer, Ask, AskError};
pub use membership::{Membership, MembershipArguments, MembershipSettings};
pub use region::{PositionToken, Region};
