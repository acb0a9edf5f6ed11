//! Which node owns a shard, and how a command reaches its entity.
//!
//! **Invariant:** whoever wants something from an entity asks the [`Region`]; nobody holds an
//! entity's address. Placement is a hint: the journal's epoch decides who may write, and the node's
//! [membership] how long it may read.
//!
//! Reading order: [`membership`], [`placement`], [`region`], and what crosses between two of them:
//! [`link`], [`wire`].

pub mod link;
pub mod membership;
pub mod placement;
pub mod region;
pub mod wire;

pub use crate::actors::ask::{Answer, Ask, AskError};
pub use link::{LinkFault, RegionLink};
pub use membership::{Membership, MembershipArguments, MembershipSettings};
pub use placement::Placement;
pub use region::{PositionToken, Region, Routes};
