//! `live.1.json`: the frames, their limits and the close codes. API.md, "Live feed", is the contract.
//!
//! A frame is one JSON object with one key, its name. What comes in is read strictly: whoever breaks
//! the format is told so and goes. This file knows nothing of sockets, channels' contents or callers.

mod close;
mod incoming;
mod outgoing;

pub use close::{Close, CloseCode};
pub use incoming::{ClientFrame, Format, From, SubscribeItem, SubscriptionId, UnsubscribeItem};
pub use outgoing::{Frame, Limits, Publication, Welcome};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "live.1.json";
/// The largest frame a client may send.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// The most channels one socket may follow.
pub const SUBSCRIPTIONS_MAX: usize = 128;
/// The most channels one event stream may follow with positions: they have to fit into its ids.
pub const SSE_STREAMS_MAX: usize = 8;
