//! What the live feed counts.

use metrics::{Counter, Gauge};

/// The live feed's counters, resolved once. Cheap to clone.
#[derive(Clone)]
pub struct Figures {
    /// Frames written to sockets and streams.
    pub sent: Counter,
    /// Frames that came in.
    pub received: Counter,
    /// Frames the hub encoded.
    pub encoded: Counter,
    /// Values of states that were overtaken by a newer one before they were sent.
    pub conflated: Counter,
    /// Connections ended because their reader was too slow.
    pub slow: Counter,
    /// Subscriptions that were refused.
    pub refused: Counter,
    /// Frames that were none, and ended their connection.
    pub malformed: Counter,
    /// Times the hub asked an owner.
    pub asked: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Subscriptions on all of them.
    pub subscriptions: Gauge,
    /// Bytes waiting on all of them.
    pub queued: Gauge,
    /// Channels somebody follows.
    pub channels: Gauge,
}

impl Figures {
    /// The counters of the recorder that is installed now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sent: metrics::counter!("globalshop_live_frames_sent_total"),
            received: metrics::counter!("globalshop_live_frames_received_total"),
            encoded: metrics::counter!("globalshop_live_frames_encoded_total"),
            conflated: metrics::counter!("globalshop_live_frames_conflated_total"),
            slow: metrics::counter!("globalshop_live_slow_closes_total"),
            refused: metrics::counter!("globalshop_live_refused_total"),
            malformed: metrics::counter!("globalshop_live_malformed_total"),
            asked: metrics::counter!("globalshop_live_asked_total"),
            connections: metrics::gauge!("globalshop_live_connections"),
            subscriptions: metrics::gauge!("globalshop_live_subscriptions"),
            queued: metrics::gauge!("globalshop_live_queued_bytes"),
            channels: metrics::gauge!("globalshop_live_channels"),
        }
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the live feed's counters")
    }
}
