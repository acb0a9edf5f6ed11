//! The one way mail takes, wherever it goes.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::domain::Millis;

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its Message-ID, with its angle brackets: the same for the same mail said again.
    pub message_id: String,
    /// From whom.
    pub from: String,
    /// To whom.
    pub to: String,
    /// About what.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
    /// Its date.
    pub at: Millis,
}

/// A mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PostFault {
    /// Not now.
    #[error("the mail did not go out")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Never: an address that cannot be, a server that refuses for good.
    #[error("the mail was refused for good")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Takes mail.
#[async_trait]
pub trait Post: Send + Sync + Debug + 'static {
    /// Sends a mail, or keeps it. The same Message-ID may come again.
    ///
    /// # Errors
    /// [`PostFault`] says whether trying again can help.
    async fn send(&self, mail: &Mail) -> Result<(), PostFault>;
}
