//! The sandbox's tokens: each chooses what the provider does.

/// What a token makes the sandbox do. The rows are those of the API's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Approves.
    Approve,
    /// Approves after five seconds.
    Slow,
    /// Approves after two failures of its own.
    ErrorTwice,
    /// Approves and tells us twice.
    DuplicateWebhook,
    /// Authorises; captures, but the answer is lost.
    TimeoutCharged,
    /// Authorises; the capture is lost on its way.
    TimeoutNotCharged,
    /// Declines.
    Decline,
    /// Declines for want of money.
    InsufficientFunds,
    /// Wants a confirm step.
    ThreeDs,
}

impl Token {
    /// Every token.
    pub const ALL: [Self; 9] = [
        Self::Approve,
        Self::Slow,
        Self::ErrorTwice,
        Self::DuplicateWebhook,
        Self::TimeoutCharged,
        Self::TimeoutNotCharged,
        Self::Decline,
        Self::InsufficientFunds,
        Self::ThreeDs,
    ];

    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "tok_approve",
            Self::Slow => "tok_slow_5s",
            Self::ErrorTwice => "tok_error_twice",
            Self::DuplicateWebhook => "tok_duplicate_webhook",
            Self::TimeoutCharged => "tok_timeout_charged",
            Self::TimeoutNotCharged => "tok_timeout_not_charged",
            Self::Decline => "tok_decline",
            Self::InsufficientFunds => "tok_insufficient_funds",
            Self::ThreeDs => "tok_3ds",
        }
    }

    /// The token of a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|token| token.as_str() == text)
    }
}
