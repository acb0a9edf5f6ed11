//! Values that never print, and the opaque tokens made of them.
//!
//! An opaque token is 256 random bits behind a prefix that says what it is for (so that a scanner
//! finds a leaked one). Only its hash is stored: who reads the database cannot act as a customer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Deserialize;

use crate::clock::Clock;

/// Text that must not reach a log. There is no `Display`, and `Debug` shows nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Each call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// SHA-256 of a credential: what is stored, and what caches are keyed by.
pub(super) type CredentialHash = [u8; 32];

/// SHA-256 of `text`. A fast hash is right here: the input has 256 random bits.
pub(super) fn sha256(text: &str) -> CredentialHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

/// What an opaque token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Refresh,
    Cookie,
    Reset,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "gsr_",
            Self::Cookie => "gss_",
            Self::Reset => "gsp_",
        }
    }

    /// A fresh token, and the hash to store.
    pub(super) fn mint(self, clock: &Clock) -> (Secret, CredentialHash) {
        let mut bytes = [0; 32];
        clock.fill_random(&mut bytes);
        let text = format!("{}{}", self.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        let hash = sha256(&text);
        (Secret(text), hash)
    }

    /// The hash of a presented token, or nothing if it cannot be one of ours.
    pub(super) fn hash(self, presented: &str) -> Option<CredentialHash> {
        let body = presented.strip_prefix(self.prefix())?;
        (body.len() == 43 && body.is_ascii()).then(|| sha256(presented))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    #[test]
    fn a_token_is_good_for_its_purpose_only() {
        let (token, hash) = Purpose::Refresh.mint(&Clock::system());
        assert_eq!(Purpose::Refresh.hash(token.expose()), Some(hash));
        assert_eq!(Purpose::Cookie.hash(token.expose()), None);
        for other in ["", "gsr_", "gsr_short", "gsr_\u{e9}", "\0"] {
            assert_eq!(Purpose::Refresh.hash(other), None);
        }
    }
}
