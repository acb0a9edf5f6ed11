//! Reading your own writes: every write answers where it is in the journal, and a list that is asked
//! with that waits until it includes it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use super::Edge;
use super::problem::{Problem, kind};
use crate::cluster::region::PositionToken;

/// The header, on answers to writes and on reads of lists.
pub const POSITION: HeaderName = HeaderName::from_static("position");

/// The write a read wants to see, if it names one.
#[derive(Clone, Copy, Debug)]
pub struct Position(pub Option<PositionToken>);

impl FromRequestParts<Edge> for Position {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(POSITION) else {
            return Ok(Self(None));
        };
        let token = header.to_str().ok().and_then(|text| text.parse().ok());
        match token {
            Some(token) => Ok(Self(Some(token))),
            None => Err(Problem::new(&kind::MALFORMED)
                .detail("The Position header is a token from an earlier answer, such as 12-345.")),
        }
    }
}

/// A token as a header's value.
#[must_use]
pub fn value(token: PositionToken) -> HeaderValue {
    HeaderValue::from_str(&token.to_string()).unwrap_or(HeaderValue::from_static("0-0"))
}
