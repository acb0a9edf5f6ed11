//! Why a connection ends: the table of close codes.
//!
//! Each code says whether coming back helps. A `bye` frame says it in words, then the socket is closed
//! with the same code.

use std::time::Duration;

/// The close codes of `live.1.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The node goes down or lost track: come back after `after_ms`.
    Drain = 4000,
    /// The credential is no longer good: come back with a fresh one.
    Expired = 4001,
    /// Not allowed. Coming back changes nothing.
    Forbidden = 4003,
    /// The reader is too slow, or gave no sign of life: come back and resume.
    TooSlow = 4008,
    /// What came was no frame of this protocol. Coming back with the same changes nothing.
    Protocol = 4010,
    /// Too many frames: come back later.
    TooMany = 4029,
    /// Another connection took this one's place.
    Replaced = 4040,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Drain,
        Self::Expired,
        Self::Forbidden,
        Self::TooSlow,
        Self::Protocol,
        Self::TooMany,
        Self::Replaced,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether coming back helps.
    #[must_use]
    pub const fn retry(self) -> bool {
        matches!(self, Self::Drain | Self::Expired | Self::TooSlow | Self::TooMany)
    }

    /// What it means, for the AsyncAPI document.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Drain => "the node goes down: come back after `after_ms`",
            Self::Expired => "the token or the session has ended: come back with a fresh one",
            Self::Forbidden => "the token is not accepted",
            Self::TooSlow => "too slow, or no sign of life: come back and resume",
            Self::Protocol => "what was sent is no frame of this protocol",
            Self::TooMany => "too many frames: come back later",
            Self::Replaced => "another connection took this one's place",
        }
    }
}

/// The end of a connection, as its peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which kind of end.
    pub code: CloseCode,
    /// In a few words.
    pub reason: &'static str,
    /// When to come back, at the earliest.
    pub after: Duration,
}

impl Close {
    /// An end after which one may come back at once.
    #[must_use]
    pub const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            after: Duration::ZERO,
        }
    }

    /// With a moment before which nobody should come back.
    #[must_use]
    pub const fn after(mut self, pause: Duration) -> Self {
        self.after = pause;
        self
    }
}
