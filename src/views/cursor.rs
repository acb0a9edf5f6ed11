//! Page tokens: where a page of a list ended. Opaque to clients, bound to the list they came from.
//!
//! Not secret and not signed: a forged one shows another part of the same list, which its holder may
//! see anyway, or is no token at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::fault::ViewFault;

/// The shape of the token; raised when an old token would be misread.
const FORMAT: u8 = 1;
/// Format, scope, key.
const HEAD: usize = 1 + 8 + 8;
/// No token that was given out is longer.
const LONGEST: usize = 256;

/// What a list was asked for, but for the page. A token is good for the same scope only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope([u8; 8]);

impl Scope {
    /// The scope of a list described by `text`.
    pub(super) fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut scope = [0; 8];
        scope.copy_from_slice(&digest[..8]);
        Self(scope)
    }
}

/// The last item of a page: its sort key, and its id among those with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) key: i64,
    pub(super) id: String,
}

impl Cursor {
    pub(super) fn encode(&self, scope: Scope) -> String {
        let mut bytes = Vec::with_capacity(HEAD + self.id.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&scope.0);
        bytes.extend_from_slice(&self.key.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn decode(token: &str, scope: Scope) -> Result<Self, ViewFault> {
        Self::parse(token, scope).ok_or(ViewFault::BadCursor)
    }

    fn parse(token: &str, scope: Scope) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (head, id) = bytes.split_at_checked(HEAD)?;
        let (&format, head) = head.split_first()?;
        let (token_scope, key) = head.split_at_checked(8)?;
        if format != FORMAT || token_scope != scope.0 {
            return None;
        }
        Some(Self {
            key: i64::from_be_bytes(key.try_into().ok()?),
            id: std::str::from_utf8(id).ok()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_says_where_its_page_ended(key: i64, id in "[A-Za-z0-9._-]{1,64}") {
            let cursor = Cursor { key, id };
            let scope = Scope::of("tv");
            prop_assert!(Cursor::decode(&cursor.encode(scope), Scope::of("radio")).is_err());
            prop_assert_eq!(Cursor::decode(&cursor.encode(scope), scope).unwrap(), cursor);
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(token in ".*") {
            prop_assert!(Cursor::decode(&token, Scope::of("tv")).is_err());
        }

        #[test]
        fn a_token_that_was_tampered_with_is_a_place_or_an_error(at in 0_usize..40, letter in "[A-Za-z0-9_-]") {
            let cursor = Cursor { key: 1_999, id: "TV-1".to_owned() };
            let mut token = cursor.encode(Scope::of("tv"));
            let at = at % token.len();
            token.replace_range(at..=at, &letter);
            let _ = Cursor::decode(&token, Scope::of("tv"));
        }
    }
}
