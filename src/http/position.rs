//! Reading your own writes: every write answers where it is in the journal, and a list that is asked
//! with that waits until it includes it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::Edge;
use super::problem::{Problem, kind};
use crate::cluster::PositionToken;
use crate::views::{WAIT_LIMIT, Waited};

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

impl Position {
    /// Waits until the catalogue includes the write.
    pub async fn wait_for_catalogue(self, edge: &Edge) -> Age {
        match self.0 {
            Some(PositionToken { shard, position }) => {
                Age::of(edge.views.catalogue.wait_for(shard, position, WAIT_LIMIT).await)
            }
            None => Age(None),
        }
    }

    /// Waits until the order lists include the write.
    pub async fn wait_for_orders(self, edge: &Edge) -> Age {
        match self.0 {
            Some(PositionToken { shard, position }) => {
                Age::of(edge.views.orders.wait_for(shard, position, WAIT_LIMIT).await)
            }
            None => Age(None),
        }
    }
}

/// How old an answer is, if it does not include the write it was to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Age(Option<u64>);

impl Age {
    fn of(waited: Waited) -> Self {
        match waited {
            Waited::Included => Self(None),
            Waited::Behind { age } => Self(Some(age.as_secs().max(1))),
        }
    }

    /// Says it on an answer.
    #[must_use]
    pub fn on(self, mut answer: Response) -> Response {
        if let Some(seconds) = self.0 {
            answer
                .headers_mut()
                .insert(header::AGE, HeaderValue::from(seconds));
        }
        answer
    }
}

/// Lets a write that others read from the catalogue be seen there before it is answered, so that
/// even a reader who names no position finds it. After the limit it is answered all the same.
pub async fn settle_in_catalogue(edge: &Edge, answer: Response) -> Response {
    let token = answer
        .headers()
        .get(POSITION)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if answer.status().is_success() {
        Position(token).wait_for_catalogue(edge).await;
    }
    answer
}

/// A token as a header's value.
#[must_use]
pub fn value(token: PositionToken) -> HeaderValue {
    HeaderValue::from_str(&token.to_string()).unwrap_or(HeaderValue::from_static("0-0"))
}
