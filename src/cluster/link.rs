//! The way from one node's region to another's.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// Carries messages between nodes. One method: whatever carries, gRPC or memory, does nothing else.
#[async_trait]
pub trait RegionLink: Send + Sync + fmt::Debug + 'static {
    /// Brings an encoded [envelope](super::wire::Envelope) to a node, and back what
    /// [`Region::receive`](super::Region::receive) of that node answers. The caller bounds how long it
    /// waits, by dropping the call; the message may arrive all the same, or twice.
    ///
    /// # Errors
    /// [`LinkFault`] says whether the message may have arrived.
    async fn carry(&self, to: &str, message: Bytes) -> Result<Bytes, LinkFault>;
}

/// A message was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// It certainly did not arrive: the node is not known, or takes no connection.
    #[error("the message was not sent: {0}")]
    NotSent(String),
    /// Nobody knows whether it arrived.
    #[error("the message was not answered: {0}")]
    Lost(String),
}
